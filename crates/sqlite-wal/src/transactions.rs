//! A whole `-wal` file as a list of transactions, for tools and tests.
//!
//! What stands after the last valid commit frame is left out: frames of a transaction that did not commit, of an older
//! generation, or torn ones. The last transactions may be phantoms of a failed commit; only the wal-index can tell
//! (invariant C2), so nothing here may decide what is shipped.

use std::ops::Range;

use crate::chain::Chain;
use crate::error::WalError;
use crate::header::{FRAME_HEADER_BYTES, WAL_HEADER_BYTES, WalHeader};
use crate::range::FrameRange;

/// The frames from one commit to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// Its first frame, from 1.
    pub first_frame: u32,
    /// Its last frame: the one that commits.
    pub last_frame: u32,
    /// The size of the database in pages after it.
    pub pages_after: u32,
    /// The chain up to and with its last frame.
    pub chain: Chain,
    /// Its pages in the order of its frames; one may be there several times, and the last counts.
    pub pages: Vec<PageAt>,
}

/// A page in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageAt {
    /// Its number.
    pub page_no: u32,
    /// The bytes of the file that hold it.
    pub range: Range<usize>,
}

/// The transactions of a `-wal` file, up to the first frame that is torn or invalid. A file of 0 bytes has none.
///
/// # Errors
/// If the file's header is cut short or invalid.
pub fn transactions(bytes: &[u8]) -> Result<Vec<Transaction>, WalError> {
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    let header = bytes.first_chunk().ok_or(WalError::Truncated { found: bytes.len() })?;
    let header = WalHeader::parse(header)?;
    let mut frames =
        FrameRange::new(header.page_size, header.byte_order, header.salts, (0, header.chain))?;
    let mut found = Found::default();
    let mut offset = WAL_HEADER_BYTES;
    for frame in bytes[WAL_HEADER_BYTES..].chunks_exact(header.frame_bytes()) {
        let at = offset + FRAME_HEADER_BYTES;
        if frames.feed(frame, |frame| found.push(frame, at)).is_err() {
            break;
        }
        offset += frame.len();
    }
    Ok(found.transactions)
}

/// The committed transactions so far, and the pages since the last commit.
#[derive(Default)]
struct Found {
    transactions: Vec<Transaction>,
    pages: Vec<PageAt>,
}

impl Found {
    fn push(&mut self, frame: crate::range::FrameRef<'_>, at: usize) {
        self.pages.push(PageAt { page_no: frame.page_no, range: at..at + frame.page.len() });
        if frame.commit_size == 0 {
            return;
        }
        let pages = std::mem::take(&mut self.pages);
        self.transactions.push(Transaction {
            first_frame: frame.frame_no + 1 - pages.len() as u32,
            last_frame: frame.frame_no,
            pages_after: frame.commit_size,
            chain: frame.chain,
            pages,
        });
    }
}

#[cfg(test)]
mod tests;
