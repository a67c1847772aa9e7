//! The thread that glances at every database and hands work to the pool. It never waits for a database.
//!
//! Waking a thread costs more than glancing at a database, so what an idle fleet costs is the number of
//! wakes: far instants are moved to common ones, and the looks at files, which take system calls, are
//! handed to the pool together, once a second. A database at rest is glanced at once more, and often for a while, when
//! the alarm tells that its log is written.
//!
//! Nobody waits for a look that hangs: a database is marked as being worked on only when its turn has come,
//! and the next round hands over the others again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use segment::DbId;

use crate::alarm::{Alarm, EndsWithThis};
use crate::fleet::Fleet;
use crate::handover::{ACTIVE_PEEK, Action, IDLE_AFTER, IDLE_PEEK, RESTING_PEEK};
use crate::member::{Glance, Member};

/// Shortest sleep between two rounds.
const ROUND_MIN: Duration = Duration::from_millis(1);
/// Longest sleep, after which new databases are noticed.
const ROUND_MAX: Duration = Duration::from_millis(500);
/// A database that was glanced at every [`RESTING_PEEK`] for this long and never moved is asleep.
const ASLEEP_AFTER: Duration = Duration::from_secs(15);
/// Distance of glances at a database that is asleep. A flush glances at all of them before it decides, and
/// what it finds counts from the glance before: this delays nothing but the hand-over, and that only without an alarm.
const ASLEEP_PEEK: Duration = Duration::from_millis(500);
/// How long a database is glanced at often that the alarm told of.
const STIRRED_FOR: Duration = IDLE_AFTER;
/// Distance of rounds that hand looks at files to the pool.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// See the module's text.
pub struct Watch {
    fleet: Arc<Fleet>,
    began: Instant,
    members: BTreeMap<DbId, Arc<Member>>,
    agenda: BTreeMap<Instant, Vec<Watched>>,
    next_look: Instant,
    alarm: Option<Arc<Alarm>>,
}

/// A database as it is watched.
struct Watched {
    member: Arc<Member>,
    /// Since when every glance lets it rest.
    rests_since: Option<Instant>,
    /// Whether the alarm was set since it was last in use.
    is_alarm_set: bool,
    /// When the alarm last told of it.
    stirred: Option<Instant>,
}

impl Watched {
    fn new(member: Arc<Member>) -> Self {
        Self { member, rests_since: None, is_alarm_set: false, stirred: None }
    }
}

impl Watch {
    /// A thread's worth of watching this fleet.
    #[must_use]
    pub fn new(fleet: Arc<Fleet>) -> Self {
        let began = Instant::now();
        let (members, agenda) = (BTreeMap::new(), BTreeMap::new());
        let alarm = Alarm::new().inspect_err(tell).ok().map(Arc::new);
        Self { fleet, began, members, agenda, next_look: began, alarm }
    }

    /// Watches until `stop`. Whoever sets it unparks the thread.
    pub fn run(mut self, stop: &AtomicBool) {
        let Some(alarm) = self.alarm.clone() else { return self.watch(stop) };
        let watching = std::thread::current();
        std::thread::scope(|scope| {
            let listening = || alarm.listen(|| watching.unpark()).inspect_err(tell);
            let started =
                std::thread::Builder::new().name("alarm".into()).spawn_scoped(scope, listening);
            if let Err(error) = started {
                tell(&error);
            }
            let _ends = EndsWithThis(&alarm);
            self.watch(stop);
        });
    }

    fn watch(&mut self, stop: &AtomicBool) {
        while !stop.load(Ordering::Relaxed) {
            self.meet_new_members();
            self.hear_the_alarm();
            self.round();
            let now = Instant::now();
            let next = self.agenda.first_key_value().map_or(now + ROUND_MAX, |(at, _)| *at);
            let sleep = next.saturating_duration_since(now).clamp(ROUND_MIN, ROUND_MAX);
            std::thread::park_timeout(sleep);
        }
    }

    fn meet_new_members(&mut self) {
        if self.fleet.len() == self.members.len() {
            return;
        }
        let now = Instant::now();
        for member in self.fleet.members() {
            if self.members.insert(member.id, Arc::clone(&member)).is_none() {
                self.appoint(now, Watched::new(member));
            }
        }
    }

    /// Those that were written are glanced at now.
    fn hear_the_alarm(&mut self) {
        let rung = self.alarm.as_ref().map(|alarm| alarm.take_rung()).unwrap_or_default();
        if rung.is_empty() {
            return;
        }
        let now = Instant::now();
        for (at, waiting) in std::mem::take(&mut self.agenda) {
            for mut watched in waiting {
                let is_rung = rung.contains(&watched.member.id);
                if is_rung {
                    (watched.stirred, watched.is_alarm_set) = (Some(now), false);
                }
                self.appoint(if is_rung { now } else { at }, watched);
            }
        }
    }

    /// When to glance again at a database that rests as far as a glance can tell. What is written before the alarm is set
    /// is seen by the next glances, which are frequent at first.
    fn at_rest(&self, watched: &mut Watched, now: Instant, next: Instant) -> Instant {
        if watched.stirred.is_some_and(|at| now.duration_since(at) < STIRRED_FOR) {
            return next.min(now + ACTIVE_PEEK);
        }
        let rests = next.saturating_duration_since(now) >= IDLE_PEEK;
        let was_set = std::mem::replace(&mut watched.is_alarm_set, rests);
        if let Some(alarm) = self.alarm.as_ref().filter(|_| rests && !was_set) {
            let (alarm, member) = (Arc::clone(alarm), Arc::clone(&watched.member));
            // A path may lead to a file system that hangs.
            self.fleet.pool().run(move || alarm.set(member.id, &member.wal));
        }
        next
    }

    fn appoint(&mut self, at: Instant, watched: Watched) {
        self.agenda.entry(at).or_default().push(watched);
    }

    /// Glances at those that are due.
    fn round(&mut self) {
        self.fleet.pool().relieve();
        let now = self.fleet.now();
        for mut watched in self.take_due(now.0) {
            let next = match watched.member.glance(now) {
                Some(Glance { action: Some(action), next }) => {
                    dispatch(&self.fleet, &watched.member, action);
                    next
                }
                Some(Glance { action: None, next }) => next,
                None => now.0 + ACTIVE_PEEK,
            };
            // Never again in this round, whatever is due already.
            let next = self.at_rest(&mut watched, now.0, next);
            let next = self.common(&mut watched, now.0, next.max(now.0 + ROUND_MIN));
            self.appoint(next, watched);
        }
        if now.0 >= self.next_look {
            self.next_look = self.on_grid(now.0 + LOOK_INTERVAL, LOOK_INTERVAL);
            look_at_files(&self.fleet, self.unlooked(now.0));
        }
    }

    fn take_due(&mut self, now: Instant) -> Vec<Watched> {
        let later = self.agenda.split_off(&(now + Duration::from_nanos(1)));
        std::mem::replace(&mut self.agenda, later).into_values().flatten().collect()
    }

    /// Moves far instants to the common one before: databases at rest share one instant, idle ones another.
    fn common(&self, watched: &mut Watched, now: Instant, next: Instant) -> Instant {
        let wait = next.saturating_duration_since(now);
        if wait < RESTING_PEEK {
            watched.rests_since = None;
            return if wait < IDLE_PEEK { next } else { self.on_grid(next, IDLE_PEEK) };
        }
        let since = *watched.rests_since.get_or_insert(now);
        if now.duration_since(since) < ASLEEP_AFTER {
            self.on_grid(next, RESTING_PEEK)
        } else {
            self.on_grid(next.max(now + ASLEEP_PEEK), ASLEEP_PEEK)
        }
    }

    fn on_grid(&self, at: Instant, grid: Duration) -> Instant {
        let past = at.duration_since(self.began).as_nanos() % grid.as_nanos();
        at - Duration::from_nanos(u64::try_from(past).expect("BUG: shorter than the grid"))
    }

    /// Those whose files are to be looked at.
    fn unlooked(&self, now: Instant) -> Vec<Arc<Member>> {
        let is_due = |member: &&Arc<Member>| {
            !member.is_queued()
                && member.at_once().is_some_and(|database| database.is_routine_due(now))
        };
        self.members.values().filter(is_due).cloned().collect()
    }
}

fn tell(error: &std::io::Error) {
    tracing::warn!(%error, "the system does not tell of writes: a checkpoint of an application that was at rest may wait for half a second");
}

fn dispatch(fleet: &Arc<Fleet>, member: &Arc<Member>, action: Action) {
    let Some(queued) = member.queue() else { return };
    let fleet_of_job = Arc::clone(fleet);
    fleet.pool().run(move || queued.with(|database| database.work(action, &|| fleet_of_job.now())));
}

/// Looks at the files of these databases, all in one job: waking a thread costs more than the look.
fn look_at_files(fleet: &Arc<Fleet>, members: Vec<Arc<Member>>) {
    if members.is_empty() {
        return;
    }
    let fleet_of_job = Arc::clone(fleet);
    fleet.pool().run(move || {
        // Where somebody is working already, the files are looked at on the way.
        for queued in members.iter().filter_map(Member::queue) {
            queued.with(|database| database.work(Action::Wait, &|| fleet_of_job.now()));
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::tests::spec;
    use crate::database::{Condition, Database};
    use segment::Incarnation;
    use store::clock::SystemClock;

    fn absent(path: &std::path::Path) -> Database {
        let incarnation = || Incarnation::from_bytes([2; 16]);
        Database::new(spec(path), None, None, incarnation, Instant::now())
    }

    #[test]
    fn databases_at_rest_share_an_instant() {
        let fleet = Arc::new(Fleet::new(Arc::new(SystemClock)));
        fleet.add(absent("a.db".as_ref()));
        let watch = Watch::new(Arc::clone(&fleet));
        let mut watched = Watched::new(fleet.members().remove(0));
        let at = |millis: u64| watch.began + Duration::from_millis(millis);
        let mut next =
            |now: u64, peek: Duration| watch.common(&mut watched, at(now), at(now) + peek);
        assert_eq!(next(1_001, RESTING_PEEK), at(1_200));
        assert_eq!(next(1_199, RESTING_PEEK), at(1_200));
        assert_eq!(next(1_200, RESTING_PEEK), at(1_400));
        assert_eq!(next(1_049, IDLE_PEEK), at(1_050));
        assert_eq!(next(1_049, ACTIVE_PEEK), at(1_049) + ACTIVE_PEEK);
        assert_eq!(next(1_201, RESTING_PEEK), at(1_400));
        assert_eq!(next(16_200, RESTING_PEEK), at(16_400));
        assert_eq!(next(16_202, RESTING_PEEK), at(16_500), "asleep");
        assert_eq!(next(17_001, IDLE_PEEK), at(17_050));
        assert_eq!(next(17_050, RESTING_PEEK), at(17_200), "it has moved since");
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
