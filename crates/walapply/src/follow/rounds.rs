//! When the coordinator goes round all databases: a round costs something for each of them, also where nothing is to do.
//!
//! What happens (the log moves, a job ends) is a reason to go round at once. What becomes due by the clock alone (a look
//! at a file, a checkpoint, another try) is found by going round now and then.
//!
//! Invariant F2: whoever changes what a database waits for calls [`Rounds::news`]; else the change would be noticed
//! late, which costs a second and no more.

use std::time::{Duration, Instant};

/// While a database is on its way somewhere, what is due by the clock is found after this long.
const TICK: Duration = Duration::from_millis(200);
/// While all have everything, it is gathered for this long.
const REST: Duration = Duration::from_secs(1);

/// When to go round next.
#[derive(Debug)]
pub(super) struct Rounds {
    has_news: bool,
    next: Instant,
}

impl Rounds {
    /// The first round is due.
    pub(super) fn new(now: Instant) -> Self {
        Self { has_news: true, next: now }
    }

    /// Something happened.
    pub(super) fn news(&mut self) {
        self.has_news = true;
    }

    /// Whether a round is due.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.has_news || now >= self.next
    }

    /// How long the next round may be waited for, unless something happens.
    pub(super) fn patience(&self, now: Instant) -> Duration {
        if self.has_news { Duration::ZERO } else { self.next.saturating_duration_since(now) }
    }

    /// A round was made. Whether there was a reason to tell anybody how the databases stand now.
    pub(super) fn made(&mut self, now: Instant, is_at_rest: bool) -> bool {
        self.next = now + if is_at_rest { REST } else { TICK };
        std::mem::take(&mut self.has_news)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn news_are_a_reason_to_go_round_at_once_and_time_is_one_now_and_then() {
        let start = Instant::now();
        let mut rounds = Rounds::new(start);
        assert!(rounds.is_due(start));
        assert!(rounds.made(start, false), "the first one is told");
        assert!(!rounds.is_due(start));
        assert_eq!(rounds.patience(start), TICK);
        assert!(rounds.is_due(start + TICK));
        assert!(!rounds.made(start + TICK, true), "nothing has happened");
        assert!(!rounds.is_due(start + TICK + TICK));
        assert!(rounds.is_due(start + TICK + REST));
        rounds.news();
        assert!(rounds.is_due(start));
        assert_eq!(rounds.patience(start), Duration::ZERO);
        assert!(rounds.made(start, true));
        assert!(!rounds.is_due(start));
    }
}
