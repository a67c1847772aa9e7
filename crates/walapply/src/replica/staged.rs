//! The page hashes of a running transaction: what the checksum will be, before it is true.
//!
//! The table itself changes only after COMMIT, so a rollback has nothing to undo.

use std::collections::HashSet;

use segment::{Checksum, PageHashes, PageNo, PageSize, page_hash};

use crate::error::ApplyError;

/// Pages taken so far, on top of a table that stays as it is.
pub(super) struct Staged<'a> {
    base: &'a PageHashes,
    pages_after: u32,
    checksum: Checksum,
    seen: HashSet<PageNo>,
    changed: Vec<(PageNo, u64)>,
}

/// Hashes to enter into the table once the transaction is committed.
pub(super) struct Changed {
    pages_after: u32,
    hashes: Vec<(PageNo, u64)>,
}

impl<'a> Staged<'a> {
    /// Begins with the state that is left when the file is cut to `pages_after`.
    pub(super) fn new(base: &'a PageHashes, pages_after: u32) -> Self {
        let cut = base
            .iter()
            .skip(pages_after as usize)
            .fold(Checksum::EMPTY, |sum, (_, hash)| sum ^ hash);
        Self {
            base,
            pages_after,
            checksum: base.checksum() ^ cut,
            seen: HashSet::new(),
            changed: Vec::new(),
        }
    }

    /// Whether the image is to be written: it is the first of its page, within the file, not the lock page, and differs
    /// from what the file has. Page 1 is always written, for its masked bytes.
    pub(super) fn accept(&mut self, page: PageNo, image: &[u8]) -> Result<bool, ApplyError> {
        let page_size: PageSize = self.base.page_size();
        if image.len() != page_size.bytes() {
            let detail = format!(
                "{} bytes for page {page} of a database with pages of {page_size}",
                image.len()
            );
            return Err(ApplyError::Corrupt { what: "page image".into(), detail });
        }
        if page.get() > self.pages_after || page == page_size.lock_page() || !self.seen.insert(page)
        {
            return Ok(false);
        }
        let hash = page_hash(page, image);
        if self.base.get(page) == Some(hash) && page != PageNo::FIRST {
            return Ok(false);
        }
        self.checksum = self.checksum ^ self.base.get(page).unwrap_or(0) ^ hash;
        self.changed.push((page, hash));
        Ok(true)
    }

    /// Whether the last accepted image takes the place of a different one; page 1 may be written for its masked bytes alone.
    pub(super) fn replaces_content(&self, page: PageNo) -> bool {
        let written = self.changed.last().map(|(_, hash)| *hash);
        self.base.get(page).is_some_and(|former| Some(former) != written)
    }

    /// The checksum after this transaction.
    pub(super) fn checksum(&self) -> Checksum {
        self.checksum
    }

    /// Pages accepted.
    pub(super) fn pages_written(&self) -> u64 {
        self.changed.len() as u64
    }

    /// Ends the borrow of the table.
    pub(super) fn finish(self) -> Changed {
        Changed { pages_after: self.pages_after, hashes: self.changed }
    }
}

impl Changed {
    /// Makes the committed state the table's state.
    pub(super) fn enter(self, table: &mut PageHashes) {
        table.resize(self.pages_after);
        for (page, hash) in self.hashes {
            table.set(page, hash);
        }
    }
}
