//! One layer of an image: the pages that one section, or the base, contributes, and where they stand.

use std::ops::Range;

use bytes::Bytes;
use segment::{
    BaseRecord, BodyShape, Checksum, ContentHash, DbId, Incarnation, InlineBody, ObjectName,
    PageEntry, PageSize, Pages, Part, SectionEntry, SegmentKind, Seq, decode_body, decode_table,
    page_table,
};
use store::{Reply, Store, StoreError};

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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Content {
    db: DbId,
    incarnation: Incarnation,
    page_size: PageSize,
    pages_after: u32,
    pre: Checksum,
    post: Checksum,
}

impl Content {
    fn of(section: &SectionEntry) -> Self {
        Self {
            db: section.db,
            incarnation: section.incarnation,
            page_size: section.page_size,
            pages_after: section.pages_after,
            pre: section.pre,
            post: section.post,
        }
    }
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
            content: Content::of(section),
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
                pre: Checksum::EMPTY,
                post: base.checksum,
            },
        }
    }

    /// The pages of a piece whose bytes [`Piece::fetch`] has read and verified.
    pub(crate) fn pages<'a>(
        &self,
        piece: &Piece,
        bytes: &'a Bytes,
    ) -> Result<Pages<'a>, ApplyError> {
        let (shape, body) = self.body(piece, bytes)?;
        decode_body(shape, body).map_err(|error| piece.corrupt(error))
    }

    /// The page table of such a piece, and the body that its ranges are of.
    pub(crate) fn entries<'a>(
        &self,
        piece: &Piece,
        bytes: &'a Bytes,
    ) -> Result<(Vec<PageEntry>, &'a [u8]), ApplyError> {
        let (shape, body) = self.body(piece, bytes)?;
        let entries = page_table(shape, body.len() as u64, body);
        Ok((entries.map_err(|error| piece.corrupt(error))?, body))
    }

    /// The body of such a piece.
    pub(super) fn body<'a>(
        &self,
        piece: &Piece,
        bytes: &'a Bytes,
    ) -> Result<(BodyShape, &'a [u8]), ApplyError> {
        match &piece.place {
            Place::Range(_, page_count) => Ok((self.shape(*page_count), bytes)),
            Place::Whole(kind) => {
                let (page_count, range) =
                    self.place_of_body(*kind, bytes).map_err(|detail| piece.corrupt(detail))?;
                let place = usize::try_from(range.start).ok().zip(usize::try_from(range.end).ok());
                let body = place.and_then(|(start, end)| bytes.get(start..end));
                let body = body.ok_or_else(|| piece.corrupt("shorter than its table says"))?;
                Ok((self.shape(page_count), body))
            }
        }
    }

    /// Reads the beginning of a piece, to find its page table; a whole object by its first `bytes_max` bytes.
    pub(super) fn head(
        &self,
        piece: &Piece,
        store: &dyn Store,
        bytes_max: u64,
    ) -> Result<Head, ApplyError> {
        match &piece.place {
            Place::Range(range, page_count) => Ok(Head {
                shape: self.shape(*page_count),
                body: range.clone(),
                bytes_from: range.start,
                bytes: Bytes::new(),
            }),
            Place::Whole(kind) => {
                let bytes = piece.fetch_range(store, 0..bytes_max.min(piece.bytes))?;
                let (page_count, body) =
                    self.place_of_body(*kind, &bytes).map_err(|detail| piece.corrupt(detail))?;
                Ok(Head { shape: self.shape(page_count), body, bytes_from: 0, bytes })
            }
        }
    }

    fn shape(&self, page_count: u32) -> BodyShape {
        let Content { page_size, pages_after, .. } = self.content;
        BodyShape { page_size, pages_after, page_count }
    }

    /// Where the body of a side object or base part stands, whose one section must be what the log says it is.
    fn place_of_body(&self, kind: SegmentKind, bytes: &[u8]) -> Result<(u32, Range<u64>), String> {
        let table = decode_table(bytes).map_err(|error| error.to_string())?;
        let [section] = &table.sections[..] else {
            return Err("not a part of one database".to_owned());
        };
        let found = Content::of(section);
        if (table.header.kind, found) != (kind, self.content) || section.previous_seq.is_some() {
            return Err("its pages belong to something else than the log says".to_owned());
        }
        let empty = table.body_offset..table.body_offset;
        let range = section.body.as_ref().map_or(empty, |body| body.range.clone());
        Ok((section.page_count, range))
    }
}

/// The beginning of a piece.
pub(super) struct Head {
    /// What every page must respect.
    pub(super) shape: BodyShape,
    /// Where the body stands in the object.
    pub(super) body: Range<u64>,
    /// Where in the object `bytes` begin.
    pub(super) bytes_from: u64,
    /// What was read on the way.
    pub(super) bytes: Bytes,
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
            Place::Range(range, _) => {
                self.answered(store.get_range(&self.object, range.clone()))?
            }
            Place::Whole(_) => self.answered(store.get(&self.object))?.map(|object| object.body),
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

    /// Reads a range of the object, in which nothing is verified yet.
    pub(super) fn fetch_range(
        &self,
        store: &dyn Store,
        range: Range<u64>,
    ) -> Result<Bytes, ApplyError> {
        let length = range.end.saturating_sub(range.start);
        if length > segment::PART_BYTES_MAX {
            return Err(self.corrupt("said to be larger than any object is"));
        }
        let bytes = self.answered(store.get_range(&self.object, range))?;
        let bytes = bytes.ok_or_else(|| ApplyError::Missing(self.object.to_string()))?;
        if bytes.len() as u64 != length {
            return Err(self.corrupt("shorter than the log says"));
        }
        Ok(bytes)
    }

    /// A store that has something else in the object's place, or cannot read it, tells of damage to it.
    fn answered<T>(&self, reply: Result<Reply<T>, StoreError>) -> Result<T, ApplyError> {
        match reply {
            Ok(reply) => Ok(reply.value),
            Err(StoreError::Corrupt { cause, .. }) => Err(self.corrupt(cause)),
            Err(error) => Err(error.into()),
        }
    }

    /// The error that blames this piece's object.
    pub(crate) fn corrupt(&self, detail: impl ToString) -> ApplyError {
        ApplyError::Corrupt { what: self.object.to_string(), detail: detail.to_string() }
    }
}
