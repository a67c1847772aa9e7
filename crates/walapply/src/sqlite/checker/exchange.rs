//! Exchanging the whole content of a database, page size and all, inside the same file.
//!
//! A log of frames cannot bring another page size, and a renamed file is not safe under readers that come and go: one that
//! opened the former file and asks for its first lock after the rename would read the former file together with the
//! new one's `-wal`. So the file stays, and its content becomes another in one transaction of SQLite's rollback mode.
//!
//! What must happen before what, all of it on a connection that keeps everybody else out: remove the read-only mark;
//! leave WAL mode, which moves all frames and removes `-wal` and `-shm`; foresee the schema cookie, which the copy raises
//! by one; copy. The lock is let go by the commit of the copy; whoever asked for the file meanwhile finds the new content.
//!
//! After a crash, or a failure (disk full), the file holds the former content or the new one: a journal that was left
//! behind is rolled back by whoever opens it next. The former content may then stand there without the mark, outside
//! WAL mode, and with another schema cookie; an exchange, or a change, begins with such a file as well.

use std::path::Path;

use libsqlite3_sys as ffi;
use rusqlite::Connection;
use rusqlite::config::DbConfig;

use super::Checker;
use crate::error::ApplyError;
use crate::sqlite::immutable::open_immutable;
use crate::sqlite::{MARK_WRITE_VERSION, WAL_READ_VERSION, WRITE_VERSION_AT, message, sqlite};

impl Checker {
    /// Makes the content that of the file `image`, which nobody has open, and closes the connection; it must come from
    /// [`Checker::open_alone`].
    pub(crate) fn exchange_content(self, image: &Path) -> Result<(), ApplyError> {
        let image = open_immutable(image)?;
        self.leave_wal()?;
        let wanted: i32 = image
            .query_row("PRAGMA schema_version", [], |row| row.get(0))
            .map_err(sqlite(&self.path, "reading the new schema cookie"))?;
        // From here on the next end of a transaction lets the lock go, and the journal is deleted, not kept.
        self.execute(&format!(
            "PRAGMA fullfsync=ON; PRAGMA schema_version={}; PRAGMA locking_mode=NORMAL",
            wanted.wrapping_sub(1)
        ))?;
        self.copy_from(&image)
    }

    fn leave_wal(&self) -> Result<(), ApplyError> {
        self.remove_mark()?;
        let left = self.connection.query_row("PRAGMA journal_mode=DELETE", [], |row| row.get(0));
        let mode: String = left.map_err(sqlite(&self.path, "leaving WAL mode"))?;
        if mode == "delete" {
            return Ok(());
        }
        Err(ApplyError::Busy { path: self.path.clone(), action: "leaving WAL mode" })
    }

    /// SQLite writes nothing under the mark, unless the reset flag is set after page 1 was read in the same transaction;
    /// a transaction that begins with the flag takes the database for an empty one.
    fn remove_mark(&self) -> Result<(), ApplyError> {
        self.execute("BEGIN")?;
        let (mut page_one, insert) =
            (self.page_one()?, "INSERT INTO temp.sqlite_dbpage VALUES (1, ?1)");
        let mut insert =
            self.connection.prepare(insert).map_err(sqlite(&self.path, "preparing"))?;
        if let Some(version @ &mut MARK_WRITE_VERSION) = page_one.get_mut(WRITE_VERSION_AT) {
            *version = WAL_READ_VERSION;
            self.reset_flag(true)?;
            let written = insert.execute([&page_one]);
            self.reset_flag(false)?;
            written.map_err(sqlite(&self.path, "removing the mark"))?;
        }
        drop(insert);
        self.execute("COMMIT")?;
        self.connection.release_memory().map_err(sqlite(&self.path, "releasing memory"))
    }

    fn page_one(&self) -> Result<Vec<u8>, ApplyError> {
        let sql = "SELECT data FROM temp.sqlite_dbpage WHERE pgno=1";
        let page_one = self.connection.query_row(sql, [], |row| row.get(0));
        page_one.map_err(sqlite(&self.path, "reading page 1"))
    }

    fn reset_flag(&self, on: bool) -> Result<(), ApplyError> {
        let set = self.connection.set_db_config(DbConfig::SQLITE_DBCONFIG_RESET_DATABASE, on);
        set.map(drop).map_err(sqlite(&self.path, "switching the reset flag"))
    }

    /// One transaction: SQLite's backup journals every page of the former content before it overwrites it
    /// (sqlite.org/c3ref/backup_finish.html); it parses no schema.
    fn copy_from(&self, image: &Connection) -> Result<(), ApplyError> {
        // SAFETY: both handles are open and outlive the backup, which is finished here; nobody else uses them meanwhile.
        let code = unsafe {
            let (to, from) = (self.connection.handle(), image.handle());
            let backup = ffi::sqlite3_backup_init(to, c"main".as_ptr(), from, c"main".as_ptr());
            if backup.is_null() {
                ffi::sqlite3_errcode(to)
            } else {
                // What may pass (a lock) is told by the step alone, all other errors by both.
                let stepped = ffi::sqlite3_backup_step(backup, -1);
                let finished = ffi::sqlite3_backup_finish(backup);
                if stepped == ffi::SQLITE_DONE { finished } else { stepped }
            }
        };
        if code == ffi::SQLITE_OK {
            return Ok(());
        }
        Err(ApplyError::Sqlite {
            path: self.path.clone(),
            action: "exchanging the content",
            code,
            detail: message(&self.connection),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Image, Source, integrity};

    /// The steps before the copy, each followed by a crash.
    #[test]
    fn until_the_copy_the_content_is_the_former_one() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("x.db");
        let image = Source::create(&path, 4096, "UTF-8", 30).image();
        let steps: [fn(&Checker); 2] =
            [|alone| alone.remove_mark().unwrap(), |alone| alone.leave_wal().unwrap()];
        for mark in [[3, 2], [2, 2]] {
            for step in steps {
                let mut pages = image.pages.clone();
                pages[0][WRITE_VERSION_AT..WRITE_VERSION_AT + 2].copy_from_slice(&mark);
                std::fs::write(&path, pages.concat()).unwrap();
                let alone = Checker::open_alone(&path).unwrap();
                step(&alone);
                drop(alone);
                assert_eq!(Image::of(&path).hashes(), image.hashes());
                assert_eq!(integrity(&path), "ok");
            }
        }
    }
}
