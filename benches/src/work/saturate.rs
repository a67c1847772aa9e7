//! A writer that begins its next transaction as soon as the last is committed.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use rusqlite::Connection;
use store::clock::{Clock as _, SystemClock};
use walship::demo::random::Random;

use super::Commit;

/// Rows that are overwritten in turn: the database stays small, the WAL does not.
const ROWS: i64 = 20_000;
const ROW_BYTES: i64 = 300;

pub(super) fn work(path: &Path, seed: u64, stop: &AtomicBool) -> rusqlite::Result<Vec<Commit>> {
    let connection = open(path)?;
    let mut random = Random::new(seed);
    let mut commits = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let began = Instant::now();
        connection.execute_batch("BEGIN IMMEDIATE")?;
        for _ in 0..2 {
            write(&connection, random.below(ROWS))?;
        }
        connection.execute_batch("COMMIT")?;
        let micros = u32::try_from(began.elapsed().as_micros()).unwrap_or(u32::MAX);
        commits.push((SystemClock.now().get(), micros));
    }
    Ok(commits)
}

fn write(connection: &Connection, row: i64) -> rusqlite::Result<()> {
    let mut write =
        connection.prepare_cached("REPLACE INTO load(id, body) VALUES (?, randomblob(?))")?;
    write.execute([row, ROW_BYTES])?;
    Ok(())
}

/// As applications open a database: WAL, synchronous=NORMAL, a busy timeout, and SQLite's own checkpoints.
pub(super) fn open(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(std::time::Duration::from_secs(30))?;
    connection.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;
         CREATE TABLE IF NOT EXISTS load(id INTEGER PRIMARY KEY, body BLOB NOT NULL);",
    )?;
    Ok(connection)
}
