//! The few things the local store asks of a file system, so that its write paths can also be run on a
//! modelled disk that is stopped at every step and then loses whatever was not synced.
//!
//! Paths are relative to the store's folder, with `/`. No implementation follows a symbolic link.

use segment::Millis;
use std::io::{self, ErrorKind};
use std::ops::Range;

/// What stands in a file's place is a symbolic link, a pipe, or the like.
pub(super) const NOT_PLAIN: ErrorKind = ErrorKind::InvalidData;

pub(super) trait Disk: Send + Sync {
    /// A new file; fails if the path is taken.
    fn create(&self, path: &str) -> io::Result<Box<dyn NewFile>>;
    /// A second name for a file; fails with `AlreadyExists` if `to` is taken. Atomic.
    fn link(&self, from: &str, to: &str) -> io::Result<()>;
    /// Moves a file over whatever file stands at `to`. Atomic.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &str) -> io::Result<()>;
    /// Makes a folder; fine if it is there.
    fn make_folder(&self, path: &str) -> io::Result<()>;
    /// Removes an empty folder.
    fn remove_folder(&self, path: &str) -> io::Result<()>;
    /// Makes the names in a folder survive a power cut; "" is the store's own folder.
    fn sync_folder(&self, path: &str) -> io::Result<()>;
    /// A file's bytes within `range` and its facts. Never allocates more than `range` is long.
    fn read(&self, path: &str, range: Range<u64>) -> io::Result<(Vec<u8>, Found)>;
    /// The facts of a file.
    fn stat(&self, path: &str) -> io::Result<Found>;
    /// Tells of everything in a folder its name and what it is, in no order.
    fn entries(&self, folder: &str, visit: &mut dyn FnMut(&str, Kind)) -> io::Result<()>;
    /// Takes the lock file at `path`, waiting for at most a few seconds; dropping the answer lets go.
    fn lock(&self, path: &str) -> io::Result<Box<dyn Send>>;
    /// Whether the store's folder is still the one that was opened.
    fn is_in_place(&self) -> bool;
}

/// A file being written for the first time.
pub(super) trait NewFile {
    fn write(&mut self, body: &[u8]) -> io::Result<()>;
    fn sync(&mut self) -> io::Result<()>;
}

/// The facts of a regular file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) bytes: u64,
    pub(super) modified: Millis,
}

/// What stands under a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Folder,
    File,
    /// A symbolic link, a pipe, or the like.
    Other,
}
