use super::*;

const ID: &str = "000102030405060708090a0b0c0d0e0f";

fn decoded(json: &str) -> Result<Vec<Record>, SegmentError> {
    decode(json.as_bytes())
}

#[test]
fn records_are_written_like_this_for_ever() {
    let db = DbId::from_bytes([1; 8]);
    let records = vec![
        Record::Fence {
            epoch: Epoch::FIRST,
            node: Name::parse("anvil").unwrap(),
            writer: ID.parse().unwrap(),
            kind: FenceKind::Promote,
        },
        Record::Handover {},
        Record::Retired { db },
        Record::Renamed { db, name: Name::parse("post").unwrap() },
    ];
    let json = format!(
        concat!(
            r#"[{{"fence":{{"epoch":1,"node":"anvil","writer":"{}","kind":"promote"}}}},{{"handover":{{}}}},"#,
            r#"{{"retired":{{"db":"0101010101010101"}}}},{{"renamed":{{"db":"0101010101010101","name":"post"}}}}]"#
        ),
        ID
    );
    assert_eq!(String::from_utf8(encode(&records)).unwrap(), json);
    assert_eq!(decoded(&json).unwrap(), records);
}

#[test]
fn an_unknown_type_asks_for_an_upgrade_even_if_the_rest_is_unreadable_to_us() {
    for json in [r#"[{"handover":{}},{"merge":{"a":[1,2]}}]"#, r#"[{"fence":7},{"merge":null}]"#] {
        let error = decoded(json).unwrap_err();
        assert!(error.is_newer_format(), "{json}: {error}");
        assert!(error.to_string().contains("record type merge"), "{error}");
    }
}

#[test]
fn an_unknown_field_is_ignored() {
    let json = r#"[{"handover":{"reason":"maintenance"}},{"retired":{"db":"0101010101010101","why":{"x":[]}}}]"#;
    assert_eq!(
        decoded(json).unwrap(),
        [Record::Handover {}, Record::Retired { db: DbId::from_bytes([1; 8]) }]
    );
}

#[test]
fn damage_is_told_from_a_newer_format() {
    for json in [
        "",
        "{}",
        "[",
        "[1]",
        "[{}]",
        r#"[{"handover":{},"retired":{"db":"0101010101010101"}}]"#,
        r#"[{"retired":{"db":"01"}}]"#,
        r#"[{"renamed":{"db":"0101010101010101","name":"../x"}}]"#,
        r#"[{"fence":{"epoch":0,"node":"a","writer":"000102030405060708090a0b0c0d0e0f","kind":"start"}}]"#,
        r#"["handover"] x"#,
    ] {
        let error = decoded(json).unwrap_err();
        assert!(!error.is_newer_format(), "{json}: {error}");
    }
}

#[test]
fn more_records_than_the_limit_are_refused_before_they_are_kept() {
    let json = |count: usize| format!("[{}]", vec![r#"{"handover":{}}"#; count].join(","));
    assert_eq!(decoded(&json(RECORDS_MAX)).unwrap().len(), RECORDS_MAX);
    let error = decoded(&json(RECORDS_MAX + 1)).unwrap_err();
    assert!(matches!(error, SegmentError::TooLarge { what: "number of records", .. }), "{error}");
}

#[test]
fn deep_nesting_is_refused_without_recursion() {
    let json = format!("[{{\"handover\":{}{}}}]", "[".repeat(1_000_000), "]".repeat(1_000_000));
    assert!(decoded(&json).is_err());
}

#[test]
fn every_type_that_is_written_is_known_to_the_first_look() {
    // The probe's list and the enum must not drift apart: serde names the variants in its error.
    let error = serde_json::from_str::<Record>(r#"{"?":0}"#).unwrap_err().to_string();
    let listed: Vec<&str> = error.split('`').skip(3).step_by(2).collect();
    assert_eq!(listed, RECORD_TYPES);
}
