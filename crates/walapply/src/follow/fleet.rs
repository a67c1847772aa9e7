//! All followed databases together: what the log brings is given to each (`log`, `names`), and each is given work.
//!
//! Runs on the coordinator's thread and never blocks: workers, the checkpoint thread and the reading thread do.

mod log;
mod names;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use console::config::StandbySettings;
use fleet_log::{LogError, Position};
use segment::{Catalogue, CatalogueEntry, DatabaseState, DbId, FleetId, Millis, Name, Seq};

use super::checkpoint::Checkpointed;
use super::clocks::{Clocks, Now};
use super::jobs::{Cut, Done, Payload, Report};
use super::member::{Member, expected};
use super::pool::{Finished, Pool};
use super::primary::{self, News, Primary};
use super::rounds::Rounds;
use super::saved::Saved;
use super::sealed::Sealed;
use super::state::{DatabaseStatus, Facts, FollowSnapshot, LeftBehind, PrimaryHealth, StoreHealth};
use super::track::{Condition, Doubt, Track};
use crate::gone::Gone;
use crate::heal::Place;
use crate::replace::RealDisk;
use crate::replica::files;

/// Sections in memory beyond this many bytes stop the reading until some are applied.
const QUEUE_BYTES_MAX: u64 = 192 << 20;
/// Jobs that can wait are handed out up to this many for each worker, so that none runs dry.
const JOBS_AHEAD: usize = 2;
/// The position is saved at most this often.
const SAVE_EVERY: Duration = Duration::from_secs(5);
/// Where things are, and what is followed.
pub(super) struct Settings {
    pub(super) standby: StandbySettings,
    pub(super) folder: PathBuf,
    pub(super) state_dir: PathBuf,
    pub(super) clocks: Clocks,
}

/// The coordinator's state.
pub(super) struct Fleet {
    settings: Settings,
    id: Option<FleetId>,
    members: BTreeMap<DbId, Member>,
    catalogue: Catalogue,
    position: Position,
    sealed: Sealed,
    gone: Gone,
    primary: Primary,
    at_tail: bool,
    store: StoreHealth,
    trouble: Option<LogError>,
    /// Since when the log cannot be read on for damage that nothing leads past.
    halted_since: Option<Millis>,
    told_of_trouble: Option<Instant>,
    notice: Option<String>,
    damage: Option<String>,
    /// Objects that were passed without being read, since the last catalogue.
    lost: Option<Doubt>,
    rounds: Rounds,
    offset_ms: i64,
    saved: (Instant, Option<Seq>),
    /// Databases whose name another one has.
    clashes: BTreeMap<DbId, Name>,
    /// Whose files stay here though they are not followed any more.
    left_behind: Vec<LeftBehind>,
    is_left_behind_due: bool,
    /// Tiers that are to be followed and that the fleet does not have.
    unknown_tiers: Vec<String>,
}

impl Fleet {
    /// A fleet of which nothing is known yet.
    pub(super) fn new(settings: Settings) -> Self {
        let now = settings.clocks.steady.now();
        Self {
            settings,
            id: None,
            members: BTreeMap::new(),
            catalogue: Catalogue::default(),
            position: Position::START,
            sealed: Sealed::default(),
            gone: Gone::default(),
            primary: Primary::default(),
            at_tail: false,
            store: StoreHealth::default(),
            trouble: None,
            halted_since: None,
            told_of_trouble: None,
            notice: None,
            damage: None,
            lost: None,
            rounds: Rounds::new(now),
            offset_ms: 0,
            saved: (now, None),
            clashes: BTreeMap::new(),
            left_behind: Vec::new(),
            is_left_behind_due: false,
            unknown_tiers: Vec::new(),
        }
    }

    /// Whether anything may be due for a database.
    pub(super) fn is_round_due(&self) -> bool {
        self.rounds.is_due(self.now().steady)
    }

    /// How long nothing is due, unless something happens.
    pub(super) fn patience(&self) -> Duration {
        self.rounds.patience(self.now().steady)
    }

    /// Goes round all databases: gives out what is due, and saves the position. How all stand, if that is news.
    pub(super) fn go_round(&mut self, pool: &Pool) -> Option<Facts> {
        // Looks that begin now change nothing about that.
        let is_at_rest = self.is_caught_up();
        self.dispatch(pool);
        self.save(false);
        self.tell_of_the_primary();
        let is_news = self.rounds.made(self.now().steady, is_at_rest);
        is_news.then(|| self.facts())
    }

    /// A dead primary must not look like an idle one.
    fn tell_of_the_primary(&mut self) {
        if !self.at_tail || self.store.reachable != Some(true) {
            return;
        }
        let store_now = self.now().store;
        match self.primary.news(self.settings.standby.quiet_after, store_now) {
            Some(News::Quiet(silence)) => tracing::warn!("{}", primary::told(silence)),
            Some(News::Back) => tracing::info!("the primary is heard again"),
            None => {}
        }
    }

    /// Gives every database that needs it a job, a checkpoint or a look.
    ///
    /// After a start all files are to be compared with the log, which takes as long as reading them. Those that the log
    /// has news for go first, and the others never queue up before news that comes later.
    fn dispatch(&mut self, pool: &Pool) {
        let now = self.now().steady;
        for (db, member) in &mut self.members {
            member.want_look(now);
            if let Some(request) = member.checkpoint_due(*db, now) {
                pool.checkpoint(request);
            }
        }
        self.assign(pool, now, usize::MAX, |track| !track.can_wait(now));
        let busy = self.members.values().filter(|member| member.track.is_busy()).count();
        let room = (pool.workers() * JOBS_AHEAD).saturating_sub(busy);
        self.assign(pool, now, room, |track| track.can_wait(now));
    }

    /// Gives jobs to at most `room` of the databases that `is_meant` chooses.
    fn assign(
        &mut self,
        pool: &Pool,
        now: Instant,
        room: usize,
        is_meant: impl Fn(&Track<Payload>) -> bool,
    ) {
        let read = self.position.last();
        let (are_names_known, left) = (self.are_names_known(), self.names_being_left());
        let members = self.members.iter_mut();
        for (db, member) in members.filter(|(_, member)| is_meant(&member.track)).take(room) {
            if member.may_begin(are_names_known)
                && left.iter().all(|key| *key != member.place.name.key())
                && let Some(job) = member.track.next_job(read, now)
            {
                let cut = cut_of(&self.catalogue, *db, read);
                pool.assign(member.assignment(*db, cut, job));
            }
        }
    }

    /// Takes what a worker or the checkpoint thread reports.
    pub(super) fn finished(&mut self, finished: Finished) {
        let now = self.now();
        match finished {
            Finished::Job(report) => self.job_finished(*report, now),
            Finished::Checkpoint(checkpointed) => self.checkpointed(&checkpointed, now),
            Finished::Panicked(db) => {
                self.rounds.news();
                if let Some(member) = self.members.get_mut(&db) {
                    member.panicked(now);
                }
            }
        }
    }

    /// A look that found nothing is no news, unless something came for the database meanwhile.
    fn job_finished(&mut self, report: Report, now: Now) {
        let expected = expected(self.catalogue.databases.get(&report.db));
        let found_nothing = matches!(report.result, Ok(Done::Looked));
        if let Some(member) = self.members.get_mut(&report.db) {
            member.finished(report, &expected, now);
            if self.at_tail {
                member.track.tail_reached(&expected, now.store);
            }
            if !found_nothing || !member.track.is_caught_up() {
                self.rounds.news();
            }
        }
    }

    fn checkpointed(&mut self, checkpointed: &Checkpointed, now: Now) {
        self.rounds.news();
        if let Some(member) = self.members.get_mut(&checkpointed.request.db) {
            member.checkpointed(checkpointed, now.steady);
        }
    }

    /// Whether reading must wait for memory. Databases that cannot go on give up their queue first.
    pub(super) fn is_full(&mut self) -> bool {
        if self.queued_bytes() <= QUEUE_BYTES_MAX {
            return false;
        }
        for member in self.members.values_mut() {
            let track = &member.track;
            let is_waiting = track.is_in_trouble() || track.is_held() || member.is_renamed();
            if is_waiting && track.queued_bytes() > 0 {
                member.track.give_up_queue();
                self.rounds.news();
            }
        }
        self.queued_bytes() > QUEUE_BYTES_MAX
    }

    fn queued_bytes(&self) -> u64 {
        self.members.values().map(|member| member.track.queued_bytes()).sum()
    }

    /// Saves the position where everything up to it is applied. Damage that no database has is not left behind so, nor
    /// a file under a former name: the next start meets them again.
    pub(super) fn save(&mut self, is_last: bool) {
        let now = self.now().steady;
        let read = self.position.last();
        let is_due = is_last || now.duration_since(self.saved.0) >= SAVE_EVERY;
        let is_renamed = self.members.values().any(Member::is_renamed);
        let is_sound =
            self.is_caught_up() && self.damage.is_none() && !self.is_in_doubt() && !is_renamed;
        if is_due && self.saved.1 != read && is_sound {
            self.save_position();
        }
    }

    fn save_position(&mut self) {
        let (now, read) = (self.now().steady, self.position.last());
        let Some(fleet) = self.id else { return };
        let saved = Saved {
            fleet,
            position: self.position.clone(),
            catalogue: self.catalogue.clone(),
            sealed: self.sealed.clone(),
            gone: self.gone.clone(),
        };
        match saved.store(&RealDisk, &self.settings.state_dir) {
            Ok(()) => self.saved = (now, read),
            Err(error) => {
                tracing::warn!(%error, "cannot save the position");
                self.saved.0 = now;
            }
        }
    }

    fn is_in_doubt(&self) -> bool {
        self.members.values().any(|member| member.track.doubt().is_some())
    }

    /// Whether every database that can has everything read so far.
    fn is_caught_up(&self) -> bool {
        let cannot = |condition| matches!(condition, Condition::Corrupt | Condition::Foreign);
        self.members
            .values()
            .all(|member| member.track.is_caught_up() || cannot(member.condition()))
    }

    /// Whether the end of the log was reached and nothing is left to do that can be done.
    pub(super) fn is_settled(&self) -> bool {
        self.at_tail
            && self.is_caught_up()
            && self.members.values().all(|member| !member.track.is_busy())
    }

    /// Whether everything before a damaged log object is done, and nothing after it can be: waiting mends no damage.
    pub(super) fn is_stopped_by_damage(&self) -> bool {
        self.halted_since.is_some()
            && self.is_caught_up()
            && self.members.values().all(|member| !member.track.is_busy())
    }

    /// Databases that are not as the log says, and why; and what the log says of none.
    pub(super) fn unhealthy(&self) -> Vec<(Condition, String)> {
        let is_unwell = |condition| !matches!(condition, Condition::Live | Condition::Empty);
        let members = self.members.values().filter(|member| is_unwell(member.condition()));
        let members = members.map(|member| (member.condition(), member.explain()));
        let damage = self.damage.iter().map(|damage| (Condition::Corrupt, damage.clone()));
        let lacking = self.tell_unknown_tiers().into_iter().chain(self.tell_clashes());
        members.chain(damage).chain(lacking.map(|told| (Condition::Missing, told))).collect()
    }

    /// What concerns no single database that is followed.
    fn tell(&self) -> Option<String> {
        let lacking = self.tell_unknown_tiers().into_iter().chain(self.tell_clashes());
        let told: Vec<String> = lacking.chain(self.notice.clone()).collect();
        (!told.is_empty()).then(|| told.join("; "))
    }

    /// What keeps the log from being read on, while something does.
    pub(super) fn reading_trouble(&self) -> Option<&LogError> {
        self.trouble.as_ref()
    }

    /// How many databases are followed.
    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    /// What the status command gets.
    pub(super) fn facts(&self) -> Facts {
        let read = self.position.last();
        let mut members: Vec<(&DbId, &Member)> = self.members.iter().collect();
        members.sort_by(|(_, a), (_, b)| a.place.name.cmp(&b.place.name));
        let complete = members.iter().map(|(_, member)| member.track.complete_to(read));
        let applied = complete.min().unwrap_or(read);
        let sealed = |db, member: &Member| {
            let entry = self.catalogue.databases.get(db);
            self.sealed.of(entry.filter(|_| member.track.doubt().is_none()))
        };
        Facts {
            snapshot: FollowSnapshot {
                epoch: self.position.epoch,
                owner: self.position.owner.clone(),
                read,
                applied,
                store: self.store.clone(),
                primary: PrimaryHealth {
                    node: self.position.owner.clone(),
                    last_heard_seconds: None,
                    quiet: false,
                },
                notice: self.tell(),
                damage: self.damage.clone(),
                databases: members.iter().map(|(db, member)| self.status(**db, member)).collect(),
                left_behind: self.left_behind.clone(),
            },
            sealed: members.iter().map(|(db, member)| sealed(db, member)).collect(),
            lags_since: members.iter().map(|(_, member)| self.lags_since(member)).collect(),
            heard: self.primary.last_heard(),
            quiet_after: Some(self.settings.standby.quiet_after),
            at_tail: self.at_tail,
            offset_ms: self.offset_ms,
        }
    }

    fn status(&self, db: DbId, member: &Member) -> DatabaseStatus {
        let entry = self.catalogue.databases.get(&db);
        let mut status = member.status(entry, self.gone.since(db));
        if self.halted_since.is_some() && status.state == Condition::Live {
            status.state = Condition::Doubtful;
            status.detail = Some("the log cannot be read on: as it was before".into());
        }
        status
    }

    /// What the log cannot be read on for counts as a commit that is not in the file.
    fn lags_since(&self, member: &Member) -> Option<Millis> {
        [member.track.lags_since(), self.halted_since].into_iter().flatten().min()
    }

    fn now(&self) -> Now {
        let Clocks { wall, steady } = &self.settings.clocks;
        Now { store: wall.now().offset(self.offset_ms), steady: steady.now() }
    }
}

impl Settings {
    fn follows(&self, catalogue: &Catalogue, entry: &CatalogueEntry) -> bool {
        let marked = catalogue.tiers.get(&entry.tier).is_some_and(|tier| tier.standby);
        entry.state != DatabaseState::Retired && self.standby.follows(&entry.tier, marked)
    }

    fn place(&self, entry: &CatalogueEntry) -> Place {
        Place {
            name: entry.name.clone(),
            path: files::database(&self.folder, &entry.name),
            formers: Vec::new(),
            state_dir: self.state_dir.clone(),
            clock: Arc::clone(&self.clocks.wall),
        }
    }
}

fn cut_of(catalogue: &Catalogue, db: DbId, at: Option<Seq>) -> Cut {
    let entry = catalogue.databases.get(&db);
    let databases = entry.map(|entry| (db, entry.clone())).into_iter().collect();
    Cut { at, catalogue: Catalogue { databases, ..Catalogue::default() } }
}

#[cfg(test)]
mod tests;
