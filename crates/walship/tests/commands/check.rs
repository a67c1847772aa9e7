//! `walship check`.

use std::fs;

use crate::host::{Host, stderr, stdout, tree};

const CREATE: &str = "c.execute('PRAGMA journal_mode=WAL'); c.execute('CREATE TABLE t(x)')
for i in range(200): c.execute('INSERT INTO t VALUES(?)', ('x' * 500,))";
/// Leaves a hot journal, and changed pages in the database file.
const DIE_IN_TRANSACTION: &str = "c.execute('CREATE TABLE t(x)'); c.execute('BEGIN')
for i in range(2000): c.execute('INSERT INTO t VALUES(?)', ('x' * 500,))
c.execute('COMMIT')
c.execute('PRAGMA cache_size=5'); c.execute('BEGIN'); c.execute(\"UPDATE t SET x = 'y' || x\")
os._exit(0)";

fn assert_changes_nothing(host: &Host, code: i32) {
    let before = tree(&host.path(""));
    let output = host.run(&["check"]);
    assert_eq!(output.status.code(), Some(code), "{}", stdout(&output));
    let after = tree(&host.path(""));
    let names = |tree: &std::collections::BTreeMap<_, _>| tree.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&before), names(&after));
    let changed = before.iter().find(|(path, facts)| after[*path] != **facts);
    assert!(changed.is_none(), "{:?} is not what it was", changed.map(|(path, _)| path));
}

#[test]
fn nothing_is_made_or_changed() {
    let host = Host::new("store");
    drop(host.application("live", &format!("{CREATE}\nos._exit(0)")));
    drop(host.application("hot", DIE_IN_TRANSACTION));
    fs::remove_file(host.path("db/live.db-shm")).expect("removed");
    assert!(host.path("db/live.db-wal").exists() && host.path("db/hot.db-journal").exists());
    assert_changes_nothing(&host, 0);
    assert_eq!(host.run(&["replicate", "--once"]).status.code(), Some(0));
    assert!(host.path("store/log").exists());
    assert_changes_nothing(&host, 0);
}

#[test]
fn a_store_that_cannot_be_made_fails_as_it_would_for_replicate() {
    for store in ["walship.toml/store", "/proc/walship/store"] {
        let host = Host::new(store);
        for command in [&["check"][..], &["replicate", "--once"]] {
            let output = host.run(command);
            assert_eq!(output.status.code(), Some(2), "{command:?}: {}", stderr(&output));
        }
        let store = host.json("check");
        let line = store.as_array().expect("lines").iter().find(|line| line["verdict"] == "FAIL");
        let hint = line.expect("a line that fails")["hint"].as_str().unwrap_or_default();
        assert!(hint.contains("[store]"), "{store}");
    }
    let host = Host::new("far/away/store");
    assert_changes_nothing(&host, 0);
    assert!(stdout(&host.run(&["check"])).contains("not there yet"));
}

#[test]
fn a_state_folder_that_cannot_be_used_is_named() {
    let host = Host::new("store");
    fs::write(host.path("state"), "").expect("written");
    assert_eq!(host.run(&["check"]).status.code(), Some(1));
    fs::remove_file(host.path("state")).expect("removed");
    fs::create_dir(host.path("state")).expect("made");
    let layout = r#"{"program":"walapply","version":1}"#;
    fs::write(host.path("state/layout.json"), layout).expect("written");
    let output = host.run(&["check"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("belongs to walapply"), "{}", stderr(&output));
}

#[test]
fn who_holds_a_database_exclusively_is_named() {
    let host = Host::new("store");
    let exclusive = format!("c.execute('PRAGMA locking_mode=EXCLUSIVE')\n{CREATE}");
    let holder = host.application("mine", &exclusive);
    let shared = host.application("ours", CREATE);
    let output = host.run(&["check"]);
    assert_eq!(output.status.code(), Some(1));
    let words = format!("process {} holds it exclusively", holder.0.id());
    assert!(stderr(&output).contains(&words), "{}", stderr(&output));
    let ours = stdout(&output).lines().find(|line| line.contains("ours")).map(str::to_owned);
    assert!(ours.is_some_and(|line| line.starts_with("OK")), "{}", stdout(&output));
    drop((holder, shared));
    assert_eq!(host.run(&["check"]).status.code(), Some(0));
}

/// A service that synchronises a folder puts older files back, and uploads a database and its log at different moments.
#[test]
fn folders_that_a_service_synchronises_are_refused_by_name() {
    let host = Host::new("store");
    drop(host.application("a", CREATE));
    assert_eq!(host.run(&["check"]).status.code(), Some(0));
    fs::create_dir(host.path("db/.stfolder")).expect("made");
    let line = host.json("check");
    let found = line.as_array().expect("lines").iter().find(|line| line["check"] == "database a");
    let found = found.expect("a line of the database");
    assert_eq!(found["verdict"], "FAIL", "{found}");
    assert!(found["found"].as_str().is_some_and(|why| why.contains(".stfolder")), "{found}");
    let output = host.run(&["replicate", "--once"]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("a (refused)"), "{}", stderr(&output));

    fs::create_dir_all(host.path("Dropbox/db")).expect("made");
    let config = fs::read_to_string(host.path("walship.toml")).expect("it is there");
    let synced = config.replace("state_dir = \"state\"", "state_dir = \"Dropbox/state\"");
    fs::write(host.path("walship.toml"), synced).expect("written");
    let output = host.run(&["replicate", "--once"]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains("(Dropbox)"), "{}", stderr(&output));
}
