//! How fast frames are verified on one core: `cargo bench -p sqlite-wal`.

use std::hint::black_box;
use std::time::{Duration, Instant};

use sqlite_wal::*;

const FRAMES: u32 = 4096;

/// Runs `work` over `bytes` bytes until a second has gone by, and prints the best rate.
fn measure(what: &str, bytes: usize, mut work: impl FnMut()) {
    let (begin, mut best) = (Instant::now(), Duration::MAX);
    while begin.elapsed() < Duration::from_secs(1) {
        let start = Instant::now();
        work();
        best = best.min(start.elapsed());
    }
    println!("{what:<40} {:>8.0} MB/s", bytes as f64 / best.as_secs_f64() / 1e6);
}

fn main() {
    for order in [ByteOrder::Little, ByteOrder::Big] {
        let mut wal = WalBuilder::new(4096, order, Salts([1; 8]));
        for number in 1..=FRAMES {
            wal.frame(number, number, &[number as u8; 4096]);
        }
        let frames = &wal.bytes()[WAL_HEADER_BYTES..];
        let header = *wal.header();
        measure(&format!("chain, {order:?}"), frames.len(), || {
            black_box(chain(order, frames, header.chain));
        });
        measure(&format!("FrameRange::feed, {order:?}"), frames.len(), || {
            let start = (0, header.chain);
            let mut range =
                FrameRange::new(4096, order, header.salts, start).expect("4096 is a page size");
            let each = |frame: FrameRef<'_>| {
                black_box(frame);
            };
            range.feed(frames, each).expect("own bytes are valid");
        });
    }
}
