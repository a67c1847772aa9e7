//! From one read transaction to the next, with everything committed between them captured (C1).
//!
//! Nothing here may end the old transaction before a reader's place is held, or, where none is to be had, before the new
//! transaction stands and its frames are read. An error on the way leaves the place or the old transaction held, or breaks
//! continuity, which the caller answers by attaching anew.

use std::collections::BTreeMap;
use std::time::Instant;

use segment::{Millis, PageNo, Txid, page_hash};

use super::Attached;
use crate::error::CaptureError;
use crate::handover::{self, Stand};
use crate::identity::Stamp;
use crate::image::{self, Image};
use crate::pending::Change;
use crate::sqlite::{Connection, SharedIndex};
use crate::wal_index::WalIndexHeader;
use crate::wal_range;

impl Attached {
    pub(super) fn hand_over_wal(
        &mut self,
        shared: SharedIndex,
        now: (Instant, Millis),
    ) -> Result<(), CaptureError> {
        if self.holder.hold_log(shared)? {
            return self.renew_holder(shared, now);
        }
        let mut old = self.replace_holder(shared, now)?;
        old.end_read();
        self.spare = Some(old);
        self.spare_used = now.0;
        Ok(())
    }

    /// The hand-over where a place among the readers keeps the log meanwhile: one connection suffices.
    fn renew_holder(
        &mut self,
        shared: SharedIndex,
        now: (Instant, Millis),
    ) -> Result<(), CaptureError> {
        let before = shared.peek().backfilled;
        let snapshot = self.read_anew(shared, now.1).inspect_err(|_| {
            self.holder.end_read();
            self.situation.stand = Stand::Aside;
            self.situation.confirm_at = None;
        })?;
        self.settle(snapshot, before, shared.peek().backfilled, now.0);
        if self.situation.stand == Stand::Parked {
            self.holder.let_log_go()?;
        }
        Ok(())
    }

    fn read_anew(
        &mut self,
        shared: SharedIndex,
        now: Millis,
    ) -> Result<Option<WalIndexHeader>, CaptureError> {
        self.holder.end_read();
        let snapshot = self.holder.begin_read()?;
        if let Some(snapshot) = &snapshot {
            let captured = self.read_frames(&self.holder, snapshot, shared)?;
            self.absorb(captured, snapshot.pages(), now);
        }
        Ok(snapshot)
    }

    /// The hand-over to another connection, but for its last step: returns the old read transaction, still open.
    pub(super) fn replace_holder(
        &mut self,
        shared: SharedIndex,
        now: (Instant, Millis),
    ) -> Result<Connection, CaptureError> {
        let before = shared.peek().backfilled;
        let mut next = self.take_spare()?;
        let snapshot = next.begin_read()?;
        if let Some(snapshot) = &snapshot {
            let captured = self.read_frames(&next, snapshot, shared)?;
            self.absorb(captured, snapshot.pages(), now.1);
        }
        let mut old = std::mem::replace(&mut self.holder, next);
        self.settle(snapshot, before, shared.peek().backfilled, now.0);
        old.let_log_go()?;
        Ok(old)
    }

    /// What was committed between our position and the snapshot that a connection reads.
    fn read_frames(
        &self,
        connection: &Connection,
        snapshot: &WalIndexHeader,
        shared: SharedIndex,
    ) -> Result<wal_range::Captured, CaptureError> {
        if snapshot.page_size() != Some(self.hashes.page_size()) {
            return Err(CaptureError::continuity("the page size changed"));
        }
        let position = self.situation.position.as_ref();
        let mut captured = wal_range::capture(connection, position, snapshot)?;
        self.fill_growth(&mut captured, connection, snapshot, shared)?;
        Ok(captured)
    }

    /// Notes where we stand after a hand-over.
    pub(super) fn settle(
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
            s.no_place_at = None;
        }
        let is_parked = last_frame == 0 || before == last_frame && after == last_frame;
        let stand = if is_parked { Stand::Parked } else { Stand::Marked };
        let was_parked = std::mem::replace(&mut s.stand, stand) == Stand::Parked;
        if is_parked && !was_parked {
            s.parked_at = Some(now);
        }
        let confirmed = s.confirm_at.is_some_and(|at| now >= at);
        s.confirm_at = match (is_parked, was_parked) {
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
}
