//! Everything that can be wrong with the bytes of a `-wal` file.

use crate::header::Salts;

/// Why bytes of a `-wal` file were refused.
///
/// Frames count from 1, as in the wal-index.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WalError {
    /// The file is shorter than its header.
    #[error("the WAL has {found} bytes, less than its header")]
    Truncated {
        /// The bytes there were.
        found: usize,
    },
    /// The magic number is not that of a WAL.
    #[error("not a WAL: magic number {magic:#010x}")]
    Magic {
        /// The number found.
        magic: u32,
    },
    /// A WAL of a version that SQLite has not defined yet.
    #[error("the WAL has version {version}, known is {}", crate::header::VERSION)]
    Version {
        /// The version found.
        version: u32,
    },
    /// A page size that SQLite does not allow.
    #[error("the WAL has page size {size}, which is not a power of two from 512 to 65536")]
    PageSize {
        /// The size found.
        size: u32,
    },
    /// The header does not have its checksum: its writer was interrupted.
    #[error("the header of the WAL does not have its checksum")]
    HeaderChecksum,
    /// A chunk ends within a frame.
    #[error("{bytes} bytes after frame {frame} of the WAL are not whole frames")]
    PartialFrame {
        /// The last whole frame.
        frame: u32,
        /// The length of the chunk.
        bytes: usize,
    },
    /// A frame of another generation of the WAL.
    #[error("frame {frame} of the WAL has salts {found}, not {expected}")]
    Salts {
        /// The frame.
        frame: u32,
        /// The salts of the range.
        expected: Salts,
        /// The salts of the frame.
        found: Salts,
    },
    /// A frame does not continue the checksum chain.
    #[error("frame {frame} of the WAL does not have its checksum")]
    Chain {
        /// The frame.
        frame: u32,
    },
    /// A frame of page 0, which does not exist.
    #[error("frame {frame} of the WAL is for page 0")]
    PageZero {
        /// The frame.
        frame: u32,
    },
    /// A range that does not end with a commit.
    #[error("frame {frame} of the WAL ends the range but does not commit")]
    NotACommit {
        /// The last frame of the range.
        frame: u32,
    },
    /// More frames than the wal-index can count.
    #[error("the WAL has more frames than SQLite can number")]
    TooManyFrames,
}
