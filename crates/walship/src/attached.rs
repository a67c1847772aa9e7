//! One attached database: the read transaction we hold on it, and what was captured since.
//!
//! Invariant C1: at every moment a read transaction is held on a snapshot such that every commit up to
//! it, and nothing after it, has been captured. [`Attached::hand_over`] keeps it: begin the next read
//! transaction, capture exactly up to its snapshot, and only then end the old one. If that order is ever
//! broken (an error on the way), continuity is void and the caller attaches anew, comparing all pages.
//!
//! Why nothing is lost: a read mark above 0 forbids a restart of the log. Read lock 0 (the log was fully
//! moved at our snapshot) allows one restart, but while it is held nothing of the new log can be moved
//! into the file, so a second restart is impossible and all its frames are still there.
//!
//! A database in a rollback journal mode has no log: its pages are compared whenever its file changed,
//! under a shared lock that lasts as long as the comparison.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use segment::{Checksum, Incarnation, Millis, PageHashes, PageNo, PageSize, Txid, page_hash};

use crate::compare::{Known, compare, hash_all};
use crate::error::CaptureError;
use crate::handover::{self, Action, Decision, Situation};
use crate::identity::{Identity, Stamp};
use crate::image::{self, Image};
use crate::pending::Change;
use crate::pinned::Pinned;
use crate::sqlite::{Connection, SharedIndex, SqliteError};
use crate::wal_index::WalIndexHeader;
use crate::wal_range;

/// How often the files at the path are compared with those that are open.
pub const IDENTITY_INTERVAL: Duration = Duration::from_secs(5);
/// A second connection that was not needed for this long is closed.
const SPARE_KEPT: Duration = Duration::from_secs(10);

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
    File(Option<Stamp>),
}

/// See the module's text.
pub struct Attached {
    // The view of the wal-index stands before the connections: it must be dropped first.
    watch: Watch,
    pub(crate) holder: Connection,
    pub(crate) spare: Option<Connection>,
    pub(crate) spare_used: Instant,
    pub(crate) path: PathBuf,
    identity: Identity,
    identity_checked: Instant,
    parked_stamp: Option<Stamp>,
    pub(crate) gave_way: Option<Instant>,
    pub(crate) situation: Situation,
    incarnation: Incarnation,
    hashes: PageHashes,
    txid: Txid,
    pending: Option<Change>,
    is_first: bool,
    noticed: Option<Millis>,
    last_commit: Option<Millis>,
    pub(crate) counters: Counters,
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
            identity_checked: staggered(now.0, known.incarnation),
            parked_stamp,
            gave_way: None,
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
            Watch::File(stamp) => {
                let moved = Stamp::of(&self.path) != *stamp;
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
            Watch::File(stamp) => Stamp::of(&self.path) == *stamp,
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

    fn hand_over_wal(
        &mut self,
        shared: SharedIndex,
        now: (Instant, Millis),
    ) -> Result<(), CaptureError> {
        let mut old = self.replace_holder(shared, now)?;
        old.end_read();
        self.spare = Some(old);
        self.spare_used = now.0;
        Ok(())
    }

    /// The steps of C1 but the last: returns the old read transaction, still open.
    fn replace_holder(
        &mut self,
        shared: SharedIndex,
        now: (Instant, Millis),
    ) -> Result<Connection, CaptureError> {
        let before = shared.peek().backfilled;
        let mut next = self.take_spare()?;
        let snapshot = next.begin_read()?;
        if let Some(snapshot) = &snapshot {
            if snapshot.page_size() != Some(self.hashes.page_size()) {
                return Err(CaptureError::continuity("the page size changed"));
            }
            let mut captured =
                wal_range::capture(&next, self.situation.position.as_ref(), snapshot)?;
            self.fill_growth(&mut captured, &next, snapshot, shared)?;
            self.absorb(captured, snapshot.pages(), now.1);
        }
        let old = std::mem::replace(&mut self.holder, next);
        self.settle(snapshot, before, shared.peek().backfilled, now.0);
        Ok(old)
    }

    /// Captures up to the snapshot that the held read transaction has, of the log that we stand in.
    pub(crate) fn capture_held(
        &mut self,
        snapshot: &WalIndexHeader,
        shared: SharedIndex,
        now: Millis,
    ) -> Result<(), CaptureError> {
        let position = self.situation.position;
        let mut captured = wal_range::capture(&self.holder, position.as_ref(), snapshot)?;
        self.fill_growth(&mut captured, &self.holder, snapshot, shared)?;
        self.absorb(captured, snapshot.pages(), now);
        Ok(())
    }

    /// Notes where we stand after a hand-over.
    pub(crate) fn settle(
        &mut self,
        snapshot: Option<WalIndexHeader>,
        before: u32,
        after: u32,
        now: Instant,
    ) {
        let last_frame = snapshot.map_or(0, |snapshot| snapshot.last_frame());
        let s = &mut self.situation;
        if snapshot != s.position {
            s.last_change = now;
            s.checkpoint_wanted = true;
            s.may_be_waited_for = true;
        }
        let was_parked = std::mem::replace(
            &mut s.parked,
            last_frame == 0 || before == last_frame && after == last_frame,
        );
        let confirmed = s.confirm_at.is_some_and(|at| now >= at);
        s.confirm_at = match (s.parked, was_parked) {
            (true, false) => Some(now + handover::PARK_CONFIRM),
            (true, true) if !confirmed => s.confirm_at,
            _ => None,
        };
        s.position = snapshot;
        s.last_handover = now;
        s.previous = None;
        s.wal_bytes = wal_range::wal_bytes(last_frame, self.hashes.page_size());
        self.noticed = None;
        self.counters.handovers += 1;
        self.parked_stamp = self.is_surely_parked().then(|| Stamp::of(&self.path)).flatten();
    }

    /// A database may grow by pages that no frame carries (free pages that SQLite need not write). They
    /// are read as SQLite would read them, so that every page of a database has an image somewhere.
    fn fill_growth(
        &self,
        captured: &mut wal_range::Captured,
        next: &Connection,
        snapshot: &WalIndexHeader,
        shared: SharedIndex,
    ) -> Result<(), CaptureError> {
        let grown = self.hashes.page_count() + 1..=snapshot.pages();
        let lock_page = self.hashes.page_size().lock_page();
        let missing: Vec<_> = grown
            .filter_map(PageNo::new)
            .filter(|pgno| *pgno != lock_page && !captured.pages.contains_key(pgno))
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        let image = Image::open(next, Some(snapshot), Some(&shared))?;
        for pgno in missing {
            captured.pages.insert(pgno, image.page(pgno)?);
        }
        Ok(())
    }

    fn absorb(&mut self, captured: wal_range::Captured, pages_after: u32, noticed: Millis) {
        if captured.commits == 0 {
            return;
        }
        let before = self.hashes.checksum();
        let resized = self.hashes.page_count() != pages_after;
        self.hashes.resize(pages_after);
        let mut pages = BTreeMap::new();
        for (pgno, mut page) in captured.pages {
            if pgno.get() == 1 {
                image::normalize_page_one(&mut page, pages_after);
            }
            let hash = page_hash(pgno, &page);
            let changed = self.hashes.get(pgno) != Some(hash);
            if changed || pgno.get() == 1 && resized {
                self.hashes.set(pgno, hash);
                pages.insert(pgno, page);
            }
        }
        let first = self.txid.next();
        self.txid = Txid::new(self.txid.get() + captured.commits);
        let oldest_commit = self.noticed.unwrap_or(noticed);
        self.push(Change {
            incarnation: self.incarnation,
            page_size: self.hashes.page_size(),
            pages_after,
            pages,
            txids: (first, self.txid),
            checksums: (before, self.hashes.checksum()),
            oldest_commit,
            is_diff: false,
            is_first: false,
        });
    }

    fn push(&mut self, change: Change) {
        self.last_commit = Some(change.oldest_commit);
        match &mut self.pending {
            Some(pending) => pending.merge(change),
            None => self.pending = Some(change),
        }
    }

    fn compare_file(&mut self, now: (Instant, Millis)) -> Result<(), CaptureError> {
        let stamp = Stamp::of(&self.path);
        self.holder.begin_read()?;
        let result = self.compare_locked(now.1);
        self.holder.end_read();
        let (hashes, change) = result?;
        self.hashes = hashes;
        if let Some(mut change) = change {
            change.oldest_commit = self.noticed.unwrap_or(now.1);
            self.txid = change.txids.1;
            self.push(change);
        }
        self.watch = Watch::File(stamp);
        self.noticed = None;
        self.counters.handovers += 1;
        self.situation.last_change = now.0;
        Ok(())
    }

    fn compare_locked(&self, now: Millis) -> Result<(PageHashes, Option<Change>), CaptureError> {
        if is_in_wal_mode(&self.holder)? {
            return Err(CaptureError::continuity("the database was switched to WAL mode"));
        }
        let image = Image::open(&self.holder, None, None)?;
        if image.page_size() != self.hashes.page_size() {
            return Err(CaptureError::continuity("the page size changed"));
        }
        let known =
            Known { incarnation: self.incarnation, txid: self.txid, hashes: self.hashes.clone() };
        compare(&image, &known, now)
    }

    /// Leaves a read transaction open on exactly the captured state, for copying a base from it while
    /// capture goes on beside it. Nothing may be pending, unless it is the first base of an incarnation,
    /// which holds what is pending.
    ///
    /// # Errors
    /// As [`Attached::hand_over`]; locked when a rollback-journal database changed just now.
    pub fn pin(&mut self, now: (Instant, Millis)) -> Result<Pinned, CaptureError> {
        if self.is_first {
            self.pending = None;
        }
        match self.watch {
            Watch::Wal(shared) => {
                let (hashes, snapshot) = (self.hashes.clone(), self.situation.position);
                let connection = self.replace_holder(shared, now)?;
                Ok(Pinned {
                    shared: Some(shared),
                    connection,
                    snapshot,
                    hashes,
                    alive: Arc::default(),
                })
            }
            Watch::File(_) => self.pin_file(now),
        }
    }

    fn pin_file(&mut self, now: (Instant, Millis)) -> Result<Pinned, CaptureError> {
        self.compare_file(now)?;
        if self.is_first {
            self.pending = None;
        }
        let mut connection = Connection::open(&self.path)?;
        connection.begin_read()?;
        if self.pending.is_some() || !self.is_still() {
            return Err(CaptureError::Locked(SqliteError {
                operation: "pin the state for a base",
                code: 5,
                message: "the database changed just now".into(),
            }));
        }
        Ok(Pinned {
            shared: None,
            connection,
            snapshot: None,
            hashes: self.hashes.clone(),
            alive: Arc::default(),
        })
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

    /// True if [`Self::check_periodically`] has something to do.
    #[must_use]
    pub fn is_check_due(&self, now: Instant) -> bool {
        now.duration_since(self.identity_checked) >= IDENTITY_INTERVAL
    }

    /// What keeps the log short, to be asked after a hand-over.
    #[must_use]
    pub fn relief(&self, now: Instant) -> Action {
        match self.watch {
            Watch::Wal(_) => handover::relief(now, &self.situation),
            Watch::File(_) => Action::Wait,
        }
    }

    /// The pace of the periodic check that the files at the path are those that are open.
    ///
    /// # Errors
    /// [`CaptureError::Replaced`], or continuity when a parked database was written behind SQLite's back.
    pub fn check_periodically(&mut self, now: Instant) -> Result<(), CaptureError> {
        if !self.is_check_due(now) {
            return Ok(());
        }
        self.identity_checked = now;
        self.check_identity()?;
        self.check_parked()?;
        if now.duration_since(self.spare_used) >= SPARE_KEPT {
            self.spare = None;
        }
        Ok(())
    }

    /// While we hold read lock 0 no checkpoint can write the file: if it changed, somebody copied over it.
    /// The stamp is taken when the lock is, so that a change before the first check is seen too.
    fn check_parked(&self) -> Result<(), CaptureError> {
        let is_in_wal_mode = matches!(self.watch, Watch::Wal(_));
        if !is_in_wal_mode || !self.is_surely_parked() || !self.is_still() {
            return Ok(());
        }
        if self.parked_stamp == Stamp::of(&self.path) {
            return Ok(());
        }
        Err(CaptureError::continuity("the file was written without SQLite"))
    }

    pub(crate) fn shared_index(&self) -> Option<SharedIndex> {
        match self.watch {
            Watch::Wal(shared) => Some(shared),
            Watch::File(_) => None,
        }
    }

    fn is_surely_parked(&self) -> bool {
        self.situation.parked && self.situation.confirm_at.is_none()
    }

    pub(crate) fn check_identity(&self) -> Result<(), CaptureError> {
        let now = Identity::of(&self.path);
        let replaced = |what| Err(CaptureError::Replaced { what });
        if now.database != self.identity.database {
            return replaced("the database file");
        }
        if matches!(self.watch, Watch::Wal(_)) {
            if now.wal != self.identity.wal {
                return replaced("the -wal file");
            }
            if now.shm != self.identity.shm {
                return replaced("the -shm file");
            }
        }
        Ok(())
    }

    pub(crate) fn take_spare(&mut self) -> Result<Connection, CaptureError> {
        match self.spare.take() {
            Some(spare) => Ok(spare),
            None => Ok(Connection::open(&self.path)?),
        }
    }
}

/// Spreads the periodic checks of many databases that were attached together over the interval.
fn staggered(now: Instant, incarnation: Incarnation) -> Instant {
    let share = u32::from(incarnation.as_bytes()[0]);
    now.checked_sub(IDENTITY_INTERVAL * share / 256).unwrap_or(now)
}

fn watch_of(
    holder: &Connection,
    path: &Path,
    position: Option<&WalIndexHeader>,
) -> Result<Watch, CaptureError> {
    if position.is_some() || is_in_wal_mode(holder)? {
        return Ok(Watch::Wal(holder.shared_index()?));
    }
    Ok(Watch::File(Stamp::of(path)))
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
        parked: position.is_none(),
        confirm_at: None,
        last_handover: now,
        last_change: now,
        previous: None,
        wal_bytes: position.map_or(0, |p| wal_range::wal_bytes(p.last_frame(), page_size)),
        checkpoint_wanted: false,
        may_be_waited_for: false,
        last_checkpoint: now,
        last_forced: None,
        force_above,
    }
}
