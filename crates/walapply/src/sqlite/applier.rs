//! The connection that writes pages.
//!
//! Its main database is `:memory:`, the standby's file is attached as `replica`, so that nothing in the file's schema can
//! catch or disturb a write. It never queries a b-tree (it would keep a stale schema for ever).
//!
//! What must happen before what, in one transaction: [`Applier::begin`] (a read transaction), [`Applier::page_one`],
//! [`Applier::upgrade`] (to a write transaction, under the file's read-only mark), [`Applier::put`] as often as needed,
//! [`Applier::commit`] (which appends the truncation). A dropped or failed transaction leaves the file as it was.

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::path::{Path, PathBuf};
use std::ptr;

use libsqlite3_sys as ffi;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use segment::PageNo;

use super::{BUSY_TIMEOUT, Encoding, message, sqlite, utf8};
use crate::error::ApplyError;

/// A `-wal` file that grew beyond this is cut back when it is next restarted.
const WAL_KEPT_BYTES: u64 = 16 << 20;

const INSERT: &CStr =
    c"INSERT INTO main.sqlite_dbpage(pgno, data, schema) VALUES (?1, ?2, 'replica')";
const NO_TRANSACTION: &str = "failed to open transaction";

/// The connection that writes pages into one standby database.
pub(crate) struct Applier {
    insert: *mut ffi::sqlite3_stmt,
    connection: Connection,
    path: PathBuf,
    /// Pages after the running transaction; SQLite is told last.
    open: bool,
}

// SAFETY: the statement belongs to the connection and is only used through `&mut self`; SQLite allows a connection to
// move between threads (sqlite.org/threadsafe.html, multi-thread mode).
unsafe impl Send for Applier {}

impl Applier {
    /// Attaches the existing database at `path`, whose text encoding must be known beforehand.
    pub(crate) fn open(path: &Path, encoding: Encoding) -> Result<Self, ApplyError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX
            | OpenFlags::SQLITE_OPEN_NOFOLLOW;
        let connection =
            Connection::open_in_memory_with_flags(flags).map_err(sqlite(path, "opening memory"))?;
        connection
            .execute_batch(encoding.pragma())
            .map_err(sqlite(path, "choosing the encoding"))?;
        connection
            .set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, false)
            .map_err(sqlite(path, "allowing page writes"))?;
        // Before ATTACH: a schema with garbage in it fails the ATTACH otherwise.
        connection
            .execute_batch("PRAGMA writable_schema=ON")
            .map_err(sqlite(path, "tolerating the schema"))?;
        connection.busy_timeout(BUSY_TIMEOUT).map_err(sqlite(path, "setting the lock timeout"))?;
        connection
            .execute("ATTACH ?1 AS replica", [utf8(path)?])
            .map_err(sqlite(path, "attaching"))?;
        let settings = format!(
            "PRAGMA replica.synchronous=NORMAL; PRAGMA replica.wal_autocheckpoint=0; \
             PRAGMA replica.journal_size_limit={WAL_KEPT_BYTES}"
        );
        connection.execute_batch(&settings).map_err(sqlite(path, "setting up the connection"))?;
        // SAFETY: the handle is open, the callback is a plain function without state.
        unsafe {
            ffi::sqlite3_autovacuum_pages(
                connection.handle(),
                Some(vacuum_no_pages),
                ptr::null_mut(),
                None,
            )
        };
        let insert = prepare_insert(&connection, path)?;
        Ok(Self { insert, connection, path: path.to_owned(), open: false })
    }

    /// Begins a read transaction; nothing is locked against anybody yet.
    pub(crate) fn begin(&mut self) -> Result<(), ApplyError> {
        self.execute("BEGIN", "beginning")?;
        self.open = true;
        Ok(())
    }

    /// Page 1 as the running transaction sees it.
    pub(crate) fn page_one(&self) -> Result<Vec<u8>, ApplyError> {
        self.page(PageNo::FIRST)
    }

    /// A page as the running transaction sees it.
    pub(crate) fn page(&self, page: PageNo) -> Result<Vec<u8>, ApplyError> {
        let sql = "SELECT data FROM main.sqlite_dbpage('replica') WHERE pgno=?1";
        let mut statement =
            self.connection.prepare_cached(sql).map_err(sqlite(&self.path, "reading a page"))?;
        let image = statement.query_row([page.get()], |row| row.get(0));
        image.map_err(sqlite(&self.path, "reading a page"))
    }

    /// A number that changes when anybody but this connection committed; only to be compared for equality.
    pub(crate) fn data_version(&self) -> Result<i64, ApplyError> {
        let sql = "PRAGMA replica.data_version";
        self.connection
            .query_row(sql, [], |row| row.get(0))
            .map_err(sqlite(&self.path, "reading data_version"))
    }

    /// Shows every page of the running transaction, in order.
    pub(crate) fn scan(&self, mut show: impl FnMut(PageNo, &[u8])) -> Result<(), ApplyError> {
        let failed = || sqlite(&self.path, "reading pages");
        let sql = "SELECT pgno, data FROM main.sqlite_dbpage('replica')";
        let mut statement = self.connection.prepare(sql).map_err(failed())?;
        let mut rows = statement.query([]).map_err(failed())?;
        while let Some(row) = rows.next().map_err(failed())? {
            let number: u32 = row.get(0).map_err(failed())?;
            let image = row.get_ref(1).map_err(failed())?.as_blob().unwrap_or_default();
            if let Some(page) = PageNo::new(number) {
                show(page, image);
            }
        }
        Ok(())
    }

    /// Turns the read transaction into a write transaction in spite of the read-only mark, and writes `page_one`.
    ///
    /// The reset flag makes SQLite forget the mark for one call; it is off again before anything else happens.
    /// [`ApplyError::Busy`] when another process holds the write lock: roll back and begin anew, for no busy handler
    /// runs here.
    pub(crate) fn upgrade(&mut self, page_one: &[u8]) -> Result<(), ApplyError> {
        self.reset_flag(true)?;
        let written = self.insert(1, Some(page_one));
        self.reset_flag(false)?;
        written
    }

    /// Writes one page.
    pub(crate) fn put(&mut self, page: PageNo, image: &[u8]) -> Result<(), ApplyError> {
        self.insert(i64::from(page.get()), Some(image))
    }

    /// Cuts the file to `pages_after` and commits. Afterwards the page cache is empty, without which later transactions
    /// were refused as malformed.
    pub(crate) fn commit(&mut self, pages_after: u32) -> Result<(), ApplyError> {
        self.insert(i64::from(pages_after) + 1, None)?;
        self.execute("COMMIT", "committing")?;
        self.open = false;
        self.connection.release_memory().map_err(sqlite(&self.path, "releasing memory"))
    }

    /// Ends the running transaction, if any, without a trace.
    pub(crate) fn rollback(&mut self) {
        let _ = self.reset_flag(false);
        if !self.connection.is_autocommit()
            && let Err(error) = self.execute("ROLLBACK", "rolling back")
        {
            // The statement that failed may have rolled back by itself (disk full, I/O error); nothing is left to undo.
            tracing::debug!(%error, "nothing to roll back");
        }
        let _ = self.connection.release_memory();
        self.open = false;
    }

    /// Whether a transaction is running.
    pub(crate) fn in_transaction(&self) -> bool {
        self.open
    }

    fn execute(&self, sql: &str, action: &'static str) -> Result<(), ApplyError> {
        self.connection.execute_batch(sql).map_err(sqlite(&self.path, action))
    }

    fn reset_flag(&self, on: bool) -> Result<(), ApplyError> {
        let set = self.connection.set_db_config(DbConfig::SQLITE_DBCONFIG_RESET_DATABASE, on);
        set.map(drop).map_err(sqlite(&self.path, "switching the reset flag"))
    }

    /// One row per INSERT, always: a multi-row INSERT or a SAVEPOINT after page 1 loses the truncation silently.
    fn insert(&mut self, page: i64, image: Option<&[u8]>) -> Result<(), ApplyError> {
        let length = image.map_or(0, <[u8]>::len);
        let length = c_int::try_from(length)
            .map_err(|_| self.refused(ffi::SQLITE_TOOBIG, "a page is too long"))?;
        // SAFETY: the statement is live as long as `self`; the blob outlives the step and is unbound by the next bind
        // before anybody reads it again.
        let failed = unsafe {
            ffi::sqlite3_bind_int64(self.insert, 1, page);
            match image {
                Some(image) => ffi::sqlite3_bind_blob(
                    self.insert,
                    2,
                    image.as_ptr().cast(),
                    length,
                    ffi::SQLITE_STATIC(),
                ),
                None => ffi::sqlite3_bind_null(self.insert, 2),
            };
            let stepped = ffi::sqlite3_step(self.insert);
            let reset = ffi::sqlite3_reset(self.insert);
            // SQLite's words are those of its last call.
            let failed = (stepped != ffi::SQLITE_DONE).then(|| self.insert_failed(reset));
            ffi::sqlite3_bind_null(self.insert, 2);
            failed
        };
        failed.map_or(Ok(()), Err)
    }

    fn insert_failed(&self, code: c_int) -> ApplyError {
        let detail = message(&self.connection);
        if detail.contains(NO_TRANSACTION) || code & 0xff == ffi::SQLITE_BUSY {
            return ApplyError::Busy { path: self.path.clone(), action: "writing" };
        }
        self.refused(code, &detail)
    }

    fn refused(&self, code: c_int, detail: &str) -> ApplyError {
        ApplyError::Sqlite {
            path: self.path.clone(),
            action: "writing a page",
            code,
            detail: detail.to_owned(),
        }
    }
}

impl Drop for Applier {
    fn drop(&mut self) {
        // SAFETY: finalised once, before the connection that follows it is closed.
        unsafe { ffi::sqlite3_finalize(self.insert) };
    }
}

/// Keeps COMMIT from moving pages when the source switches auto_vacuum: no page is ever vacuumed by our commits.
unsafe extern "C" fn vacuum_no_pages(
    _: *mut c_void,
    _: *const c_char,
    _: c_uint,
    _: c_uint,
    _: c_uint,
) -> c_uint {
    0
}

fn prepare_insert(
    connection: &Connection,
    path: &Path,
) -> Result<*mut ffi::sqlite3_stmt, ApplyError> {
    let mut statement = ptr::null_mut();
    // SAFETY: the handle is open, the text is terminated, the result is checked before use.
    let code = unsafe {
        let flags = ffi::SQLITE_PREPARE_PERSISTENT as c_uint;
        ffi::sqlite3_prepare_v3(
            connection.handle(),
            INSERT.as_ptr(),
            -1,
            flags,
            &mut statement,
            ptr::null_mut(),
        )
    };
    if code == ffi::SQLITE_OK {
        return Ok(statement);
    }
    Err(ApplyError::Sqlite {
        path: path.to_owned(),
        action: "preparing",
        code,
        detail: message(connection),
    })
}
