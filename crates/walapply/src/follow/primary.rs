//! When the primary was last heard, and whether that is long enough ago to tell somebody: decisions only.
//!
//! Whatever the primary appends is a sign of life, the heartbeats of an idle one included. A log without news looks the same whether
//! nobody writes or the primary is gone; only the time since the last object tells them apart. It says nothing where the
//! store does not answer, or where there is still more to read.
//!
//! All instants are on the store's clock.

use std::time::Duration;

use segment::{Header, Millis};

/// A primary that stays quiet is told of this often.
const TELL_EVERY_MS: u64 = 3_600_000;

/// What is known of the primary.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Primary {
    heard: Option<Millis>,
    told: Option<Millis>,
}

/// What is to be told now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// Nothing has come for so long.
    Quiet(Duration),
    /// It is heard again.
    Back,
}

impl Primary {
    /// An object of the log was sealed then.
    pub(super) fn heard(&mut self, sealed: Millis) {
        self.heard = self.heard.max(Some(sealed));
    }

    /// When it was last heard.
    pub(super) fn last_heard(&self) -> Option<Millis> {
        self.heard
    }

    /// Whether there is something to be told, which counts as told then. At the end of the log only.
    pub(super) fn news(&mut self, quiet_after: Duration, store_now: Millis) -> Option<News> {
        match quiet_for(self.heard, quiet_after, store_now) {
            Some(silence) => {
                let is_due = self.told.is_none_or(|told| store_now.since(told) >= TELL_EVERY_MS);
                is_due.then(|| {
                    self.told = Some(store_now);
                    News::Quiet(silence)
                })
            }
            None => self.told.take().map(|_| News::Back),
        }
    }
}

/// How long the primary has been quiet, if that is longer than it should be.
pub(crate) fn quiet_for(
    heard: Option<Millis>,
    quiet_after: Duration,
    store_now: Millis,
) -> Option<Duration> {
    let silence = Duration::from_millis(store_now.since(heard?));
    (silence > quiet_after).then_some(silence)
}

/// A stamp is this far ahead of the store's clock only where the primary's clock is, or was.
const AHEAD_MIN: Duration = Duration::from_secs(5);

/// How far an object was sealed in the future, if that is more than clocks differ by.
pub(crate) fn ahead_of(sealed: Millis, store_now: Millis) -> Option<Duration> {
    let ahead = Duration::from_millis(sealed.since(store_now));
    (ahead > AHEAD_MIN).then_some(ahead)
}

/// What an operator is told of it.
pub(crate) fn told_ahead(ahead: Duration) -> String {
    format!(
        "the newest stamp of the log lies {} ahead of the store's clock, because the primary's clock was or is ahead",
        console::output::age(ahead)
    )
}

/// What an operator is told of a quiet primary.
pub(crate) fn told(silence: Duration) -> String {
    format!(
        "nothing was heard of the primary for {}, though the store answers: it is down, or cut off from the store (or its \
         heartbeat_interval is longer than quiet_after here)",
        console::output::age(silence)
    )
}

/// When an object was sealed.
pub(crate) fn sealed(header: &Header) -> Millis {
    header.stamp.offset(header.store_offset_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    const AFTER: Duration = Duration::from_secs(10);
    const HOUR: u64 = TELL_EVERY_MS;

    fn at(ms: u64) -> Millis {
        Millis::new(1_795_599_000_000 + ms)
    }

    #[test]
    fn a_quiet_primary_is_told_once_an_hour_and_its_return_once() {
        let mut primary = Primary::default();
        assert_eq!(primary.news(AFTER, at(HOUR)), None, "never heard");
        primary.heard(at(0));
        assert_eq!(primary.news(AFTER, at(10_000)), None);
        let silence = Duration::from_millis(10_001);
        assert_eq!(primary.news(AFTER, at(10_001)), Some(News::Quiet(silence)));
        assert_eq!(primary.news(AFTER, at(HOUR)), None);
        assert!(matches!(primary.news(AFTER, at(HOUR + 10_001)), Some(News::Quiet(_))));
        primary.heard(at(HOUR + 10_002));
        assert_eq!(primary.news(AFTER, at(HOUR + 10_003)), Some(News::Back));
        assert_eq!(primary.news(AFTER, at(HOUR + 10_004)), None);
    }

    #[test]
    fn a_stamp_of_the_future_is_told_and_ages_nothing() {
        assert_eq!((ahead_of(at(5_000), at(0)), ahead_of(at(0), at(9_000))), (None, None));
        let ahead = ahead_of(at(86_400_000), at(0)).unwrap();
        assert!(told_ahead(ahead).contains("ahead of the store's clock"), "{}", told_ahead(ahead));
    }

    #[test]
    fn what_is_read_late_does_not_make_it_heard_earlier() {
        let mut primary = Primary::default();
        primary.heard(at(5));
        primary.heard(at(3));
        assert_eq!(primary.last_heard(), Some(at(5)));
        assert_eq!(quiet_for(primary.last_heard(), AFTER, at(0)), None, "a clock that went back");
    }
}
