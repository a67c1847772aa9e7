//! Reading the log, on a thread of its own: accepted objects in order, and what to do where they end.
//!
//! - Only what the log's rules accept is handed on. A damaged object is never skipped silently: whoever it concerns is told.
//! - The channel to the coordinator is short: a standby that cannot keep up stops reading, so memory stays bounded.
//! - An error of the store changes nothing; the same request is made again after a pause.

mod beginning;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use fleet_log::{
    Batch, End, LogError, Position, Reader, Snapshot, Tail, boundary, catalogue_at, find_tail,
    table,
};
use segment::{
    Catalogue, Epoch, FleetId, Header, Millis, Name, ObjectName, Record, Segment, Seq, Table,
};
use store::{Store, StoreError};

use super::clocks::Clocks;
use super::poll::{Limits, Poller};
use super::primary::sealed as sealed_at;
use super::sealed::Sealed;
use super::track::Doubt;
use crate::gone::Gone;
use beginning::{Beginning, Found};

/// Objects read before they are handed on.
const BATCH_OBJECTS: u32 = 64;
/// Bytes read before they are handed on.
const BATCH_BYTES: u64 = 24 << 20;
/// First pause after an error; it doubles up to the idle interval.
const ERROR_PAUSE: Duration = Duration::from_millis(200);

/// After so many errors in a row an object counts as unreadable.
const UNREADABLE_AFTER: u32 = 8;

/// How long the log is silent before all of it is listed, and how often then: a primary writes a heartbeat sooner, so what
/// looks like the end of the log may be a hole.
const END_INTERVAL: Duration = Duration::from_secs(16 * 60);
/// The same for a cheaper look at what stands near the end.
const NEAR_INTERVAL: Duration = Duration::from_secs(60);
/// Distance, on average, of short listings, which object stores bill ten times as high as a GET.
const LISTING_INTERVAL: Duration = Duration::from_secs(4 * 60);
/// How many of them may be made ahead of that.
const LISTINGS_AHEAD: u32 = 3;
const MISSING: &str = "it is not in the store, though later objects are";

/// What the coordinator is told.
pub(super) enum Event {
    /// Reading begins here; the catalogue is that of the cut before.
    Began {
        fleet: FleetId,
        catalogue: Catalogue,
        position: Position,
        sealed: Sealed,
        gone: Gone,
        heard: Option<Millis>,
        server: Option<Millis>,
    },
    /// Accepted objects, in order, and the position after them.
    Segments { segments: Vec<Arc<Segment>>, position: Position, server: Millis },
    /// There is nothing more now. Before a log exists the position is its start.
    Tail { server: Millis },
    /// The pages in this object are damaged, its table is not.
    Damaged { seq: Seq, table: Box<Table>, position: Position, detail: String },
    /// Objects were left out: the log goes on at a later cut.
    Jumped { catalogue: Catalogue, position: Position, heard: Option<Millis>, reason: String },
    /// Objects cannot be read at all; the log goes on after them, its catalogue unknown.
    Skipped { lost: Doubt, position: Position, detail: String },
    /// It will be tried again.
    Trouble(LogError),
    /// It will not.
    Ended(LogError),
}

/// What the thread needs.
pub(super) struct Reading {
    pub(super) store: Arc<dyn Store>,
    pub(super) clocks: Clocks,
    pub(super) fleet: Name,
    pub(super) state_dir: std::path::PathBuf,
    pub(super) limits: Limits,
    pub(super) once: bool,
    pub(super) events: Sender<Event>,
    /// Disconnected when the follower stops.
    pub(super) stop: Receiver<()>,
}

/// The follower stops, or nobody listens any more.
struct Stopped;

type Going<T> = Result<T, Stopped>;

/// The thread.
pub(super) fn run(reading: Reading) {
    let now = reading.clocks.steady.now();
    let poller = Poller::new(reading.limits, now);
    let mut thread = Thread {
        reading,
        poller,
        errors: 0,
        end: None,
        end_looked_for: now,
        near_looked_at: now,
        listings_paid: now,
    };
    // Nothing to do about a stop but to stop.
    let _: Going<()> = thread.read();
}

struct Thread {
    reading: Reading,
    poller: Poller,
    errors: u32,
    /// The newest object that a LIST has shown: rule R3, a 404 at or before it is never the end of the log.
    end: Option<Seq>,
    end_looked_for: Instant,
    near_looked_at: Instant,
    /// Until when the short listings that were made count.
    listings_paid: Instant,
}

impl Thread {
    fn read(&mut self) -> Going<()> {
        let (fleet, position) = self.begin()?;
        let mut reader = Reader::new(Arc::clone(&self.reading.store), position).of_fleet(fleet);
        self.await_the_last(&reader)?;
        loop {
            match reader.batch(BATCH_OBJECTS, BATCH_BYTES) {
                Ok(Batch::Accepted { segments, end: End::Tail, server })
                    if self.end >= Some(reader.position().next) =>
                {
                    let missing = reader.position().next;
                    self.accepted(&reader, segments, End::More, server)?;
                    self.recover(&mut reader, fleet, missing, MISSING.into())?;
                }
                Ok(Batch::Accepted { segments, end, server }) => {
                    self.look_for_the_end(end);
                    self.accepted(&reader, segments, end, server)?;
                    self.look_near(&reader, end)?;
                }
                Ok(Batch::Behind { retired }) => {
                    let reason = format!("the log before seq {retired} is no longer held");
                    self.jump(&mut reader, fleet, reason)?;
                }
                Err(error) => match self.judged(error) {
                    LogError::Corrupt { seq, .. } if seq > reader.position().next => {
                        self.read_up_to(&mut reader, seq)?;
                    }
                    LogError::Corrupt { seq, detail } => {
                        self.recover(&mut reader, fleet, seq, detail)?
                    }
                    error => self.trouble(error)?,
                },
            }
        }
    }

    /// What looks like a newer format may be damage, and so is what a store that answers otherwise cannot read for long: a
    /// bad sector. Where all of it fails, nothing behind the object can be read, and nothing is passed.
    fn judged(&self, error: LogError) -> LogError {
        match error {
            LogError::Store(StoreError::Transient { ref what, ref cause })
                if self.errors >= UNREADABLE_AFTER =>
            {
                let seq = ObjectName::parse(what).ok().and_then(|name| name.log_seq());
                seq.map_or(error.clone(), |seq| LogError::Corrupt { seq, detail: cause.clone() })
            }
            LogError::NewerFormat { seq, .. } => {
                match fleet_log::false_version(&*self.reading.store, seq) {
                    Ok(Some(damage)) => damage,
                    Ok(None) => error,
                    Err(unanswered) => unanswered,
                }
            }
            error => error,
        }
    }

    /// Finds where to begin; waits for a log to exist.
    fn begin(&mut self) -> Going<(FleetId, Position)> {
        loop {
            match beginning::find(&self.reading) {
                Ok(Found::Beginning(beginning)) => return self.begin_at(*beginning),
                Ok(Found::RolledBack(error)) => {
                    self.send(Event::Ended(error))?;
                    return Err(Stopped);
                }
                Ok(Found::NoLog) => {
                    self.send(Event::Tail { server: self.reading.clocks.wall.now() })?;
                    let wait = self.poller.wait(self.now());
                    self.sleep(wait)?;
                }
                Err(error) => self.trouble(error)?,
            }
        }
    }

    fn begin_at(&mut self, beginning: Beginning) -> Going<(FleetId, Position)> {
        let Beginning { fleet, catalogue, position, sealed, gone, server, last, end } = beginning;
        self.end = end;
        let (now, heard) = (self.now(), last.as_ref().map(sealed_at));
        self.errors = 0;
        if let Some(server) = server {
            self.poller.answered(server, now);
        }
        if let Some(header) = last {
            self.poller.moved(&header, now);
        }
        let began = Event::Began {
            fleet,
            catalogue,
            position: position.clone(),
            sealed,
            gone,
            heard,
            server,
        };
        self.send(began)?;
        Ok((fleet, position))
    }

    /// A log that was cut off looks like one without news, and so does one with a hole. Where it was cut off, reading waits
    /// until it is there again. What stands behind the end counts from the next answer on, since the object in between
    /// may have been written after the last one.
    fn look_near(&mut self, reader: &Reader, reached: End) -> Going<()> {
        let now = self.now();
        if reached != End::Tail || now.duration_since(self.near_looked_at) < NEAR_INTERVAL {
            return Ok(());
        }
        self.near_looked_at = now;
        self.await_the_last(reader)?;
        if let Ok(Some(behind)) = self.first_behind(reader.position().next, now) {
            self.end = self.end.max(Some(behind));
        }
        Ok(())
    }

    /// An object behind the end: by a short listing, or by asking for the next one where there were many listings.
    fn first_behind(&mut self, end: Seq, now: Instant) -> Result<Option<Seq>, LogError> {
        let store = &*self.reading.store;
        if self.listings_paid <= now + LISTING_INTERVAL * LISTINGS_AHEAD {
            self.listings_paid = self.listings_paid.max(now) + LISTING_INTERVAL;
            return fleet_log::first_behind(store, end);
        }
        let next = end.next();
        match table(store, next) {
            Ok(_) | Err(LogError::Corrupt { .. }) => Ok(Some(next)),
            Err(LogError::Missing { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Waits while the last object that was read is not there, or another one.
    fn await_the_last(&mut self, reader: &Reader) -> Going<()> {
        while let Some(error) = lost(&*self.reading.store, reader.position()) {
            self.trouble(error)?;
        }
        Ok(())
    }

    /// A LIST where the log is silent for long: it shows a hole of any size.
    fn look_for_the_end(&mut self, reached: End) {
        let now = self.now();
        if reached != End::Tail || now.duration_since(self.end_looked_for) < END_INTERVAL {
            return;
        }
        self.end_looked_for = now;
        if let Ok(Tail::At { position, .. }) = find_tail(&*self.reading.store) {
            self.end = position.last();
        }
    }

    fn accepted(
        &mut self,
        reader: &Reader,
        segments: Vec<Segment>,
        end: End,
        server: Millis,
    ) -> Going<()> {
        let now = self.now();
        self.errors = 0;
        self.poller.answered(server, now);
        let last = segments.last().map(|segment| segment.table().header.clone());
        if let Some(header) = &last {
            (self.end_looked_for, self.near_looked_at) = (now, now);
            self.poller.moved(header, now);
            let segments = segments.into_iter().map(Arc::new).collect();
            self.send(Event::Segments { segments, position: reader.position().clone(), server })?;
        }
        if end == End::Tail {
            self.send(Event::Tail { server })?;
        }
        let waits = end == End::Tail
            || last.is_some_and(|header| !self.reading.once && self.is_the_newest(&header));
        if waits { self.wait() } else { Ok(()) }
    }

    /// Whether the next flush lies in the future, so that asking for it now would be a request for nothing.
    fn is_the_newest(&self, header: &Header) -> bool {
        self.poller.is_awaited(header, self.now())
    }

    /// Takes the sound objects before a damaged one.
    fn read_up_to(&mut self, reader: &mut Reader, damaged: Seq) -> Going<()> {
        let sound = u32::try_from(damaged.get() - reader.position().next.get()).unwrap_or(u32::MAX);
        match reader.batch(sound.min(BATCH_OBJECTS), BATCH_BYTES) {
            Ok(Batch::Accepted { segments, server, .. }) => {
                self.accepted(reader, segments, End::More, server)
            }
            // Met again, and told apart, by the next batch.
            Ok(Batch::Behind { .. }) => Ok(()),
            Err(error) => self.trouble(error),
        }
    }

    /// Rule R2: a mismatch is corruption. What it damages heals from elsewhere, everything else goes on.
    fn recover(
        &mut self,
        reader: &mut Reader,
        fleet: FleetId,
        seq: Seq,
        detail: String,
    ) -> Going<()> {
        if let Ok(table) = table(&*self.reading.store, seq)
            && table.header.fleet == fleet
            && let Ok(position) = reader.position().accept(&table)
        {
            self.restart(reader, fleet, &position);
            return self.send(Event::Damaged { seq, table: Box::new(table), position, detail });
        }
        let store = &*self.reading.store;
        let end = match find_tail(store) {
            Ok(Tail::At { position, .. }) => position.last(),
            Ok(Tail::Empty { .. }) => None,
            Err(LogError::Corrupt { seq: end, .. } | LogError::Missing { seq: end }) => Some(end),
            Err(error) => return self.trouble(error),
        };
        let end = end.filter(|end| *end > seq);
        if let Some(Ok(snapshot)) = end.map(|end| catalogue_at(store, end)) {
            let reason = format!("log object {seq} is damaged: {detail}");
            return self.jump_to(reader, fleet, snapshot, reason);
        }
        match self.beyond(fleet, seq, end.unwrap_or(seq)) {
            Ok(Some((lost, position))) => {
                self.restart(reader, fleet, &position);
                self.send(Event::Skipped { lost, position, detail })
            }
            Ok(None) => self.trouble(LogError::Corrupt { seq, detail }),
            Err(error) => self.trouble(error),
        }
    }

    /// The position before the first object after unreadable ones that can be read, as that object tells it. What it is
    /// trusted for is only what it holds: each database goes on only if its own checksum chain does.
    fn beyond(
        &self,
        fleet: FleetId,
        seq: Seq,
        end: Seq,
    ) -> Result<Option<(Doubt, Position)>, LogError> {
        let mut last = seq;
        for next in (seq.get() + 1..=end.get()).filter_map(Seq::new) {
            match table(&*self.reading.store, next) {
                Ok(table) if table.header.fleet == fleet => {
                    let since = table.header.stamp.offset(table.header.store_offset_ms);
                    return Ok(Some((Doubt { first: seq, last, since }, before(next, &table))));
                }
                Err(error @ LogError::Store(_)) => return Err(error),
                Ok(_) | Err(_) => last = next,
            }
        }
        Ok(None)
    }

    fn jump(&mut self, reader: &mut Reader, fleet: FleetId, reason: String) -> Going<()> {
        let found = find_tail(&*self.reading.store).and_then(|tail| match tail {
            Tail::At { position, .. } => {
                position.last().map(|last| catalogue_at(&*self.reading.store, last)).transpose()
            }
            Tail::Empty { .. } => Ok(None),
        });
        match found {
            Ok(Some(snapshot)) => self.jump_to(reader, fleet, snapshot, reason),
            Ok(None) => self.trouble(LogError::NotALog { detail: "the log is gone".into() }),
            Err(error) => self.trouble(error),
        }
    }

    fn jump_to(
        &self,
        reader: &mut Reader,
        fleet: FleetId,
        snapshot: Snapshot,
        reason: String,
    ) -> Going<()> {
        let Snapshot { catalogue, position, last } = snapshot;
        let heard = last.map(|last| sealed_at(&last.header));
        self.restart(reader, fleet, &position);
        self.send(Event::Jumped { catalogue, position, heard, reason })
    }

    fn restart(&self, reader: &mut Reader, fleet: FleetId, position: &Position) {
        *reader = Reader::new(Arc::clone(&self.reading.store), position.clone()).of_fleet(fleet);
    }

    fn trouble(&mut self, error: LogError) -> Going<()> {
        if ends(&error) {
            self.send(Event::Ended(error))?;
            return Err(Stopped);
        }
        self.send(Event::Trouble(error))?;
        self.errors = self.errors.saturating_add(1);
        let pause = ERROR_PAUSE.saturating_mul(1 << (self.errors - 1).min(10));
        self.sleep(pause.min(Duration::from_millis(self.reading.limits.idle_ms)))
    }

    fn wait(&mut self) -> Going<()> {
        let wait = self.poller.wait(self.now());
        self.sleep(wait)
    }

    fn sleep(&self, wait: Duration) -> Going<()> {
        match self.reading.stop.recv_timeout(wait) {
            Err(RecvTimeoutError::Timeout) => Ok(()),
            Ok(()) | Err(RecvTimeoutError::Disconnected) => Err(Stopped),
        }
    }

    fn send(&self, event: Event) -> Going<()> {
        self.reading.events.send(event).map_err(|_| Stopped)
    }

    fn now(&self) -> Instant {
        self.reading.clocks.steady.now()
    }
}

/// Whether the last object before `position` has vanished or changed; `None` also where the store does not tell.
fn lost(store: &dyn Store, position: &Position) -> Option<LogError> {
    let last = position.last()?;
    let what = match table(store, last) {
        Ok(table) if table.hash == position.previous => return None,
        Ok(_) | Err(LogError::Corrupt { .. }) => "is not what it was",
        Err(LogError::Missing { .. }) => "has vanished",
        Err(_) => return None,
    };
    // Whoever writes goes on from what was read: then nothing was rolled back, and nothing is lacking here.
    if table(store, position.next).is_ok_and(|next| next.header.previous == position.previous) {
        return None;
    }
    let is_retired = boundary(store).map(|held| held.is_some_and(|held| held.retired > last));
    if is_retired.unwrap_or(true) {
        return None;
    }
    let detail = format!(
        "log object {last}, the last one read, {what}: the store was rolled back or damaged; nothing is applied until it is right again"
    );
    Some(LogError::NotALog { detail })
}

/// Errors that no waiting mends: the program or its settings are wrong.
fn ends(error: &LogError) -> bool {
    match error {
        LogError::WrongFleet { .. } | LogError::NewerFormat { .. } => true,
        LogError::Store(error) => error.class() == store::ErrorClass::Invalid,
        _ => false,
    }
}

/// Where a reader stands that takes this object next.
fn before(seq: Seq, table: &Table) -> Position {
    Position {
        next: seq,
        previous: table.header.previous,
        epoch: epoch_before(table),
        owner: Some(table.header.node.clone()),
        writer: Some(table.header.writer),
    }
}

/// The epoch that an object's reader must be in: its own, or the one before where it is a fence.
fn epoch_before(table: &Table) -> Option<Epoch> {
    let is_fence = table.records.iter().any(|record| matches!(record, Record::Fence { .. }));
    if is_fence { table.header.epoch.previous() } else { Some(table.header.epoch) }
}

#[cfg(test)]
mod tests;
