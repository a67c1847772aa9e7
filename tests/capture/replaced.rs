//! Another file comes to the path of a database that is being captured.

use std::fs;
use std::path::Path;

use e2e::{App, Fleet, Standby, shared};

/// Makes a closed database with this many rows.
fn make(path: &Path, rows: u32) {
    let mut app = App::open(path);
    app.sql(&format!(
        "PRAGMA journal_mode=WAL; CREATE TABLE t(id INTEGER PRIMARY KEY, v BLOB); \
         WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM s WHERE i<{rows}) \
         INSERT INTO t SELECT i, randomblob(3000) FROM s"
    ));
    app.close("main");
}

fn remove_siblings(path: &Path) {
    for suffix in ["db-wal", "db-shm"] {
        let _ = fs::remove_file(path.with_extension(suffix));
    }
}

/// By rename, as tools that replace a database do: smaller, larger, of the same size.
#[test]
fn a_database_replaced_by_rename_begins_a_new_life() {
    let _turn = shared();
    let fleet = Fleet::new("renamed-over", &["a", "beside"]);
    make(&fleet.db("a"), 100);
    make(&fleet.db("beside"), 3);
    let shipper = fleet.ship();
    fleet.await_shipped("a");
    for (lives, rows) in [(2, 20), (3, 300), (4, 300)] {
        let other = fleet.scratch.file("other.db");
        make(&other, rows);
        fs::rename(&other, fleet.db("a")).expect("renamed");
        remove_siblings(&fleet.db("a"));
        fleet.await_shipped("a");
        fleet.assert_restores("a");
        assert_eq!(fleet.history().lives("a"), lives);
        App::open(&fleet.db("a")).sql("INSERT INTO t(v) VALUES('after')");
        fleet.await_shipped("a");
        fleet.assert_restores("a");
    }
    assert_eq!(fleet.history().lives("beside"), 1);
    fleet.finish(shipper);
}

/// By rename, with every application closed. Without us its last close had removed the `-wal`; now that of the old file
/// stands beside the new one, and opening it would mix them.
#[test]
fn a_database_replaced_beside_the_log_of_the_former_one_is_refused_until_that_is_gone() {
    let _turn = shared();
    let fleet = Fleet::new("stale-log", &["a"]);
    make(&fleet.db("a"), 100);
    let mut shipper = fleet.ship();
    // Attached before the last close, or that still removes the log.
    shipper.await_line(&["attached", "db=a"]);
    App::open(&fleet.db("a")).sql("INSERT INTO t(v) VALUES('old')");
    fleet.await_shipped("a");
    let other = fleet.scratch.file("other.db");
    make(&other, 20);
    let expected = fs::read(&other).expect("read");
    fs::rename(&other, fleet.db("a")).expect("renamed");
    shipper.await_line(&["cannot be replicated", "remove its -wal"]);
    assert_eq!(fleet.state_of("a").as_deref(), Some("refused"));
    assert_eq!(fs::read(fleet.db("a")).expect("read"), expected, "the new file was touched");
    remove_siblings(&fleet.db("a"));
    fleet.await_shipped("a");
    fleet.assert_restores("a");
    assert_eq!(fleet.history().lives("a"), 2);
    fleet.finish(shipper);
}

fn await_missing(fleet: &Fleet) {
    e2e::until("the log to say that it is missing", || {
        let history = fleet.history();
        let entry = history.catalogue.databases.values().next()?.state;
        (entry == segment::DatabaseState::Missing).then_some(())
    });
}

/// Deleted, and made anew a moment later. The file system may give the new file the number of the former one, which looks
/// like a file that was away: it is told apart by its pages then.
#[test]
fn a_database_deleted_and_made_anew_is_shipped_whichever_file_it_looks_like() {
    let _turn = shared();
    let fleet = Fleet::new("recreated", &["a"]).sync_interval("20ms");
    let standby = Standby::of(&fleet);
    make(&fleet.db("a"), 50);
    let (shipper, follower) = (fleet.ship(), standby.follow());
    standby.await_equal(&fleet);
    for rows in [10, 300] {
        fs::remove_file(fleet.db("a")).expect("removed");
        remove_siblings(&fleet.db("a"));
        await_missing(&fleet);
        make(&fleet.db("a"), rows);
        standby.await_equal(&fleet);
    }
    let lives = fleet.history().lives("a");
    for rows in [10, 300] {
        let (away, other) =
            (fleet.scratch.file("away"), fleet.scratch.file(&format!("other-{rows}.db")));
        fs::rename(fleet.db("a"), &away).expect("taken away");
        remove_siblings(&fleet.db("a"));
        await_missing(&fleet);
        make(&other, rows);
        fs::write(&away, fs::read(&other).expect("read")).expect("written");
        fs::rename(&away, fleet.db("a")).expect("put back");
        standby.await_equal(&fleet);
    }
    assert_eq!(fleet.history().lives("a"), lives, "with the number of the former one");
    App::open(&fleet.db("a")).sql("INSERT INTO t(v) VALUES('after')");
    standby.await_equal(&fleet);
    assert_eq!(follower.terminate(), 0);
    fleet.finish(shipper);
}

/// Copied over in place: the same inode, nothing in the WAL tells.
#[test]
fn a_database_copied_over_in_place_is_noticed() {
    let _turn = shared();
    let fleet = Fleet::new("copied-over", &["a"]);
    make(&fleet.db("a"), 50);
    let shipper = fleet.ship();
    fleet.await_shipped("a");
    for rows in [50, 5, 200] {
        let other = fleet.scratch.file(&format!("other-{rows}.db"));
        make(&other, rows);
        // What a careful person does first: nothing of the old database is left in the WAL.
        App::open(&fleet.db("a")).sql("PRAGMA wal_checkpoint(TRUNCATE)");
        fs::write(fleet.db("a"), fs::read(&other).expect("read")).expect("written");
        fleet.await_shipped("a");
        fleet.assert_restores("a");
    }
    fleet.finish(shipper);
}

/// The wal-index is deleted under us: new connections make another one, which we would not see.
#[test]
fn a_deleted_wal_index_is_noticed() {
    let _turn = shared();
    let fleet = Fleet::new("shm", &["a"]);
    make(&fleet.db("a"), 20);
    let shipper = fleet.ship();
    fleet.await_shipped("a");
    for _ in 0..2 {
        fs::remove_file(fleet.db("a").with_extension("db-shm")).expect("removed");
        App::open(&fleet.db("a")).sql("INSERT INTO t(v) VALUES('unseen?')");
        fleet.await_shipped("a");
        fleet.assert_restores("a");
    }
    assert_eq!(fleet.history().lives("a"), 1);
    fleet.finish(shipper);
}
