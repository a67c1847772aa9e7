//! Reads the committed frames between two snapshots out of a `-wal` file.
//!
//! Invariant C2: never a frame past the snapshot's last one; the checksum chain computed there must
//! equal the snapshot's, the last frame must be a commit, and its size must be the snapshot's. Anything
//! else ships nothing: a phantom of a failed commit looks valid in every other respect.

use std::collections::HashMap;

use segment::{PageNo, PageSize};
use sqlite_wal::{Chain, FrameRange, WalError, WalHeader};

use crate::error::CaptureError;
use crate::sqlite::Connection;
use crate::wal_index::WalIndexHeader;

/// Bytes read at a time.
const CHUNK_BYTES: usize = 1 << 20;
const WAL_HEADER_BYTES: u64 = 32;
const FRAME_HEADER_BYTES: usize = 24;

/// What a range of frames holds.
#[derive(Debug, Default)]
pub struct Captured {
    /// The newest image of each page.
    pub pages: HashMap<PageNo, Box<[u8]>>,
    /// Commits in the range.
    pub commits: u64,
}

/// Bytes of a WAL whose last frame is `frame`.
#[must_use]
pub fn wal_bytes(frame: u32, page_size: PageSize) -> u64 {
    if frame == 0 { 0 } else { offset_of(frame + 1, page_size) }
}

/// Where a frame (counted from 1) begins.
#[must_use]
pub fn offset_of(frame: u32, page_size: PageSize) -> u64 {
    WAL_HEADER_BYTES + u64::from(frame - 1) * frame_bytes(page_size) as u64
}

fn frame_bytes(page_size: PageSize) -> usize {
    FRAME_HEADER_BYTES + page_size.bytes()
}

/// Captures what lies after `from` up to `to`; from the first frame when the log was restarted.
///
/// # Errors
/// [`CaptureError::Continuity`] when the bytes do not prove that they are exactly these commits.
pub fn capture(
    connection: &Connection,
    from: Option<&WalIndexHeader>,
    to: &WalIndexHeader,
) -> Result<Captured, CaptureError> {
    let page_size = to
        .page_size()
        .ok_or_else(|| CaptureError::continuity("the wal-index names no legal page size"))?;
    let start = start_of(connection, from, to)?;
    if to.last_frame() < start.0 {
        return Err(CaptureError::continuity("the log became shorter without a restart"));
    }
    let mut captured = Captured::default();
    if to.last_frame() == start.0 {
        return Ok(captured);
    }
    scan(connection, to, start, |pgno, commit_size, page, _| {
        captured.pages.insert(pgno, page.into());
        captured.commits += u64::from(commit_size != 0);
    })?;
    captured.pages.retain(|pgno, _| pgno.get() <= to.pages() && *pgno != page_size.lock_page());
    Ok(captured)
}

/// Finds where in the file the newest committed image of each page stands, for the whole log up to `to`.
///
/// # Errors
/// As [`capture`].
pub fn locate(
    connection: &Connection,
    to: &WalIndexHeader,
) -> Result<HashMap<PageNo, u64>, CaptureError> {
    let mut places = HashMap::new();
    if to.last_frame() > 0 {
        let start = start_of(connection, None, to)?;
        scan(connection, to, start, |pgno, _, _, offset| {
            places.insert(pgno, offset);
        })?;
    }
    Ok(places)
}

/// The frame and chain to continue after.
fn start_of(
    connection: &Connection,
    from: Option<&WalIndexHeader>,
    to: &WalIndexHeader,
) -> Result<(u32, Chain), CaptureError> {
    // In an empty log the header still holds the chain of the log before it.
    if let Some(from) = from.filter(|from| from.same_log(to) && from.last_frame() > 0) {
        return Ok((from.last_frame(), from.chain()));
    }
    if to.last_frame() == 0 {
        return Ok((0, Chain(0, 0)));
    }
    let mut bytes = [0; WAL_HEADER_BYTES as usize];
    if !connection.read_wal(0, &mut bytes)? {
        return Err(CaptureError::continuity("the -wal file ends inside its header"));
    }
    let header = WalHeader::parse(&bytes).map_err(unproven)?;
    let agrees = header.salts == to.salts()
        && header.byte_order == to.byte_order()
        && Some(header.page_size) == to.page_size().map(PageSize::get);
    if !agrees {
        return Err(CaptureError::continuity(
            "the -wal file is not the one the wal-index describes",
        ));
    }
    Ok((0, header.chain))
}

fn scan(
    connection: &Connection,
    to: &WalIndexHeader,
    (first, chain): (u32, Chain),
    mut each: impl FnMut(PageNo, u32, &[u8], u64),
) -> Result<(), CaptureError> {
    let page_size = to
        .page_size()
        .ok_or_else(|| CaptureError::continuity("the wal-index names no legal page size"))?;
    let size = frame_bytes(page_size);
    let mut range = FrameRange::new(page_size.get(), to.byte_order(), to.salts(), (first, chain))
        .map_err(unproven)?;
    let mut buffer = vec![0; (CHUNK_BYTES / size).max(1) * size];
    let mut frame = first;
    while frame < to.last_frame() {
        let frames = ((to.last_frame() - frame) as usize).min(buffer.len() / size);
        let chunk = &mut buffer[..frames * size];
        if !connection.read_wal(offset_of(frame + 1, page_size), chunk)? {
            return Err(CaptureError::continuity(
                "the -wal file ends before the last committed frame",
            ));
        }
        range
            .feed(chunk, |found| {
                if let Some(pgno) = PageNo::new(found.page_no) {
                    each(
                        pgno,
                        found.commit_size,
                        found.page,
                        offset_of(found.frame_no, page_size) + FRAME_HEADER_BYTES as u64,
                    );
                }
            })
            .map_err(unproven)?;
        frame += u32::try_from(frames).expect("BUG: a chunk holds few frames");
    }
    let end = range.end().map_err(unproven)?;
    if end.chain != to.chain() || end.commit_size != to.pages() {
        return Err(CaptureError::continuity(
            "the frames differ from the commit that the wal-index shows",
        ));
    }
    Ok(())
}

fn unproven(error: WalError) -> CaptureError {
    CaptureError::continuity(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Frames of a commit that failed carry right checksums: that they lead to the snapshot's own chain and size is all
    /// that tells them from the commit that came in their place.
    #[test]
    fn frames_that_do_not_lead_to_the_snapshot_are_not_captured() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("a.db");
        let application = rusqlite::Connection::open(&path).expect("opened");
        application
            .execute_batch(
                "PRAGMA journal_mode = WAL; CREATE TABLE t(x); INSERT INTO t VALUES (1);",
            )
            .expect("written");
        let mut connection = Connection::open(&path).expect("opened");
        let snapshot = connection.begin_read().expect("a snapshot").expect("a log");
        let captured = capture(&connection, None, &snapshot).expect("captured");
        assert_eq!(captured.commits, 2);
        let (pages, chain_1, chain_2) = (5, 6, 7);
        for word in [pages, chain_1, chain_2] {
            let mut other = snapshot;
            other.0[word] ^= 1;
            let refused = capture(&connection, None, &other);
            assert!(matches!(refused, Err(CaptureError::Continuity { .. })), "word {word}");
        }
        let mut middle = snapshot;
        middle.0[4] -= 1;
        assert!(matches!(
            capture(&connection, None, &middle),
            Err(CaptureError::Continuity { .. })
        ));
    }
}
