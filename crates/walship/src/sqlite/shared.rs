//! The wal-index that all connections to a database share: glances at its header, and its locks.
//!
//! Its layout and its locks are SQLite's (<https://sqlite.org/walformat.html>, section 2). It is only ever read here, and
//! locks are taken through SQLite's own methods, which know of all connections of this process.

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

/// A reader's place that is held without a transaction.
#[derive(Debug)]
#[must_use = "to be let go of"]
pub struct Place(u8);

/// A view of the wal-index header that other processes update. Valid while the connection that made
/// it is open: keep the two together and drop this first.
#[derive(Debug, Clone, Copy)]
pub struct SharedIndex(*const AtomicU32);

// SAFETY: only atomic loads are made through the pointer.
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

    /// True if the reader's place has no mark.
    fn is_unmarked(self, slot: u8) -> bool {
        const UNMARKED: u32 = u32::MAX;
        self.word(25 + usize::from(slot)) == UNMARKED
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

    /// Holds a reader's place that has no mark, so that nobody restarts the log, while every checkpoint passes it by
    /// (`walRestartLog`, `walCheckpoint` in SQLite's `wal.c`). `None`: all places have marks. Call it outside of a
    /// transaction, after one, and let go of the place before the next.
    ///
    /// # Errors
    /// When there is no shared memory, or the lock cannot be asked for.
    pub fn hold_place(&self, shared: SharedIndex) -> Result<Option<Place>, SqliteError> {
        for slot in 1..READERS {
            // Who changes a mark needs the lock alone, so what is seen once it is ours stays.
            if shared.is_unmarked(slot) && self.place_lock(slot, ffi::SQLITE_SHM_LOCK)? {
                if shared.is_unmarked(slot) {
                    return Ok(Some(Place(slot)));
                }
                self.place_lock(slot, ffi::SQLITE_SHM_UNLOCK)?;
            }
        }
        Ok(None)
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
