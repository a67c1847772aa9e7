use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use segment::{
    BaseRecord, Checksum, Epoch, FleetId, PageHashes, Segment, Seq, WriterId, page_hash,
};
use store::{LocalStore, Store as _};

use super::*;
use crate::base::{Author, Spooled, Subject};
use crate::bases::Numbers;

fn now() -> Now {
    (Instant::now(), Millis::new(1))
}

/// What a configuration could say of the database at `path`.
pub(crate) fn spec(path: &Path) -> Spec {
    Spec {
        id: DbId::from_bytes([1; 8]),
        name: Name::parse("a").unwrap(),
        path: path.to_owned(),
        tier: "p1".into(),
        class_hours: 72,
        sync_interval: Duration::from_secs(1),
        rpo_bound: Duration::from_secs(45),
        force_above: None,
        no_room: None,
    }
}

fn attached(path: &Path) -> Database {
    let incarnation = || Incarnation::from_bytes([2; 16]);
    let mut database = Database::new(spec(path), None, None, incarnation, Instant::now());
    database.work(Action::Wait, &now);
    assert_eq!(database.condition(), &Condition::Live);
    database
}

/// Makes a base of the state that is captured now, without a store.
pub(crate) fn make_base(database: &mut Database) {
    let pinned = database.pin(&now).unwrap();
    let incarnation = database.incarnation().unwrap();
    let hashes = pinned.hashes();
    database.finish_base(Some(BaseRecord {
        db: database.spec().id,
        incarnation,
        at: None,
        checksum: hashes.checksum(),
        page_size: hashes.page_size(),
        pages: hashes.page_count(),
        bytes: 0,
        parts: Vec::new(),
    }));
}

/// A change as a log object holds it, and its receipt.
struct Sent {
    ack: Acknowledged,
    base: Option<PageHashes>,
    checksum: Checksum,
}

fn send(database: &mut Database, seq: Seq) -> Sent {
    let Outgoing { change, base } = database.take_outgoing(now().1).unwrap();
    let ack = Acknowledged {
        seq,
        incarnation: change.incarnation,
        hashes: change.pages.iter().map(|(pgno, page)| (*pgno, page_hash(*pgno, page))).collect(),
        pages_after: change.pages_after,
        txid: change.txids.1,
        bytes: change.bytes(),
    };
    Sent { ack, base: base.map(|(_, hashes)| hashes), checksum: change.checksums.1 }
}

fn receive(database: &mut Database, sent: Sent) {
    database.acknowledge(&sent.ack, sent.base);
}

/// A database whose first base stands, in the log object that is returned.
fn shipped(path: &Path) -> (Database, Sent) {
    let mut database = attached(path);
    make_base(&mut database);
    let first = send(&mut database, Seq::FIRST);
    (database, first)
}

fn application(path: &Path) -> rusqlite::Connection {
    let connection = rusqlite::Connection::open(path).unwrap();
    connection
        .execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t(x); INSERT INTO t VALUES (0);")
        .unwrap();
    connection
}

/// A value that is set and set back leaves the very same pages, at a later commit.
#[test]
fn a_base_stands_at_its_commit_and_not_where_the_same_pages_were_before() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let application = application(&path);
    let (mut database, first) = shipped(&path);
    let (second, third) = (Seq::FIRST.next(), Seq::FIRST.next().next());
    let before = first.checksum;
    receive(&mut database, first);

    application.execute("UPDATE t SET x = 1", []).unwrap();
    database.capture(&now);
    let there = send(&mut database, second);
    application.execute("UPDATE t SET x = 0", []).unwrap();
    make_base(&mut database);
    assert!(!database.has_base_record(), "its commit is not in the log");
    let back = send(&mut database, third);
    assert_eq!(back.checksum, before, "the pages are as they were");
    receive(&mut database, there);
    assert!(!database.has_base_record(), "its commit is not in the log");
    receive(&mut database, back);
    assert_eq!(database.take_base_record().unwrap().at, Some(third));
}

#[test]
fn a_base_that_is_asked_for_is_wanted_until_one_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let _application = application(&path);
    let (mut database, first) = shipped(&path);
    receive(&mut database, first);
    assert!(!database.wants_base());

    database.ask_for_base();
    assert!(database.wants_base());
    drop(database.pin(&now));
    assert!(!database.wants_base(), "one is on its way");
    database.finish_base(None);
    assert!(database.wants_base(), "it did not arrive");
    make_base(&mut database);
    assert_eq!(database.take_base_record().unwrap().at, Some(Seq::FIRST), "nothing changed");
    assert!(!database.wants_base());
}

/// A base of a large database takes minutes: whoever ends the program waits for one part of it, and the database for a
/// local copy.
#[test]
fn a_base_in_the_making_ends_when_told_to_and_is_of_the_state_that_was_copied() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let application = application(&path);
    application.execute("INSERT INTO t VALUES (zeroblob(40000000))", []).unwrap();
    let mut database = attached(&path);
    let pinned = database.pin(&now).unwrap();
    let (incarnation, txid) = (database.incarnation().unwrap(), pinned.txid());
    let (db, name) = (database.spec().id, database.spec().name.clone());
    let subject = Subject { db, name: name.clone(), incarnation, class_hours: 72, txid };
    let author = Author {
        fleet: FleetId::from_bytes([3; 16]),
        node: name,
        writer: WriterId::from_bytes([4; 16]),
        epoch: Epoch::FIRST,
    };
    let (spool, store) = (folder.path().join("spool"), folder.path().join("store"));
    std::fs::create_dir(&spool).unwrap();
    let copy =
        |stop| Spooled::copy(&pinned, subject.clone(), &author, &spool, &AtomicBool::new(stop));
    let numbers = Numbers::default();
    let store = LocalStore::open(&store, true).unwrap();
    let is_empty = |path: &Path| std::fs::read_dir(path).unwrap().next().is_none();

    assert!(matches!(copy(true), Err(CaptureError::Ending)));
    assert!(is_empty(&spool), "litter in the spool");
    let mut spooled = copy(false).unwrap();
    let mut upload = |stop| spooled.upload(&store, || numbers.next(), &AtomicBool::new(stop));
    let told = upload(true);
    assert!(matches!(told, Err(CaptureError::Ending)));
    assert!(store.list("snap/", None, 10).unwrap().value.entries.is_empty());
    // What is uploaded is the copy, whatever became of the database.
    drop(pinned);
    application.execute_batch("DELETE FROM t; INSERT INTO t VALUES (1); VACUUM").unwrap();
    application.execute_batch("PRAGMA wal_checkpoint").unwrap();
    let record = upload(false).unwrap();
    assert_eq!(record.parts.len(), 3);
    let mut hashes = PageHashes::new(record.page_size);
    hashes.resize(record.pages);
    for part in &record.parts {
        let segment = Segment::decode(store.get(&part.name).unwrap().value.unwrap().body).unwrap();
        let (mut pages, mut page) = (segment.pages(0).unwrap(), Vec::new());
        while let Some((pgno, content)) = pages.next_into(&mut page).unwrap() {
            hashes.set(pgno, page_hash(pgno, content));
        }
    }
    assert_eq!(hashes.checksum(), record.checksum);
}

/// The file is replaced while a commit is captured and not sealed: it leaves before anything of the new life.
#[test]
fn what_was_captured_is_shipped_although_the_file_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let before = application(&path);
    let (mut database, first) = shipped(&path);
    receive(&mut database, first);
    before.execute("INSERT INTO t VALUES (1)", []).unwrap();
    assert!(database.capture(&now));
    drop(before);
    for suffix in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(identity::sibling(&path, suffix));
    }
    let other = folder.path().join("b.db");
    drop(application(&other));
    std::fs::rename(&other, &path).unwrap();
    let looked = Instant::now() + Duration::from_secs(10);
    database.work(Action::Wait, &|| (looked, Millis::new(2)));
    assert!(database.attached().is_none(), "the other file is not noticed");
    let kept = database.take_outgoing(Millis::new(3)).expect("the captured commit");
    assert!(!kept.change.is_first && !kept.change.pages.is_empty());
    assert!(database.take_outgoing(Millis::new(3)).is_none());
}

/// Some tests and tools empty a database so. In a rollback journal mode nothing but the file itself tells of it.
#[test]
fn a_database_emptied_in_place_is_empty_at_the_next_glance() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let application = rusqlite::Connection::open(&path).unwrap();
    application.execute_batch("CREATE TABLE t(x)").unwrap();
    let (mut database, first) = shipped(&path);
    receive(&mut database, first);
    drop(application);
    std::fs::File::create(&path).unwrap();
    let (action, _) = database.glance(now());
    assert_eq!(action, Some(Action::HandOver));
    database.work(Action::HandOver, &now);
    let (action, _) = database.glance(now());
    database.work(action.unwrap(), &now);
    assert_eq!(database.condition(), &Condition::Empty);
    assert!(database.take_outgoing(now().1).is_none(), "nothing is shipped for that");
}

/// SQLite lets a database grow over pages that nothing was written to: they get no frame, and count all the same.
#[test]
fn pages_that_a_database_grows_by_without_frames_are_captured() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let application = application(&path);
    let (mut database, first) = shipped(&path);
    receive(&mut database, first);
    let last = database.size().unwrap().0 + 5;
    let page: Vec<u8> = application
        .query_row("SELECT data FROM sqlite_dbpage WHERE pgno = 2", [], |row| row.get(0))
        .unwrap();
    let write = "INSERT INTO sqlite_dbpage(pgno, data) VALUES (?1, ?2)";
    application.execute(write, rusqlite::params![last, page]).unwrap();
    assert!(database.capture(&now));
    let Outgoing { change, .. } = database.take_outgoing(now().1).unwrap();
    assert_eq!(change.pages_after, last);
    let pages: Vec<u32> = change.pages.keys().map(|pgno| pgno.get()).collect();
    assert!(pages.ends_with(&[last - 4, last - 3, last - 2, last - 1, last]), "{pages:?}");
}

/// After a log was fully moved, the place where nothing can be missed is taken and then confirmed once.
#[test]
fn a_parked_position_is_confirmed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let application = application(&path);
    let (mut database, first) = shipped(&path);
    receive(&mut database, first);
    application.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())).unwrap();
    let began = Instant::now();
    let mut handed_over = 0;
    for step in 0..200 {
        let at = (began + Duration::from_millis(step), Millis::new(step));
        if let (Some(Action::HandOver), _) = database.glance(at) {
            handed_over += 1;
            database.work(Action::HandOver, &|| at);
        }
    }
    assert_eq!(handed_over, 2, "once to take it, once to confirm it");
}

#[test]
fn a_base_is_due_when_the_changes_outgrow_the_database() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let _application = application(&path);
    let (mut database, first) = shipped(&path);
    let ack = first.ack.clone();
    receive(&mut database, first);
    let mut acknowledge = |seq: u64, bytes| {
        let (seq, hashes) = (Seq::new(seq).unwrap(), Vec::new());
        database.acknowledge(&Acknowledged { seq, hashes, bytes, ..ack.clone() }, None);
        database.wants_base()
    };
    assert!(!acknowledge(2, 15 << 20));
    assert!(acknowledge(3, 2 << 20), "16 MiB");
    make_base(&mut database);
    assert!(database.take_base_record().is_some());
    let mut acknowledge = |seq: u64| {
        let (seq, hashes) = (Seq::new(seq).unwrap(), Vec::new());
        database.acknowledge(&Acknowledged { seq, hashes, bytes: 1, ..ack.clone() }, None);
        database.wants_base()
    };
    assert!((4..2_000).all(|seq| !acknowledge(seq)));
    assert!((2_000..2_010).any(acknowledge), "2,000 log objects");
}

/// While a state is pinned the next commits are captured: the base stands where the pages are, not where capture is.
#[test]
fn a_base_that_is_pinned_while_commits_go_on_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let application = application(&path);
    let (mut database, first) = shipped(&path);
    receive(&mut database, first);
    database.ask_for_base();
    let (pinned, state) = {
        let State::Attached(attached) = &mut database.state else { panic!("attached") };
        let state = (attached.txid(), attached.hashes().checksum());
        application.execute("INSERT INTO t VALUES (1)", []).unwrap();
        (attached.pin(now()).unwrap(), state)
    };
    assert_eq!((pinned.txid(), pinned.checksum()), state);
    assert!(database.captured() > Some(state.0), "the commit is captured on the way");
}
