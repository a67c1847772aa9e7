//! All pages of a database as of an open read transaction, without parsing its schema.
//!
//! The image is the database file, overlaid with the committed frames of the WAL up to ours, M. Why it is
//! exact: while our read transaction stands at M, a checkpoint moves nothing past M into the file, and the
//! log is restarted only if it ended at M and had been moved as a whole when we began (read lock 0). After
//! a restart the file alone is the image; until then the frames up to M stay where they are.
//!
//! The counter of backfilled frames tells nothing here: a checkpoint leaves out every page that has a
//! newer frame past the readers' marks, and counts all frames up to the mark as backfilled nevertheless.

use std::collections::HashMap;

use segment::{PageNo, PageSize};

use crate::error::CaptureError;
use crate::sqlite::{Connection, SharedIndex};
use crate::wal_index::WalIndexHeader;
use crate::wal_range;

/// Bytes of the database file read at a time.
const CHUNK_BYTES: usize = 1 << 20;

/// The pages of one snapshot.
#[derive(Debug)]
pub struct Image<'a> {
    connection: &'a Connection,
    page_size: PageSize,
    pages: u32,
    overlay: HashMap<PageNo, u64>,
    log: Option<Log>,
}

/// The log that the overlay stands in, and what tells whether it still does.
#[derive(Clone, Copy, Debug)]
struct Log {
    snapshot: WalIndexHeader,
    shared: SharedIndex,
}

impl<'a> Image<'a> {
    /// The image at `snapshot`, which `connection` holds. `shared` is absent outside WAL mode.
    ///
    /// # Errors
    /// When the file is not a database, or its WAL does not hold what the wal-index says.
    pub fn open(
        connection: &'a Connection,
        snapshot: Option<&WalIndexHeader>,
        shared: Option<&SharedIndex>,
    ) -> Result<Self, CaptureError> {
        match (snapshot, shared) {
            (Some(snapshot), Some(shared)) => Self::of_wal(connection, snapshot, shared),
            _ => Self::of_file(connection),
        }
    }

    fn of_wal(
        connection: &'a Connection,
        snapshot: &WalIndexHeader,
        shared: &SharedIndex,
    ) -> Result<Self, CaptureError> {
        let page_size = snapshot
            .page_size()
            .ok_or_else(|| CaptureError::continuity("the wal-index names no legal page size"))?;
        let log = Log { snapshot: *snapshot, shared: *shared };
        let overlay = match wal_range::locate(connection, snapshot) {
            Ok(overlay) => overlay,
            Err(_) if log.was_restarted() => HashMap::new(),
            Err(error) => return Err(error),
        };
        Ok(Self { connection, page_size, pages: snapshot.pages(), overlay, log: Some(log) })
    }

    fn of_file(connection: &'a Connection) -> Result<Self, CaptureError> {
        let mut header = [0; 100];
        connection.read_database(0, &mut header)?;
        let page_size = page_size_of(&header).ok_or_else(|| {
            CaptureError::Refused(
                "page 1 names no legal page size (encrypted, or not a database)".into(),
            )
        })?;
        let in_file =
            u32::try_from(connection.database_bytes()?.div_ceil(u64::from(page_size.get())))
                .map_err(|_| {
                    CaptureError::Refused("the file is larger than a database can be".into())
                })?;
        let in_header = u32::from_be_bytes([header[28], header[29], header[30], header[31]]);
        let header_counts =
            in_header != 0 && header[24..28] == header[92..96] && in_header <= in_file;
        Ok(Self {
            connection,
            page_size,
            pages: if header_counts { in_header } else { in_file },
            overlay: HashMap::new(),
            log: None,
        })
    }

    /// The page size.
    #[must_use]
    pub fn page_size(&self) -> PageSize {
        self.page_size
    }

    /// The number of pages.
    #[must_use]
    pub fn pages(&self) -> u32 {
        self.pages
    }

    /// Hands every page to `each` in order, but the lock page. Page 1 comes as it is shipped.
    ///
    /// # Errors
    /// Read errors, and whatever `each` returns.
    pub fn for_each<E: From<CaptureError>>(
        &self,
        mut each: impl FnMut(PageNo, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let size = self.page_size.bytes();
        let mut buffer = vec![0; (CHUNK_BYTES / size).max(1) * size];
        let mut next = PageNo::new(1);
        while let Some(first) = next.filter(|first| first.get() <= self.pages) {
            let count = ((self.pages - first.get() + 1) as usize).min(buffer.len() / size);
            let chunk = &mut buffer[..count * size];
            self.connection
                .read_database(u64::from(first.get() - 1) * size as u64, chunk)
                .map_err(CaptureError::from)?;
            for (index, page) in chunk.chunks_exact_mut(size).enumerate() {
                let pgno = PageNo::new(
                    first.get() + u32::try_from(index).expect("BUG: few pages a chunk"),
                )
                .expect("BUG: not zero");
                if pgno != self.page_size.lock_page() {
                    self.finish(pgno, page)?;
                    each(pgno, page)?;
                }
            }
            next = first
                .get()
                .checked_add(u32::try_from(count).expect("BUG: few pages a chunk"))
                .and_then(PageNo::new);
        }
        Ok(())
    }

    /// Reads one page.
    ///
    /// # Errors
    /// Read errors.
    pub fn page(&self, pgno: PageNo) -> Result<Box<[u8]>, CaptureError> {
        let mut page = vec![0; self.page_size.bytes()];
        self.connection
            .read_database(u64::from(pgno.get() - 1) * self.page_size.bytes() as u64, &mut page)?;
        self.finish(pgno, &mut page)?;
        Ok(page.into())
    }

    /// Replaces what the file holds by the frame at `offset`, unless the log was restarted until now.
    fn overlay_page(&self, pgno: PageNo, offset: u64, page: &mut [u8]) -> Result<(), CaptureError> {
        let is_whole = self.connection.read_wal(offset, page)?;
        if self.log.is_some_and(|log| log.was_restarted()) {
            let at = u64::from(pgno.get() - 1) * self.page_size.bytes() as u64;
            return Ok(self.connection.read_database(at, page)?);
        }
        if is_whole {
            return Ok(());
        }
        Err(CaptureError::continuity("the -wal file became shorter under a read transaction"))
    }

    fn finish(&self, pgno: PageNo, page: &mut [u8]) -> Result<(), CaptureError> {
        if let Some(offset) = self.overlay.get(&pgno) {
            self.overlay_page(pgno, *offset, page)?;
        }
        if pgno.get() == 1 {
            normalize_page_one(page, self.pages);
        }
        Ok(())
    }
}

impl Log {
    /// True if a writer has begun to overwrite the frames of the snapshot. The wal-index says so before the
    /// first byte of the `-wal` file changes.
    fn was_restarted(&self) -> bool {
        loop {
            let (first, second) = (self.shared.peek(), self.shared.peek());
            if first == second {
                return !first.header.same_log(&self.snapshot);
            }
            std::thread::yield_now();
        }
    }
}

/// Makes page 1 consistent in itself: the size in the header is the size of this snapshot, and valid.
/// Files last written by old versions hold a stale size that a replica would trust.
pub fn normalize_page_one(page: &mut [u8], pages: u32) {
    page[28..32].copy_from_slice(&pages.to_be_bytes());
    page.copy_within(24..28, 92);
}

fn page_size_of(header: &[u8; 100]) -> Option<PageSize> {
    if &header[..16] != b"SQLite format 3\0" {
        return None;
    }
    match u16::from_be_bytes([header[16], header[17]]) {
        1 => PageSize::new(65536),
        size => PageSize::new(u32::from(size)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image_of(connection: &Connection, snapshot: &WalIndexHeader) -> Vec<Vec<u8>> {
        let shared = connection.shared_index().expect("a wal-index");
        let image = Image::open(connection, Some(snapshot), Some(&shared)).expect("an image");
        let mut pages = Vec::new();
        image
            .for_each(|_, page| {
                pages.push(page.to_vec());
                Ok::<_, CaptureError>(())
            })
            .expect("pages");
        pages
    }

    /// A checkpoint counts all frames up to a reader's mark as backfilled, also those of pages that it left out
    /// because they have a newer frame past the mark. A file that was trusted for that counter lacked them.
    #[test]
    fn a_checkpoint_behind_a_log_that_goes_on_changes_no_image() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.db");
        let application = rusqlite::Connection::open(&path).expect("a database");
        let run = |sql: &str| application.execute_batch(sql).expect("a statement");
        run(
            "PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0; CREATE TABLE t(v); INSERT INTO t VALUES('first')",
        );
        run("UPDATE t SET v='second'");
        let mut reader = Connection::open(&path).expect("a connection");
        let snapshot = reader.begin_read().expect("a snapshot").expect("a WAL");
        let before = image_of(&reader, &snapshot);
        assert!(before[1].windows(6).any(|bytes| bytes == b"second"));
        for value in ["third", "fourth"] {
            run(&format!("UPDATE t SET v='{value}'; PRAGMA wal_checkpoint(PASSIVE)"));
            assert_eq!(image_of(&reader, &snapshot), before, "after {value}");
        }
    }

    /// Read lock 0: the log is restarted under the reader, and its old frames are overwritten.
    #[test]
    fn a_restart_of_the_log_changes_no_image() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.db");
        let application = rusqlite::Connection::open(&path).expect("a database");
        let run = |sql: &str| application.execute_batch(sql).expect("a statement");
        run(
            "PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0; CREATE TABLE t(v); INSERT INTO t VALUES('first')",
        );
        run("PRAGMA wal_checkpoint(PASSIVE)");
        let mut reader = Connection::open(&path).expect("a connection");
        let snapshot = reader.begin_read().expect("a snapshot").expect("a WAL");
        let shared = reader.shared_index().expect("a wal-index");
        let open = Image::open(&reader, Some(&snapshot), Some(&shared)).expect("an image");
        let page = PageNo::new(2).expect("not 0");
        let before = (image_of(&reader, &snapshot), open.page(page).expect("a page"));
        run("UPDATE t SET v='other'; UPDATE t SET v='another'");
        assert!(open.log.is_some_and(|log| log.was_restarted()), "the log was not restarted");
        assert_eq!((image_of(&reader, &snapshot), open.page(page).expect("a page")), before);
    }
}
