//! The header of a `-wal` file and of each of its frames.

use std::fmt;

use crate::chain::{ByteOrder, Chain, chain};
use crate::error::WalError;

/// The length of a WAL's header.
pub const WAL_HEADER_BYTES: usize = 32;
/// The length of a frame's header; the page follows.
pub const FRAME_HEADER_BYTES: usize = 24;

/// The only version of the WAL format there is.
pub(crate) const VERSION: u32 = 3_007_000;

const MAGIC_LITTLE: u32 = 0x377f_0682;
const MAGIC_BIG: u32 = 0x377f_0683;

/// The generation of a WAL: a token to compare for equality, and for nothing else.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Salts(pub [u8; 8]);

impl fmt::Display for Salts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", u64::from_be_bytes(self.0))
    }
}

impl fmt::Debug for Salts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Salts({self})")
    }
}

/// The header of a WAL, with a valid checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalHeader {
    /// A power of two from 512 to 65,536.
    pub page_size: u32,
    /// How the checksums read words.
    pub byte_order: ByteOrder,
    /// How many checkpoints there were; SQLite does not use it.
    pub checkpoint_seq: u32,
    /// The generation of the WAL.
    pub salts: Salts,
    /// The chain that frame 1 continues.
    pub chain: Chain,
}

impl WalHeader {
    /// Reads a header and verifies its checksum.
    pub fn parse(bytes: &[u8; WAL_HEADER_BYTES]) -> Result<Self, WalError> {
        let [magic, version, page_size, checkpoint_seq, ..] = words(bytes);
        let byte_order = byte_order(magic)?;
        if version != VERSION {
            return Err(WalError::Version { version });
        }
        if !is_page_size(page_size) {
            return Err(WalError::PageSize { size: page_size });
        }
        let sums = chain(byte_order, &bytes[..24], Chain::default());
        if sums.to_bytes() != bytes[24..] {
            return Err(WalError::HeaderChecksum);
        }
        Ok(WalHeader {
            page_size,
            byte_order,
            checkpoint_seq,
            salts: Salts(array(bytes, 16)),
            chain: sums,
        })
    }

    /// The bytes of the header. `chain` is not read: it follows from the other fields.
    pub fn to_bytes(&self) -> [u8; WAL_HEADER_BYTES] {
        let mut bytes = [0; WAL_HEADER_BYTES];
        let magic = if self.byte_order == ByteOrder::Big { MAGIC_BIG } else { MAGIC_LITTLE };
        for (field, value) in
            bytes.chunks_exact_mut(4).zip([magic, VERSION, self.page_size, self.checkpoint_seq])
        {
            field.copy_from_slice(&value.to_be_bytes());
        }
        bytes[16..24].copy_from_slice(&self.salts.0);
        let sums = chain(self.byte_order, &bytes[..24], Chain::default());
        bytes[24..].copy_from_slice(&sums.to_bytes());
        bytes
    }

    /// The length of a frame with its page.
    pub fn frame_bytes(&self) -> usize {
        FRAME_HEADER_BYTES + self.page_size as usize
    }

    /// Where a frame begins in the file; frames count from 1.
    pub fn frame_offset(&self, frame: u32) -> u64 {
        WAL_HEADER_BYTES as u64 + u64::from(frame.saturating_sub(1)) * self.frame_bytes() as u64
    }
}

fn byte_order(magic: u32) -> Result<ByteOrder, WalError> {
    match magic {
        MAGIC_LITTLE => Ok(ByteOrder::Little),
        MAGIC_BIG => Ok(ByteOrder::Big),
        magic => Err(WalError::Magic { magic }),
    }
}

pub(crate) fn is_page_size(size: u32) -> bool {
    size.is_power_of_two() && (512..=65_536).contains(&size)
}

/// The header of a frame; nothing in it is verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// The page that the frame holds.
    pub page_no: u32,
    /// The size of the database in pages if the frame commits, else 0.
    pub commit_size: u32,
    /// The generation of the WAL it belongs to.
    pub salts: Salts,
    /// The chain up to and with this frame.
    pub chain: Chain,
}

impl FrameHeader {
    /// Reads a frame's header.
    pub fn parse(bytes: &[u8; FRAME_HEADER_BYTES]) -> Self {
        let [page_no, commit_size, ..] = words(bytes);
        FrameHeader {
            page_no,
            commit_size,
            salts: Salts(array(bytes, 8)),
            chain: Chain::from_bytes(array(bytes, 16)),
        }
    }

    /// The bytes of the header.
    pub fn to_bytes(&self) -> [u8; FRAME_HEADER_BYTES] {
        let mut bytes = [0; FRAME_HEADER_BYTES];
        bytes[..4].copy_from_slice(&self.page_no.to_be_bytes());
        bytes[4..8].copy_from_slice(&self.commit_size.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.salts.0);
        bytes[16..].copy_from_slice(&self.chain.to_bytes());
        bytes
    }
}

/// The first four big-endian words.
fn words(bytes: &[u8]) -> [u32; 4] {
    std::array::from_fn(|index| u32::from_be_bytes(array(bytes, 4 * index)))
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes[at..at + N].try_into().expect("BUG: a slice of N bytes fits an array of N bytes")
}

#[cfg(test)]
mod tests;
