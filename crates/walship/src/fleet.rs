//! All databases of the fleet, and the cut of them that a flush ships.
//!
//! Nobody waits for a database that is being worked on: it is passed over, so that it delays nobody, and whoever works
//! on it leaves what is captured for the next cut.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use parking_lot::RwLock;
use segment::{BaseRecord, DbId, Name, Txid};
use store::clock::Clock;
use tiering::DirtySince;

use crate::assemble::Item;
use crate::database::{Database, Now, Outgoing, Spec};
use crate::handover::Action;
use crate::member::{Member, News};
use crate::pool::Pool;

/// How long a cut waits for databases that are being worked on.
const CUT_WAIT: Duration = Duration::from_millis(100);
/// How often an exact cut is tried before a best-effort one is recorded.
const CUT_TRIES: u32 = 3;

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
    retired: RwLock<BTreeSet<DbId>>,
    pool: Pool,
    clock: Arc<dyn Clock>,
    news: Arc<News>,
}

impl Fleet {
    /// A fleet without databases.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            members: RwLock::default(),
            expected: RwLock::default(),
            retired: RwLock::default(),
            pool: Pool::default(),
            clock,
            news: Arc::default(),
        }
    }

    /// Both clocks.
    #[must_use]
    pub fn now(&self) -> Now {
        (Instant::now(), self.clock.now())
    }

    /// Adds a database.
    pub fn add(&self, database: Database) {
        let member = Member::new(database, Arc::clone(&self.news));
        self.members.write().insert(member.id, Arc::new(member));
    }

    /// What threads tell one another.
    #[must_use]
    pub fn news(&self) -> &News {
        &self.news
    }

    /// The threads that work on databases.
    #[must_use]
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// How many databases can be worked on.
    #[must_use]
    pub fn len(&self) -> usize {
        self.members.read().len()
    }

    /// True if there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
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

    /// Notes that a database was removed from the configuration.
    pub fn retire(&self, id: DbId) {
        self.retired.write().insert(id);
        self.news.records_wanted.store(true, Ordering::Release);
    }

    /// True if the database was removed from the configuration.
    #[must_use]
    pub fn is_retired(&self, id: DbId) -> bool {
        self.retired.read().contains(&id)
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
        let is_moved =
            |member: &&Arc<Member>| member.at_once().is_some_and(|database| !database.is_still());
        let moved: Vec<_> = self.members.read().values().filter(is_moved).cloned().collect();
        for member in &moved {
            let (fleet, member, done) = (Arc::clone(self), Arc::clone(member), done.clone());
            self.pool.run(move || {
                if let Some(mut database) = member.try_database(CUT_WAIT) {
                    let _ = database.capture(&|| fleet.now());
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
            let database = member.at_once().filter(|database| database.is_still())?;
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
                let left = member.take_or_ask();
                cut.changes.extend(left.map(|outgoing| (member.report().spec, outgoing)));
                continue;
            };
            if let Some(outgoing) = member.take_left() {
                // What came after it leaves with the next cut.
                cut.is_exact = false;
                cut.changes.push((database.spec().clone(), outgoing));
                continue;
            }
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
            member.has_left()
                || member.try_database(CUT_WAIT).is_none_or(|database| database.has_backlog())
        })
    }

    /// True if some base is wanted, in the making, or not named yet.
    #[must_use]
    pub fn is_base_on_its_way(&self) -> bool {
        self.members().iter().any(|member| {
            member.try_database(CUT_WAIT).is_none_or(|database| database.is_base_on_its_way())
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
            let (since, sync_interval) = match member.at_once() {
                Some(mut database) => {
                    // What was committed since the last round counts too.
                    database.glance(now);
                    let since = [member.left_since(), database.dirty_since()];
                    (since.into_iter().flatten().min(), database.spec().sync_interval)
                }
                None => member.dirty_by_report(),
            };
            since.map(|since| DirtySince { since, sync_interval })
        };
        self.members.read().values().filter_map(dirty).collect()
    }

    /// Looks for databases that were not there, so that one which has appeared since is noticed now.
    pub fn look_for_files(&self) {
        for member in self.members() {
            let database = member.try_database(CUT_WAIT).filter(|database| database.is_absent());
            if let Some(mut database) = database {
                database.work(Action::Wait, &|| self.now());
                member.publish(&database);
            }
        }
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
