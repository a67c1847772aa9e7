//! A follower that was stopped for a while, by a signal or for good, catches up at once.

use std::time::Instant;

use e2e::{Fleet, Ledger, Reading, Standby, scaled, shared};
use rustix::process::Signal;
use serde_json::json;

/// While it sleeps (SIGSTOP) the log grows by many objects; afterwards they are applied in few transactions.
#[test]
fn a_follower_that_slept_applies_what_it_missed_in_few_transactions() {
    let _turn = shared();
    let fleet = Fleet::new("pause", &["a", "b"]).sync_interval("10ms");
    let standby = Standby::of(&fleet);
    for name in fleet.names() {
        Ledger::commit(&fleet.db(name), 20);
    }
    let shipper = fleet.ship();
    fleet.await_shipped("b");
    let follower = standby.follow();
    standby.await_equal(&fleet);
    let mut reader = Ledger::read(&standby.db("a"), Reading::Warm);
    assert!(reader.sees(20), "the reader does not read");

    follower.signal(Signal::STOP);
    let before = fleet.history().last();
    let options = json!({"commits": scaled(500, 30_000), "rate": 250});
    let written = Ledger::write(&fleet.db("a"), &options).finish();
    Ledger::commit(&fleet.db("b"), 3);
    fleet.names().iter().for_each(|name| fleet.await_shipped(name));
    let missed = fleet.history().since(before).tables.len();
    let applied_before = applies(&follower);
    follower.signal(Signal::CONT);
    let began = Instant::now();
    assert!(reader.sees(written["commits"].as_u64().expect("a number")));
    let took = began.elapsed();
    standby.await_equal(&fleet);
    let transactions = applies(&follower) - applied_before;
    println!("{missed} objects missed, caught up in {took:?} by {transactions} transactions");
    assert!(missed >= 50, "the log hardly grew: {missed}");
    assert!(transactions * 3 <= missed, "{transactions} transactions for {missed} objects");
    println!("{}", reader.stop());
    assert_eq!(follower.terminate(), 0);
    fleet.finish(shipper);
}

/// The same when the follower is started anew, with the primary at work meanwhile.
#[test]
fn a_follower_that_was_away_continues_where_its_files_stand() {
    let _turn = shared();
    let fleet = Fleet::new("away", &["a"]).sync_interval("10ms");
    let standby = Standby::of(&fleet);
    let shipper = fleet.ship();
    for round in 0..5 {
        let options = json!({"commits": 60, "rate": 200, "seed": round, "turmoil": true});
        println!("{}", Ledger::write(&fleet.db("a"), &options).finish());
        fleet.await_shipped("a");
        let follower = standby.follow();
        standby.await_equal(&fleet);
        let heals = standby.status_of("a").expect("a status")["heals"].as_u64();
        assert_eq!(heals, Some(0), "rebuilt in round {round}");
        assert_eq!(follower.terminate(), 0);
    }
    fleet.finish(shipper);
    standby.assert_mirrors(&fleet.db("a"), "a");
}

fn applies(follower: &e2e::Program) -> usize {
    follower.lines_with(&["applied", "db=a"]).count()
}
