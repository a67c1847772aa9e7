//! Building a `-wal` file frame by frame, as SQLite would write it; for tests and fuzzing.

use crate::chain::{ByteOrder, Chain, chain};
use crate::header::{FrameHeader, Salts, WalHeader};

/// The bytes of a WAL under construction.
#[derive(Clone, Debug)]
pub struct WalBuilder {
    header: WalHeader,
    bytes: Vec<u8>,
    chain: Chain,
}

impl WalBuilder {
    /// A WAL without frames.
    pub fn new(page_size: u32, byte_order: ByteOrder, salts: Salts) -> Self {
        let mut header =
            WalHeader { page_size, byte_order, checkpoint_seq: 0, salts, chain: Chain::default() };
        let bytes = header.to_bytes();
        header.chain = chain(byte_order, &bytes[..24], Chain::default());
        WalBuilder { header, bytes: bytes.to_vec(), chain: header.chain }
    }

    /// Appends a frame; a `commit_size` above 0 commits.
    ///
    /// # Panics
    /// If the page does not have the page size.
    pub fn frame(&mut self, page_no: u32, commit_size: u32, page: &[u8]) -> &mut Self {
        assert_eq!(page.len(), self.header.page_size as usize, "BUG: a page of another size");
        let (salts, order) = (self.header.salts, self.header.byte_order);
        let mut header = FrameHeader { page_no, commit_size, salts, chain: self.chain };
        let summed = chain(order, &header.to_bytes()[..8], self.chain);
        header.chain = chain(order, page, summed);
        self.chain = header.chain;
        self.bytes.extend(header.to_bytes());
        self.bytes.extend(page);
        self
    }

    /// The header of the file.
    pub fn header(&self) -> &WalHeader {
        &self.header
    }

    /// The chain up to and with the last frame.
    pub fn chain(&self) -> Chain {
        self.chain
    }

    /// The file so far.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}
