use std::path::PathBuf;

use rusqlite::Connection;

use super::*;
use crate::sqlite::{Applier, Encoding};

/// A database of somebody else in this journal mode, with its writer still there.
fn foreign(path: &Path, mode: &str) -> Connection {
    let connection = Connection::open(path).unwrap();
    let sql = format!("PRAGMA journal_mode={mode}; CREATE TABLE t(x); INSERT INTO t VALUES(1)");
    connection.execute_batch(&sql).unwrap();
    connection
}

fn is_refused(path: &Path, remembered: Option<FileId>) -> bool {
    match check(path, remembered) {
        Ok(_) => false,
        Err(ApplyError::NotOurs(named)) => named == path,
        Err(error) => panic!("{error}"),
    }
}

fn all_bytes(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut all: Vec<_> = paths.map(|path| (path.clone(), fs::read(&path).unwrap())).collect();
    all.sort();
    all
}

#[test]
fn what_others_made_is_refused_and_not_touched() {
    for mode in ["WAL", "DELETE"] {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("x.db");
        let writer = foreign(&path, mode);
        writer.execute_batch("PRAGMA locking_mode=NORMAL; BEGIN IMMEDIATE").unwrap();
        let before = all_bytes(scratch.path());
        assert!(is_refused(&path, None), "{mode}");
        let other = FileId::of(scratch.path()).unwrap();
        assert!(is_refused(&path, other), "another file is remembered, {mode}");
        assert!(before == all_bytes(scratch.path()), "{mode}");
        writer.execute_batch("COMMIT; INSERT INTO t VALUES(2)").unwrap();
        let itself = FileId::of(&path).unwrap();
        assert!(check(&path, itself).unwrap().has_content, "{mode}");
    }
    let scratch = tempfile::tempdir().unwrap();
    for bytes in [&b"precious"[..], &[7; 100_000]] {
        let path = scratch.path().join("x.db");
        fs::write(&path, bytes).unwrap();
        assert!(is_refused(&path, None));
        fs::remove_file(&path).unwrap();
    }
}

#[test]
fn the_mark_is_seen_in_the_file_and_in_its_log() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("x.db");
    drop(foreign(&path, "WAL"));
    let mut applier = Applier::open(&path, Encoding::Utf8).unwrap();
    applier.begin().unwrap();
    let page_one = super::super::marked(&applier.page_one().unwrap(), 2);
    applier.upgrade(&page_one).unwrap();
    applier.commit(2).unwrap();
    assert!(!is_marked(&path).unwrap(), "nothing was moved into the file yet");
    assert!(check(&path, None).unwrap().has_content);
    fs::copy(files::companion(&path, "-wal"), scratch.path().join("y.db-wal")).unwrap();
    let orphan = scratch.path().join("y.db");
    assert!(!check(&orphan, None).unwrap().has_content, "a log of ours without its database");
    drop(applier);
    assert!(is_marked(&path).unwrap());
    assert!(!is_refused(&path, None));
}

#[test]
fn what_has_no_content_is_ours_unless_a_log_lies_beside_it() {
    let scratch = tempfile::tempdir().unwrap();
    let (path, other) = (scratch.path().join("x.db"), scratch.path().join("other.db"));
    let held = check(&path, None).unwrap();
    assert!(!held.has_content);
    held.check_unchanged(&path).unwrap();
    fs::write(&path, b"").unwrap();
    assert!(held.check_unchanged(&path).is_err(), "a file has come");
    let held = check(&path, None).unwrap();
    held.check_unchanged(&path).unwrap();
    let writer = foreign(&other, "WAL");
    for (ending, bytes) in [
        ("-wal", fs::read(files::companion(&other, "-wal")).unwrap()),
        ("-wal", vec![7; 50]),
        ("-journal", vec![7; 50]),
    ] {
        let companion = files::companion(&path, ending);
        fs::write(&companion, &bytes).unwrap();
        assert!(is_refused(&path, None), "{ending} of {} bytes", bytes.len());
        fs::remove_file(&companion).unwrap();
    }
    drop(writer);
    fs::write(files::companion(&path, "-wal"), &[7; LOG_HEADER][..]).unwrap();
    assert!(!is_refused(&path, None), "no frame");
    fs::write(&path, b"content").unwrap();
    assert!(held.check_unchanged(&path).is_err(), "it has come by content");
}
