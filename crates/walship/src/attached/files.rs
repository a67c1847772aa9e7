//! Are the files at the path still those that are open?
//!
//! Asked before every capture, and now and then while nothing happens. Only `stat` is used: opening the database
//! or its `-shm` beside SQLite and closing it again would drop SQLite's locks.

use std::time::{Duration, Instant};

use segment::Incarnation;

use super::{Attached, Watch};
use crate::error::CaptureError;
use crate::handover::Stand;
use crate::identity::{Identity, Stamp};

/// How often the files at the path are compared with those that are open.
const IDENTITY_INTERVAL: Duration = Duration::from_secs(5);
/// A second connection that was not needed for this long is closed.
const SPARE_KEPT: Duration = Duration::from_secs(10);

impl Attached {
    /// True if [`Self::check_periodically`] has something to do.
    #[must_use]
    pub fn is_check_due(&self, now: Instant) -> bool {
        now.duration_since(self.identity_checked) >= IDENTITY_INTERVAL
    }

    /// The pace of the periodic check that the files at the path are those that are open.
    ///
    /// # Errors
    /// [`CaptureError::Replaced`], or continuity when a parked database was written behind SQLite's back.
    pub fn check_periodically(&mut self, now: Instant) -> Result<(), CaptureError> {
        if !self.is_check_due(now) {
            return Ok(());
        }
        self.identity_checked = now;
        self.check_identity()?;
        self.check_parked()?;
        if now.duration_since(self.spare_used) >= SPARE_KEPT {
            self.spare = None;
        }
        Ok(())
    }

    /// While we hold read lock 0 no checkpoint can write the file: if it changed, somebody copied over it.
    /// The stamp is taken when the lock is, so that a change before the first check is seen too.
    fn check_parked(&self) -> Result<(), CaptureError> {
        let is_in_wal_mode = matches!(self.watch, Watch::Wal(_));
        if !is_in_wal_mode || !self.is_surely_parked() || !self.is_still() {
            return Ok(());
        }
        if self.parked_stamp == Stamp::of(&self.path) {
            return Ok(());
        }
        Err(CaptureError::continuity("the file was written without SQLite"))
    }

    pub(super) fn is_surely_parked(&self) -> bool {
        self.situation.stand == Stand::Parked && self.situation.confirm_at.is_none()
    }

    pub(super) fn check_identity(&self) -> Result<(), CaptureError> {
        let now = Identity::of(&self.path);
        let replaced = |what| Err(CaptureError::Replaced { what });
        if now.database != self.identity.database {
            return replaced("the database file");
        }
        if matches!(self.watch, Watch::Wal(_)) {
            if now.wal != self.identity.wal {
                return replaced("the -wal file");
            }
            if now.shm != self.identity.shm {
                return replaced("the -shm file");
            }
        }
        Ok(())
    }
}

/// Spreads the periodic checks of many databases that were attached together over the interval.
pub(super) fn staggered(now: Instant, incarnation: Incarnation) -> Instant {
    let share = u32::from(incarnation.as_bytes()[0]);
    now.checked_sub(IDENTITY_INTERVAL * share / 256).unwrap_or(now)
}
