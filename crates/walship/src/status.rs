//! What `walship status` shows: of the running program, or of the log when nothing runs.

use std::sync::Arc;
use std::time::Duration;

use console::config::format_duration;
use parking_lot::Mutex;
use segment::{Catalogue, DbId, Epoch, Millis, Name, Seq};
use serde::Serialize;
use std::collections::BTreeMap;
use store::clock::Clock;
use store::{Counted, RequestCounts, Store};

use crate::database::Condition;
use crate::fleet::Fleet;
use crate::member::{Member, Report};

/// Without an authenticated answer of the store for this long, nothing is known about what is durable.
const STORE_SILENCE: Duration = Duration::from_secs(60);

/// The whole answer.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    /// The fleet.
    pub fleet: Name,
    /// The epoch of the log's owner.
    pub epoch: Option<Epoch>,
    /// The node that owns the log.
    pub owner: Option<Name>,
    /// True if the answer is a running program's.
    pub running: bool,
    /// Positions in the log.
    pub seq: Positions,
    /// How the store is.
    pub store: StoreHealth,
    /// What was asked of the store since the program started, by billing class; null if none runs.
    pub requests: Option<RequestCounts>,
    /// One line for each database.
    pub databases: Vec<DatabaseStatus>,
}

/// The store of a program that tells what it asked of it.
pub type CountedStore = Arc<Counted<Arc<dyn Store>>>;

/// Positions in the log; a side that cannot know one says null.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Positions {
    /// The last segment that was sealed.
    pub captured: Option<Seq>,
    /// The last that the store has.
    pub durable: Option<Seq>,
    /// The last that a standby applied.
    pub applied: Option<Seq>,
}

/// How the store is.
#[derive(Debug, Clone, Default, Serialize)]
pub struct StoreHealth {
    /// Whether it answered last.
    pub reachable: Option<bool>,
    /// When it last answered (RFC 3339).
    pub last_ok: Option<String>,
    /// What it says, if it does not answer.
    pub error: Option<String>,
}

/// One database. Ages in seconds.
#[derive(Debug, Clone, Serialize)]
pub struct DatabaseStatus {
    /// Its name.
    pub name: Name,
    /// Its tier.
    pub tier: String,
    /// Age of the newest commit that was noticed.
    pub committed_age_seconds: Option<f64>,
    /// Age of the oldest commit that is not durable; 0 if there is none.
    pub rpo_seconds: Option<f64>,
    /// Age of the oldest durable commit that the standby lacks: only the standby knows.
    pub apply_lag_seconds: Option<f64>,
    /// Size in bytes.
    pub bytes: Option<u64>,
    /// Size in pages.
    pub pages: Option<u32>,
    /// Bytes of the WAL up to the captured position.
    pub wal_bytes: Option<u64>,
    /// Captured commits that are durable.
    pub txid: Option<u64>,
    /// Times writers were held to shorten the log.
    pub forced_checkpoints: u64,
    /// The log object that named the newest base since the program was started.
    pub base_named_by: Option<Seq>,
    /// One word.
    pub state: String,
    /// More words, where one is not enough.
    pub detail: Option<String>,
}

/// What the flushing thread leaves for status.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    /// The epoch we write in.
    pub epoch: Option<Epoch>,
    /// The last durable log object.
    pub durable: Option<Seq>,
    /// True while a sealed segment waits for the store.
    pub is_waiting: bool,
    /// When the oldest commit in that segment was noticed, by database.
    pub waiting: BTreeMap<DbId, Millis>,
    /// When the store last answered.
    pub store_ok: Option<Millis>,
    /// What it said when it failed.
    pub store_error: Option<String>,
}

/// Where status gets its answer from while the program runs.
pub struct Board {
    /// The fleet's name.
    pub name: Name,
    /// This host.
    pub node: Name,
    /// The databases.
    pub fleet: Arc<Fleet>,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// Where the log is.
    pub store: CountedStore,
    /// Left by the flushing thread.
    pub progress: Mutex<Progress>,
}

impl Board {
    /// The databases with commits that wait longer than their tiers allow, and how long the oldest does.
    #[must_use]
    pub fn late(&self) -> Vec<(Name, Duration)> {
        let (progress, now) = (self.progress.lock().clone(), self.clock.now());
        let late = |member: &Arc<Member>| {
            let report = member.report();
            let waits = lateness(&report, member.id, &progress, now)?;
            Some((report.spec.name, waits))
        };
        self.fleet.members().iter().filter_map(late).collect()
    }

    /// The answer at this moment.
    #[must_use]
    pub fn status(&self) -> Status {
        // A database at rest takes what became durable in only now and then.
        self.fleet.settle();
        let (progress, now) = (self.progress.lock().clone(), self.clock.now());
        let captured = progress
            .durable
            .map(|durable| if progress.is_waiting { durable.next() } else { durable });
        let databases = self
            .fleet
            .members()
            .iter()
            .map(|member| database_status(&member.report(), member.id, &progress, now))
            .collect();
        Status {
            fleet: self.name.clone(),
            epoch: progress.epoch,
            owner: Some(self.node.clone()),
            running: true,
            seq: Positions { captured, durable: progress.durable, applied: None },
            store: StoreHealth {
                reachable: Some(progress.store_error.is_none()),
                last_ok: progress.store_ok.and_then(rfc3339),
                error: progress.store_error,
            },
            requests: Some(self.store.counts()),
            databases,
        }
    }
}

/// When the oldest commit was noticed that is not durable.
fn oldest(report: &Report, id: DbId, progress: &Progress) -> Option<Millis> {
    [progress.waiting.get(&id).copied(), report.dirty_since].into_iter().flatten().min()
}

/// How long the oldest commit waits, if that is longer than the tier allows. A first upload takes as long as it takes.
fn lateness(report: &Report, id: DbId, progress: &Progress, now: Millis) -> Option<Duration> {
    let waits = Duration::from_millis(now.since(oldest(report, id, progress)?));
    (waits > report.spec.rpo_bound && !report.is_basing).then_some(waits)
}

fn database_status(report: &Report, id: DbId, progress: &Progress, now: Millis) -> DatabaseStatus {
    let age = |since: Millis| Duration::from_millis(now.since(since)).as_secs_f64();
    let oldest = oldest(report, id, progress);
    let late = lateness(report, id, progress, now).map(|_| {
        let bound = format_duration(report.spec.rpo_bound);
        format!("its oldest commit waits for longer than rpo_bound ({bound})")
    });
    let is_known =
        progress.store_ok.is_some_and(|at| Duration::from_millis(now.since(at)) < STORE_SILENCE);
    let (pages, bytes, wal_bytes) = report
        .size
        .map_or((None, None, None), |(pages, bytes, wal)| (Some(pages), Some(bytes), Some(wal)));
    DatabaseStatus {
        name: report.spec.name.clone(),
        tier: report.spec.tier.clone(),
        committed_age_seconds: report.last_commit.map(age),
        rpo_seconds: rpo_seconds(report, oldest.map(age), is_known),
        apply_lag_seconds: None,
        bytes,
        pages,
        wal_bytes,
        txid: report.durable.map(|txid| txid.get()),
        forced_checkpoints: report.forced,
        base_named_by: report.base_named_by,
        state: if report.is_basing {
            "first upload".into()
        } else {
            report.condition.word().into()
        },
        detail: report.condition.detail().map(str::to_owned).or(late),
    }
}

/// Unknown where the store is silent, and where commits may be made that nobody sees.
fn rpo_seconds(report: &Report, oldest: Option<f64>, is_store_known: bool) -> Option<f64> {
    let is_seen =
        matches!(report.condition, Condition::Live | Condition::Missing | Condition::Empty);
    let is_whole = is_seen && !report.is_basing;
    (is_store_known && (is_whole || oldest.is_some())).then(|| oldest.unwrap_or(0.0))
}

/// What the log alone tells.
#[must_use]
pub fn of_log(
    fleet: &Name,
    catalogue: &Catalogue,
    epoch: Option<Epoch>,
    owner: Option<Name>,
    durable: Option<Seq>,
) -> Status {
    let databases = catalogue.databases.values().map(|entry| DatabaseStatus {
        name: entry.name.clone(),
        tier: entry.tier.clone(),
        committed_age_seconds: None,
        rpo_seconds: None,
        apply_lag_seconds: None,
        bytes: entry.page_size.map(|size| u64::from(size.get()) * u64::from(entry.pages)),
        pages: Some(entry.pages),
        wal_bytes: None,
        txid: Some(entry.txid.get()),
        forced_checkpoints: 0,
        base_named_by: None,
        state: format!("{:?}", entry.state).to_lowercase(),
        detail: None,
    });
    Status {
        fleet: fleet.clone(),
        epoch,
        owner,
        running: false,
        seq: Positions { captured: None, durable, applied: None },
        store: StoreHealth { reachable: Some(true), last_ok: None, error: None },
        requests: None,
        databases: databases.collect(),
    }
}

fn rfc3339(at: Millis) -> Option<String> {
    let milliseconds = i64::try_from(at.get()).ok()?;
    jiff::Timestamp::from_millisecond(milliseconds).ok().map(|timestamp| timestamp.to_string())
}
