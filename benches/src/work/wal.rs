//! Writes a long WAL: rows as applications have them, a few dozen pages a transaction, no checkpoint.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rusqlite::Connection;
use rusqlite::config::DbConfig;
use serde::{Deserialize, Serialize};
use walship::demo::random::Random;

const ROWS_A_TRANSACTION: u64 = 200;

/// What was written.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Written {
    /// Transactions.
    pub(crate) commits: u64,
    /// Length of the WAL.
    pub(crate) wal_bytes: u64,
}

pub(super) fn work(path: &Path, bytes: u64, stop: &AtomicBool) -> rusqlite::Result<Written> {
    let connection = open(path)?;
    let wal = PathBuf::from(format!("{}-wal", path.display()));
    let mut random = Random::new(1);
    let mut written = Written { commits: 1, wal_bytes: 0 };
    while written.wal_bytes < bytes && !stop.load(Ordering::Relaxed) {
        connection.execute_batch("BEGIN IMMEDIATE")?;
        (0..ROWS_A_TRANSACTION).try_for_each(|_| insert(&connection, &mut random))?;
        connection.execute_batch("COMMIT")?;
        written.commits += 1;
        written.wal_bytes = wal.metadata().map_or(0, |file| file.len());
    }
    Ok(written)
}

fn open(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.execute_batch(
        "PRAGMA synchronous = OFF; PRAGMA wal_autocheckpoint = 0;
         CREATE TABLE IF NOT EXISTS event(id INTEGER PRIMARY KEY, at INTEGER, body TEXT, digest BLOB);",
    )?;
    Ok(connection)
}

fn insert(connection: &Connection, random: &mut Random) -> rusqlite::Result<()> {
    let (user, amount) = (random.below(1 << 40), random.below(100_000));
    let body = format!(
        "{{\"kind\":\"order.delivered\",\"user\":\"{user:010x}\",\"amount\":{amount},\"currency\":\"EUR\",\
         \"status\":\"delivered\",\"note\":\"left at the door, {} items\"}}",
        amount % 17
    );
    let mut insert = connection
        .prepare_cached("INSERT INTO event(at, body, digest) VALUES (?, ?, randomblob(48))")?;
    insert.execute((user, body))?;
    Ok(())
}
