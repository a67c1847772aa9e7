//! Databases of somebody else where those of the standby belong: not a byte of them is changed, the standby says what
//! stands in its way, and everything else goes on.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use e2e::objects::snapshot;
use e2e::{Fleet, Ledger, Standby, shared};
use serde_json::Value;

fn shell(database: &Path, sql: &str) -> Output {
    Command::new("sqlite3").arg("-bail").arg(database).arg(sql).output().expect("sqlite3 runs")
}

/// What `follow --once` told of a database, and its exit code.
fn once(standby: &Standby, name: &str) -> (Value, Option<i32>) {
    let output = standby.once();
    let status: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!("{error}: {}", String::from_utf8_lossy(&[output.stdout, output.stderr].concat()))
    });
    let mut databases = status["databases"].as_array().expect("databases").iter();
    let found = databases.find(|each| each["name"] == name).expect("the database");
    (found.clone(), output.status.code())
}

/// The database and what lies beside it.
fn files_of(database: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let stem = database.display().to_string();
    let mut all = snapshot(database.parent().expect("a folder"));
    all.retain(|(path, _)| path.display().to_string().starts_with(&stem));
    all
}

#[test]
fn an_unrelated_database_stays_as_it_is_and_ours_is_made_once_it_is_gone() {
    let _turn = shared();
    for mode in ["DELETE", "WAL"] {
        let fleet = Fleet::new(&format!("unrelated-{mode}"), &["a", "b"]);
        let standby = Standby::of(&fleet);
        for name in ["a", "b"] {
            Ledger::commit(&fleet.db(name), 20);
        }
        assert_eq!(fleet.ship_once(), 0);
        fs::create_dir(standby.databases()).expect("a folder");
        let theirs = standby.db("a");
        let sql = format!(
            "PRAGMA journal_mode={mode}; CREATE TABLE theirs(id, text); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL \
             SELECT i+1 FROM n WHERE i<20000) INSERT INTO theirs SELECT i, hex(randomblob(40)) FROM n"
        );
        assert!(shell(&theirs, &sql).status.success());
        let before = files_of(&theirs);
        assert!(before[0].1.len() > 1 << 20);

        for _ in 0..2 {
            let (told, exit) = once(&standby, "a");
            assert_eq!((told["state"].as_str(), exit), (Some("foreign"), Some(1)), "{told}");
            assert!(told["detail"].as_str().expect("a reason").contains("move it away"), "{told}");
            assert!(before == files_of(&theirs), "{mode}");
            standby.assert_mirrors(&fleet.db("b"), "b");
        }
        assert!(standby.evidence().is_empty());
        fs::rename(&theirs, fleet.scratch.file("theirs.db")).expect("moved away");
        standby.catch_up();
        standby.assert_equal(&fleet);
        assert!(standby.evidence().is_empty());
    }
}

#[test]
fn a_standby_in_the_folder_of_the_primary_does_no_harm_to_its_databases() {
    let _turn = shared();
    let fleet = Fleet::new("same-folder", &["a", "b"]).sync_interval("20ms");
    let standby = Standby::of(&fleet);
    symlink(fleet.scratch.file("db"), standby.databases()).expect("a link");
    for name in ["a", "b"] {
        Ledger::commit(&fleet.db(name), 20);
    }
    let shipper = fleet.ship();
    let follower = standby.follow();
    let refused = standby.await_state("a", "foreign");
    assert!(refused["detail"].as_str().expect("a reason").contains("another dir"), "{refused}");
    for round in 1..=3 {
        for name in ["a", "b"] {
            assert_eq!(Ledger::commit(&fleet.db(name), 1), 20 + round, "the application goes on");
            fleet.await_shipped(name);
            let header = &fs::read(fleet.db(name)).expect("the database")[18..20];
            assert_eq!(header, [2, 2], "{name} carries the standby's mark");
        }
    }
    standby.await_state("b", "foreign");
    assert_eq!(follower.terminate(), 0);
    fleet.finish(shipper);
    fleet.assert_restores("a");
    let (_, exit) = once(&standby, "a");
    assert_eq!(exit, Some(1));
}
