//! Reading little-endian fields from bytes that may end anywhere.

use crate::error::SegmentError;

/// A place in the bytes of an object; every read checks that the bytes are there.
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Where `bytes` begins in the object, for errors.
    origin: u64,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8], origin: u64) -> Self {
        Cursor { bytes, at: 0, origin }
    }

    /// The offset in the object of the next byte.
    pub(crate) fn offset(&self) -> u64 {
        self.origin + self.at as u64
    }

    pub(crate) fn remaining(&self) -> usize {
        self.bytes.len() - self.at
    }

    pub(crate) fn take(&mut self, length: usize) -> Result<&'a [u8], SegmentError> {
        let rest = &self.bytes[self.at..];
        let taken = rest.get(..length).ok_or(SegmentError::Truncated {
            needed: self.offset() + length as u64,
            found: self.origin + self.bytes.len() as u64,
        })?;
        self.at += length;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], SegmentError> {
        let bytes = self.take(N)?;
        Ok(bytes.try_into().expect("BUG: take returns as many bytes as asked for"))
    }

    pub(crate) fn u8(&mut self) -> Result<u8, SegmentError> {
        self.array().map(u8::from_le_bytes)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, SegmentError> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, SegmentError> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, SegmentError> {
        self.array().map(u64::from_le_bytes)
    }

    /// Skips bytes that every writer leaves zero.
    pub(crate) fn reserved(&mut self, length: usize) -> Result<(), SegmentError> {
        let offset = self.offset();
        if self.take(length)?.iter().all(|&byte| byte == 0) {
            Ok(())
        } else {
            Err(SegmentError::Invalid { what: "reserved bytes are not zero", offset })
        }
    }

    /// Reads a field with `read` and converts it with `accept`; `None` makes the field invalid.
    pub(crate) fn checked<T, U>(
        &mut self,
        what: &'static str,
        read: impl FnOnce(&mut Self) -> Result<T, SegmentError>,
        accept: impl FnOnce(T) -> Option<U>,
    ) -> Result<U, SegmentError> {
        let offset = self.offset();
        accept(read(self)?).ok_or(SegmentError::Invalid { what, offset })
    }
}
