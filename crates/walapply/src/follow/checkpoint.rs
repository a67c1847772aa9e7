//! Moving what was applied from the WALs into the database files: PASSIVE checkpoints, on a thread of their own.
//!
//! A checkpoint never waits for readers and never keeps them out. What it moved is synced; so once all frames
//! are moved, everything that was applied before the checkpoint began is durable.
//!
//! One database after the other; each on a connection that is opened for it and closed again (an apply connection is open
//! meanwhile, so that closing does not remove the WAL).

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};
use segment::DbId;

use super::pool::Finished;
use crate::error::ApplyError;
use crate::replica::watch::Watch;
use crate::sqlite::Checker;

/// A WAL with more frames than this is checkpointed without waiting for a pause.
const FRAMES_DUE: u64 = 1_000;
/// What was applied is moved after this long at the latest, so that it becomes durable.
const AGE_DUE: Duration = Duration::from_secs(5);
/// When readers keep frames from being moved, trying more often than this is of no use.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Readers that keep so many frames from being moved are a reason to tell somebody.
const FRAMES_HELD_BACK: u32 = 50_000;

/// A checkpoint to be made.
pub(crate) struct Request {
    /// The database.
    pub(crate) db: DbId,
    /// Its file.
    pub(crate) path: PathBuf,
    /// Who must know that the file changes.
    pub(crate) watch: Arc<Watch>,
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
    /// Frames written that no checkpoint has moved.
    frames: u64,
    dirty_since: Option<Instant>,
    not_before: Option<Instant>,
    is_running: bool,
    /// Frames that readers held back when that was last told.
    told: u32,
}

impl Schedule {
    /// A change of so many pages was applied.
    pub(crate) fn applied(&mut self, pages: u64, now: Instant) {
        // Each change may add one frame for page 1.
        self.frames += pages + 1;
        self.dirty_since.get_or_insert(now);
    }

    /// Whether a checkpoint runs.
    pub(crate) fn is_running(&self) -> bool {
        self.is_running
    }

    /// Whether nothing is to be moved.
    #[cfg(test)]
    pub(crate) fn is_clean(&self) -> bool {
        self.dirty_since.is_none() && !self.is_running
    }

    /// The frames to be moved, if a checkpoint is to begin now; it counts as running then.
    pub(crate) fn begin(&mut self, now: Instant) -> Option<u64> {
        let since = self.dirty_since?;
        let is_due = self.frames >= FRAMES_DUE || now.duration_since(since) >= AGE_DUE;
        if self.is_running || !is_due || self.not_before.is_some_and(|start| now < start) {
            return None;
        }
        self.is_running = true;
        self.dirty_since = None;
        Some(self.frames)
    }

    /// One ended. Incomplete ones are tried again after a pause.
    pub(crate) fn ended(&mut self, checkpointed: &Checkpointed, now: Instant) {
        self.is_running = false;
        if checkpointed.is_complete() {
            self.frames = self.frames.saturating_sub(checkpointed.request.frames);
            (self.not_before, self.told) = (None, 0);
        } else {
            self.dirty_since.get_or_insert(now);
            self.not_before = Some(now + RETRY_PAUSE);
        }
    }

    /// Frames that readers keep from being moved, when there are many, and many more than when last told.
    pub(crate) fn tell_held_back(&mut self, checkpointed: &Checkpointed) -> Option<u32> {
        let Ok((frames, moved)) = checkpointed.result else { return None };
        let held_back = frames.saturating_sub(moved);
        if held_back < FRAMES_HELD_BACK.max(self.told.saturating_mul(2)) {
            return None;
        }
        self.told = held_back;
        Some(held_back)
    }
}

/// The thread.
pub(super) fn work(queue: &Receiver<Request>, reports: &Sender<Finished>) {
    while let Ok(request) = queue.recv() {
        let began = Instant::now();
        let run = || match request.watch.is_there() {
            true => Checker::open(&request.path)?.checkpoint_passive(),
            false => Err(ApplyError::Moved(request.path.clone())),
        };
        let result = request.watch.checkpoint(run);
        let checkpointed = Checkpointed { request, result, took: began.elapsed() };
        if reports.send(Finished::Checkpoint(checkpointed)).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(frames: u64, result: (u32, u32)) -> Checkpointed {
        let watch = Arc::new(Watch::new("x".as_ref()));
        let request = Request { db: DbId::from_bytes([1; 8]), path: "x".into(), watch, frames };
        Checkpointed { request, result: Ok(result), took: Duration::ZERO }
    }

    #[test]
    fn many_frames_are_moved_at_once_and_few_after_a_while() {
        let mut schedule = Schedule::default();
        let start = Instant::now();
        let at = |ms: u64| start + Duration::from_millis(ms);
        assert_eq!(schedule.begin(at(0)), None);
        schedule.applied(3, at(0));
        assert_eq!(schedule.begin(at(4_999)), None);
        assert_eq!(schedule.begin(at(5_000)), Some(4));
        // What is applied meanwhile is not moved by the one that runs.
        schedule.applied(2_000, at(5_001));
        assert_eq!(schedule.begin(at(5_002)), None);
        schedule.ended(&ended(4, (4, 4)), at(5_003));
        assert_eq!(schedule.begin(at(5_003)), Some(2_001));
        schedule.ended(&ended(2_001, (2_005, 2_005)), at(5_004));
        assert_eq!(schedule.begin(at(99_000)), None);
    }

    #[test]
    fn what_readers_hold_back_is_tried_again_and_told_when_it_doubles() {
        let mut schedule = Schedule::default();
        let start = Instant::now();
        let at = |ms: u64| start + Duration::from_millis(ms);
        schedule.applied(60_000, at(0));
        assert!(schedule.begin(at(0)).is_some());
        let held = ended(60_001, (60_001, 10));
        schedule.ended(&held, at(1));
        assert_eq!(schedule.tell_held_back(&held), Some(59_991));
        assert_eq!(schedule.tell_held_back(&held), None);
        assert_eq!(schedule.tell_held_back(&ended(1, (130_000, 10))), Some(129_990));
        assert_eq!(schedule.begin(at(500)), None);
        assert!(schedule.begin(at(1_001)).is_some());
    }
}
