//! Whether another process has a database open, as far as SQLite's locks tell.
//!
//! The kernel is asked who stands in the way of a lock; none is taken and nothing is changed: a journal that a crash left
//! stays for whoever opens the database next, and a resting one is given no `-wal`.
//!
//! A connection in WAL mode holds a lock as long as it lives, once it has read; one in a rollback mode only inside of
//! transactions, so an idle one is not seen.
//!
//! What must hold: this process has no connection to the database. Its own locks would not be seen, and closing the
//! descriptor would drop them (sqlite.org/howtocorrupt.html, 2.2). A restore writes its drafts without SQLite.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;
use rustix::process::{Flock, FlockOffsetType, FlockType, fcntl_getlk};

use crate::error::ApplyError;
use crate::replica::files;

/// The bytes of a database file that SQLite locks: one for writers that wait for readers, one for the writer, 510 for
/// readers (sqlite.org/fileformat2.html, 1.4).
const LOCKS_AT: u64 = 1 << 30;
const LOCKS_LENGTH: u64 = 512;

/// Whether another process holds a lock of the database at `path`; what is not there is not open.
pub(super) fn is_open_elsewhere(path: &Path) -> Result<bool, ApplyError> {
    if files::length(path)?.is_none() {
        return Ok(false);
    }
    // Whatever may stand there by now: no link is followed, and no pipe waited for.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(i32::try_from(flags.bits()).unwrap_or(0))
        .open(path)
        .map_err(ApplyError::file(path, "opening"))?;
    let wanted = Flock {
        start: LOCKS_AT,
        length: LOCKS_LENGTH,
        pid: None,
        typ: FlockType::WriteLock,
        offset_type: FlockOffsetType::Set,
    };
    let held = fcntl_getlk(&file, &wanted)
        .map_err(|error| ApplyError::file(path, "asking for locks")(error.into()))?;
    Ok(held.is_some())
}

#[cfg(test)]
pub(super) mod tests;
