//! Moving what was applied from the WALs into the database files: PASSIVE checkpoints, on a thread of their own.
//!
//! A checkpoint never waits for readers and never keeps them out. What it moved is synced; so once all frames
//! are moved, everything that was applied before the checkpoint began is durable.
//!
//! One database after the other; each on a connection that is opened for it and closed again (an apply connection is open
//! meanwhile, so that closing does not remove the WAL).

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};
use segment::{DbId, Millis, Seq};

use super::pool::Finished;
use crate::error::ApplyError;
use crate::sqlite::Checker;

/// A WAL with more frames than this is checkpointed without waiting for a pause.
const FRAMES_DUE: u64 = 1_000;
/// What was applied is moved after this long at the latest, so that it becomes durable.
const AGE_DUE: Duration = Duration::from_secs(5);
/// When readers keep frames from being moved, trying more often than this is of no use.
const RETRY_PAUSE_MS: u64 = 1_000;

/// A checkpoint to be made.
pub(crate) struct Request {
    /// The database.
    pub(crate) db: DbId,
    /// Its file.
    pub(crate) path: PathBuf,
    /// The last object applied.
    pub(crate) applied: Option<Seq>,
    /// Frames written since the last checkpoint, as far as we know.
    pub(crate) frames: u64,
}

/// How it went.
pub(crate) struct Checkpointed {
    /// What was asked for.
    pub(crate) request: Request,
    /// Frames in the WAL and frames moved.
    pub(crate) result: Result<(u32, u32), ApplyError>,
    /// How long it took.
    pub(crate) took: Duration,
}

impl Checkpointed {
    /// Whether everything applied before it began is durable in the file.
    pub(crate) fn is_complete(&self) -> bool {
        matches!(self.result, Ok((frames, moved)) if frames == moved)
    }
}

/// When the next checkpoint of one database is due.
#[derive(Debug, Default)]
pub(crate) struct Schedule {
    dirty_since: Option<Millis>,
    not_before: Option<Millis>,
    is_running: bool,
}

impl Schedule {
    /// A change was applied.
    pub(crate) fn applied(&mut self, now: Millis) {
        self.dirty_since.get_or_insert(now);
    }

    /// Whether a checkpoint runs.
    pub(crate) fn is_running(&self) -> bool {
        self.is_running
    }

    /// Whether to begin one now; if so it counts as running.
    pub(crate) fn begin(&mut self, frames: u64, now: Millis) -> bool {
        let Some(since) = self.dirty_since else { return false };
        let is_due = frames >= FRAMES_DUE || u128::from(now.since(since)) >= AGE_DUE.as_millis();
        if self.is_running || !is_due || self.not_before.is_some_and(|start| now < start) {
            return false;
        }
        self.is_running = true;
        self.dirty_since = None;
        true
    }

    /// One ended; an incomplete one is tried again after a pause.
    pub(crate) fn ended(&mut self, is_complete: bool, now: Millis) {
        self.is_running = false;
        if is_complete {
            self.not_before = None;
        } else {
            self.dirty_since.get_or_insert(now);
            self.not_before = Some(Millis::new(now.get() + RETRY_PAUSE_MS));
        }
    }
}

/// The thread.
pub(super) fn work(queue: &Receiver<Request>, reports: &Sender<Finished>) {
    while let Ok(request) = queue.recv() {
        let began = Instant::now();
        let result = Checker::open(&request.path).and_then(|checker| checker.checkpoint_passive());
        let checkpointed = Checkpointed { request, result, took: began.elapsed() };
        if reports.send(Finished::Checkpoint(checkpointed)).is_err() {
            return;
        }
    }
}
