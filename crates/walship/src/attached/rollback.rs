//! A database in a rollback journal mode: it has no log, so its pages are compared whenever its file changed.
//!
//! - Every commit moves the change counter in page 1. Size and time of the file tell of whoever writes without SQLite;
//!   they do not tell of every commit, for a file system's clock may stand still between two of them.
//! - Both the comparison and a copy for a base hold a shared lock as long as they read: writers wait meanwhile.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use segment::{Millis, PageHashes};

use super::{Attached, Watch, is_in_wal_mode};
use crate::compare::{Known, compare};
use crate::error::CaptureError;
use crate::identity::{self, PathState, Stamp};
use crate::image::Image;
use crate::pending::Change;
use crate::pinned::Pinned;
use crate::sqlite::{Connection, SqliteError};

/// Where page 1 has its change counter.
const CHANGE_COUNTER_AT: u64 = 24;

/// What moves when the file changes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Trace {
    stamp: Option<Stamp>,
    counter: [u8; 4],
}

impl Trace {
    /// Of the file as it is now. The stamp comes first: whoever writes in between is seen later at the latest.
    pub(super) fn of(path: &Path, connection: &Connection) -> Result<Self, SqliteError> {
        let stamp = Stamp::of(path);
        let mut counter = [0; 4];
        connection.read_database(CHANGE_COUNTER_AT, &mut counter)?;
        Ok(Self { stamp, counter })
    }
}

impl Attached {
    pub(super) fn compare_file(&mut self, now: (Instant, Millis)) -> Result<(), CaptureError> {
        if identity::look(&self.path).is_ok_and(|found| found == PathState::Empty) {
            return Err(CaptureError::continuity("the file was emptied"));
        }
        self.holder.begin_read()?;
        let trace = Trace::of(&self.path, &self.holder);
        let result = self.compare_locked(now.1);
        self.holder.end_read();
        let (hashes, change) = result?;
        self.hashes = hashes;
        if let Some(mut change) = change {
            change.oldest_commit = self.noticed.unwrap_or(now.1);
            self.txid = change.txids.1;
            self.push(change);
        }
        self.watch = Watch::File(trace?);
        self.noticed = None;
        self.counters.handovers += 1;
        self.situation.last_change = now.0;
        Ok(())
    }

    fn compare_locked(&self, now: Millis) -> Result<(PageHashes, Option<Change>), CaptureError> {
        if is_in_wal_mode(&self.holder)? {
            return Err(CaptureError::continuity("the database was switched to WAL mode"));
        }
        let image = Image::open(&self.holder, None, None)?;
        if image.page_size() != self.hashes.page_size() {
            return Err(CaptureError::continuity("the page size changed"));
        }
        let known =
            Known { incarnation: self.incarnation, txid: self.txid, hashes: self.hashes.clone() };
        compare(&image, &known, now)
    }

    pub(super) fn pin_file(&mut self, now: (Instant, Millis)) -> Result<Pinned, CaptureError> {
        self.compare_file(now)?;
        if self.is_first {
            self.pending = None;
        }
        let mut connection = Connection::open(&self.path)?;
        connection.begin_read()?;
        if self.pending.is_some() || !self.is_still() {
            return Err(CaptureError::Locked(SqliteError {
                operation: "pin the state for a base",
                code: 5,
                message: "the database changed just now".into(),
            }));
        }
        Ok(Pinned {
            shared: None,
            connection,
            snapshot: None,
            hashes: self.hashes.clone(),
            txid: self.txid,
            alive: Arc::default(),
        })
    }
}
