//! The last cut: what is committed when the program is told to end is in the log before it says that all is well.
//!
//! Every database is captured once more, however long that takes within the time there is, and what was captured must
//! then be durable. What is committed later may be in it or not: the applications go on writing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use segment::{DbId, Incarnation, Txid};

use crate::database::{Condition, Database};
use crate::fleet::Fleet;
use crate::member::Member;

/// How long a database is waited for at a time that somebody works on.
const WAIT: Duration = Duration::from_millis(100);

/// See the module's text.
pub struct Closing {
    fleet: Arc<Fleet>,
    /// Where each database stood when it was captured; `None` where there was nothing to capture.
    captured: BTreeMap<DbId, Option<(Incarnation, Txid)>>,
}

impl Closing {
    /// Nothing is captured yet.
    #[must_use]
    pub fn new(fleet: &Arc<Fleet>) -> Self {
        Self { fleet: Arc::clone(fleet), captured: BTreeMap::new() }
    }

    /// Captures the databases that are not captured yet.
    pub fn capture(&mut self) {
        for member in self.fleet.members() {
            let Some(mut database) = member.try_database(WAIT) else { continue };
            let is_known = self.captured.get(&member.id).is_some_and(|at| is_of(*at, &database));
            if !is_known && database.capture(&|| self.fleet.now()) {
                self.captured.insert(member.id, database.incarnation().zip(database.captured()));
            }
            member.publish(&database);
        }
    }

    /// The databases of which something may be left that was committed before.
    #[must_use]
    pub fn left(&self) -> Vec<Arc<Member>> {
        self.fleet.members().into_iter().filter(|member| !self.is_shipped(member)).collect()
    }

    fn is_shipped(&self, member: &Member) -> bool {
        let Some(at) = self.captured.get(&member.id) else { return false };
        let Some(database) = member.try_database(WAIT) else { return false };
        match at {
            Some(at) => database.has_shipped(*at),
            None => is_of(None, &database) && !database.has_backlog(),
        }
    }
}

/// True while the database still lives the life in which it was captured.
fn is_of(at: Option<(Incarnation, Txid)>, database: &Database) -> bool {
    match (at, database.incarnation()) {
        // A database that was captured and detached has sealed what it held.
        (Some(_), None) => true,
        (at, now) => at.map(|(life, _)| life) == now,
    }
}

/// True if all of these are held by applications, so that waiting for them has no end.
#[must_use]
pub fn are_locked(members: &[Arc<Member>]) -> bool {
    members.iter().all(|member| member.report().condition == Condition::Locked)
}
