//! A database as the fleet's threads share it: behind a lock that nobody waits for, with a report that can
//! be read while somebody works on it, and an inbox for what became durable.

use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use segment::{BaseRecord, DbId, Millis, Seq, Txid};

use crate::assemble::Receipt;
use crate::bell::Bell;
use crate::database::{Condition, Database, Now, Outgoing, Spec};
use crate::handover::Action;
use crate::identity;

/// A database of the fleet, shared between threads.
pub struct Member {
    /// Its id.
    pub id: DbId,
    /// Its log, when it has one.
    pub wal: PathBuf,
    database: Mutex<Database>,
    receipts: Mutex<Vec<Receipt>>,
    is_queued: AtomicBool,
    news: Arc<News>,
    report: Mutex<Report>,
    base_named_by: Mutex<Option<Seq>>,
    is_base_asked_for: AtomicBool,
    owed: Mutex<Owed>,
}

/// What a flush is owed that could not wait for the database.
#[derive(Debug, Default)]
enum Owed {
    #[default]
    Nothing,
    /// Whoever works on the database leaves what is captured.
    Asked,
    Left(Box<Outgoing>),
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
    /// The log object that named the newest base since the program was started.
    pub base_named_by: Option<Seq>,
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
    /// A member that tells `news` what others have to act upon.
    #[must_use]
    pub fn new(database: Database, news: Arc<News>) -> Self {
        let report = report_of(&database);
        news.tell(&database, true);
        Self {
            id: database.spec().id,
            wal: identity::sibling(&database.spec().path, "-wal"),
            database: Mutex::new(database),
            receipts: Mutex::default(),
            is_queued: AtomicBool::new(false),
            news,
            report: Mutex::new(report),
            base_named_by: Mutex::default(),
            is_base_asked_for: AtomicBool::new(false),
            owed: Mutex::default(),
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
        if self.is_base_asked_for.swap(false, Ordering::AcqRel) {
            database.ask_for_base();
        }
    }

    /// Whether its content cannot be read, as of the last report.
    #[must_use]
    pub fn is_unread(&self) -> bool {
        let report = self.report.lock();
        matches!(
            report.condition,
            Condition::Locked | Condition::Refused(_) | Condition::Failing(_)
        )
    }

    /// The last report.
    #[must_use]
    pub fn report(&self) -> Report {
        let report = self.report.lock().clone();
        let since = [self.left_since(), report.dirty_since].into_iter().flatten().min();
        Report { base_named_by: *self.base_named_by.lock(), dirty_since: since, ..report }
    }

    /// Asks for a new base, without waiting for whoever works on the database.
    pub fn ask_for_base(&self) {
        self.is_base_asked_for.store(true, Ordering::Release);
        self.news.bases_wanted.ring();
    }

    /// Notes that a log object named a base, and is durable.
    pub fn note_base(&self, seq: Seq) {
        *self.base_named_by.lock() = Some(seq);
    }

    /// The database at this instant, if nobody is working on it.
    pub fn at_once(&self) -> Option<MutexGuard<'_, Database>> {
        self.database.try_lock()
    }

    /// True while work on it is under way.
    #[must_use]
    pub fn is_queued(&self) -> bool {
        self.is_queued.load(Ordering::Acquire)
    }

    /// Marks it as being worked on until what is returned is dropped; `None` if somebody is already.
    #[must_use]
    pub fn queue(self: &Arc<Self>) -> Option<Queued> {
        let is_free = !self.is_queued.swap(true, Ordering::AcqRel);
        is_free.then(|| Queued(Arc::clone(self)))
    }

    /// Glances at the database; `None` if somebody is working on it.
    #[must_use]
    pub fn glance(&self, now: Now) -> Option<Glance> {
        if self.is_queued() {
            return None;
        }
        let (action, next) = self.at_once()?.glance(now);
        Some(Glance { action, next })
    }

    /// When the oldest change that can be shipped was noticed, by the last report, and how long it may wait.
    #[must_use]
    pub fn dirty_by_report(&self) -> (Option<Millis>, Duration) {
        let report = self.report();
        (report.dirty_since.filter(|_| !report.is_basing), report.spec.sync_interval)
    }

    /// Takes what was left for the flush, and otherwise asks for it: a database that is worked on without a pause would
    /// be passed over for ever.
    #[must_use]
    pub fn take_or_ask(&self) -> Option<Outgoing> {
        let mut owed = self.owed.lock();
        match std::mem::replace(&mut *owed, Owed::Asked) {
            Owed::Left(outgoing) => {
                *owed = Owed::Nothing;
                Some(*outgoing)
            }
            Owed::Nothing | Owed::Asked => None,
        }
    }

    /// Takes what was left for the flush.
    #[must_use]
    pub fn take_left(&self) -> Option<Outgoing> {
        match std::mem::take(&mut *self.owed.lock()) {
            Owed::Left(outgoing) => Some(*outgoing),
            Owed::Nothing | Owed::Asked => None,
        }
    }

    /// True if something was left for the flush.
    #[must_use]
    pub fn has_left(&self) -> bool {
        matches!(*self.owed.lock(), Owed::Left(_))
    }

    fn leave_owed(&self, database: &mut Database) {
        let mut owed = self.owed.lock();
        if matches!(*owed, Owed::Asked) {
            let left = database.take_captured().map(|outgoing| Owed::Left(Box::new(outgoing)));
            *owed = left.unwrap_or_default();
        }
    }

    /// When the oldest commit was noticed of what was left for the flush.
    #[must_use]
    pub fn left_since(&self) -> Option<Millis> {
        match &*self.owed.lock() {
            Owed::Left(outgoing) => Some(outgoing.change.oldest_commit),
            Owed::Nothing | Owed::Asked => None,
        }
    }

    /// Leaves a receipt that is taken in when the database is next used.
    pub fn deliver(&self, receipt: Receipt) {
        self.receipts.lock().push(receipt);
    }

    /// The base is in the store, or could not be made.
    pub fn finish_base(&self, record: Option<BaseRecord>) {
        self.with(|database| database.finish_base(record));
    }

    /// Renews the report.
    pub fn publish(&self, database: &Database) {
        let report = report_of(database);
        let mut published = self.report.lock();
        self.news.tell(database, report.condition != published.condition);
        *published = report;
    }

    /// Works on the database, however long it takes to get it.
    pub fn with(&self, act: impl FnOnce(&mut Database)) {
        let mut database = self.database.lock();
        self.take_receipts(&mut database);
        act(&mut database);
        self.leave_owed(&mut database);
        self.publish(&database);
    }
}

/// What a glance found.
#[derive(Debug, Clone, Copy)]
pub struct Glance {
    /// What is to be done, if anything.
    pub action: Option<Action>,
    /// When to glance again.
    pub next: Instant,
}

/// Work on a member that is under way, also when it ends by a panic.
pub struct Queued(Arc<Member>);

impl Deref for Queued {
    type Target = Member;

    fn deref(&self) -> &Member {
        &self.0
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        self.0.is_queued.store(false, Ordering::Release);
    }
}

/// What threads tell one another without looking at every database: it may say too much, never too little.
#[derive(Debug, Default)]
pub struct News {
    /// Some database may need a base.
    pub bases_wanted: Bell,
    /// The log may not know the condition of some database, or a base of it.
    pub records_wanted: AtomicBool,
    /// A catalogue is to stand in the log: readers that lost sight of the fleet go on from it.
    pub catalogue_wanted: AtomicBool,
}

impl News {
    fn tell(&self, database: &Database, is_condition_new: bool) {
        if database.wants_base() {
            self.bases_wanted.ring();
        }
        if is_condition_new || database.has_base_record() {
            self.records_wanted.store(true, Ordering::Release);
        }
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
        base_named_by: None,
    }
}
