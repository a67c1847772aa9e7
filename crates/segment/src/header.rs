//! The fixed 288 bytes in front of every segment (FORMAT.md section 3).
//!
//! A `Header` says who wrote the segment, when, and what it follows. How long the table and the body are is the codec's
//! business: `Lengths`.

use crate::cursor::Cursor;
use crate::error::{FORMAT_VERSION, SegmentError};
use crate::ids::{Epoch, FleetId, Millis, SegmentHash, Seq, WriterId};
use crate::name::{NAME_BYTES_MAX, Name};

/// The length of every header of format version 1.
pub const HEADER_BYTES: usize = 288;

pub(crate) const MAGIC: [u8; 8] = *b"WALSHIP\n";

const FLAG_CONSISTENT: u8 = 1 << 0;
const FLAG_POSITIONS_WANTED: u8 = 1 << 1;
const FLAGS: u8 = FLAG_CONSISTENT | FLAG_POSITIONS_WANTED;

/// What the segment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SegmentKind {
    /// A log object.
    Log,
    /// A part of a change that is too large for its log object.
    Side,
    /// A part of a base.
    Base,
}

impl SegmentKind {
    fn from_byte(byte: u8) -> Result<Self, SegmentError> {
        match byte {
            1 => Ok(SegmentKind::Log),
            2 => Ok(SegmentKind::Side),
            3 => Ok(SegmentKind::Base),
            other => {
                Err(SegmentError::NewerFeature { what: "segment kind", value: other.to_string() })
            }
        }
    }

    fn byte(self) -> u8 {
        match self {
            SegmentKind::Log => 1,
            SegmentKind::Side => 2,
            SegmentKind::Base => 3,
        }
    }
}

/// Who wrote a segment, when, and what it follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// What the segment is.
    pub kind: SegmentKind,
    /// The fleet it belongs to.
    pub fleet: FleetId,
    /// The host of the writer.
    pub node: Name,
    /// The start of the writer.
    pub writer: WriterId,
    /// The writer's epoch.
    pub epoch: Epoch,
    /// The number in the log; `None` in side objects and bases.
    pub seq: Option<Seq>,
    /// The hash of the segment before; zero in the first one, in side objects and in bases.
    pub previous: SegmentHash,
    /// The instant of the cut by the writer's clock; it grows by at least 1 ms from segment to segment.
    pub stamp: Millis,
    /// The store's clock minus the writer's, in milliseconds.
    pub store_offset_ms: i64,
    /// The distance of the writer's flushes.
    pub flush_period_ms: u32,
    /// When the next flush may come, counted from the stamp.
    pub next_flush_in_ms: u32,
    /// The newest segment with a catalogue, this one included.
    pub catalogue: Option<Seq>,
    /// Whether all databases stood at these positions at one instant.
    pub consistent: bool,
    /// Whether the writer wants standbys to tell their positions.
    pub positions_wanted: bool,
}

/// How many bytes follow the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lengths {
    pub(crate) table: u32,
    pub(crate) body: u64,
}

impl Header {
    pub(crate) fn encode(&self, lengths: Lengths) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_BYTES);
        bytes.extend(MAGIC);
        bytes.extend(FORMAT_VERSION.to_le_bytes());
        bytes.push(self.kind.byte());
        bytes.push(self.flags());
        bytes.extend(lengths.table.to_le_bytes());
        bytes.extend(lengths.body.to_le_bytes());
        bytes.extend(self.epoch.get().to_le_bytes());
        bytes.extend(self.fleet.as_bytes());
        bytes.extend(self.writer.as_bytes());
        bytes.extend(self.previous.as_bytes());
        bytes.extend(self.seq.map_or(0, Seq::get).to_le_bytes());
        bytes.extend(self.catalogue.map_or(0, Seq::get).to_le_bytes());
        bytes.extend(self.stamp.get().to_le_bytes());
        bytes.extend(self.store_offset_ms.to_le_bytes());
        bytes.extend(self.flush_period_ms.to_le_bytes());
        bytes.extend(self.next_flush_in_ms.to_le_bytes());
        bytes.push(self.node.as_str().len() as u8);
        bytes.extend(self.node.as_str().as_bytes());
        bytes.resize(HEADER_BYTES, 0);
        bytes
    }

    fn flags(&self) -> u8 {
        let consistent = if self.consistent { FLAG_CONSISTENT } else { 0 };
        let positions_wanted = if self.positions_wanted { FLAG_POSITIONS_WANTED } else { 0 };
        consistent | positions_wanted
    }

    /// Reads the header at the beginning of `bytes`; what follows it is not looked at.
    pub(crate) fn decode(bytes: &[u8]) -> Result<(Self, Lengths), SegmentError> {
        check_version(bytes)?;
        let header = bytes.get(..HEADER_BYTES).ok_or(SegmentError::Truncated {
            needed: HEADER_BYTES as u64,
            found: bytes.len() as u64,
        })?;
        let mut cursor = Cursor::new(header, 0);
        cursor.take(MAGIC.len() + 2)?;
        let kind = SegmentKind::from_byte(cursor.u8()?)?;
        let flags = known_flags("header flags", cursor.u8()?, FLAGS)?;
        let lengths = Lengths { table: cursor.u32()?, body: cursor.u64()? };
        let header = Header {
            kind,
            epoch: cursor.checked("epoch 0", Cursor::u64, Epoch::new)?,
            fleet: FleetId::from_bytes(cursor.array()?),
            writer: WriterId::from_bytes(cursor.array()?),
            previous: SegmentHash::from_bytes(cursor.array()?),
            seq: cursor
                .checked("seq does not fit the kind", Cursor::u64, |seq| seq_of(kind, seq))?,
            catalogue: cursor.u64().map(Seq::new)?,
            stamp: Millis::new(cursor.u64()?),
            store_offset_ms: cursor.array().map(i64::from_le_bytes)?,
            flush_period_ms: cursor.u32()?,
            next_flush_in_ms: cursor.u32()?,
            node: node(&mut cursor)?,
            consistent: flags & FLAG_CONSISTENT != 0,
            positions_wanted: flags & FLAG_POSITIONS_WANTED != 0,
        };
        cursor.reserved(cursor.remaining())?;
        Ok((header, lengths))
    }
}

/// The version is judged before anything else, because everything else may differ in a newer one.
fn check_version(bytes: &[u8]) -> Result<(), SegmentError> {
    let mut cursor = Cursor::new(bytes, 0);
    if cursor.take(bytes.len().min(MAGIC.len()))? != &MAGIC[..bytes.len().min(MAGIC.len())] {
        return Err(SegmentError::NotASegment);
    }
    let needed = HEADER_BYTES as u64;
    let truncated = |_| SegmentError::Truncated { needed, found: bytes.len() as u64 };
    match cursor.u16().map_err(truncated)? {
        0 => Err(SegmentError::Invalid { what: "format version 0", offset: MAGIC.len() as u64 }),
        FORMAT_VERSION => Ok(()),
        version => Err(SegmentError::NewerFormat { version }),
    }
}

/// Outer `None`: the number does not belong to a segment of this kind.
fn seq_of(kind: SegmentKind, seq: u64) -> Option<Option<Seq>> {
    let seq = Seq::new(seq);
    (seq.is_some() == (kind == SegmentKind::Log)).then_some(seq)
}

fn node(cursor: &mut Cursor<'_>) -> Result<Name, SegmentError> {
    let length = cursor.checked("node longer than its field", Cursor::u8, |length| {
        Some(usize::from(length)).filter(|&length| length <= NAME_BYTES_MAX)
    })?;
    let node = cursor.checked(
        "node is not a name",
        |cursor| cursor.take(length),
        |bytes| std::str::from_utf8(bytes).ok().and_then(|text| Name::parse(text).ok()),
    )?;
    cursor.reserved(NAME_BYTES_MAX - length)?;
    Ok(node)
}

/// A flag that is not known means something that must not be ignored: what may be ignored is a field of a record.
pub(crate) fn known_flags(what: &'static str, flags: u8, known: u8) -> Result<u8, SegmentError> {
    match flags & !known {
        0 => Ok(flags),
        unknown => Err(SegmentError::NewerFeature { what, value: format!("{unknown:#04x}") }),
    }
}
