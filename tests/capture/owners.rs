//! Two shippers on one log: exactly one goes on, and the other says who owns the log.

use e2e::{App, Fleet, shared};

const SCHEMA: &str = "PRAGMA journal_mode=WAL; CREATE TABLE t(v); INSERT INTO t VALUES(1)";

/// A second host with the same configuration is refused at its start.
#[test]
fn a_shipper_of_another_host_is_refused_and_told_the_owner() {
    let _turn = shared();
    let fleet = Fleet::new("owners", &["a"]);
    let mut app = App::open(&fleet.db("a"));
    app.sql(SCHEMA);
    let owner = fleet.ship();
    fleet.await_shipped("a");

    for _ in 0..3 {
        let second = fleet.start(fleet.replicate(&fleet.config("beta")));
        let log = second.log_path();
        assert_eq!(second.exit(), 3, "fenced");
        let words = std::fs::read_to_string(log).expect("its log");
        assert!(words.contains("alpha"), "the owner is not named:\n{words}");
        app.sql("INSERT INTO t VALUES(2)");
        fleet.await_shipped("a");
    }
    fleet.finish(owner);
}

/// A clone of the host has its name as well: the one that started last goes on, the other stops at its next flush.
#[test]
fn of_two_clones_of_a_host_one_goes_on() {
    let _turn = shared();
    let fleet = Fleet::new("clones", &["a"]);
    let mut app = App::open(&fleet.db("a"));
    app.sql(SCHEMA);
    let mut first = fleet.ship();
    fleet.await_shipped("a");

    let clone = fleet.config_with("alpha", &fleet.scratch.file("state-clone"));
    let mut second = fleet.start(fleet.replicate(&clone));
    second.await_line(&["owns the log"]);
    for n in 0..10 {
        app.sql(&format!("INSERT INTO t VALUES({n})"));
        fleet.await_shipped("a");
        if !first.is_running() {
            break;
        }
    }
    let log = first.log_path();
    assert_eq!(first.exit(), 3, "fenced");
    let words = std::fs::read_to_string(log).expect("its log");
    assert!(words.contains("alpha"), "the owner is not named:\n{words}");
    app.sql("INSERT INTO t VALUES(99)");
    fleet.await_shipped("a");
    fleet.finish(second);
}
