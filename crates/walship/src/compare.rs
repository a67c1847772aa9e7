//! The diff path: find what changed by comparing page hashes, when nothing proves continuity.

use std::collections::BTreeMap;

use segment::{Incarnation, Millis, PageHashes, PageNo, Txid, page_hash};

use crate::error::CaptureError;
use crate::image::Image;
use crate::pending::Change;

/// The state a database had when it was last shipped, to compare with.
#[derive(Debug, Clone)]
pub struct Known {
    /// The life of the file.
    pub incarnation: Incarnation,
    /// Commits captured so far.
    pub txid: Txid,
    /// Hashes of the shipped pages.
    pub hashes: PageHashes,
}

/// Hashes every page of an image.
///
/// # Errors
/// Read errors.
pub fn hash_all(image: &Image<'_>) -> Result<PageHashes, CaptureError> {
    let mut hashes = PageHashes::new(image.page_size());
    hashes.resize(image.pages());
    image.for_each(|pgno, page| {
        hashes.set(pgno, page_hash(pgno, page));
        Ok::<_, CaptureError>(())
    })?;
    Ok(hashes)
}

/// Finds the pages that differ from what is known. The change counts as one commit.
///
/// # Errors
/// Read errors.
pub fn compare(
    image: &Image<'_>,
    known: &Known,
    now: Millis,
) -> Result<(PageHashes, Option<Change>), CaptureError> {
    let mut hashes = known.hashes.clone();
    let resized = hashes.page_count() != image.pages();
    hashes.resize(image.pages());
    let mut pages = BTreeMap::new();
    image.for_each(|pgno, page| {
        let hash = page_hash(pgno, page);
        if hashes.get(pgno) != Some(hash) || resized && pgno == PageNo::FIRST {
            hashes.set(pgno, hash);
            pages.insert(pgno, page.into());
        }
        Ok::<_, CaptureError>(())
    })?;
    if pages.is_empty() && !resized {
        return Ok((hashes, None));
    }
    let txid = known.txid.next();
    let change = Change {
        incarnation: known.incarnation,
        page_size: image.page_size(),
        pages_after: image.pages(),
        pages,
        txids: (txid, txid),
        checksums: (known.hashes.checksum(), hashes.checksum()),
        oldest_commit: now,
        is_diff: true,
        is_first: false,
    };
    Ok((hashes, Some(change)))
}
