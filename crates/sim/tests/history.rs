//! Looking into the log's past, and whose store it is.

use fleet_log::{
    FleetFile, LogError, Position, catalogue_at, held, position_after, seq_at_time, table, tables,
};
use segment::{Catalogue, DatabaseState, DbId, FleetId, Millis, ObjectName, Record, Seq};
use sim::kit::{append, collect, data, identity, name, read_from, seq, start};
use std::sync::{Arc, Mutex};
use store::{Fault, Faulty, MemoryStore, Operation, Request, Store, StoreError};

type Shared = Arc<dyn Store>;

/// A fence, then databases whose announcements are called `db-2`, `db-3`, ...
fn log_of(last: u64) -> Shared {
    let shared: Shared = Arc::new(MemoryStore::default());
    let mut owner = start(&shared, &identity("anvil", 1)).unwrap();
    for number in 2..=last {
        append(&mut owner, &format!("db-{number}")).unwrap();
    }
    shared
}

fn stamp(store: &Shared, number: u64) -> Millis {
    table(&**store, seq(number)).unwrap().header.stamp
}

#[test]
fn a_time_names_the_last_object_that_is_not_later() {
    let shared = log_of(9);
    let at = |instant: Millis| seq_at_time(&*shared, instant).unwrap();
    for number in 1..=9 {
        let exact = stamp(&shared, number);
        assert_eq!(at(exact), Some(seq(number)));
        assert_eq!(at(exact.offset(-1)), Seq::new(number - 1), "a millisecond before {number}");
    }
    assert_eq!(at(Millis::new(u64::MAX)), Some(seq(9)));
    assert_eq!(at(Millis::new(0)), None);
}

#[test]
fn a_time_before_what_is_held_names_nothing() {
    let shared = log_of(9);
    let (early, late) = (stamp(&shared, 3), stamp(&shared, 7));
    collect(&*shared, 5);
    assert_eq!(seq_at_time(&*shared, early).unwrap(), None);
    assert_eq!(seq_at_time(&*shared, late).unwrap(), Some(seq(7)));
    let held = held(&*shared).unwrap().unwrap();
    assert_eq!((held.first, held.tail.next), (seq(5), seq(10)));
    assert_eq!(held.last.header.seq, Some(seq(9)));
}

#[test]
fn an_empty_store_holds_nothing() {
    let shared = MemoryStore::default();
    assert!(held(&shared).unwrap().is_none());
    assert_eq!(seq_at_time(&shared, Millis::new(u64::MAX)).unwrap(), None);
    assert!(matches!(catalogue_at(&shared, seq(1)), Err(LogError::Missing { .. })));
}

#[test]
fn the_catalogue_is_folded_from_the_tables() {
    let shared = log_of(5);
    for (number, expected) in [(2, "db-2"), (3, "db-3"), (5, "db-5")] {
        let snapshot = catalogue_at(&*shared, seq(number)).unwrap();
        let entry = &snapshot.catalogue.databases[&DbId::from_bytes([1; 8])];
        assert_eq!((entry.name.as_str(), entry.state), (expected, DatabaseState::Empty));
        assert_eq!(snapshot.position, position_after(&*shared, seq(number)).unwrap());
    }
    assert_eq!(catalogue_at(&*shared, seq(1)).unwrap().catalogue, Catalogue::default());
}

#[test]
fn the_catalogue_needs_nothing_before_the_one_that_is_named() {
    let shared: Shared = Arc::new(MemoryStore::default());
    let anvil = identity("anvil", 1);
    let mut owner = start(&shared, &anvil).unwrap();
    append(&mut owner, "db-2").unwrap();
    let catalogue = catalogue_at(&*shared, seq(2)).unwrap().catalogue;
    let with_catalogue = |slot: &fleet_log::Slot| {
        let plain = segment::Segment::decode(data(slot, &anvil, "db-3").bytes.into()).unwrap();
        let mut header = plain.table().header.clone();
        header.catalogue = Some(slot.seq);
        let mut records = vec![Record::Catalogue(catalogue.clone())];
        records.extend(plain.table().records.iter().cloned());
        segment::encode(&segment::Draft { header, records, sections: Vec::new() })
    };
    owner.append(with_catalogue).unwrap();
    append(&mut owner, "db-4").unwrap();
    collect(&*shared, 3);
    let entry_name = |number| {
        let catalogue = catalogue_at(&*shared, seq(number)).unwrap().catalogue;
        catalogue.databases[&DbId::from_bytes([1; 8])].name.clone()
    };
    assert_eq!(entry_name(3), name("db-3"));
    assert_eq!(entry_name(4), name("db-4"), "the writer's slot names the newest catalogue");
    assert!(
        matches!(catalogue_at(&*shared, seq(2)), Err(LogError::Behind { retired, .. }) if retired == seq(3))
    );
}

#[test]
fn what_is_retired_while_it_is_read_is_not_returned() {
    let shared = log_of(6);
    let meanwhile = Mutex::new(Some(Arc::clone(&shared)));
    let script = move |request: &Request<'_>| {
        if request.operation == Operation::GetRange
            && request.number == 3
            && let Some(shared) = meanwhile.lock().unwrap().take()
        {
            collect(&*shared, 5);
        }
        Fault::Pass
    };
    let store = Faulty::new(Arc::clone(&shared), script);
    let error = catalogue_at(&store, seq(4)).unwrap_err();
    assert!(matches!(error, LogError::Behind { retired, .. } if retired == seq(5)), "{error}");
}

#[test]
fn a_run_of_tables_is_one_chain() {
    let shared = log_of(6);
    let run: Vec<_> = tables(&*shared, seq(2), seq(5)).collect::<Result<_, _>>().unwrap();
    assert_eq!(run.len(), 4);
    // The fifth object of another log of the same fleet fits its number, and nothing else.
    let other = log_of(6);
    let path = ObjectName::log(seq(5));
    let foreign = other.get(&path).unwrap().value.unwrap().body;
    shared.put(&path, &foreign).unwrap();
    let run: Result<Vec<_>, _> = tables(&*shared, seq(2), seq(6)).collect();
    assert!(matches!(run, Err(LogError::Corrupt { seq: at, .. }) if at == seq(5)));
    // And under another number it is not even read.
    let error =
        shared.put(&ObjectName::log(seq(4)), &foreign).map(|_| table(&*shared, seq(4))).unwrap();
    assert!(matches!(error, Err(LogError::Corrupt { seq: at, .. }) if at == seq(4)));
}

fn fresh(fleet: &str, id: u8) -> FleetFile {
    FleetFile::new(name(fleet), FleetId::from_bytes([id; 16]), Millis::new(5))
}

#[test]
fn the_first_fleet_file_counts() {
    let shared = MemoryStore::default();
    assert_eq!(FleetFile::read(&shared).unwrap(), None);
    let first = FleetFile::read_or_create(&shared, fresh("anvil", 1)).unwrap();
    let second = FleetFile::read_or_create(&shared, fresh("ANVIL", 2)).unwrap();
    assert_eq!(first, second, "names are the same when case is ignored, and the id is the store's");
    assert_eq!(FleetFile::of_fleet(&shared, &name("anvil")).unwrap(), Some(first));
}

#[test]
fn another_fleets_store_is_refused_before_anything_is_written() {
    let shared = MemoryStore::default();
    FleetFile::read_or_create(&shared, fresh("anvil", 1)).unwrap();
    let error = FleetFile::read_or_create(&shared, fresh("other", 2)).unwrap_err();
    assert!(
        matches!(&error, LogError::WrongFleet { found, .. } if *found == name("anvil")),
        "{error}"
    );
    assert_eq!(error.exit_code(), 2);
    assert_eq!(shared.list("", None, 10).unwrap().value.entries.len(), 1);
}

#[test]
fn a_log_without_a_fleet_file_is_refused() {
    let shared = log_of(2);
    for refused in [
        FleetFile::read(&*shared).map(|_| ()),
        FleetFile::read_or_create(&*shared, fresh("anvil", 1)).map(|_| ()),
    ] {
        let error = refused.unwrap_err();
        assert!(matches!(error, LogError::NotALog { .. }), "{error}");
        assert_eq!(error.exit_code(), 4);
    }
}

#[test]
fn a_damaged_or_newer_fleet_file_is_refused() {
    let shared = MemoryStore::default();
    for text in ["", "{}", r#"{"name":"../x","id":"01","format":1,"created":0}"#] {
        shared.put(&ObjectName::fleet_json(), text.as_bytes()).unwrap();
        assert!(matches!(FleetFile::read(&shared), Err(LogError::NotALog { .. })), "{text:?}");
    }
    let newer = FleetFile { format: segment::FORMAT_VERSION + 1, ..fresh("anvil", 1) };
    let text = serde_json::to_vec(&newer).unwrap();
    shared.put(&ObjectName::fleet_json(), &text).unwrap();
    let error = FleetFile::read(&shared).unwrap_err().to_string();
    assert!(error.contains("upgrade"), "{error}");
}

#[test]
fn a_lost_answer_for_the_fleet_file_is_read_back() {
    let memory: Shared = Arc::new(MemoryStore::default());
    let script = |request: &Request<'_>| match request.operation {
        Operation::PutIfAbsent => Fault::LoseAnswer,
        _ => Fault::Pass,
    };
    let store = Faulty::new(Arc::clone(&memory), script);
    assert_eq!(FleetFile::read_or_create(&store, fresh("anvil", 1)).unwrap(), fresh("anvil", 1));

    let memory: Shared = Arc::new(MemoryStore::default());
    let late = Faulty::new(Arc::clone(&memory), |request: &Request<'_>| match request.operation {
        Operation::PutIfAbsent => Fault::Late,
        _ => Fault::Pass,
    });
    let error = FleetFile::read_or_create(&late, fresh("anvil", 1)).unwrap_err();
    assert!(matches!(error, LogError::Store(StoreError::Ambiguous { .. })), "{error}");
}

#[test]
fn objects_of_another_fleet_are_not_followed() {
    let shared = log_of(2);
    let stranger = FleetId::from_bytes([7; 16]);
    let mut reader =
        fleet_log::Reader::new(Arc::clone(&shared), Position::START).of_fleet(stranger);
    assert!(matches!(reader.step(), Err(LogError::Corrupt { .. })));
    assert_eq!(read_from(&shared, Position::START).unwrap().len(), 2);
}

/// One read of the boundary serves a batch, and a batch ends where it was asked to.
#[test]
fn a_batch_is_one_read_of_the_boundary() {
    let counted = Arc::new(store::Counted::new(log_of(10)));
    let store: Shared = counted.clone();
    let mut reader = fleet_log::Reader::new(store, Position::START);
    let mut read = |objects_max, bytes_max| {
        let before = counted.counts().read;
        let batch = reader.batch(objects_max, bytes_max).unwrap();
        let fleet_log::Batch::Accepted { segments, end, .. } = batch else {
            panic!("nothing is retired")
        };
        (segments.len(), end, counted.counts().read - before)
    };
    assert_eq!(read(4, u64::MAX), (4, fleet_log::End::More, 4 + 1));
    assert_eq!(read(4, 1), (1, fleet_log::End::More, 1 + 1), "one object is always read");
    assert_eq!(read(100, u64::MAX), (5, fleet_log::End::Tail, 5 + 1 + 1));
    assert_eq!(read(100, u64::MAX), (0, fleet_log::End::Tail, 1 + 1));
}
