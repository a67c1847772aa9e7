//! The bytes of SQLite's `-wal` file: headers, the checksum chain, committed transactions.
//!
//! Pure: bytes in, values out. The layout is that of <https://sqlite.org/fileformat2.html#the_write_ahead_log>.
//!
//! Invariant C2 is the caller's: valid checksums and a commit frame do not prove a commit. A failed fsync or a kill
//! leaves frames that look committed and are not, so what may be read is bounded by a snapshot of the wal-index;
//! `FrameRange` reads exactly that range and gives back the chain to compare with the snapshot's.

mod build;
mod chain;
mod error;
mod header;
mod range;
mod transactions;

pub use build::WalBuilder;
pub use chain::{ByteOrder, Chain, chain};
pub use error::WalError;
pub use header::{FRAME_HEADER_BYTES, FrameHeader, Salts, WAL_HEADER_BYTES, WalHeader};
pub use range::{End, FrameRange, FrameRef};
pub use transactions::{PageAt, Transaction, transactions};
