//! The instants at which the log is flushed: a fixed phase and a period.
//!
//! The header of every log object announces the next instant, and standbys ask just after it. The grid therefore holds
//! while nothing is written, and a late flush does not move it.

use std::time::Duration;

use segment::Millis;

/// Flush instants at `phase + n * period`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    phase_ms: u64,
    period_ms: u32,
}

impl Grid {
    /// A grid through `anchor`. The period counts in whole milliseconds, at least one, at most 49 days.
    #[must_use]
    pub fn new(anchor: Millis, period: Duration) -> Self {
        let period_ms = u32::try_from(period.as_millis()).unwrap_or(u32::MAX).max(1);
        Self { phase_ms: anchor.get() % u64::from(period_ms), period_ms }
    }

    /// The time between two instants.
    #[must_use]
    pub fn period_ms(self) -> u32 {
        self.period_ms
    }

    /// The latest instant that is not after `time`; 1970 where there is none.
    #[must_use]
    pub fn at_or_before(self, time: Millis) -> Millis {
        Millis::new(time.get().saturating_sub(self.past_instant(time)))
    }

    /// How long after `time` the next instant follows: 1 to the period.
    #[must_use]
    pub fn next_in_ms(self, time: Millis) -> u32 {
        let past = u32::try_from(self.past_instant(time))
            .expect("BUG: a remainder is below the 32-bit period");
        self.period_ms - past
    }

    /// The first instant after `time`.
    #[must_use]
    pub fn next_after(self, time: Millis) -> Millis {
        time.offset(i64::from(self.next_in_ms(time)))
    }

    /// The time since the last instant.
    fn past_instant(self, time: Millis) -> u64 {
        let period = u64::from(self.period_ms);
        (time.get() % period + period - self.phase_ms) % period
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn instants_are_where_the_anchor_says() {
        let grid = Grid::new(Millis::new(10_250), Duration::from_secs(1));
        assert_eq!(grid.at_or_before(Millis::new(12_249)), Millis::new(11_250));
        assert_eq!(grid.at_or_before(Millis::new(12_250)), Millis::new(12_250));
        assert_eq!(grid.next_after(Millis::new(12_250)), Millis::new(13_250));
        assert_eq!(grid.next_in_ms(Millis::new(12_251)), 999);
        assert_eq!(grid.at_or_before(Millis::new(9)), Millis::new(0));
        assert_eq!(Grid::new(Millis::new(5), Duration::ZERO).period_ms(), 1);
    }

    proptest! {
        #[test]
        fn every_time_lies_between_two_instants(anchor in 0..1_u64 << 45, time in 1_u64 << 33..1 << 45, period in 1..u32::MAX) {
            let grid = Grid::new(Millis::new(anchor), Duration::from_millis(period.into()));
            let time = Millis::new(time);
            let (before, after) = (grid.at_or_before(time), grid.next_after(time));
            prop_assert!(before <= time && time < after);
            prop_assert_eq!(after.get() - before.get(), u64::from(period));
            prop_assert_eq!(before.get() % u64::from(period), anchor % u64::from(period));
        }
    }
}
