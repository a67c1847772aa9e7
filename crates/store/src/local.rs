//! A folder of this host as an object store.
//!
//! What must always hold:
//! - Invariant L1: an object appears whole or not at all. Its bytes are written and synced under a name that
//!   no listing shows, then linked (create-if-absent) or renamed (overwrite) into place.
//! - Invariant L2: an acknowledged object survives a power cut: every folder on its path is synced before
//!   the answer.
//! - Invariant L3: a log object that a `get` has shown survives a power cut: its folder is synced before the
//!   bytes are handed out. Otherwise a reader could keep what the cut takes back from everybody else, and the
//!   slot would be filled a second time with something different.
//! - Invariant L4: of several overwrites that expect the same content one succeeds; they take turns under a
//!   lock file. The tag is a hash of the content.
//!
//! After a crash at any point there may be a temporary file, which the next opening for writing removes once
//! it is an hour old, and folders without objects. Nothing else.
//!
//! Ages come from the files' modification times and the host's clock, which is this store's server time.
//! Folders on network file systems are refused, symbolic links are never followed, files are 0600 and
//! folders 0700. Any number of threads and processes of one host may use a folder at once.

mod disk;
mod durable;
mod errors;
mod listing;
pub(crate) mod platform;
mod real;
mod write;

use crate::clock::{Clock, SystemClock};
use crate::object::{ETag, Listing, Object, Put, Reply, Swap};
use crate::{Store, StoreError, shared_folder};
use bytes::Bytes;
use disk::Disk;
use durable::DurableLog;
use parking_lot::Mutex;
use real::RealDisk;
use segment::ObjectName;
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

/// The largest object that is read whole. The largest that is ever written whole is a part of 33 MiB.
const OBJECT_BYTES_MAX: u64 = 64 << 20;

/// The store in a local folder. See the module's documentation.
pub struct LocalStore {
    disk: Box<dyn Disk>,
    clock: Arc<dyn Clock>,
    durable: DurableLog,
    durable_tops: Mutex<BTreeSet<String>>,
}

impl LocalStore {
    /// Opens the folder at `path`; with `create` makes it where it is missing and clears old temporary files.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] where the folder is missing, [`StoreError::Config`] where it lies on a
    /// network file system, is no folder, or cannot hold hard links.
    pub fn open(path: &Path, create: bool) -> Result<LocalStore, StoreError> {
        LocalStore::with_clock(path, create, Arc::new(SystemClock))
    }

    /// The same with a clock of the caller's. The ages of files stay the file system's.
    ///
    /// # Errors
    /// As for [`LocalStore::open`].
    pub fn with_clock(
        path: &Path,
        create: bool,
        clock: Arc<dyn Clock>,
    ) -> Result<LocalStore, StoreError> {
        if create {
            make_root(path)?;
        }
        let disk = open_root(path)?;
        refuse_shared_folders(path)?;
        let store = LocalStore::on_disk(Box::new(disk), clock);
        if create {
            store.prepare(path)?;
        }
        Ok(store)
    }

    fn on_disk(disk: Box<dyn Disk>, clock: Arc<dyn Clock>) -> LocalStore {
        let durable_tops = Mutex::default();
        LocalStore { disk, clock, durable: DurableLog::default(), durable_tops }
    }

    fn reply<T>(&self, value: T) -> Reply<T> {
        Reply { value, server: self.clock.now() }
    }

    /// A file's bytes; `None` where there is none. Invariant L3 is kept here, for whole reads and ranges.
    fn read(
        &self,
        name: &ObjectName,
        range: Range<u64>,
    ) -> Result<Option<(Vec<u8>, disk::Found)>, StoreError> {
        let read = match self.disk.read(name.as_str(), range) {
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::NotFound => return self.missing(name),
            Err(error) => return Err(errors::on_read(name, error)),
        };
        self.durable.ensure(&*self.disk, name)?;
        Ok(Some(read))
    }

    /// "Not there" is an answer only while the store's folder itself is: one that was removed or replaced
    /// under a running follower would otherwise look like a log without news for ever.
    fn missing<T>(&self, name: &ObjectName) -> Result<Option<T>, StoreError> {
        if self.disk.is_in_place() {
            return Ok(None);
        }
        Err(StoreError::unavailable(name, GONE))
    }
}

/// Another folder at the same path may be an older copy, so nobody goes on with it unasked.
const GONE: &str = "the store's folder was removed or replaced: put it back, or start this program again to take what is there now";

impl Store for LocalStore {
    fn put_if_absent(&self, name: &ObjectName, body: &[u8]) -> Result<Reply<Put>, StoreError> {
        let put = self.create_object(name, body)?;
        Ok(self.reply(put))
    }

    fn put(&self, name: &ObjectName, body: &[u8]) -> Result<Reply<()>, StoreError> {
        self.overwrite_object(name, body)?;
        Ok(self.reply(()))
    }

    fn put_if_match(
        &self,
        name: &ObjectName,
        body: &[u8],
        expected: Option<&ETag>,
    ) -> Result<Reply<Swap>, StoreError> {
        let swap = self.swap_object(name, body, expected)?;
        Ok(self.reply(swap))
    }

    fn get(&self, name: &ObjectName) -> Result<Reply<Option<Object>>, StoreError> {
        let read = self.read(name, 0..OBJECT_BYTES_MAX)?;
        let Some((body, found)) = read else { return Ok(self.reply(None)) };
        if found.bytes > OBJECT_BYTES_MAX {
            return Err(errors::too_large(name, found.bytes));
        }
        let etag = ETag::of_content(&body);
        let object = Object { body: body.into(), etag, created: found.modified };
        Ok(self.reply(Some(object)))
    }

    fn get_range(
        &self,
        name: &ObjectName,
        range: Range<u64>,
    ) -> Result<Reply<Option<Bytes>>, StoreError> {
        let read = self.read(name, range)?;
        Ok(self.reply(read.map(|(bytes, _)| bytes.into())))
    }

    fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Reply<Listing>, StoreError> {
        let listing = listing::list(&*self.disk, prefix, after, limit)?;
        if listing.entries.is_empty() && !self.disk.is_in_place() {
            return Err(StoreError::unavailable(prefix, GONE));
        }
        Ok(self.reply(listing))
    }

    /// Not synced: a deleted object that a power cut brings back is one that anybody may still delete.
    fn delete(&self, name: &ObjectName) -> Result<Reply<bool>, StoreError> {
        let was_there = match self.disk.remove(name.as_str()) {
            Ok(()) => true,
            Err(error) if error.kind() == ErrorKind::NotFound => false,
            Err(error) => return Err(errors::before_effect(name, error)),
        };
        self.durable.forget();
        self.remove_empty_folders(name);
        Ok(self.reply(was_there))
    }
}

/// Makes the store's folder and those above it, and makes their names durable.
fn make_root(path: &Path) -> Result<(), StoreError> {
    use std::os::unix::fs::DirBuilderExt;
    let refused = |error| StoreError::config(format!("{} cannot be made: {error}", path.display()));
    let missing: Vec<&Path> = path.ancestors().take_while(|path| !path.exists()).collect();
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(refused)?;
    for folder in missing.iter().filter_map(|folder| folder.parent()) {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        std::fs::File::open(folder).and_then(|folder| platform::sync(&folder)).map_err(refused)?;
    }
    Ok(())
}

fn open_root(path: &Path) -> Result<RealDisk, StoreError> {
    RealDisk::open(path).map_err(|error| match error.kind() {
        ErrorKind::NotADirectory => {
            StoreError::config(format!("{} is not a folder", path.display()))
        }
        _ => StoreError::unavailable(path.display(), error),
    })
}

fn refuse_shared_folders(path: &Path) -> Result<(), StoreError> {
    let found = shared_folder(path);
    let found = found.map_err(|error| StoreError::unavailable(path.display(), error))?;
    let Some(why) = found else { return Ok(()) };
    Err(StoreError::config(format!(
        "{}: {why}, where two hosts could both believe they created an object; use a local disk or an object store",
        path.display()
    )))
}

#[cfg(test)]
mod crash_tests;
#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
