//! Which databases have not been readable for so long that the log is to say so: a standby cannot know it otherwise, and
//! would call its copy the newest.
//!
//! A lock of a moment is not told. That a database can be read again is told with its condition, at once.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use segment::DbId;

use crate::fleet::Fleet;

/// How often it is looked.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);
/// Longer than any commit holds a lock.
const TOLD_AFTER: Duration = Duration::from_secs(10);

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct Unread {
    looked: Option<Instant>,
    since: BTreeMap<DbId, Since>,
}

#[derive(Debug)]
struct Since {
    at: Instant,
    is_told: bool,
}

impl Unread {
    /// Looks at all databases, if it is time to. True if one is to be told of from now on.
    pub(super) fn look(&mut self, fleet: &Fleet, now: Instant) -> bool {
        if self.looked.is_some_and(|at| now.duration_since(at) < LOOK_INTERVAL) {
            return false;
        }
        self.looked = Some(now);
        let members = fleet.members();
        let unread = members.iter().filter(|member| member.is_unread());
        let mut former = std::mem::take(&mut self.since);
        let mut is_news = false;
        for member in unread {
            let mut since = former.remove(&member.id).unwrap_or(Since { at: now, is_told: false });
            if !since.is_told && now.duration_since(since.at) >= TOLD_AFTER {
                (since.is_told, is_news) = (true, true);
            }
            self.since.insert(member.id, since);
        }
        is_news
    }

    /// Whether the log is to say of the database that it cannot be read.
    pub(super) fn is_told(&self, db: DbId) -> bool {
        self.since.get(&db).is_some_and(|since| since.is_told)
    }
}
