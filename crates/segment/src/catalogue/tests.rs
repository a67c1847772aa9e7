use super::*;
use crate::codec::{Draft, encode};
use crate::header::{Header, SegmentKind};
use crate::ids::{Epoch, FleetId, Millis, SegmentHash, WriterId};
use crate::records::Part;
use crate::{ContentHash, ObjectName};

fn db(byte: u8) -> DbId {
    DbId::from_bytes([byte; 8])
}

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn announcement(id: DbId, text: &str) -> Announcement {
    Announcement {
        id,
        name: name(text),
        tier: "p1".into(),
        class_hours: 72,
        state: DatabaseState::Empty,
    }
}

fn section(db: DbId, life: u8, txid: u64) -> SectionEntry {
    SectionEntry {
        db,
        incarnation: Incarnation::from_bytes([life; 16]),
        class_hours: 24,
        page_size: PageSize::new(4096).unwrap(),
        pages_after: 9,
        page_count: 0,
        first_txid: Txid::new(txid),
        last_txid: Txid::new(txid),
        pre: Checksum::new(1),
        post: Checksum::new(2),
        oldest_commit: Millis::new(0),
        previous_seq: None,
        is_diff: false,
        new_incarnation: false,
        body: None,
        side: vec![],
    }
}

fn base(db: DbId, life: u8) -> BaseRecord {
    let part = Part { name: ObjectName::boundary(), bytes: 1, sha256: ContentHash::of(b"") };
    BaseRecord {
        db,
        incarnation: Incarnation::from_bytes([life; 16]),
        at: None,
        checksum: Checksum::new(1),
        page_size: PageSize::new(4096).unwrap(),
        pages: 9,
        bytes: 1,
        parts: vec![part],
    }
}

fn table(seq: u64, records: Vec<Record>, sections: Vec<SectionEntry>) -> Table {
    let header = Header {
        kind: SegmentKind::Log,
        fleet: FleetId::from_bytes([0; 16]),
        node: name("anvil"),
        writer: WriterId::from_bytes([0; 16]),
        epoch: Epoch::FIRST,
        seq: Seq::new(seq),
        previous: SegmentHash::ZERO,
        stamp: Millis::new(0),
        store_offset_ms: 0,
        flush_period_ms: 0,
        next_flush_in_ms: 0,
        catalogue: None,
        consistent: false,
        positions_wanted: false,
    };
    let sections = sections.into_iter().map(|section| (section, None)).collect();
    encode(&Draft { header, records, sections }).check().unwrap()
}

#[test]
fn a_section_brings_its_database_up_to_date() {
    let mut catalogue = Catalogue::default();
    let records = vec![Record::Announce(announcement(db(1), "mail")), Record::Base(base(db(1), 5))];
    catalogue.absorb(&table(3, records, vec![section(db(1), 5, 8)])).unwrap();
    let entry = &catalogue.databases[&db(1)];
    assert_eq!(entry.state, DatabaseState::Live);
    assert_eq!((entry.pages, entry.txid, entry.checksum), (9, Txid::new(8), Checksum::new(2)));
    assert_eq!((entry.class_hours, entry.changed), (24, Seq::new(3)));
    assert_eq!(entry.base, Some(base(db(1), 5)));
}

#[test]
fn changes_since_the_base_are_counted() {
    let mut catalogue = Catalogue::default();
    let announce = Record::Announce(announcement(db(1), "mail"));
    let mut changed = section(db(1), 5, 8);
    changed.page_count = 3;
    changed.side = base(db(1), 5).parts;
    catalogue.absorb(&table(3, vec![announce], vec![changed.clone()])).unwrap();
    catalogue.absorb(&table(4, vec![], vec![changed.clone()])).unwrap();
    let counts = |catalogue: &Catalogue| {
        let entry = &catalogue.databases[&db(1)];
        (entry.bytes_since_base, entry.objects_since_base)
    };
    assert_eq!(counts(&catalogue), (2 * 3 * 4096, 2));
    catalogue.absorb(&table(5, vec![Record::Base(base(db(1), 5))], vec![changed.clone()])).unwrap();
    assert_eq!(counts(&catalogue), (3 * 4096, 1));
    catalogue.databases.get_mut(&db(1)).unwrap().bytes_since_base = u64::MAX;
    catalogue.absorb(&table(6, vec![], vec![changed])).unwrap();
    assert_eq!(counts(&catalogue), (u64::MAX, 2));
}

#[test]
fn a_new_life_forgets_the_base_of_the_old_one() {
    let mut catalogue = Catalogue::default();
    let records = vec![Record::Announce(announcement(db(1), "mail")), Record::Base(base(db(1), 5))];
    catalogue.absorb(&table(3, records, vec![section(db(1), 5, 8)])).unwrap();
    catalogue.absorb(&table(4, vec![], vec![section(db(1), 6, 9)])).unwrap();
    assert_eq!(catalogue.databases[&db(1)].base, None);
}

#[test]
fn an_announcement_changes_what_it_says_and_nothing_else() {
    let mut catalogue = Catalogue::default();
    let first =
        table(1, vec![Record::Announce(announcement(db(1), "mail"))], vec![section(db(1), 5, 1)]);
    catalogue.absorb(&first).unwrap();
    let mut again = announcement(db(1), "mail");
    again.tier = "p2".into();
    again.state = DatabaseState::Missing;
    catalogue.absorb(&table(2, vec![Record::Announce(again)], vec![])).unwrap();
    let entry = &catalogue.databases[&db(1)];
    assert_eq!((&*entry.tier, entry.state), ("p2", DatabaseState::Missing));
    assert_eq!((entry.txid, entry.changed), (Txid::new(1), Seq::new(1)));
}

#[test]
fn retired_and_renamed_are_seen_by_name() {
    let mut catalogue = Catalogue::default();
    let announce = |id, text| Record::Announce(announcement(id, text));
    catalogue
        .absorb(&table(1, vec![announce(db(1), "mail"), announce(db(2), "old")], vec![]))
        .unwrap();
    let records =
        vec![Record::Retired { db: db(1) }, Record::Renamed { db: db(2), name: name("Mail") }];
    catalogue.absorb(&table(2, records, vec![])).unwrap();
    assert_eq!(catalogue.find(&name("mail")).unwrap().id, db(2));
    assert_eq!(catalogue.find(&name("old")), None);
    assert_eq!(catalogue.databases[&db(1)].state, DatabaseState::Retired);
}

#[test]
fn a_catalogue_replaces_everything() {
    let mut first = Catalogue::default();
    first.absorb(&table(1, vec![Record::Announce(announcement(db(1), "mail"))], vec![])).unwrap();
    let mut second = Catalogue::default();
    second.absorb(&table(1, vec![Record::Announce(announcement(db(2), "other"))], vec![])).unwrap();
    second.absorb(&table(2, vec![Record::Catalogue(first.clone())], vec![])).unwrap();
    assert_eq!(second, first);
}

#[test]
fn a_database_that_was_never_announced_is_damage() {
    let unknown = SegmentError::UnknownDatabase { db: db(7) };
    for (records, sections) in [
        (vec![], vec![section(db(7), 1, 1)]),
        (vec![Record::Retired { db: db(7) }], vec![]),
        (vec![Record::Renamed { db: db(7), name: name("x") }], vec![]),
        (vec![Record::Base(base(db(7), 1))], vec![]),
    ] {
        let known = announcement(db(1), "a");
        let records = [records, vec![Record::Announce(known.clone())]].concat();
        let sections = [sections, vec![section(db(1), 1, 5)]].concat();
        let mut catalogue = Catalogue::default();
        assert_eq!(catalogue.absorb(&table(1, records, sections)), Err(unknown.clone()));
        let mut others = Catalogue::default();
        let (records, sections) = (vec![Record::Announce(known)], vec![section(db(1), 1, 5)]);
        others.absorb(&table(1, records, sections)).unwrap();
        assert_eq!(catalogue, others, "the others are brought up to date");
    }
}

#[test]
fn json_has_a_list_of_databases_and_refuses_a_double() {
    let mut catalogue = Catalogue::default();
    catalogue
        .absorb(&table(1, vec![Record::Announce(announcement(db(1), "mail"))], vec![]))
        .unwrap();
    let json = serde_json::to_string(&catalogue).unwrap();
    let entry = concat!(
        r#"{"id":"0101010101010101","name":"mail","tier":"p1","class_hours":72,"state":"empty","#,
        r#""pages":0,"txid":0,"checksum":"0000000000000000","bytes_since_base":0,"objects_since_base":0}"#
    );
    assert_eq!(json, format!(r#"{{"tiers":{{}},"databases":[{entry}]}}"#));
    assert_eq!(serde_json::from_str::<Catalogue>(&json).unwrap(), catalogue);
    let double = format!(r#"{{"tiers":{{}},"databases":[{entry},{entry}]}}"#);
    assert!(
        serde_json::from_str::<Catalogue>(&double)
            .unwrap_err()
            .to_string()
            .contains("stands twice")
    );
}
