//! The calls into SQLite that capture needs, which are all unsafe.
//!
//! What must always hold:
//! - No call here writes to a user's database, except `checkpoint_passive`, which moves frames that
//!   are already committed.
//! - The database and its `-shm` are never opened by plain file calls in this process: closing such a
//!   descriptor would drop every POSIX lock SQLite holds on the file (<https://sqlite.org/howtocorrupt.html>,
//!   section 2.2). All reads go through the descriptors SQLite itself holds.
//! - A connection is used by one thread at a time (it is opened without SQLite's own mutex).
//!
//! After a crash nothing remains: read transactions vanish with the process. Closing a connection
//! never checkpoints.

use std::ffi::{CStr, CString, c_int, c_void};
use std::fmt;
use std::path::Path;
use std::ptr;
use std::sync::Once;

use libsqlite3_sys as ffi;

use crate::wal_index::WalIndexHeader;

mod shared;

pub use shared::{Peek, SharedIndex};

/// Oldest version without the WAL-reset bug of 3.7.0 to 3.51.2.
const VERSION_MIN: c_int = 3_051_003;

/// An error of SQLite, with the operation it came from.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{operation}: {message} (SQLite code {code})")]
pub struct SqliteError {
    /// What was attempted.
    pub operation: &'static str,
    /// The extended result code.
    pub code: i32,
    /// SQLite's own words.
    pub message: String,
}

impl SqliteError {
    /// True if another connection holds the lock that was needed.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        matches!(self.code & 0xff, ffi::SQLITE_BUSY | ffi::SQLITE_LOCKED)
    }

    /// True if the file is not a database that this SQLite can read (encrypted, or something else).
    #[must_use]
    pub fn is_not_a_database(&self) -> bool {
        self.code & 0xff == ffi::SQLITE_NOTADB
    }
}

/// Checks that the linked SQLite is the one this crate was written for, and prepares it for many
/// connections that hardly read. Must run before the first connection.
///
/// # Errors
/// A sentence that says what is wrong with the build and how to build it right.
pub fn assert_library() -> Result<(), String> {
    static CONFIGURE: Once = Once::new();
    CONFIGURE.call_once(|| {
        // SAFETY: called before any connection exists; both options are documented to take these arguments.
        unsafe {
            ffi::sqlite3_config(
                ffi::SQLITE_CONFIG_PAGECACHE,
                ptr::null_mut::<c_void>(),
                0 as c_int,
                0 as c_int,
            );
            ffi::sqlite3_config(ffi::SQLITE_CONFIG_LOOKASIDE, 0 as c_int, 0 as c_int);
        }
    });
    // SAFETY: pure queries of compile-time facts.
    let (version, snapshot) = unsafe {
        (
            ffi::sqlite3_libversion_number(),
            ffi::sqlite3_compileoption_used(c"ENABLE_SNAPSHOT".as_ptr()),
        )
    };
    if version < VERSION_MIN {
        return Err(format!("SQLite {version} is linked, {VERSION_MIN} or newer is needed"));
    }
    if snapshot == 0 {
        return Err(
            "this build lacks SQLITE_ENABLE_SNAPSHOT: build inside a clone of the project, \
                    whose .cargo/config.toml sets it"
                .to_owned(),
        );
    }
    Ok(())
}

/// One connection for reading, never for writing.
pub struct Connection {
    db: *mut ffi::sqlite3,
    begin: Statement,
    touch: Statement,
    rollback: Statement,
    /// The reader's place that [`Self::hold_log`] holds.
    place: Option<u8>,
}

// SAFETY: the connection is moved between threads but used by one at a time (`&mut`, or `&` behind a mutex).
unsafe impl Send for Connection {}

struct Statement(*mut ffi::sqlite3_stmt);

impl Connection {
    /// Opens an existing database. Nothing is read or locked yet.
    ///
    /// # Errors
    /// SQLite's error when the file cannot be opened.
    pub fn open(path: &Path) -> Result<Self, SqliteError> {
        let name = CString::new(path.as_os_str().as_encoded_bytes()).map_err(|_| SqliteError {
            operation: "open",
            code: ffi::SQLITE_CANTOPEN,
            message: "the path contains a NUL byte".into(),
        })?;
        let mut db = ptr::null_mut();
        let flags =
            ffi::SQLITE_OPEN_READWRITE | ffi::SQLITE_OPEN_NOMUTEX | ffi::SQLITE_OPEN_EXRESCODE;
        // SAFETY: `name` outlives the call; `db` receives a handle even on failure and is closed below.
        let code = unsafe { ffi::sqlite3_open_v2(name.as_ptr(), &raw mut db, flags, ptr::null()) };
        if code != ffi::SQLITE_OK {
            let error = error_of(db, "open", code);
            // SAFETY: a failed handle must still be closed; closing null is a no-op.
            unsafe { ffi::sqlite3_close(db) };
            return Err(error);
        }
        let mut connection = Self {
            db,
            begin: Statement::NONE,
            touch: Statement::NONE,
            rollback: Statement::NONE,
            place: None,
        };
        connection.configure()?;
        Ok(connection)
    }

    fn configure(&mut self) -> Result<(), SqliteError> {
        let mut now: c_int = 0;
        // SAFETY: documented argument types of this option.
        let code = unsafe {
            ffi::sqlite3_db_config(
                self.db,
                ffi::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE,
                1 as c_int,
                &raw mut now,
            )
        };
        self.check("configure", code)?;
        // Nothing here may read the schema, which can be damaged or locked; `synchronous` stays at its
        // default FULL, so that our checkpoints sync the WAL before they write the database.
        // SAFETY: valid handle; the text is NUL-terminated; no callback.
        let code = unsafe {
            ffi::sqlite3_wal_autocheckpoint(self.db, 0);
            ffi::sqlite3_exec(
                self.db,
                c"PRAGMA checkpoint_fullfsync=1".as_ptr(),
                None,
                ptr::null_mut(),
                ptr::null_mut(),
            )
        };
        self.check("configure", code)?;
        self.begin = self.prepare(c"BEGIN")?;
        // Touching one header field makes the read transaction real; without it `sqlite3_snapshot_get`
        // alone never takes read lock 0, and the application's TRUNCATE would find us in its way.
        self.touch = self.prepare(c"PRAGMA user_version")?;
        self.rollback = self.prepare(c"ROLLBACK")?;
        Ok(())
    }

    fn prepare(&self, sql: &CStr) -> Result<Statement, SqliteError> {
        let mut statement = ptr::null_mut();
        // SAFETY: valid handle, NUL-terminated text, and `statement` is finalized in `Drop`.
        let code = unsafe {
            ffi::sqlite3_prepare_v3(
                self.db,
                sql.as_ptr(),
                -1,
                ffi::SQLITE_PREPARE_PERSISTENT,
                &raw mut statement,
                ptr::null_mut(),
            )
        };
        self.check("prepare", code)?;
        Ok(Statement(statement))
    }

    fn run(&self, statement: &Statement, operation: &'static str) -> Result<(), SqliteError> {
        // SAFETY: the statement belongs to this connection and is not in use elsewhere.
        let code = unsafe {
            while ffi::sqlite3_step(statement.0) == ffi::SQLITE_ROW {}
            ffi::sqlite3_reset(statement.0)
        };
        self.check(operation, code)
    }

    fn check(&self, operation: &'static str, code: c_int) -> Result<(), SqliteError> {
        if code == ffi::SQLITE_OK { Ok(()) } else { Err(error_of(self.db, operation, code)) }
    }

    /// Begins a read transaction and returns its snapshot; `None` when the WAL is empty, or when the
    /// database is not in WAL mode. Parses no schema, so that a damaged one does not matter.
    ///
    /// # Errors
    /// Busy when the database is locked exclusively; not-a-database for a foreign or encrypted file.
    pub fn begin_read(&mut self) -> Result<Option<WalIndexHeader>, SqliteError> {
        self.run(&self.begin, "begin a read transaction")?;
        let snapshot = self.run(&self.touch, "read the header").and_then(|()| self.snapshot());
        if snapshot.is_err() {
            self.end_read();
        }
        snapshot
    }

    fn snapshot(&self) -> Result<Option<WalIndexHeader>, SqliteError> {
        let mut snapshot: *mut ffi::sqlite3_snapshot = ptr::null_mut();
        // SAFETY: a read transaction is open; the object is copied and freed before returning.
        unsafe {
            let code = ffi::sqlite3_snapshot_get(self.db, c"main".as_ptr(), &raw mut snapshot);
            match code & 0xff {
                ffi::SQLITE_OK => {
                    let header = ptr::read_unaligned(snapshot.cast::<[u32; 12]>());
                    ffi::sqlite3_snapshot_free(snapshot);
                    Ok(Some(WalIndexHeader(header)))
                }
                // The documented answer for an empty WAL and for other journal modes.
                ffi::SQLITE_ERROR => Ok(None),
                _ => Err(error_of(self.db, "take the snapshot", code)),
            }
        }
    }

    /// Ends the read transaction, if one is open.
    pub fn end_read(&mut self) {
        if self.in_transaction() {
            // A ROLLBACK of a read transaction cannot fail for want of a lock; what remains is a broken
            // descriptor, and then the next operation on this connection reports it.
            if let Err(error) = self.run(&self.rollback, "end the read transaction") {
                tracing::warn!(%error, "a read transaction did not end cleanly");
            }
        }
    }

    /// True while a transaction is open.
    #[must_use]
    pub fn in_transaction(&self) -> bool {
        // SAFETY: a pure query of the handle.
        unsafe { ffi::sqlite3_get_autocommit(self.db) == 0 }
    }

    /// Takes the write lock without writing, or fails at once with a busy error. Ended by `end_read`.
    ///
    /// # Errors
    /// Busy when an application is writing.
    pub fn begin_immediate(&mut self) -> Result<(), SqliteError> {
        let statement = self.prepare(c"BEGIN IMMEDIATE")?;
        self.run(&statement, "take the write lock")
    }

    /// Moves committed frames into the database without waiting for anybody.
    /// Returns (frames in the WAL, frames moved so far); (-1, -1) before the first read.
    ///
    /// # Errors
    /// Busy when another checkpoint is running.
    pub fn checkpoint_passive(&mut self) -> Result<(i32, i32), SqliteError> {
        let (mut log, mut moved) = (-1, -1);
        // SAFETY: valid handle and out-pointers.
        let code = unsafe {
            ffi::sqlite3_wal_checkpoint_v2(
                self.db,
                c"main".as_ptr(),
                ffi::SQLITE_CHECKPOINT_PASSIVE,
                &raw mut log,
                &raw mut moved,
            )
        };
        self.check("checkpoint (passive)", code).map(|()| (log, moved))
    }

    fn file(&self, which: c_int) -> Result<*mut ffi::sqlite3_file, SqliteError> {
        let mut file: *mut ffi::sqlite3_file = ptr::null_mut();
        // SAFETY: both opcodes write one `sqlite3_file*` to the argument.
        let code = unsafe {
            ffi::sqlite3_file_control(self.db, c"main".as_ptr(), which, (&raw mut file).cast())
        };
        self.check("find the file", code)?;
        // SAFETY: the pointer is null or a live file object; an unopened file has null methods.
        if file.is_null() || unsafe { (*file).pMethods.is_null() } {
            return Err(SqliteError {
                operation: "find the file",
                code: ffi::SQLITE_CANTOPEN,
                message: "the file is not open".into(),
            });
        }
        Ok(file)
    }

    /// Reads from the database file through SQLite's own descriptor. What lies past the end reads as zeros.
    ///
    /// # Errors
    /// SQLite's I/O error.
    pub fn read_database(&self, offset: u64, buffer: &mut [u8]) -> Result<(), SqliteError> {
        self.read(ffi::SQLITE_FCNTL_FILE_POINTER, "read the database", offset, buffer).map(|_| ())
    }

    /// Reads from the `-wal` file. Returns false when it ends before the buffer is full.
    ///
    /// # Errors
    /// SQLite's I/O error, or that no WAL is open.
    pub fn read_wal(&self, offset: u64, buffer: &mut [u8]) -> Result<bool, SqliteError> {
        self.read(ffi::SQLITE_FCNTL_JOURNAL_POINTER, "read the WAL", offset, buffer)
    }

    fn read(
        &self,
        which: c_int,
        operation: &'static str,
        offset: u64,
        buffer: &mut [u8],
    ) -> Result<bool, SqliteError> {
        let file = self.file(which)?;
        let length =
            c_int::try_from(buffer.len()).expect("BUG: reads are made in chunks far below 2 GiB");
        let offset = i64::try_from(offset).expect("BUG: SQLite files end below 2^63");
        // SAFETY: `file` is live while the connection is; the buffer has `length` bytes.
        let code = unsafe {
            let read = (*(*file).pMethods).xRead.expect("BUG: every VFS can read");
            read(file, buffer.as_mut_ptr().cast(), length, offset)
        };
        match code {
            ffi::SQLITE_OK => Ok(true),
            ffi::SQLITE_IOERR_SHORT_READ => Ok(false),
            code => Err(error_of(self.db, operation, code)),
        }
    }

    /// Size of the database file in bytes.
    ///
    /// # Errors
    /// SQLite's I/O error.
    pub fn database_bytes(&self) -> Result<u64, SqliteError> {
        let file = self.file(ffi::SQLITE_FCNTL_FILE_POINTER)?;
        let mut size = 0;
        // SAFETY: as in `read`.
        let code = unsafe {
            ((*(*file).pMethods).xFileSize.expect("BUG: every VFS knows sizes"))(
                file,
                &raw mut size,
            )
        };
        self.check("measure the database", code)?;
        Ok(u64::try_from(size).unwrap_or(0))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.end_read();
        // SQLite knows nothing of the place: the lock would stay as long as any connection to the file is open.
        if let Err(error) = self.let_log_go() {
            tracing::warn!(%error, "a place among the readers was not given back");
        }
        for statement in [&mut self.begin, &mut self.touch, &mut self.rollback] {
            statement.finalize();
        }
        // SAFETY: all statements are finalized; the handle is not used again.
        let code = unsafe { ffi::sqlite3_close(self.db) };
        debug_assert_eq!(code, ffi::SQLITE_OK, "BUG: a statement outlived its connection");
    }
}

impl Statement {
    const NONE: Self = Self(ptr::null_mut());

    fn finalize(&mut self) {
        // SAFETY: null or a statement of a live connection; set to null so that it is finalized once.
        unsafe { ffi::sqlite3_finalize(self.0) };
        self.0 = ptr::null_mut();
    }
}

impl Drop for Statement {
    fn drop(&mut self) {
        self.finalize();
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("in_transaction", &self.in_transaction())
            .finish_non_exhaustive()
    }
}

fn error_of(db: *mut ffi::sqlite3, operation: &'static str, code: c_int) -> SqliteError {
    // SAFETY: errmsg of null is documented to return "out of memory"; errstr is static text.
    let text = unsafe {
        let same = !db.is_null() && ffi::sqlite3_extended_errcode(db) == code;
        CStr::from_ptr(if same { ffi::sqlite3_errmsg(db) } else { ffi::sqlite3_errstr(code) })
    };
    SqliteError { operation, code, message: text.to_string_lossy().into_owned() }
}
