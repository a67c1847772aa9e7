//! A listing of the store's folder in the order of whole names.
//!
//! The order of whole names is not that of a walk that sorts each folder by itself (`a-b/x` sorts before
//! `a/x`), so folders take part in the sort with their `/`. Folders that cannot hold a wanted name are not
//! opened, and only what is returned is looked at more closely.

use super::disk::{Disk, Entry, NOT_PLAIN};
use crate::{Listed, Listing, StoreError};
use segment::ObjectName;
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
        for path in self.wanted_paths(folder)? {
            if self.listing.more {
                break;
            }
            match path.strip_suffix('/') {
                Some(inner) => self.folder(inner)?,
                None => self.file(&path)?,
            }
        }
        Ok(())
    }

    /// The paths in a folder that can hold wanted names, sorted; those of folders end with a slash.
    fn wanted_paths(&self, folder: &str) -> Result<Vec<String>, StoreError> {
        let entries = match self.disk.entries(folder) {
            Ok(entries) => entries,
            // Not made yet, or removed while we walk.
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(StoreError::transient(format!("{folder}/"), error)),
        };
        let visible = entries.iter().filter(|entry| !entry.name.starts_with('.'));
        let mut paths: Vec<String> = visible.map(|entry| path_of(folder, entry)).collect();
        paths.retain(|path| self.wants(path));
        paths.sort_unstable();
        Ok(paths)
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
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) if error.kind() == NOT_PLAIN => {
                tracing::warn!(
                    path,
                    "something in the store that is not a plain file is passed over"
                );
                Ok(())
            }
            Err(error) => Err(StoreError::transient(path, error)),
        }
    }
}

fn path_of(folder: &str, entry: &Entry) -> String {
    let slash_before = if folder.is_empty() { "" } else { "/" };
    let slash_after = if entry.is_folder { "/" } else { "" };
    format!("{folder}{slash_before}{}{slash_after}", entry.name)
}

/// A prefix is text from the caller, not a checked name: it must not lead out of the store's folder.
fn is_plain(folder: &str) -> bool {
    folder.is_empty() || folder.split('/').all(|part| !part.is_empty() && !part.starts_with('.'))
}
