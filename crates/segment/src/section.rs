//! Section entries: what a segment says about the pages of one database (FORMAT.md section 4).
//!
//! The entry stands in the table; the pages stand in the body of the same object, or in side objects.

use std::ops::Range;

use crate::checksum::Checksum;
use crate::cursor::Cursor;
use crate::error::SegmentError;
use crate::header::known_flags;
use crate::ids::{ContentHash, DbId, Incarnation, Millis, PageSize, Seq, Txid};
use crate::names::ObjectName;
use crate::records::Part;

/// The least bytes a section entry takes in the table.
pub(crate) const SECTION_BYTES_MIN: usize = 136;
/// The least bytes a part takes in a section entry.
const PART_BYTES_MIN: usize = 42;

const FLAG_DIFF: u8 = 1 << 0;
const FLAG_NEW_INCARNATION: u8 = 1 << 1;
const FLAGS: u8 = FLAG_DIFF | FLAG_NEW_INCARNATION;

/// The changes of one database in one segment.
///
/// In a side object or base part the entry repeats that of the change it belongs to, except that `page_count` counts
/// the pages of this part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SectionEntry {
    /// The database.
    pub db: DbId,
    /// Its life.
    pub incarnation: Incarnation,
    /// Its retention class.
    pub class_hours: u32,
    /// Its page size.
    pub page_size: PageSize,
    /// Its size in pages after the changes.
    pub pages_after: u32,
    /// How many pages the changes have.
    pub page_count: u32,
    /// The first commit of the changes.
    pub first_txid: Txid,
    /// The last one: not below the first.
    pub last_txid: Txid,
    /// The database checksum before the changes.
    pub pre: Checksum,
    /// The database checksum after them.
    pub post: Checksum,
    /// When the oldest of the commits was noticed, by the writer's clock.
    pub oldest_commit: Millis,
    /// The log object before this one with a section of the database.
    pub previous_seq: Option<Seq>,
    /// Whether the pages were found by comparison with the last durable state, not read from a WAL.
    pub is_diff: bool,
    /// Whether a life begins here: the state before is the base that the same segment names.
    pub new_incarnation: bool,
    /// The pages, if they stand in this object.
    pub body: Option<InlineBody>,
    /// The objects that hold the pages, if they stand elsewhere, in the order of their pages.
    pub side: Vec<Part>,
}

/// Where the pages of a section stand in its own object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InlineBody {
    /// The bytes of the object.
    pub range: Range<u64>,
    /// Their SHA-256.
    pub sha256: ContentHash,
}

impl SectionEntry {
    pub(crate) fn encode_into(&self, table: &mut Vec<u8>) {
        table.extend(self.db.as_bytes());
        table.extend(self.incarnation.as_bytes());
        table.extend(self.class_hours.to_le_bytes());
        table.extend(self.page_size.get().to_le_bytes());
        table.extend(self.pages_after.to_le_bytes());
        table.extend(self.page_count.to_le_bytes());
        table.extend(self.first_txid.get().to_le_bytes());
        table.extend(self.last_txid.get().to_le_bytes());
        table.extend(self.pre.get().to_le_bytes());
        table.extend(self.post.get().to_le_bytes());
        table.extend(self.oldest_commit.get().to_le_bytes());
        table.extend(self.previous_seq.map_or(0, Seq::get).to_le_bytes());
        let body = self.body.as_ref();
        table.extend(body.map_or(0, |body| body.range.end - body.range.start).to_le_bytes());
        table.extend(body.map_or(&[0; 32], |body| body.sha256.as_bytes()));
        table.push(self.flags());
        table.extend([0; 3]);
        let parts =
            u32::try_from(self.side.len()).expect("BUG: a change of 2^32 parts was never written");
        table.extend(parts.to_le_bytes());
        for part in &self.side {
            encode_part(part, table);
        }
    }

    fn flags(&self) -> u8 {
        let is_diff = if self.is_diff { FLAG_DIFF } else { 0 };
        let new_incarnation = if self.new_incarnation { FLAG_NEW_INCARNATION } else { 0 };
        is_diff | new_incarnation
    }

    /// Reads one entry; its body, if there is one, begins at `body_start` in the object.
    pub(crate) fn decode(cursor: &mut Cursor<'_>, body_start: u64) -> Result<Self, SegmentError> {
        let start = cursor.offset();
        let mut section = SectionEntry {
            db: DbId::from_bytes(cursor.array()?),
            incarnation: Incarnation::from_bytes(cursor.array()?),
            class_hours: cursor.u32()?,
            page_size: cursor.checked("page size", Cursor::u32, PageSize::new)?,
            pages_after: cursor.u32()?,
            page_count: cursor.u32()?,
            first_txid: Txid::new(cursor.u64()?),
            last_txid: Txid::new(cursor.u64()?),
            pre: Checksum::new(cursor.u64()?),
            post: Checksum::new(cursor.u64()?),
            oldest_commit: Millis::new(cursor.u64()?),
            previous_seq: cursor.u64().map(Seq::new)?,
            body: inline_body(cursor, body_start)?,
            is_diff: false,
            new_incarnation: false,
            side: Vec::new(),
        };
        let flags = known_flags("section flags", cursor.u8()?, FLAGS)?;
        section.is_diff = flags & FLAG_DIFF != 0;
        section.new_incarnation = flags & FLAG_NEW_INCARNATION != 0;
        cursor.reserved(3)?;
        section.side = parts(cursor)?;
        section.check().map_err(|what| SegmentError::Invalid { what, offset: start })?;
        Ok(section)
    }

    fn check(&self) -> Result<(), &'static str> {
        let has_pages = self.page_count > 0;
        if self.body.is_some() && !self.side.is_empty() {
            return Err("section with pages in two places");
        }
        if has_pages != (self.body.is_some() || !self.side.is_empty()) {
            return Err("section whose page count does not fit its pages");
        }
        if self.page_count > self.pages_after {
            return Err("section with more pages than its database");
        }
        if self.first_txid > self.last_txid {
            return Err("section that ends before it begins");
        }
        Ok(())
    }
}

fn inline_body(cursor: &mut Cursor<'_>, start: u64) -> Result<Option<InlineBody>, SegmentError> {
    let offset = cursor.offset();
    let end = start
        .checked_add(cursor.u64()?)
        .ok_or(SegmentError::Invalid { what: "body length", offset })?;
    let sha256: [u8; 32] = cursor.array()?;
    match (start == end, sha256 == [0; 32]) {
        (false, _) => {
            Ok(Some(InlineBody { range: start..end, sha256: ContentHash::from_bytes(sha256) }))
        }
        (true, true) => Ok(None),
        (true, false) => {
            Err(SegmentError::Invalid { what: "hash of a body that is not there", offset })
        }
    }
}

fn parts(cursor: &mut Cursor<'_>) -> Result<Vec<Part>, SegmentError> {
    let count =
        cursor.checked("number of parts", Cursor::u32, |count| usize::try_from(count).ok())?;
    let max = cursor.remaining() / PART_BYTES_MIN;
    if count > max {
        return Err(SegmentError::TooLarge {
            what: "number of parts",
            found: count as u64,
            max: max as u64,
        });
    }
    (0..count).map(|_| decode_part(cursor)).collect()
}

fn encode_part(part: &Part, table: &mut Vec<u8>) {
    let name = part.name.as_str().as_bytes();
    let length = u16::try_from(name.len()).expect("BUG: object names are shorter than 400 bytes");
    table.extend(length.to_le_bytes());
    table.extend(name);
    table.extend(part.bytes.to_le_bytes());
    table.extend(part.sha256.as_bytes());
}

fn decode_part(cursor: &mut Cursor<'_>) -> Result<Part, SegmentError> {
    let length = usize::from(cursor.u16()?);
    let name = cursor.checked(
        "name of a part",
        |cursor| cursor.take(length),
        |bytes| std::str::from_utf8(bytes).ok().and_then(|text| ObjectName::parse(text).ok()),
    )?;
    Ok(Part { name, bytes: cursor.u64()?, sha256: ContentHash::from_bytes(cursor.array()?) })
}
