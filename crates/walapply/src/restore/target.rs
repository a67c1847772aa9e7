//! The place on disk where one restored database lands.
//!
//! Invariants. Nothing is visible under the target's name before the whole file is written, verified and durable. What
//! stood there before is never lost without `Replace::Yes`, and a `-wal`, `-shm` or `-journal` of another life is
//! never left beside a restored file: SQLite would read it as part of the database.
//! Order: write the draft, fsync it, verify it, move aside what is in the way (the database first, so that at no
//! moment an old database stands without the WAL that completes it), rename, fsync the folder.
//! After a crash at any point there is either the old set, or the old set under a dated name, or the new file; the draft
//! (`.FILE.restoring`) is overwritten by the next restore to this target, and a lock on it keeps two restores apart.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, OFlags};
use segment::Millis;

use super::in_use;

/// What SQLite keeps beside a database file.
const COMPANIONS: [&str; 3] = ["-wal", "-shm", "-journal"];
/// How often a draft that was renamed away under us is opened anew.
const OPEN_ATTEMPTS: u32 = 10;

/// May an existing file be replaced?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Replace {
    /// No: what is there is an error.
    No,
    /// Yes: replaced, and moved aside where a companion belongs to it.
    Yes,
}

/// Why a file could not be put in place.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TargetError {
    /// A file of that name exists.
    #[error("{} exists", .0.display())]
    Exists(PathBuf),
    /// A companion of an earlier database is beside the target.
    #[error("{} is left from another database at this place", .0.display())]
    Stale(PathBuf),
    /// The target is a folder, or something else that is no file.
    #[error("{} is not a file", .0.display())]
    NotAFile(PathBuf),
    /// Another process restores to the same place.
    #[error("another restore is writing {}", .0.display())]
    Busy(PathBuf),
    /// The disk is too small.
    #[error("{} has room for {free} bytes, the restore needs {needed}", .folder.display())]
    Full {
        /// The folder that is written to.
        folder: PathBuf,
        /// Bytes that may still be written.
        free: u64,
        /// Bytes that the restore writes.
        needed: u64,
    },
    /// The file system failed.
    #[error("cannot {what} {}", .path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Adds the act and the path to an error of the system.
fn at<'a>(what: &'static str, path: &'a Path) -> impl Fn(io::Error) -> TargetError + 'a {
    move |source| TargetError::Io { what, path: path.to_owned(), source }
}

/// A path that a database will be put at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    path: PathBuf,
}

impl Target {
    /// A target; the path's last part must be a file name.
    pub(crate) fn new(path: PathBuf) -> Result<Self, TargetError> {
        let names_a_folder = path.as_os_str().as_encoded_bytes().ends_with(b"/");
        match path.file_name() {
            Some(_) if !names_a_folder => Ok(Self { path }),
            _ => Err(TargetError::NotAFile(path)),
        }
    }

    /// Where the database lands.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Is anything there under this name?
    pub(crate) fn taken(&self) -> Result<bool, TargetError> {
        exists(&self.path)
    }

    /// Checks that a file may be put here, before work is spent on making it.
    pub(crate) fn check(&self, replace: Replace) -> Result<(), TargetError> {
        match fs::symlink_metadata(&self.path) {
            Ok(found) if found.is_dir() => return Err(TargetError::NotAFile(self.path.clone())),
            Ok(_) if replace == Replace::No => return Err(TargetError::Exists(self.path.clone())),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(at("look at", &self.path)(error)),
        }
        match self.companions()?.into_iter().next() {
            Some(stale) if replace == Replace::No => Err(TargetError::Stale(stale)),
            _ => Ok(()),
        }
    }

    /// Whether another process has the database open that stands here, as far as SQLite's locks tell. Changes nothing.
    pub(crate) fn is_in_use(&self) -> bool {
        in_use::is_open_elsewhere(&self.path).unwrap_or_else(|error| {
            tracing::debug!(path = %self.path.display(), %error, "cannot tell whether it is in use");
            false
        })
    }

    /// Opens the draft: an empty file, for us alone.
    pub(crate) fn draft(&self) -> Result<Draft, TargetError> {
        create_folders(self.folder())?;
        let path = self.draft_path();
        for _ in 0..OPEN_ATTEMPTS {
            if let Some(file) = self.lock(&path)? {
                file.set_len(0).map_err(at("empty", &path))?;
                return Ok(Draft { target: self.clone(), path, file, placed: false });
            }
        }
        Err(TargetError::Busy(self.path.clone()))
    }

    /// Opens and locks the draft; `None` if it was renamed or removed between the two.
    fn lock(&self, path: &Path) -> Result<Option<File>, TargetError> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or(0))
            .open(path)
            .map_err(at("create", path))?;
        rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|error| {
            match error {
                rustix::io::Errno::WOULDBLOCK => TargetError::Busy(self.path.clone()),
                other => at("lock", path)(other.into()),
            }
        })?;
        let ours = file.metadata().map_err(at("look at", path))?;
        if ours.nlink() > 1 {
            // A restore that ended between link and unlink: this is the database itself, under a second name.
            fs::remove_file(path).map_err(at("remove", path))?;
            return Ok(None);
        }
        match fs::symlink_metadata(path) {
            Ok(named) if (named.dev(), named.ino()) == (ours.dev(), ours.ino()) => Ok(Some(file)),
            Ok(_) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(at("look at", path)(error)),
        }
    }

    fn folder(&self) -> &Path {
        parent_of(&self.path)
    }

    fn file_name(&self) -> &OsStr {
        self.path.file_name().expect("BUG: a target has a file name")
    }

    fn draft_path(&self) -> PathBuf {
        let mut name = OsString::from(".");
        name.push(self.file_name());
        name.push(".restoring");
        self.folder().join(name)
    }

    /// The companions that are there.
    fn companions(&self) -> Result<Vec<PathBuf>, TargetError> {
        let mut found = Vec::new();
        for suffix in COMPANIONS {
            let path = with_suffix(&self.path, suffix);
            if exists(&path)? {
                found.push(path);
            }
        }
        Ok(found)
    }

    /// Gives the old database and its companions one dated name, so that they remain a database that can be opened.
    fn move_aside(&self, now: Millis) -> Result<Vec<PathBuf>, TargetError> {
        let companions = self.companions()?;
        if companions.is_empty() {
            return Ok(companions);
        }
        let dated = free_name(&with_suffix(&self.path, &format!(".replaced-{}", compact(now))))?;
        let mut moved = Vec::new();
        for suffix in std::iter::once("").chain(COMPANIONS) {
            let (from, to) = (with_suffix(&self.path, suffix), with_suffix(&dated, suffix));
            if exists(&from)? {
                fs::rename(&from, &to).map_err(at("move aside", &from))?;
                moved.push(to);
            }
        }
        Ok(moved)
    }
}

/// A file in the making; dropped before it is put in place, it is removed.
#[derive(Debug)]
pub(crate) struct Draft {
    target: Target,
    path: PathBuf,
    file: File,
    placed: bool,
}

impl Draft {
    /// The file to write.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Where it will land.
    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    /// An error of the system while the draft was written.
    pub(crate) fn io_error(&self, what: &'static str, source: io::Error) -> TargetError {
        at(what, &self.path)(source)
    }

    /// Does the disk hold this many bytes more?
    pub(crate) fn check_room(&self, needed: u64) -> Result<(), TargetError> {
        let stat = rustix::fs::fstatvfs(&self.file)
            .map_err(|error| self.io_error("look at", error.into()))?;
        let free = stat.f_bavail.saturating_mul(stat.f_frsize);
        match free < needed {
            true => {
                Err(TargetError::Full { folder: self.target.folder().to_owned(), free, needed })
            }
            false => Ok(()),
        }
    }

    /// Makes durable what was written so far.
    pub(crate) fn sync_pages(&self) -> Result<(), TargetError> {
        self.file.sync_data().map_err(|error| self.io_error("sync", error))
    }

    /// Makes the file's content durable.
    pub(crate) fn sync(&self) -> Result<(), TargetError> {
        self.file.sync_all().map_err(|error| self.io_error("sync", error))
    }

    /// Puts the (durable, verified) draft in place; the answer names what was moved aside.
    pub(crate) fn put_in_place(
        mut self,
        replace: Replace,
        now: Millis,
    ) -> Result<Vec<PathBuf>, TargetError> {
        self.target.check(replace)?;
        let moved = match replace {
            Replace::No => Vec::new(),
            Replace::Yes => self.target.move_aside(now)?,
        };
        rename(&self.path, &self.target.path, replace)?;
        self.placed = true;
        sync_folder(self.target.folder())?;
        Ok(moved)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.placed {
            // Best effort: what stays is a draft, which the next restore to this place overwrites.
            drop(fs::remove_file(&self.path));
        }
    }
}

/// Renames; a file that appeared at the target since it was looked at is not overwritten.
fn rename(from: &Path, to: &Path, replace: Replace) -> Result<(), TargetError> {
    if replace == Replace::Yes {
        return fs::rename(from, to).map_err(at("rename to", to));
    }
    // link(2) fails where the name is taken, on every file system and platform that has hard links.
    fs::hard_link(from, to).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => TargetError::Exists(to.to_owned()),
        _ => at("link to", to)(error),
    })?;
    fs::remove_file(from).map_err(at("remove", from))
}

/// Creates a folder and its parents, for the owner alone; each new one is durable in its parent.
fn create_folders(path: &Path) -> Result<(), TargetError> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = parent_of(path);
    create_folders(parent)?;
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
        created => created.map_err(at("create the folder", path))?,
    }
    sync_folder(parent)
}

fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

fn sync_folder(path: &Path) -> Result<(), TargetError> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(at("sync the folder", path))
}

fn exists(path: &Path) -> Result<bool, TargetError> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(at("look at", path)(error)),
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// The first of `path`, `path-2`, `path-3`... under which neither a database nor a companion stands.
fn free_name(path: &Path) -> Result<PathBuf, TargetError> {
    for number in 1..u32::MAX {
        let candidate =
            if number == 1 { path.to_owned() } else { with_suffix(path, &format!("-{number}")) };
        let here = Target { path: candidate };
        if !here.taken()? && here.companions()?.is_empty() {
            return Ok(here.path);
        }
    }
    Err(TargetError::Exists(path.to_owned()))
}

/// `20261125T093000Z`.
fn compact(instant: Millis) -> String {
    i64::try_from(instant.get())
        .ok()
        .and_then(|millis| jiff::Timestamp::from_millisecond(millis).ok())
        .map_or_else(
            || instant.get().to_string(),
            |stamp| stamp.strftime("%Y%m%dT%H%M%SZ").to_string(),
        )
}

#[cfg(test)]
mod tests;
