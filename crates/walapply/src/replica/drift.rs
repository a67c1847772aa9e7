//! Noticing that somebody else wrote to a standby database.
//!
//! `PRAGMA data_version` costs nothing and changes with every commit of another connection. It also changes when a
//! stranger restarts the WAL without writing, so a change of it is only a reason to look: all pages are hashed inside the same read transaction
//! and compared. Neither does SQLite tell of bytes that were written past it: `watch` does. The images of pages that differ are kept as evidence before anything is repaired.

use segment::{PageHashes, PageNo, page_hash};

use super::{Replica, hash_all};
use crate::error::ApplyError;

/// More images than this are counted, not kept.
const IMAGES_MAX: usize = 1_024;

/// What differs from what we applied.
#[derive(Debug, Default)]
pub(crate) struct Drift {
    /// How many pages differ, those cut off or added included.
    pub(crate) pages: usize,
    /// Images as they were found, at most 1,024.
    pub(crate) images: Vec<(PageNo, Vec<u8>)>,
}

impl Drift {
    /// Counts a page and keeps its image, if there is room.
    pub(super) fn add(
        &mut self,
        page: PageNo,
        image: impl FnOnce() -> Result<Vec<u8>, ApplyError>,
    ) -> Result<(), ApplyError> {
        self.pages += 1;
        if self.images.len() < IMAGES_MAX {
            self.images.push((page, image()?));
        }
        Ok(())
    }
}

impl Replica {
    /// Looks whether anybody else committed or wrote to the file since our last look, and at what they did.
    ///
    /// After drift was found the table holds the hashes of the file as it is, ready for a repair by difference.
    pub(crate) fn look(&mut self, thorough: bool) -> Result<Option<Drift>, ApplyError> {
        self.check_identity()?;
        self.applier.begin()?;
        let drift = self.compare(thorough);
        self.applier.rollback();
        drift
    }

    /// For use inside a running transaction: refuses to go on from a state that is not ours.
    pub(super) fn refuse_drift(&mut self) -> Result<(), ApplyError> {
        match self.compare(false)? {
            None => Ok(()),
            Some(drift) => {
                let pages = drift.pages;
                self.drift = Some(drift);
                Err(ApplyError::Tampered { path: self.path.clone(), pages })
            }
        }
    }

    /// What the last refused change found; taken once.
    pub(crate) fn take_drift(&mut self) -> Option<Drift> {
        self.drift.take()
    }

    fn compare(&mut self, thorough: bool) -> Result<Option<Drift>, ApplyError> {
        let before = self.watch.before_look();
        let data_version = self.applier.data_version()?;
        if data_version == self.data_version && !thorough && !before.is_suspicious {
            return Ok(None);
        }
        let actual = hash_all(&self.applier, self.hashes.page_size())?;
        self.data_version = data_version;
        self.watch.looked(before);
        if actual == self.hashes {
            return Ok(None);
        }
        let drift = self.difference(&actual)?;
        self.hashes = actual;
        Ok(Some(drift))
    }

    fn difference(&self, actual: &PageHashes) -> Result<Drift, ApplyError> {
        let cut = self.hashes.page_count().saturating_sub(actual.page_count()) as usize;
        let mut drift = Drift { pages: cut, images: Vec::new() };
        self.applier.scan(|page, image| {
            if self.hashes.get(page) == Some(page_hash(page, image))
                || page == self.hashes.page_size().lock_page()
            {
                return;
            }
            drift.pages += 1;
            if drift.images.len() < IMAGES_MAX {
                drift.images.push((page, image.to_vec()));
            }
        })?;
        Ok(drift)
    }
}
