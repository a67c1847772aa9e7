//! Everything that can be wrong with bytes that claim to be a segment.

use crate::ids::{DbId, PageNo};

/// The newest format version this build reads, and the one it writes.
pub const FORMAT_VERSION: u16 = 1;

/// Why bytes were refused as a segment.
///
/// Offsets count from the first byte of the object.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SegmentError {
    /// The bytes do not begin with the magic number.
    #[error("not a segment: the magic number is missing")]
    NotASegment,
    /// The object ends too early.
    #[error("the segment is cut short: {needed} bytes needed, {found} found")]
    Truncated {
        /// The bytes that were needed.
        needed: u64,
        /// The bytes there were.
        found: u64,
    },
    /// The object goes on after its end.
    #[error("the segment has {found} bytes where its header announces {announced}")]
    TrailingBytes {
        /// The length by the header.
        announced: u64,
        /// The length of the object.
        found: u64,
    },
    /// Written by a newer program.
    #[error(
        "the segment has format version {version}, this program reads up to version {FORMAT_VERSION}: \
         upgrade this program (standbys are upgraded before primaries)"
    )]
    NewerFormat {
        /// The version found.
        version: u16,
    },
    /// Within the known version stands a value that only a newer program can know.
    #[error(
        "the segment uses {what} {value}, which this program does not know: \
         upgrade this program (standbys are upgraded before primaries)"
    )]
    NewerFeature {
        /// What kind of value it is.
        what: &'static str,
        /// The value, as text.
        value: String,
    },
    /// A field has a value that no version allows.
    #[error("damaged segment: {what} at byte {offset}")]
    Invalid {
        /// The field and what is wrong with it.
        what: &'static str,
        /// Where it stands.
        offset: u64,
    },
    /// A length above the limit of the format.
    #[error("damaged segment: {what} of {found} exceeds the limit of {max}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// The value found.
        found: u64,
        /// The largest value allowed.
        max: u64,
    },
    /// Header and table are not the bytes that were sealed.
    #[error("damaged segment: header and table do not have the SHA-256 that seals them")]
    Seal,
    /// The control records are not what the format says.
    #[error("damaged segment: control records: {detail}")]
    Records {
        /// What the JSON reader found.
        detail: String,
    },
    /// A body is not the bytes its section entry names.
    #[error("damaged segment: the body of section {section} does not have its SHA-256")]
    BodyHash {
        /// The index of the section in the table.
        section: usize,
    },
    /// A page cannot be decoded.
    #[error("damaged segment: page {pgno}: {what}")]
    Page {
        /// The page.
        pgno: PageNo,
        /// What is wrong with it.
        what: &'static str,
    },
    /// There is no such section, or its pages stand elsewhere.
    #[error("section {section} has no pages in this object")]
    NoBody {
        /// The index that was asked for.
        section: usize,
    },
    /// A record or section is about a database that was never announced.
    #[error("the log speaks of database {db}, which it never announced")]
    UnknownDatabase {
        /// The database.
        db: DbId,
    },
}

impl SegmentError {
    /// Whether the bytes are sound as far as they can be judged and an upgrade of this program is the remedy.
    pub fn is_newer_format(&self) -> bool {
        matches!(self, SegmentError::NewerFormat { .. } | SegmentError::NewerFeature { .. })
    }
}
