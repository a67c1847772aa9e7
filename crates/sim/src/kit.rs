//! What stepped tests need to write a small log with the real drivers, and to say what stands in it.
//!
//! Segments hold no pages: one announcement whose name tells them apart.

use fleet_log::machine::{Answer, Ask, Boundary, Damage, Facts, Found, Machine, Place, Sent};
use fleet_log::{Batch, End, Identity, Intent, LogError, Position, Reader, Slot, Writer};
use segment::{
    Announcement, DatabaseState, DbId, Draft, Encoded, FenceKind, FleetId, Header, LOG_PREFIX,
    Millis, Name, ObjectName, Record, Segment, SegmentKind, Seq, WriterId, encode,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use store::{Put, Store, StoreError};

/// A name from a literal.
///
/// # Panics
/// If it is none.
#[must_use]
pub fn name(text: &str) -> Name {
    Name::parse(text).expect("a test names things properly")
}

/// A number from a literal.
///
/// # Panics
/// If it is 0.
#[must_use]
pub fn seq(number: u64) -> Seq {
    Seq::new(number).expect("numbers count from 1")
}

/// The writer with this number on `node`.
#[must_use]
pub fn identity(node: &str, writer: u8) -> Identity {
    Identity {
        fleet: FleetId::from_bytes([9; 16]),
        node: name(node),
        writer: WriterId::from_bytes([writer; 16]),
    }
}

/// A segment for `slot` that announces `tag`.
#[must_use]
pub fn data(slot: &Slot, identity: &Identity, tag: &str) -> Encoded {
    let announcement = Announcement {
        id: DbId::from_bytes([1; 8]),
        name: name(tag),
        tier: "p1".to_owned(),
        class_hours: 72,
        state: DatabaseState::Empty,
    };
    sealed(slot, identity, Record::Announce(announcement))
}

/// The fence of `identity` for `slot`.
#[must_use]
pub fn fence(slot: &Slot, identity: &Identity, kind: FenceKind) -> Encoded {
    sealed(slot, identity, slot.fence(identity, kind))
}

/// Like real ones, no two segments have the same stamp, so the same content built twice has different bytes.
fn sealed(slot: &Slot, identity: &Identity, record: Record) -> Encoded {
    static STAMP: AtomicU64 = AtomicU64::new(1_000_000);
    let stamp = Millis::new(STAMP.fetch_add(1, Ordering::Relaxed));
    let header = Header {
        kind: SegmentKind::Log,
        fleet: identity.fleet,
        node: identity.node.clone(),
        writer: identity.writer,
        epoch: slot.epoch,
        seq: Some(slot.seq),
        previous: slot.previous,
        stamp: slot.not_before.max(stamp),
        store_offset_ms: 0,
        flush_period_ms: 1_000,
        next_flush_in_ms: 1_000,
        catalogue: slot.catalogue,
        consistent: true,
        positions_wanted: false,
    };
    encode(&Draft { header, records: vec![record], sections: Vec::new() })
}

/// Starts a writer.
///
/// # Errors
/// The driver's.
pub fn start(store: &Arc<dyn Store>, identity: &Identity) -> Result<Writer, LogError> {
    begin(store, identity, Intent::Start)
}

/// Promotes a node against `deposed`.
///
/// # Errors
/// The driver's.
pub fn promote(
    store: &Arc<dyn Store>,
    identity: &Identity,
    deposed: &str,
) -> Result<Writer, LogError> {
    begin(store, identity, Intent::Promote { deposed: name(deposed) })
}

fn begin(store: &Arc<dyn Store>, identity: &Identity, intent: Intent) -> Result<Writer, LogError> {
    let kind = if intent == Intent::Start { FenceKind::Start } else { FenceKind::Promote };
    Writer::start(Arc::clone(store), identity.clone(), intent, |slot| fence(slot, identity, kind))
}

/// Appends a segment that announces `tag`.
///
/// # Errors
/// The driver's.
pub fn append(writer: &mut Writer, tag: &str) -> Result<Seq, LogError> {
    let identity = writer.identity().clone();
    writer.append(|slot| data(slot, &identity, tag)).map(|appended| appended.seq)
}

/// Goes on with whatever is pending until it is decided.
///
/// # Errors
/// What decides it.
pub fn resend_until_decided(writer: &mut Writer) -> Result<Seq, LogError> {
    loop {
        match writer.resend() {
            Err(error) if error.is_transient() => {}
            decided => return decided.map(|appended| appended.seq),
        }
    }
}

/// What a reader accepts from `position` on, up to the tail: `fence e1 A`, or the tags of the data.
///
/// # Errors
/// The reader's; [`LogError::Behind`] where it would have to heal.
pub fn read_from(store: &Arc<dyn Store>, position: Position) -> Result<Vec<String>, LogError> {
    let mut reader = Reader::new(Arc::clone(store), position);
    let mut contents = Vec::new();
    loop {
        match reader.batch(3, u64::MAX)? {
            Batch::Behind { retired } => {
                return Err(LogError::Behind { seq: reader.position().next, retired });
            }
            Batch::Accepted { segments, end, .. } => {
                contents.extend(segments.iter().map(describe));
                if end == End::Tail {
                    return Ok(contents);
                }
            }
        }
    }
}

/// One word or two for a segment.
#[must_use]
pub fn describe(segment: &Segment) -> String {
    match segment.table().records.first() {
        Some(Record::Fence { epoch, node, .. }) => format!("fence e{epoch} {node}"),
        Some(Record::Announce(announcement)) => announcement.name.to_string(),
        other => format!("{other:?}"),
    }
}

/// Does what a collector does: moves the boundary to `retired` by If-Match, then deletes what lies below.
///
/// # Panics
/// If the store fails.
pub fn collect(store: &dyn Store, retired: u64) {
    move_boundary(store, retired, retired);
    for number in 1..retired {
        store.delete(&ObjectName::log(seq(number))).expect("a delete succeeds");
    }
}

/// Moves the boundary by If-Match.
///
/// # Panics
/// If the store fails.
pub fn move_boundary(store: &dyn Store, retired: u64, planned: u64) {
    let boundary = ObjectName::boundary();
    let body = format!(r#"{{"retired": {retired}, "planned": {planned}}}"#);
    let etag = store.get(&boundary).expect("a get succeeds").value.map(|object| object.etag);
    store
        .put_if_match(&boundary, body.as_bytes(), etag.as_ref())
        .expect("a conditional put succeeds");
}

/// Runs any machine over a store, for machines with a rule switched off, which the real drivers never make.
/// `build` makes the bytes for a slot.
///
/// # Errors
/// The store's, but for lost answers of puts.
///
/// # Panics
/// If the machine asks for what it cannot.
pub fn drive<M: Machine>(
    store: &dyn Store,
    machine: &mut M,
    build: &mut dyn FnMut(&Slot) -> Encoded,
) -> Result<M::End, StoreError> {
    let mut bytes = Vec::new();
    loop {
        let answer = carry_out(store, machine.ask(), build, &mut bytes)?;
        if let Some(end) = machine.answer(answer) {
            return Ok(end);
        }
    }
}

fn carry_out(
    store: &dyn Store,
    ask: Ask,
    build: &mut dyn FnMut(&Slot) -> Encoded,
    bytes: &mut Vec<u8>,
) -> Result<Answer, StoreError> {
    match ask {
        Ask::List { after } => list(store, after),
        Ask::Get(seq) => found(store, seq).map(Answer::Got),
        Ask::Boundary => boundary(store).map(Answer::Boundary),
        Ask::Seal(place) => {
            let encoded = build(&slot_of(&place));
            *bytes = encoded.bytes;
            Ok(Answer::Sealed(encoded.hash))
        }
        Ask::Put(seq) => Ok(Answer::Put(put(store, seq, bytes))),
        Ask::Delete(seq) => store.delete(&ObjectName::log(seq)).map(|_| Answer::Deleted),
    }
}

fn list(store: &dyn Store, after: Option<Seq>) -> Result<Answer, StoreError> {
    let after = after.map(ObjectName::log);
    let listing = store.list(LOG_PREFIX, after.as_ref().map(ObjectName::as_str), 2)?.value;
    let greatest = listing.entries.last().and_then(|entry| entry.name.log_seq());
    Ok(Answer::Listed { greatest, more: listing.more })
}

fn found(store: &dyn Store, seq: Seq) -> Result<Found, StoreError> {
    let Some(object) = store.get(&ObjectName::log(seq))?.value else { return Ok(Found::Nothing) };
    Ok(match Segment::decode(object.body) {
        Ok(segment) => Found::Object(Facts::of(segment.table()).expect("a log segment has facts")),
        Err(error) => Found::Damaged(Damage {
            detail: error.to_string(),
            is_newer_format: error.is_newer_format(),
        }),
    })
}

fn boundary(store: &dyn Store) -> Result<Option<Boundary>, StoreError> {
    fleet_log::boundary(store).map_err(|error| match error {
        LogError::Store(error) => error,
        other => panic!("BUG: the boundary is unreadable: {other}"),
    })
}

fn put(store: &dyn Store, seq: Seq, bytes: &[u8]) -> Sent {
    match store.put_if_absent(&ObjectName::log(seq), bytes) {
        Ok(reply) if reply.value == Put::Created => Sent::Created,
        Ok(_) => Sent::Exists,
        Err(_) => Sent::Unknown,
    }
}

/// The slot as the writer's driver describes it, where stamps and catalogues do not matter.
#[must_use]
pub fn slot_of(place: &Place) -> Slot {
    Slot {
        seq: place.seq,
        previous: place.previous,
        epoch: place.epoch,
        not_before: Millis::new(0),
        catalogue: None,
    }
}
