//! Ending and starting: what was committed is durable when the program ends, and a restart uploads no pages again.
//!
//! Stories. A database whose first section named its base and held no page (nothing was written meanwhile) could not be
//! told from the log, since reading that section failed; without the cache of page hashes, as after a kill, every
//! such database got a new base at each start. And a database that appeared just before the end was either not looked
//! for any more, or made the program end with an error while its base was on its way.

use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// The objects of the store that hold pages: all but those of the log.
fn images(store: &Path) -> usize {
    let folders = ["snap", "side"].map(|folder| store.join(folder));
    folders.iter().map(|folder| count_files(folder)).sum()
}

fn count_files(path: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(path) else { return usize::from(path.is_file()) };
    entries.map(|entry| count_files(&entry.unwrap().path())).sum()
}

fn log_bytes(store: &Path) -> u64 {
    let entries = std::fs::read_dir(store.join("log")).unwrap();
    entries.map(|entry| entry.unwrap().metadata().unwrap().len()).sum()
}

fn replicate(root: &Path) -> Command {
    let mut walship = Command::new(env!("CARGO_BIN_EXE_walship"));
    walship.args(["replicate", "-c"]).arg(root.join("walship.toml"));
    walship
}

fn make_database(path: &Path) {
    let connection = rusqlite::Connection::open(path).unwrap();
    connection.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t(x);").unwrap();
    connection.execute("INSERT INTO t VALUES (randomblob(200000))", []).unwrap();
}

fn make_fleet(root: &Path) {
    let mut config = "fleet = \"f\"\nnode = \"n\"\nstate_dir = \"state\"\n[store]\nkind = \"local\"\npath = \"store\"\n".to_owned();
    for name in ["a", "b"] {
        make_database(&root.join(format!("{name}.db")));
        config += &format!("[[databases]]\npath = \"{name}.db\"\ntier = \"p1\"\n");
    }
    std::fs::write(root.join("walship.toml"), config).unwrap();
}

fn ship(root: &Path) {
    let ended = replicate(root).arg("--once").output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
}

#[test]
fn a_restart_uploads_no_pages_even_when_its_cache_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    make_fleet(folder.path());
    ship(folder.path());
    assert_eq!(images(&store), 2, "one base each");
    for is_lost in [false, true] {
        if is_lost {
            std::fs::remove_dir_all(folder.path().join("state")).unwrap();
        }
        let before = log_bytes(&store);
        ship(folder.path());
        assert_eq!(images(&store), 2, "state lost: {is_lost}");
        assert!(log_bytes(&store) - before < 10_000, "pages were shipped");
    }
}

fn until(what: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !what() {
        assert!(Instant::now() < deadline, "it takes too long");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn end(mut walship: Child) {
    kill_process(Pid::from_child(&walship), Signal::TERM).unwrap();
    assert!(walship.wait().unwrap().success());
}

#[test]
fn a_database_that_appears_just_before_the_end_is_shipped() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    make_fleet(folder.path());
    std::fs::remove_file(folder.path().join("b.db")).unwrap();
    let walship = replicate(folder.path()).stderr(std::process::Stdio::null()).spawn().unwrap();
    until(|| store.join("log/00000000000000000002.seg").exists());
    assert_eq!(images(&store), 1);
    make_database(&folder.path().join("b.db"));
    end(walship);
    assert_eq!(images(&store), 2, "the base of b");
}
