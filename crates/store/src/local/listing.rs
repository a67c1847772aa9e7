//! A listing of the store's folder in the order of whole names.
//!
//! The order of whole names is not that of a walk that sorts each folder by itself (`a-b/x` sorts before
//! `a/x`), so folders take part in the sort with their `/`. Folders that cannot hold a wanted name are not
//! opened, and only what is returned is looked at more closely. Of a folder with any number of objects no more
//! names are kept than the page has room for.

use super::disk::{Disk, Kind, NOT_PLAIN};
use crate::{Listed, Listing, StoreError};
use segment::ObjectName;
use std::collections::BinaryHeap;
use std::io::ErrorKind;

pub(super) fn list(
    disk: &dyn Disk,
    prefix: &str,
    after: Option<&str>,
    limit: usize,
) -> Result<Listing, StoreError> {
    let mut walk =
        Walk { disk, prefix, after: after.unwrap_or(""), limit, listing: Listing::default() };
    // Whatever stands before the prefix's last slash is a folder: begin there.
    let folder = prefix.rsplit_once('/').map_or("", |(folder, _)| folder);
    if is_plain(folder) {
        walk.folder(folder)?;
    }
    Ok(walk.listing)
}

struct Walk<'a> {
    disk: &'a dyn Disk,
    prefix: &'a str,
    after: &'a str,
    limit: usize,
    listing: Listing,
}

impl Walk<'_> {
    fn folder(&mut self, folder: &str) -> Result<(), StoreError> {
        let (paths, are_all) = self.wanted_paths(folder)?;
        for path in paths {
            if self.listing.more {
                return Ok(());
            }
            match path.strip_suffix('/') {
                Some(inner) => self.folder(inner)?,
                None => self.file(&path)?,
            }
        }
        // What had no room comes later than all of these, some of which may just have vanished.
        self.listing.more |= !are_all;
        Ok(())
    }

    /// The first paths in a folder that can hold wanted names, sorted, as many as the page has room for and one
    /// that tells whether there are more; and whether these are all. Those of folders end with a slash.
    fn wanted_paths(&self, folder: &str) -> Result<(Vec<String>, bool), StoreError> {
        let room = self.limit - self.listing.entries.len() + 1;
        // The greatest is on top, to be dropped first.
        let mut first = BinaryHeap::new();
        let mut are_all = true;
        let visited = self.disk.entries(folder, &mut |name, kind| {
            let path = path_of(folder, name, kind);
            if self.wants(&path) && is_ours(name, &path, kind) {
                first.push(path);
            }
            if first.len() > room {
                first.pop();
                are_all = false;
            }
        });
        match visited {
            Ok(()) => Ok((first.into_sorted_vec(), are_all)),
            // Not made yet, or removed while we walk.
            Err(error) if error.kind() == ErrorKind::NotFound => Ok((Vec::new(), true)),
            Err(error) => Err(StoreError::transient(format!("{folder}/"), error)),
        }
    }

    fn wants(&self, path: &str) -> bool {
        let is_folder = path.ends_with('/');
        let leads_to_prefix = is_folder && self.prefix.starts_with(path);
        let lies_after = path > self.after || (is_folder && self.after.starts_with(path));
        (path.starts_with(self.prefix) || leads_to_prefix) && lies_after
    }

    fn file(&mut self, path: &str) -> Result<(), StoreError> {
        let Ok(name) = ObjectName::parse(path) else {
            tracing::warn!(
                path,
                "a file in the store that is not one of its objects is passed over"
            );
            return Ok(());
        };
        if self.listing.entries.len() == self.limit {
            self.listing.more = true;
            return Ok(());
        }
        match self.disk.stat(path) {
            Ok(found) => {
                self.listing.entries.push(Listed {
                    name,
                    bytes: found.bytes,
                    created: found.modified,
                });
                Ok(())
            }
            // Deleted, or replaced by something that is not ours, since the folder was read.
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | NOT_PLAIN) => Ok(()),
            Err(error) => Err(StoreError::transient(path, error)),
        }
    }
}

fn path_of(folder: &str, name: &str, kind: Kind) -> String {
    let slash_before = if folder.is_empty() { "" } else { "/" };
    let slash_after = if kind == Kind::Folder { "/" } else { "" };
    format!("{folder}{slash_before}{name}{slash_after}")
}

/// Hidden things are never ours. Strange ones are passed over here, so that they take nobody's room.
fn is_ours(name: &str, path: &str, kind: Kind) -> bool {
    let is_strange = match kind {
        Kind::Folder => false,
        Kind::File => ObjectName::parse(path).is_err(),
        Kind::Other => true,
    };
    if is_strange && !name.starts_with('.') {
        tracing::warn!(
            path,
            "something in the store that is not one of its objects is passed over"
        );
    }
    !is_strange && !name.starts_with('.')
}

/// A prefix is text from the caller, not a checked name: it must not lead out of the store's folder.
fn is_plain(folder: &str) -> bool {
    folder.is_empty() || folder.split('/').all(|part| !part.is_empty() && !part.starts_with('.'))
}
