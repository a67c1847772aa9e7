//! One attached database: the lock we hold on its log, and what was captured since.
//!
//! Invariant C1: every commit up to our position, and nothing after it, has been captured, and at every moment a lock is
//! held that keeps the frames after it. [`Attached::hand_over`] keeps that: it begins the next read transaction and
//! captures exactly up to its snapshot while a place among the readers is held; where none is to be had, the old
//! transaction ends only then. If that is ever broken (an error on the way), continuity is void and the caller attaches
//! anew, comparing all pages.
//!
//! Why nothing is lost: a place above 0, with a mark or without, forbids a restart of the log. Read lock 0 (the log was
//! fully moved at our snapshot) allows one restart, but while it is held nothing of the new log can be moved
//! into the file, so a second restart is impossible and all its frames are still there.
//!
//! A database in a rollback journal mode has no log: its pages are compared whenever its file changed,
//! under a shared lock that lasts as long as the comparison.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use segment::{Checksum, Incarnation, Millis, PageHashes, PageSize, Txid};
use sqlite_wal::Salts;

use crate::compare::{Known, compare, hash_all};
use crate::error::CaptureError;
use crate::handover::{self, Action, Decision, Situation, Stand};
use crate::identity::{Identity, Stamp};
use crate::image::Image;
use crate::pending::Change;
use crate::pinned::Pinned;
use crate::sqlite::{Connection, SharedIndex};
use crate::wal_index::WalIndexHeader;
use crate::wal_range;
use rollback::Trace;

mod capture;
mod files;
mod relief;
mod rollback;

/// Counters of one database, for status and for deciding when something deserves a warning.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counters {
    /// Read transactions handed over.
    pub handovers: u64,
    /// PASSIVE checkpoints we ran.
    pub checkpoints: u64,
    /// Times the write lock was taken to shorten the log.
    pub forced: u64,
    /// Longest such hold.
    pub forced_longest: Duration,
}

/// How changes are noticed.
#[derive(Debug)]
enum Watch {
    Wal(SharedIndex),
    File(Trace),
}

/// See the module's text.
pub struct Attached {
    // The view of the wal-index stands before the connections: it must be dropped first.
    watch: Watch,
    holder: Connection,
    spare: Option<Connection>,
    spare_used: Instant,
    path: PathBuf,
    identity: Identity,
    identity_checked: Instant,
    parked_stamp: Option<Stamp>,
    told_of_length: Option<Instant>,
    situation: Situation,
    incarnation: Incarnation,
    hashes: PageHashes,
    txid: Txid,
    pending: Option<Change>,
    is_first: bool,
    noticed: Option<Millis>,
    last_commit: Option<Millis>,
    counters: Counters,
}

impl Attached {
    /// Opens the database, begins the read transaction and compares all pages with what was shipped.
    /// Without `known`, or if the page size changed, a new incarnation begins: the caller ships a base.
    ///
    /// # Errors
    /// Locked, refused, or replaced while attaching.
    pub fn open(
        path: &Path,
        known: Option<Known>,
        fresh: Incarnation,
        force_above: Option<u64>,
        now: (Instant, Millis),
    ) -> Result<Self, CaptureError> {
        let mut holder = Connection::open(path)?;
        let position = holder.begin_read()?;
        let watch = watch_of(&holder, path, position.as_ref())?;
        let identity = Identity::of(path);
        let parked_stamp = Stamp::of(path);
        let shared = match &watch {
            Watch::Wal(shared) => Some(shared),
            Watch::File(_) => None,
        };
        let image = Image::open(&holder, position.as_ref(), shared)?;
        let known = known.filter(|known| known.hashes.page_size() == image.page_size());
        let is_first = known.is_none();
        let known = known.unwrap_or_else(|| Known {
            incarnation: fresh,
            txid: Txid::default(),
            hashes: PageHashes::new(image.page_size()),
        });
        let (hashes, pending) =
            if is_first { (hash_all(&image)?, None) } else { compare(&image, &known, now.1)? };
        let txid = pending.as_ref().map_or(known.txid, |change| change.txids.1);
        let situation = situation_of(position, image.page_size(), force_above, now.0);
        if matches!(watch, Watch::File(_)) {
            holder.end_read();
        }
        let attached = Self {
            watch,
            holder,
            spare: None,
            spare_used: now.0,
            path: path.to_owned(),
            identity,
            identity_checked: files::staggered(now.0, known.incarnation),
            parked_stamp,
            told_of_length: None,
            situation,
            incarnation: known.incarnation,
            hashes,
            txid,
            pending,
            is_first,
            noticed: None,
            last_commit: None,
            counters: Counters::default(),
        };
        attached.check_identity()?;
        Ok(attached)
    }

    /// The life of the file.
    #[must_use]
    pub fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// True until the first change of a new incarnation is sealed: a base is needed.
    #[must_use]
    pub fn needs_first_base(&self) -> bool {
        self.is_first
    }

    /// Page hashes of the captured state.
    #[must_use]
    pub fn hashes(&self) -> &PageHashes {
        &self.hashes
    }

    /// Commits captured so far.
    #[must_use]
    pub fn txid(&self) -> Txid {
        self.txid
    }

    /// When the newest commit since attaching was noticed.
    #[must_use]
    pub fn last_commit(&self) -> Option<Millis> {
        self.last_commit
    }

    /// Counters since attaching.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Bytes of the WAL up to the captured position.
    #[must_use]
    pub fn wal_bytes(&self) -> u64 {
        self.situation.wal_bytes
    }

    /// The salts of the log that was captured; `None` while it is empty.
    #[must_use]
    pub fn log_salts(&self) -> Option<Salts> {
        let position = self.situation.position.filter(|position| position.last_frame() > 0);
        position.map(|position| position.salts())
    }

    /// When the oldest commit that is not sealed yet was noticed.
    #[must_use]
    pub fn dirty_since(&self) -> Option<Millis> {
        self.pending.as_ref().map(|change| change.oldest_commit).or(self.noticed)
    }

    /// Glances at the database and decides what is to be done: no system call while it is idle.
    pub fn glance(&mut self, now: (Instant, Millis)) -> Decision {
        match &self.watch {
            Watch::Wal(shared) => {
                let peek = shared.peek();
                let decision = handover::decide(now.0, peek, &self.situation);
                if handover::differs(&peek, self.situation.position.as_ref()) {
                    self.noticed.get_or_insert(now.1);
                }
                self.situation.previous = Some(peek);
                decision
            }
            Watch::File(_) => {
                let moved = !self.is_still();
                if moved {
                    self.noticed.get_or_insert(now.1);
                }
                let action = if moved { Action::HandOver } else { Action::Wait };
                Decision { action, next_peek: now.0 + handover::IDLE_PEEK * 4 }
            }
        }
    }

    /// True if a glance shows nothing that is not captured.
    #[must_use]
    pub fn is_still(&self) -> bool {
        match &self.watch {
            Watch::Wal(shared) => {
                !handover::differs(&shared.peek(), self.situation.position.as_ref())
            }
            // A file that cannot be read counts as moved: whoever compares it learns why.
            Watch::File(trace) => {
                Trace::of(&self.path, &self.holder).is_ok_and(|now| now == *trace)
            }
        }
    }

    /// Captures everything committed up to now.
    ///
    /// # Errors
    /// Locked: try again. Anything else: attach anew.
    pub fn hand_over(&mut self, now: (Instant, Millis)) -> Result<(), CaptureError> {
        self.check_identity()?;
        match self.watch {
            Watch::Wal(shared) => self.hand_over_wal(shared, now),
            Watch::File(_) => self.compare_file(now),
        }
    }

    fn push(&mut self, change: Change) {
        self.last_commit = Some(change.oldest_commit);
        match &mut self.pending {
            Some(pending) => pending.merge(change),
            None => self.pending = Some(change),
        }
    }

    /// Leaves a read transaction open on exactly the captured state, for copying a base from it while
    /// capture goes on beside it. Nothing may be pending, unless it is the first base of an incarnation,
    /// which holds what is pending.
    ///
    /// # Errors
    /// As [`Attached::hand_over`]; locked when a rollback-journal database changed just now.
    pub fn pin(&mut self, now: (Instant, Millis)) -> Result<Pinned, CaptureError> {
        match self.watch {
            Watch::Wal(shared) => {
                if self.situation.stand == Stand::Aside {
                    self.hand_over_wal(shared, now)?;
                }
                if self.is_first {
                    self.pending = None;
                }
                let (hashes, snapshot) = (self.hashes.clone(), self.situation.position);
                let txid = self.txid;
                let connection = self.replace_holder(shared, now)?;
                Ok(Pinned {
                    shared: Some(shared),
                    connection,
                    snapshot,
                    hashes,
                    txid,
                    alive: Arc::default(),
                })
            }
            Watch::File(_) => self.pin_file(now),
        }
    }

    /// Takes what was captured since the last call. For the first change of an incarnation it is called
    /// once the base stands; the change may then be without pages.
    pub fn seal(&mut self, now: Millis) -> Option<Change> {
        let mut change = self.pending.take();
        if self.is_first {
            let checksum = self.hashes.checksum();
            let mut first = change.unwrap_or_else(|| {
                self.txid = self.txid.next();
                self.empty_change(checksum, now)
            });
            first.is_first = true;
            change = Some(first);
            self.is_first = false;
        }
        change
    }

    fn empty_change(&self, checksum: Checksum, now: Millis) -> Change {
        Change {
            incarnation: self.incarnation,
            page_size: self.hashes.page_size(),
            pages_after: self.hashes.page_count(),
            pages: BTreeMap::new(),
            txids: (self.txid, self.txid),
            checksums: (checksum, checksum),
            oldest_commit: now,
            is_diff: true,
            is_first: true,
        }
    }

    /// What keeps the log short, to be asked after a hand-over.
    #[must_use]
    pub fn relief(&self, now: Instant) -> Action {
        match self.watch {
            Watch::Wal(_) => handover::relief(now, &self.situation),
            Watch::File(_) => Action::Wait,
        }
    }

    fn shared_index(&self) -> Option<SharedIndex> {
        match self.watch {
            Watch::Wal(shared) => Some(shared),
            Watch::File(_) => None,
        }
    }

    fn take_spare(&mut self) -> Result<Connection, CaptureError> {
        match self.spare.take() {
            Some(spare) => Ok(spare),
            None => Ok(Connection::open(&self.path)?),
        }
    }
}

fn watch_of(
    holder: &Connection,
    path: &Path,
    position: Option<&WalIndexHeader>,
) -> Result<Watch, CaptureError> {
    if position.is_some() || is_in_wal_mode(holder)? {
        return Ok(Watch::Wal(holder.shared_index()?));
    }
    Ok(Watch::File(Trace::of(path, holder)?))
}

fn is_in_wal_mode(holder: &Connection) -> Result<bool, CaptureError> {
    let mut versions = [0; 2];
    holder.read_database(18, &mut versions)?;
    if versions[1] > 2 {
        return Err(CaptureError::Refused(format!(
            "journal format {} is not SQLite's (wal2?)",
            versions[1]
        )));
    }
    Ok(versions[1] == 2)
}

fn situation_of(
    position: Option<WalIndexHeader>,
    page_size: PageSize,
    force_above: Option<u64>,
    now: Instant,
) -> Situation {
    Situation {
        position,
        stand: if position.is_none() { Stand::Parked } else { Stand::Marked },
        no_place_at: None,
        confirm_at: None,
        parked_at: None,
        last_handover: now,
        last_change: now,
        previous: None,
        wal_bytes: position.map_or(0, |p| wal_range::wal_bytes(p.last_frame(), page_size)),
        checkpoint_wanted: false,
        last_checkpoint: now,
        last_forced: None,
        force_above,
    }
}
