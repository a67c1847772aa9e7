//! Control records: what a segment says besides pages (FORMAT.md section 5).
//!
//! They stand in the table as one JSON array of objects with a single key, the record's type. A field that a reader
//! does not know is ignored; a type that it does not know stops it, because a record changes what the log means.

use std::fmt;

use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::catalogue::{Catalogue, DatabaseState};
use crate::checksum::Checksum;
use crate::error::SegmentError;
use crate::ids::{ContentHash, DbId, Epoch, Incarnation, PageSize, Seq, WriterId};
use crate::name::Name;
use crate::names::ObjectName;

/// The most records a segment may have; bounds what decoding allocates.
pub const RECORDS_MAX: usize = 65_536;

/// One control record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Record {
    /// A writer takes the log.
    Fence {
        /// The epoch that begins: one more than the one before.
        epoch: Epoch,
        /// The host of the writer: the owner of the log from here on.
        node: Name,
        /// The start of the writer.
        writer: WriterId,
        /// Why it takes the log.
        kind: FenceKind,
    },
    /// The writer has shipped everything and writes nothing more.
    Handover {},
    /// A new database, or what is said about a known one has changed.
    Announce(Announcement),
    /// A new base of a database.
    Base(BaseRecord),
    /// A database was removed from the configuration.
    Retired {
        /// The database.
        db: DbId,
    },
    /// A database has another name.
    Renamed {
        /// The database.
        db: DbId,
        /// Its new name.
        name: Name,
    },
    /// The state of the whole fleet before this segment.
    Catalogue(Catalogue),
}

/// The keys of `Record`, as they stand in the JSON.
const RECORD_TYPES: [&str; 7] =
    ["fence", "handover", "announce", "base", "retired", "renamed", "catalogue"];

/// Why a writer takes the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FenceKind {
    /// The owner's own node continues.
    Start,
    /// Another node becomes the owner.
    Promote,
}

/// What a writer says about a database besides its pages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announcement {
    /// The database.
    pub id: DbId,
    /// Its name, unique in the fleet when case is ignored.
    pub name: Name,
    /// Its tier: a key of the catalogue's tier table.
    pub tier: String,
    /// Its retention class.
    pub class_hours: u32,
    /// Whether it is there.
    pub state: DatabaseState,
}

/// A full image of a database, in parts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaseRecord {
    /// The database.
    pub db: DbId,
    /// The life of the database.
    pub incarnation: Incarnation,
    /// The image is the state after this log object; `None`: before the first one.
    pub at: Option<Seq>,
    /// The database checksum of the image.
    pub checksum: Checksum,
    /// Its page size.
    pub page_size: PageSize,
    /// Its size in pages.
    pub pages: u32,
    /// The sum of the sizes of its parts.
    pub bytes: u64,
    /// The objects that hold it, in the order of their pages.
    pub parts: Vec<Part>,
}

/// An object that a segment refers to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// The name of the object.
    pub name: ObjectName,
    /// Its size.
    pub bytes: u64,
    /// The SHA-256 of all its bytes.
    pub sha256: ContentHash,
}

pub(crate) fn encode(records: &[Record]) -> Vec<u8> {
    serde_json::to_vec(records)
        .expect("BUG: records have only text keys and nothing that fails to serialize")
}

/// Reads the records. Nothing is kept of a document with too many of them, or with one of an unknown type.
pub(crate) fn decode(json: &[u8]) -> Result<Vec<Record>, SegmentError> {
    let Types { unknown, count } = parse(json)?;
    if let Some(value) = unknown {
        return Err(SegmentError::NewerFeature { what: "record type", value });
    }
    if count > RECORDS_MAX {
        let (found, max) = (count as u64, RECORDS_MAX as u64);
        return Err(SegmentError::TooLarge { what: "number of records", found, max });
    }
    parse(json)
}

fn parse<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T, SegmentError> {
    serde_json::from_slice(json)
        .map_err(|error| SegmentError::Records { detail: error.to_string() })
}

/// A first look at the records, which keeps nothing but their number and the first type that is not known.
#[derive(Default)]
struct Types {
    count: usize,
    unknown: Option<String>,
}

impl<'de> Deserialize<'de> for Types {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(TypesVisitor)
    }
}

struct TypesVisitor;

impl<'de> Visitor<'de> for TypesVisitor {
    type Value = Types;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of records")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut records: A) -> Result<Types, A::Error> {
        let mut types = Types::default();
        while let Some(FirstUnknown(unknown)) = records.next_element()? {
            types.count += 1;
            types.unknown = types.unknown.or(unknown);
        }
        Ok(types)
    }
}

/// The first key of an object that is not a known record type.
struct FirstUnknown(Option<String>);

impl<'de> Deserialize<'de> for FirstUnknown {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FirstUnknownVisitor)
    }
}

struct FirstUnknownVisitor;

impl<'de> Visitor<'de> for FirstUnknownVisitor {
    type Value = FirstUnknown;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a record")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut record: A) -> Result<FirstUnknown, A::Error> {
        let mut unknown = None;
        while let Some(RecordType(name)) = record.next_key()? {
            unknown = unknown.or(name);
            record.next_value::<IgnoredAny>()?;
        }
        Ok(FirstUnknown(unknown))
    }
}

/// A key: `None` if it is a known record type, else the key shortened to 64 characters.
struct RecordType(Option<String>);

impl<'de> Deserialize<'de> for RecordType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(RecordTypeVisitor)
    }
}

struct RecordTypeVisitor;

impl Visitor<'_> for RecordTypeVisitor {
    type Value = RecordType;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a record type")
    }

    fn visit_str<E>(self, key: &str) -> Result<RecordType, E> {
        let is_known = RECORD_TYPES.contains(&key);
        Ok(RecordType((!is_known).then(|| key.chars().take(64).collect())))
    }
}

#[cfg(test)]
mod tests;
