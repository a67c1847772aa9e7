//! Keeping the log of an attached database short: our own checkpoints, which move committed frames only.
//!
//! PASSIVE is the only mode that waits for nobody while holding a lock. Everything here runs off the
//! scheduling thread: a checkpoint may take as long as the disk needs.

use std::time::{Duration, Instant};

use segment::Millis;

use super::Attached;
use crate::error::CaptureError;
use crate::handover;
use crate::sqlite::{Connection, Peek, SharedIndex};
use crate::wal_index::WalIndexHeader;
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
/// How long a read mark is given up for: SQLite's busy handler looks again every 100 ms.
const GIVE_WAY_MAX: Duration = Duration::from_millis(130);
/// Distance of two such times.
const GIVE_WAY_INTERVAL: Duration = Duration::from_secs(1);
/// Pause between two looks while it is given up.
const GIVE_WAY_LOOK: Duration = Duration::from_micros(500);

/// What a PASSIVE checkpoint achieved.
enum Moved {
    All,
    Some,
    /// Somebody else is checkpointing.
    Busy,
}

impl Attached {
    /// Runs one PASSIVE checkpoint and hands over if it moved everything. If somebody else is checkpointing
    /// although the application rests, we may be what they wait for.
    ///
    /// # Errors
    /// As [`Attached::hand_over`].
    pub fn checkpoint(&mut self, now: (Instant, Millis)) -> Result<(), CaptureError> {
        match self.passive(now.0)? {
            Moved::All => {
                self.situation.checkpoint_wanted = false;
                self.hand_over(now)
            }
            Moved::Busy if self.is_way_due(now.0) => self.give_way(now),
            Moved::Some | Moved::Busy => Ok(()),
        }
    }

    /// Sees whether a checkpoint of the application waits for our mark, and lets it through. Once none does, none
    /// will until the mark moves again: one that begins now finds the mark at the newest commit.
    ///
    /// # Errors
    /// As [`Attached::hand_over`].
    pub fn make_way(&mut self, now: (Instant, Millis)) -> Result<(), CaptureError> {
        self.check_identity()?;
        if !self.holder.is_checkpoint_running()? {
            self.situation.may_be_waited_for = false;
            return Ok(());
        }
        if self.is_way_due(now.0) { self.give_way(now) } else { Ok(()) }
    }

    fn is_way_due(&self, now: Instant) -> bool {
        let is_rested = |last| now.duration_since(last) >= GIVE_WAY_INTERVAL;
        handover::may_wait_for_us(now, &self.situation) && self.gave_way.is_none_or(is_rested)
    }

    /// Lets a checkpoint of the application through that waits for our read mark. A FULL, RESTART or TRUNCATE
    /// checkpoint that finds a mark taken waits for that mark's lock without looking at its value again
    /// (`walCheckpoint` in SQLite's `wal.c`). If we move up to the newest commit on that very mark, it waits
    /// for us with the write lock held, so that no commit ever lets us move on: every writer stands still until
    /// the checkpoint's busy timeout ends. So the mark is given up for a moment.
    ///
    /// C1 holds meanwhile: another place is held whose mark is not before our position, which lets the checkpoint move
    /// all frames and forbids a restart of the log. Without such a place we stay: then readers hold all of them.
    fn give_way(&mut self, now: (Instant, Millis)) -> Result<(), CaptureError> {
        let (Some(shared), Some(position)) = (self.shared_index(), self.situation.position) else {
            return Ok(());
        };
        self.gave_way = Some(now.0);
        let mut stand_in = self.take_spare()?;
        stand_in.begin_read()?;
        stand_in.end_read();
        let place = stand_in.hold_place(shared, position.last_frame());
        let given = match &place {
            Ok(Some(_)) => self.step_aside(shared, position, now),
            _ => Ok(()),
        };
        let released = place?.map_or(Ok(()), |place| stand_in.release_place(place));
        self.spare = Some(stand_in);
        given.and(released.map_err(CaptureError::from))
    }

    /// The steps of giving way while another connection holds a place.
    fn step_aside(
        &mut self,
        shared: SharedIndex,
        position: WalIndexHeader,
        now: (Instant, Millis),
    ) -> Result<(), CaptureError> {
        self.holder.end_read();
        let began = Instant::now();
        let is_waited_for =
            |peek: Peek| peek.header == position && peek.backfilled < position.last_frame();
        while is_waited_for(shared.peek()) && began.elapsed() < GIVE_WAY_MAX {
            std::thread::sleep(GIVE_WAY_LOOK);
        }
        let before = shared.peek().backfilled;
        let lost = |what: &dyn std::fmt::Display| {
            CaptureError::continuity(format!("after giving way to a checkpoint: {what}"))
        };
        let snapshot = self.holder.begin_read().map_err(|error| lost(&error))?;
        match &snapshot {
            Some(snapshot) if snapshot.same_log(&position) => {
                self.capture_held(snapshot, shared, now.1).map_err(|error| lost(&error))?;
            }
            _ => return Err(lost(&"the log was restarted against the rules")),
        }
        self.settle(snapshot, before, shared.peek().backfilled, now.0);
        Ok(())
    }

    fn passive(&mut self, now: Instant) -> Result<Moved, CaptureError> {
        self.check_identity()?;
        let mut free = self.take_spare()?;
        // A connection that has read nothing yet would report success and do nothing.
        free.begin_read()?;
        free.end_read();
        let result = free.checkpoint_passive();
        self.spare = Some(free);
        self.situation.last_checkpoint = now;
        self.counters.checkpoints += 1;
        match result {
            Ok((log, moved)) if log >= 0 && log == moved => Ok(Moved::All),
            Ok(_) => Ok(Moved::Some),
            Err(error) if error.is_busy() => Ok(Moved::Busy),
            Err(error) => Err(error.into()),
        }
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
            if matches!(self.passive(clock().0)?, Moved::All) {
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
