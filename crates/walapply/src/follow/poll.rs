//! When to ask the store for the next log object: decisions only, in milliseconds.
//!
//! The primary flushes on a grid that every header announces (stamp + next_flush_in, then every flush_period, also while it
//! is idle). Asking just after a grid instant finds a new object at once and costs one request a flush. How long after is
//! learned: a first try that comes too early moves the delay up by what was missing, every hit moves it down a little.
//!
//! - While the log moves no wait is longer than `poll_interval`; a quiet log is asked less and less, up to
//!   `idle_poll_interval`, still on the grid.
//! - Grid instants are on the store's clock, as far as the last answer tells: it and the primary's may jump. A wrong grid
//!   costs requests, and never a wait beyond the limit.

use std::time::{Duration, Instant};

use segment::{Header, Millis};

/// A log that has been quiet for eight times the wait may be left alone for that wait.
const QUIET_SHARE: u64 = 8;
/// Tries after the first that missed, within one period of the grid.
const RETRIES_MAX: u32 = 4;
/// Shortest wait between two requests at the tail.
const WAIT_MIN_MS: u64 = 5;

/// The limits that the configuration sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Longest wait while the log moves.
    pub(crate) poll_ms: u64,
    /// Longest wait when it is quiet.
    pub(crate) idle_ms: u64,
}

impl Limits {
    /// The limits as they are configured.
    pub(crate) fn new(poll: Duration, idle: Duration) -> Self {
        let ms = |duration: Duration| millis(duration).max(WAIT_MIN_MS);
        Self { poll_ms: ms(poll), idle_ms: ms(idle.max(poll)) }
    }
}

/// The instants at which the primary flushes, on the store's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Grid {
    instant: u64,
    period: u64,
}

impl Grid {
    fn of(header: &Header) -> Option<Self> {
        let period = u64::from(header.flush_period_ms);
        let stamp = header.stamp.offset(header.store_offset_ms).get();
        (period > 0).then(|| Self {
            instant: stamp.saturating_add(u64::from(header.next_flush_in_ms)),
            period,
        })
    }

    /// The first instant, moved by `delay`, that is later than `now`.
    fn next(self, now: u64, delay: u64) -> u64 {
        let first = self.instant.saturating_add(delay);
        if now < first {
            // The grid reaches into the past as well: headers announce the next instant only.
            return first - (first - now - 1) / self.period * self.period;
        }
        first.saturating_add(((now - first) / self.period + 1).saturating_mul(self.period))
    }
}

/// The state of polling one log.
#[derive(Clone, Debug)]
pub(crate) struct Poller {
    limits: Limits,
    grid: Option<Grid>,
    /// How long after a grid instant the object is there.
    delay: u64,
    /// The store's clock in its last answer, and when that came.
    heard: (Millis, Instant),
    moved: Instant,
    tries: u32,
    hits: u32,
}

impl Poller {
    /// A poller that begins now and treats the log as moving.
    pub(crate) fn new(limits: Limits, now: Instant) -> Self {
        let heard = (Millis::new(0), now);
        Self { limits, grid: None, delay: 20, heard, moved: now, tries: 0, hits: 0 }
    }

    /// The store answered, and told its time.
    pub(crate) fn answered(&mut self, server: Millis, now: Instant) {
        self.heard = (server, now);
    }

    /// New objects came; this is the header of the last one.
    pub(crate) fn moved(&mut self, header: &Header, now: Instant) {
        self.learn();
        self.moved = now;
        self.tries = 0;
        self.hits = self.hits.saturating_add(1);
        self.grid = Grid::of(header).or(self.grid);
    }

    /// The store's clock now.
    fn store_now(&self, now: Instant) -> u64 {
        let (server, at) = self.heard;
        server.get().saturating_add(millis(now.duration_since(at)))
    }

    /// Whether the object after the one with this header is still to come. A stamp that lies far ahead says that a clock
    /// jumped: then the store tells.
    pub(crate) fn is_awaited(&self, header: &Header, now: Instant) -> bool {
        let Some(grid) = Grid::of(header) else { return false };
        let (now, farthest) = (self.store_now(now), u64::from(header.next_flush_in_ms));
        now < grid.instant && grid.instant - now <= farthest.saturating_add(grid.period)
    }

    /// There is nothing new: how long to wait before asking again.
    pub(crate) fn wait(&mut self, now: Instant) -> Duration {
        let limit = self.limit(now);
        let wait = match self.grid {
            Some(grid) => self.wait_on(grid, self.store_now(now), limit),
            None => limit,
        };
        Duration::from_millis(wait.clamp(WAIT_MIN_MS, limit.max(WAIT_MIN_MS)))
    }

    fn limit(&self, now: Instant) -> u64 {
        (millis(now.duration_since(self.moved)) / QUIET_SHARE)
            .clamp(self.limits.poll_ms, self.limits.idle_ms)
    }

    fn wait_on(&mut self, grid: Grid, now: u64, limit: u64) -> u64 {
        let next = grid.next(now, self.delay);
        let gap = self.retry_gap(grid);
        if self.tries > 0
            && self.tries <= RETRIES_MAX
            && self.hits > 0
            && now + 2 * gap < next
            && gap < limit
        {
            self.tries += 1;
            return gap;
        }
        if self.tries > RETRIES_MAX {
            // The slot stayed empty: later slots are tried once each until an object comes.
            self.hits = 0;
        }
        self.tries = 1;
        let wait = next - now;
        // The last instant within the limit, for a grid that is finer than our interval.
        if wait < limit { wait + (limit - wait) / grid.period * grid.period } else { limit }
    }

    fn retry_gap(&self, grid: Grid) -> u64 {
        (grid.period / 16).max(WAIT_MIN_MS)
    }

    /// A hit at the first try: come a little earlier next time. A later hit: that much later.
    fn learn(&mut self) {
        let Some(grid) = self.grid else { return };
        let most = grid.period / 2;
        self.delay = match self.tries {
            0 => self.delay,
            1 => self.delay - self.delay / 16,
            tries => self.delay + u64::from(tries - 1) * self.retry_gap(grid),
        }
        .clamp(WAIT_MIN_MS.min(most), most);
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
