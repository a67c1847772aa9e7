//! When the next flush is due.
//!
//! A flush ships whatever is dirty, so one object serves all: it is due when the first dirty database has no later
//! instant of the grid left within its `sync_interval`. With an interval equal to the grid's period that is the very
//! next instant; a database with a longer interval alone waits longer and rides along with others meanwhile.

use std::time::Duration;

use segment::Millis;

use crate::Grid;

/// A database with captured changes that are not in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirtySince {
    /// When the oldest of them was committed or noticed.
    pub since: Millis,
    /// How long it may wait.
    pub sync_interval: Duration,
}

/// What to do about flushing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlushDecision {
    /// Nothing is dirty.
    Nothing,
    /// Flush now.
    Now,
    /// Flush at this instant, unless something more urgent becomes dirty before.
    At(Millis),
}

/// Decides when to flush, given everything that is dirty.
#[must_use]
pub fn flush_due(
    grid: Grid,
    dirty: impl IntoIterator<Item = DirtySince>,
    now: Millis,
) -> FlushDecision {
    match dirty.into_iter().map(|dirty| instant(grid, dirty, now)).min() {
        None => FlushDecision::Nothing,
        Some(instant) if instant <= now => FlushDecision::Now,
        Some(instant) => FlushDecision::At(instant),
    }
}

/// The last instant in time for one database. A change from the future means that the clock was set back: waiting for
/// the clock to return could take hours, so it is due at once.
fn instant(grid: Grid, dirty: DirtySince, now: Millis) -> Millis {
    if dirty.since > now {
        return now;
    }
    let interval_ms = i64::try_from(dirty.sync_interval.as_millis()).unwrap_or(i64::MAX);
    grid.at_or_before(dirty.since.offset(interval_ms))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const START: u64 = 1_700_000_000_000;

    fn at(ms: u64) -> Millis {
        Millis::new(START + ms)
    }

    fn dirty(since_ms: u64, interval_ms: u64) -> DirtySince {
        DirtySince { since: at(since_ms), sync_interval: Duration::from_millis(interval_ms) }
    }

    fn grid(period_ms: u64) -> Grid {
        Grid::new(at(0), Duration::from_millis(period_ms))
    }

    #[test]
    fn the_most_urgent_database_decides() {
        let grid = grid(1_000);
        assert_eq!(flush_due(grid, [], at(0)), FlushDecision::Nothing);
        assert_eq!(flush_due(grid, [dirty(300, 1_000)], at(300)), FlushDecision::At(at(1_000)));
        assert_eq!(flush_due(grid, [dirty(300, 30_000)], at(300)), FlushDecision::At(at(30_000)));
        let both = [dirty(300, 30_000), dirty(5_100, 1_000)];
        assert_eq!(flush_due(grid, both, at(5_100)), FlushDecision::At(at(6_000)));
        assert_eq!(flush_due(grid, both, at(6_000)), FlushDecision::Now);
        assert_eq!(flush_due(grid, both, at(9_999)), FlushDecision::Now);
    }

    #[test]
    fn a_clock_set_back_does_not_hold_changes_back() {
        assert_eq!(flush_due(grid(1_000), [dirty(7_200_000, 1_000)], at(0)), FlushDecision::Now);
    }

    proptest! {
        /// Invariants F1 and F2: whoever follows the decisions is in time, and on the grid unless called late.
        #[test]
        fn no_change_waits_longer_than_its_interval(
            period in 1..5_000_u64,
            changes in prop::collection::vec((0..20_000_u64, 1..40_u64), 1..8),
        ) {
            let changes: Vec<_> = changes.iter().map(|(since, periods)| dirty(*since, periods * period)).collect();
            let grid = grid(period);
            let now = changes.iter().map(|change| change.since).max().unwrap();
            let in_time = changes.iter().map(|change| change.since.get() + change.sync_interval.as_millis() as u64).min().unwrap();
            match flush_due(grid, changes, now) {
                FlushDecision::At(instant) => {
                    prop_assert!(now < instant && instant.get() <= in_time);
                    prop_assert_eq!(grid.at_or_before(instant), instant);
                    prop_assert!(grid.next_after(instant).get() > in_time, "an instant too early");
                }
                FlushDecision::Now => prop_assert!(grid.next_after(now).get() > in_time),
                FlushDecision::Nothing => prop_assert!(false, "something is dirty"),
            }
        }
    }
}
