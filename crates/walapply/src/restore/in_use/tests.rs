use std::io::{BufRead, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};

use rusqlite::Connection;

use super::*;
use crate::testing::Source;

/// Runs each line of its input as SQL.
const SHELL: &str = "
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
for line in sys.stdin:
    connection.execute(line).fetchall()
    print('done', flush=True)
";

/// Another process that has a database open.
pub(in crate::restore) struct Elsewhere {
    process: Child,
    input: ChildStdin,
    output: BufReader<std::process::ChildStdout>,
}

impl Elsewhere {
    pub(in crate::restore) fn open(path: &Path) -> Self {
        let mut process = Command::new("python3")
            .args(["-c", SHELL])
            .arg(path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = process.stdin.take().unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        Self { process, input, output }
    }

    pub(in crate::restore) fn run(&mut self, sql: &str) {
        writeln!(self.input, "{sql}").unwrap();
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        assert_eq!(line, "done\n", "{sql}");
    }

    pub(in crate::restore) fn close(mut self) {
        drop(self.input);
        assert!(self.process.wait().unwrap().success());
    }
}

/// Names and contents in a folder.
pub(in crate::restore) fn files_of(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut files: Vec<_> = entries
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.clone(), std::fs::read(path).unwrap()))
        .collect();
    files.sort();
    files
}

/// Copies a database whose writer was killed in mid-transaction: half of it is in the file, and a journal that takes it
/// back lies beside.
pub(in crate::restore) fn cut_short(path: &Path) {
    let scratch = tempfile::tempdir().unwrap();
    let live = scratch.path().join("x.db");
    drop(Source::create(&live, 4096, "UTF-8", 42));
    let writer = Connection::open(&live).unwrap();
    writer
        .execute_batch(
            "PRAGMA journal_mode=DELETE; PRAGMA cache_size=5; CREATE TABLE filling(b);
             WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 200)
             INSERT INTO filling SELECT randomblob(3000) FROM n;
             BEGIN; UPDATE filling SET b = randomblob(3000)",
        )
        .unwrap();
    for suffix in ["", "-journal"] {
        let copy = files::companion(path, suffix);
        std::fs::copy(files::companion(&live, suffix), copy).unwrap();
    }
}

#[test]
fn who_reads_is_seen_and_a_resting_database_is_left_as_it_is() {
    for (mode, is_seen_idle) in [("WAL", true), ("DELETE", false)] {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("x.db");
        drop(Source::create(&path, 4096, "UTF-8", 40));
        let mut other = Elsewhere::open(&path);
        other.run(&format!("PRAGMA journal_mode={mode}"));
        other.run("BEGIN");
        other.run("SELECT count(*) FROM data");
        assert!(is_open_elsewhere(&path).unwrap(), "{mode}");
        other.run("COMMIT");
        assert_eq!(is_open_elsewhere(&path).unwrap(), is_seen_idle, "{mode}");
        other.close();
        let before = files_of(scratch.path());
        assert!(!is_open_elsewhere(&path).unwrap(), "{mode}");
        assert!(before == files_of(scratch.path()), "{mode}");
    }
}

#[test]
fn what_a_crash_left_stays_as_it_is() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("x.db");
    cut_short(&path);
    let before = files_of(scratch.path());
    assert!(!is_open_elsewhere(&path).unwrap());
    assert!(before == files_of(scratch.path()));
    // What the test stands on: it is a journal that SQLite would roll back.
    let reader = Connection::open(&path).unwrap();
    reader.execute_batch("SELECT count(*) FROM filling").unwrap();
    assert!(before != files_of(scratch.path()));
}

#[test]
fn what_is_no_database_is_not_open() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("x.db");
    assert!(!is_open_elsewhere(&path).unwrap());
    std::fs::write(&path, "text").unwrap();
    assert!(!is_open_elsewhere(&path).unwrap());
    let link = scratch.path().join("link");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    assert!(is_open_elsewhere(&link).is_err());
    assert!(is_open_elsewhere(scratch.path()).is_err());
}
