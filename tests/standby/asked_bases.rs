//! Bases on request: what heals a standby when an object is damaged that a database at rest would need for ever.

use std::process::{Command, Output};

use e2e::objects::{Objects, names};
use e2e::{Fleet, Ledger, Standby, shared};
use serde_json::Value;

/// A database at rest, and one that is not there yet.
fn fleet(test: &str) -> Fleet {
    let fleet = Fleet::new(test, &["a", "later"]).sync_interval("20ms");
    Ledger::commit(&fleet.db("a"), 30);
    fleet
}

fn snapshot(fleet: &Fleet, arguments: &[&str]) -> Output {
    let mut command = Command::new(e2e::walship());
    command.args(["snapshot", "-c"]).arg(fleet.config("alpha")).args(arguments);
    command.output().expect("walship runs")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

/// Nothing is written, so nothing would ever make a base by itself: the command does, and the standby heals by it.
#[test]
fn a_standby_of_a_database_at_rest_heals_by_a_base_that_is_asked_for() {
    let _turn = shared();
    let fleet = fleet("asked-base");
    let shipper = fleet.ship();
    fleet.await_shipped("a");
    let objects = Objects::of(&fleet.store());
    let damaged = objects.named("snap/").pop().expect("a base");
    objects.flip(&damaged, 4_321);
    let standby = Standby::of(&fleet);
    let follower = standby.follow();
    let told = standby.await_state("a", "corrupt");
    assert!(told["detail"].as_str().is_some_and(|detail| names(detail, &damaged)), "{told}");

    let durable = fleet.history().last();
    let output = snapshot(&fleet, &["a", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let told: Value = serde_json::from_slice(&output.stdout).expect("a document");
    let named_by = told["databases"][0]["named_by"].as_u64().expect("a log object");
    assert!(named_by > durable.get(), "{told}");
    assert_eq!(fleet.history().bases("a"), 2);
    standby.await_state("a", "live");
    standby.assert_mirrors(&fleet.db("a"), "a");
    assert_eq!(follower.terminate(), 0);
    assert_eq!(shipper.terminate(), 0);
}

#[test]
fn who_gets_no_base_is_named_and_the_others_get_theirs() {
    let _turn = shared();
    let fleet = fleet("asked-bases");
    let alone = snapshot(&fleet, &["a"]);
    assert_eq!(alone.status.code(), Some(1), "{}", said(&alone));
    assert!(
        said(&alone).contains("walship replicate"),
        "no word of what to start: {}",
        said(&alone)
    );

    let shipper = fleet.ship();
    fleet.await_shipped("a");
    let wrong = snapshot(&fleet, &["a", "nobody"]);
    assert_eq!(wrong.status.code(), Some(1), "{}", said(&wrong));
    assert!(said(&wrong).contains("no database `nobody`"), "{}", said(&wrong));
    assert_eq!(fleet.history().bases("a"), 1, "nothing was asked for");

    let named = snapshot(&fleet, &["a", "later"]);
    assert_eq!(named.status.code(), Some(1), "{}", said(&named));
    assert!(said(&named).contains("later (it is missing)"), "{}", said(&named));
    assert_eq!(fleet.history().bases("a"), 2);
    // Among all, one that has nothing is no reason to fail every night.
    let all = snapshot(&fleet, &["--all"]);
    assert_eq!(all.status.code(), Some(0), "{}", said(&all));
    assert!(said(&all).contains("later: no base, it is missing"), "{}", said(&all));
    assert_eq!(fleet.history().bases("a"), 3);
    assert_eq!(shipper.terminate(), 0);
    fleet.assert_verified();
}
