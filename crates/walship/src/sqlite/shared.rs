//! The wal-index that all connections to a database share: glances at its header, and its locks.
//!
//! Its layout and its locks are SQLite's (<https://sqlite.org/walformat.html>, section 2). Locks are taken through SQLite's
//! own methods, which know of all connections of this process. It is only read here, but for one word: the mark of a
//! reader's place that nobody holds, set as a reader of SQLite sets it, with the place locked exclusively.

use std::ffi::{c_int, c_void};
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering, fence};

use libsqlite3_sys as ffi;

use super::{Connection, SqliteError};
use crate::wal_index::WalIndexHeader;

/// The locks of the wal-index (WAL-mode File Format, 2.3.2): the checkpointer's, and the first of the readers'.
const CHECKPOINTER: c_int = 1;
const READER_0: c_int = 3;
/// How many places for readers there are.
const READERS: u8 = 5;
/// The mark of a place that has none.
const UNMARKED: u32 = u32::MAX;

/// A reader's place that is held without a transaction.
#[derive(Debug)]
#[must_use = "to be let go of"]
pub struct Place(u8);

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
    fn set_mark(self, slot: u8, frame: u32) {
        // SAFETY: as for `word`; SQLite maps the region for writing.
        unsafe { (*self.0.add(Self::mark_at(slot))).store(frame, Ordering::Release) }
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
    /// True while some connection checkpoints: none can while the lock for it is ours, for the time of two system
    /// calls. Call it inside a read transaction of a database in WAL mode.
    ///
    /// # Errors
    /// When there is no shared memory, or the lock cannot be asked for.
    pub fn is_checkpoint_running(&self) -> Result<bool, SqliteError> {
        if !self.shm_lock(CHECKPOINTER, ffi::SQLITE_SHM_LOCK | ffi::SQLITE_SHM_EXCLUSIVE)? {
            return Ok(true);
        }
        self.shm_lock(CHECKPOINTER, ffi::SQLITE_SHM_UNLOCK | ffi::SQLITE_SHM_EXCLUSIVE)?;
        Ok(false)
    }

    /// Holds a reader's place whose mark is not before `last_frame`, so that nobody restarts the log, while every
    /// checkpoint up to there passes the place by (`walRestartLog`, `walCheckpoint` in SQLite's `wal.c`). One without a
    /// mark is such a place; where all have marks, which outlive their readers, one that nobody holds is marked anew.
    /// `None`: all are held. Call it outside of a transaction, after one, while another connection of ours reads the log
    /// up to `last_frame`, and let go of the place before the next transaction.
    ///
    /// # Errors
    /// When there is no shared memory, or a lock cannot be asked for.
    pub fn hold_place(
        &self,
        shared: SharedIndex,
        last_frame: u32,
    ) -> Result<Option<Place>, SqliteError> {
        for slot in 1..READERS {
            if shared.mark(slot) == UNMARKED && self.hold_marked(shared, slot, UNMARKED)? {
                return Ok(Some(Place(slot)));
            }
        }
        for slot in 1..READERS {
            if self.mark_place(shared, slot, last_frame)?
                && self.hold_marked(shared, slot, last_frame)?
            {
                return Ok(Some(Place(slot)));
            }
        }
        Ok(None)
    }

    /// Sets the mark of a place; false if somebody holds it.
    fn mark_place(&self, shared: SharedIndex, slot: u8, frame: u32) -> Result<bool, SqliteError> {
        let byte = READER_0 + c_int::from(slot);
        if !self.shm_lock(byte, ffi::SQLITE_SHM_LOCK | ffi::SQLITE_SHM_EXCLUSIVE)? {
            return Ok(false);
        }
        shared.set_mark(slot, frame);
        self.shm_lock(byte, ffi::SQLITE_SHM_UNLOCK | ffi::SQLITE_SHM_EXCLUSIVE)
    }

    /// Holds a place that has this mark; false if it has another one by then.
    fn hold_marked(&self, shared: SharedIndex, slot: u8, mark: u32) -> Result<bool, SqliteError> {
        // Who changes a mark needs the lock alone, so what is seen once it is ours stays.
        if !self.place_lock(slot, ffi::SQLITE_SHM_LOCK)? {
            return Ok(false);
        }
        if shared.mark(slot) == mark {
            return Ok(true);
        }
        self.place_lock(slot, ffi::SQLITE_SHM_UNLOCK)?;
        Ok(false)
    }

    /// Lets go of a place.
    ///
    /// # Errors
    /// When the lock cannot be given back.
    pub fn release_place(&self, place: Place) -> Result<(), SqliteError> {
        self.place_lock(place.0, ffi::SQLITE_SHM_UNLOCK).map(drop)
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

    /// Marks outlive their readers: after four that began at four commits, no place is without one.
    fn mark_all_places(path: &std::path::Path) -> Application {
        let writer = open(path);
        writer
            .execute_batch(
                "PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0; CREATE TABLE t(x)",
            )
            .expect("written");
        let mut readers = Vec::new();
        for value in 0..READERS {
            writer.execute("INSERT INTO t VALUES (?1)", [value]).expect("written");
            let reader = open(path);
            reader.execute_batch("BEGIN; SELECT count(*) FROM t").expect("read");
            readers.push(reader);
        }
        writer
    }

    fn checkpoint(application: &Application, mode: &str) -> bool {
        let text = format!("PRAGMA wal_checkpoint({mode})");
        let busy: i32 = application.query_row(&text, [], |row| row.get(0)).expect("an answer");
        busy == 0
    }

    #[test]
    fn a_place_is_found_where_all_have_marks_that_nobody_uses() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("a.db");
        let application = mark_all_places(&path);
        let mut reader = Connection::open(&path).expect("opened");
        let snapshot = reader.begin_read().expect("a snapshot").expect("a log");
        let shared = reader.shared_index().expect("shared memory");
        assert!((1..READERS).all(|slot| shared.mark(slot) != UNMARKED), "this tests nothing");
        let mut stand_in = Connection::open(&path).expect("opened");
        stand_in.begin_read().expect("read");
        stand_in.end_read();
        let place = stand_in.hold_place(shared, snapshot.last_frame()).expect("locks");
        let place = place.expect("a place");
        reader.end_read();
        assert!(checkpoint(&application, "FULL"), "it waits for the place");
        assert_eq!(shared.peek().backfilled, snapshot.last_frame());
        assert!(!checkpoint(&application, "RESTART"), "the log may be restarted");
        stand_in.release_place(place).expect("let go");
        assert!(checkpoint(&application, "RESTART"));
    }
}
