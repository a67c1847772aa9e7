//! Makes captured changes durable: one flush = one segment = one log object.
//!
//! Order: side objects first, then the log object that names them, then receipts to the databases. A
//! change that was taken from a database stays in the slot until it is durable, with the same bytes for
//! as long as the slot is tried; what is captured meanwhile merges in the databases and never outgrows
//! them. After a crash nothing of the slot is needed: the next start compares pages with what the log holds.

mod unread;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use fleet_log::{Appended, Identity, LogError, Slot, Writer};
use segment::{
    Announcement, BaseRecord, Catalogue, DatabaseState, DbId, Draft, Encoded, FenceKind, Header,
    Millis, Record, SegmentKind, Seq,
};
use store::Store;
use store::clock::Clock;
use tiering::Grid;

use crate::assemble::{Assembled, Item, assemble};
use crate::base::Author;
use crate::bases::Numbers;
use crate::database::{Condition, Spec};
use crate::fleet::{Cut, Fleet, item};
use crate::heap;
use crate::ownership::Owned;
use unread::Unread;

/// A catalogue stands in the log at least this often.
const CATALOGUE_EVERY: u64 = 1024;
/// Ahead of our own clock by less, the stamps of the log are nothing to tell of.
const STAMPS_AHEAD_MIN: Duration = Duration::from_secs(5);
const STAMPS_TOLD_EVERY: Duration = Duration::from_secs(3_600);

/// What one call of [`Flusher::flush`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flushed {
    /// There was nothing to ship.
    Nothing,
    /// A segment became durable.
    Durable(Seq),
}

/// See the module's text.
pub struct Flusher {
    fleet: Arc<Fleet>,
    store: Arc<dyn Store>,
    writer: Writer,
    author: Author,
    clock: Arc<dyn Clock>,
    numbers: Arc<Numbers>,
    grid: Grid,
    catalogue: Catalogue,
    catalogue_at: Option<Seq>,
    is_catalogue_due: bool,
    last_append: Instant,
    waiting: Option<Waiting>,
    store_offset_ms: i64,
    told_of_stamps: Option<Instant>,
    unread: Unread,
}

/// The contents of the slot that is being tried.
struct Waiting {
    assembled: Assembled,
    oldest: BTreeMap<DbId, Millis>,
    bases: BTreeMap<DbId, BaseRecord>,
    records: Vec<Record>,
    is_consistent: bool,
    sent: Option<Encoded>,
}

impl Flusher {
    /// A flusher that has shipped nothing yet. Its first segment carries the catalogue.
    #[must_use]
    pub fn new(
        fleet: Arc<Fleet>,
        owned: Owned,
        clock: Arc<dyn Clock>,
        numbers: Arc<Numbers>,
    ) -> Self {
        let Owned { store, author, writer, grid, catalogue } = owned;
        Self {
            fleet,
            store,
            writer,
            author,
            clock,
            numbers,
            grid,
            catalogue,
            catalogue_at: None,
            is_catalogue_due: true,
            last_append: Instant::now(),
            waiting: None,
            store_offset_ms: 0,
            told_of_stamps: None,
            unread: Unread::default(),
        }
    }

    /// The state of the fleet that the log holds.
    #[must_use]
    pub fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// The last durable log object.
    #[must_use]
    pub fn durable(&self) -> Option<Seq> {
        self.writer.position().next.previous()
    }

    /// The instants of flushing.
    #[must_use]
    pub fn grid(&self) -> Grid {
        self.grid
    }

    /// True while a sealed segment is not durable.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        self.waiting.is_some()
    }

    /// When the oldest commit in the segment that waits was noticed, by database.
    #[must_use]
    pub fn waiting(&self) -> BTreeMap<DbId, Millis> {
        self.waiting.as_ref().map(|waiting| waiting.oldest.clone()).unwrap_or_default()
    }

    /// True if the log does not know yet what the matter with some database is.
    #[must_use]
    pub fn has_news(&self) -> bool {
        let is_wanted = &self.fleet.news().catalogue_wanted;
        self.waiting.is_some()
            || self.is_catalogue_due
            || is_wanted.load(Ordering::Acquire)
            || self.has_records()
    }

    /// Looks now and then for databases that cannot be read: the log is to tell of them.
    pub fn look_for_unread(&mut self, now: Instant) {
        if self.unread.look(&self.fleet, now) {
            self.fleet.news().records_wanted.store(true, Ordering::Release);
        }
    }

    /// Time since something was appended.
    #[must_use]
    pub fn quiet_for(&self) -> Duration {
        self.last_append.elapsed()
    }

    /// Proves that credentials work and that nobody has taken the log over.
    ///
    /// # Errors
    /// Fenced, or the store's.
    pub fn check_owner(&mut self) -> Result<(), LogError> {
        self.writer.check_still_owner().map(drop)
    }

    /// Ships what is captured; with `heartbeat` even if that is nothing. After an error of the store the
    /// same slot is tried again by the next call.
    ///
    /// # Errors
    /// Fenced: stop for good. Errors of the store: call again.
    pub fn flush(&mut self, heartbeat: bool) -> Result<Flushed, LogError> {
        self.seal(heartbeat);
        self.send_sealed()
    }

    /// Takes what is captured for the next slot, unless a slot waits. Nothing is sent.
    pub fn seal(&mut self, heartbeat: bool) {
        if self.waiting.is_none() {
            self.waiting = self.prepare(heartbeat);
        }
    }

    /// Sends what was sealed.
    ///
    /// # Errors
    /// As [`Flusher::flush`].
    pub fn send_sealed(&mut self) -> Result<Flushed, LogError> {
        let Some(mut waiting) = self.waiting.take() else { return Ok(Flushed::Nothing) };
        match self.send(&mut waiting) {
            Ok(seq) => {
                self.finish(seq, waiting)?;
                Ok(Flushed::Durable(seq))
            }
            Err(error) => {
                self.waiting = Some(waiting);
                Err(error)
            }
        }
    }

    fn has_records(&self) -> bool {
        self.fleet.news().records_wanted.swap(false, Ordering::AcqRel)
            && (!self.news(&[]).is_empty() || self.fleet.has_base_record())
    }

    fn prepare(&mut self, heartbeat: bool) -> Option<Waiting> {
        let Cut { changes: taken, is_exact: is_consistent } = self.fleet.cut();
        let bases = taken
            .iter()
            .filter_map(|(spec, outgoing)| {
                outgoing.base.as_ref().map(|(record, _)| (spec.id, record.clone()))
            })
            .collect();
        let shipping: Vec<DbId> = taken.iter().map(|(spec, _)| spec.id).collect();
        let mut records = self.news(&shipping);
        records.extend(self.fleet.take_base_records().into_iter().map(Record::Base));
        self.is_catalogue_due |= self.fleet.news().catalogue_wanted.swap(false, Ordering::AcqRel);
        if taken.is_empty() && records.is_empty() && !heartbeat && !self.is_catalogue_due {
            return None;
        }
        let items: Vec<Item> = taken
            .into_iter()
            .map(|(spec, outgoing)| item(&spec, outgoing, self.previous_seq(&spec)))
            .collect();
        let numbers = Arc::clone(&self.numbers);
        let assembled = assemble(items, &self.author, &mut || numbers.next());
        let oldest = assembled
            .sections
            .iter()
            .map(|(section, _)| (section.db, section.oldest_commit))
            .collect();
        Some(Waiting { assembled, oldest, bases, records, is_consistent, sent: None })
    }

    fn previous_seq(&self, spec: &Spec) -> Option<Seq> {
        self.catalogue.databases.get(&spec.id).and_then(|entry| entry.changed)
    }

    /// Control records: what the log does not know yet about each database.
    fn news(&self, shipping: &[DbId]) -> Vec<Record> {
        let mut records = Vec::new();
        for member in self.fleet.members() {
            let report = member.report();
            records.extend(self.naming(&report.spec));
            records.extend(
                self.announcement(&report.spec, &report.condition, shipping.contains(&member.id))
                    .map(Record::Announce),
            );
        }
        let retired = self.catalogue.databases.values().filter(|entry| {
            entry.state != DatabaseState::Retired && self.fleet.is_retired(entry.id)
        });
        records.extend(retired.map(|entry| Record::Retired { db: entry.id }));
        records
    }

    fn naming(&self, spec: &Spec) -> Option<Record> {
        let entry = self.catalogue.databases.get(&spec.id)?;
        (entry.name != spec.name).then(|| Record::Renamed { db: spec.id, name: spec.name.clone() })
    }

    fn announcement(
        &self,
        spec: &Spec,
        condition: &Condition,
        is_shipping: bool,
    ) -> Option<Announcement> {
        let entry = self.catalogue.databases.get(&spec.id);
        let known = entry.map(|entry| entry.state).filter(|state| *state != DatabaseState::Retired);
        let state = match condition {
            Condition::Missing => DatabaseState::Missing,
            Condition::Empty => DatabaseState::Empty,
            Condition::Live
                if is_shipping || entry.is_some_and(|entry| entry.incarnation.is_some()) =>
            {
                DatabaseState::Live
            }
            _ if known?.has_content() && self.unread.is_told(spec.id) => DatabaseState::Unread,
            _ => known?,
        };
        let is_news = entry.is_none_or(|entry| {
            (entry.state, &entry.tier, entry.class_hours) != (state, &spec.tier, spec.class_hours)
        });
        is_news.then(|| Announcement {
            id: spec.id,
            name: spec.name.clone(),
            tier: spec.tier.clone(),
            class_hours: spec.class_hours,
            state,
        })
    }

    fn send(&mut self, waiting: &mut Waiting) -> Result<Seq, LogError> {
        for (_, side) in &mut waiting.assembled.sides {
            while let Some(object) = side.object() {
                // The name holds this writer's random id: what exists there is our own from before.
                self.store.put_if_absent(&object.name, &object.bytes)?;
                side.is_put();
            }
        }
        if waiting.sent.is_some() {
            let appended = self.writer.resend()?;
            return Ok(self.placed(appended));
        }
        let draft = self.draft(waiting);
        let (now, mut ahead) = (draft.now, 0);
        let appended = self.writer.append(|slot| {
            ahead = slot.not_before.since(now);
            let encoded = encode(draft, slot);
            waiting.sent = Some(encoded.clone());
            encoded
        });
        self.tell_of_stamps(Duration::from_millis(ahead));
        Ok(self.placed(appended?))
    }

    /// Stamps never go back, so a clock that was once ahead is told by them for as long.
    fn tell_of_stamps(&mut self, ahead: Duration) {
        let is_told = self.told_of_stamps.is_some_and(|at| at.elapsed() < STAMPS_TOLD_EVERY);
        if ahead < STAMPS_AHEAD_MIN || is_told {
            return;
        }
        self.told_of_stamps = Some(Instant::now());
        tracing::warn!(
            "the newest stamp of the log lies {} ahead of this host's clock: that was ahead, or is behind now. Stamps go on \
             from there until the clock has caught up, and `walapply restore --at` goes by them",
            console::output::age(ahead)
        );
    }

    /// Notes how far the store's clock is from ours.
    fn placed(&mut self, appended: Appended) -> Seq {
        self.store_offset_ms = difference(appended.server, self.clock.now());
        appended.seq
    }

    /// Everything of the segment but what the slot decides.
    fn draft(&mut self, waiting: &mut Waiting) -> Unplaced {
        Unplaced {
            author: self.author.clone(),
            now: self.clock.now(),
            grid: self.grid,
            offset: self.store_offset_ms,
            catalogue_at: self.catalogue_at,
            catalogue: self.is_catalogue_wanted(waiting).then(|| self.catalogue.clone()),
            records: std::mem::take(&mut waiting.records),
            bases: std::mem::take(&mut waiting.bases),
            sections: waiting.assembled.take_sections(),
            is_consistent: waiting.is_consistent,
        }
    }

    /// At the start, every 1,024 segments, and in a heartbeat unless the object before it has one: whoever cannot read an
    /// object of the log is told soon what it led to, also where nothing changes any more.
    fn is_catalogue_wanted(&self, waiting: &Waiting) -> bool {
        let Some(at) = self.catalogue_at else { return true };
        let is_heartbeat = waiting.assembled.sections.is_empty() && waiting.records.is_empty();
        let distance = self.writer.position().next.get() - at.get();
        self.is_catalogue_due || distance >= CATALOGUE_EVERY || is_heartbeat && distance > 1
    }

    fn finish(&mut self, seq: Seq, waiting: Waiting) -> Result<(), LogError> {
        let encoded = waiting.sent.expect("BUG: what became durable was encoded");
        let wrong =
            |error: segment::SegmentError| LogError::Corrupt { seq, detail: error.to_string() };
        let table = segment::decode_table(&encoded.bytes).map_err(wrong)?;
        self.catalogue.absorb(&table).map_err(wrong)?;
        self.catalogue_at = table.header.catalogue;
        self.is_catalogue_due = false;
        self.last_append = Instant::now();
        let mut bytes = 0;
        for mut receipt in waiting.assembled.receipts {
            receipt.ack.seq = seq;
            bytes += receipt.ack.bytes;
            if let Some(member) = self.fleet.member(receipt.db) {
                member.deliver(receipt);
            }
        }
        for record in &table.records {
            if let Record::Base(base) = record
                && let Some(member) = self.fleet.member(base.db)
            {
                member.note_base(seq);
            }
        }
        heap::give_back_after(bytes);
        tracing::debug!(%seq, bytes = encoded.bytes.len(), sections = table.sections.len(), consistent = table.header.consistent, "durable");
        Ok(())
    }
}

fn difference(store: Millis, own: Millis) -> i64 {
    i64::try_from(i128::from(store.get()) - i128::from(own.get())).unwrap_or(0)
}

/// The segment of a fence: nothing but the record that takes the log.
pub fn fence(slot: &Slot, identity: &Identity, grid: Grid, now: Millis) -> Encoded {
    let author = Author {
        fleet: identity.fleet,
        node: identity.node.clone(),
        writer: identity.writer,
        epoch: slot.epoch,
    };
    let records = vec![slot.fence(identity, FenceKind::Start)];
    let header = log_header(author, slot, grid, now.max(slot.not_before));
    segment::encode(&Draft {
        header: Header { catalogue: slot.catalogue, ..header },
        records,
        sections: Vec::new(),
    })
}

fn log_header(author: Author, slot: &Slot, grid: Grid, stamp: Millis) -> Header {
    Header {
        kind: SegmentKind::Log,
        fleet: author.fleet,
        node: author.node,
        writer: author.writer,
        epoch: slot.epoch,
        seq: Some(slot.seq),
        previous: slot.previous,
        stamp,
        store_offset_ms: 0,
        flush_period_ms: grid.period_ms(),
        next_flush_in_ms: grid.next_in_ms(stamp),
        catalogue: None,
        consistent: false,
        positions_wanted: false,
    }
}

/// A segment that has no slot yet.
struct Unplaced {
    author: Author,
    now: Millis,
    grid: Grid,
    offset: i64,
    catalogue_at: Option<Seq>,
    catalogue: Option<Catalogue>,
    records: Vec<Record>,
    bases: BTreeMap<DbId, BaseRecord>,
    sections: Vec<(segment::SectionEntry, Option<segment::EncodedBody>)>,
    is_consistent: bool,
}

fn encode(unplaced: Unplaced, slot: &Slot) -> Encoded {
    let first_bases = unplaced
        .bases
        .into_values()
        .map(|record| Record::Base(BaseRecord { at: slot.seq.previous(), ..record }));
    let catalogue_at =
        if unplaced.catalogue.is_some() { Some(slot.seq) } else { unplaced.catalogue_at };
    let stamp = unplaced.now.max(slot.not_before);
    let records = unplaced
        .catalogue
        .map(Record::Catalogue)
        .into_iter()
        .chain(unplaced.records)
        .chain(first_bases)
        .collect();
    let header = Header {
        store_offset_ms: unplaced.offset,
        catalogue: catalogue_at,
        consistent: unplaced.is_consistent,
        ..log_header(unplaced.author, slot, unplaced.grid, stamp)
    };
    segment::encode(&Draft { header, records, sections: unplaced.sections })
}

#[cfg(test)]
mod tests;
