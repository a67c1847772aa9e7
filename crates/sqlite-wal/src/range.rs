//! Reading one committed range of frames, chunk by chunk.
//!
//! The range begins after a known frame with a known chain, so nothing before it is read again. Every frame is checked
//! before it is handed out: salts, page number, chain. The caller compares the end with its snapshot, and until then
//! must keep nothing of what it was handed.

use crate::chain::{ByteOrder, Chain, chain};
use crate::error::WalError;
use crate::header::{FRAME_HEADER_BYTES, FrameHeader, Salts, is_page_size};

/// A reader of consecutive frames.
#[derive(Clone, Debug)]
pub struct FrameRange {
    frame_bytes: usize,
    order: ByteOrder,
    salts: Salts,
    frame: u32,
    chain: Chain,
    commit_size: u32,
}

/// A verified frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameRef<'a> {
    /// Its number, from 1.
    pub frame_no: u32,
    /// The page it holds.
    pub page_no: u32,
    /// The size of the database in pages if the frame commits, else 0.
    pub commit_size: u32,
    /// Where the page begins in the chunk.
    pub page_offset: usize,
    /// The page.
    pub page: &'a [u8],
    /// The chain up to and with this frame.
    pub chain: Chain,
}

/// Where a range ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// The last frame.
    pub frame: u32,
    /// The chain up to and with it.
    pub chain: Chain,
    /// The size of the database in pages that it committed.
    pub commit_size: u32,
}

impl FrameRange {
    /// A range that begins after `frame` (0: at the beginning of the WAL), up to which the chain is `chain` (for frame 0
    /// the one of the WAL's header).
    pub fn new(
        page_size: u32,
        order: ByteOrder,
        salts: Salts,
        (frame, chain): (u32, Chain),
    ) -> Result<Self, WalError> {
        if !is_page_size(page_size) {
            return Err(WalError::PageSize { size: page_size });
        }
        let frame_bytes = FRAME_HEADER_BYTES + page_size as usize;
        Ok(FrameRange { frame_bytes, order, salts, frame, chain, commit_size: 0 })
    }

    /// Verifies the whole frames of `chunk` and hands them out in order, up to the first one that is wrong.
    pub fn feed<'a>(
        &mut self,
        chunk: &'a [u8],
        mut each: impl FnMut(FrameRef<'a>),
    ) -> Result<(), WalError> {
        if !chunk.len().is_multiple_of(self.frame_bytes) {
            return Err(WalError::PartialFrame { frame: self.frame, bytes: chunk.len() });
        }
        for (index, frame) in chunk.chunks_exact(self.frame_bytes).enumerate() {
            each(self.next(frame, index * self.frame_bytes + FRAME_HEADER_BYTES)?);
        }
        Ok(())
    }

    fn next<'a>(&mut self, bytes: &'a [u8], page_offset: usize) -> Result<FrameRef<'a>, WalError> {
        let frame = self.frame.checked_add(1).ok_or(WalError::TooManyFrames)?;
        let (header_bytes, page) =
            bytes.split_first_chunk().expect("BUG: a frame is longer than its header");
        let header = FrameHeader::parse(header_bytes);
        if header.salts != self.salts {
            return Err(WalError::Salts { frame, expected: self.salts, found: header.salts });
        }
        if header.page_no == 0 {
            return Err(WalError::PageZero { frame });
        }
        // The salts are not under the checksum; they were compared.
        let sums = chain(self.order, page, chain(self.order, &header_bytes[..8], self.chain));
        if sums != header.chain {
            return Err(WalError::Chain { frame });
        }
        (self.frame, self.chain, self.commit_size) = (frame, sums, header.commit_size);
        let FrameHeader { page_no, commit_size, .. } = header;
        Ok(FrameRef { frame_no: frame, page_no, commit_size, page_offset, page, chain: sums })
    }

    /// The end of the range, if its last frame commits; a range without frames has none.
    pub fn end(self) -> Result<End, WalError> {
        let FrameRange { frame, chain, commit_size, .. } = self;
        match commit_size {
            0 => Err(WalError::NotACommit { frame }),
            commit_size => Ok(End { frame, chain, commit_size }),
        }
    }
}
