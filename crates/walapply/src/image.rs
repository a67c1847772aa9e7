//! The pages of one database as they stood after a log object.
//!
//! A [`PageSource`] is opened from the catalogue of that cut: the database's newest base, and the sections after it, found
//! by walking from each section to the previous one with reads of tables only; the rest of the log is not touched.
//! Reading goes from the newest section back to the base, so every page is decoded and handed out at most once.
//!
//! - Invariant I1: the newest image of a page wins, and a section's size hides older images of pages above it, also when
//!   the database grew again later.
//! - Invariant I2: nothing is handed out before the SHA-256 of the body it stands in was verified.
//! - Invariant I3: memory is bounded by the [`Budget`] plus one bit a page read, whatever the store declares.
//!
//! The pages are proven together by [`ImageFacts::checksum`]: whoever keeps them compares it. Nothing here writes, and
//! a source may be dropped at any point.

use std::sync::Arc;

use segment::{Catalogue, Checksum, DbId, Incarnation, Name, PageSize, Seq, Txid};
use store::Store;

use crate::ApplyError;

mod differing;
pub(crate) mod layer;
mod pages;
mod seen;
#[cfg(test)]
pub(crate) mod testing;
mod walk;

pub use crate::budget::Budget;
pub use layer::{Layer, Piece};
pub use pages::Sink;
pub use walk::{Opened, open_all};

/// What the log says about the image as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageFacts {
    /// The database.
    pub db: DbId,
    /// Its name at that cut.
    pub name: Name,
    /// The life of the file.
    pub incarnation: Incarnation,
    /// The last section at or before the cut; `None` if the base alone is the image.
    pub changed: Option<Seq>,
    /// Bytes of a page.
    pub page_size: PageSize,
    /// Pages of the database, the lock page included.
    pub pages: u32,
    /// The database checksum of exactly these pages.
    pub checksum: Checksum,
    /// Captured commits.
    pub txid: Txid,
}

/// The pages of one database at one cut, ready to be read.
pub struct PageSource {
    store: Arc<dyn Store>,
    budget: Arc<Budget>,
    facts: ImageFacts,
    /// Newest first; the last one is the base.
    layers: Vec<Layer>,
}

impl PageSource {
    /// Finds what makes up the database's image after `at`; `catalogue` is that of the same cut.
    ///
    /// # Errors
    /// [`ApplyError::NoSuchPoint`] where the database has no content there; [`ApplyError::Missing`] and
    /// [`ApplyError::Corrupt`] name the object that is to blame.
    pub fn open(
        store: &Arc<dyn Store>,
        catalogue: &Catalogue,
        db: DbId,
        at: Seq,
    ) -> Result<Self, ApplyError> {
        let opened = open_all(store, catalogue, &[db], at, &Budget::standard());
        opened.into_iter().next().map_or_else(|| Err(walk::unknown(db)), |each| each.source)
    }

    /// What the log says about the image as a whole.
    #[must_use]
    pub fn facts(&self) -> &ImageFacts {
        &self.facts
    }

    /// What has to be read, newest first.
    #[must_use]
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }
}

#[cfg(test)]
mod tests;
