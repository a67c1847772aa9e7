//! The 48-byte wal-index header: the only authority on what is committed (Invariant C2).
//!
//! Frames in a `-wal` file can carry valid checksums and a commit flag and still be *phantoms* of a
//! commit that failed. What counts is the header that SQLite publishes after a commit succeeded; the
//! snapshot of a read transaction is exactly that header (<https://sqlite.org/walformat.html>, section 2).

use segment::PageSize;
use sqlite_wal::{ByteOrder, Chain, Salts};

/// A header as twelve words in the machine's byte order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WalIndexHeader(pub [u32; 12]);

impl WalIndexHeader {
    /// Number of the last committed frame; 0 for an empty WAL.
    #[must_use]
    pub fn last_frame(&self) -> u32 {
        self.0[4]
    }

    /// Size of the database in pages.
    #[must_use]
    pub fn pages(&self) -> u32 {
        self.0[5]
    }

    /// Checksum chain at the last committed frame.
    #[must_use]
    pub fn chain(&self) -> Chain {
        Chain(self.0[6], self.0[7])
    }

    /// The salts of this log, as they stand in the file.
    #[must_use]
    pub fn salts(&self) -> Salts {
        let mut salts = [0; 8];
        salts[..4].copy_from_slice(&self.0[8].to_ne_bytes());
        salts[4..].copy_from_slice(&self.0[9].to_ne_bytes());
        Salts(salts)
    }

    /// Byte order of the checksum words in the file.
    #[must_use]
    pub fn byte_order(&self) -> ByteOrder {
        if self.bytes()[13] == 1 { ByteOrder::Big } else { ByteOrder::Little }
    }

    /// Page size; `None` if the header does not hold a legal one.
    #[must_use]
    pub fn page_size(&self) -> Option<PageSize> {
        let bytes = self.bytes();
        match u16::from_ne_bytes([bytes[14], bytes[15]]) {
            1 => PageSize::new(65536),
            size => PageSize::new(u32::from(size)),
        }
    }

    /// True if both stand in the same log: salts are compared for equality only.
    #[must_use]
    pub fn same_log(&self, other: &Self) -> bool {
        self.salts() == other.salts()
    }

    fn bytes(&self) -> [u8; 48] {
        let mut bytes = [0; 48];
        for (chunk, word) in bytes.chunks_exact_mut(4).zip(self.0) {
            chunk.copy_from_slice(&word.to_ne_bytes());
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_where_sqlite_puts_them() {
        let mut words = [0u32; 12];
        let mut flags = [0u8; 4];
        flags[1] = 1;
        flags[2..].copy_from_slice(&4096u16.to_ne_bytes());
        words[3] = u32::from_ne_bytes(flags);
        words[4] = 7;
        words[5] = 9;
        words[6] = 11;
        words[7] = 12;
        words[8] = u32::from_ne_bytes([1, 2, 3, 4]);
        words[9] = u32::from_ne_bytes([5, 6, 7, 8]);
        let header = WalIndexHeader(words);
        assert_eq!((header.last_frame(), header.pages()), (7, 9));
        assert_eq!(header.chain(), Chain(11, 12));
        assert_eq!(header.salts(), Salts([1, 2, 3, 4, 5, 6, 7, 8]));
        assert_eq!(header.byte_order(), ByteOrder::Big);
        assert_eq!(header.page_size(), PageSize::new(4096));
    }

    #[test]
    fn the_largest_page_size_is_written_as_one() {
        let mut words = [0u32; 12];
        let mut flags = [0u8; 4];
        flags[2..].copy_from_slice(&1u16.to_ne_bytes());
        words[3] = u32::from_ne_bytes(flags);
        assert_eq!(WalIndexHeader(words).page_size(), PageSize::new(65536));
    }
}
