//! A restart without changes uploads no pages, whatever is left of the state folder.
//!
//! Story: a database whose first section named its base and held no page (nothing was written meanwhile) could not be
//! told from the log, since reading that section failed; without the cache of page hashes, as after a kill, every
//! such database got a new base at each start.

use std::path::Path;
use std::process::Command;

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

fn make_fleet(root: &Path) {
    let mut config = "fleet = \"f\"\nnode = \"n\"\nstate_dir = \"state\"\n[store]\nkind = \"local\"\npath = \"store\"\n".to_owned();
    for name in ["a", "b"] {
        let path = root.join(format!("{name}.db"));
        let connection = rusqlite::Connection::open(&path).unwrap();
        connection.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t(x);").unwrap();
        connection.execute("INSERT INTO t VALUES (randomblob(200000))", []).unwrap();
        config += &format!("[[databases]]\npath = \"{name}.db\"\ntier = \"p1\"\n");
    }
    std::fs::write(root.join("walship.toml"), config).unwrap();
}

fn ship(root: &Path) {
    let mut walship = Command::new(env!("CARGO_BIN_EXE_walship"));
    let walship = walship.args(["replicate", "--once", "-c"]).arg(root.join("walship.toml"));
    let ended = walship.output().unwrap();
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
