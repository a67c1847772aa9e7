use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use console::config::{self, WalshipConfig};
use parking_lot::MutexGuard;
use segment::{Incarnation, Name, Table};
use store::clock::ManualClock;
use store::{MemoryStore, Store};
use tempfile::TempDir;

use super::*;
use crate::database::Database;
use crate::database::tests::{make_base, spec};
use crate::handover::Action;
use crate::member::Member;

const TODAY: Millis = Millis::new(1_700_000_000_000);

struct Shop {
    store: Arc<dyn Store>,
    clock: Arc<ManualClock>,
    fleet: Arc<Fleet>,
    flusher: Flusher,
}

impl Shop {
    fn new() -> Self {
        let text =
            "fleet = \"f\"\nstate_dir = \"state\"\n[store]\nkind = \"local\"\npath = \"store\"\n";
        let config: WalshipConfig =
            config::parse(Path::new("w"), Path::new("/"), text).expect("a configuration");
        let clock = Arc::new(ManualClock::new(TODAY));
        let store: Arc<dyn Store> =
            Arc::new(MemoryStore::new(Arc::clone(&clock) as Arc<dyn Clock>));
        let node = Name::parse("n").expect("a name");
        let owned = Owned::take(&config, Arc::clone(&store), node, &*clock).expect("the log");
        let fleet = Arc::new(Fleet::new(Arc::clone(&clock) as Arc<dyn Clock>));
        let own_clock = Arc::clone(&clock) as Arc<dyn Clock>;
        let flusher = Flusher::new(Arc::clone(&fleet), owned, own_clock, Arc::default());
        Self { store, clock, fleet, flusher }
    }

    fn add(&self, path: &Path) {
        let incarnation = || Incarnation::from_bytes([2; 16]);
        let mut database = Database::new(spec(path), None, None, incarnation, Instant::now());
        database.work(Action::Wait, &|| self.fleet.now());
        self.fleet.add(database);
    }

    /// Ships a heartbeat and returns its header and records.
    fn heartbeat(&mut self) -> Table {
        let Flushed::Durable(seq) = self.flusher.flush(true).expect("shipped") else {
            panic!("a heartbeat ships something");
        };
        fleet_log::table(&*self.store, seq).expect("a log object")
    }
}

/// A database that nobody waits for: its folder, its path, the application's connection.
fn application() -> (TempDir, PathBuf, rusqlite::Connection) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("a.db");
    let application = rusqlite::Connection::open(&path).expect("opened");
    let schema = "PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF; CREATE TABLE t(x); INSERT INTO t VALUES (0)";
    application.execute_batch(schema).expect("written");
    (folder, path, application)
}

fn work_on(member: &Member) -> MutexGuard<'_, Database> {
    member.try_database(Duration::from_secs(1)).expect("the database")
}

/// Whoever heals or restores reads the log from the newest catalogue on, and never all of it.
#[test]
fn no_log_object_is_far_from_a_catalogue() {
    let (_folder, path, application) = application();
    let mut shop = Shop::new();
    let first = shop.heartbeat();
    assert!(first.has_catalogue(), "the first one has it");
    shop.add(&path);
    let member = shop.fleet.members().remove(0);
    member.with(make_base);
    let mut newest = first.header.seq.expect("a number");
    let mut further = 0;
    for _ in 0..2 * CATALOGUE_EVERY + 10 {
        application.execute("UPDATE t SET x = x + 1", []).expect("written");
        assert!(work_on(&member).capture(&|| (Instant::now(), TODAY)));
        let table = shop.heartbeat();
        assert!(!table.sections.is_empty(), "no heartbeat");
        let seq = table.header.seq.expect("a number");
        if table.has_catalogue() {
            (newest, further) = (seq, further + 1);
        }
        assert!(seq.get() - newest.get() < CATALOGUE_EVERY, "{seq} is far from {newest}");
        assert_eq!(table.header.catalogue, Some(newest));
    }
    assert_eq!(further, 2, "and not more of them than that");
}

/// Where nothing changes, a standby that could not read an object learns all the same what that led to.
#[test]
fn heartbeats_bring_a_catalogue_after_every_object_that_may_be_lost() {
    let mut shop = Shop::new();
    assert!(shop.heartbeat().has_catalogue(), "the first one has it");
    assert!(!shop.heartbeat().has_catalogue(), "the object before it has one");
    for _ in 0..3 {
        assert!(shop.heartbeat().has_catalogue());
        assert!(!shop.heartbeat().has_catalogue());
    }
}

/// A point in time names one state only if the stamps never go back.
#[test]
fn stamps_never_go_back_though_the_clock_does() {
    let mut shop = Shop::new();
    let mut before = shop.heartbeat().header.stamp;
    assert!(shop.flusher.told_of_stamps.is_none());
    for minutes in [10, 60, 120] {
        shop.clock.set(TODAY.offset(-minutes * 60_000));
        let stamp = shop.heartbeat().header.stamp;
        assert!(stamp >= before, "{stamp:?} after {before:?}");
        before = stamp;
    }
    assert!(shop.flusher.told_of_stamps.is_some(), "and that is told");
    shop.clock.set(TODAY.offset(60_000));
    assert_eq!(shop.heartbeat().header.stamp, TODAY.offset(60_000));
}

#[test]
fn a_cut_is_called_consistent_only_when_every_database_was_looked_at() {
    let (_folder, path, _application) = application();
    let mut shop = Shop::new();
    assert!(shop.heartbeat().header.consistent, "nothing can be apart");
    shop.add(&path);
    assert!(!shop.heartbeat().header.consistent, "its first base is not there");
    let member = shop.fleet.members().remove(0);
    member.with(make_base);
    shop.heartbeat();
    assert!(shop.heartbeat().header.consistent, "it stands still");
    let busy = work_on(&member);
    assert!(!shop.heartbeat().header.consistent, "somebody works on it");
    drop(busy);
}

/// A writer that never pauses keeps a database in the hands of whoever captures it: the flush gets its share all the same.
#[test]
fn a_database_that_is_always_being_worked_on_is_shipped_by_the_flush_after_next() {
    let (_folder, path, application) = application();
    let mut shop = Shop::new();
    shop.add(&path);
    let member = shop.fleet.members().remove(0);
    member.with(make_base);
    shop.heartbeat();
    application.execute("INSERT INTO t VALUES (1)", []).expect("written");
    let mut busy = work_on(&member);
    assert!(busy.capture(&|| (Instant::now(), TODAY)));
    assert!(shop.heartbeat().sections.is_empty(), "passed over");
    drop(busy);
    member.with(|_| {});
    let busy = work_on(&member);
    assert_eq!(shop.fleet.dirty().len(), 1, "it counts as waiting");
    assert_eq!(shop.heartbeat().sections.len(), 1, "passed over again");
    drop(busy);
    assert!(shop.heartbeat().sections.is_empty(), "shipped twice");
}

/// What the next log object says of databases.
fn announced(shop: &mut Shop) -> Vec<DatabaseState> {
    let records = shop.heartbeat().records.into_iter();
    let states = records.filter_map(|record| match record {
        Record::Announce(announcement) => Some(announcement.state),
        _ => None,
    });
    states.collect()
}

/// A database whose file is overwritten now and then; seconds count from when it was made.
struct Scribbled {
    shop: Shop,
    member: Arc<Member>,
    _folder: TempDir,
    path: PathBuf,
    content: Vec<u8>,
    start: Instant,
}

impl Scribbled {
    fn new() -> Self {
        let (folder, path, application) = application();
        drop(application);
        let content = fs::read(&path).expect("the database");
        let mut shop = Shop::new();
        shop.add(&path);
        let member = shop.fleet.members().remove(0);
        member.with(make_base);
        assert_eq!(announced(&mut shop), [DatabaseState::Live]);
        Self { shop, member, _folder: folder, path, content, start: Instant::now() }
    }

    fn at(&self, second: u64) -> Instant {
        self.start + Duration::from_secs(second)
    }

    /// Two rounds of routine work: one finds out that the file was written, the other attaches anew.
    fn write(&self, content: &[u8], second: u64) {
        fs::write(&self.path, content).expect("written");
        for later in [0, 1] {
            let now = (self.at(second + later), TODAY);
            self.member.with(|database| database.work(Action::Wait, &|| now));
        }
    }

    fn scribble(&self, second: u64) {
        self.write(&vec![b'?'; self.content.len()], second);
        assert!(self.member.is_unread(), "{:?}", self.member.report().condition);
    }

    fn restore(&self, second: u64) {
        self.write(&self.content, second);
        assert_eq!(self.member.report().condition, Condition::Live);
    }

    /// What the log says after it was looked at this second.
    fn told(&mut self, second: u64) -> Vec<DatabaseState> {
        self.shop.flusher.look_for_unread(self.at(second));
        let is_news = self.shop.flusher.has_news();
        let told = announced(&mut self.shop);
        assert_eq!(is_news, !told.is_empty(), "{told:?}");
        told
    }
}

#[test]
fn a_database_is_called_unread_after_ten_seconds_and_live_at_once() {
    let mut scribbled = Scribbled::new();
    for outage in [100, 200] {
        scribbled.scribble(outage);
        assert_eq!(scribbled.told(outage), []);
        assert_eq!(scribbled.told(outage + 8), []);
        assert_eq!(scribbled.told(outage + 10), [DatabaseState::Unread]);
        assert_eq!(scribbled.told(outage + 20), [], "once");
        scribbled.restore(outage + 20);
        assert_eq!(scribbled.told(outage + 20), [DatabaseState::Live]);
        assert_eq!(scribbled.told(outage + 22), []);
    }
}

#[test]
fn outages_that_pass_in_time_are_not_added_up_and_not_told() {
    let mut scribbled = Scribbled::new();
    for outage in [100, 130, 160] {
        scribbled.scribble(outage);
        assert_eq!(scribbled.told(outage), []);
        assert_eq!(scribbled.told(outage + 8), []);
        scribbled.restore(outage + 16);
        assert_eq!(scribbled.told(outage + 16), []);
    }
}

/// Nothing of it is on any standby: there is nothing that could be taken for the newest.
#[test]
fn a_database_that_was_never_captured_is_not_called_unread() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("a.db");
    fs::write(&path, [b'?'; 4096]).expect("written");
    let mut shop = Shop::new();
    shop.add(&path);
    let member = shop.fleet.members().remove(0);
    assert!(member.is_unread(), "{:?}", member.report().condition);
    let start = Instant::now();
    for second in [0, 10, 20] {
        shop.flusher.look_for_unread(start + Duration::from_secs(second));
        assert_eq!(announced(&mut shop), [], "after {second} s");
    }
}
