//! All followed databases together: what the log brings is given to each, and each is given work.
//!
//! Runs on the coordinator's thread and never blocks: workers, the checkpoint thread and the reading thread do.
//!
//! What must happen before what: a segment's table enters the catalogue before its sections reach the databases, so a
//! database that has to be rebuilt is rebuilt as of a cut that has them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use console::ExitCode;
use console::config::StandbySettings;
use fleet_log::{LogError, Position};
use segment::{
    Catalogue, CatalogueEntry, DatabaseState, DbId, FleetId, Millis, Record, Segment, SegmentError,
    Seq, Table,
};
use store::clock::Clock;

use super::checkpoint::Checkpointed;
use super::jobs::{Cut, Done, Payload, Report};
use super::member::{Member, expected};
use super::pool::{Finished, Pool};
use super::reading::Event;
use super::rounds::Rounds;
use super::saved::Saved;
use super::sealed::Sealed;
use super::state::{Facts, FollowSnapshot, StoreHealth};
use super::track::{Condition, Link, Track};
use crate::heal::Place;
use crate::replace::RealDisk;
use crate::replica::files;

/// Sections in memory beyond this many bytes stop the reading until some are applied.
const QUEUE_BYTES_MAX: u64 = 192 << 20;
/// Jobs that can wait are handed out up to this many for each worker, so that none runs dry.
const JOBS_AHEAD: usize = 2;
/// The position is saved at most this often.
const SAVE_EVERY_MS: u64 = 5_000;
/// Where things are, and what is followed.
pub(super) struct Settings {
    pub(super) standby: StandbySettings,
    pub(super) folder: PathBuf,
    pub(super) state_dir: PathBuf,
    pub(super) clock: Arc<dyn Clock>,
}

/// The coordinator's state.
pub(super) struct Fleet {
    settings: Settings,
    id: Option<FleetId>,
    members: BTreeMap<DbId, Member>,
    catalogue: Catalogue,
    position: Position,
    sealed: Sealed,
    at_tail: bool,
    store: StoreHealth,
    trouble: Option<LogError>,
    notice: Option<String>,
    damage: Option<String>,
    rounds: Rounds,
    offset_ms: i64,
    saved: (Millis, Option<Seq>),
    /// Names that two databases claim, told once.
    clashes: BTreeMap<String, DbId>,
}

impl Fleet {
    /// A fleet of which nothing is known yet.
    pub(super) fn new(settings: Settings) -> Self {
        let now = settings.clock.now();
        Self {
            settings,
            id: None,
            members: BTreeMap::new(),
            catalogue: Catalogue::default(),
            position: Position::START,
            sealed: Sealed::default(),
            at_tail: false,
            store: StoreHealth::default(),
            trouble: None,
            notice: None,
            damage: None,
            rounds: Rounds::new(Instant::now()),
            offset_ms: 0,
            saved: (now, None),
            clashes: BTreeMap::new(),
        }
    }

    /// Takes what the reading thread found. An error ends the follower.
    pub(super) fn read(&mut self, event: Event) -> Result<(), LogError> {
        self.rounds.news();
        match event {
            Event::Began { fleet, catalogue, position, sealed, server } => {
                self.id = Some(fleet);
                server.into_iter().for_each(|server| self.answered(server));
                tracing::info!(
                    seq = position.last().map(Seq::get),
                    databases = catalogue.databases.len(),
                    "following"
                );
                (self.catalogue, self.position, self.sealed) = (catalogue, position, sealed);
                self.enlist();
            }
            Event::Segments { segments, position, server } => {
                self.answered(server);
                self.at_tail = false;
                segments.iter().for_each(|segment| self.segment(segment));
                self.position = position;
            }
            Event::Tail { server } => self.tail(server),
            Event::Damaged { seq, table, position, detail } => {
                self.damaged(seq, &table, position, &detail)
            }
            Event::Jumped { catalogue, position, reason } => {
                self.jumped(catalogue, position, reason)
            }
            Event::Skipped { seq, position, detail } => {
                self.notice(format!("log object {seq} cannot be read ({detail}): databases that it changed are rebuilt"));
                self.position = position;
            }
            Event::Trouble(error) => self.trouble(&error),
            Event::Ended(error) => return Err(error),
        }
        Ok(())
    }

    fn answered(&mut self, server: Millis) {
        let now = self.now();
        self.offset_ms =
            i64::try_from(i128::from(server.get()) - i128::from(now.get())).unwrap_or(0);
        if self.store.reachable == Some(false) {
            tracing::info!("the store answers again");
        }
        self.store = StoreHealth { reachable: Some(true), last_ok: Some(server), error: None };
        self.trouble = None;
    }

    fn segment(&mut self, segment: &Arc<Segment>) {
        let table = segment.table();
        self.absorb(table);
        let Some(seq) = table.header.seq else { return };
        for (section, entry) in table.sections.iter().enumerate() {
            let Some(member) = self.members.get_mut(&entry.db) else { continue };
            let inline = entry.body.as_ref().map_or(0, |body| body.range.end - body.range.start);
            member.track.arrived(Link {
                seq,
                pre: entry.pre,
                post: entry.post,
                begins_life: entry.new_incarnation,
                last_txid: entry.last_txid,
                oldest_commit: entry.oldest_commit.offset(table.header.store_offset_ms),
                bytes: inline,
                payload: Payload { segment: Arc::clone(segment), section },
            });
        }
    }

    fn absorb(&mut self, table: &Table) {
        self.sealed.read(table);
        if table.records.iter().any(|record| matches!(record, Record::Catalogue(_))) {
            self.damage = None;
        }
        if let Err(error) = self.catalogue.absorb(table) {
            self.left_out(table, &error);
        }
        if table.records.iter().any(changes_members) {
            self.enlist();
        }
        let now = self.now();
        for record in &table.records {
            if let Record::Base(base) = record
                && let Some(member) = self.members.get_mut(&base.db)
            {
                member.track.base_named(now);
            }
        }
    }

    /// The table speaks of a database that nothing has announced; what it says of the others was absorbed.
    ///
    /// Damage until the next catalogue, which has all databases: what announced it may have stood in an unreadable object.
    fn left_out(&mut self, table: &Table, error: &SegmentError) {
        if self.damage.is_some() {
            return;
        }
        let at = table.header.seq.map_or_else(|| "?".to_owned(), |seq| seq.to_string());
        let damage = format!(
            "log object {at} changes a database that was never announced ({error}): left out until the next catalogue"
        );
        tracing::error!("{damage}");
        self.damage = Some(damage);
    }

    /// Makes the members those that the catalogue and the settings say.
    fn enlist(&mut self) {
        let now = self.now();
        let entries: Vec<CatalogueEntry> = self.catalogue.databases.values().cloned().collect();
        self.members.retain(|db, _| {
            entries
                .iter()
                .any(|entry| entry.id == *db && self.settings.follows(&self.catalogue, entry))
        });
        for entry in entries {
            if !self.settings.follows(&self.catalogue, &entry) || self.clashes(&entry) {
                continue;
            }
            let member = self.members.entry(entry.id).or_insert_with(|| {
                Member::new(entry.id, self.settings.place(&entry), entry.tier.clone(), now)
            });
            member.tier.clone_from(&entry.tier);
            if member.place.name != entry.name {
                member.rename(self.settings.place(&entry), now);
            }
        }
    }

    /// Two databases must not share a file, also where the file system ignores case.
    fn clashes(&mut self, entry: &CatalogueEntry) -> bool {
        let key = entry.name.key();
        let holder = self
            .members
            .iter()
            .find(|(db, member)| **db != entry.id && member.place.name.key() == key);
        let Some((holder, _)) = holder else { return false };
        if self.clashes.insert(key, entry.id) != Some(entry.id) {
            tracing::error!(db = %entry.name, %holder, "another database has this name already: not followed");
        }
        true
    }

    fn tail(&mut self, server: Millis) {
        self.answered(server);
        self.at_tail = true;
        let now = self.now();
        for (db, member) in &mut self.members {
            member.track.tail_reached(&expected(self.catalogue.databases.get(db)), now);
        }
    }

    fn damaged(&mut self, seq: Seq, table: &Table, position: Position, detail: &str) {
        self.notice(format!("log object {seq} is damaged ({detail}): databases in it are rebuilt"));
        self.absorb(table);
        self.position = position;
        let now = self.now();
        for section in &table.sections {
            if let Some(member) = self.members.get_mut(&section.db) {
                member.track.section_damaged(now);
            }
        }
    }

    fn jumped(&mut self, catalogue: Catalogue, position: Position, reason: String) {
        self.notice(format!(
            "{reason}: going on at seq {}, databases that changed are rebuilt",
            position.next
        ));
        (self.catalogue, self.position) = (catalogue, position);
        self.damage = None;
        self.enlist();
        let now = self.now();
        for (db, member) in &mut self.members {
            member.track.log_jumped(&expected(self.catalogue.databases.get(db)), now);
        }
    }

    fn notice(&mut self, text: String) {
        tracing::error!("{text}");
        self.notice = Some(text);
    }

    fn trouble(&mut self, error: &LogError) {
        let text = error.to_string();
        if self.store.error.as_ref() != Some(&text) {
            tracing::warn!(%error, "the log cannot be read on");
        }
        let reachable =
            if matches!(error, LogError::Store(_)) { Some(false) } else { self.store.reachable };
        self.store = StoreHealth { reachable, error: Some(text), ..self.store.clone() };
        self.trouble = Some(error.clone());
    }

    /// Whether anything may be due for a database.
    pub(super) fn is_round_due(&self) -> bool {
        self.rounds.is_due(Instant::now())
    }

    /// How long nothing is due, unless something happens.
    pub(super) fn patience(&self) -> Duration {
        self.rounds.patience(Instant::now())
    }

    /// Goes round all databases: gives out what is due, and saves the position. How all stand, if that is news.
    pub(super) fn go_round(&mut self, pool: &Pool) -> Option<Facts> {
        // Looks that begin now change nothing about that.
        let is_at_rest = self.is_caught_up();
        self.dispatch(pool);
        self.save(false);
        let is_news = self.rounds.made(Instant::now(), is_at_rest);
        is_news.then(|| self.facts())
    }

    /// Gives every database that needs it a job, a checkpoint or a look.
    ///
    /// After a start all files are to be compared with the log, which takes as long as reading them. Those that the log
    /// has news for go first, and the others never queue up before news that comes later.
    fn dispatch(&mut self, pool: &Pool) {
        let now = self.now();
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
        now: Millis,
        room: usize,
        is_meant: impl Fn(&Track<Payload>) -> bool,
    ) {
        let read = self.position.last();
        let members = self.members.iter_mut();
        for (db, member) in members.filter(|(_, member)| is_meant(&member.track)).take(room) {
            if member.may_begin()
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
    fn job_finished(&mut self, report: Report, now: Millis) {
        let expected = expected(self.catalogue.databases.get(&report.db));
        let found_nothing = matches!(report.result, Ok(Done::Looked));
        if let Some(member) = self.members.get_mut(&report.db) {
            member.finished(report, &expected, now);
            if self.at_tail {
                member.track.tail_reached(&expected, now);
            }
            if !found_nothing || !member.track.is_caught_up() {
                self.rounds.news();
            }
        }
    }

    fn checkpointed(&mut self, checkpointed: &Checkpointed, now: Millis) {
        self.rounds.news();
        if let Some(member) = self.members.get_mut(&checkpointed.request.db) {
            member.checkpointed(checkpointed, now);
        }
    }

    /// Whether reading must wait for memory. Databases that cannot go on give up their queue first.
    pub(super) fn is_full(&mut self) -> bool {
        if self.queued_bytes() <= QUEUE_BYTES_MAX {
            return false;
        }
        for member in self.members.values_mut() {
            if member.track.retry_at().is_some() && member.track.queued_bytes() > 0 {
                member.track.give_up_queue();
                self.rounds.news();
            }
        }
        self.queued_bytes() > QUEUE_BYTES_MAX
    }

    fn queued_bytes(&self) -> u64 {
        self.members.values().map(|member| member.track.queued_bytes()).sum()
    }

    /// Saves the position where everything up to it is applied. Damage that no database has is not left behind so: the
    /// next start meets it again.
    pub(super) fn save(&mut self, is_last: bool) {
        let now = self.now();
        let read = self.position.last();
        let is_due = is_last || now.since(self.saved.0) >= SAVE_EVERY_MS;
        let is_sound = self.is_caught_up() && self.damage.is_none();
        let (Some(fleet), true, true) = (self.id, is_due && self.saved.1 != read, is_sound) else {
            return;
        };
        let saved = Saved {
            fleet,
            position: self.position.clone(),
            catalogue: self.catalogue.clone(),
            sealed: self.sealed.clone(),
        };
        match saved.store(&RealDisk, &self.settings.state_dir) {
            Ok(()) => self.saved = (now, read),
            Err(error) => {
                tracing::warn!(%error, "cannot save the position");
                self.saved.0 = now;
            }
        }
    }

    /// Whether every database that can has everything read so far.
    fn is_caught_up(&self) -> bool {
        self.members
            .values()
            .all(|member| member.track.is_caught_up() || member.condition() == Condition::Corrupt)
    }

    /// Whether the end of the log was reached and nothing is left to do that can be done.
    pub(super) fn is_settled(&self) -> bool {
        self.at_tail
            && self.is_caught_up()
            && self.members.values().all(|member| !member.track.is_busy())
    }

    /// Whether everything before a damaged log object is done, and nothing after it can be: waiting mends no damage.
    pub(super) fn is_stopped_by_damage(&self) -> bool {
        let is_damage =
            |error: &LogError| ExitCode::from_number(error.exit_code()) == ExitCode::Corrupt;
        self.trouble.as_ref().is_some_and(is_damage)
            && self.is_caught_up()
            && self.members.values().all(|member| !member.track.is_busy())
    }

    /// Databases that are not as the log says, and why; and what the log says of none.
    pub(super) fn unhealthy(&self) -> Vec<(Condition, String)> {
        let is_unwell = |condition| {
            matches!(condition, Condition::Corrupt | Condition::Waiting | Condition::Healing)
        };
        let members = self.members.values().filter(|member| is_unwell(member.condition()));
        let members = members.map(|member| (member.condition(), member.explain()));
        let damage = self.damage.iter().map(|damage| (Condition::Corrupt, damage.clone()));
        members.chain(damage).collect()
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
        let sealed = |db| self.sealed.of(self.catalogue.databases.get(db));
        Facts {
            snapshot: FollowSnapshot {
                epoch: self.position.epoch,
                owner: self.position.owner.clone(),
                read,
                applied,
                store: self.store.clone(),
                notice: self.notice.clone(),
                damage: self.damage.clone(),
                databases: members.iter().map(|(_, member)| member.status()).collect(),
            },
            sealed: members.iter().map(|(db, _)| sealed(db)).collect(),
            lags_since: members.iter().map(|(_, member)| member.track.lags_since()).collect(),
            offset_ms: self.offset_ms,
        }
    }

    fn now(&self) -> Millis {
        self.settings.clock.now()
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
            former: None,
            state_dir: self.state_dir.clone(),
            clock: Arc::clone(&self.clock),
        }
    }
}

fn changes_members(record: &Record) -> bool {
    matches!(
        record,
        Record::Announce(_)
            | Record::Retired { .. }
            | Record::Renamed { .. }
            | Record::Catalogue(_)
    )
}

fn cut_of(catalogue: &Catalogue, db: DbId, at: Option<Seq>) -> Cut {
    let entry = catalogue.databases.get(&db);
    let incarnation = entry.and_then(|entry| entry.incarnation);
    let databases = entry.map(|entry| (db, entry.clone())).into_iter().collect();
    Cut { at, catalogue: Catalogue { databases, ..Catalogue::default() }, incarnation }
}

#[cfg(test)]
mod tests;
