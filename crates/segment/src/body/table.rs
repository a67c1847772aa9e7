//! The page table of a body: which pages it holds, their hashes, and where each is stored.
//!
//! The table stands at the beginning of the body and can be read alone. Then it is not covered by a SHA-256, so what is
//! made from it must be proven otherwise: each page by its hash, the result by the database checksum.

use std::borrow::Cow;
use std::ops::Range;

use lz4_flex::block::decompress_into;

use crate::checksum::page_hash;
use crate::error::SegmentError;
use crate::ids::{PageNo, PageSize};

/// The bytes of a page's entry in the page table.
pub const PAGE_ENTRY_BYTES: usize = 16;

const LENGTH_BITS: u32 = 24;

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

impl BodyShape {
    /// The length of the page table, which is where the stored pages begin in the body.
    pub fn table_bytes(&self) -> u64 {
        u64::from(self.page_count) * PAGE_ENTRY_BYTES as u64
    }
}

/// How a page is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    /// As it is.
    Raw,
    /// Not at all: it is zeros.
    Zero,
    /// As one LZ4 block.
    Lz4,
}

impl Encoding {
    fn from_byte(byte: u8) -> Result<Self, SegmentError> {
        match byte {
            0 => Ok(Encoding::Raw),
            1 => Ok(Encoding::Zero),
            2 => Ok(Encoding::Lz4),
            newer => {
                Err(SegmentError::NewerFeature { what: "page encoding", value: newer.to_string() })
            }
        }
    }

    fn byte(self) -> u8 {
        match self {
            Encoding::Raw => 0,
            Encoding::Zero => 1,
            Encoding::Lz4 => 2,
        }
    }

    fn allows(self, length: u32, page_size: PageSize) -> bool {
        match self {
            Encoding::Raw => length == page_size.get(),
            Encoding::Zero => length == 0,
            Encoding::Lz4 => (1..page_size.get()).contains(&length),
        }
    }
}

/// One page of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageEntry {
    /// Its number.
    pub pgno: PageNo,
    /// Its hash, as `page_hash` computes it.
    pub hash: u64,
    /// The bytes of the body that hold it; empty for a page of zeros.
    pub range: Range<u64>,
    pub(super) encoding: Encoding,
    pub(super) page_size: PageSize,
}

impl PageEntry {
    pub(super) fn encode(&self) -> [u8; PAGE_ENTRY_BYTES] {
        let length = (self.range.end - self.range.start) as u32;
        let packed = u32::from(self.encoding.byte()) << LENGTH_BITS | length;
        let mut bytes = [0; PAGE_ENTRY_BYTES];
        bytes[..4].copy_from_slice(&self.pgno.get().to_le_bytes());
        bytes[4..8].copy_from_slice(&packed.to_le_bytes());
        bytes[8..].copy_from_slice(&self.hash.to_le_bytes());
        bytes
    }

    /// The page, from the bytes of `range`; verified by its hash.
    pub fn decode<'a>(&self, stored: &'a [u8]) -> Result<Cow<'a, [u8]>, SegmentError> {
        if self.encoding == Encoding::Raw {
            return self.decode_into(stored, &mut Vec::new()).map(|_| Cow::Borrowed(stored));
        }
        let mut page = Vec::new();
        self.decode_into(stored, &mut page)?;
        Ok(Cow::Owned(page))
    }

    /// The page, from the bytes of `range`, in `buffer` unless it is stored as it is; verified by its hash.
    pub fn decode_into<'b>(
        &self,
        stored: &'b [u8],
        buffer: &'b mut Vec<u8>,
    ) -> Result<&'b [u8], SegmentError> {
        let (needed, found) = (self.range.end - self.range.start, stored.len() as u64);
        if needed != found {
            return Err(SegmentError::Truncated { needed, found });
        }
        let page = match self.encoding {
            Encoding::Raw => stored,
            Encoding::Zero => {
                buffer.clear();
                buffer.resize(self.page_size.bytes(), 0);
                buffer
            }
            Encoding::Lz4 => {
                buffer.resize(self.page_size.bytes(), 0);
                self.decompress(stored, buffer)?;
                buffer
            }
        };
        if page_hash(self.pgno, page) == self.hash {
            Ok(page)
        } else {
            Err(self.wrong("not the page of its hash"))
        }
    }

    fn decompress(&self, stored: &[u8], page: &mut [u8]) -> Result<(), SegmentError> {
        match decompress_into(stored, page) {
            Ok(length) if length == page.len() => Ok(()),
            Ok(_) => Err(self.wrong("shorter than the page size")),
            Err(_) => Err(self.wrong("not an LZ4 block of the page size")),
        }
    }

    fn wrong(&self, what: &'static str) -> SegmentError {
        SegmentError::Page { pgno: self.pgno, what }
    }
}

/// The page table of a body of `body_bytes` bytes, of which `bytes` are the first `shape.table_bytes()` or more.
///
/// Allocates at most 48 bytes for each of the `PAGE_ENTRY_BYTES` that an entry takes.
pub fn page_table(
    shape: BodyShape,
    body_bytes: u64,
    bytes: &[u8],
) -> Result<Vec<PageEntry>, SegmentError> {
    Entries::of_body(shape, body_bytes, bytes)?.collect()
}

/// The entries of a page table, checked one by one; after an error there is no next one.
#[derive(Clone, Debug)]
pub(super) struct Entries<'a> {
    shape: BodyShape,
    table: &'a [u8],
    last: u32,
    /// Where the next stored page begins in the body.
    at: u64,
}

impl<'a> Entries<'a> {
    /// Checks the whole table once, so that every error of it comes before the first page.
    pub(super) fn of_body(
        shape: BodyShape,
        body_bytes: u64,
        bytes: &'a [u8],
    ) -> Result<Self, SegmentError> {
        let needed = shape.table_bytes();
        let table = usize::try_from(needed).ok().and_then(|length| bytes.get(..length));
        let table = table.ok_or(SegmentError::Truncated { needed, found: bytes.len() as u64 })?;
        let entries = Entries { shape, table, last: 0, at: needed };
        let end =
            entries.clone().try_fold(needed, |_, entry| entry.map(|entry| entry.range.end))?;
        if end == body_bytes {
            Ok(entries)
        } else {
            Err(SegmentError::Invalid { what: "lengths of pages do not add up", offset: needed })
        }
    }

    pub(super) fn remaining(&self) -> usize {
        self.table.len() / PAGE_ENTRY_BYTES
    }

    pub(super) fn end(&mut self) {
        self.table = &[];
    }

    fn decode(&mut self, bytes: &[u8; PAGE_ENTRY_BYTES]) -> Result<PageEntry, SegmentError> {
        let [number, packed, low, high] = std::array::from_fn(|index| {
            let [a, b, c, d] = [0, 1, 2, 3].map(|byte| bytes[4 * index + byte]);
            u32::from_le_bytes([a, b, c, d])
        });
        let pgno = self.page_no(number)?;
        let encoding = Encoding::from_byte((packed >> LENGTH_BITS) as u8)?;
        let length = packed & ((1 << LENGTH_BITS) - 1);
        if !encoding.allows(length, self.shape.page_size) {
            return Err(SegmentError::Page { pgno, what: "length does not fit the encoding" });
        }
        let range = self.at..self.at + u64::from(length);
        (self.last, self.at) = (number, range.end);
        let hash = u64::from(high) << 32 | u64::from(low);
        Ok(PageEntry { pgno, hash, range, encoding, page_size: self.shape.page_size })
    }

    fn page_no(&self, number: u32) -> Result<PageNo, SegmentError> {
        let offset = self.shape.table_bytes() - self.table.len() as u64;
        let invalid = |what| SegmentError::Invalid { what, offset };
        let pgno = PageNo::new(number).ok_or(invalid("page 0 in a body"))?;
        if number <= self.last {
            return Err(invalid("pages of a body out of order"));
        }
        if number > self.shape.pages_after {
            return Err(invalid("page of a body beyond the database"));
        }
        if pgno == self.shape.page_size.lock_page() {
            return Err(invalid("lock page in a body"));
        }
        Ok(pgno)
    }
}

impl Iterator for Entries<'_> {
    type Item = Result<PageEntry, SegmentError>;

    fn next(&mut self) -> Option<Self::Item> {
        let (entry, rest) = self.table.split_first_chunk()?;
        let decoded = self.decode(entry);
        self.table = if decoded.is_ok() { rest } else { &[] };
        Some(decoded)
    }
}
