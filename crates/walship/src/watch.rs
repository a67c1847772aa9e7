//! The thread that glances at every database and hands work to the pool. It never waits for a database.
//!
//! A database is glanced at when it is due, and only then touched: what an idle fleet costs is a few
//! glances a second. Those of idle databases are moved to common instants, so that the thread wakes once
//! for many.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use segment::DbId;

use crate::database::Now;
use crate::fleet::Fleet;
use crate::handover::{ACTIVE_PEEK, Action, IDLE_PEEK, RESTING_PEEK};
use crate::member::{Member, Queued};

/// Shortest sleep between two rounds.
const ROUND_MIN: Duration = Duration::from_millis(1);
/// Longest sleep, after which new databases are noticed.
const ROUND_MAX: Duration = Duration::from_millis(250);

/// See the module's text.
pub struct Watch {
    fleet: Arc<Fleet>,
    began: Instant,
    members: BTreeMap<DbId, Arc<Member>>,
    due: BinaryHeap<Reverse<(Instant, DbId)>>,
}

impl Watch {
    /// A thread's worth of watching this fleet.
    #[must_use]
    pub fn new(fleet: Arc<Fleet>) -> Self {
        Self { fleet, began: Instant::now(), members: BTreeMap::new(), due: BinaryHeap::new() }
    }

    /// Watches until `stop`.
    pub fn run(mut self, stop: &AtomicBool) {
        while !stop.load(Ordering::Relaxed) {
            self.meet_new_members();
            self.round();
            let now = Instant::now();
            let next = self.due.peek().map_or(now + ROUND_MAX, |Reverse((at, _))| *at);
            let sleep = next.saturating_duration_since(now).clamp(ROUND_MIN, ROUND_MAX);
            std::thread::sleep(sleep);
        }
    }

    fn meet_new_members(&mut self) {
        if self.fleet.len() == self.members.len() {
            return;
        }
        let now = Instant::now();
        for member in self.fleet.members() {
            let id = member.id;
            if self.members.insert(id, member).is_none() {
                self.due.push(Reverse((now, id)));
            }
        }
    }

    /// Glances at those that are due.
    fn round(&mut self) {
        self.fleet.pool().relieve();
        let now = self.fleet.now();
        let mut routine = Vec::new();
        while let Some(Reverse((at, id))) =
            self.due.peek().copied().filter(|next| next.0.0 <= now.0)
        {
            debug_assert!(at <= now.0, "BUG: the heap is ordered by time");
            self.due.pop();
            let Some(member) = self.members.get(&id) else { continue };
            let next = glance(&self.fleet, member, now, &mut routine);
            // Never again in this round, whatever is due already.
            let next = next.unwrap_or(now.0 + ACTIVE_PEEK).max(now.0 + ROUND_MIN);
            self.due.push(Reverse((self.common(now.0, next), id)));
        }
        look_at_files(&self.fleet, routine);
    }

    /// Moves far instants to the common one before: resting databases share one instant, idle ones another.
    fn common(&self, now: Instant, next: Instant) -> Instant {
        let wait = next.saturating_duration_since(now);
        if wait < IDLE_PEEK {
            return next;
        }
        let grid = if wait < RESTING_PEEK { IDLE_PEEK } else { RESTING_PEEK };
        let past = next.duration_since(self.began).as_nanos() % grid.as_nanos();
        next - Duration::from_nanos(u64::try_from(past).expect("BUG: shorter than the grid"))
    }
}

/// Glances at one database; `None` if somebody is working on it.
fn glance(
    fleet: &Arc<Fleet>,
    member: &Arc<Member>,
    now: Now,
    routine: &mut Vec<Queued>,
) -> Option<Instant> {
    if member.is_queued() {
        return None;
    }
    let (action, is_routine_due, next) = {
        let mut database = member.at_once()?;
        let (action, next) = database.glance(now);
        (action, database.is_routine_due(now.0), next)
    };
    match action {
        // The files are looked at on the way.
        Some(action) => dispatch(fleet, member, action),
        None if is_routine_due => routine.push(member.queue()),
        None => {}
    }
    Some(next)
}

fn dispatch(fleet: &Arc<Fleet>, member: &Arc<Member>, action: Action) {
    let (fleet_of_job, queued) = (Arc::clone(fleet), member.queue());
    fleet.pool().run(move || queued.with(|database| database.work(action, &|| fleet_of_job.now())));
}

/// Looks at the files of those databases whose turn it is, all in one job: waking a thread costs more
/// than the look.
fn look_at_files(fleet: &Arc<Fleet>, members: Vec<Queued>) {
    if members.is_empty() {
        return;
    }
    let fleet_of_job = Arc::clone(fleet);
    fleet.pool().run(move || {
        for member in members {
            member.with(|database| database.work(Action::Wait, &|| fleet_of_job.now()));
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::{Condition, Database, Spec};
    use segment::{Incarnation, Name};
    use store::clock::SystemClock;

    fn absent(path: &std::path::Path) -> Database {
        let spec = Spec {
            id: DbId::from_bytes([1; 8]),
            name: Name::parse("a").expect("a name"),
            path: path.to_owned(),
            tier: "p1".into(),
            class_hours: 72,
            sync_interval: Duration::from_secs(1),
            force_above: None,
        };
        let incarnation = || Incarnation::from_bytes([2; 16]);
        Database::new(spec, None, None, incarnation, Instant::now())
    }

    #[test]
    fn databases_at_rest_share_an_instant() {
        let watch = Watch::new(Arc::new(Fleet::new(Arc::new(SystemClock))));
        let at = |millis: u64| watch.began + Duration::from_millis(millis);
        let next = |now: u64, peek: Duration| watch.common(at(now), at(now) + peek);
        assert_eq!(next(1_001, RESTING_PEEK), at(1_200));
        assert_eq!(next(1_199, RESTING_PEEK), at(1_200));
        assert_eq!(next(1_200, RESTING_PEEK), at(1_400));
        assert_eq!(next(1_049, IDLE_PEEK), at(1_050));
        assert_eq!(next(1_049, ACTIVE_PEEK), at(1_049) + ACTIVE_PEEK);
    }

    /// A database that is due and stays due (it is not there) once kept a round from ending.
    #[test]
    fn a_round_ends_although_a_database_stays_due() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let fleet = Arc::new(Fleet::new(Arc::new(SystemClock)));
        fleet.add(absent(&folder.path().join("a.db")));
        let mut watch = Watch::new(Arc::clone(&fleet));
        let end = Instant::now() + Duration::from_secs(20);
        let mut rounds = 0;
        while rounds < 300 || fleet.members()[0].report().condition != Condition::Missing {
            assert!(Instant::now() < end, "{rounds} rounds; the database was not looked at");
            watch.meet_new_members();
            watch.round();
            rounds += 1;
            std::thread::sleep(ROUND_MIN);
        }
    }
}
