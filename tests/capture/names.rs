//! Two files of one name: the one that is replicated under it keeps it, and the other is named.
//!
//! Story. A stranger's file that a pattern found first took over the name at the next start, and with it the history and
//! the standby's file of a database that was then replicated nowhere.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use e2e::{App, Fleet, oracle, shared};

/// A fleet whose databases are found by two patterns, and its configuration.
fn fleet(test: &str) -> (Fleet, PathBuf) {
    let fleet = Fleet::new(test, &[]);
    for folder in ["first", "second"] {
        fs::create_dir(fleet.scratch.file(folder)).expect("a folder");
    }
    let rule = |folder| format!("[[databases]]\nglob = '{folder}/*.db'\ntier = 'p0-critical'\n");
    let config = fleet.config("alpha");
    let text = fs::read_to_string(&config).expect("the configuration");
    fs::write(&config, format!("{text}\n{}{}", rule("first"), rule("second"))).expect("written");
    (fleet, config)
}

#[test]
fn a_file_that_a_pattern_finds_first_does_not_take_over_a_replicated_name() {
    let _turn = shared();
    let (fleet, config) = fleet("names");
    let once = || {
        let mut command = fleet.replicate(&config);
        command.arg("--once");
        fleet.start(command)
    };
    let [stranger, real] = ["first/x.db", "second/x.db"].map(|file| fleet.scratch.file(file));
    App::open(&real)
        .sql("PRAGMA journal_mode=WAL; CREATE TABLE t(v); INSERT INTO t VALUES ('real')");
    assert_eq!(once().exit(), 0);
    App::open(&stranger).sql("PRAGMA journal_mode=WAL; CREATE TABLE other(v)");
    App::open(&real).sql("INSERT INTO t VALUES ('more')");
    let mut second = once();
    second.await_line(&["not everything is shipped", "first/x.db (its name is taken)"]);
    assert_eq!(second.exit(), 1);
    oracle::assert_equal(&real, &fleet.restore("x"));
    assert_eq!(fleet.history().lives("x"), 1);

    let check = Command::new(e2e::walship()).args(["check", "-c"]).arg(&config).output();
    let check = check.expect("walship runs");
    let text = String::from_utf8_lossy(&check.stdout).into_owned();
    assert_eq!(check.status.code(), Some(1), "{text}");
    assert!(text.contains("second/x.db has the name `x`"), "{text}");

    // The database is gone for good: whoever has the name then begins a life of his own.
    for file in ["second/x.db", "second/x.db-wal", "second/x.db-shm"] {
        let _ = fs::remove_file(fleet.scratch.file(file));
    }
    assert_eq!(once().exit(), 0);
    oracle::assert_equal(&stranger, &fleet.restore("x"));
    assert_eq!(fleet.history().lives("x"), 2);
}
