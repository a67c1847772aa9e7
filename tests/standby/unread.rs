//! Databases that the primary cannot read for a while: held exclusively by an application, or overwritten. The standby does
//! not call its copy the newest, the store alone still gives the last state that was captured, and once they can be read
//! again nothing is missing.

use std::fs;
use std::process::Command;

use e2e::{App, Fleet, Standby, oracle, shared, until, walapply};
use segment::{DatabaseState, Record};
use serde_json::Value;

const UNREAD: [&str; 2] = ["held", "scribbled"];

/// A database in a rollback journal mode: an application may have it to itself although it is being captured.
fn make(fleet: &Fleet, name: &str) -> App {
    let mut app = App::open(&fleet.db(name));
    app.sql("CREATE TABLE t(v); INSERT INTO t VALUES(randomblob(20000))");
    app
}

/// What `walapply list` says of the databases, by name.
fn listed(fleet: &Fleet) -> Vec<Value> {
    let mut command = Command::new(walapply());
    command.args(["list", "--json", "--store"]).arg(fleet.store());
    let listing: Value =
        serde_json::from_slice(&command.output().expect("walapply runs").stdout).expect("JSON");
    listing["databases"].as_array().expect("databases").clone()
}

/// The databases of which the log ever said so.
fn told_unread(fleet: &Fleet) -> Vec<String> {
    let records = fleet.history().tables.into_iter().flat_map(|table| table.records);
    let mut names: Vec<String> = records
        .filter_map(|record| match record {
            Record::Announce(told) if told.state == DatabaseState::Unread => {
                Some(told.name.to_string())
            }
            _ => None,
        })
        .collect();
    names.sort();
    names
}

#[test]
fn a_database_that_the_primary_cannot_read_is_not_called_the_newest() {
    let _turn = shared();
    let names = ["free", "held", "scribbled"];
    let fleet = Fleet::new("unread", &names).sync_interval("20ms");
    let standby = Standby::of(&fleet);
    let [mut free, mut held, scribbled] = names.map(|name| make(&fleet, name));
    let (shipper, follower) = (fleet.ship(), standby.follow());
    standby.await_equal(&fleet);
    let kept = UNREAD.map(|name| {
        let kept = fleet.scratch.file(&format!("{name}.kept"));
        let _ = oracle::checksum(&fleet.db(name), &kept);
        kept
    });

    held.sql("PRAGMA locking_mode=EXCLUSIVE; INSERT INTO t VALUES('while it is held')");
    drop(scribbled);
    let content = fs::read(fleet.db("scribbled")).expect("the database");
    fs::write(fleet.db("scribbled"), vec![b'?'; content.len()]).expect("written");
    free.sql("INSERT INTO t VALUES('goes on')");
    fleet.await_shipped("free");
    for (name, state) in [("held", "locked"), ("scribbled", "refused")] {
        let told = standby.await_state(name, "unread");
        assert!(told["apply_lag_seconds"].is_null(), "{told}");
        assert!(
            told["detail"].as_str().is_some_and(|why| why.contains("cannot read it")),
            "{told}"
        );
        assert_eq!(fleet.state_of(name).as_deref(), Some(state));
    }
    standby.await_state("free", "live");

    let second = Standby::named(&fleet, "second");
    second.catch_up();
    let states = listed(&fleet);
    for (name, kept) in UNREAD.iter().zip(&kept) {
        standby.assert_mirrors(kept, name);
        second.assert_mirrors(kept, name);
        oracle::assert_equal(kept, &fleet.restore(name));
        let listed = states.iter().find(|each| each["name"] == *name).expect("it is listed");
        assert_eq!(listed["state"], "unread", "{listed}");
    }

    held.sql("INSERT INTO t VALUES('and after that')");
    held.close("main");
    fs::write(fleet.db("scribbled"), content).expect("written");
    UNREAD.iter().for_each(|name| drop(standby.await_state(name, "live")));
    standby.await_equal(&fleet);
    until("an unchanged database live, brought by no section", || {
        let catalogue = fleet.history().catalogue;
        let is_live = |state| state == DatabaseState::Live;
        catalogue.databases.values().all(|entry| is_live(entry.state)).then_some(())
    });
    assert_eq!(told_unread(&fleet), UNREAD);
    assert!(names.iter().all(|name| fleet.history().lives(name) == 1));
    assert_eq!(follower.terminate(), 0);
    fleet.finish(shipper);
}
