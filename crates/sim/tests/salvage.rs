//! A log with lost objects: what it still tells, and of which databases it does not.

use std::sync::Arc;

use fleet_log::{LogError, Slot, Writer, catalogue_at, salvage_at};
use segment::{
    Announcement, BaseRecord, Checksum, DatabaseState, DbId, Draft, Incarnation, Millis,
    ObjectName, PageSize, Record, SectionEntry, Segment, Seq, Txid,
};
use sim::kit::{data, identity, name, start};
use store::{MemoryStore, Store};

const A: u8 = 1;
const B: u8 = 2;

/// A log whose objects are fences, announcements, changes and bases of two databases, and catalogues.
struct Log {
    store: Arc<dyn Store>,
    owner: Writer,
    changed: [Option<Seq>; 2],
}

impl Log {
    fn new() -> Self {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
        let owner = start(&store, &identity("anvil", 1)).unwrap();
        Self { store, owner, changed: [None; 2] }
    }

    fn append(
        &mut self,
        catalogue: bool,
        records: Vec<Record>,
        sections: Vec<SectionEntry>,
    ) -> Seq {
        let anvil = self.owner.identity().clone();
        let sealed = |slot: &Slot| {
            let plain = Segment::decode(data(slot, &anvil, "plain").bytes.into()).unwrap();
            let mut header = plain.table().header.clone();
            header.catalogue = if catalogue { Some(slot.seq) } else { slot.catalogue };
            let sections = sections.into_iter().map(|section| (section, None)).collect();
            segment::encode(&Draft { header, records, sections })
        };
        self.owner.append(sealed).unwrap().seq
    }

    fn announce(&mut self, db: u8) -> Seq {
        let announcement = Announcement {
            id: DbId::from_bytes([db; 8]),
            name: name(&format!("db-{db}")),
            tier: "p1".into(),
            class_hours: 72,
            state: DatabaseState::Live,
        };
        self.append(false, vec![Record::Announce(announcement)], Vec::new())
    }

    fn change(&mut self, db: u8) -> Seq {
        let before = &mut self.changed[usize::from(db) - 1];
        let section = section(db, *before);
        let at = self.append(false, Vec::new(), vec![section]);
        self.changed[usize::from(db) - 1] = Some(at);
        at
    }

    fn base(&mut self, db: u8) -> Seq {
        let base = BaseRecord {
            db: DbId::from_bytes([db; 8]),
            incarnation: Incarnation::from_bytes([db; 16]),
            at: self.changed[usize::from(db) - 1],
            checksum: Checksum::EMPTY,
            page_size: PageSize::new(4096).unwrap(),
            pages: 1,
            bytes: 0,
            parts: Vec::new(),
        };
        self.append(false, vec![Record::Base(base)], Vec::new())
    }

    fn catalogue(&mut self) -> Seq {
        let before = self.owner.position().last().unwrap();
        let catalogue = catalogue_at(&*self.store, before).unwrap().catalogue;
        self.append(true, vec![Record::Catalogue(catalogue)], Vec::new())
    }

    fn lose(&self, at: Seq) {
        self.store.delete(&ObjectName::log(at)).unwrap();
    }

    /// What is in doubt at the end, and what is lost.
    fn doubts(&self) -> (Vec<u8>, Vec<Seq>) {
        let salvage = salvage_at(&*self.store, self.owner.position().last().unwrap()).unwrap();
        let lost = salvage.lost.iter().map(|error| match error {
            LogError::Missing { seq } | LogError::Corrupt { seq, .. } => *seq,
            other => panic!("{other}"),
        });
        let in_doubt = salvage.in_doubt.iter().map(|db| db.as_bytes()[0]).collect();
        (in_doubt, lost.collect())
    }
}

fn section(db: u8, before: Option<Seq>) -> SectionEntry {
    SectionEntry {
        db: DbId::from_bytes([db; 8]),
        incarnation: Incarnation::from_bytes([db; 16]),
        class_hours: 72,
        page_size: PageSize::new(4096).unwrap(),
        pages_after: 1,
        page_count: 0,
        first_txid: Txid::NONE.next(),
        last_txid: Txid::NONE.next(),
        pre: Checksum::EMPTY,
        post: Checksum::EMPTY,
        oldest_commit: Millis::new(1),
        previous_seq: before,
        is_diff: false,
        new_incarnation: before.is_none(),
        body: None,
        side: Vec::new(),
    }
}

/// Announced, each with a base and one change behind it.
fn two_databases() -> Log {
    let mut log = Log::new();
    for db in [A, B] {
        log.announce(db);
        log.change(db);
        log.base(db);
    }
    log
}

#[test]
fn without_damage_it_is_the_catalogue_and_nothing_is_in_doubt() {
    let mut log = two_databases();
    log.change(A);
    let end = log.owner.position().last().unwrap();
    let salvage = salvage_at(&*log.store, end).unwrap();
    assert_eq!(salvage.catalogue, catalogue_at(&*log.store, end).unwrap().catalogue);
    assert_eq!(log.doubts(), (vec![], vec![]));
}

#[test]
fn who_changed_later_and_names_what_is_there_is_not_in_doubt() {
    let mut log = two_databases();
    let lost = log.change(A);
    log.change(B);
    log.lose(lost);
    assert_eq!(log.doubts(), (vec![A], vec![lost]));
}

/// The state is told by the later section, but there is no way to it.
#[test]
fn who_needs_what_is_lost_is_in_doubt_until_there_is_a_base_behind_it() {
    let mut log = two_databases();
    let lost = log.change(A);
    log.change(B);
    log.change(A);
    log.lose(lost);
    assert_eq!(log.doubts(), (vec![A], vec![lost]));
    log.base(A);
    assert_eq!(log.doubts(), (vec![], vec![lost]));
}

#[test]
fn a_catalogue_behind_the_damage_ends_the_search() {
    let mut log = two_databases();
    let lost = log.change(A);
    log.catalogue();
    log.change(B);
    log.lose(lost);
    assert_eq!(log.doubts(), (vec![], vec![]), "what is before the catalogue is not looked at");
}

#[test]
fn a_lost_catalogue_is_replaced_by_the_one_before() {
    let mut log = two_databases();
    log.catalogue();
    log.change(A);
    let lost = log.catalogue();
    log.change(A);
    log.change(B);
    log.lose(lost);
    assert_eq!(log.doubts(), (vec![], vec![lost]));
}

/// An object of another log of the same fleet fits its number, and nothing else.
#[test]
fn an_object_that_the_next_one_does_not_follow_is_lost() {
    let mut log = two_databases();
    let wrong = log.change(A);
    log.change(B);
    let mut other = two_databases();
    assert_eq!(other.change(B), wrong);
    let foreign = other.store.get(&ObjectName::log(wrong)).unwrap().value.unwrap().body;
    log.store.put(&ObjectName::log(wrong), &foreign).unwrap();
    assert_eq!(log.doubts(), (vec![A], vec![wrong]));
}

#[test]
fn the_end_itself_must_be_there() {
    let log = two_databases();
    let end = log.owner.position().last().unwrap();
    log.lose(end);
    assert!(matches!(salvage_at(&*log.store, end), Err(LogError::Missing { seq }) if seq == end));
}
