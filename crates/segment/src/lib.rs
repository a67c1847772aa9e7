//! The format of the fleet's log: segments, control records, object names, the hash chain and the database checksum.
//!
//! Pure: bytes in, values out. Byte layouts are specified in `FORMAT.md` beside this crate's manifest; this code follows
//! it section by section. Nothing that is decoded here may panic, allocate beyond a stated bound, or be accepted with a
//! wrong checksum, since the bytes come from a network.

pub mod body;
pub mod catalogue;
pub mod checksum;
pub mod codec;
mod cursor;
pub mod error;
pub mod header;
mod hex;
pub mod ids;
pub mod name;
pub mod names;
pub mod records;
pub mod section;

pub use body::{
    BodyShape, EncodedBody, PAGE_ENTRY_BYTES, PageEntry, Pages, decode_body, encode_body,
    page_table,
};
pub use catalogue::{Catalogue, CatalogueEntry, DatabaseState, TierRecord};
pub use checksum::{Checksum, PageHashes, page_hash};
pub use codec::{
    DECODE_BYTES_MAX, Draft, Encoded, INLINE_BYTES_MAX, LOG_OBJECT_BYTES_MAX, PART_BYTES_MAX,
    Segment, TABLE_BYTES_MAX, Table, decode_section, decode_table, encode, table_end,
};
pub use error::{FORMAT_VERSION, SegmentError};
pub use header::{HEADER_BYTES, Header, SegmentKind};
pub use ids::{
    ContentHash, DbId, Epoch, FleetId, Incarnation, Millis, PageNo, PageSize, ParseIdError,
    SegmentHash, Seq, Txid, WriterId,
};
pub use name::{NAME_BYTES_MAX, Name, NameError};
pub use names::{LOG_PREFIX, ObjectKind, ObjectName, ObjectNameError};
pub use records::{Announcement, BaseRecord, FenceKind, Part, RECORDS_MAX, Record};
pub use section::{InlineBody, SectionEntry};
