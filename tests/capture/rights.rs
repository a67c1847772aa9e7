//! Databases of which this user may not do everything: `check` fails where `replicate` does, and where it only may come to
//! that, it warns.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use e2e::{App, Fleet, python, shared, walship};
use serde_json::Value;

const SCHEMA: &str = "CREATE TABLE t(v); INSERT INTO t VALUES(1)";

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("its owner may");
}

/// A command of `walship` by a user who owns nothing, or whose own files are shut.
fn run(fleet: &Fleet, arguments: &[&str]) -> Output {
    let config = fleet.config("alpha");
    set_mode(&config, 0o644);
    set_mode(fleet.scratch.path(), 0o777);
    let mut command: Command = python("nobody.py");
    command.arg(walship()).args(arguments).arg("-c").arg(config).output().expect("it runs")
}

/// What `check` says of the one database.
fn checked(fleet: &Fleet) -> Value {
    let output = run(fleet, &["check", "--json"]);
    let lines: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let lines = lines.as_array().expect("lines");
    lines.iter().find(|line| line["check"] == "database a").expect("its line").clone()
}

/// A fleet of one database, to which this user is not let in everywhere.
struct Shut(Fleet);

impl Shut {
    /// With these modes of its file, its log, its index, and its folder. Files that are not there get none.
    fn new(make: impl FnOnce(&mut App), modes: [u32; 4]) -> Self {
        let fleet = Fleet::new("rights", &["a"]);
        let mut app = App::open(&fleet.db("a"));
        make(&mut app);
        // What it holds open stays beside the file: it ends without closing anything.
        app.kill();
        for (ending, mode) in ["db", "db-wal", "db-shm"].iter().zip(modes) {
            let path = fleet.db("a").with_extension(ending);
            if path.exists() {
                set_mode(&path, mode);
            }
        }
        set_mode(&fleet.scratch.file("db"), modes[3]);
        Self(fleet)
    }

    fn assert_checked(&self, verdict: &str, words: &str) {
        let line = checked(&self.0);
        assert_eq!(line["verdict"], verdict, "{line}");
        assert!(line["found"].as_str().is_some_and(|found| found.contains(words)), "{line}");
        if verdict == "FAIL" {
            assert_eq!(line["hint"], "run as the user that owns the database");
        }
    }

    fn assert_replicated(&self, code: i32) {
        let output = run(&self.0, &["replicate", "--once"]);
        let log = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{log}");
    }
}

impl Drop for Shut {
    fn drop(&mut self) {
        // Or its owner could not remove what is in it.
        set_mode(&self.0.scratch.file("db"), 0o777);
    }
}

fn in_wal_mode(app: &mut App) {
    app.sql(&format!("PRAGMA journal_mode=WAL; {SCHEMA}"));
}

fn in_wal_mode_at_rest(app: &mut App) {
    in_wal_mode(app);
    app.close("main");
}

fn in_a_rollback_journal_mode(app: &mut App) {
    app.sql(SCHEMA);
}

/// Changed pages are in the file, and the former ones in the journal.
fn in_a_transaction(app: &mut App) {
    app.sql(SCHEMA);
    app.sql("PRAGMA cache_size=5; BEGIN; INSERT INTO t SELECT randomblob(900000)");
}

#[test]
fn check_fails_where_replicate_would() {
    let _turn = shared();
    type Make = fn(&mut App);
    let cases: [(Make, [u32; 4], &str, &str, i32); 9] = [
        (in_wal_mode, [0o666, 0o666, 0o666, 0o555], "OK", "WAL mode", 0),
        (in_wal_mode, [0o666, 0o444, 0o666, 0o555], "WARN", "a.db-wal", 0),
        (in_wal_mode, [0o666, 0o666, 0o444, 0o777], "FAIL", "a.db-shm", 1),
        (in_wal_mode, [0o666, 0o000, 0o666, 0o777], "FAIL", "a.db-wal", 1),
        (in_wal_mode_at_rest, [0o666, 0, 0, 0o777], "OK", "WAL mode", 0),
        (in_wal_mode_at_rest, [0o666, 0, 0, 0o555], "FAIL", "cannot be made", 1),
        (in_a_rollback_journal_mode, [0o666, 0, 0, 0o777], "WARN", "rollback journal, tier", 0),
        (in_a_rollback_journal_mode, [0o444, 0, 0, 0o555], "WARN", "a.db: ", 0),
        (in_a_transaction, [0o444, 0, 0, 0o555], "FAIL", "is to be rolled back", 1),
    ];
    for (make, modes, verdict, words, code) in cases {
        let shut = Shut::new(make, modes);
        shut.assert_checked(verdict, words);
        shut.assert_replicated(code);
    }
}

/// Capturing works, until the log is to be shortened.
#[test]
fn check_fails_where_no_checkpoint_can_write_the_database() {
    let _turn = shared();
    Shut::new(in_wal_mode, [0o444, 0o666, 0o666, 0o777]).assert_checked("FAIL", "a.db: ");
    Shut::new(in_a_rollback_journal_mode, [0o444, 0, 0, 0o777]).assert_checked("WARN", "a.db: ");
}
