//! The changes of one database that no sealed segment holds yet, merged: the newest image of a page wins.
//!
//! Bound: never more pages than the database has, whatever the write rate and however long the store is away.

use std::collections::BTreeMap;

use segment::{Checksum, Incarnation, Millis, PageNo, PageSize, Txid};

/// Changed pages between two states of a database.
#[derive(Debug, Clone)]
pub struct Change {
    /// The life of the file that changed.
    pub incarnation: Incarnation,
    /// Its page size.
    pub page_size: PageSize,
    /// Pages after the change.
    pub pages_after: u32,
    /// Newest image of every page that changed.
    pub pages: BTreeMap<PageNo, Box<[u8]>>,
    /// The commits it holds, first and last.
    pub txids: (Txid, Txid),
    /// Database checksum before and after.
    pub checksums: (Checksum, Checksum),
    /// When the oldest of these commits was noticed.
    pub oldest_commit: Millis,
    /// True if a comparison of pages found part of it, instead of the WAL.
    pub is_diff: bool,
    /// True if this is the first change of an incarnation, which stands on a base.
    pub is_first: bool,
}

impl Change {
    /// Bytes of page images held.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.pages.len() as u64 * u64::from(self.page_size.get())
    }

    /// Merges a later change into this one.
    pub fn merge(&mut self, later: Self) {
        debug_assert_eq!(self.incarnation, later.incarnation, "BUG: incarnations never merge");
        debug_assert_eq!(self.checksums.1, later.checksums.0, "BUG: changes merge in order");
        self.pages.extend(later.pages);
        self.pages.retain(|pgno, _| pgno.get() <= later.pages_after);
        self.pages_after = later.pages_after;
        self.txids.1 = later.txids.1;
        self.checksums.1 = later.checksums.1;
        self.is_diff |= later.is_diff;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(
        pages: &[(u32, u8)],
        pages_after: u32,
        txids: (u64, u64),
        checksums: (u64, u64),
    ) -> Change {
        let page_size = PageSize::new(512).expect("legal");
        Change {
            incarnation: Incarnation::from_bytes([1; 16]),
            page_size,
            pages_after,
            pages: pages
                .iter()
                .map(|(n, fill)| (PageNo::new(*n).expect("not zero"), vec![*fill; 512].into()))
                .collect(),
            txids: (Txid::new(txids.0), Txid::new(txids.1)),
            checksums: (Checksum::new(checksums.0), Checksum::new(checksums.1)),
            oldest_commit: Millis::new(txids.0),
            is_diff: false,
            is_first: false,
        }
    }

    #[test]
    fn the_newest_image_wins_and_cut_off_pages_go() {
        let mut first = change(&[(1, 1), (2, 1), (9, 1)], 9, (1, 2), (10, 20));
        first.merge(change(&[(2, 2), (3, 2)], 4, (3, 3), (20, 30)));
        let pages: Vec<_> = first.pages.iter().map(|(n, page)| (n.get(), page[0])).collect();
        assert_eq!(pages, [(1, 1), (2, 2), (3, 2)]);
        assert_eq!(first.txids, (Txid::new(1), Txid::new(3)));
        assert_eq!(first.checksums, (Checksum::new(10), Checksum::new(30)));
        assert_eq!(first.oldest_commit, Millis::new(1));
    }
}
