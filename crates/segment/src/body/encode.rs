//! Encoding the pages of a section.
//!
//! Every captured page passes through here, so the body is built in one buffer: room for the page table first, then the
//! stored pages, and nothing is copied twice.

use lz4_flex::block::{CompressTable, compress_into_with_table, get_maximum_output_size};

use super::table::{Encoding, PAGE_ENTRY_BYTES, PageEntry};
use crate::checksum::page_hash;
use crate::ids::{ContentHash, PageNo, PageSize};

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
    let pages: Vec<_> = pages.collect();
    let mut encoder = Encoder::new(page_size, pages.len());
    for (index, (pgno, page)) in pages.iter().enumerate() {
        check(page_size, index.checked_sub(1).map(|before| pages[before].0), *pgno, page);
        encoder.push(index, *pgno, page);
    }
    encoder.finish(pages.len())
}

fn check(page_size: PageSize, before: Option<PageNo>, pgno: PageNo, page: &[u8]) {
    assert!(page.len() == page_size.bytes(), "BUG: page {pgno} has {} bytes", page.len());
    assert!(before < Some(pgno), "BUG: page {pgno} comes after {before:?}");
}

struct Encoder {
    page_size: PageSize,
    body: Vec<u8>,
    scratch: Vec<u8>,
    matches: CompressTable,
}

impl Encoder {
    fn new(page_size: PageSize, page_count: usize) -> Self {
        // Room for pages that do not compress: what stays untouched costs no memory, and growing would copy.
        let mut body = Vec::with_capacity(page_count * (PAGE_ENTRY_BYTES + page_size.bytes()));
        body.resize(page_count * PAGE_ENTRY_BYTES, 0);
        let scratch = vec![0; get_maximum_output_size(page_size.bytes())];
        Encoder { page_size, body, scratch, matches: CompressTable::default() }
    }

    fn push(&mut self, index: usize, pgno: PageNo, page: &[u8]) {
        let start = self.body.len() as u64;
        let encoding = self.push_page(page);
        let range = start..self.body.len() as u64;
        let (hash, page_size) = (page_hash(pgno, page), self.page_size);
        let entry = PageEntry { pgno, hash, range, encoding, page_size }.encode();
        self.body[index * PAGE_ENTRY_BYTES..][..PAGE_ENTRY_BYTES].copy_from_slice(&entry);
    }

    fn push_page(&mut self, page: &[u8]) -> Encoding {
        if is_zero(page) {
            return Encoding::Zero;
        }
        match compress_into_with_table(page, &mut self.scratch, &mut self.matches) {
            Ok(length) if length < page.len() => {
                self.body.extend_from_slice(&self.scratch[..length]);
                Encoding::Lz4
            }
            _ => {
                self.body.extend_from_slice(page);
                Encoding::Raw
            }
        }
    }

    fn finish(mut self, page_count: usize) -> EncodedBody {
        self.body.shrink_to_fit();
        let page_count = u32::try_from(page_count).expect("BUG: no more pages than page numbers");
        EncodedBody { sha256: ContentHash::of(&self.body), bytes: self.body, page_count }
    }
}

/// Each byte equals its neighbour, and the first is zero.
pub(super) fn is_zero(page: &[u8]) -> bool {
    page.first() == Some(&0) && page[1..] == page[..page.len() - 1]
}
