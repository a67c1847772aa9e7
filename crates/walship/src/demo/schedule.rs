//! When each database of a writer is due: pure arithmetic over the time since the start.
//!
//! A database that is due again before the writer came round is written once for every missed time, so that the
//! load is what was asked for as long as the machine can bear it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

/// Who is due when.
#[derive(Debug, Default)]
pub struct Schedule {
    periods: Vec<Duration>,
    due: BinaryHeap<Reverse<(Duration, usize)>>,
}

impl Schedule {
    /// A schedule of these periods. The first times are spread over the first period of each.
    #[must_use]
    pub fn new(periods: Vec<Duration>) -> Self {
        let spread =
            |(index, period): (usize, &Duration)| Reverse((period.mul_f64(phase(index)), index));
        Self { due: periods.iter().enumerate().map(spread).collect(), periods }
    }

    /// The next one that is due at `now`; its next time is one period later.
    pub fn take(&mut self, now: Duration) -> Option<usize> {
        let Reverse((at, index)) = *self.due.peek()?;
        if at > now {
            return None;
        }
        self.due.pop();
        self.due.push(Reverse((at + self.periods[index], index)));
        Some(index)
    }

    /// How long nobody is due after `now`.
    #[must_use]
    pub fn idle(&self, now: Duration) -> Duration {
        let next = self.due.peek().map(|Reverse((at, _))| *at);
        next.map_or(Duration::MAX, |at| at.saturating_sub(now))
    }
}

/// A share of 1 for each index, far from those of its neighbours: multiples of the golden ratio without the whole part.
fn phase(index: usize) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "indexes are small")]
    let turns = index as f64 * 0.618_033_988_749_895;
    turns.fract()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_gets_its_rate_whatever_the_order() {
        let periods = [50, 200, 1_000].map(Duration::from_millis).to_vec();
        let mut schedule = Schedule::new(periods);
        let mut counts = [0; 3];
        for step in 0..1_000 {
            let now = Duration::from_millis(step * 10);
            while let Some(index) = schedule.take(now) {
                counts[index] += 1;
            }
        }
        assert_eq!(counts, [200, 50, 10]);
    }

    #[test]
    fn a_pause_is_made_up_for_and_idling_is_told() {
        let mut schedule = Schedule::new(vec![Duration::from_millis(100)]);
        let late = Duration::from_millis(950);
        let taken = std::iter::from_fn(|| schedule.take(late)).count();
        assert_eq!(taken, 10);
        assert_eq!(schedule.idle(late), Duration::from_millis(50));
        assert_eq!(Schedule::default().idle(late), Duration::MAX);
    }
}
