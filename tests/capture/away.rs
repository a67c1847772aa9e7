//! A folder of databases that is not there for a moment, as when a disk is mounted anew: the files in it are the same after
//! that, and another folder in its place holds others.

use std::fs;
use std::path::Path;

use e2e::{App, Fleet, Standby, shared, until};
use segment::{DatabaseState, Seq};

const SCHEMA: &str = "CREATE TABLE t(v); INSERT INTO t VALUES(randomblob(100000))";

/// A database in WAL mode whose connection stays open.
fn make(path: &Path) -> App {
    let mut app = App::open(path);
    app.sql(&format!("PRAGMA journal_mode=WAL; {SCHEMA}"));
    app
}

fn await_all(fleet: &Fleet, state: DatabaseState) {
    until(&format!("all databases {state:?} in the log"), || {
        let catalogue = fleet.history().catalogue;
        catalogue.databases.values().all(|entry| entry.state == state).then_some(())
    });
}

/// Takes the folder away until the log says so, does what is to be done meanwhile, and puts it back.
fn take_away(fleet: &Fleet, meanwhile: impl FnOnce()) {
    let (here, away) = (fleet.scratch.file("db"), fleet.scratch.file("away"));
    fs::rename(&here, &away).expect("taken away");
    await_all(fleet, DatabaseState::Missing);
    meanwhile();
    fs::rename(&away, &here).expect("put back");
    await_all(fleet, DatabaseState::Live);
}

/// What was shipped of a database since then: pages, and bases.
fn shipped(fleet: &Fleet, name: &str, since: Seq) -> (u64, usize) {
    let history = fleet.history().since(since);
    (history.pages(name), history.bases(name))
}

#[test]
fn a_folder_that_was_away_costs_nothing_and_another_one_in_its_place_begins_new_lives() {
    let _turn = shared();
    let fleet = Fleet::new("away", &["closed", "journal", "open"]).sync_interval("20ms");
    let standby = Standby::of(&fleet);
    App::open(&fleet.db("journal")).sql(SCHEMA);
    let mut open = make(&fleet.db("open"));
    let mut closed = make(&fleet.db("closed"));
    let (shipper, follower) = (fleet.ship(), standby.follow());
    standby.await_equal(&fleet);
    closed.sql("INSERT INTO t VALUES('in the log only')");
    closed.close("main");
    standby.await_equal(&fleet);

    let before = fleet.history().last();
    take_away(&fleet, || ());
    for name in fleet.names() {
        assert_eq!(shipped(&fleet, name, before), (0, 0), "{name}");
        standby.await_state(name, "live");
    }
    take_away(&fleet, || drop(open.sql("INSERT INTO t VALUES('while it was away')")));
    standby.await_equal(&fleet);
    let (pages, bases) = shipped(&fleet, "open", before);
    assert!((1..5).contains(&pages) && bases == 0, "{pages} pages, {bases} bases");
    assert_eq!(shipped(&fleet, "closed", before), (0, 0));
    assert_eq!(shipped(&fleet, "journal", before), (0, 0));

    fs::rename(fleet.scratch.file("db"), fleet.scratch.file("former")).expect("taken away");
    fs::create_dir(fleet.scratch.file("db")).expect("another folder");
    let others: Vec<App> = fleet.names().iter().map(|name| make(&fleet.db(name))).collect();
    standby.await_equal(&fleet);
    for name in fleet.names() {
        assert_eq!(fleet.history().lives(name), 2, "{name}");
    }
    drop((open, others));
    assert_eq!(follower.terminate(), 0);
    fleet.finish(shipper);
}
