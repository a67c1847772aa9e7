//! One followed database as the coordinator holds it: its track, its connections, its figures.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use segment::{CatalogueEntry, DatabaseState, DbId, Millis, Name, Seq};

use super::checkpoint::{Checkpointed, Request, Schedule};
use super::clocks::Now;
use super::jobs::{Assignment, Cut, Done, Payload, Report, Undone};
use super::state::DatabaseStatus;
use super::track::{Condition, Expected, Job, Track, Trouble};
use crate::gone;
use crate::heal::{Manner, Place};
use crate::replica::Replica;
use crate::replica::sidecar::Sidecar;
use crate::replica::watch::Watch;

/// An idle database is looked at this often.
const LOOK_EVERY: Duration = Duration::from_secs(20);
/// And all its pages this often.
const LOOK_THOROUGHLY_EVERY: Duration = Duration::from_secs(6 * 3_600);

/// One followed database.
pub(super) struct Member {
    pub(super) place: Place,
    pub(super) tier: String,
    pub(super) track: Track<Payload>,
    replica: Option<Box<Replica>>,
    /// Of the replica, also while a job has that.
    watch: Option<Arc<Watch>>,
    sidecar: Sidecar,
    schedule: Schedule,
    detail: Option<String>,
    heals: u64,
    pages: u32,
    bytes: u64,
    look_at: Instant,
    look_thoroughly_at: Instant,
    /// The names whose files a running job may touch, first the one that the database had when it began.
    touched: Vec<Name>,
}

impl Member {
    /// A database that was just heard of.
    pub(super) fn new(db: DbId, place: Place, tier: String, now: Now) -> Self {
        // Looks at many databases are spread over the interval.
        let first = LOOK_EVERY * (256 - u32::from(db.as_bytes()[0])) / 256;
        let first_thorough = LOOK_THOROUGHLY_EVERY * (512 - u32::from(db.as_bytes()[1])) / 512;
        Self {
            place,
            tier,
            track: Track::new(now.store),
            replica: None,
            watch: None,
            sidecar: Sidecar::default(),
            schedule: Schedule::default(),
            detail: None,
            heals: 0,
            pages: 0,
            bytes: 0,
            look_at: now.steady + first,
            look_thoroughly_at: now.steady + first_thorough,
            touched: Vec::new(),
        }
    }

    /// The database has another name from now on: its file moves before anything else happens to it.
    ///
    /// A job that runs knows the former name only; what it finds out there is not what is asked for any more.
    pub(super) fn rename(&mut self, place: Place, now: Millis) {
        let former = std::mem::replace(&mut self.place, place);
        self.place.formers = former.formers;
        self.place.formers.push(former.name);
        self.place.formers.retain(|former| *former != self.place.name);
        self.detail = Some("renamed: its file moves once the log is read to its end".into());
        self.track.look_anew(now);
    }

    /// What stands under a former name belongs to the database that `is_given` that name: it stays there.
    pub(super) fn leave_files(&mut self, is_given: impl Fn(&Name) -> bool) {
        self.place.formers.retain(|former| !is_given(former));
    }

    /// Whether its file may stand under a former name.
    pub(super) fn is_renamed(&self) -> bool {
        !self.place.formers.is_empty()
    }

    /// The names that it had when a running job began, and has no more.
    pub(super) fn names_being_left(&self) -> impl Iterator<Item = &Name> {
        self.touched.iter().filter(|name| **name != self.place.name)
    }

    /// Whether a job may begin: one that closes or replaces the file must not, while a checkpoint has it open. One that
    /// moves or makes it must not, before it is known where to.
    pub(super) fn may_begin(&self, are_names_known: bool) -> bool {
        (!self.schedule.is_running() || self.track.is_following())
            && (are_names_known || !self.is_renamed() && !self.track.is_stale())
    }

    /// Whether a job or a checkpoint runs.
    #[cfg(test)]
    pub(super) fn is_at_work(&self) -> bool {
        self.track.is_busy() || self.schedule.is_running()
    }

    /// Whether all that was applied was moved into the file.
    #[cfg(test)]
    pub(super) fn is_clean(&self) -> bool {
        self.schedule.is_clean()
    }

    /// A job with what it borrows from here.
    pub(super) fn assignment(&mut self, db: DbId, cut: Cut, job: Job<Payload>) -> Assignment {
        self.touched = [&self.place.name].into_iter().chain(&self.place.formers).cloned().collect();
        Assignment {
            db,
            place: self.place.clone(),
            replica: self.replica.take(),
            cut,
            sidecar: self.sidecar,
            job,
        }
    }

    /// The checkpoint to make now. The apply connection must stay open meanwhile, so only where the file is followed.
    pub(super) fn checkpoint_due(&mut self, db: DbId, now: Instant) -> Option<Request> {
        if !self.track.is_following() {
            return None;
        }
        let watch = Arc::clone(self.watch.as_ref()?);
        let frames = self.schedule.begin(now)?;
        Some(Request { db, path: self.place.path.clone(), watch, frames })
    }

    /// A checkpoint ended.
    pub(super) fn checkpointed(&mut self, checkpointed: &Checkpointed, now: Instant) {
        let db = &self.place.name;
        self.schedule.ended(checkpointed, now);
        match &checkpointed.result {
            Ok((frames, moved)) => {
                tracing::debug!(%db, frames, moved, took = ?checkpointed.took, "checkpoint");
            }
            Err(error) => tracing::debug!(%db, %error, "no checkpoint"),
        }
        if let Some(frames) = self.schedule.tell_held_back(checkpointed) {
            tracing::warn!(%db, frames, "readers keep the WAL of the standby's file from being checkpointed");
        }
    }

    /// Asks for a look at the file where one is due.
    pub(super) fn want_look(&mut self, now: Instant) {
        if now < self.look_at {
            return;
        }
        self.look_at = now + LOOK_EVERY;
        let is_thorough = now >= self.look_thoroughly_at;
        if is_thorough {
            self.look_thoroughly_at = now + LOOK_THOROUGHLY_EVERY;
        }
        self.track.want_look(is_thorough);
    }

    /// Takes back what a job borrowed and learns how it ended.
    pub(super) fn finished(&mut self, report: Report, expected: &Expected, now: Now) {
        self.replica = report.replica;
        self.watch = self.replica.as_ref().map(|replica| Arc::clone(replica.watch()));
        self.sidecar = report.sidecar;
        if let Some(replica) = &self.replica {
            self.pages = replica.pages();
            self.bytes = u64::from(self.pages) * u64::from(replica.page_size().get());
        }
        let is_overtaken = self.touched.first() != Some(&self.place.name);
        self.touched.clear();
        match report.result {
            Ok(Done::Opened | Done::Emptied) if is_overtaken => self.track.overtaken(),
            Ok(done) => self.done(done, expected, now),
            Err(undone) => self.undone(*undone, now),
        }
        if is_overtaken {
            self.track.look_anew(now.store);
        }
    }

    fn done(&mut self, done: Done, expected: &Expected, now: Now) {
        let db = &self.place.name;
        match done {
            Done::Opened => {
                let actual = self.replica.as_ref().map(|replica| replica.checksum());
                self.place.formers.clear();
                self.track.opened(actual, self.sidecar.ceiling, expected, now.store);
                self.detail = None;
            }
            Done::Applied { seq, txid, pages_written, retries } => {
                tracing::debug!(%db, %seq, %txid, pages = pages_written, "applied");
                if retries > 0 {
                    tracing::info!(%db, retries, "another process held the write lock of the standby's file");
                }
                self.track.applied(seq, txid);
                self.schedule.applied(pages_written, now.steady);
                self.look_at = now.steady + LOOK_EVERY;
                self.detail = None;
            }
            Done::Rebuilt { at, changed, txid, checksum, manner, pages_written, evidence } => {
                self.tell_rebuilt(manner, pages_written, evidence);
                self.track.rebuilt(at, changed, txid, checksum);
                self.schedule.applied(pages_written, now.steady);
            }
            Done::Emptied => self.track.became_empty(),
            Done::Looked => self.track.looked(),
        }
    }

    fn tell_rebuilt(&mut self, manner: Manner, pages: u64, evidence: Option<PathBuf>) {
        let db = &self.place.name;
        let kept = evidence.map(|path| path.display().to_string());
        self.detail = match (manner, &kept) {
            (Manner::Installed | Manner::Filled, None) => {
                tracing::info!(%db, pages, "installed");
                return self.detail = None;
            }
            (_, None) => Some(format!("healed: {pages} pages written")),
            (_, Some(kept)) => Some(format!("healed: {pages} pages written, evidence in {kept}")),
        };
        tracing::info!(%db, pages, ?manner, evidence = kept, "healed");
        self.heals += 1;
    }

    fn undone(&mut self, undone: Undone, now: Now) {
        let Undone { error, trouble, evidence, unapplied } = undone;
        let db = &self.place.name;
        let kept = evidence.map(|path| path.display().to_string());
        let text = match &kept {
            Some(kept) => format!("{error}; evidence in {kept}"),
            None => error.to_string(),
        };
        let is_new = self.detail.as_ref() != Some(&text);
        match trouble {
            Trouble::Distrust if is_new => {
                tracing::error!(%db, %error, "damaged in the store: waiting for a newer base; `walship snapshot NAME` on the primary makes one now")
            }
            Trouble::Wait if is_new => tracing::warn!(%db, %error, "cannot go on yet"),
            Trouble::Foreign if is_new => tracing::error!(%db, %error, "not followed"),
            Trouble::Rebuild => {
                tracing::warn!(%db, %error, evidence = kept, "the standby's file must be rebuilt")
            }
            Trouble::Distrust | Trouble::Wait | Trouble::Foreign => {
                tracing::debug!(%db, %error, "still not")
            }
        }
        self.detail = Some(text);
        self.track.failed(trouble, unapplied, now);
    }

    /// The log says for certain what the database is.
    pub(super) fn proven(&mut self, expected: &Expected, now: Millis) {
        let db = &self.place.name;
        match (self.track.doubt(), self.track.proven(expected, now)) {
            (_, true) => {
                tracing::warn!(%db, "the log names another state than the standby has: it must be rebuilt")
            }
            (Some(doubt), false) if self.track.doubt().is_none() => {
                tracing::info!(%db, seq = %doubt.first, "no doubt any more");
            }
            (_, false) => {}
        }
    }

    /// A worker met a bug: its connections are gone.
    pub(super) fn panicked(&mut self, now: Now) {
        self.touched.clear();
        self.detail = Some("a bug stopped the last try; the log has its place".into());
        self.track.failed(Trouble::Rebuild, Vec::new(), now);
    }

    /// What the status command shows, with what the catalogue says, and the object with which content went away; the lag
    /// is filled in when it is asked for.
    pub(super) fn status(
        &self,
        entry: Option<&CatalogueEntry>,
        gone_since: Option<Seq>,
    ) -> DatabaseStatus {
        let (applied_seq, applied_txid) = self.track.applied_to();
        let condition = self.track.condition();
        let has_all = matches!(condition, Condition::Live | Condition::Empty)
            && self.track.lags_since().is_none();
        let absence = entry.filter(|_| has_all).and_then(absence);
        let gone = entry.is_some_and(gone::is_gone).then_some(absence).flatten();
        let unread = (absence == Some(Condition::Unread)).then(|| UNREAD.to_owned());
        DatabaseStatus {
            name: self.place.name.clone(),
            tier: self.tier.clone(),
            state: absence.unwrap_or(condition),
            detail: gone
                .map(|state| self.tell_gone(state, gone_since))
                .or(unread)
                .or_else(|| self.detail()),
            applied_seq,
            applied_txid,
            committed_age_seconds: None,
            apply_lag_seconds: None,
            pages: self.pages,
            bytes: self.bytes,
            heals: self.heals,
        }
    }

    fn tell_gone(&self, state: Condition, since: Option<Seq>) -> String {
        let state = if state == Condition::Missing { "missing" } else { "empty" };
        let since = since.map(|seq| format!(" since log object {seq}")).unwrap_or_default();
        let kept = if self.bytes > 0 {
            "the file here keeps what it had"
        } else {
            "`walapply restore` tells how to get its last content"
        };
        format!("{state} on the primary{since}: {kept}")
    }

    /// The reason that an operator is given.
    pub(super) fn explain(&self) -> String {
        let reason = self.detail().unwrap_or_else(|| "not finished".to_owned());
        format!("{}: {reason}", self.place.name)
    }

    fn detail(&self) -> Option<String> {
        let doubt = self.track.doubt().filter(|_| self.condition() == Condition::Doubtful);
        doubt.map(|doubt| doubt.to_string()).or_else(|| self.detail.clone())
    }

    /// How it stands.
    pub(super) fn condition(&self) -> Condition {
        self.track.condition()
    }
}

/// Whether the log says that there is content. A life without a base counts: it is damage, not emptiness.
pub(super) fn is_live(entry: &CatalogueEntry) -> bool {
    entry.state.has_content() && (entry.base.is_some() || entry.incarnation.is_some())
}

const UNREAD: &str = "the primary cannot read it (`walship status` there says why): the file here has what it had before";

/// The state of a database of which the primary ships nothing: it has no content there, or none that can be read.
fn absence(entry: &CatalogueEntry) -> Option<Condition> {
    match entry.state {
        DatabaseState::Empty => Some(Condition::Empty),
        DatabaseState::Missing => Some(Condition::Missing),
        DatabaseState::Unread => Some(Condition::Unread),
        DatabaseState::Live | DatabaseState::Retired => None,
    }
}

/// What the catalogue says that a track needs.
pub(super) fn expected(entry: Option<&CatalogueEntry>) -> Expected {
    match entry {
        Some(entry) => Expected {
            is_live: is_live(entry),
            is_told: !entry.state.has_content() || entry.incarnation.is_some(),
            checksum: entry.checksum,
            changed: entry.changed,
            txid: entry.txid,
        },
        None => Expected {
            is_live: false,
            is_told: true,
            checksum: segment::Checksum::EMPTY,
            changed: None,
            txid: segment::Txid::NONE,
        },
    }
}
