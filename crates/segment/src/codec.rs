//! Segments as a whole: header, table, seal, body (FORMAT.md section 3).
//!
//! Invariant S1: what `decode_table` and `Segment::decode` return has passed its SHA-256: header and table by the seal,
//! each body by its section. The seal is the segment's hash, which the next segment names; readers of the log compare
//! that too.
//!
//! Decoding allocates at most `DECODE_BYTES_MAX` besides the object itself, whatever the bytes say, and never panics.

use bytes::Bytes;

use crate::body::{BodyShape, EncodedBody, Pages, decode_body};
use crate::cursor::Cursor;
use crate::error::SegmentError;
use crate::header::{HEADER_BYTES, Header, Lengths, SegmentKind};
use crate::ids::{ContentHash, DbId, SegmentHash};
use crate::records::{self, Record};
use crate::section::{InlineBody, SECTION_BYTES_MIN, SectionEntry};

const MIB: u64 = 1 << 20;

/// The largest log object.
pub const LOG_OBJECT_BYTES_MAX: u64 = 16 * MIB;
/// The largest part of a side object or base: 32 MiB of pages, their page table (1 MiB for pages of 512 bytes), and
/// header and table.
pub const PART_BYTES_MAX: u64 = 34 * MIB;
/// The most bytes of bodies that a writer puts into one log object.
pub const INLINE_BYTES_MAX: u64 = 8 * MIB;
/// The longest table.
pub const TABLE_BYTES_MAX: u64 = 8 * MIB - HEADER_BYTES as u64 - SEAL_BYTES as u64;
/// What decoding a table allocates at most.
pub const DECODE_BYTES_MAX: u64 = 64 * MIB;

const SEAL_BYTES: usize = 32;

/// A segment that is still to be encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// The header.
    pub header: Header,
    /// The control records.
    pub records: Vec<Record>,
    /// The sections. Where a body is given, `body` and `page_count` of the entry are filled from it.
    pub sections: Vec<(SectionEntry, Option<EncodedBody>)>,
}

/// An encoded segment: the bytes of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// The whole object.
    pub bytes: Vec<u8>,
    /// The hash that the next segment names as its predecessor.
    pub hash: SegmentHash,
}

impl Encoded {
    /// The SHA-256 of the whole object, by which other segments refer to it.
    pub fn sha256(&self) -> ContentHash {
        ContentHash::of(&self.bytes)
    }

    /// Reads header and table back as every reader will: a writer calls this before it puts the object.
    pub fn check(&self) -> Result<Table, SegmentError> {
        let table = decode_table(&self.bytes)?;
        table.check_object_length(self.bytes.len() as u64)?;
        Ok(table)
    }
}

/// Encodes a segment. Sizes are not judged here: `Encoded::check` does that.
pub fn encode(draft: &Draft) -> Encoded {
    let records = records::encode(&draft.records);
    let mut table =
        Vec::with_capacity(8 + records.len() + draft.sections.len() * SECTION_BYTES_MIN);
    table.extend(length_field(records.len()));
    table.extend(records);
    table.extend(length_field(draft.sections.len()));
    let mut body_bytes = 0;
    for (section, body) in &draft.sections {
        section_with_body(section, body.as_ref()).encode_into(&mut table);
        body_bytes += body.as_ref().map_or(0, |body| body.bytes.len());
    }
    let lengths =
        Lengths { table: u32::from_le_bytes(length_field(table.len())), body: body_bytes as u64 };
    assemble(draft, lengths, &table)
}

fn assemble(draft: &Draft, lengths: Lengths, table: &[u8]) -> Encoded {
    let mut bytes = draft.header.encode(lengths);
    bytes.reserve_exact(table.len() + SEAL_BYTES + lengths.body as usize);
    bytes.extend_from_slice(table);
    let hash = SegmentHash::of(&bytes);
    bytes.extend(hash.as_bytes());
    for body in draft.sections.iter().filter_map(|(_, body)| body.as_ref()) {
        bytes.extend_from_slice(&body.bytes);
    }
    Encoded { bytes, hash }
}

fn length_field(length: usize) -> [u8; 4] {
    u32::try_from(length).expect("BUG: a table of 4 GiB was never written").to_le_bytes()
}

/// The entry as it is written: a range that begins at 0, since the table holds only its length.
fn section_with_body(section: &SectionEntry, body: Option<&EncodedBody>) -> SectionEntry {
    let mut section = section.clone();
    section.body = body.filter(|body| body.page_count > 0).map(|body| {
        section.page_count = body.page_count;
        InlineBody { range: 0..body.bytes.len() as u64, sha256: body.sha256 }
    });
    section
}

/// Header and table of a segment, verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// The header.
    pub header: Header,
    /// The control records.
    pub records: Vec<Record>,
    /// The sections.
    pub sections: Vec<SectionEntry>,
    /// The segment's hash.
    pub hash: SegmentHash,
    /// Where the body begins in the object.
    pub body_offset: u64,
    /// The length of the body.
    pub body_bytes: u64,
}

impl Table {
    /// True if a catalogue stands among the records.
    pub fn has_catalogue(&self) -> bool {
        self.records.iter().any(|record| matches!(record, Record::Catalogue(_)))
    }

    /// The length of the object.
    pub fn object_bytes(&self) -> u64 {
        self.body_offset + self.body_bytes
    }

    fn check_object_length(&self, found: u64) -> Result<(), SegmentError> {
        let announced = self.object_bytes();
        match found.cmp(&announced) {
            std::cmp::Ordering::Less => Err(SegmentError::Truncated { needed: announced, found }),
            std::cmp::Ordering::Equal => Ok(()),
            std::cmp::Ordering::Greater => Err(SegmentError::TrailingBytes { announced, found }),
        }
    }
}

/// How many bytes from the beginning of the object `decode_table` needs, told from its first `HEADER_BYTES`.
pub fn table_end(first_bytes: &[u8]) -> Result<u64, SegmentError> {
    let (header, lengths) = Header::decode(first_bytes)?;
    check_lengths(header.kind, lengths)?;
    Ok(body_offset(lengths))
}

/// Decodes and verifies header and table; `bytes` may end behind them, or go on.
pub fn decode_table(bytes: &[u8]) -> Result<Table, SegmentError> {
    let (header, lengths) = Header::decode(bytes)?;
    check_lengths(header.kind, lengths)?;
    let end = body_offset(lengths) as usize;
    let found = bytes.len() as u64;
    let bytes = bytes.get(..end).ok_or(SegmentError::Truncated { needed: end as u64, found })?;
    let (sealed, seal) = bytes.split_at(end - SEAL_BYTES);
    let hash = SegmentHash::of(sealed);
    if hash.as_bytes() != seal {
        return Err(SegmentError::Seal);
    }
    let (records, sections) = decode_contents(&sealed[HEADER_BYTES..], end as u64)?;
    let table = Table {
        header,
        records,
        sections,
        hash,
        body_offset: end as u64,
        body_bytes: lengths.body,
    };
    check_bodies(&table)?;
    check_one_section_each(&table.sections)?;
    if table.header.kind != SegmentKind::Log {
        check_part(&table)?;
    }
    Ok(table)
}

/// The table's length is bounded here, so that the sum fits every `usize`.
fn check_lengths(kind: SegmentKind, lengths: Lengths) -> Result<(), SegmentError> {
    at_most("table", u64::from(lengths.table), TABLE_BYTES_MAX)?;
    let max = if kind == SegmentKind::Log { LOG_OBJECT_BYTES_MAX } else { PART_BYTES_MAX };
    at_most("object", lengths.body.saturating_add(body_offset(lengths)), max)
}

fn at_most(what: &'static str, found: u64, max: u64) -> Result<(), SegmentError> {
    if found > max { Err(SegmentError::TooLarge { what, found, max }) } else { Ok(()) }
}

fn body_offset(lengths: Lengths) -> u64 {
    HEADER_BYTES as u64 + u64::from(lengths.table) + SEAL_BYTES as u64
}

fn decode_contents(
    table: &[u8],
    body_offset: u64,
) -> Result<(Vec<Record>, Vec<SectionEntry>), SegmentError> {
    let mut cursor = Cursor::new(table, HEADER_BYTES as u64);
    let records_length = cursor.u32()? as usize;
    let records = records::decode(cursor.take(records_length)?)?;
    let count = u64::from(cursor.u32()?);
    at_most("number of sections", count, (cursor.remaining() / SECTION_BYTES_MIN) as u64)?;
    let mut sections = Vec::with_capacity(count as usize);
    let mut body_start = body_offset;
    for _ in 0..count {
        let section = SectionEntry::decode(&mut cursor, body_start)?;
        body_start = section.body.as_ref().map_or(body_start, |body| body.range.end);
        sections.push(section);
    }
    match cursor.remaining() {
        0 => Ok((records, sections)),
        _ => Err(SegmentError::Invalid {
            what: "bytes after the last section",
            offset: cursor.offset(),
        }),
    }
}

/// Bodies follow each other without gaps, so only the end of the last one can be wrong.
fn check_bodies(table: &Table) -> Result<(), SegmentError> {
    let mut bodies = table.sections.iter().filter_map(|section| section.body.as_ref());
    let end = bodies.next_back().map_or(table.body_offset, |body| body.range.end);
    if end != table.object_bytes() {
        return Err(SegmentError::Invalid {
            what: "bodies that do not fill the object",
            offset: end,
        });
    }
    Ok(())
}

fn check_one_section_each(sections: &[SectionEntry]) -> Result<(), SegmentError> {
    let mut databases: Vec<DbId> = sections.iter().map(|section| section.db).collect();
    databases.sort_unstable();
    match databases.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(_) => Err(SegmentError::Invalid {
            what: "two sections of one database",
            offset: HEADER_BYTES as u64,
        }),
        None => Ok(()),
    }
}

/// A side object or base part holds pages of one database and says nothing else.
fn check_part(table: &Table) -> Result<(), SegmentError> {
    let is_plain = match &table.sections[..] {
        [section] => section.body.is_some() && table.records.is_empty(),
        _ => false,
    };
    let what = "side object or base part with other contents than one section";
    if is_plain { Ok(()) } else { Err(SegmentError::Invalid { what, offset: HEADER_BYTES as u64 }) }
}

/// A whole segment, verified.
#[derive(Clone, Debug)]
pub struct Segment {
    table: Table,
    bytes: Bytes,
}

impl Segment {
    /// Decodes an object and verifies every SHA-256 and length in it.
    pub fn decode(bytes: Bytes) -> Result<Self, SegmentError> {
        let table = decode_table(&bytes)?;
        table.check_object_length(bytes.len() as u64)?;
        let segment = Segment { table, bytes };
        for (index, section) in segment.table.sections.iter().enumerate() {
            segment.verify_body(index, section)?;
        }
        Ok(segment)
    }

    fn verify_body(&self, index: usize, section: &SectionEntry) -> Result<(), SegmentError> {
        match &section.body {
            Some(body) if ContentHash::of(self.body_bytes(body)) != body.sha256 => {
                Err(SegmentError::BodyHash { section: index })
            }
            _ => Ok(()),
        }
    }

    fn body_bytes(&self, body: &InlineBody) -> &[u8] {
        &self.bytes[body.range.start as usize..body.range.end as usize]
    }

    /// Header, records and section entries.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// The object itself.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The pages that stand in this object for the section with this index.
    pub fn pages(&self, section: usize) -> Result<Pages<'_>, SegmentError> {
        let entry = self.table.sections.get(section).ok_or(SegmentError::NoBody { section })?;
        let body = entry.body.as_ref().ok_or(SegmentError::NoBody { section })?;
        decode_body(entry.shape(), self.body_bytes(body))
    }
}

impl SectionEntry {
    /// What every page of the section must respect.
    pub fn shape(&self) -> BodyShape {
        BodyShape {
            page_size: self.page_size,
            pages_after: self.pages_after,
            page_count: self.page_count,
        }
    }
}

/// Verifies a body that was read by a range, and gives its pages.
pub fn decode_section<'a>(
    section: &SectionEntry,
    bytes: &'a [u8],
) -> Result<Pages<'a>, SegmentError> {
    let body = section.body.as_ref().ok_or(SegmentError::NoBody { section: 0 })?;
    if ContentHash::of(bytes) != body.sha256 {
        return Err(SegmentError::BodyHash { section: 0 });
    }
    decode_body(section.shape(), bytes)
}
