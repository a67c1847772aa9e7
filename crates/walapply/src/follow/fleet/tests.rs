//! What is a reason to go round, with a real worker and a real database, and a clock of the test's.

use std::sync::atomic::AtomicBool;

use fleet_log::{Batch, Reader, Tail, catalogue_at, find_tail};
use segment::Millis;
use tempfile::TempDir;

use super::*;
use crate::budget::Budget;
use crate::follow::clocks::testing::ManualClocks;
use crate::follow::jobs::Tools;
use crate::follow::reading::Event;
use crate::image::testing::{Shop, name};
use crate::patient::Patient;

mod names;

const START: Millis = Millis::new(1_795_599_000_000);
/// After this long without news a look is due.
const LONG: Duration = Duration::from_secs(25);

/// A follower of a shop of one database.
struct World {
    shop: Shop,
    clocks: ManualClocks,
    pool: Pool,
    fleet: Fleet,
    folder: TempDir,
}

impl World {
    /// A log with one database, and a folder with nothing in it.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("state/replicas")).unwrap();
        std::fs::create_dir(folder.path().join("databases")).unwrap();
        let mut shop = Shop::open();
        shop.create("ledger", "p0", 4096);
        shop.flush();
        let clocks = ManualClocks::at(START);
        let store = Patient::over(Arc::clone(&shop.store));
        let tools = Tools { store, budget: Budget::standard() };
        let pool = Pool::start(1, &tools, &Arc::new(AtomicBool::new(false))).unwrap();
        let fleet = Fleet::new(settings(&folder, &clocks));
        Self { shop, clocks, pool, fleet, folder }
    }

    /// All is in the file, durable, and was looked at.
    fn at_rest() -> Self {
        let mut world = Self::new();
        world.begin();
        world.settle();
        world.clocks.advance(LONG);
        world.settle();
        world
    }

    /// The follower ends, and another one begins where that stood.
    fn restart(&mut self) {
        self.fleet = Fleet::new(settings(&self.folder, &self.clocks));
        self.begin();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.fleet.settings.folder.join(format!("{name}.db"))
    }

    /// Where a follower begins that starts now.
    fn saved(&self) -> Saved {
        Saved::load(&self.fleet.settings.state_dir, self.shop.fleet.id).unwrap()
    }

    fn begin(&mut self) {
        let store = &*self.shop.store;
        let Tail::At { position, .. } = find_tail(store).unwrap() else { panic!("no log") };
        let catalogue = catalogue_at(store, position.last().unwrap()).unwrap().catalogue;
        self.begin_at(catalogue, position);
        self.fleet.read(Event::Tail { server: START }).unwrap();
    }

    fn begin_at(&mut self, catalogue: Catalogue, position: Position) {
        let began = Event::Began {
            fleet: self.shop.fleet.id,
            catalogue,
            position,
            sealed: Sealed::default(),
            gone: Gone::default(),
            heard: None,
            server: None,
        };
        self.fleet.read(began).unwrap();
    }

    /// A change is shipped and read.
    fn change(&mut self) -> Seq {
        self.shop.databases[0].source.mutate();
        let seq = self.shop.flush();
        self.read_on();
        seq
    }

    /// What was shipped is read, to the end of the log.
    fn read_on(&mut self) {
        let server = self.read_objects(64);
        self.fleet.read(Event::Tail { server }).unwrap();
    }

    /// At most so many objects are read. The store's time.
    fn read_objects(&mut self, objects_max: u32) -> Millis {
        self.read_objects_at(objects_max, None)
    }

    /// The same, at an instant of the store's clock if not now.
    fn read_objects_at(&mut self, objects_max: u32, instant: Option<Millis>) -> Millis {
        let mut reader = Reader::new(Arc::clone(&self.shop.store), self.fleet.position.clone());
        let Batch::Accepted { segments, server, .. } = reader.batch(objects_max, 1 << 20).unwrap()
        else {
            panic!("nothing there")
        };
        let server = instant.unwrap_or(server);
        let segments = segments.into_iter().map(Arc::new).collect();
        let position = reader.position().clone();
        self.fleet.read(Event::Segments { segments, position, server }).unwrap();
        server
    }

    fn go_round(&mut self) -> Option<Facts> {
        self.fleet.go_round(&self.pool)
    }

    /// Goes round until nothing is left to do.
    fn settle(&mut self) {
        loop {
            let news = self.go_round();
            if !self.take_reports() && news.is_none() {
                return;
            }
        }
    }

    /// Waits for what runs; false if nothing did.
    fn take_reports(&mut self) -> bool {
        let mut are_any = false;
        while self.fleet.members.values().any(Member::is_at_work) {
            let finished = self.pool.finished().recv_timeout(Duration::from_secs(30)).unwrap();
            self.fleet.finished(finished);
            are_any = true;
        }
        are_any
    }
}

fn settings(folder: &TempDir, clocks: &ManualClocks) -> Settings {
    let databases = folder.path().join("databases");
    Settings {
        standby: StandbySettings {
            dir: databases.clone(),
            tiers: None,
            poll_interval: Duration::from_secs(1),
            idle_poll_interval: Duration::from_secs(1),
            quiet_after: Duration::from_secs(3_600),
        },
        folder: databases,
        state_dir: folder.path().join("state"),
        clocks: clocks.clocks(),
    }
}

#[test]
fn a_look_that_finds_nothing_is_no_news() {
    let mut world = World::at_rest();
    assert!(world.go_round().is_none());
    assert!(!world.take_reports(), "nothing is due");
    world.clocks.advance(LONG);
    assert!(world.go_round().is_none());
    assert!(world.take_reports(), "a look");
    assert!(world.go_round().is_none());
}

#[test]
fn what_comes_during_a_look_is_applied_as_soon_as_that_ends() {
    let mut world = World::at_rest();
    world.clocks.advance(LONG);
    assert!(world.go_round().is_none());
    let seq = world.change();
    let facts = world.go_round().expect("news");
    assert_eq!(facts.snapshot.read, Some(seq));
    assert!(facts.snapshot.applied < Some(seq), "the look has the database");
    assert!(world.take_reports(), "the look");
    assert!(world.fleet.is_round_due());
    assert!(world.go_round().is_some());
    assert!(world.take_reports(), "the change");
    assert_eq!(world.go_round().expect("news").snapshot.applied, Some(seq));
}

/// What a database waits for was kept as a time of day: a host whose clock was set back applied nothing until that had
/// come again.
#[test]
fn nothing_waits_by_the_time_of_day() {
    let mut world = World::at_rest();
    for hours in [-2, 2, -2, 0, 4_000, 0] {
        println!("{hours} h");
        world.clocks.wall.set(START.offset(hours * 3_600_000));
        let seq = world.change();
        world.settle();
        assert_eq!(world.fleet.facts().snapshot.applied, Some(seq));
        // By now the change is durable in the file, the file was looked at, and the position is saved.
        world.clocks.advance(LONG);
        world.settle();
        assert!(world.fleet.members.values().all(Member::is_clean));
        assert_eq!(world.saved().position.last(), Some(seq));
    }
    // A host that starts with a clock that is ahead.
    world.clocks.wall.set(START.offset(7_200_000));
    world.restart();
    world.go_round();
    world.clocks.wall.set(START);
    let seq = world.change();
    world.settle();
    assert_eq!(world.fleet.facts().snapshot.applied, Some(seq));
}

/// A follower that was killed before its first save began at the new end of the log, and took its own last change for
/// somebody else's: evidence of pages that nobody had touched, again and again.
#[test]
fn a_follower_that_is_killed_soon_knows_its_own_file() {
    let mut world = World::new();
    world.begin();
    world.settle();
    world.change();
    let saved = world.saved();
    assert!(saved.position.last() < Some(world.shop.last()), "as at the beginning");
    world.fleet = Fleet::new(settings(&world.folder, &world.clocks));
    world.begin_at(saved.catalogue, saved.position);
    world.read_on();
    world.settle();
    let facts = world.fleet.facts().snapshot;
    assert_eq!((facts.applied, facts.databases[0].heals), (Some(world.shop.last()), 0));
}

/// A start behind a change that is not in the file would take the file for one that somebody else changed.
#[test]
fn the_position_is_saved_once_all_before_it_is_applied() {
    let mut world = World::at_rest();
    let seq = world.change();
    world.fleet.save(true);
    assert_eq!(world.saved().position.last(), seq.previous(), "it waits for a worker");
    assert!(world.go_round().is_some());
    world.fleet.save(true);
    assert_eq!(world.saved().position.last(), seq.previous(), "a worker has it");
    assert!(world.take_reports());
    world.fleet.save(true);
    assert_eq!(world.saved().position.last(), Some(seq));
}

/// For as long as the primary's clock had been ahead, its death was not seen, and every age was 0.
#[test]
fn nothing_was_sealed_later_than_it_was_read() {
    let mut world = World::at_rest();
    world.shop.databases[0].source.mutate();
    world.shop.flush();
    world.read_objects_at(1, Some(START));
    world.settle();
    let facts = world.fleet.facts();
    assert!(world.shop.header().stamp > START.offset(1_000));
    assert_eq!((facts.heard, &facts.sealed[..]), (Some(START), &[Some(START)][..]));
}

/// Who saw it missing would take the file, which lacks the last commits, for the last content.
#[test]
fn a_database_counts_as_lost_once_its_last_content_is_in_the_file() {
    for (state, condition) in
        [(DatabaseState::Missing, Condition::Missing), (DatabaseState::Empty, Condition::Empty)]
    {
        let mut world = World::at_rest();
        world.shop.databases[0].source.mutate();
        world.shop.flush();
        let ledger = world.shop.databases[0].id;
        world.shop.announce(ledger, "ledger", "p0", state);
        world.read_on();
        let told = |world: &World| world.fleet.facts().snapshot.databases[0].clone();
        assert_eq!((told(&world).state, told(&world).detail), (Condition::Live, None));
        world.settle();
        let lost = told(&world);
        assert!(lost.detail.unwrap().contains("the file here keeps what it had"));
        assert_eq!((lost.state, lost.applied_seq), (condition, world.shop.last().previous()));
    }
}

#[test]
fn a_stray_write_is_news() {
    let mut world = World::at_rest();
    let path = world.path("ledger");
    let mut bytes = std::fs::read(&path).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    world.clocks.advance(LONG);
    assert!(world.go_round().is_none());
    world.take_reports();
    assert!(world.fleet.is_round_due(), "it is to be repaired");
    world.settle();
    assert_eq!(world.fleet.facts().snapshot.databases[0].heals, 1);
}
