//! Keeping the log of an attached database short: our own checkpoints, which move committed frames only.
//!
//! PASSIVE is the only mode that waits for nobody while holding a lock. Everything here runs off the
//! scheduling thread: a checkpoint may take as long as the disk needs.

use std::time::{Duration, Instant};

use segment::Millis;

use crate::attached::Attached;
use crate::error::CaptureError;
use crate::sqlite::Connection;

/// How long the last resort may hold the write lock.
const FORCE_HOLD_MAX: Duration = Duration::from_millis(60);
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

    /// True if the checkpoint moved the whole log.
    fn passive(&mut self, now: Instant) -> Result<bool, CaptureError> {
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
            Ok((log, moved)) => Ok(log >= 0 && log == moved),
            Err(error) if error.is_busy() => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// The last resort against a log that grows without end: with the write lock held and nothing
    /// written, reach the point where everything is moved, so that the next writer restarts the log.
    /// Returns how long writers were kept out.
    ///
    /// # Errors
    /// As [`Attached::hand_over`].
    pub fn force(
        &mut self,
        clock: impl Fn() -> (Instant, Millis),
    ) -> Result<Option<Duration>, CaptureError> {
        self.situation.last_forced = Some(clock().0);
        self.passive(clock().0)?;
        self.hand_over(clock())?;
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
