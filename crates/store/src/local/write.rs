//! The write paths of the local store, step by step.
//!
//! Create: temporary file, write, sync, link (taken = exists), sync every folder on the path, remove the
//! temporary name. Overwrite: the same with rename in place of link. Up to the link or rename nothing has
//! happened as far as anybody can see, and an error says so; from there on an error is ambiguous.
//!
//! A crash leaves the temporary file at worst. One that was linked shares its bytes with the object, so
//! removing it later is always harmless.

use super::disk::Found;
use super::{LocalStore, errors};
use crate::{ETag, Put, StoreError, Swap};
use segment::ObjectName;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// Outside everything that is listed: no object's name begins with a dot.
const PRIVATE_FOLDER: &str = ".walship";
const TEMPORARY_FOLDER: &str = ".walship/tmp";
const LOCK_FILE: &str = ".walship/lock";
/// Far above the time any write takes; what is older was left by a crash.
const LITTER_AGE_MS: u64 = 3_600_000;
/// A folder can be removed as empty between our making it and our linking into it.
const PLACE_TRIES_MAX: usize = 8;

impl LocalStore {
    pub(super) fn create_object(&self, name: &ObjectName, body: &[u8]) -> Result<Put, StoreError> {
        let temporary = self.stage(name, body)?;
        let placed = self.place(name, || self.disk.link(&temporary, name.as_str()));
        let outcome = match placed {
            Ok(()) => self.sync_path(name).map(|()| Put::Created),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(Put::Exists),
            Err(error) => Err(errors::before_effect(name, error)),
        };
        self.discard(&temporary);
        outcome
    }

    pub(super) fn overwrite_object(
        &self,
        name: &ObjectName,
        body: &[u8],
    ) -> Result<(), StoreError> {
        let _turn = self.turn(name)?;
        self.replace(name, body)
    }

    pub(super) fn swap_object(
        &self,
        name: &ObjectName,
        body: &[u8],
        expected: Option<&ETag>,
    ) -> Result<Swap, StoreError> {
        let _turn = self.turn(name)?;
        let current = self.read(name, 0..super::OBJECT_BYTES_MAX)?;
        let current = current.map(|(content, _)| ETag::of_content(&content));
        if current.as_ref() != expected {
            return Ok(Swap::Conflict);
        }
        self.replace(name, body)?;
        Ok(Swap::Written(ETag::of_content(body)))
    }

    fn replace(&self, name: &ObjectName, body: &[u8]) -> Result<(), StoreError> {
        let temporary = self.stage(name, body)?;
        if let Err(error) = self.place(name, || self.disk.rename(&temporary, name.as_str())) {
            self.discard(&temporary);
            return Err(errors::before_effect(name, error));
        }
        self.sync_path(name)
    }

    /// Invariant L4: the turn of one overwrite, until the answer is dropped.
    fn turn(&self, name: &ObjectName) -> Result<Box<dyn Send>, StoreError> {
        self.make_private_folders().map_err(|error| errors::before_effect(name, error))?;
        self.disk.lock(LOCK_FILE).map_err(|error| errors::before_effect(name, error))
    }

    /// Invariant L1, first half: the whole body, synced, under a name that nobody lists.
    fn stage(&self, name: &ObjectName, body: &[u8]) -> Result<String, StoreError> {
        let path = self.temporary_path();
        let staged = self.write_synced(&path, body);
        staged.map(|()| path.clone()).map_err(|error| {
            self.discard(&path);
            errors::before_effect(name, error)
        })
    }

    fn write_synced(&self, path: &str, body: &[u8]) -> io::Result<()> {
        let mut file = match self.disk.create(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.make_private_folders()?;
                self.disk.create(path)?
            }
            other => other?,
        };
        file.write(body)?;
        file.sync()
    }

    /// Invariant L1, second half: `step` puts the staged file into place, after making the folders it needs.
    fn place(&self, name: &ObjectName, step: impl Fn() -> io::Result<()>) -> io::Result<()> {
        for _ in 0..PLACE_TRIES_MAX {
            match step() {
                Err(error) if error.kind() == ErrorKind::NotFound => self.make_folders_of(name)?,
                other => return other,
            }
        }
        step()
    }

    fn make_folders_of(&self, name: &ObjectName) -> io::Result<()> {
        let inner_last: Vec<&str> = folders_of(name).collect();
        for folder in inner_last.iter().rev() {
            match self.disk.make_folder(folder) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// Invariant L2. Every folder on the path is synced, whoever made it: one that another process made a
    /// moment ago may not be durable yet. Only a top folder, which is never removed, is vouched for once.
    fn sync_path(&self, name: &ObjectName) -> Result<(), StoreError> {
        let sync = |folder: &str| {
            self.disk.sync_folder(folder).map_err(|error| errors::after_effect(name, error))
        };
        let mut top = "";
        for folder in folders_of(name) {
            sync(folder)?;
            top = folder;
        }
        if !self.durable_tops.lock().contains(top) {
            sync("")?;
            self.durable_tops.lock().insert(top.to_owned());
        }
        Ok(())
    }

    /// Folders that a deletion left empty go, but for the top ones.
    pub(super) fn remove_empty_folders(&self, name: &ObjectName) {
        for folder in folders_of(name).filter(|folder| folder.contains('/')) {
            if self.disk.remove_folder(folder).is_err() {
                break;
            }
        }
    }

    /// Makes the private folders, proves that the file system can do what is needed, and clears litter.
    pub(super) fn prepare(&self, path: &Path) -> Result<(), StoreError> {
        let prepared = self.make_private_folders().and_then(|()| self.prove_links());
        prepared.map_err(|error| match error.kind() {
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => StoreError::Forbidden {
                what: path.display().to_string(),
                cause: error.to_string(),
            },
            ErrorKind::Unsupported => StoreError::config(format!(
                "the file system of {} does not support hard links, which creating an object in one step \
                 needs: {error}",
                path.display()
            )),
            _ => StoreError::unavailable(path.display(), error),
        })?;
        self.clear_litter();
        Ok(())
    }

    fn prove_links(&self) -> io::Result<()> {
        let (first, second) = (self.temporary_path(), self.temporary_path());
        self.disk.create(&first)?;
        let linked = self.disk.link(&first, &second);
        let refused = self.disk.link(&first, &second);
        self.discard(&first);
        self.discard(&second);
        linked.map_err(|error| io::Error::new(ErrorKind::Unsupported, error))?;
        match refused {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            _ => Err(io::Error::new(
                ErrorKind::Unsupported,
                "a second link over the first was not refused",
            )),
        }
    }

    fn clear_litter(&self) {
        let now = self.clock.now();
        let mut temporaries = Vec::new();
        let note = &mut |name: &str, _| temporaries.push(format!("{TEMPORARY_FOLDER}/{name}"));
        if let Err(error) = self.disk.entries(TEMPORARY_FOLDER, note) {
            tracing::debug!(%error, "temporary files are not looked at");
        }
        let is_old = |found: Found| now.since(found.modified) > LITTER_AGE_MS;
        for path in temporaries {
            if self.disk.stat(&path).is_ok_and(is_old) {
                tracing::info!(path, "removes a temporary file that a crash left");
                self.discard(&path);
            }
        }
    }

    fn make_private_folders(&self) -> io::Result<()> {
        self.disk.make_folder(PRIVATE_FOLDER)?;
        self.disk.make_folder(TEMPORARY_FOLDER)
    }

    /// A name that no other file has: the process, a count within it, and the time for processes that came
    /// before under the same number. Should it be taken all the same, creating it fails and the next try
    /// counts on.
    fn temporary_path(&self) -> String {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        format!("{TEMPORARY_FOLDER}/{}-{count}-{}", std::process::id(), self.clock.now())
    }

    fn discard(&self, temporary: &str) {
        if let Err(error) = self.disk.remove(temporary)
            && error.kind() != ErrorKind::NotFound
        {
            tracing::debug!(temporary, %error, "a temporary file stays until the next start");
        }
    }
}

/// The folders that hold an object, innermost first, without the store's own.
fn folders_of(name: &ObjectName) -> impl Iterator<Item = &str> {
    std::iter::successors(parent(name.as_str()), |folder| parent(folder))
}

fn parent(path: &str) -> Option<&str> {
    path.rsplit_once('/').map(|(folder, _)| folder)
}
