//! SQLite's calls that applying stands on; the only unsafe code of this crate.
//!
//! Two kinds of connection to a standby database:
//! - [`Applier`] writes pages. Its main database is `:memory:`, the standby's file is attached as `replica`, so that
//!   nothing in the file's schema can catch or disturb a write. It never queries a b-tree (it would keep a stale schema
//!   for ever).
//! - [`Checker`] looks from outside, as any reader does: page count, header, checkpoint, and all pages.
//!
//! What must happen before what, in one transaction of an [`Applier`]: [`Applier::begin`] (a read transaction),
//! [`Applier::page_one`], [`Applier::upgrade`] (to a write transaction, under the file's read-only mark),
//! [`Applier::put`] as often as needed, [`Applier::commit`] (which appends the truncation). A dropped or failed transaction
//! leaves the file as it was.
//!
//! No file of a database is ever opened by a plain file call here: closing that descriptor would drop the POSIX locks that SQLite
//! holds in this process (sqlite.org/howtocorrupt.html, 2.2).

mod exchange;

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::path::{Path, PathBuf};
use std::ptr;
use std::time::{Duration, Instant};

use libsqlite3_sys as ffi;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use segment::{PageNo, PageSize};

use crate::error::ApplyError;

/// The read-only mark: file-format write version 3, which no SQLite can write (sqlite.org/fileformat2.html, 1.3.3).
pub(crate) const MARK_WRITE_VERSION: u8 = 3;
/// File-format read version 2: WAL.
pub(crate) const WAL_READ_VERSION: u8 = 2;
/// Offset of the write version in page 1; the read version follows it.
pub(crate) const WRITE_VERSION_AT: usize = 18;
/// Offset of the number of pages in page 1.
pub(crate) const SIZE_AT: usize = 28;
/// Offset of the text encoding in page 1: 1 UTF-8, 2 UTF-16le, 3 UTF-16be, 0 not chosen yet.
const ENCODING_AT: usize = 56;

/// The oldest SQLite without the WAL-reset bug is 3.51.3 (sqlite.org/wal.html); the recipe below is proven with this line.
const VERSION_MIN: c_int = 3_051_003;
/// Longest wait of one SQLite call for a lock of another process.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest wait for other connections to close; whoever wants the database alone asks again later.
const ALONE_TIMEOUT: Duration = Duration::from_millis(100);
/// Pause between two tries: readers that come and go all the time leave it to nobody for no longer than this.
const ALONE_PAUSE: Duration = Duration::from_micros(200);
/// A `-wal` file that grew beyond this is cut back when it is next restarted.
const WAL_KEPT_BYTES: u64 = 16 << 20;

const INSERT: &CStr =
    c"INSERT INTO main.sqlite_dbpage(pgno, data, schema) VALUES (?1, ?2, 'replica')";
const NO_TRANSACTION: &str = "failed to open transaction";

/// Proves that the SQLite in this program can do what applying needs.
///
/// # Errors
/// [`ApplyError::Library`] names what is missing.
pub(crate) fn assert_library() -> Result<(), ApplyError> {
    // SAFETY: takes no argument and only returns a constant.
    let version = unsafe { ffi::sqlite3_libversion_number() };
    if version < VERSION_MIN || version != ffi::SQLITE_VERSION_NUMBER {
        return Err(ApplyError::Library(format!(
            "version {version}, built for {}",
            ffi::SQLITE_VERSION_NUMBER
        )));
    }
    [c"ENABLE_DBPAGE_VTAB", c"ENABLE_SNAPSHOT"].into_iter().try_for_each(|option| {
        // SAFETY: the argument is a terminated string that the call only reads.
        match unsafe { ffi::sqlite3_compileoption_used(option.as_ptr()) } {
            0 => Err(ApplyError::Library(format!(
                "compile option SQLITE_{} is missing",
                option.to_string_lossy()
            ))),
            _ => Ok(()),
        }
    })
}

/// Text encoding of a database, as its header tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// UTF-8, or not chosen yet.
    Utf8,
    /// UTF-16, little-endian.
    Utf16le,
    /// UTF-16, big-endian.
    Utf16be,
}

impl Encoding {
    /// The encoding that a page 1 declares; garbage counts as UTF-8, which SQLite then refuses by itself.
    pub(crate) fn of_page_one(page: &[u8]) -> Self {
        match page.get(ENCODING_AT..ENCODING_AT + 4) {
            Some([0, 0, 0, 2]) => Self::Utf16le,
            Some([0, 0, 0, 3]) => Self::Utf16be,
            _ => Self::Utf8,
        }
    }

    fn pragma(self) -> &'static str {
        match self {
            Self::Utf8 => "PRAGMA encoding='UTF-8'",
            Self::Utf16le => "PRAGMA encoding='UTF-16le'",
            Self::Utf16be => "PRAGMA encoding='UTF-16be'",
        }
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
        let code = unsafe {
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
            ffi::sqlite3_bind_null(self.insert, 2);
            if stepped == ffi::SQLITE_DONE { ffi::SQLITE_OK } else { reset }
        };
        if code == ffi::SQLITE_OK { Ok(()) } else { Err(self.insert_failed(code)) }
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

/// A connection that looks at one database from outside, as any reader does.
pub(crate) struct Checker {
    connection: Connection,
    path: PathBuf,
}

/// What a [`Checker`] sees of a database at one instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outline {
    /// Pages in the file.
    pub(crate) pages: u32,
    /// The first 100 bytes of page 1.
    pub(crate) header: Vec<u8>,
    /// Size of a page.
    pub(crate) page_size: PageSize,
}

impl Outline {
    /// Whether the read-only mark stands in the header, and the file is in WAL mode.
    pub(crate) fn is_marked(&self) -> bool {
        self.header.get(WRITE_VERSION_AT..WRITE_VERSION_AT + 2)
            == Some(&[MARK_WRITE_VERSION, WAL_READ_VERSION])
    }
}

impl Checker {
    /// Opens the existing database at `path`.
    pub(crate) fn open(path: &Path) -> Result<Self, ApplyError> {
        let checker = Self::connect(path)?;
        checker
            .connection
            .busy_timeout(BUSY_TIMEOUT)
            .map_err(sqlite(path, "setting the lock timeout"))?;
        checker.set_up()?;
        Ok(checker)
    }

    /// Opens the database for ourselves alone: every other process is kept out until this connection is closed, which
    /// then uses no `-shm` and deletes nothing. [`ApplyError::Busy`] when another connection that has read it is open.
    ///
    /// The locking mode must be set before anything is read: a WAL that is open already stays shared. Under the read-only
    /// mark it is the opening of the WAL that takes the lock, and the transaction is one that reads; in a rollback
    /// mode, where an exchange that was cut short may have left the file, it is the transaction.
    pub(crate) fn open_alone(path: &Path) -> Result<Self, ApplyError> {
        let mut checker = Self::connect(path)?;
        let keep_files =
            checker.connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
        keep_files.map_err(sqlite(path, "keeping files on close"))?;
        let deadline = Instant::now() + ALONE_TIMEOUT;
        let patience = move |_| {
            std::thread::sleep(ALONE_PAUSE);
            Instant::now() < deadline
        };
        let set = checker.connection.busy_handler(Some(patience));
        set.map_err(sqlite(path, "setting the lock timeout"))?;
        checker.execute("PRAGMA locking_mode=EXCLUSIVE")?;
        checker.user_version()?;
        checker.execute("BEGIN EXCLUSIVE; COMMIT")?;
        checker.set_up()?;
        Ok(checker)
    }

    fn connect(path: &Path) -> Result<Self, ApplyError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX
            | OpenFlags::SQLITE_OPEN_NOFOLLOW;
        let connection =
            Connection::open_with_flags(path, flags).map_err(sqlite(path, "opening"))?;
        Ok(Self { connection, path: path.to_owned() })
    }

    fn set_up(&self) -> Result<(), ApplyError> {
        self.execute(
            "PRAGMA writable_schema=ON; PRAGMA wal_autocheckpoint=0; PRAGMA synchronous=FULL; \
             PRAGMA checkpoint_fullfsync=ON",
        )
    }

    /// Page count, page size and header.
    pub(crate) fn outline(&self) -> Result<Outline, ApplyError> {
        self.execute("BEGIN")?;
        let outline = self.outline_inside();
        self.execute("COMMIT")?;
        outline
    }

    /// Moves committed frames into the file without waiting for anybody. (frames in the log, frames moved)
    pub(crate) fn checkpoint_passive(&self) -> Result<(u32, u32), ApplyError> {
        self.checkpoint(ffi::SQLITE_CHECKPOINT_PASSIVE)
    }

    /// Moves all frames and empties the log; for a connection that has the database to itself.
    pub(crate) fn checkpoint_truncate(&self) -> Result<(), ApplyError> {
        self.checkpoint(ffi::SQLITE_CHECKPOINT_TRUNCATE).map(drop)
    }

    /// Makes an empty file a WAL database with this page size, without content yet.
    pub(crate) fn initialise(&self, page_size: PageSize) -> Result<(), ApplyError> {
        self.execute(&format!("PRAGMA page_size={}", page_size.get()))?;
        let sql = "PRAGMA journal_mode=WAL";
        let mode: String = self
            .connection
            .query_row(sql, [], |row| row.get(0))
            .map_err(sqlite(&self.path, "choosing WAL"))?;
        if mode == "wal" {
            return Ok(());
        }
        Err(ApplyError::Busy { path: self.path.clone(), action: "choosing WAL" })
    }

    fn outline_inside(&self) -> Result<Outline, ApplyError> {
        let failed = || sqlite(&self.path, "reading page 1");
        let pages = self
            .connection
            .query_row("PRAGMA page_count", [], |row| row.get(0))
            .map_err(failed())?;
        let sql = "SELECT substr(data, 1, 100), length(data) FROM temp.sqlite_dbpage WHERE pgno=1";
        let (header, length) = self
            .connection
            .query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))
            .map_err(failed())?;
        let page_size = PageSize::new(length).ok_or_else(|| ApplyError::Corrupt {
            what: self.path.display().to_string(),
            detail: format!("page size {length}"),
        })?;
        Ok(Outline { pages, header, page_size })
    }

    /// SQLite does nothing, and says OK, on a connection that has read nothing yet: so read first.
    fn checkpoint(&self, mode: c_int) -> Result<(u32, u32), ApplyError> {
        self.user_version()?;
        let (mut frames, mut moved): (c_int, c_int) = (-1, -1);
        // SAFETY: the handle is open; both numbers live across the call.
        let code = unsafe {
            ffi::sqlite3_wal_checkpoint_v2(
                self.connection.handle(),
                ptr::null(),
                mode,
                &mut frames,
                &mut moved,
            )
        };
        match code {
            ffi::SQLITE_OK => {
                Ok((u32::try_from(frames).unwrap_or(0), u32::try_from(moved).unwrap_or(0)))
            }
            ffi::SQLITE_BUSY => {
                Err(ApplyError::Busy { path: self.path.clone(), action: "checkpointing" })
            }
            code => Err(ApplyError::Sqlite {
                path: self.path.clone(),
                action: "checkpointing",
                code,
                detail: message(&self.connection),
            }),
        }
    }

    fn user_version(&self) -> Result<(), ApplyError> {
        let sql = "PRAGMA user_version";
        self.connection
            .query_row(sql, [], |_| Ok(()))
            .map_err(sqlite(&self.path, "reading user_version"))
    }

    fn execute(&self, sql: &str) -> Result<(), ApplyError> {
        self.connection.execute_batch(sql).map_err(sqlite(&self.path, "running a command"))
    }
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

fn message(connection: &Connection) -> String {
    // SAFETY: the handle is open; the text stays valid until the next call on it and is copied at once.
    unsafe {
        CStr::from_ptr(ffi::sqlite3_errmsg(connection.handle())).to_string_lossy().into_owned()
    }
}

/// Translates rusqlite's error; a lock held elsewhere becomes [`ApplyError::Busy`].
fn sqlite(path: &Path, action: &'static str) -> impl FnOnce(rusqlite::Error) -> ApplyError {
    let path = path.to_owned();
    move |error| match error {
        rusqlite::Error::SqliteFailure(cause, _)
            if matches!(cause.extended_code & 0xff, ffi::SQLITE_BUSY | ffi::SQLITE_LOCKED) =>
        {
            ApplyError::Busy { path, action }
        }
        rusqlite::Error::SqliteFailure(cause, detail) => ApplyError::Sqlite {
            path,
            action,
            code: cause.extended_code,
            detail: detail.unwrap_or_else(|| cause.to_string()),
        },
        other => {
            ApplyError::Sqlite { path, action, code: ffi::SQLITE_ERROR, detail: other.to_string() }
        }
    }
}

fn utf8(path: &Path) -> Result<&str, ApplyError> {
    path.to_str()
        .ok_or_else(|| ApplyError::Unfit(format!("{}: the path is not UTF-8", path.display())))
}
