//! Which pages were handed out already: one bit a page, allocated as pages come.
//!
//! The size of a database as declared by the store costs nothing here; memory grows with pages that were really read
//! (4 KiB for each 32,768 of them), so a hostile number cannot exhaust it.

use segment::PageNo;

const WORDS: usize = 512;
const CHUNK_PAGES: usize = WORDS * 64;

/// A set of page numbers.
#[derive(Default)]
pub(super) struct Seen {
    chunks: Vec<Option<Box<[u64; WORDS]>>>,
    count: u64,
}

impl Seen {
    /// How many pages are in the set.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Is the page in the set?
    pub(super) fn contains(&self, page: PageNo) -> bool {
        let (chunk, word, bit) = place(page);
        self.chunks.get(chunk).and_then(Option::as_ref).is_some_and(|words| words[word] & bit != 0)
    }

    /// Adds a page; `false` if it was there.
    pub(super) fn insert(&mut self, page: PageNo) -> bool {
        let (chunk, word, bit) = place(page);
        if self.chunks.len() <= chunk {
            self.chunks.resize_with(chunk + 1, || None);
        }
        let words = self.chunks[chunk].get_or_insert_with(|| Box::new([0; WORDS]));
        let new = words[word] & bit == 0;
        words[word] |= bit;
        self.count += u64::from(new);
        new
    }

    /// The lowest page of `1..=last`, but for `except`, that is not in the set.
    pub(super) fn first_missing(&self, last: u32, except: PageNo) -> Option<PageNo> {
        (1..=last).filter_map(PageNo::new).find(|&page| page != except && !self.contains(page))
    }
}

fn place(page: PageNo) -> (usize, usize, u64) {
    let index = page.get() as usize;
    (index / CHUNK_PAGES, index % CHUNK_PAGES / 64, 1 << (index % 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(number: u32) -> PageNo {
        PageNo::new(number).unwrap()
    }

    #[test]
    fn pages_are_counted_once_and_found_across_chunks() {
        let mut seen = Seen::default();
        for number in [1, 63, 64, 32_767, 32_768, 1_000_000, u32::MAX] {
            assert!(!seen.contains(page(number)));
            assert!(seen.insert(page(number)));
            assert!(!seen.insert(page(number)));
            assert!(seen.contains(page(number)));
        }
        assert_eq!(seen.count(), 7);
        assert!(!seen.contains(page(65)));
    }

    #[test]
    fn the_first_gap_is_found_and_the_lock_page_is_none() {
        let mut seen = Seen::default();
        (1..=100).filter(|&n| n != 40 && n != 70).for_each(|n| assert!(seen.insert(page(n))));
        assert_eq!(seen.first_missing(100, page(200)), Some(page(40)));
        assert_eq!(seen.first_missing(100, page(40)), Some(page(70)));
        assert_eq!(seen.first_missing(39, page(200)), None);
    }
}
