//! What is the matter with a database, and how often that is said.

use std::time::{Duration, Instant};

use super::Spec;

/// How often the same complaint is logged.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(60);

/// What is the matter with a database right now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// Not looked at yet.
    Starting,
    /// No file.
    Missing,
    /// A file of 0 bytes.
    Empty,
    /// Held exclusively by an application.
    Locked,
    /// Cannot be replicated, and why.
    Refused(String),
    /// An error that may pass.
    Failing(String),
    /// Captured.
    Live,
}

impl Condition {
    /// True if there is no database yet.
    pub(super) fn is_absence(&self) -> bool {
        matches!(self, Self::Missing | Self::Empty)
    }

    /// Why, where a word does not say it.
    #[must_use]
    pub fn detail(&self) -> Option<&str> {
        match self {
            Self::Refused(why) | Self::Failing(why) => Some(why),
            Self::Locked => Some("an application holds it exclusively (locking_mode=EXCLUSIVE?)"),
            _ => None,
        }
    }

    /// One word for tables.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Missing => "missing",
            Self::Empty => "empty",
            Self::Locked => "locked",
            Self::Refused(_) => "refused",
            Self::Failing(_) => "failing",
            Self::Live => "live",
        }
    }
}

/// What was last logged of a database.
#[derive(Debug, Default)]
pub(super) struct Complaints(Option<(Instant, Condition)>);

impl Complaints {
    /// Logs a condition when it begins and then once a minute.
    pub(super) fn tell(&mut self, spec: &Spec, condition: &Condition, now: Instant) {
        let is_news = self.0.as_ref().is_none_or(|(at, before)| {
            before != condition || now.duration_since(*at) >= COMPLAINT_INTERVAL
        });
        if !is_news {
            return;
        }
        self.0 = Some((now, condition.clone()));
        let (db, path) = (&spec.name, spec.path.display());
        match condition {
            Condition::Locked => {
                tracing::warn!(%db, %path, "locked by an application (locking_mode=EXCLUSIVE?): not replicated until it lets go")
            }
            Condition::Refused(why) => tracing::warn!(%db, %path, why, "cannot be replicated"),
            Condition::Failing(why) => tracing::warn!(%db, %path, why, "not captured right now"),
            Condition::Missing | Condition::Empty => {
                tracing::info!(%db, %path, state = condition.word(), "waiting for the database")
            }
            Condition::Starting | Condition::Live => {}
        }
    }
}
