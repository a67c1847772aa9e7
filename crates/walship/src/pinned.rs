//! A captured state that is kept readable while capture goes on: what bases are copied from.

use std::sync::Arc;

use segment::{Checksum, PageHashes, Txid};

use crate::error::CaptureError;
use crate::image::Image;
use crate::sqlite::{Connection, SharedIndex};
use crate::wal_index::WalIndexHeader;

/// A read transaction on one captured state, beside the one that capture holds.
#[derive(Debug)]
pub struct Pinned {
    pub(crate) shared: Option<SharedIndex>,
    pub(crate) connection: Connection,
    pub(crate) snapshot: Option<WalIndexHeader>,
    pub(crate) hashes: PageHashes,
    pub(crate) txid: Txid,
    /// Lives as long as the connection is open.
    pub(crate) alive: Arc<()>,
}

impl Pinned {
    /// The pages of the state.
    ///
    /// # Errors
    /// As [`Image::open`].
    pub fn image(&self) -> Result<Image<'_>, CaptureError> {
        Image::open(&self.connection, self.snapshot.as_ref(), self.shared.as_ref())
    }

    /// The database checksum of the state.
    #[must_use]
    pub fn checksum(&self) -> Checksum {
        self.hashes.checksum()
    }

    /// Its last commit. The database that it was pinned of may be further already.
    #[must_use]
    pub fn txid(&self) -> Txid {
        self.txid
    }

    /// Hashes of its pages.
    #[must_use]
    pub fn hashes(&self) -> &PageHashes {
        &self.hashes
    }
}
