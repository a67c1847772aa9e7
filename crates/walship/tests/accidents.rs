//! What happens on a host on bad days: a volume that is not mounted, a state folder that is lost, a store
//! that was set back. None of it may retire a database or begin a new log in silence.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

struct Host(tempfile::TempDir);

impl Host {
    /// Two databases, shipped once.
    fn new() -> Self {
        let host = Self(tempfile::tempdir().expect("a temporary folder"));
        fs::create_dir(host.path("db")).expect("a folder");
        for name in ["a", "b"] {
            let create = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None)
c.execute('PRAGMA journal_mode=WAL'); c.execute('CREATE TABLE t(x)'); c.execute('INSERT INTO t VALUES(1)')";
            let path = host.path(&format!("db/{name}.db"));
            let made = Command::new("python3").args(["-c", create]).arg(path).status();
            assert!(made.expect("python3 starts").success());
        }
        host.configure("anvil", "state");
        assert_eq!(host.run(&["replicate", "--once"]).status.code(), Some(0));
        host
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    fn configure(&self, node: &str, state: &str) {
        let text = format!(
            "fleet = \"anvil\"\nnode = \"{node}\"\nstate_dir = \"{state}\"\n\
             [store]\nkind = \"local\"\npath = \"store\"\n\
             [[databases]]\nglob = \"db/*.db\"\ntier = \"p1\"\n"
        );
        fs::write(self.path("walship.toml"), text).expect("written");
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_walship"));
        command.args(arguments).arg("-c").arg(self.path("walship.toml"));
        command.output().expect("walship starts")
    }

    fn states(&self) -> Vec<String> {
        let output = self.run(&["status", "--json"]);
        let status: Value = serde_json::from_slice(&output.stdout).expect("one JSON document");
        let databases = status["databases"].as_array().expect("a list");
        databases.iter().map(|d| d["state"].as_str().expect("a word").to_owned()).collect()
    }

    fn refused(&self, code: i32, words: &str) {
        for command in [&["replicate", "--once"][..], &["check"]] {
            let output = self.run(command);
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(code), "{command:?}: {text}");
            assert!(text.contains(words), "{command:?}: {text}");
        }
    }
}

fn rename(from: &Path, to: &Path) {
    fs::rename(from, to).expect("renamed");
}

#[test]
fn a_lost_state_folder_and_a_missing_volume_retire_nothing() {
    let host = Host::new();
    fs::remove_dir_all(host.path("state")).expect("removed");
    rename(&host.path("db"), &host.path("away"));
    let output = host.run(&["replicate", "--once"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("no rule of the configuration finds it")
    );
    assert_eq!(host.states(), ["live", "live"]);
}

#[test]
fn files_that_vanish_from_a_pattern_are_missing_and_come_back() {
    let host = Host::new();
    rename(&host.path("db"), &host.path("away"));
    assert_eq!(host.run(&["replicate", "--once"]).status.code(), Some(0));
    assert_eq!(host.states(), ["missing", "missing"]);
    rename(&host.path("away"), &host.path("db"));
    assert_eq!(host.run(&["replicate", "--once"]).status.code(), Some(0));
    assert_eq!(host.states(), ["live", "live"]);
}

#[test]
fn what_the_configuration_no_longer_means_is_retired() {
    let host = Host::new();
    let text = fs::read_to_string(host.path("walship.toml")).expect("read");
    fs::write(host.path("walship.toml"), text.replace("*.db", "a.db")).expect("written");
    let output = host.run(&["replicate", "--once"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("retired"));
    let mut states = host.states();
    states.sort();
    assert_eq!(states, ["live", "retired"]);
}

#[test]
fn a_store_that_is_gone_is_not_begun_anew() {
    let host = Host::new();
    rename(&host.path("store"), &host.path("away"));
    host.refused(5, "is a volume not mounted?");
    assert!(!host.path("store").exists(), "nothing was made");
    fs::create_dir(host.path("store")).expect("an empty mount point");
    host.refused(4, "holds no log");
}

#[test]
fn a_store_that_was_set_back_is_named() {
    let host = Host::new();
    let log = host.path("store/log");
    let last = fs::read_dir(&log).expect("a folder").map(|e| e.expect("an entry").path()).max();
    fs::remove_file(last.expect("a log object")).expect("removed");
    host.refused(4, "was set back");
    fs::remove_file(host.path("state/log.json")).expect("removed");
    assert_eq!(host.run(&["replicate", "--once"]).status.code(), Some(0));
}

#[test]
fn another_node_is_told_by_check_what_replicate_would_say() {
    let host = Host::new();
    host.configure("other", "state-of-other");
    host.refused(3, "belongs to anvil");
}
