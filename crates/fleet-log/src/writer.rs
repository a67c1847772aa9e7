//! Owns the log and appends to it: a thin driver of [`machine::Start`](crate::machine::Start) and
//! [`machine::Write`](crate::machine::Write), where the rules W1 to W4 are.
//!
//! Invariant: the bytes of a slot are chosen once (rule W2). [`Writer::append`] asks for them; if the store
//! then fails, they are kept and [`Writer::resend`] goes on where it stopped. Until that ends well nothing
//! else is appended. Fenced once, a writer stays so.
//!
//! A process that dies in between leaves a slot that is filled or not; its next start reads it.

use crate::boundary;
use crate::facts::Facts;
use crate::io::{Io, Sealing};
use crate::machine::{Damage, Intent, Place, Start, StartEnd, Write, WriteEnd};
use crate::reader::corrupt;
use crate::rules::Rules;
use crate::tail::bare_boundary;
use crate::{LogError, Position, Tail, find_tail};
use segment::{
    Encoded, Epoch, FenceKind, FleetId, Name, ObjectName, Record, Segment, SegmentHash, Seq, Table,
    WriterId,
};
use std::sync::Arc;
use store::{Millis, Store};

/// Who writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The fleet.
    pub fleet: FleetId,
    /// The host's stable name.
    pub node: Name,
    /// Random per start.
    pub writer: WriterId,
}

/// The slot that a segment is built for, and what the segment's header must say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// The number.
    pub seq: Seq,
    /// The hash of the object before.
    pub previous: SegmentHash,
    /// The epoch.
    pub epoch: Epoch,
    /// The stamp is at least this: one millisecond after the one before.
    pub not_before: Millis,
    /// The newest catalogue so far, for a segment that does not hold one itself.
    pub catalogue: Option<Seq>,
}

impl Slot {
    /// The fence of `identity` for this slot.
    #[must_use]
    pub fn fence(&self, identity: &Identity, kind: FenceKind) -> Record {
        Record::Fence {
            epoch: self.epoch,
            node: identity.node.clone(),
            writer: identity.writer,
            kind,
        }
    }

    fn new(place: &Place, last: &Last) -> Slot {
        Slot {
            seq: place.seq,
            previous: place.previous,
            epoch: place.epoch,
            not_before: last.stamp.map_or(Millis::new(0), |stamp| stamp.offset(1)),
            catalogue: last.catalogue,
        }
    }
}

/// An append that is history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Its number.
    pub seq: Seq,
    /// Its hash.
    pub hash: SegmentHash,
    /// The store's clock when that was known.
    pub server: Millis,
}

/// What the next header takes over from the last one.
#[derive(Clone, Copy, Debug, Default)]
struct Last {
    stamp: Option<Millis>,
    catalogue: Option<Seq>,
}

impl Last {
    fn of(table: &Table) -> Last {
        Last { stamp: Some(table.header.stamp), catalogue: table.header.catalogue }
    }
}

/// The owner of the log.
pub struct Writer {
    store: Arc<dyn Store>,
    identity: Identity,
    position: Position,
    last: Last,
    before_fence: Option<Table>,
    pending: Option<Pending>,
    stopped: Option<LogError>,
}

struct Pending {
    write: Write,
    encoded: Arc<Encoded>,
    last: Last,
}

impl Writer {
    /// Takes the log by a fence at its tail (rules T1 to T3, W1, W3, W4). `seal` builds the fence's segment,
    /// with [`Slot::fence`] among its records; it is asked again where another object takes the slot.
    ///
    /// # Errors
    /// [`LogError::Fenced`] where another node owns the log. After an error of the store call it again: a
    /// fence that was written all the same is then history.
    pub fn start(
        store: Arc<dyn Store>,
        identity: Identity,
        intent: Intent,
        mut seal: impl FnMut(&Slot) -> Encoded,
    ) -> Result<Writer, LogError> {
        let mut last = Last::default();
        let mut before_fence = None;
        let mut fence = |place: &Place, behind: Option<&Segment>| {
            before_fence = behind.map(|segment| segment.table().clone());
            let before = before_fence.as_ref().map(Last::of).unwrap_or_default();
            let slot = Slot::new(place, &before);
            let encoded = seal(&slot);
            last = check_fits(&encoded, &slot, &identity, true)?;
            Ok(Arc::new(encoded))
        };
        let mut io = Io::new(&*store, Some(identity.fleet));
        io.sealing = Sealing::By(&mut fence);
        let mut start = Start::new(Rules::ALL, identity.node.clone(), identity.writer, intent);
        let position = started(io.run(&mut start)?)?;
        drop(io);
        Ok(Writer { store, identity, position, last, before_fence, pending: None, stopped: None })
    }

    /// Who writes.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// After the last object that is history.
    #[must_use]
    pub fn position(&self) -> &Position {
        &self.position
    }

    /// The last object before this writer's fence; `None` if the fence is the first of the log.
    #[must_use]
    pub fn before_fence(&self) -> Option<&Table> {
        self.before_fence.as_ref()
    }

    /// Whether a slot's bytes are chosen and the slot is not yet known to be history.
    #[must_use]
    pub fn has_pending(&self) -> bool {
        self.pending.is_some()
    }

    /// Fills the next slot with what `seal` builds for it.
    ///
    /// # Errors
    /// [`LogError::Fenced`] and [`LogError::Superseded`]: stop for good. After an error of the store the slot
    /// stays pending: pause, then [`Writer::resend`].
    ///
    /// # Panics
    /// If a slot is pending.
    pub fn append(&mut self, seal: impl FnOnce(&Slot) -> Encoded) -> Result<Appended, LogError> {
        assert!(self.pending.is_none(), "BUG: rule W2, one slot at a time");
        self.check_not_stopped()?;
        let write = Write::new(Rules::ALL, self.position.clone());
        let slot = Slot::new(&write.place(), &self.last);
        let encoded = seal(&slot);
        let last = check_fits(&encoded, &slot, &self.identity, false)?;
        self.pending = Some(Pending { write, encoded: Arc::new(encoded), last });
        self.resend()
    }

    /// Goes on with the pending slot, with the same bytes (rule W2).
    ///
    /// # Errors
    /// As for [`Writer::append`].
    ///
    /// # Panics
    /// If no slot is pending.
    pub fn resend(&mut self) -> Result<Appended, LogError> {
        self.check_not_stopped()?;
        let Pending { write, encoded, last } =
            self.pending.as_mut().expect("BUG: no slot is pending");
        let seq = write.place().seq;
        let mut seal = |_: &Place, _: Option<&Segment>| Ok(Arc::clone(encoded));
        let mut io = Io::new(&*self.store, Some(self.identity.fleet));
        io.sealing = Sealing::By(&mut seal);
        io.sealed = Some(Arc::clone(encoded));
        let end = io.run(write)?;
        let (server, last) = (io.server, *last);
        self.pending = None;
        match end {
            WriteEnd::Acknowledged { hash, position } => {
                self.position = position;
                self.last = last;
                Ok(Appended { seq, hash, server })
            }
            WriteEnd::Fenced { owner, epoch } => Err(self.stop(LogError::Fenced { owner, epoch })),
            WriteEnd::Superseded { retired } => Err(self.superseded(seq, retired)),
            WriteEnd::Corrupt(damage) => Err(self.stop(corrupt(seq, damage))),
        }
    }

    /// Asks for the next slot: while it is empty this writer still owns the log, and the store accepts its
    /// credentials. Cheap; for idle times. Says the store's clock.
    ///
    /// # Errors
    /// As for [`Writer::append`].
    pub fn check_still_owner(&mut self) -> Result<Millis, LogError> {
        self.check_not_stopped()?;
        if self.pending.is_some() {
            return self.resend().map(|appended| appended.server);
        }
        let seq = self.position.next;
        let reply = self.store.get(&ObjectName::log(seq));
        let reply = reply.map_err(|error| LogError::of_store(seq, error))?;
        let Some(object) = reply.value else { return self.check_still_held(seq) };
        let segment =
            Segment::decode(object.body).map_err(|error| LogError::of_segment(seq, &error))?;
        let facts = Facts::of(segment.table()).map_err(|damage| corrupt(seq, damage))?;
        Err(self.stop(LogError::Fenced { owner: facts.node, epoch: facts.epoch }))
    }

    /// Rule R3: an empty slot says nothing once the boundary has passed it; whoever went on has been collected.
    fn check_still_held(&mut self, seq: Seq) -> Result<Millis, LogError> {
        let reply = boundary::read(&*self.store)?;
        match reply.value {
            Some(found) if !boundary::holds(Some(found), seq) => {
                Err(self.superseded(seq, found.retired))
            }
            _ => Ok(reply.server),
        }
    }

    fn check_not_stopped(&self) -> Result<(), LogError> {
        self.stopped.clone().map_or(Ok(()), Err)
    }

    fn stop(&mut self, error: LogError) -> LogError {
        tracing::error!(node = %self.identity.node, %error, "this writer stops for good");
        self.stopped = Some(error.clone());
        error
    }

    /// Rule W3: the own object is gone and somebody else went on; says who, if that can be found out.
    fn superseded(&mut self, seq: Seq, retired: Seq) -> LogError {
        let owner = match find_tail(&*self.store) {
            Ok(Tail::At { position, .. }) => position.owner.zip(position.epoch),
            _ => None,
        };
        let error = match owner {
            Some((owner, epoch)) => LogError::Fenced { owner, epoch },
            None => LogError::Superseded { seq, retired },
        };
        self.stop(error)
    }
}

fn started(end: StartEnd) -> Result<Position, LogError> {
    match end {
        StartEnd::Started(position) => Ok(position),
        StartEnd::Fenced { owner, epoch } => Err(LogError::Fenced { owner, epoch }),
        StartEnd::Superseded { seq, retired } => Err(LogError::Superseded { seq, retired }),
        StartEnd::BoundaryWithoutObjects => Err(bare_boundary()),
        StartEnd::Corrupt { seq, damage } => Err(corrupt(seq, damage)),
    }
}

/// The writer's side of rule R2: what readers will check is checked before anything is sent.
fn check_fits(
    encoded: &Encoded,
    slot: &Slot,
    identity: &Identity,
    is_fence: bool,
) -> Result<Last, LogError> {
    let unfit = |detail: String| LogError::Unfit { seq: slot.seq, detail };
    let table = encoded.check().map_err(|error| unfit(error.to_string()))?;
    let facts = Facts::of(&table).map_err(|damage: Damage| unfit(damage.detail))?;
    let expected = Facts {
        seq: slot.seq,
        hash: encoded.hash,
        previous: slot.previous,
        epoch: slot.epoch,
        writer: identity.writer,
        node: identity.node.clone(),
        is_fence,
    };
    if facts != expected {
        return Err(unfit(format!("it is {facts:?}, due is {expected:?}")));
    }
    if table.header.fleet != identity.fleet {
        return Err(unfit(format!("it is of fleet {}", table.header.fleet)));
    }
    if table.header.stamp < slot.not_before {
        return Err(unfit(format!(
            "its stamp {} lies before {}",
            table.header.stamp, slot.not_before
        )));
    }
    Ok(Last::of(&table))
}
