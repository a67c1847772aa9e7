//! Writing a database image into a file, and proving the file afterwards.
//!
//! Neighbouring pages are gathered into larger writes. The proof does not trust what was meant to be written: it reads
//! the file back from its first byte, hashes every page, and compares size and checksum with what the log says.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use segment::{Checksum, PageNo, PageSize, page_hash};

/// Bytes gathered before a write, and read at once by the proof; larger buffers were not faster.
const BUFFER_BYTES: usize = 1 << 16;

/// Writes pages to their places, gathering runs of neighbours.
pub(crate) struct PageWriter<'a> {
    file: &'a File,
    page_size: PageSize,
    /// Where the first byte of `run` belongs.
    start: u64,
    run: Vec<u8>,
}

impl<'a> PageWriter<'a> {
    /// A writer of pages into `file`.
    pub(crate) fn new(file: &'a File, page_size: PageSize) -> Self {
        Self { file, page_size, start: 0, run: Vec::with_capacity(BUFFER_BYTES) }
    }

    /// Writes one page (perhaps not before [`PageWriter::finish`]).
    pub(crate) fn write(&mut self, page: PageNo, content: &[u8]) -> io::Result<()> {
        let offset = offset_of(page, self.page_size);
        if offset != self.start + self.run.len() as u64
            || self.run.len() + content.len() > BUFFER_BYTES
        {
            self.flush()?;
            self.start = offset;
        }
        self.run.extend_from_slice(content);
        Ok(())
    }

    /// Writes what was gathered.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.flush()
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.write_all_at(&self.run, self.start)?;
        self.run.clear();
        Ok(())
    }
}

fn offset_of(page: PageNo, page_size: PageSize) -> u64 {
    u64::from(page.get() - 1) * u64::from(page_size.get())
}

/// Bytes of a file with so many pages.
pub(crate) fn file_bytes(pages: u32, page_size: PageSize) -> u64 {
    u64::from(pages) * u64::from(page_size.get())
}

/// The database checksum of a file's first `pages` pages, computed from the file alone.
pub(crate) fn checksum_of(file: &File, page_size: PageSize, pages: u32) -> io::Result<Checksum> {
    let mut buffer = vec![0; BUFFER_BYTES.max(page_size.bytes())];
    let mut checksum = Checksum::EMPTY;
    let mut next = PageNo::FIRST;
    let mut left = file_bytes(pages, page_size);
    while left > 0 {
        let length = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let chunk = &mut buffer[..length];
        file.read_exact_at(chunk, offset_of(next, page_size))?;
        left -= length as u64;
        for page in chunk.chunks_exact(page_size.bytes()) {
            checksum ^= page_hash(next, page);
            next = PageNo::new(next.get().wrapping_add(1)).unwrap_or(PageNo::FIRST);
        }
    }
    Ok(checksum)
}
