//! The host's file system under [`Disk`].
//!
//! Every path is opened component by component from the store's folder, each with `O_NOFOLLOW`, so that a
//! symbolic link planted inside the store leads nowhere. Files are made 0600 and folders 0700.
//! Descriptors live for one call; a handle whose fsync failed is never used again.

use super::disk::{Disk, Found, Kind, NOT_PLAIN, NewFile};
use super::platform;
use crate::clock::unix_millis;
use rustix::fs::{AtFlags, Dir, FileType, FlockOperation, Mode, OFlags, Stat};
use rustix::io::Errno;
use segment::Millis;
use std::fs::File;
use std::io::{self, Write};
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const FILE_MODE: Mode = Mode::from_raw_mode(0o600);
const FOLDER_MODE: Mode = Mode::from_raw_mode(0o700);
/// A conditional overwrite of a small file holds the lock for a few fsyncs.
const LOCK_WAIT_MAX: Duration = Duration::from_secs(5);

pub(super) struct RealDisk {
    root: File,
    path: PathBuf,
}

impl RealDisk {
    pub(super) fn open(path: &Path) -> io::Result<RealDisk> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(path, flags, Mode::empty())?;
        Ok(RealDisk { root: root.into(), path: path.to_owned() })
    }

    fn folder(&self, path: &str) -> io::Result<OwnedFd> {
        let mut folder = self.root.try_clone()?.into();
        for component in path.split('/').filter(|component| !component.is_empty()) {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            folder = rustix::fs::openat(&folder, component, flags, Mode::empty())?;
        }
        Ok(folder)
    }

    fn parent<'p>(&self, path: &'p str) -> io::Result<(OwnedFd, &'p str)> {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        Ok((self.folder(folder)?, name))
    }

    fn open_file(&self, path: &str) -> io::Result<(File, Found)> {
        let (folder, name) = self.parent(path)?;
        // NONBLOCK: opening a pipe that stands in a file's place must not hang.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file: File = match rustix::fs::openat(&folder, name, flags, Mode::empty()) {
            Err(Errno::LOOP) => return Err(NOT_PLAIN.into()),
            opened => opened?.into(),
        };
        let facts = file.metadata()?;
        if !facts.is_file() {
            return Err(NOT_PLAIN.into());
        }
        let found = Found { bytes: facts.len(), modified: unix_millis(facts.modified()?) };
        Ok((file, found))
    }
}

impl Disk for RealDisk {
    fn create(&self, path: &str) -> io::Result<Box<dyn NewFile>> {
        let (folder, name) = self.parent(path)?;
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file: File = rustix::fs::openat(&folder, name, flags, FILE_MODE)?.into();
        Ok(Box::new(file))
    }

    fn link(&self, from: &str, to: &str) -> io::Result<()> {
        let (from_folder, from_name) = self.parent(from)?;
        let (to_folder, to_name) = self.parent(to)?;
        Ok(rustix::fs::linkat(&from_folder, from_name, &to_folder, to_name, AtFlags::empty())?)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let (from_folder, from_name) = self.parent(from)?;
        let (to_folder, to_name) = self.parent(to)?;
        Ok(rustix::fs::renameat(&from_folder, from_name, &to_folder, to_name)?)
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        let (folder, name) = self.parent(path)?;
        Ok(rustix::fs::unlinkat(&folder, name, AtFlags::empty())?)
    }

    fn make_folder(&self, path: &str) -> io::Result<()> {
        let (folder, name) = self.parent(path)?;
        match rustix::fs::mkdirat(&folder, name, FOLDER_MODE) {
            Ok(()) | Err(Errno::EXIST) => Ok(()),
            Err(other) => Err(other.into()),
        }
    }

    fn remove_folder(&self, path: &str) -> io::Result<()> {
        let (folder, name) = self.parent(path)?;
        Ok(rustix::fs::unlinkat(&folder, name, AtFlags::REMOVEDIR)?)
    }

    fn sync_folder(&self, path: &str) -> io::Result<()> {
        platform::sync(&self.folder(path)?.into())
    }

    fn read(&self, path: &str, range: Range<u64>) -> io::Result<(Vec<u8>, Found)> {
        let (file, found) = self.open_file(path)?;
        let end = range.end.min(found.bytes);
        let length = end.saturating_sub(range.start);
        let length = usize::try_from(length).map_err(|_| io::Error::from(Errno::FBIG))?;
        let mut bytes = vec![0; length];
        file.read_exact_at(&mut bytes, range.start)?;
        Ok((bytes, found))
    }

    fn stat(&self, path: &str) -> io::Result<Found> {
        let (folder, name) = self.parent(path)?;
        found(&rustix::fs::statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW)?)
    }

    fn entries(&self, folder: &str, visit: &mut dyn FnMut(&str, Kind)) -> io::Result<()> {
        let folder = self.folder(folder)?;
        for entry in Dir::read_from(&folder)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().to_str() else { continue };
            let kind = match entry.file_type() {
                FileType::Unknown => type_of(&folder, name)?,
                known => known,
            };
            let kind = match kind {
                FileType::Directory => Kind::Folder,
                FileType::RegularFile => Kind::File,
                _ => Kind::Other,
            };
            if name != "." && name != ".." {
                visit(name, kind);
            }
        }
        Ok(())
    }

    fn lock(&self, path: &str) -> io::Result<Box<dyn Send>> {
        let (folder, name) = self.parent(path)?;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file: File = rustix::fs::openat(&folder, name, flags, FILE_MODE)?.into();
        let begun = Instant::now();
        while let Err(error) = rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            let is_held = error == Errno::WOULDBLOCK || error == Errno::INTR;
            if !is_held || begun.elapsed() > LOCK_WAIT_MAX {
                return Err(error.into());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(Box::new(file))
    }

    fn is_in_place(&self) -> bool {
        let (Ok(opened), Ok(named)) = (self.root.metadata(), std::fs::metadata(&self.path)) else {
            return false;
        };
        (opened.dev(), opened.ino()) == (named.dev(), named.ino())
    }
}

impl NewFile for File {
    fn write(&mut self, body: &[u8]) -> io::Result<()> {
        self.write_all(body)
    }

    fn sync(&mut self) -> io::Result<()> {
        platform::sync(self)
    }
}

#[allow(clippy::unnecessary_cast, reason = "the types of the fields differ between systems")]
fn found(facts: &Stat) -> io::Result<Found> {
    if FileType::from_raw_mode(facts.st_mode) != FileType::RegularFile {
        return Err(NOT_PLAIN.into());
    }
    let seconds = (facts.st_mtime as i64).max(0) as u64;
    let modified =
        seconds.saturating_mul(1000).saturating_add(facts.st_mtime_nsec as u64 / 1_000_000);
    Ok(Found { bytes: facts.st_size as u64, modified: Millis::new(modified) })
}

/// For file systems that do not tell the kind of an entry; an entry that vanished meanwhile is no folder.
fn type_of(folder: &OwnedFd, name: &str) -> io::Result<FileType> {
    match rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(facts) => Ok(FileType::from_raw_mode(facts.st_mode)),
        Err(Errno::NOENT) => Ok(FileType::Unknown),
        Err(other) => Err(other.into()),
    }
}
