//! Databases that are emptied or deleted on the primary while both programs run: the standby says so in the same words with
//! and without a restart, keeps what it had, and a restore says where the content is.

use std::fs;
use std::path::Path;

use e2e::{Fleet, History, Ledger, Program, Standby, oracle, shared, until};
use serde_json::Value;

fn remove_with(database: &Path, endings: &[&str]) {
    for ending in endings {
        let mut path = database.as_os_str().to_owned();
        path.push(ending);
        let _ = fs::remove_file(path);
    }
}

/// The state of a database and the object since which it is so, once the running follower tells it.
fn await_gone(standby: &Standby, name: &str, state: &str) -> (u64, Value) {
    let words = format!("{state} on the primary since log object ");
    until(&format!("{name} {state}, and since when"), || {
        let told = standby.status_of(name)?;
        let since = told["detail"].as_str()?.strip_prefix(&words)?.split_once(':')?.0.parse();
        (told["state"] == state).then_some((since.ok()?, told))
    })
}

fn facts(told: &Value) -> Vec<Value> {
    ["state", "detail", "bytes", "pages", "applied_seq", "txid", "apply_lag_seconds"]
        .map(|key| told[key].clone())
        .to_vec()
}

#[test]
fn what_the_primary_loses_stays_on_the_standby_and_is_told() {
    let _turn = shared();
    let fleet = Fleet::new("gone", &["x", "y", "z"]).sync_interval("20ms");
    let standby = Standby::of(&fleet);
    for name in fleet.names() {
        Ledger::commit(&fleet.db(name), 10);
    }
    let (shipper, follower) = (fleet.ship(), standby.follow());
    standby.await_equal(&fleet);
    let kept = ["x", "y"].map(|name| {
        let kept = fleet.scratch.file(&format!("{name}.kept"));
        let _ = oracle::checksum(&fleet.db(name), &kept);
        kept
    });
    remove_with(&fleet.db("x"), &["-wal", "-shm"]);
    fs::File::create(fleet.db("x")).expect("an empty file");
    remove_with(&fleet.db("y"), &["", "-wal", "-shm"]);

    let [(empty_since, empty), (missing_since, missing)] =
        [("x", "empty"), ("y", "missing")].map(|(name, state)| await_gone(&standby, name, state));
    standby.assert_mirrors(&kept[0], "x");
    standby.assert_mirrors(&kept[1], "y");
    let follower = restarted(&standby, follower);
    assert_eq!(facts(&await_gone(&standby, "x", "empty").1), facts(&empty));
    assert_eq!(facts(&await_gone(&standby, "y", "missing").1), facts(&missing));
    standby.assert_mirrors(&kept[0], "x");

    for (name, since, kept) in [("x", empty_since, &kept[0]), ("y", missing_since, &kept[1])] {
        let target = fleet.scratch.file("newest.db");
        let output = fleet.restore_to(name, &target, &["--json"]);
        let report: Value = serde_json::from_slice(&output.stdout).expect("a report");
        let told = &report["databases"][0];
        assert_eq!(told["gone_since"], since, "{told}");
        let before = (since - 1).to_string();
        let warning = told["warning"].as_str().expect("a warning");
        assert!(warning.contains(&format!("--seq {before}")), "{warning}");
        let restored = fleet.scratch.file("before.db");
        assert!(fleet.restore_to(name, &restored, &["--seq", &before]).status.success());
        oracle::assert_equal(&restored, kept);
    }

    for name in ["x", "y"] {
        Ledger::commit(&fleet.db(name), 3);
        fleet.await_shipped(name);
    }
    standby.await_state("x", "live");
    standby.await_state("y", "live");
    standby.await_applied(History::last_of(&fleet.store()).expect("a log"));
    assert_eq!(follower.terminate(), 0);
    fleet.finish(shipper);
    standby.assert_equal(&fleet);
}

fn restarted(standby: &Standby, follower: Program) -> Program {
    assert_eq!(follower.terminate(), 0);
    standby.follow()
}
