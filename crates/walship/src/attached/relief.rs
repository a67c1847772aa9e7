//! Keeping the log of an attached database short: our own checkpoints, which move committed frames only.
//!
//! PASSIVE is the only mode that waits for nobody while holding a lock. Everything here runs off the
//! scheduling thread: a checkpoint may take as long as the disk needs.

use std::time::{Duration, Instant};

use segment::Millis;

use super::Attached;
use crate::error::CaptureError;
use crate::handover::Stand;
use crate::sqlite::{Connection, SqliteError};
use crate::wal_range;

/// The last resort begins when less than this is left to move, or when the writers are as fast as we are.
const CATCH_UP_BYTES: u64 = 2 << 20;
/// How often it is moved at most before.
const CATCH_UP_ROUNDS: u32 = 16;
/// How long the last resort may hold the write lock.
const FORCE_HOLD_MAX: Duration = Duration::from_millis(60);
/// A log that stays long is told of this often.
const LENGTH_TOLD_EVERY: Duration = Duration::from_secs(10);
/// How long it tries to get it.
const FORCE_WAIT_MAX: Duration = Duration::from_millis(100);

impl Attached {
    /// Runs one PASSIVE checkpoint and hands over if it moved everything.
    ///
    /// # Errors
    /// As [`Attached::hand_over`].
    pub fn checkpoint(&mut self, now: (Instant, Millis)) -> Result<(), CaptureError> {
        if self.passive(now.0)? {
            self.situation.checkpoint_wanted = false;
            self.hand_over(now)?;
        }
        Ok(())
    }

    /// Ends the read transaction where a place without a mark can be held instead, so that no checkpoint waits for us
    /// before it moves frames. With a mark one might: a FULL, RESTART or TRUNCATE checkpoint waits for the lock of a
    /// mark that it found too old without looking at the mark again (`walCheckpoint` in SQLite's `wal.c`). If we moved
    /// up to the newest commit on that very place, it would wait for us with the write lock held, so that no commit ever
    /// let us move on: every writer would stand still until the checkpoint's busy timeout ends.
    ///
    /// # Errors
    /// When a lock of the wal-index cannot be asked for.
    pub fn step_aside(&mut self, now: Instant) -> Result<(), CaptureError> {
        let Some(shared) = self.shared_index().filter(|_| self.situation.stand == Stand::Marked)
        else {
            return Ok(());
        };
        if self.holder.hold_log(shared)? {
            self.holder.end_read();
            self.situation.stand = Stand::Aside;
        } else {
            self.situation.no_place_at = Some(now);
        }
        Ok(())
    }

    /// True if everything in the log is moved now.
    fn passive(&mut self, now: Instant) -> Result<bool, CaptureError> {
        self.check_identity()?;
        self.step_aside(now)?;
        let result = if self.situation.stand == Stand::Aside {
            self.holder.checkpoint_passive()
        } else {
            self.passive_beside()?
        };
        self.situation.last_checkpoint = now;
        self.counters.checkpoints += 1;
        match result {
            Ok((log, moved)) => Ok(log >= 0 && log == moved),
            // Somebody else is checkpointing.
            Err(error) if error.is_busy() => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// The same on another connection, because ours reads. It moves nothing past our mark.
    fn passive_beside(&mut self) -> Result<Result<(i32, i32), SqliteError>, CaptureError> {
        let mut free = self.take_spare()?;
        // A connection that has read nothing yet would report success and do nothing.
        free.begin_read()?;
        free.end_read();
        let result = free.checkpoint_passive();
        self.spare = Some(free);
        Ok(result)
    }

    /// Whether a log that stays long is to be told of, which counts as told then.
    pub fn is_length_news(&mut self, now: Instant) -> bool {
        let is_news =
            self.told_of_length.is_none_or(|at| now.duration_since(at) >= LENGTH_TOLD_EVERY);
        if is_news {
            self.told_of_length = Some(now);
        }
        is_news
    }

    /// The last resort against a log that grows without end: with the write lock held and nothing
    /// written, reach the point where everything is moved, so that the next writer restarts the log.
    /// Returns how long writers were kept out; `None` if they were not, because nothing could be reached by it.
    ///
    /// # Errors
    /// As [`Attached::hand_over`].
    pub fn force(
        &mut self,
        clock: impl Fn() -> (Instant, Millis),
    ) -> Result<Option<Duration>, CaptureError> {
        self.situation.last_forced = Some(clock().0);
        if !self.catch_up(&clock)? {
            return Ok(None);
        }
        let mut writer = Connection::open(&self.path)?;
        if !take_write_lock(&mut writer)? {
            return Ok(None);
        }
        let began = Instant::now();
        let result = self.shorten(&clock, began);
        writer.end_read();
        let held = began.elapsed();
        self.counters.forced += 1;
        self.counters.forced_longest = self.counters.forced_longest.max(held);
        result.map(|()| Some(held))
    }

    /// Captures and moves while writers go on, so that little is left to do while they wait: each round has what was
    /// written during the one before. False where a reader, such as a base that is being copied, keeps the frames from
    /// being moved: writers would wait for nothing.
    fn catch_up(&mut self, clock: &impl Fn() -> (Instant, Millis)) -> Result<bool, CaptureError> {
        let (mut moved, mut left) = self.moved_and_left();
        for _ in 0..CATCH_UP_ROUNDS {
            self.passive(clock().0)?;
            self.hand_over(clock())?;
            let (moved_before, left_before) = (moved, left);
            (moved, left) = self.moved_and_left();
            if left <= CATCH_UP_BYTES {
                return Ok(true);
            }
            if moved == moved_before {
                return Ok(false);
            }
            if left > left_before / 4 * 3 {
                break;
            }
        }
        Ok(true)
    }

    /// Frames that were moved into the file, and bytes of the log that were not.
    fn moved_and_left(&self) -> (u32, u64) {
        let Some(peek) = self.shared_index().map(|shared| shared.peek()) else { return (0, 0) };
        let frames = peek.header.last_frame().saturating_sub(peek.backfilled);
        (peek.backfilled, wal_range::wal_bytes(frames, self.hashes.page_size()))
    }

    fn shorten(
        &mut self,
        clock: &impl Fn() -> (Instant, Millis),
        began: Instant,
    ) -> Result<(), CaptureError> {
        loop {
            self.hand_over(clock())?;
            if self.passive(clock().0)? {
                return self.hand_over(clock());
            }
            if began.elapsed() > FORCE_HOLD_MAX {
                return Ok(());
            }
            std::thread::sleep(Duration::from_micros(200));
        }
    }
}

fn take_write_lock(writer: &mut Connection) -> Result<bool, CaptureError> {
    let began = Instant::now();
    loop {
        match writer.begin_immediate() {
            Ok(()) => return Ok(true),
            Err(error) if !error.is_busy() => return Err(error.into()),
            Err(_) if began.elapsed() > FORCE_WAIT_MAX => return Ok(false),
            Err(_) => std::thread::sleep(Duration::from_micros(50)),
        }
    }
}
