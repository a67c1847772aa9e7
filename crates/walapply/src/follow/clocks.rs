//! The two clocks of the follower.
//!
//! Invariant F4: nothing waits by the time of day. That jumps, in both directions: a host boots with a wrong clock and is
//! set right, a machine is resumed. It is for what is shown, and for what is compared with stamps of the log. Pauses,
//! tries and polls are measured by a clock that only goes forward.

use std::sync::Arc;
use std::time::Instant;

use segment::Millis;
use store::clock::{Clock, SystemClock};

/// A clock that only goes forward, and at its own pace.
pub(super) trait SteadyClock: Send + Sync {
    /// This moment.
    fn now(&self) -> Instant;
}

/// The host's.
pub(super) struct SystemSteadyClock;

impl SteadyClock for SystemSteadyClock {
    fn now(&self) -> Instant {
        Instant::now()
    }
}

/// Both of them.
#[derive(Clone)]
pub(super) struct Clocks {
    /// The time of day.
    pub(super) wall: Arc<dyn Clock>,
    /// What is waited by.
    pub(super) steady: Arc<dyn SteadyClock>,
}

impl Clocks {
    /// The host's.
    pub(super) fn of_host() -> Self {
        Self { wall: Arc::new(SystemClock), steady: Arc::new(SystemSteadyClock) }
    }
}

/// A moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Now {
    /// On the store's clock: what is shown.
    pub(crate) store: Millis,
    /// What is waited by.
    pub(crate) steady: Instant,
}

#[cfg(test)]
pub(super) mod testing {
    use std::time::Duration;

    use parking_lot::Mutex;
    use store::clock::ManualClock;

    use super::*;

    /// Clocks that stand until they are moved.
    pub(crate) struct ManualClocks {
        /// The time of day, which may be set to anything.
        pub(crate) wall: Arc<ManualClock>,
        steady: Arc<ManualSteadyClock>,
    }

    struct ManualSteadyClock(Mutex<Instant>);

    impl SteadyClock for ManualSteadyClock {
        fn now(&self) -> Instant {
            *self.0.lock()
        }
    }

    impl ManualClocks {
        /// Clocks that show `wall`.
        pub(crate) fn at(wall: Millis) -> Self {
            let steady = Arc::new(ManualSteadyClock(Mutex::new(Instant::now())));
            Self { wall: Arc::new(ManualClock::new(wall)), steady }
        }

        /// Time passes.
        pub(crate) fn advance(&self, by: Duration) {
            self.wall.advance(by);
            *self.steady.0.lock() += by;
        }

        /// For those who ask.
        pub(crate) fn clocks(&self) -> Clocks {
            Clocks { wall: Arc::clone(&self.wall) as _, steady: Arc::clone(&self.steady) as _ }
        }
    }
}
