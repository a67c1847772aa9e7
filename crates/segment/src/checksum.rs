//! The database checksum: one number that two copies of a database share exactly when they hold the same pages.
//!
//! It is the XOR of every page's hash, so that a changed page costs two XORs whatever the size of the database. The
//! page number is the hash's seed, so pages that trade places are seen. Bytes that SQLite or the read-only mark change
//! on their own count as zero; the page that holds the lock bytes does not count.

use std::fmt;
use std::ops::{BitXor, BitXorAssign, Range};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use xxhash_rust::xxh3::{Xxh3, xxh3_64_with_seed};

use crate::hex;
use crate::ids::{FromText, PageNo, PageSize, ParseIdError};

/// The XOR of the hashes of all pages of a database.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Checksum(u64);

impl Checksum {
    /// The checksum of a database without pages.
    pub const EMPTY: Checksum = Checksum(0);

    /// The checksum with this value.
    pub const fn new(value: u64) -> Self {
        Checksum(value)
    }

    /// The plain number.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl BitXor for Checksum {
    type Output = Checksum;

    fn bitxor(self, other: Checksum) -> Checksum {
        Checksum(self.0 ^ other.0)
    }
}

impl BitXor<u64> for Checksum {
    type Output = Checksum;

    fn bitxor(self, hash: u64) -> Checksum {
        Checksum(self.0 ^ hash)
    }
}

impl BitXorAssign<u64> for Checksum {
    fn bitxor_assign(&mut self, hash: u64) {
        self.0 ^= hash;
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&hex::encode(&self.0.to_be_bytes()))
    }
}

impl fmt::Debug for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Checksum({self})")
    }
}

impl FromStr for Checksum {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let bytes = hex::decode(text)
            .ok_or_else(|| ParseIdError::new(text, "a checksum (16 lowercase hex digits)"))?;
        Ok(Checksum(u64::from_be_bytes(bytes)))
    }
}

impl Serialize for Checksum {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Checksum {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(FromText::new())
    }
}

/// Bytes of page 1 that count as zero: the read and write version (the read-only mark stands there), the change counter
/// and the size in pages, and the counters of the last writer (<https://sqlite.org/fileformat2.html#the_database_header>).
const PAGE_ONE_MASK: [Range<usize>; 3] = [18..20, 24..32, 92..100];

/// XXH3-64 of a page with its number as the seed; page 1 masked; 0 for the page that holds the lock bytes.
///
/// `page` is one whole page: its length is the page size.
pub fn page_hash(pgno: PageNo, page: &[u8]) -> u64 {
    match pgno.get() {
        1 => page_one_hash(page),
        number if holds_lock_bytes(number, page.len()) => 0,
        number => xxh3_64_with_seed(page, u64::from(number)),
    }
}

fn holds_lock_bytes(number: u32, page_bytes: usize) -> bool {
    (u64::from(number) - 1) * page_bytes as u64 == 1 << 30
}

fn page_one_hash(page: &[u8]) -> u64 {
    const HEADER_BYTES: usize = 100;
    let (header, rest) = page.split_at(page.len().min(HEADER_BYTES));
    let mut masked = [0; HEADER_BYTES];
    let masked = &mut masked[..header.len()];
    masked.copy_from_slice(header);
    for range in PAGE_ONE_MASK {
        if let Some(bytes) = masked.get_mut(range) {
            bytes.fill(0);
        }
    }
    let mut hasher = Xxh3::with_seed(1);
    hasher.update(masked);
    hasher.update(rest);
    hasher.digest()
}

/// The hash of every page of one database, and the checksum they add up to.
///
/// A cache: it may be trusted only while its checksum equals the one that was made durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageHashes {
    page_size: PageSize,
    hashes: Vec<u64>,
    checksum: Checksum,
}

impl PageHashes {
    /// The hashes of a database without pages.
    pub fn new(page_size: PageSize) -> Self {
        PageHashes { page_size, hashes: Vec::new(), checksum: Checksum::EMPTY }
    }

    /// The page size the hashes were made for.
    pub fn page_size(&self) -> PageSize {
        self.page_size
    }

    /// The size of the database in pages.
    pub fn page_count(&self) -> u32 {
        u32::try_from(self.hashes.len()).expect("BUG: the table is sized by a u32")
    }

    /// The XOR of all hashes.
    pub fn checksum(&self) -> Checksum {
        self.checksum
    }

    /// The hash of a page: 0 if it was never set, `None` beyond the end.
    pub fn get(&self, pgno: PageNo) -> Option<u64> {
        self.hashes.get(index(pgno)).copied()
    }

    /// Records the hash of a page; one beyond the end grows the database to it. The lock page stays 0.
    pub fn set(&mut self, pgno: PageNo, hash: u64) {
        if pgno.get() > self.page_count() {
            self.resize(pgno.get());
        }
        let hash = if pgno == self.page_size.lock_page() { 0 } else { hash };
        let old = std::mem::replace(&mut self.hashes[index(pgno)], hash);
        self.checksum ^= old ^ hash;
    }

    /// Sets the size of the database: pages cut off leave the checksum, pages added count 0 until they are set.
    pub fn resize(&mut self, page_count: u32) {
        let page_count = page_count as usize;
        for hash in self.hashes.get(page_count..).unwrap_or_default() {
            self.checksum ^= *hash;
        }
        self.hashes.resize(page_count, 0);
    }

    /// Every page with its hash, in order.
    pub fn iter(&self) -> impl Iterator<Item = (PageNo, u64)> + '_ {
        (1..).map_while(PageNo::new).zip(self.hashes.iter().copied())
    }
}

fn index(pgno: PageNo) -> usize {
    pgno.get() as usize - 1
}

#[cfg(test)]
mod tests;
