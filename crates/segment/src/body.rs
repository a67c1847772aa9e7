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

use crate::error::SegmentError;
use crate::ids::PageNo;

mod encode;
mod table;

pub use encode::{EncodedBody, encode_body};
use table::Entries;
pub use table::{BodyShape, PAGE_ENTRY_BYTES, PageEntry, page_table};

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
