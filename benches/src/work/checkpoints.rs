//! An application that checkpoints as it likes: every mode, at random times.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use walship::demo::random::Random;

/// The longest pause between two checkpoints; the shortest is none.
const PAUSE_MS_MAX: i64 = 100;
const MODES: [&str; 4] = ["PASSIVE", "FULL", "RESTART", "TRUNCATE"];

pub(super) fn work(path: &Path, seed: u64, stop: &AtomicBool) -> rusqlite::Result<u64> {
    let connection = super::saturate::open(path)?;
    let mut random = Random::new(seed);
    let mut count = 0;
    while !stop.load(Ordering::Relaxed) {
        let mode = MODES[usize::try_from(random.below(4)).unwrap_or(0)];
        // "busy" is an answer, not an error.
        connection.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |_| Ok(()))?;
        count += 1;
        std::thread::sleep(Duration::from_millis(random.below(PAUSE_MS_MAX).cast_unsigned()));
    }
    Ok(count)
}
