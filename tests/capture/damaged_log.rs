//! A log object was damaged that nobody but the next start of the primary reads: it goes on from what it has.
//!
//! Story. Every start over such an object put a fence and then ended with an error, so that a service manager appended
//! one fence after the other, and nothing was replicated any more.

use std::process::Command;

use e2e::objects::{Objects, names};
use e2e::{App, Fleet, shared};
use segment::Seq;

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

/// The primary is gone for good: what the rest of the log proves is restored, and nothing else.
#[test]
fn what_a_lost_log_object_cannot_have_changed_is_restored_and_the_rest_is_refused_by_name() {
    let _turn = shared();
    let (fleet, damaged) = with_change_of_a("lost-log");
    let before = fleet.history().last_change("a").and_then(Seq::previous).expect("an earlier one");
    Objects::of(&fleet.store()).delete(&damaged);
    fleet.assert_restores("b");

    let target = fleet.scratch.file("refused.db");
    let refused = fleet.restore_to("a", &target, &[]);
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(4), "{text}");
    assert!(names(&text, &damaged) && text.contains(&format!("--seq {before}")), "{text}");
    assert!(!target.exists());
    let earlier = fleet.restore_to("a", &target, &["--seq", &before.to_string()]);
    assert_eq!(earlier.status.code(), Some(0));

    let mut list = Command::new(e2e::walapply());
    let list = list.args(["list", "--store"]).arg(fleet.store()).output().expect("walapply runs");
    assert_eq!(list.status.code(), Some(4), "{}", String::from_utf8_lossy(&list.stdout));
}
