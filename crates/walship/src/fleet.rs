//! All databases of the fleet, the thread that glances at them, and the cut that a flush ships.
//!
//! One thread glances at every database and hands work to the pool; it never waits for a database. A
//! database that is busy is passed over, so that it delays nobody.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard, RwLock};
use segment::{BaseRecord, DbId, Millis, Name, Txid};
use store::clock::Clock;
use tiering::DirtySince;

use crate::assemble::{Item, Receipt};
use crate::database::{Condition, Database, Now, Outgoing, Spec};
use crate::handover::Action;
use crate::handover::IDLE_PEEK;
use crate::pool::Pool;

/// Shortest sleep between two rounds of glances.
const ROUND_MIN: Duration = Duration::from_millis(1);
/// How often it is seen whose files are to be looked at.
const ROUTINE_INTERVAL: Duration = Duration::from_millis(250);
/// How long a cut waits for databases that are being worked on.
const CUT_WAIT: Duration = Duration::from_millis(100);
/// How often an exact cut is tried before a best-effort one is recorded.
const CUT_TRIES: u32 = 3;

/// A database of the fleet, shared between threads.
pub struct Member {
    /// Its id.
    pub id: DbId,
    database: Mutex<Database>,
    receipts: Mutex<Vec<Receipt>>,
    is_queued: AtomicBool,
    report: Mutex<Report>,
}

/// What status shows of a database: as of its last change of state.
#[derive(Debug, Clone)]
pub struct Report {
    /// What the configuration says.
    pub spec: Spec,
    /// What is the matter with it.
    pub condition: Condition,
    /// When the oldest commit that no segment holds was noticed.
    pub dirty_since: Option<Millis>,
    /// Pages, bytes, WAL bytes.
    pub size: Option<(u32, u64, u64)>,
    /// The last durable commit.
    pub durable: Option<Txid>,
    /// True while the first base is on its way.
    pub is_basing: bool,
    /// Times the write lock was taken to shorten the log.
    pub forced: u64,
    /// When the newest commit was noticed.
    pub last_commit: Option<Millis>,
}

impl Report {
    /// True if the database was looked at and needs no first base any more.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.condition != Condition::Starting && !self.is_basing
    }

    /// True if a flush ships everything there is.
    #[must_use]
    pub fn is_shippable(&self) -> bool {
        match self.condition {
            Condition::Missing | Condition::Empty => true,
            Condition::Live => !self.is_basing,
            _ => false,
        }
    }
}

impl Member {
    fn new(database: Database) -> Self {
        let report = report_of(&database);
        Self {
            id: database.spec().id,
            database: Mutex::new(database),
            receipts: Mutex::default(),
            is_queued: AtomicBool::new(false),
            report: Mutex::new(report),
        }
    }

    /// The database, if nobody is working on it for longer than `wait`.
    pub fn try_database(&self, wait: Duration) -> Option<MutexGuard<'_, Database>> {
        let mut database = self.database.try_lock_for(wait)?;
        self.take_receipts(&mut database);
        Some(database)
    }

    fn take_receipts(&self, database: &mut Database) {
        for receipt in self.receipts.lock().drain(..) {
            database.acknowledge(&receipt.ack, receipt.base);
        }
    }

    /// The last report.
    #[must_use]
    pub fn report(&self) -> Report {
        self.report.lock().clone()
    }

    fn dirty_by_report(&self) -> (Option<Millis>, Duration) {
        let report = self.report.lock();
        (report.dirty_since.filter(|_| !report.is_basing), report.spec.sync_interval)
    }

    /// Leaves a receipt that is taken in when the database is next used.
    pub fn deliver(&self, receipt: Receipt) {
        self.receipts.lock().push(receipt);
    }

    /// The base is in the store, or could not be made.
    pub fn finish_base(&self, record: Option<BaseRecord>) {
        self.with(|database| database.finish_base(record));
    }

    fn publish(&self, database: &Database) {
        *self.report.lock() = report_of(database);
    }

    fn with(&self, act: impl FnOnce(&mut Database)) {
        let mut database = self.database.lock();
        self.take_receipts(&mut database);
        act(&mut database);
        self.publish(&database);
    }
}

fn report_of(database: &Database) -> Report {
    Report {
        spec: database.spec().clone(),
        condition: database.condition().clone(),
        dirty_since: database.uncaptured_since(),
        size: database.size(),
        durable: database.shipped().map(|shipped| shipped.known.txid),
        is_basing: database.is_basing(),
        forced: database.counters().map_or(0, |counters| counters.forced),
        last_commit: database.last_commit(),
    }
}

/// What one flush ships.
#[derive(Debug)]
pub struct Cut {
    /// The changes.
    pub changes: Vec<(Spec, Outgoing)>,
    /// True if all databases stood there at one instant.
    pub is_exact: bool,
}

/// See the module's text.
pub struct Fleet {
    members: RwLock<BTreeMap<DbId, Arc<Member>>>,
    expected: RwLock<BTreeMap<DbId, String>>,
    pool: Pool,
    clock: Arc<dyn Clock>,
}

impl Fleet {
    /// A fleet without databases.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            members: RwLock::default(),
            expected: RwLock::default(),
            pool: Pool::default(),
            clock,
        }
    }

    /// Both clocks.
    #[must_use]
    pub fn now(&self) -> Now {
        (Instant::now(), self.clock.now())
    }

    /// Adds a database.
    pub fn add(&self, database: Database) {
        self.members.write().insert(database.spec().id, Arc::new(Member::new(database)));
    }

    /// Notes that a database belongs to the fleet, before it is known what the log holds of it.
    pub fn expect(&self, id: DbId, name: &Name) {
        self.expected.write().insert(id, name.key());
    }

    /// True if the database belongs to the fleet.
    #[must_use]
    pub fn expects(&self, id: DbId) -> bool {
        self.expected.read().contains_key(&id)
    }

    /// Databases that are expected but cannot be worked on yet.
    #[must_use]
    pub fn is_loading(&self) -> bool {
        self.expected.read().len() > self.members.read().len()
    }

    /// The keys of the names of all databases.
    #[must_use]
    pub fn names(&self) -> BTreeSet<String> {
        self.expected.read().values().cloned().collect()
    }

    /// Runs a job beside the scheduling thread.
    pub fn run(&self, job: impl FnOnce() + Send + 'static) {
        self.pool.run(job);
    }

    /// The database with this id.
    #[must_use]
    pub fn member(&self, id: DbId) -> Option<Arc<Member>> {
        self.members.read().get(&id).cloned()
    }

    /// All databases.
    #[must_use]
    pub fn members(&self) -> Vec<Arc<Member>> {
        self.members.read().values().cloned().collect()
    }

    /// Glances at all databases until `stop`: the scheduling thread.
    pub fn watch(self: &Arc<Self>, stop: &AtomicBool) {
        let mut last_routine = Instant::now();
        while !stop.load(Ordering::Relaxed) {
            let began = Instant::now();
            if began.duration_since(last_routine) >= ROUTINE_INTERVAL {
                last_routine = began;
                self.routine(began);
            }
            let next = self.round();
            std::thread::sleep(next.saturating_duration_since(Instant::now()).max(ROUND_MIN));
        }
    }

    /// One glance at each; returns when to glance again.
    fn round(self: &Arc<Self>) -> Instant {
        let now = self.now();
        let idle = now.0 + IDLE_PEEK;
        self.pool.relieve();
        let members = self.members.read();
        members.values().filter_map(|member| self.glance(member, now)).fold(idle, Instant::min)
    }

    /// Looks at the files of those databases whose turn it is, all in one job: waking a thread costs more
    /// than the look.
    fn routine(self: &Arc<Self>, now: Instant) {
        let is_due = |member: &&Arc<Member>| {
            member.database.try_lock().is_some_and(|database| database.is_routine_due(now))
        };
        let due: Vec<_> = self.members.read().values().filter(is_due).cloned().collect();
        if due.is_empty() {
            return;
        }
        let fleet = Arc::clone(self);
        self.pool.run(move || {
            for member in due {
                member.with(|database| database.work(Action::Wait, &|| fleet.now()));
            }
        });
    }

    fn glance(self: &Arc<Self>, member: &Arc<Member>, now: Now) -> Option<Instant> {
        if member.is_queued.load(Ordering::Acquire) {
            return None;
        }
        let (action, next) = member.database.try_lock()?.glance(now);
        if let Some(action) = action {
            self.dispatch(member, action);
        }
        Some(next)
    }

    fn dispatch(self: &Arc<Self>, member: &Arc<Member>, action: Action) {
        member.is_queued.store(true, Ordering::Release);
        let (fleet, member) = (Arc::clone(self), Arc::clone(member));
        self.pool.run(move || {
            member.with(|database| database.work(action, &|| fleet.now()));
            member.is_queued.store(false, Ordering::Release);
        });
    }

    /// Captures what is committed in every database and takes what is to be shipped now.
    ///
    /// The cut is exact if there was an instant at which all databases stood where they were taken: every
    /// one was captured, then every one was seen to stand still, and none was captured further before it
    /// was taken. A database that somebody is working on is not waited for.
    #[must_use]
    pub fn cut(self: &Arc<Self>) -> Cut {
        let seen = (0..CUT_TRIES).find_map(|_| {
            self.capture_moved();
            self.standing_still()
        });
        self.take(seen.as_ref())
    }

    fn capture_moved(self: &Arc<Self>) {
        let (done, finished) = crossbeam_channel::unbounded();
        let deadline = Instant::now() + CUT_WAIT;
        let is_moved = |member: &&Arc<Member>| {
            member.database.try_lock().is_some_and(|database| !database.is_still())
        };
        let moved: Vec<_> = self.members.read().values().filter(is_moved).cloned().collect();
        for member in &moved {
            let (fleet, member, done) = (Arc::clone(self), Arc::clone(member), done.clone());
            self.pool.run(move || {
                if let Some(mut database) = member.try_database(CUT_WAIT) {
                    database.capture(&|| fleet.now());
                    member.publish(&database);
                }
                // Nobody listens any more when the cut went on without this database.
                let _ = done.send(());
            });
        }
        moved.iter().take_while(|_| finished.recv_deadline(deadline).is_ok()).for_each(drop);
    }

    /// The captured commits of every database, if each of them stands still and can be looked at.
    fn standing_still(&self) -> Option<BTreeMap<DbId, Option<Txid>>> {
        let look = |member: &Arc<Member>| {
            let database = member.database.try_lock().filter(|database| database.is_still())?;
            Some((member.id, database.captured()))
        };
        self.members.read().values().map(look).collect()
    }

    fn take(&self, seen: Option<&BTreeMap<DbId, Option<Txid>>>) -> Cut {
        let now = self.clock.now();
        let mut cut = Cut { changes: Vec::new(), is_exact: seen.is_some() };
        for member in self.members() {
            let Some(mut database) = member.try_database(Duration::from_millis(1)) else {
                cut.is_exact = false;
                continue;
            };
            let is_as_seen =
                seen.and_then(|seen| seen.get(&member.id)) == Some(&database.captured());
            if let Some(outgoing) = database.take_outgoing(now) {
                cut.changes.push((database.spec().clone(), outgoing));
                member.publish(&database);
            }
            cut.is_exact &= is_as_seen && !database.has_backlog() && !database.is_basing();
        }
        cut
    }

    /// True if some database needs more than one flush for what is captured.
    #[must_use]
    pub fn has_backlog(&self) -> bool {
        self.members().iter().any(|member| {
            member.try_database(CUT_WAIT).is_none_or(|database| database.has_backlog())
        })
    }

    /// True if a later base waits to be named.
    #[must_use]
    pub fn has_base_record(&self) -> bool {
        self.members().iter().any(|member| {
            member.try_database(Duration::ZERO).is_some_and(|database| database.has_base_record())
        })
    }

    /// Takes the records of bases that can be named now.
    #[must_use]
    pub fn take_base_records(&self) -> Vec<BaseRecord> {
        self.members()
            .iter()
            .filter_map(|member| member.try_database(Duration::from_millis(1))?.take_base_record())
            .collect()
    }

    /// What is dirty, for deciding when to flush. A database that is being worked on counts by its last report.
    #[must_use]
    pub fn dirty(&self) -> Vec<DirtySince> {
        let now = self.now();
        let dirty = |member: &Arc<Member>| {
            let (since, sync_interval) = match member.database.try_lock() {
                Some(mut database) => {
                    // What was committed since the last round counts too.
                    database.glance(now);
                    (database.dirty_since(), database.spec().sync_interval)
                }
                None => member.dirty_by_report(),
            };
            since.map(|since| DirtySince { since, sync_interval })
        };
        self.members.read().values().filter_map(dirty).collect()
    }

    /// Brings receipts in and reports up to date, where nobody is working.
    pub fn settle(&self) {
        for member in self.members() {
            if let Some(database) = member.try_database(Duration::from_millis(1)) {
                member.publish(&database);
            }
        }
    }
}

/// A change with what the segment says about its database.
#[must_use]
pub fn item(spec: &Spec, outgoing: Outgoing, previous_seq: Option<segment::Seq>) -> Item {
    Item { db: spec.id, class_hours: spec.class_hours, previous_seq, outgoing }
}
