//! What a running follower tells about itself, for the status command and for tests.
//!
//! Written by the follower, read by anybody at any time; readers get a copy and never hold it up.

use std::time::Duration;

use parking_lot::Mutex;
use segment::{Epoch, Millis, Name, Seq, Txid};
use serde::Serialize;

use super::primary::{self, quiet_for};
use super::track::Condition;

/// An authenticated answer older than this says nothing about now.
const ANSWER_FRESH_MS: u64 = 60_000;

/// The shared state of one follower.
#[derive(Debug, Default)]
pub struct FollowState(Mutex<Facts>);

/// A copy of the state at one instant.
#[derive(Clone, Debug, Default, Serialize)]
pub struct FollowSnapshot {
    /// The fleet's epoch as of the last object read.
    pub epoch: Option<Epoch>,
    /// The node that owns the log.
    pub owner: Option<Name>,
    /// The last object read and verified.
    pub read: Option<Seq>,
    /// The last object up to which every followed database has everything.
    pub applied: Option<Seq>,
    /// Whether the store answers.
    pub store: StoreHealth,
    /// Whether the primary is heard.
    pub primary: PrimaryHealth,
    /// What the follower as a whole waits for, or has just repaired; `None` when all is well.
    pub notice: Option<String>,
    /// What is damaged in the log besides followed databases, as long as it concerns anybody.
    pub damage: Option<String>,
    /// All followed databases, by name.
    pub databases: Vec<DatabaseStatus>,
    /// Files of databases that are not followed any more, by name: they stay as they were.
    pub left_behind: Vec<LeftBehind>,
}

/// The file of a database that is not followed any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LeftBehind {
    /// Its name; the file is `NAME.db`.
    pub name: Name,
    /// Why it is not followed.
    pub reason: String,
}

/// Whether the store answers.
#[derive(Clone, Debug, Default, Serialize)]
pub struct StoreHealth {
    /// Whether the last request was answered; `None` before the first.
    pub reachable: Option<bool>,
    /// When the store last answered, on its own clock.
    pub last_ok: Option<Millis>,
    /// The last error, while there is one.
    pub error: Option<String>,
}

/// Whether the primary gives signs of life: whatever it appends to the log is one.
#[derive(Clone, Debug, Default, Serialize)]
pub struct PrimaryHealth {
    /// The node that owns the log.
    pub node: Option<Name>,
    /// How long ago it sealed the newest object that is known; `None` while none is.
    pub last_heard_seconds: Option<f64>,
    /// Whether that is longer ago than it may be, although the store answers.
    pub quiet: bool,
}

/// One database of the standby.
#[derive(Clone, Debug, Serialize)]
pub struct DatabaseStatus {
    /// Its name; the file is `NAME.db`.
    pub name: Name,
    /// Its tier.
    pub tier: String,
    /// How it stands.
    pub state: Condition,
    /// What it waits for, or what was repaired last.
    pub detail: Option<String>,
    /// The last object of the log whose change is in the file.
    pub applied_seq: Option<Seq>,
    /// Captured commits in the file.
    pub applied_txid: Txid,
    /// Age of its newest durable commit, applied or not, to within a flush; `None` while that is unknown.
    pub committed_age_seconds: Option<f64>,
    /// Age of the oldest durable commit that is not in the file; 0 when there is none, `None` when the store has not answered
    /// for a minute, the primary is quiet, or cannot read the database: then nobody knows what was committed there.
    pub apply_lag_seconds: Option<f64>,
    /// Pages in the file.
    pub pages: u32,
    /// Bytes in the file.
    pub bytes: u64,
    /// How often it was rebuilt since the follower started.
    pub heals: u64,
}

/// What the follower writes.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    pub(crate) snapshot: FollowSnapshot,
    /// When the newest change of each database was sealed, in the order of the snapshot; on the store's clock.
    pub(crate) sealed: Vec<Option<Millis>>,
    /// Since when each database lags, in the order of the snapshot; on the store's clock.
    pub(crate) lags_since: Vec<Option<Millis>>,
    /// When the newest known object was sealed; on the store's clock.
    pub(crate) heard: Option<Millis>,
    /// How old that may be, and the store's last answer.
    pub(crate) quiet_after: Option<Duration>,
    /// Whether there are no newer ones to read.
    pub(crate) at_tail: bool,
    /// Store's clock minus ours.
    pub(crate) offset_ms: i64,
}

impl FollowState {
    /// A copy of the state, with ages as of `now` (our own clock).
    #[must_use]
    pub fn snapshot(&self, now: Millis) -> FollowSnapshot {
        let facts = self.0.lock();
        let mut snapshot = facts.snapshot.clone();
        let store_now = now.offset(facts.offset_ms);
        let is_fresh =
            snapshot.store.last_ok.is_some_and(|last| store_now.since(last) < ANSWER_FRESH_MS);
        for (database, since) in snapshot.databases.iter_mut().zip(&facts.lags_since) {
            let lag = since.map_or(0, |since| store_now.since(since));
            let is_known = is_fresh && database.state != Condition::Unread;
            database.apply_lag_seconds = is_known.then(|| seconds(lag));
        }
        for (database, sealed) in snapshot.databases.iter_mut().zip(&facts.sealed) {
            database.committed_age_seconds = sealed.map(|sealed| seconds(store_now.since(sealed)));
        }
        snapshot.primary.last_heard_seconds =
            facts.heard.map(|heard| seconds(store_now.since(heard)));
        let unanswered = snapshot.store.last_ok.map(|last| store_now.since(last));
        let unanswered = unanswered.map(Duration::from_millis);
        let unanswered = unanswered.filter(|silence| Some(*silence) > facts.quiet_after);
        if let (Some(silence), Some(_)) = (unanswered, facts.quiet_after) {
            snapshot.tell_unanswered(silence);
            return snapshot;
        }
        let quiet_after = facts.quiet_after.filter(|_| is_fresh && facts.at_tail);
        if let Some(silence) =
            quiet_after.and_then(|after| quiet_for(facts.heard, after, store_now))
        {
            snapshot.tell_quiet(silence);
        }
        snapshot
    }

    /// Replaces what is told.
    pub(crate) fn publish(&self, facts: Facts) {
        *self.0.lock() = facts;
    }
}

impl FollowSnapshot {
    fn tell_quiet(&mut self, silence: Duration) {
        self.primary.quiet = true;
        self.tell_unknown(primary::told(silence));
    }

    fn tell_unanswered(&mut self, silence: Duration) {
        self.tell_unknown(format!(
            "the store has not answered for {}: nothing newer is known here",
            console::output::age(silence)
        ));
    }

    /// Nobody knows what was committed since: no database counts as live.
    fn tell_unknown(&mut self, why: String) {
        let told = [Some(why), self.notice.take()];
        self.notice = Some(told.into_iter().flatten().collect::<Vec<_>>().join("; "));
        for database in &mut self.databases {
            database.apply_lag_seconds = None;
            if database.state == Condition::Live {
                database.state = Condition::Quiet;
            }
        }
    }
}

fn seconds(millis: u64) -> f64 {
    millis as f64 / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWERED: Millis = Millis::new(1_795_599_000_000);
    const OFFSET_MS: i64 = 7_000;

    fn database(text: &str) -> DatabaseStatus {
        DatabaseStatus {
            name: Name::parse(text).unwrap(),
            tier: "p0".to_owned(),
            state: Condition::Live,
            detail: None,
            applied_seq: None,
            applied_txid: Txid::NONE,
            committed_age_seconds: None,
            apply_lag_seconds: None,
            pages: 0,
            bytes: 0,
            heals: 0,
        }
    }

    /// One database has everything, the other lacks a commit of one second before `ANSWERED`.
    fn lags(last_ok: Option<Millis>, after_ms: i64) -> [Option<f64>; 2] {
        let databases = vec![database("ledger"), database("notes")];
        let store = StoreHealth { last_ok, ..StoreHealth::default() };
        let state = FollowState::default();
        state.publish(Facts {
            snapshot: FollowSnapshot { store, databases, ..FollowSnapshot::default() },
            lags_since: vec![None, Some(ANSWERED.offset(-1_000))],
            quiet_after: Some(Duration::from_secs(3_600)),
            offset_ms: OFFSET_MS,
            ..Facts::default()
        });
        let snapshot = state.snapshot(ANSWERED.offset(after_ms - OFFSET_MS));
        assert!(snapshot.databases.iter().all(|database| database.state == Condition::Live));
        [0, 1].map(|number: usize| snapshot.databases[number].apply_lag_seconds)
    }

    /// A commit that was made since would be told by nobody.
    #[test]
    fn a_lag_is_told_for_a_minute_after_the_stores_last_answer() {
        assert_eq!(lags(Some(ANSWERED), 0), [Some(0.0), Some(1.0)]);
        assert_eq!(lags(Some(ANSWERED), 59_999), [Some(0.0), Some(60.999)]);
        assert_eq!(lags(Some(ANSWERED), 60_000), [None, None]);
        assert_eq!(lags(None, 0), [None, None]);
    }
}
