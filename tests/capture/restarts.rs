//! The shipper was down: what is shipped when it comes back.

use e2e::{App, Fleet, shared};
use rustix::process::Signal;

/// Enough pages that uploading all of them would be seen.
const SCHEMA: &str = "PRAGMA journal_mode=WAL; CREATE TABLE t(id INTEGER PRIMARY KEY, v BLOB); \
    WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM s WHERE i<500) \
    INSERT INTO t SELECT i, randomblob(3000) FROM s";

/// One row was written and the application closed, so the WAL that held it is gone.
#[test]
fn a_row_written_while_we_were_down_ships_a_few_pages() {
    let _turn = shared();
    let fleet = Fleet::new("down", &["a"]);
    App::open(&fleet.db("a")).sql(SCHEMA);
    assert_eq!(fleet.ship_once(), 0);
    let before = fleet.history().last();
    let mut app = App::open(&fleet.db("a"));
    app.sql("UPDATE t SET v = randomblob(3000) WHERE id = 250");
    app.close("main");
    assert!(!fleet.db("a").with_extension("db-wal").exists(), "the WAL is to be gone");

    let shipper = fleet.ship();
    fleet.await_shipped("a");
    fleet.finish(shipper);
    let since = fleet.history().since(before);
    assert!((1..=10).contains(&since.pages("a")), "{} pages for one row", since.pages("a"));
    assert_eq!((since.bases("a"), since.lives("a")), (0, 0), "no full image");
}

/// The same with the local state lost: the store knows which pages it has.
#[test]
fn a_lost_state_folder_costs_no_upload() {
    let _turn = shared();
    let fleet = Fleet::new("state-lost", &["a"]);
    App::open(&fleet.db("a")).sql(SCHEMA);
    assert_eq!(fleet.ship_once(), 0);
    let before = fleet.history().last();
    std::fs::remove_dir_all(fleet.scratch.file("state-alpha")).expect("removed");
    App::open(&fleet.db("a")).sql("DELETE FROM t WHERE id = 7");
    assert_eq!(fleet.ship_once(), 0);
    fleet.assert_all_equal();
    let since = fleet.history().since(before);
    assert!((1..=10).contains(&since.pages("a")), "{} pages for one row", since.pages("a"));
    assert_eq!((since.bases("a"), since.lives("a")), (0, 0), "no full image");
}

/// Stopping and starting without writes in between ships no page at all.
#[test]
fn a_restart_without_changes_ships_no_page() {
    let _turn = shared();
    let fleet = Fleet::new("restart", &["a"]);
    let mut app = App::open(&fleet.db("a"));
    app.sql(SCHEMA);
    let first = fleet.ship();
    fleet.await_shipped("a");
    assert_eq!(first.terminate(), 0);
    let before = fleet.history().last();
    for _ in 0..3 {
        assert_eq!(fleet.ship_once(), 0);
        let shipper = fleet.ship();
        fleet.finish(shipper);
    }
    let since = fleet.history().since(before);
    assert_eq!((since.pages("a"), since.bases("a")), (0, 0));
}

/// SIGTERM may come before a database was even looked at. Code 0 says that everything is shipped, so it must be:
/// the final flush once took a fleet whose page hashes were still being read for one without databases.
#[test]
fn sigterm_right_after_the_start_still_ships_what_was_written_while_we_were_down() {
    let _turn = shared();
    let fleet = Fleet::new("sigterm", &["a"]);
    App::open(&fleet.db("a")).sql(SCHEMA);
    assert_eq!(fleet.ship_once(), 0);
    for round in 0..6 {
        App::open(&fleet.db("a")).sql(&format!("DELETE FROM t WHERE id % 7 = {round}"));
        if round % 2 == 0 {
            std::fs::remove_dir_all(fleet.scratch.file("state-alpha")).expect("removed");
        }
        let shipper = fleet.ship();
        assert_eq!(shipper.terminate(), 0);
        fleet.assert_restores("a");
    }
    assert_eq!(fleet.history().lives("a"), 1);
}

/// A base that the store does not take keeps `--once` waiting, until it is told to stop.
#[test]
fn a_single_run_that_waits_for_a_base_ends_when_told_to() {
    let _turn = shared();
    let fleet = Fleet::new("once-told", &["a"]);
    App::open(&fleet.db("a")).sql(SCHEMA);
    std::fs::create_dir(fleet.store()).expect("a folder");
    std::fs::write(fleet.store().join("snap"), "in the way of the bases").expect("written");
    let mut once = fleet.replicate(&fleet.config("alpha"));
    once.arg("--once");
    let mut once = fleet.start(once);
    once.await_line(&["the base was not uploaded"]);
    assert!(once.is_running());
    once.signal(Signal::TERM);
    assert_eq!(once.exit(), 1, "not everything is shipped");
    std::fs::remove_file(fleet.store().join("snap")).expect("removed");
    assert_eq!(fleet.ship_once(), 0);
    fleet.assert_restores("a");
}
