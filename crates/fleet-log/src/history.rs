//! Looks into the log's past by ranged reads of headers and tables: the catalogue at a position, the segment
//! of an instant, what is held.
//!
//! What is returned was verified by its own hashes, and by the chain where several objects are read. All of it
//! may be retired while it is being read; [`LogError::Behind`] then says so, and the caller plans again.

use crate::boundary::{self, boundary};
use crate::facts::Facts;
use crate::reader::corrupt;
use crate::tail::{SoundEnd, find_sound_end};
use crate::{LogError, Position, Tail};
use segment::{Catalogue, ObjectName, SegmentHash, Seq, Table, decode_table, table_end};
use store::{Millis, Store};

/// Most tables are shorter than this, so that one read suffices.
const FIRST_READ: u64 = 64 << 10;

/// What the log holds now.
#[derive(Clone, Debug)]
pub struct Held {
    /// The first log object.
    pub first: Seq,
    /// The position after the last.
    pub tail: Position,
    /// The last one's header and table.
    pub last: Box<Table>,
    /// Why objects behind it cannot be read, newest first.
    pub lost: Vec<LogError>,
}

/// The fleet at a position.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// What is known of every database.
    pub catalogue: Catalogue,
    /// The position.
    pub position: Position,
    /// Header and table of the last object before it; `None` at the start of the log.
    pub last: Option<Box<Table>>,
}

/// Header and table of a log object, verified by its own hashes.
///
/// # Errors
/// The store's; [`LogError::Missing`]; [`LogError::Corrupt`].
pub fn table(store: &dyn Store, seq: Seq) -> Result<Table, LogError> {
    let of_segment = |error| LogError::of_segment(seq, &error);
    let mut bytes = read(store, seq, FIRST_READ)?;
    let end = table_end(&bytes).map_err(of_segment)?;
    if end > bytes.len() as u64 && bytes.len() as u64 == FIRST_READ {
        bytes = read(store, seq, end)?;
    }
    let table = decode_table(&bytes).map_err(of_segment)?;
    let facts = Facts::of(&table).map_err(|damage| corrupt(seq, damage))?;
    if facts.seq == seq {
        return Ok(table);
    }
    Err(LogError::Corrupt { seq, detail: format!("it says that it is number {}", facts.seq) })
}

/// Why a log object that looks like one of a newer format is damaged all the same, if it is: no program writes behind an
/// object that it cannot read, so none that this one can read stands behind a newer one.
///
/// # Errors
/// The store's.
pub fn false_version(store: &dyn Store, seq: Seq) -> Result<Option<LogError>, LogError> {
    match find_sound_end(store) {
        Ok(SoundEnd { tail: Tail::At { position, .. }, .. }) if position.last() > Some(seq) => {
            Ok(Some(damaged_version(seq)))
        }
        Err(error @ LogError::Store(_)) => Err(error),
        Ok(_) | Err(_) => Ok(None),
    }
}

/// About an object that looks like one of a newer format, with one behind it that does not.
pub(crate) fn damaged_version(seq: Seq) -> LogError {
    LogError::Corrupt { seq, detail: "its format version is one that nobody wrote".to_owned() }
}

fn read(store: &dyn Store, seq: Seq, bytes_max: u64) -> Result<bytes::Bytes, LogError> {
    let reply = store.get_range(&ObjectName::log(seq), 0..bytes_max);
    let reply = reply.map_err(|error| LogError::of_store(seq, error))?;
    reply.value.ok_or(LogError::Missing { seq })
}

/// Header and table of every log object from `first` to `last`, in order, each verified to follow from the
/// one before. Whoever accepts them reads the boundary afterwards (rule R1): [`check_held`].
///
/// # Errors
/// As for [`table`], once for the first that fails.
pub fn tables(
    store: &dyn Store,
    first: Seq,
    last: Seq,
) -> impl Iterator<Item = Result<Table, LogError>> {
    let mut before: Option<Position> = None;
    (first.get()..=last.get()).filter_map(Seq::new).map(move |seq| {
        let table = table(store, seq)?;
        let accepted = match &before {
            Some(position) => position.accept(&table)?,
            None => position_of(seq, &table)?,
        };
        before = Some(accepted);
        Ok(table)
    })
}

pub(crate) fn position_of(seq: Seq, table: &Table) -> Result<Position, LogError> {
    let facts = Facts::of(table).map_err(|damage| corrupt(seq, damage))?;
    Ok(Position::after(&facts))
}

/// Rule R1 for what was read from `seq` on: the boundary, read afterwards, must still hold it.
///
/// # Errors
/// [`LogError::Behind`] where it does not; the store's.
pub fn check_held(store: &dyn Store, seq: Seq) -> Result<(), LogError> {
    match boundary(store)? {
        Some(found) if !boundary::holds(Some(found), seq) => {
            Err(LogError::Behind { seq, retired: found.retired })
        }
        _ => Ok(()),
    }
}

/// A missing object is [`LogError::Behind`] where the boundary has passed it (rule R3).
pub(crate) fn explain(store: &dyn Store, error: LogError) -> LogError {
    match error {
        LogError::Missing { seq } | LogError::Corrupt { seq, .. } => {
            check_held(store, seq).err().unwrap_or(error)
        }
        other => other,
    }
}

/// The position after the log object `seq`.
///
/// # Errors
/// As for [`table`], and [`LogError::Behind`].
pub fn position_after(store: &dyn Store, seq: Seq) -> Result<Position, LogError> {
    let table = table(store, seq).map_err(|error| explain(store, error))?;
    check_held(store, seq)?;
    position_of(seq, &table)
}

/// What the log holds now, as far as it can be read; `None` where there is no log yet.
///
/// # Errors
/// As for [`find_sound_end`].
pub fn held(store: &dyn Store) -> Result<Option<Held>, LogError> {
    let SoundEnd { tail, lost } = find_sound_end(store)?;
    let Tail::At { position, last, .. } = tail else { return Ok(None) };
    let first = boundary(store)?.map_or(Seq::FIRST, |boundary| boundary.retired);
    Ok(Some(Held { first, tail: position, last, lost }))
}

/// The state of the fleet after the log object `seq`: the newest catalogue up to there, and every table since.
///
/// # Errors
/// As for [`table`], and [`LogError::Behind`] where what is needed is no longer held.
pub fn catalogue_at(store: &dyn Store, seq: Seq) -> Result<Snapshot, LogError> {
    fold_catalogue(store, seq).map_err(|error| explain(store, error))
}

fn fold_catalogue(store: &dyn Store, seq: Seq) -> Result<Snapshot, LogError> {
    let last = table(store, seq)?;
    let first = last.header.catalogue.unwrap_or(Seq::FIRST);
    if first > seq {
        let detail = format!("it names a catalogue in {first}, which comes later");
        return Err(LogError::Corrupt { seq, detail });
    }
    let mut catalogue = Catalogue::default();
    let mut hash = SegmentHash::ZERO;
    for table in tables(store, first, seq) {
        let table = table?;
        hash = table.hash;
        let absorbed = catalogue.absorb(&table);
        absorbed.map_err(|error| LogError::of_segment(table.header.seq.unwrap_or(seq), &error))?;
    }
    if hash != last.hash {
        return Err(LogError::Corrupt { seq, detail: "it changed while it was read".to_owned() });
    }
    check_held(store, first)?;
    let position = position_of(seq, &last)?;
    Ok(Snapshot { catalogue, position, last: Some(Box::new(last)) })
}

/// The greatest log object whose stamp is not after `instant`, by the owners' clocks; `None` where the first
/// one that is held is later. Stamps grow from object to object, so the search halves the log. Objects behind the last one
/// that can be read do not count.
///
/// # Errors
/// As for [`find_sound_end`] and [`table`].
pub fn seq_at_time(store: &dyn Store, instant: Millis) -> Result<Option<Seq>, LogError> {
    let Some(held) = held(store)? else { return Ok(None) };
    let last = held.tail.last().expect("BUG: a log that is not empty has a last object");
    greatest_not_after(store, held.first, last, instant).map_err(|error| explain(store, error))
}

fn greatest_not_after(
    store: &dyn Store,
    first: Seq,
    last: Seq,
    instant: Millis,
) -> Result<Option<Seq>, LogError> {
    // Everything below `low` is not after the instant, everything from `high` on is.
    let (mut low, mut high) = (first.get(), last.get() + 1);
    while low < high {
        let middle = low + (high - low) / 2;
        let seq = Seq::new(middle).expect("BUG: the middle lies above the first number");
        if table(store, seq)?.header.stamp <= instant {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    check_held(store, first)?;
    Ok(Seq::new(low - 1).filter(|seq| *seq >= first))
}
