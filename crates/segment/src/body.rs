//! Bodies: the pages of one section (FORMAT.md section 4.2).
//!
//! A table of 16 bytes a page, then the encoded pages in the same order. A page is stored in the shortest of the known
//! encodings; each is decoded alone. The table has the hash of each page, so a reader that holds an older state finds
//! out from the table which pages differ, and fetches only those.
//!
//! Invariant B1: pages are strictly increasing, lie within the database, and the lock page is not among them.
//! `decode_body` and `page_table` check this and all lengths before they yield a page.
//! Invariant B2: a page that is handed out has the hash of its entry.

use std::borrow::Cow;

use lz4_flex::block::{CompressTable, compress_into_with_table, get_maximum_output_size};

use crate::checksum::page_hash;
use crate::error::SegmentError;
use crate::ids::{ContentHash, PageNo, PageSize};

mod table;

pub use table::{BodyShape, PAGE_ENTRY_BYTES, PageEntry, page_table};
use table::{Encoding, Entries};

/// The pages of one section, ready to stand in a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedBody {
    /// The bytes of the body.
    pub bytes: Vec<u8>,
    /// Their SHA-256.
    pub sha256: ContentHash,
    /// How many pages they hold.
    pub page_count: u32,
}

/// Encodes pages, which must come in strictly increasing order, each of the length of the page size.
pub fn encode_body<'a>(
    page_size: PageSize,
    pages: impl Iterator<Item = (PageNo, &'a [u8])>,
) -> EncodedBody {
    let mut encoder = Encoder::new(page_size, pages.size_hint().0);
    for (pgno, page) in pages {
        encoder.push(pgno, page);
    }
    encoder.finish()
}

struct Encoder {
    page_size: PageSize,
    last: u32,
    entries: Vec<u8>,
    pages: Vec<u8>,
    scratch: Vec<u8>,
    matches: CompressTable,
}

impl Encoder {
    fn new(page_size: PageSize, page_count: usize) -> Self {
        Encoder {
            page_size,
            last: 0,
            entries: Vec::with_capacity(page_count.saturating_mul(PAGE_ENTRY_BYTES).min(1 << 20)),
            pages: Vec::new(),
            scratch: vec![0; get_maximum_output_size(page_size.bytes())],
            matches: CompressTable::default(),
        }
    }

    fn push(&mut self, pgno: PageNo, page: &[u8]) {
        assert!(page.len() == self.page_size.bytes(), "BUG: page {pgno} has {} bytes", page.len());
        assert!(pgno.get() > self.last, "BUG: page {pgno} comes after page {}", self.last);
        self.last = pgno.get();
        let start = self.pages.len();
        let encoding = self.push_page(page);
        let range = start as u64..self.pages.len() as u64;
        let (hash, page_size) = (page_hash(pgno, page), self.page_size);
        let entry = PageEntry { pgno, hash, range, encoding, page_size };
        self.entries.extend(entry.encode());
    }

    fn push_page(&mut self, page: &[u8]) -> Encoding {
        if is_zero(page) {
            return Encoding::Zero;
        }
        match compress_into_with_table(page, &mut self.scratch, &mut self.matches) {
            Ok(length) if length < page.len() => {
                self.pages.extend_from_slice(&self.scratch[..length]);
                Encoding::Lz4
            }
            _ => {
                self.pages.extend_from_slice(page);
                Encoding::Raw
            }
        }
    }

    fn finish(self) -> EncodedBody {
        let page_count = (self.entries.len() / PAGE_ENTRY_BYTES) as u32;
        let mut bytes = self.entries;
        bytes.reserve_exact(self.pages.len());
        bytes.extend_from_slice(&self.pages);
        EncodedBody { sha256: ContentHash::of(&bytes), bytes, page_count }
    }
}

/// Each byte equals its neighbour, and the first is zero.
fn is_zero(page: &[u8]) -> bool {
    page.first() == Some(&0) && page[1..] == page[..page.len() - 1]
}

/// Checks the page table of a body, whose SHA-256 the caller has verified, and gives its pages.
pub fn decode_body(shape: BodyShape, bytes: &[u8]) -> Result<Pages<'_>, SegmentError> {
    let entries = Entries::of_body(shape, bytes.len() as u64, bytes)?;
    Ok(Pages { entries, body: bytes })
}

/// The number and content of a page.
type Page<'a> = (PageNo, Cow<'a, [u8]>);

/// The pages of a body in order; each is decoded when it is asked for. After an error there is no next page.
#[derive(Clone, Debug)]
pub struct Pages<'a> {
    entries: Entries<'a>,
    body: &'a [u8],
}

impl<'a> Pages<'a> {
    /// How many pages are still to come.
    pub fn remaining(&self) -> usize {
        self.entries.remaining()
    }

    /// The number and content of the next page, without allocating when `buffer` is used again.
    pub fn next_into<'b>(
        &mut self,
        buffer: &'b mut Vec<u8>,
    ) -> Result<Option<(PageNo, &'b [u8])>, SegmentError>
    where
        'a: 'b,
    {
        let Some((entry, stored)) = self.advance()? else { return Ok(None) };
        match entry.decode_into(stored, buffer) {
            Ok(page) => Ok(Some((entry.pgno, page))),
            Err(error) => Err(self.end_with(error)),
        }
    }

    fn advance(&mut self) -> Result<Option<(PageEntry, &'a [u8])>, SegmentError> {
        let Some(entry) = self.entries.next() else { return Ok(None) };
        let entry = entry?;
        let stored = self.body.get(entry.range.start as usize..entry.range.end as usize);
        let found = self.body.len() as u64;
        let stored = stored.ok_or(SegmentError::Truncated { needed: entry.range.end, found })?;
        Ok(Some((entry, stored)))
    }

    fn end_with(&mut self, error: SegmentError) -> SegmentError {
        self.entries.end();
        error
    }

    fn next_owned(&mut self) -> Result<Option<Page<'a>>, SegmentError> {
        let Some((entry, stored)) = self.advance()? else { return Ok(None) };
        match entry.decode(stored) {
            Ok(page) => Ok(Some((entry.pgno, page))),
            Err(error) => Err(self.end_with(error)),
        }
    }
}

impl<'a> Iterator for Pages<'a> {
    type Item = Result<Page<'a>, SegmentError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_owned().transpose()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(self.remaining()))
    }
}

#[cfg(test)]
mod tests;
