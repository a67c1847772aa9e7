//! The end: code 0 says that everything committed before SIGTERM is durable, whatever keeps us from reading it.
//!
//! Stories. A database that was being checkpointed by us, or that an application held locked, was passed over by the
//! final cut like by any other, and the program ended with code 0 without a word.

use e2e::strace::Injection;
use e2e::{App, Fleet, shared, until};
use rustix::process::Signal;

/// An application in a rollback journal mode has committed a row and holds the database locked.
fn locked(test: &str) -> (Fleet, App, e2e::Shipper) {
    let fleet = Fleet::new(test, &["a"]).sync_interval("20ms");
    let mut app = App::open(&fleet.db("a"));
    app.sql("CREATE TABLE t(v)");
    let shipper = fleet.ship();
    fleet.await_shipped("a");
    app.sql("BEGIN EXCLUSIVE; INSERT INTO t VALUES (1); COMMIT; BEGIN EXCLUSIVE; INSERT INTO t VALUES (2)");
    (fleet, app, shipper)
}

#[test]
fn sigterm_waits_for_a_database_that_an_application_holds_locked() {
    let _turn = shared();
    let (fleet, mut app, mut shipper) = locked("closing-wait");
    shipper.await_line(&["not handed over this time"]);
    shipper.signal(Signal::TERM);
    let tries = |shipper: &e2e::Shipper| shipper.lines_with(&["not handed over this time"]).count();
    let before = tries(&shipper);
    until("further tries after SIGTERM", || (tries(&shipper) > before + 2).then_some(()));
    app.sql("COMMIT");
    assert_eq!(shipper.exit(), 0);
    fleet.assert_restores("a");
}

#[test]
fn a_database_that_stays_locked_is_named_and_the_code_is_not_zero() {
    let _turn = shared();
    let (fleet, mut app, mut shipper) = locked("closing-locked");
    shipper.signal(Signal::TERM);
    shipper.await_line(&["not everything is shipped", "a (locked)"]);
    assert_eq!(shipper.exit(), 1);
    app.sql("COMMIT");
    assert_eq!(fleet.ship_once(), 0);
    fleet.assert_restores("a");
}

#[test]
fn sigterm_waits_for_a_checkpoint_of_ours() {
    let _turn = shared();
    let fleet = Fleet::new("closing-checkpoint", &["a"]).sync_interval("20ms");
    let mut app = App::open(&fleet.db("a"));
    app.sql("PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0; PRAGMA synchronous=OFF; CREATE TABLE t(v)");
    let shipper = fleet.ship();
    fleet.await_shipped("a");
    let slow = "fsync,fdatasync:delay_enter=2000000";
    let _slow = Injection::into_process_at(shipper.pid(), slow, &fleet.db("a"));
    for _ in 0..8 {
        app.sql("INSERT INTO t VALUES (randomblob(1000000))");
    }
    app.sql("INSERT INTO t VALUES (1)");
    assert_eq!(shipper.terminate(), 0);
    fleet.assert_restores("a");
}
