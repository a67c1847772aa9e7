use proptest::prelude::*;

use super::*;

const HEX: &str = "000102030405060708090a0b0c0d0e0f";

fn writer() -> WriterId {
    HEX.parse().unwrap()
}

#[test]
fn names_are_these_for_ever() {
    let name = Name::parse("mission-control").unwrap();
    let (epoch, seq) = (Epoch::new(3).unwrap(), Seq::new(42).unwrap());
    let written = [
        ObjectName::fleet_json(),
        ObjectName::log(seq),
        ObjectName::side(epoch, writer(), 7, 1),
        ObjectName::base(&name, HEX.parse().unwrap(), epoch, writer(), 7),
        ObjectName::boundary(),
        ObjectName::hold([0xab; 16]),
        ObjectName::pin(&name),
        ObjectName::standby(&name),
        ObjectName::request(epoch),
    ];
    let expected = [
        "fleet.json",
        "log/00000000000000000042.seg",
        "side/00000000000000000003-000102030405060708090a0b0c0d0e0f-00000000000000000007/0000000001.seg",
        "snap/mission-control/000102030405060708090a0b0c0d0e0f/00000000000000000003-000102030405060708090a0b0c0d0e0f-00000000000000000007.seg",
        "gc/boundary",
        "hold/abababababababababababababababab",
        "pin/mission-control",
        "standby/mission-control",
        "request/00000000000000000003",
    ];
    assert_eq!(written.each_ref().map(ObjectName::as_str), expected);
}

#[test]
fn reserved_names_are_known() {
    for text in [
        "pack/00000000000000000001-00000000000000000032.seg",
        "roll/168h/hour-00000000000000000001-00000000000000003600.seg",
    ] {
        assert_eq!(ObjectName::parse(text).unwrap().as_str(), text);
    }
}

#[test]
fn everything_else_is_refused() {
    for text in [
        "",
        "/",
        "fleet.json/",
        "/fleet.json",
        "./fleet.json",
        "log/1.seg",
        "log/00000000000000000000.seg",
        "log/+0000000000000000001.seg",
        "log/99999999999999999999.seg",
        "log/00000000000000000001",
        "log/00000000000000000001.seg.tmp",
        "log/../00000000000000000001.seg",
        "LOG/00000000000000000001.seg",
        "pin/..",
        "pin/.hidden",
        "pin/a/b",
        "pin/",
        "snap/../000102030405060708090a0b0c0d0e0f/00000000000000000003-000102030405060708090a0b0c0d0e0f-00000000000000000007.seg",
        "hold/ABABABABABABABABABABABABABABABAB",
        "request/00000000000000000000",
        "side/00000000000000000003-000102030405060708090a0b0c0d0e0f-00000000000000000007/9999999999.seg",
        "pack/00000000000000000002-00000000000000000001.seg",
        "roll/0168h/hour-00000000000000000001-00000000000000000002.seg",
        "roll/168h/Hour-00000000000000000001-00000000000000000002.seg",
        "gc/boundary2",
    ] {
        let error = ObjectName::parse(text).unwrap_err();
        assert_eq!(error.text, text);
    }
}

#[test]
fn a_long_refused_text_is_shown_shortened() {
    assert_eq!(ObjectName::parse(&"ö".repeat(5000)).unwrap_err().text.chars().count(), 200);
}

fn kinds() -> impl Strategy<Value = ObjectKind> {
    let name = || "[A-Za-z0-9_-][A-Za-z0-9_-]{0,127}".prop_map(|text| Name::parse(&text).unwrap());
    let seq = || (1..=u64::MAX).prop_map(|seq| Seq::new(seq).unwrap());
    let epoch = || (1..=u64::MAX).prop_map(|epoch| Epoch::new(epoch).unwrap());
    let writer = || any::<[u8; 16]>().prop_map(WriterId::from_bytes);
    let incarnation = any::<[u8; 16]>().prop_map(Incarnation::from_bytes);
    prop_oneof![
        Just(ObjectKind::Fleet),
        Just(ObjectKind::Boundary),
        seq().prop_map(ObjectKind::Log),
        (epoch(), writer(), any::<u64>(), any::<u32>())
            .prop_map(|(epoch, writer, n, part)| ObjectKind::Side { epoch, writer, n, part }),
        (name(), incarnation, epoch(), writer(), any::<u64>()).prop_map(
            |(database, incarnation, epoch, writer, n)| ObjectKind::Base {
                database,
                incarnation,
                epoch,
                writer,
                n
            }
        ),
        (seq(), seq()).prop_map(|(a, b)| ObjectKind::Pack { first: a.min(b), last: a.max(b) }),
        (any::<u32>(), "[a-z]{1,16}", seq(), seq()).prop_map(|(class_hours, window, a, b)| {
            ObjectKind::RollUp { class_hours, window, first: a.min(b), last: a.max(b) }
        }),
        any::<[u8; 16]>().prop_map(ObjectKind::Hold),
        name().prop_map(ObjectKind::Pin),
        name().prop_map(ObjectKind::Standby),
        epoch().prop_map(ObjectKind::Request),
    ]
}

proptest! {
    #[test]
    fn every_kind_has_one_name_and_back(kind in kinds()) {
        let name = ObjectName::from(kind.clone());
        prop_assert_eq!(&ObjectName::parse(name.as_str()).unwrap(), &name);
        prop_assert_eq!(name.log_seq(), match kind { ObjectKind::Log(seq) => Some(seq), _ => None });
        prop_assert_eq!(name.kind(), kind);
    }

    #[test]
    fn log_objects_sort_by_number(a in 1..=u64::MAX, b in 1..=u64::MAX) {
        let name = |seq| ObjectName::log(Seq::new(seq).unwrap());
        prop_assert_eq!(a.cmp(&b), name(a).cmp(&name(b)));
    }

    #[test]
    fn what_is_accepted_stays_inside_the_store(text in "(log|side|snap|pin|gc|hold)?[a-z0-9./\\\\-]{0,80}") {
        if let Ok(name) = ObjectName::parse(&text) {
            for part in name.as_str().split('/') {
                prop_assert!(!part.is_empty() && !part.starts_with('.'));
            }
        }
    }
}
