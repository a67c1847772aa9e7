//! A small file that is replaced as a whole, step by step on a disk that tests can stop.
//!
//! Invariant W1: a crash at any point leaves the old content or the new one under the file's name. The new one is written
//! beside it and then renamed over it (enforced for every file that is written here by `replace::testing`).
//! Nothing is synced: after a power cut the file may hold any part of the new content, so whoever reads it must take
//! that for a file that says nothing.
//! The file beside it, `NAME.json.new`, stays after a crash and is overwritten by the next replacement. One writer at a
//! time.

use std::fs;
use std::io;
use std::path::Path;

use crate::error::ApplyError;

/// What a replacement asks of the file system.
pub(crate) trait Disk {
    /// Makes or empties the file at `path` and fills it.
    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()>;
    /// Moves a file over whatever file stands at `to`. Atomic.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
}

/// The file system of this host.
pub(crate) struct RealDisk;

impl Disk for RealDisk {
    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        fs::write(path, bytes)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }
}

/// Replaces the content of the JSON file at `path`, or makes it.
pub(crate) fn json(disk: &impl Disk, path: &Path, text: &[u8]) -> Result<(), ApplyError> {
    let temporary = path.with_extension("json.new");
    disk.write(&temporary, text).map_err(ApplyError::file(&temporary, "writing"))?;
    disk.rename(&temporary, path).map_err(ApplyError::file(path, "replacing"))
}

#[cfg(test)]
pub(crate) mod testing;
