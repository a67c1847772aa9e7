//! A log object was damaged that nobody but the next start of the primary reads: it goes on from what it has.
//!
//! Story. Every start over such an object put a fence and then ended with an error, so that a service manager appended
//! one fence after the other, and nothing was replicated any more.

use e2e::objects::Objects;
use e2e::{App, Fleet, shared};

fn insert(fleet: &Fleet, name: &str) {
    App::open(&fleet.db(name)).sql("INSERT INTO t VALUES (randomblob(100))");
}

/// A log in which one object, not the last, changed only `a`; and its name.
fn with_change_of_a(test: &str) -> (Fleet, String) {
    let fleet = Fleet::new(test, &["a", "b"]).sync_interval("20ms");
    for name in fleet.names() {
        App::open(&fleet.db(name)).sql("PRAGMA journal_mode=WAL; CREATE TABLE t(v)");
    }
    let shipper = fleet.ship();
    for name in ["a", "b", "a", "b", "b"] {
        insert(&fleet, name);
        fleet.await_shipped(name);
    }
    assert_eq!(shipper.terminate(), 0);
    let history = fleet.history();
    let changed = history.last_change("a").expect("a change");
    assert!(changed < history.last_change("b").expect("a change"));
    (fleet, format!("log/{:020}.seg", changed.get()))
}

#[test]
fn the_primary_goes_on_over_a_damaged_log_object_and_ships_new_bases_of_what_is_in_doubt() {
    let _turn = shared();
    let (fleet, damaged) = with_change_of_a("damaged-log");
    let before = fleet.history();
    Objects::of(&fleet.store()).flip(&damaged, 1_200);
    insert(&fleet, "b");
    assert_eq!(fleet.ship_once(), 0);
    for name in ["a", "b"] {
        fleet.assert_restores(name);
    }
    // Where the log is whole, it goes on as it was.
    let after = e2e::History::read_from(&fleet.store(), before.last()).expect("a log");
    assert_eq!((after.lives("a"), after.bases("a")), (1, 1));
    assert_eq!((after.lives("b"), after.bases("b")), (0, 0));

    insert(&fleet, "a");
    assert_eq!(fleet.ship_once(), 0);
    fleet.assert_restores("a");
    let last = e2e::History::read_from(&fleet.store(), after.last()).expect("a log");
    assert_eq!((last.lives("a"), last.bases("a")), (0, 0), "once is enough");
}
