//! Which files stand at a path right now, found by `stat` alone.
//!
//! Opening and closing the database or its `-shm` here would drop SQLite's locks, so neither is opened. The `-wal` may
//! be: SQLite locks nothing in it.

use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use sqlite_wal::{Salts, WAL_HEADER_BYTES, WalHeader};

/// One file's device and inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct FileId {
    device: u64,
    inode: u64,
}

/// What identifies a database on disk while it is attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// The database file.
    pub database: Option<FileId>,
    /// Its `-wal`.
    pub wal: Option<FileId>,
    /// Its `-shm`.
    pub shm: Option<FileId>,
}

/// Size and modification time: moves when anybody writes the file by any means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    bytes: u64,
    modified: (i64, i64),
}

/// What a path holds, as far as `stat` can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathState {
    /// Nothing there.
    Missing,
    /// A file without a byte: a database that nobody has written yet.
    Empty,
    /// A file with content.
    File(FileId),
    /// Something that cannot be replicated, and why.
    Refused(&'static str),
}

/// Looks at a path.
///
/// # Errors
/// The `stat` error, unless it says that nothing is there.
pub fn look(path: &Path) -> io::Result<PathState> {
    let metadata = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(PathState::Missing),
        other => other?,
    };
    Ok(if metadata.is_symlink() {
        PathState::Refused(
            "it is a symbolic link, so its WAL stands beside the file that it points to: name that file",
        )
    } else if metadata.is_dir() {
        PathState::Refused("it is a folder")
    } else if !metadata.file_type().is_file() || metadata.file_type().is_fifo() {
        PathState::Refused("it is not a regular file")
    } else if metadata.nlink() > 1 {
        PathState::Refused(
            "the file has several hard links, so its WAL may stand beside another name",
        )
    } else if metadata.len() == 0 && !has_wal_content(path) {
        PathState::Empty
    } else {
        PathState::File(FileId::of(&metadata))
    })
}

/// A database created in WAL mode may have all its pages in the WAL and none in the file.
fn has_wal_content(path: &Path) -> bool {
    fs::metadata(sibling(path, "-wal")).is_ok_and(|metadata| metadata.len() > 0)
}

impl FileId {
    fn of(metadata: &Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino() }
    }

    /// The file at `path`, or `None` if there is none.
    #[must_use]
    pub fn at(path: &Path) -> Option<Self> {
        fs::metadata(path).ok().map(|metadata| Self::of(&metadata))
    }
}

impl Identity {
    /// The three files at and beside `path`.
    #[must_use]
    pub fn of(path: &Path) -> Self {
        Self {
            database: FileId::at(path),
            wal: FileId::at(&sibling(path, "-wal")),
            shm: FileId::at(&sibling(path, "-shm")),
        }
    }
}

impl Stamp {
    /// The stamp of the file at `path`, or `None` if there is none.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        fs::metadata(path)
            .ok()
            .map(|m| Self { bytes: m.len(), modified: (m.mtime(), m.mtime_nsec()) })
    }
}

/// Why the folder of `path` is no place for a database; `None` if nothing is known against it. A folder that cannot be
/// looked at is told by whoever opens the database next.
#[must_use]
pub fn unfit_folder(path: &Path) -> Option<String> {
    store::shared_folder(path.parent()?).ok()?
}

/// The salts of the log beside `path`; `None` without a sound log.
#[must_use]
pub fn log_salts(path: &Path) -> Option<Salts> {
    let mut header = [0; WAL_HEADER_BYTES];
    fs::File::open(sibling(path, "-wal")).ok()?.read_exact(&mut header).ok()?;
    WalHeader::parse(&header).ok().map(|header| header.salts)
}

/// The path of a file that SQLite keeps beside a database.
#[must_use]
pub fn sibling(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_told_apart_by_what_stands_there() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("a.db");
        assert_eq!(look(&path).expect("stat"), PathState::Missing);
        fs::write(&path, b"").expect("write");
        assert_eq!(look(&path).expect("stat"), PathState::Empty);
        fs::write(sibling(&path, "-wal"), b"x").expect("write");
        assert!(matches!(look(&path).expect("stat"), PathState::File(_)));
        fs::hard_link(&path, folder.path().join("b.db")).expect("link");
        assert!(matches!(look(&path).expect("stat"), PathState::Refused(_)));
        assert!(matches!(look(folder.path()).expect("stat"), PathState::Refused(_)));
        let link = folder.path().join("link.db");
        std::os::unix::fs::symlink(&path, &link).expect("link");
        assert!(matches!(look(&link).expect("stat"), PathState::Refused(_)));
    }

    #[test]
    fn replacing_by_rename_changes_the_identity() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (path, other) = (folder.path().join("a.db"), folder.path().join("b.db"));
        fs::write(&path, b"1").expect("write");
        fs::write(&other, b"2").expect("write");
        let before = Identity::of(&path);
        assert_eq!(before, Identity::of(&path));
        fs::rename(&other, &path).expect("rename");
        assert_ne!(before.database, Identity::of(&path).database);
    }
}
