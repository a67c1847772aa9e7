//! Paths of a standby database, and whether they still are what was opened.
//!
//! Only `stat` and `rename` touch the files here; see the header of `sqlite` for why.
//! No symbolic link is followed: whoever may write into the folder must not redirect us.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use segment::Name;

use crate::error::ApplyError;

/// SQLite's companions of a database file.
pub(crate) const COMPANIONS: [&str; 3] = ["-wal", "-shm", "-journal"];

/// The file of the database `name`.
pub(crate) fn database(folder: &Path, name: &Name) -> PathBuf {
    folder.join(format!("{}.db", name.as_str()))
}

/// SQLite's companion of a database file: `-wal`, `-shm` or `-journal`.
pub(crate) fn companion(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// The length of the regular file at `path`.
pub(crate) fn length(path: &Path) -> Result<Option<u64>, ApplyError> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_file() => Ok(Some(metadata.len())),
        Ok(_) => Err(ApplyError::NotAFile(path.to_owned())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(ApplyError::file(path, "looking at the file")(error)),
    }
}

/// Makes the 0-byte file that stands for a database which is empty or missing on the primary; leaves any other file alone.
pub(crate) fn placeholder(path: &Path) -> Result<(), ApplyError> {
    let created = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    match created {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(ApplyError::file(path, "making an empty file")(error)),
    }
}

/// Makes the names in the folder of `path` durable.
pub(crate) fn sync_folder(path: &Path) -> Result<(), ApplyError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(ApplyError::file(folder, "syncing the folder"))
}

/// Removes a file that need not be there.
pub(crate) fn remove(path: &Path) -> Result<(), ApplyError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(ApplyError::file(path, "removing")(error))
        }
        _ => Ok(()),
    }
}

/// Whether any companion lies beside the path.
pub(crate) fn companions_present(path: &Path) -> Result<bool, ApplyError> {
    for ending in COMPANIONS {
        if length(&companion(path, ending))?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether two paths lead to one file, as two spellings of a name do where the file system ignores case.
pub(crate) fn is_one_file(path: &Path, other: &Path) -> Result<bool, ApplyError> {
    let file = inode(path)?;
    Ok(file.is_some() && file == inode(other)?)
}

/// Which files an open connection stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    database: Option<Inode>,
    wal: Option<Inode>,
    shm: Option<Inode>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Inode {
    device: u64,
    number: u64,
}

impl Identity {
    /// What lies at the path and beside it.
    pub(crate) fn of(path: &Path) -> Result<Self, ApplyError> {
        Ok(Self {
            database: inode(path)?,
            wal: inode(&companion(path, "-wal"))?,
            shm: inode(&companion(path, "-shm"))?,
        })
    }

    /// Whether the same files still lie there. A companion that appears is SQLite's doing and is taken note of; one that
    /// vanishes or changes under an open connection means that readers and we no longer see the same log.
    pub(crate) fn still_at(&mut self, path: &Path) -> Result<bool, ApplyError> {
        let now = Self::of(path)?;
        let same = now.database == self.database
            && (self.wal.is_none() || now.wal == self.wal)
            && (self.shm.is_none() || now.shm == self.shm);
        if same {
            *self = now;
        }
        Ok(same)
    }
}

fn inode(path: &Path) -> Result<Option<Inode>, ApplyError> {
    match fs::symlink_metadata(path) {
        Ok(metadata) => Ok(Some(Inode { device: metadata.dev(), number: metadata.ino() })),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(ApplyError::file(path, "looking at the file")(error)),
    }
}
