//! Whether anybody has a database open, as far as SQLite's own locks tell.
//!
//! A connection in WAL mode holds a lock as long as it lives, once it has read; one in a rollback mode only inside of
//! transactions, so an idle one is not seen. Nothing is changed, except that a journal which a crash left is rolled
//! back, as by any reader.

use std::path::Path;

use rusqlite::Connection;

use super::exchange::open_immutable;
use super::{Checker, WAL_READ_VERSION, WRITE_VERSION_AT, sqlite};
use crate::error::ApplyError;
use crate::replica::files;

/// Whether another connection, in this process or in another one, holds a lock of the database at `path`.
pub(crate) fn is_open(path: &Path) -> Result<bool, ApplyError> {
    let is_wal =
        header(&open_immutable(path)?, path)?.get(WRITE_VERSION_AT + 1) == Some(&WAL_READ_VERSION);
    // Opened for a look, a resting database would be given a `-wal`.
    if is_wal && !files::companions_present(path)? {
        return Ok(false);
    }
    match Checker::open_alone(path) {
        Ok(_) => Ok(false),
        Err(ApplyError::Busy { .. }) => Ok(true),
        Err(error) => Err(error),
    }
}

fn header(connection: &Connection, path: &Path) -> Result<Vec<u8>, ApplyError> {
    let sql = "SELECT substr(data, 1, 100) FROM temp.sqlite_dbpage WHERE pgno=1";
    connection.query_row(sql, [], |row| row.get(0)).map_err(sqlite(path, "reading page 1"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Source;

    /// Names and contents beside the database, itself included.
    fn files(folder: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
        let entries = std::fs::read_dir(folder).unwrap();
        let mut files: Vec<_> = entries
            .map(|entry| entry.unwrap().path())
            .map(|path| (path.clone(), std::fs::read(path).unwrap()))
            .collect();
        files.sort();
        files
    }

    #[test]
    fn who_reads_is_seen_and_a_resting_database_is_left_as_it_is() {
        for (mode, is_seen_idle) in [("WAL", true), ("DELETE", false)] {
            let scratch = tempfile::tempdir().unwrap();
            let path = scratch.path().join("x.db");
            drop(Source::create(&path, 4096, "UTF-8", 40));
            let connection = Connection::open(&path).unwrap();
            connection.execute_batch(&format!("PRAGMA journal_mode={mode}")).unwrap();
            connection.execute_batch("BEGIN; SELECT count(*) FROM data").unwrap();
            assert!(is_open(&path).unwrap(), "{mode}");
            connection.execute_batch("COMMIT").unwrap();
            assert_eq!(is_open(&path).unwrap(), is_seen_idle, "{mode}");
            drop(connection);
            let before = files(scratch.path());
            assert!(!is_open(&path).unwrap(), "{mode}");
            assert!(before == files(scratch.path()), "{mode}");
        }
    }

    #[test]
    fn a_log_that_nobody_has_open_stays_as_it_is() {
        let scratch = tempfile::tempdir().unwrap();
        let (path, copy) = (scratch.path().join("x.db"), scratch.path().join("copy"));
        let source = Source::create(&path, 4096, "UTF-8", 41);
        source
            .connection
            .execute_batch("PRAGMA journal_mode=WAL; UPDATE invariant SET n=7")
            .unwrap();
        std::fs::create_dir(&copy).unwrap();
        for name in ["x.db", "x.db-wal"] {
            std::fs::copy(scratch.path().join(name), copy.join(name)).unwrap();
        }
        let before = files(&copy);
        assert!(!is_open(&copy.join("x.db")).unwrap());
        assert!(before == files(&copy));
    }
}
