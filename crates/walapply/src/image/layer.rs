//! One layer of an image: the pages that one section, or the base, contributes, and where they stand.

use std::ops::Range;

use bytes::Bytes;
use segment::{
    BaseRecord, BodyShape, ContentHash, DbId, Incarnation, InlineBody, ObjectName, PageSize, Pages,
    Part, SectionEntry, SegmentKind, Seq, decode_body, decode_table,
};
use store::Store;

use crate::ApplyError;

/// The pages that one section, or the base, contributes.
#[derive(Clone, Debug)]
pub struct Layer {
    /// The log object whose section this is; `None` for the base.
    pub seq: Option<Seq>,
    /// Where the pages stand, in the order of their numbers.
    pub pieces: Vec<Piece>,
    /// Pages above this are not taken: a newer section cut them off.
    pub(super) limit: u32,
    content: Content,
}

/// A stretch of pages in one object.
#[derive(Clone, Debug)]
pub struct Piece {
    /// The object.
    pub object: ObjectName,
    /// How many bytes of it are read.
    pub bytes: u64,
    sha256: ContentHash,
    place: Place,
}

/// Where in its object a piece stands.
#[derive(Clone, Debug)]
enum Place {
    /// Its body is this range of a log object, with this many pages.
    Range(Range<u64>, u32),
    /// It is the whole object, a segment of this kind.
    Whole(SegmentKind),
}

/// What every page of a layer belongs to.
#[derive(Clone, Copy, Debug)]
struct Content {
    db: DbId,
    incarnation: Incarnation,
    page_size: PageSize,
    pages_after: u32,
}

impl Layer {
    /// The layer of a section of log object `seq`.
    pub(crate) fn of_section(seq: Seq, section: &SectionEntry, limit: u32) -> Self {
        let inline = section.body.as_ref().map(|body| Piece::inline(seq, body, section.page_count));
        let side = section.side.iter().map(|part| Piece::part(part, SegmentKind::Side));
        Self {
            seq: Some(seq),
            pieces: inline.into_iter().chain(side).collect(),
            limit,
            content: Content {
                db: section.db,
                incarnation: section.incarnation,
                page_size: section.page_size,
                pages_after: section.pages_after,
            },
        }
    }

    /// The layer of a base.
    pub(crate) fn of_base(base: &BaseRecord, limit: u32) -> Self {
        Self {
            seq: None,
            pieces: base.parts.iter().map(|part| Piece::part(part, SegmentKind::Base)).collect(),
            limit,
            content: Content {
                db: base.db,
                incarnation: base.incarnation,
                page_size: base.page_size,
                pages_after: base.pages,
            },
        }
    }

    /// The pages of a piece whose bytes [`Piece::fetch`] has read and verified.
    pub(crate) fn pages<'a>(
        &self,
        piece: &Piece,
        bytes: &'a Bytes,
    ) -> Result<Pages<'a>, ApplyError> {
        let (page_count, body) = match &piece.place {
            Place::Range(_, page_count) => (*page_count, &bytes[..]),
            Place::Whole(kind) => {
                self.body_of_part(*kind, bytes).map_err(|detail| piece.corrupt(detail))?
            }
        };
        let Content { page_size, pages_after, .. } = self.content;
        decode_body(BodyShape { page_size, pages_after, page_count }, body)
            .map_err(|error| piece.corrupt(error))
    }

    /// The body of a side object or base part, whose one section must be what the log says it is.
    fn body_of_part<'a>(
        &self,
        kind: SegmentKind,
        bytes: &'a [u8],
    ) -> Result<(u32, &'a [u8]), String> {
        let table = decode_table(bytes).map_err(|error| error.to_string())?;
        let [section] = &table.sections[..] else {
            return Err("not a part of one database".to_owned());
        };
        let Content { db, incarnation, page_size, pages_after } = self.content;
        let found = (
            section.db,
            section.incarnation,
            section.page_size,
            section.pages_after,
            table.header.kind,
        );
        if found != (db, incarnation, page_size, pages_after, kind) {
            return Err("its pages belong to something else than the log says".to_owned());
        }
        let range = section.body.as_ref().map_or(0..0, |body| body.range.clone());
        let body = usize::try_from(range.start).ok().zip(usize::try_from(range.end).ok());
        let body = body
            .and_then(|(start, end)| bytes.get(start..end))
            .ok_or("shorter than its table says")?;
        Ok((section.page_count, body))
    }
}

impl Piece {
    fn inline(seq: Seq, body: &InlineBody, page_count: u32) -> Self {
        Self {
            object: ObjectName::log(seq),
            bytes: body.range.end - body.range.start,
            sha256: body.sha256,
            place: Place::Range(body.range.clone(), page_count),
        }
    }

    fn part(part: &Part, kind: SegmentKind) -> Self {
        Self {
            object: part.name.clone(),
            bytes: part.bytes,
            sha256: part.sha256,
            place: Place::Whole(kind),
        }
    }

    /// Reads the piece and verifies its SHA-256.
    pub(crate) fn fetch(&self, store: &dyn Store) -> Result<Bytes, ApplyError> {
        if self.bytes > segment::PART_BYTES_MAX {
            return Err(self.corrupt("said to be larger than any object is"));
        }
        let bytes = match &self.place {
            Place::Range(range, _) => store.get_range(&self.object, range.clone())?.value,
            Place::Whole(_) => store.get(&self.object)?.value.map(|object| object.body),
        };
        let bytes = bytes.ok_or_else(|| ApplyError::Missing(self.object.to_string()))?;
        if bytes.len() as u64 != self.bytes {
            return Err(self.corrupt(format_args!(
                "{} bytes where the log says {}",
                bytes.len(),
                self.bytes
            )));
        }
        if ContentHash::of(&bytes) != self.sha256 {
            return Err(self.corrupt("its SHA-256 is not the one in the log"));
        }
        Ok(bytes)
    }

    /// The error that blames this piece's object.
    pub(crate) fn corrupt(&self, detail: impl ToString) -> ApplyError {
        ApplyError::Corrupt { what: self.object.to_string(), detail: detail.to_string() }
    }
}
