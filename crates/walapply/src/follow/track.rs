//! What one database of the standby needs next: decisions only.
//!
//! Sections of the log arrive as [`Link`]s that chain by checksum: the state after one is the state before the next. A track
//! holds those that the file does not have yet and hands out one [`Job`] at a time.
//!
//! - Where the file stands is found by content: the link whose pre-checksum is the file's checksum is the next to apply.
//!   Links before it are only compared, never kept. If the log's end comes without a match, the file is rebuilt.
//! - Invariant F1: a track is never silently stuck: it follows, or has a job, or a [`Condition`] that says what it waits
//!   for and when it tries again.
//! - A database that loses its content on the primary keeps what it has here, up to the last section of the log, whether the
//!   follower is restarted or not.
//! - A rebuild at `seq` covers every link up to `seq`; links that arrive meanwhile are kept and follow it.
//! - An object of the log that cannot be read puts every track in doubt until the log proves what the database is: see [`Doubt`].
//! - After a restart a file with content is not changed before the log was read up to the sidecar's ceiling, or to its end, so
//!   that no reader sees an older state than it saw before.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use segment::{Checksum, Millis, Seq, Txid};

mod doubt;

use super::clocks::Now;
pub(crate) use doubt::Doubt;

/// Links of one database held in memory beyond this many bytes are given up for a rebuild from the store.
pub(crate) const QUEUE_BYTES_MAX: u64 = 96 << 20;
/// First pause after a failed job; it doubles up to [`RETRY_PAUSE_MAX`].
const RETRY_PAUSE: Duration = Duration::from_millis(250);
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(30);
/// Longest pause before another look at a file that is not ours, which costs next to nothing.
const FOREIGN_PAUSE_MAX: Duration = Duration::from_secs(2);

/// One section of the log for this database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Link<P> {
    /// Its log object.
    pub(crate) seq: Seq,
    /// The checksum before it.
    pub(crate) pre: Checksum,
    /// The checksum after it.
    pub(crate) post: Checksum,
    /// The file began a new life: the state before is a base, not the state of the former life.
    pub(crate) begins_life: bool,
    /// The last commit in it.
    pub(crate) last_txid: Txid,
    /// When its oldest commit was made, on the store's clock.
    pub(crate) oldest_commit: Millis,
    /// Bytes held in memory.
    pub(crate) bytes: u64,
    /// What the worker needs.
    pub(crate) payload: P,
}

/// What the log says about the database as of the last object read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Expected {
    /// Whether the database has content on the primary.
    pub(crate) is_live: bool,
    /// Whether that is told. It is not where the primary lost the log's account of a database, until it begins a new life.
    pub(crate) is_told: bool,
    /// Its checksum.
    pub(crate) checksum: Checksum,
    /// The last object that changed it.
    pub(crate) changed: Option<Seq>,
    /// Its commits.
    pub(crate) txid: Txid,
}

/// What is to be done with the database's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Job<P> {
    /// Look at the file, or make an empty one.
    Open,
    /// Apply these as one transaction.
    Apply(Vec<Link<P>>),
    /// Make the file what the log says it is after the last object read.
    Rebuild {
        /// Nobody knows how the file came to be what it is.
        is_unexplained: bool,
    },
    /// Look for changes made by others.
    Look {
        /// At every page, whatever SQLite says.
        is_thorough: bool,
    },
}

/// How a job failed, as far as the next step depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The same again later.
    Wait,
    /// The file must be rebuilt.
    Rebuild,
    /// The stored objects are damaged.
    Distrust,
    /// What lies at its place is not ours.
    Foreign,
}

/// What an operator sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Condition {
    /// Applied as far as the log was read, or about to be.
    Live,
    /// The same, but the primary has not been heard for long, or the store has not answered; told by the state of the
    /// whole, never by a track.
    Quiet,
    /// Being compared with the log, or rebuilt.
    Healing,
    /// Something outside must happen first: a lock, disk space, the store.
    Waiting,
    /// The store's objects for it are damaged; waiting for a newer base.
    Corrupt,
    /// An object of the log that cannot be read may have changed it: as it was before, until the log tells.
    Doubtful,
    /// A file that is not this standby's stands at its place, and is left as it is.
    Foreign,
    /// It has no content on the primary, or not any more; what the file held stays.
    Empty,
    /// There is no such file on the primary, or not any more; what the file here held stays.
    Missing,
    /// The primary cannot read it right now: what was committed there since is not known.
    Unread,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The file was not looked at yet.
    Unknown,
    /// It was looked at: no link matches its content so far.
    Searching(Checksum),
    /// The file is in the state before the first link.
    Following,
    /// The file must be rebuilt.
    Stale,
    /// The database has no content: a 0-byte file stands for it, or what is left of its last one.
    Placeholder,
}

/// The state of one database.
#[derive(Debug)]
pub(crate) struct Track<P> {
    stage: Stage,
    queue: VecDeque<Link<P>>,
    queued_bytes: u64,
    /// While following: the checksum after everything that runs or is queued.
    standing: Checksum,
    doubt: Option<Doubt>,
    is_busy: bool,
    /// The object up to which a running rebuild covers, or a running batch applies.
    running_to: Option<Seq>,
    /// The first object of a running batch, and its oldest commit.
    running_from: Option<Seq>,
    running_oldest: Option<Millis>,
    /// The file is not changed before the log was read up to here.
    hold_until: Option<Seq>,
    applied: Option<Seq>,
    applied_txid: Txid,
    failures: u32,
    /// No job begins before.
    pause_until: Option<Instant>,
    trouble: Option<Trouble>,
    look_wanted: Option<bool>,
    /// The content of the file is no state of the log, and nothing tells why.
    is_unexplained: bool,
    /// What was read tells why the content of the file may be no state that is found: a new life, damage.
    is_explained: bool,
    /// Since when the file is known to lag, where no link tells it.
    behind_since: Option<Millis>,
}

impl<P> Track<P> {
    /// A database that was just heard of.
    pub(crate) fn new(now: Millis) -> Self {
        Self {
            stage: Stage::Unknown,
            queue: VecDeque::new(),
            queued_bytes: 0,
            standing: Checksum::EMPTY,
            doubt: None,
            is_busy: false,
            running_to: None,
            running_from: None,
            running_oldest: None,
            hold_until: None,
            applied: None,
            applied_txid: Txid::NONE,
            failures: 0,
            pause_until: None,
            trouble: None,
            look_wanted: None,
            is_unexplained: false,
            is_explained: false,
            behind_since: Some(now),
        }
    }

    /// A section was read from the log.
    pub(crate) fn arrived(&mut self, link: Link<P>) {
        let doubt = self.doubt.take();
        if link.begins_life && self.break_off(link.oldest_commit) {
            return;
        }
        if let Some(doubt) = doubt
            && !self.goes_on_with(&link)
        {
            return self.go_stale(doubt.since);
        }
        match self.stage {
            Stage::Searching(actual) if link.pre == actual => {
                self.stage = Stage::Following;
                self.behind_since = None;
                self.push(link);
            }
            Stage::Searching(_) | Stage::Placeholder => {}
            Stage::Stale if self.running_to.is_none() => {}
            Stage::Unknown | Stage::Following | Stage::Stale => self.push(link),
        }
    }

    /// What was queued leads no further: a life begins, or a section is damaged. A file that is in a known state must be
    /// rebuilt (true). One that was not located yet may be past this point of the log: rebuilt from here, its readers
    /// would go back in time, so it is looked for on.
    fn break_off(&mut self, since: Millis) -> bool {
        if !matches!(self.stage, Stage::Unknown | Stage::Searching(_)) {
            self.go_stale(since);
            return true;
        }
        self.drop_queue();
        self.is_explained = true;
        false
    }

    fn push(&mut self, link: Link<P>) {
        self.queued_bytes += link.bytes;
        self.standing = link.post;
        self.queue.push_back(link);
        let is_draining =
            self.stage == Stage::Following && self.trouble.is_none() && !self.is_held();
        if self.queued_bytes > QUEUE_BYTES_MAX && !is_draining {
            self.give_up_queue();
        }
    }

    /// Frees the memory of links; the file is rebuilt from the store instead, where it cannot do without them.
    pub(crate) fn give_up_queue(&mut self) {
        let oldest = self.queue.front().map(|link| link.oldest_commit);
        match (self.stage, oldest) {
            (_, None) => {}
            (Stage::Unknown, _) => self.drop_queue(),
            // A rebuild that runs is followed by another one, which finds less to do.
            (_, Some(oldest)) => self.go_stale(oldest),
        }
    }

    fn drop_queue(&mut self) {
        self.queue.clear();
        self.queued_bytes = 0;
    }

    fn go_stale(&mut self, since: Millis) {
        self.drop_queue();
        self.running_to = None;
        self.behind_since = self.behind_since.or(Some(since));
        self.stage = Stage::Stale;
    }

    /// The file was looked at: its checksum, and the newest object that may be in it.
    pub(crate) fn opened(
        &mut self,
        actual: Option<Checksum>,
        ceiling: Option<Seq>,
        expected: &Expected,
        now: Millis,
    ) {
        self.succeeded();
        if self.stage != Stage::Unknown {
            return;
        }
        self.hold_until = None;
        match actual {
            None if !expected.is_live => self.rest_as_placeholder(),
            None => self.go_stale(now),
            Some(actual) => self.locate(actual, ceiling, expected),
        }
        self.check(expected, now);
    }

    fn rest_as_placeholder(&mut self) {
        self.drop_queue();
        self.stage = Stage::Placeholder;
        self.behind_since = None;
    }

    fn locate(&mut self, actual: Checksum, ceiling: Option<Seq>, expected: &Expected) {
        let next = self.queue.iter().position(|link| link.pre == actual);
        let known = next.unwrap_or(self.queue.len());
        let skipped: Vec<_> = self.queue.drain(..known).collect();
        self.queued_bytes = self.queue.iter().map(|link| link.bytes).sum();
        if next.is_none() && actual != expected.checksum {
            self.stage = Stage::Searching(actual);
            self.hold_until = ceiling;
            return;
        }
        self.stage = Stage::Following;
        self.standing = self.queue.back().map_or(actual, |link| link.post);
        self.behind_since = None;
        match skipped.last() {
            Some(link) => (self.applied, self.applied_txid) = (Some(link.seq), link.last_txid),
            None if next.is_none() => {
                (self.applied, self.applied_txid) = (expected.changed, expected.txid)
            }
            None => {}
        }
        let applied = self.applied;
        self.hold_until =
            ceiling.filter(|ceiling| applied.is_none_or(|applied| applied < *ceiling));
    }

    /// The log was read to its end, and this is what it says about the database there.
    pub(crate) fn tail_reached(&mut self, expected: &Expected, now: Millis) {
        self.hold_until = None;
        match self.stage {
            Stage::Searching(actual) if actual == expected.checksum => {
                self.stage = Stage::Following;
                self.standing = actual;
                self.behind_since = None;
                (self.applied, self.applied_txid) = (expected.changed, expected.txid);
            }
            // What was lost may have led there: rebuilt from before it, readers would go back in time.
            Stage::Searching(_) if self.doubt.is_some() => {}
            // Whatever the file holds stays: the primary may bring the database back.
            Stage::Searching(_) if !expected.is_live => self.rest_as_placeholder(),
            Stage::Searching(_) => {
                self.go_stale(now);
                self.is_unexplained = !self.is_explained;
            }
            Stage::Placeholder if expected.is_live => self.go_stale(now),
            _ => {}
        }
    }

    /// The log names a newer base: what was missing may be there now.
    pub(crate) fn base_named(&mut self) {
        if self.trouble == Some(Trouble::Distrust) {
            self.pause_until = None;
        }
    }

    /// The reader had to leave out objects of the log, and knows what they led to, where the log tells.
    pub(crate) fn log_jumped(&mut self, expected: &Expected, left_out: Doubt, now: Millis) {
        if !expected.is_told {
            return self.object_lost(left_out);
        }
        self.doubt = None;
        self.is_explained = true;
        match self.stage {
            Stage::Unknown | Stage::Placeholder => self.drop_queue(),
            Stage::Following if self.standing == expected.checksum => {}
            _ => self.go_stale(now),
        }
    }

    /// A damaged object holds a section of this database.
    pub(crate) fn section_damaged(&mut self, now: Millis) {
        self.break_off(now);
    }

    /// The file moves: it is looked at again before anything else, whatever it waited for.
    pub(crate) fn look_anew(&mut self, now: Millis) {
        self.stage = Stage::Unknown;
        self.trouble = None;
        self.pause_until = None;
        self.behind_since = self.behind_since.or(Some(now));
    }

    /// A look at the file is due, if need be at all of it.
    pub(crate) fn want_look(&mut self, is_thorough: bool) {
        self.look_wanted = (self.stage == Stage::Following).then_some(is_thorough);
    }

    /// What to do now, if anything.
    pub(crate) fn next_job(&mut self, read_to: Option<Seq>, now: Instant) -> Option<Job<P>> {
        if self.is_busy || self.is_pausing(now) {
            return None;
        }
        self.hold_until = self.hold_until.filter(|ceiling| read_to < Some(*ceiling));
        let job = match self.stage {
            Stage::Unknown => Job::Open,
            Stage::Stale | Stage::Following if self.hold_until.is_some() => return None,
            Stage::Stale => {
                self.drop_queue();
                self.running_to = read_to;
                Job::Rebuild { is_unexplained: self.is_unexplained }
            }
            Stage::Following => self.batch()?,
            Stage::Searching(_) | Stage::Placeholder => return None,
        };
        self.is_busy = true;
        Some(job)
    }

    /// Whether all there is to do is to look where the file stands, without news from the log.
    pub(crate) fn can_wait(&self, now: Instant) -> bool {
        self.stage == Stage::Unknown
            && self.queue.is_empty()
            && !self.is_busy
            && !self.is_pausing(now)
    }

    fn is_pausing(&self, now: Instant) -> bool {
        self.pause_until.is_some_and(|until| now < until)
    }

    fn batch(&mut self) -> Option<Job<P>> {
        let last = match self.queue.back() {
            Some(link) => link.seq,
            None => return self.look_wanted.take().map(|is_thorough| Job::Look { is_thorough }),
        };
        self.running_to = Some(last);
        self.running_from = self.queue.front().map(|link| link.seq);
        self.running_oldest = self.queue.front().map(|link| link.oldest_commit);
        self.queued_bytes = 0;
        Some(Job::Apply(self.queue.drain(..).collect()))
    }

    /// A batch was applied up to this link.
    pub(crate) fn applied(&mut self, seq: Seq, txid: Txid) {
        self.succeeded();
        (self.applied, self.applied_txid) = (Some(seq), txid);
    }

    /// The file was rebuilt as of an object of the log. Links up to there are in it.
    pub(crate) fn rebuilt(
        &mut self,
        at: Option<Seq>,
        changed: Option<Seq>,
        txid: Txid,
        checksum: Checksum,
    ) {
        let is_still_wanted = self.running_to == at && self.stage == Stage::Stale;
        self.succeeded();
        (self.applied, self.applied_txid) = (changed, txid);
        if is_still_wanted {
            self.stage = Stage::Following;
            self.is_unexplained = false;
            self.behind_since = None;
            while self.queue.front().is_some_and(|link| Some(link.seq) <= at) {
                let dropped = self.queue.pop_front().map_or(0, |link| link.bytes);
                self.queued_bytes -= dropped;
            }
            self.standing = self.queue.back().map_or(checksum, |link| link.post);
        }
    }

    /// The log has no content for the database any more.
    pub(crate) fn became_empty(&mut self) {
        self.succeeded();
        self.rest_as_placeholder();
    }

    /// A job ended whose result is not asked for any more.
    pub(crate) fn overtaken(&mut self) {
        self.succeeded();
    }

    /// A look found nothing.
    pub(crate) fn looked(&mut self) {
        self.succeeded();
    }

    /// A job failed; `unapplied` are its links.
    pub(crate) fn failed(&mut self, trouble: Trouble, unapplied: Vec<Link<P>>, now: Now) {
        let was_following = self.stage == Stage::Following;
        if trouble == Trouble::Foreign {
            // It may stay for days; what comes meanwhile is in the store.
            self.drop_queue();
        }
        self.is_busy = false;
        self.running_to = None;
        self.running_from = None;
        let oldest = self.running_oldest.take();
        self.trouble = Some(trouble);
        self.failures = self.failures.saturating_add(1);
        let pause = RETRY_PAUSE * (1 << self.failures.saturating_sub(1).min(7));
        let longest = if trouble == Trouble::Foreign { FOREIGN_PAUSE_MAX } else { RETRY_PAUSE_MAX };
        self.pause_until = Some(now.steady + pause.min(longest));
        if was_following && trouble == Trouble::Wait {
            self.queued_bytes += unapplied.iter().map(|link| link.bytes).sum::<u64>();
            unapplied.into_iter().rev().for_each(|link| self.queue.push_front(link));
        } else if self.stage != Stage::Unknown {
            self.go_stale(oldest.unwrap_or(now.store));
        }
        if was_following && trouble == Trouble::Rebuild {
            self.pause_until = None;
        }
    }

    fn succeeded(&mut self) {
        self.is_busy = false;
        self.running_to = None;
        self.running_from = None;
        self.running_oldest = None;
        self.failures = 0;
        self.trouble = None;
        self.pause_until = None;
    }

    /// What an operator sees.
    pub(crate) fn condition(&self) -> Condition {
        match (self.trouble, self.stage) {
            (Some(Trouble::Distrust), _) => Condition::Corrupt,
            (Some(Trouble::Wait), _) => Condition::Waiting,
            (Some(Trouble::Foreign), _) => Condition::Foreign,
            (_, Stage::Following | Stage::Placeholder | Stage::Searching(_))
                if self.doubt.is_some() =>
            {
                Condition::Doubtful
            }
            (_, Stage::Following) => Condition::Live,
            (_, Stage::Placeholder) => Condition::Empty,
            _ => Condition::Healing,
        }
    }

    /// Whether the file has everything that was read from the log; in doubt, whether there is nothing to do about it.
    pub(crate) fn is_caught_up(&self) -> bool {
        let is_at_rest = match self.stage {
            Stage::Following | Stage::Placeholder => true,
            Stage::Searching(_) => self.doubt.is_some(),
            Stage::Unknown | Stage::Stale => false,
        };
        is_at_rest && !self.is_busy && self.queue.is_empty()
    }

    /// Whether the file is in a state of the log, so that jobs only apply or look.
    pub(crate) fn is_following(&self) -> bool {
        self.stage == Stage::Following
    }

    /// Whether the file is to be rebuilt.
    pub(crate) fn is_stale(&self) -> bool {
        self.stage == Stage::Stale
    }

    /// Whether a job runs.
    pub(crate) fn is_busy(&self) -> bool {
        self.is_busy
    }

    /// Whether a job failed, and has not succeeded since.
    pub(crate) fn is_in_trouble(&self) -> bool {
        self.trouble.is_some()
    }

    /// Whether more of the log must be read before anything is applied.
    pub(crate) fn is_held(&self) -> bool {
        self.hold_until.is_some()
    }

    /// Bytes of links held here, not counting those of a running job.
    pub(crate) fn queued_bytes(&self) -> u64 {
        self.queued_bytes
    }

    /// The last object of the log whose change is in the file, and its commits.
    pub(crate) fn applied_to(&self) -> (Option<Seq>, Txid) {
        (self.applied, self.applied_txid)
    }

    /// The last object of the log up to which the file has everything, of those read.
    pub(crate) fn complete_to(&self, read: Option<Seq>) -> Option<Seq> {
        let missing = self.running_from.or(self.queue.front().map(|link| link.seq));
        let complete = match (self.stage, missing) {
            (Stage::Following, Some(seq)) => seq.previous(),
            (Stage::Following | Stage::Placeholder, None) => read,
            _ => self.applied,
        };
        self.doubt.map_or(complete, |doubt| complete.min(doubt.first.previous()))
    }

    /// When the oldest commit was made that is durable and not in the file; on the store's clock. A commit in doubt counts
    /// as one.
    pub(crate) fn lags_since(&self) -> Option<Millis> {
        let queued = self.queue.front().map(|link| link.oldest_commit);
        let doubted = self.doubt.map(|doubt| doubt.since);
        [self.running_oldest, queued, self.behind_since, doubted].into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests;
