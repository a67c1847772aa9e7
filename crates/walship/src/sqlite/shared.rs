//! The wal-index that all connections to a database share: glances at its header, and its locks.
//!
//! Its layout and its locks are SQLite's (<https://sqlite.org/walformat.html>, section 2). Locks are taken through SQLite's
//! own methods, which know of all connections of this process. It is only read here, but for one word: the mark of a
//! reader's place that nobody holds, taken away as a checkpoint of SQLite does, with the place locked exclusively.

use std::ffi::{c_int, c_void};
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering, fence};

use libsqlite3_sys as ffi;

use super::{Connection, SqliteError};
use crate::wal_index::WalIndexHeader;

/// The locks of the wal-index (WAL-mode File Format, 2.3.2): the checkpointer's, and the first of the readers'.
const CHECKPOINTER: c_int = 1;
const READER_0: c_int = 3;
/// The places that are held without a mark: not the first one, which SQLite always leaves a mark, for readers that cannot
/// set one; the last one first, because readers look for a place from the other end.
const HOLDING: [u8; 3] = [4, 3, 2];
/// The mark of a place that has none.
const UNMARKED: u32 = u32::MAX;

/// A view of the wal-index header that other processes update. Valid while the connection that made
/// it is open: keep the two together and drop this first.
#[derive(Debug, Clone, Copy)]
pub struct SharedIndex(*const AtomicU32);

// SAFETY: only atomic loads and stores are made through the pointer.
unsafe impl Send for SharedIndex {}

/// What a glance at the wal-index showed. Good for comparing, not for trusting: the copy may be torn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peek {
    /// First copy of the header.
    pub header: WalIndexHeader,
    /// Frames that a checkpoint has moved into the database.
    pub backfilled: u32,
}

impl SharedIndex {
    /// Reads the header and the backfill counter: about 15 ns, no system call.
    #[must_use]
    pub fn peek(&self) -> Peek {
        let mut header = [0u32; 12];
        for (index, word) in header.iter_mut().enumerate() {
            *word = self.word(index);
        }
        fence(Ordering::Acquire);
        Peek { header: WalIndexHeader(header), backfilled: self.word(24) }
    }

    /// The mark of a reader's place: a checkpoint moves no frame past it while somebody holds the place.
    fn mark(self, slot: u8) -> u32 {
        self.word(Self::mark_at(slot))
    }

    /// The caller holds the place exclusively.
    fn unmark(self, slot: u8) {
        // SAFETY: as for `word`; SQLite maps the region for writing.
        unsafe { (*self.0.add(Self::mark_at(slot))).store(UNMARKED, Ordering::Release) }
    }

    fn mark_at(slot: u8) -> usize {
        25 + usize::from(slot)
    }

    fn word(&self, index: usize) -> u32 {
        // SAFETY: the region is 32 KiB, mapped and aligned while its connection is open.
        unsafe { (*self.0.add(index)).load(Ordering::Relaxed) }
    }
}

impl Connection {
    /// Keeps the log from being restarted, with a transaction or without: holds a reader's place that has no mark. It
    /// counts as a reader for whoever wants to restart the log, and for no checkpoint before (`walRestartLog`,
    /// `walCheckpoint` in SQLite's `wal.c`). True once it is held, which it stays until [`Self::let_log_go`]; false if
    /// no such place is to be had right now. Call it while the log cannot be restarted for another reason.
    ///
    /// # Errors
    /// When there is no shared memory, or a lock cannot be asked for.
    pub fn hold_log(&mut self, shared: SharedIndex) -> Result<bool, SqliteError> {
        for slot in HOLDING {
            if self.place.is_none() && shared.mark(slot) == UNMARKED {
                self.hold_unmarked(shared, slot)?;
            }
        }
        if self.place.is_none() {
            self.unmark_and_hold(shared)?;
        }
        Ok(self.place.is_some())
    }

    /// Marks outlive their readers. One that nobody uses is taken away as a checkpoint takes it away, but never under a
    /// checkpoint that runs: it may be waiting for this place, and would wait for us without looking at the mark again.
    fn unmark_and_hold(&mut self, shared: SharedIndex) -> Result<(), SqliteError> {
        let (lock, unlock) = (ffi::SQLITE_SHM_LOCK, ffi::SQLITE_SHM_UNLOCK);
        if !self.shm_lock(CHECKPOINTER, lock | ffi::SQLITE_SHM_EXCLUSIVE)? {
            return Ok(());
        }
        let held = HOLDING.into_iter().try_for_each(|slot| {
            let byte = READER_0 + c_int::from(slot);
            if self.place.is_some() || !self.shm_lock(byte, lock | ffi::SQLITE_SHM_EXCLUSIVE)? {
                return Ok(());
            }
            shared.unmark(slot);
            self.shm_lock(byte, unlock | ffi::SQLITE_SHM_EXCLUSIVE)?;
            self.hold_unmarked(shared, slot)
        });
        self.shm_lock(CHECKPOINTER, unlock | ffi::SQLITE_SHM_EXCLUSIVE)?;
        held
    }

    /// Holds a place unless a reader has given it a mark by then.
    fn hold_unmarked(&mut self, shared: SharedIndex, slot: u8) -> Result<(), SqliteError> {
        // Who changes a mark needs the lock alone, so what is seen once it is ours stays.
        if !self.place_lock(slot, ffi::SQLITE_SHM_LOCK)? {
            return Ok(());
        }
        if shared.mark(slot) == UNMARKED {
            self.place = Some(slot);
            return Ok(());
        }
        self.place_lock(slot, ffi::SQLITE_SHM_UNLOCK).map(drop)
    }

    /// Lets the log be restarted, as far as [`Self::hold_log`] kept it from that.
    ///
    /// # Errors
    /// When the lock cannot be given back.
    pub fn let_log_go(&mut self) -> Result<(), SqliteError> {
        match self.place.take() {
            Some(slot) => self.place_lock(slot, ffi::SQLITE_SHM_UNLOCK).map(drop),
            None => Ok(()),
        }
    }

    fn place_lock(&self, slot: u8, act: c_int) -> Result<bool, SqliteError> {
        self.shm_lock(READER_0 + c_int::from(slot), act | ffi::SQLITE_SHM_SHARED)
    }

    /// Asks for a lock of the wal-index or gives it back; false if somebody else holds it.
    fn shm_lock(&self, byte: c_int, act: c_int) -> Result<bool, SqliteError> {
        let file = self.file(ffi::SQLITE_FCNTL_FILE_POINTER)?;
        // SAFETY: methods of version 2 and above have xShmLock, which answers with an error while no shared memory is open.
        let code = unsafe {
            let methods = &*(*file).pMethods;
            match methods.xShmLock.filter(|_| methods.iVersion >= 2) {
                Some(lock) => lock(file, byte, 1, act),
                None => ffi::SQLITE_IOERR,
            }
        };
        if code == ffi::SQLITE_BUSY {
            return Ok(false);
        }
        self.check("lock the wal-index", code).map(|()| true)
    }

    /// Maps the first region of the wal-index, for `SharedIndex::peek`. Call it inside a read
    /// transaction of a database in WAL mode, so that the region exists; nothing is created here.
    ///
    /// # Errors
    /// When there is no shared memory (exclusive locking mode, another VFS).
    pub fn shared_index(&self) -> Result<SharedIndex, SqliteError> {
        let file = self.file(ffi::SQLITE_FCNTL_FILE_POINTER)?;
        let mut region: *mut c_void = ptr::null_mut();
        // SAFETY: methods of version 2 and above have xShmMap; region 0 is 32 KiB; extend = 0 creates nothing.
        let code = unsafe {
            let methods = &*(*file).pMethods;
            match methods.xShmMap.filter(|_| methods.iVersion >= 2) {
                Some(map) => map(file, 0, 32768, 0, (&raw mut region).cast()),
                None => ffi::SQLITE_IOERR,
            }
        };
        if code != ffi::SQLITE_OK || region.is_null() {
            return Err(SqliteError {
                operation: "map the wal-index",
                code,
                message: "no shared memory".into(),
            });
        }
        Ok(SharedIndex(region.cast_const().cast()))
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection as Application;

    use super::*;

    fn open(path: &std::path::Path) -> Application {
        Application::open(path).expect("opened")
    }

    fn checkpoint(application: &Application, mode: &str) -> bool {
        let text = format!("PRAGMA wal_checkpoint({mode})");
        let busy: i32 = application.query_row(&text, [], |row| row.get(0)).expect("an answer");
        busy == 0
    }

    fn writer(path: &std::path::Path) -> Application {
        let writer = open(path);
        writer
            .execute_batch(
                "PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0; CREATE TABLE t(x)",
            )
            .expect("written");
        writer
    }

    fn connection(path: &std::path::Path) -> (Connection, SharedIndex) {
        let mut connection = Connection::open(path).expect("opened");
        connection.begin_read().expect("a snapshot");
        let shared = connection.shared_index().expect("shared memory");
        (connection, shared)
    }

    fn last_frame(shared: SharedIndex) -> u32 {
        shared.peek().header.last_frame()
    }

    #[test]
    fn a_held_log_is_moved_by_every_checkpoint_and_restarted_by_none() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("a.db");
        let application = writer(&path);
        let (mut ours, shared) = connection(&path);
        assert!(ours.hold_log(shared).expect("locks"));
        ours.end_read();
        application.execute("INSERT INTO t VALUES (1)", []).expect("written");
        for mode in ["PASSIVE", "FULL"] {
            assert!(checkpoint(&application, mode), "{mode} waits for us");
        }
        assert_eq!(shared.peek().backfilled, last_frame(shared));
        let before = last_frame(shared);
        assert!(!checkpoint(&application, "RESTART"), "the log was restarted");
        application.execute("INSERT INTO t VALUES (2)", []).expect("written");
        assert!(last_frame(shared) > before, "the writer restarted the log");
        ours.let_log_go().expect("let go");
        assert!(checkpoint(&application, "TRUNCATE"));
        assert_eq!(last_frame(shared), 0);
    }

    /// Marks outlive their readers: after four that began at four commits, no place is without one.
    #[test]
    fn a_place_is_found_where_all_have_marks_that_nobody_uses() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("a.db");
        let application = writer(&path);
        let mut readers = Vec::new();
        for value in 0..5 {
            application.execute("INSERT INTO t VALUES (?1)", [value]).expect("written");
            let reader = open(&path);
            reader.execute_batch("BEGIN; SELECT count(*) FROM t").expect("read");
            readers.push(reader);
        }
        let (mut ours, shared) = connection(&path);
        assert!((1..5).all(|slot| shared.mark(slot) != UNMARKED), "this tests nothing");
        assert!(!ours.hold_log(shared).expect("locks"), "all places are held by readers");
        readers.clear();
        assert!(ours.hold_log(shared).expect("locks"));
        ours.end_read();
        assert!(checkpoint(&application, "FULL"), "it waits for the place");
        assert!(!checkpoint(&application, "RESTART"), "the log was restarted");
        drop(ours);
        assert!(checkpoint(&application, "RESTART"), "the place outlived its connection");
    }

    #[test]
    fn no_mark_is_taken_away_under_a_checkpoint_that_runs() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("a.db");
        let application = writer(&path);
        application.execute("INSERT INTO t VALUES (1)", []).expect("written");
        let (mut ours, shared) = connection(&path);
        let (other, _) = connection(&path);
        for slot in HOLDING {
            // SAFETY: nobody else reads the marks here.
            unsafe { (*shared.0.add(SharedIndex::mark_at(slot))).store(1, Ordering::Relaxed) };
        }
        let act = |act| other.shm_lock(CHECKPOINTER, act | ffi::SQLITE_SHM_EXCLUSIVE);
        assert!(act(ffi::SQLITE_SHM_LOCK).expect("locked"));
        assert!(!ours.hold_log(shared).expect("locks"));
        assert!(act(ffi::SQLITE_SHM_UNLOCK).expect("unlocked"));
        assert!(ours.hold_log(shared).expect("locks"));
    }
}
