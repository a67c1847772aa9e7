//! The connection that looks from outside, as any reader does: page count, header, checkpoints. Alone with the file it may
//! also make its content another one.

mod exchange;

use std::ffi::c_int;
use std::path::{Path, PathBuf};
use std::ptr;
use std::time::{Duration, Instant};

use libsqlite3_sys as ffi;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use segment::PageSize;

use super::{BUSY_TIMEOUT, has_mark, message, sqlite};
use crate::error::ApplyError;

/// Longest wait for other connections to close; whoever wants the database alone asks again later.
const ALONE_TIMEOUT: Duration = Duration::from_millis(100);
/// Pause between two tries: readers that come and go all the time leave it to nobody for no longer than this.
const ALONE_PAUSE: Duration = Duration::from_micros(200);

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
        has_mark(&self.header)
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
