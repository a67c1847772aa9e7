//! Bodies: the pages of one section (FORMAT.md section 4.2).
//!
//! A table of 8 bytes a page, then the encoded pages in the same order. A page is stored in the shortest of the known
//! encodings; each is decoded alone, so any page of a verified body can be read without the others.
//!
//! Invariant B1: pages are strictly increasing, lie within the database, and the lock page is not among them.
//! `decode_body` checks this and all lengths before it yields a page, without allocating.

use std::borrow::Cow;

use lz4_flex::block::{
    CompressTable, compress_into_with_table, decompress_into, get_maximum_output_size,
};

use crate::error::SegmentError;
use crate::ids::{ContentHash, PageNo, PageSize};

/// The bytes of a page's entry in the page table.
pub const PAGE_ENTRY_BYTES: usize = 8;

const RAW: u8 = 0;
const ZERO: u8 = 1;
const LZ4: u8 = 2;

const LENGTH_BITS: u32 = 24;

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
        let (encoding, length) = self.push_page(page);
        self.entries.extend(pgno.get().to_le_bytes());
        self.entries.extend((u32::from(encoding) << LENGTH_BITS | length).to_le_bytes());
    }

    fn push_page(&mut self, page: &[u8]) -> (u8, u32) {
        if is_zero(page) {
            return (ZERO, 0);
        }
        let compressed = compress_into_with_table(page, &mut self.scratch, &mut self.matches);
        let (encoding, bytes) = match compressed {
            Ok(length) if length < page.len() => (LZ4, &self.scratch[..length]),
            _ => (RAW, page),
        };
        self.pages.extend_from_slice(bytes);
        (encoding, bytes.len() as u32)
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

/// What the section entry says about a body, and every page of it must respect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyShape {
    /// The page size of the database.
    pub page_size: PageSize,
    /// The size of the database in pages.
    pub pages_after: u32,
    /// The pages in the body.
    pub page_count: u32,
}

/// Checks the page table of a body, whose SHA-256 the caller has verified, and gives its pages.
pub fn decode_body(shape: BodyShape, bytes: &[u8]) -> Result<Pages<'_>, SegmentError> {
    let table_bytes = u64::from(shape.page_count) * PAGE_ENTRY_BYTES as u64;
    let truncated = SegmentError::Truncated { needed: table_bytes, found: bytes.len() as u64 };
    let table_length = usize::try_from(table_bytes).map_err(|_| truncated.clone())?;
    let (entries, pages) = bytes.split_at_checked(table_length).ok_or(truncated)?;
    check_entries(shape, entries, pages.len())?;
    Ok(Pages { page_size: shape.page_size, entries, pages })
}

fn check_entries(shape: BodyShape, entries: &[u8], pages_bytes: usize) -> Result<(), SegmentError> {
    let lock_page = shape.page_size.lock_page();
    let mut last = 0;
    let mut length_sum = 0;
    for (index, entry) in entries.chunks_exact(PAGE_ENTRY_BYTES).enumerate() {
        let offset = (index * PAGE_ENTRY_BYTES) as u64;
        let invalid = |what| SegmentError::Invalid { what, offset };
        let Entry { pgno, encoding, length } =
            Entry::decode(entry).ok_or(invalid("page 0 in a body"))?;
        if pgno.get() <= last {
            return Err(invalid("pages of a body out of order"));
        }
        if pgno.get() > shape.pages_after {
            return Err(invalid("page of a body beyond the database"));
        }
        if pgno == lock_page {
            return Err(invalid("lock page in a body"));
        }
        check_length(shape.page_size, pgno, encoding, length)?;
        last = pgno.get();
        length_sum += u64::from(length);
    }
    if length_sum != pages_bytes as u64 {
        return Err(SegmentError::Invalid {
            what: "lengths of pages do not add up",
            offset: entries.len() as u64,
        });
    }
    Ok(())
}

fn check_length(
    page_size: PageSize,
    pgno: PageNo,
    encoding: u8,
    length: u32,
) -> Result<(), SegmentError> {
    let fits = match encoding {
        RAW => length == page_size.get(),
        ZERO => length == 0,
        LZ4 => (1..page_size.get()).contains(&length),
        newer => {
            return Err(SegmentError::NewerFeature {
                what: "page encoding",
                value: newer.to_string(),
            });
        }
    };
    if fits {
        Ok(())
    } else {
        Err(SegmentError::Page { pgno, what: "length does not fit the encoding" })
    }
}

/// One entry of the page table.
struct Entry {
    pgno: PageNo,
    encoding: u8,
    length: u32,
}

impl Entry {
    fn decode(bytes: &[u8]) -> Option<Self> {
        let (pgno, rest) = bytes.split_first_chunk()?;
        let packed = u32::from_le_bytes(*rest.first_chunk()?);
        let pgno = PageNo::new(u32::from_le_bytes(*pgno))?;
        Some(Entry {
            pgno,
            encoding: (packed >> LENGTH_BITS) as u8,
            length: packed & ((1 << LENGTH_BITS) - 1),
        })
    }
}

/// The pages of a body in order; each is decoded when it is asked for.
#[derive(Clone, Debug)]
pub struct Pages<'a> {
    page_size: PageSize,
    entries: &'a [u8],
    pages: &'a [u8],
}

impl<'a> Pages<'a> {
    /// How many pages are still to come.
    pub fn remaining(&self) -> usize {
        self.entries.len() / PAGE_ENTRY_BYTES
    }

    /// The number and content of the next page, without allocating when `buffer` is used again; after an error there is
    /// no next page.
    pub fn next_into<'b>(
        &mut self,
        buffer: &'b mut Vec<u8>,
    ) -> Result<Option<(PageNo, &'b [u8])>, SegmentError>
    where
        'a: 'b,
    {
        let Some((pgno, stored)) = self.advance() else { return Ok(None) };
        match stored {
            Stored::Raw(page) => Ok(Some((pgno, page))),
            Stored::Zero => {
                buffer.clear();
                buffer.resize(self.page_size.bytes(), 0);
                Ok(Some((pgno, buffer)))
            }
            Stored::Lz4(bytes) => {
                buffer.resize(self.page_size.bytes(), 0);
                decompress(pgno, bytes, buffer).inspect_err(|_| self.entries = &[])?;
                Ok(Some((pgno, buffer)))
            }
        }
    }

    fn advance(&mut self) -> Option<(PageNo, Stored<'a>)> {
        let (entry, entries) = self.entries.split_at_checked(PAGE_ENTRY_BYTES)?;
        let Entry { pgno, encoding, length } = Entry::decode(entry)?;
        let (stored, pages) = self.pages.split_at_checked(length as usize)?;
        (self.entries, self.pages) = (entries, pages);
        Some((pgno, Stored::new(encoding, stored)))
    }
}

/// A page as it stands in the body.
enum Stored<'a> {
    Raw(&'a [u8]),
    Zero,
    Lz4(&'a [u8]),
}

impl<'a> Stored<'a> {
    /// The encoding was checked with the page table.
    fn new(encoding: u8, bytes: &'a [u8]) -> Self {
        match encoding {
            RAW => Stored::Raw(bytes),
            ZERO => Stored::Zero,
            _ => Stored::Lz4(bytes),
        }
    }
}

fn decompress(pgno: PageNo, bytes: &[u8], page: &mut [u8]) -> Result<(), SegmentError> {
    match decompress_into(bytes, page) {
        Ok(length) if length == page.len() => Ok(()),
        Ok(_) => Err(SegmentError::Page { pgno, what: "shorter than the page size" }),
        Err(_) => Err(SegmentError::Page { pgno, what: "not an LZ4 block of the page size" }),
    }
}

impl<'a> Iterator for Pages<'a> {
    type Item = Result<(PageNo, Cow<'a, [u8]>), SegmentError>;

    fn next(&mut self) -> Option<Self::Item> {
        let (pgno, stored) = self.advance()?;
        match stored {
            Stored::Raw(page) => Some(Ok((pgno, Cow::Borrowed(page)))),
            Stored::Zero => Some(Ok((pgno, Cow::Owned(vec![0; self.page_size.bytes()])))),
            Stored::Lz4(bytes) => {
                let mut page = vec![0; self.page_size.bytes()];
                let decoded =
                    decompress(pgno, bytes, &mut page).inspect_err(|_| self.entries = &[]);
                Some(decoded.map(|()| (pgno, Cow::Owned(page))))
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(self.remaining()))
    }
}

#[cfg(test)]
mod tests;
