//! The stages of shipping by themselves, in memory, on the pages of a real WAL.

use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use console::Failure;
use segment::{ContentHash, PageNo, PageSize, encode_body, page_hash};
use sqlite_wal::{FrameHeader, WalHeader, chain};

use crate::failed;

/// As much of the WAL as is measured: more than any processor's cache.
const SAMPLE_BYTES: usize = 64 << 20;
/// Each stage runs for at least this long; its best pass counts.
const TIME: Duration = Duration::from_millis(300);

/// How fast one stage is, in MB of the WAL.
#[derive(Clone, Debug)]
pub(super) struct Stage {
    pub(super) name: &'static str,
    pub(super) mb_a_second: f64,
}

pub(super) fn measure(wal: &Path) -> Result<Vec<Stage>, Failure> {
    let bytes =
        std::fs::read(wal).map_err(|error| failed(format!("{}: {error}", wal.display())))?;
    let first = bytes.first_chunk().ok_or_else(|| failed("the WAL is empty"))?;
    let header = WalHeader::parse(first).map_err(|error| failed(error.to_string()))?;
    let size = PageSize::new(header.page_size).ok_or_else(|| failed("no page size"))?;
    let frames = &bytes[first.len()..bytes.len().min(SAMPLE_BYTES)];
    let pages = pages(frames, &header);
    let mb = (pages.len() * header.frame_bytes()) as f64 / 1e6;
    let encode = || encode_body(size, pages.iter().map(|(pgno, page)| (*pgno, *page)));
    let body = encode();
    Ok(vec![
        timed("chain of checksums of the WAL", mb, || {
            black_box(chain(header.byte_order, frames, header.chain));
        }),
        timed("hash of every page", mb, || {
            black_box(pages.iter().fold(0, |sum, (pgno, page)| sum ^ page_hash(*pgno, page)));
        }),
        timed("encode: LZ4, page table, SHA-256", mb, || drop(black_box(encode()))),
        timed("SHA-256 of what is stored", mb, || {
            drop(black_box(ContentHash::of(&body.bytes).hex()))
        }),
    ])
}

/// The newest image of every page, by number.
fn pages<'a>(frames: &'a [u8], header: &WalHeader) -> Vec<(PageNo, &'a [u8])> {
    let page = |frame: &'a [u8]| {
        let (head, page) = frame.split_first_chunk()?;
        Some((PageNo::new(FrameHeader::parse(head).page_no)?, page))
    };
    let newest: std::collections::BTreeMap<PageNo, &[u8]> =
        frames.chunks_exact(header.frame_bytes()).filter_map(page).collect();
    newest.into_iter().collect()
}

fn timed(name: &'static str, mb: f64, mut work: impl FnMut()) -> Stage {
    let (began, mut best) = (Instant::now(), Duration::MAX);
    while began.elapsed() < TIME {
        let start = Instant::now();
        work();
        best = best.min(start.elapsed());
    }
    Stage { name, mb_a_second: mb / best.as_secs_f64() }
}
