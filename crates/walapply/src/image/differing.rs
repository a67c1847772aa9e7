//! Reading only the pages of an image that the reader does not hold yet.
//!
//! The page table at the beginning of each body has the hash of every page. So a reader that knows the hashes of its own
//! pages needs the tables, about 0.4 % of the bytes, and the pages that differ, which are fetched by ranges.
//! Then no SHA-256 covers what was fetched: each page is verified by its hash in the table, and the tables by
//! [`super::ImageFacts::checksum`] of the result, which the caller compares.

use std::ops::Range;

use bytes::Bytes;
use segment::{BodyShape, PageEntry, PageNo, page_table};

use super::PageSource;
use super::layer::{Head, Layer, Piece};
use super::pages::{Reading, Sink, stored};
use crate::ApplyError;
use crate::ahead::{Go, Work};

/// Pieces up to this size are read whole: a second request would cost more than the bytes.
const WHOLE_BYTES_MAX: u64 = 256 << 10;
/// Ranges that lie closer together are read as one, for the same reason.
const GAP_BYTES_MAX: u64 = 64 << 10;
/// Ranges read at once.
const READS_AT_ONCE: usize = 4;

impl PageSource {
    /// Hands every page to `sink` for which `is_known(page, hash)` is false, once, in no order of numbers; `is_known` is
    /// asked once for every page.
    ///
    /// # Errors
    /// The sink's own, and those of [`PageSource::read`].
    pub fn read_differing<E: From<ApplyError>>(
        &self,
        is_known: &dyn Fn(PageNo, u64) -> bool,
        sink: &mut Sink<'_, E>,
    ) -> Result<(), E> {
        let wanted = |page: PageNo, hash: u64| !is_known(page, hash);
        let mut reading = Reading::new(self, &wanted);
        for (layer, piece) in self.pieces() {
            self.differing_piece(layer, piece, &mut reading, sink)?;
            if reading.has_all() {
                break;
            }
        }
        self.check_complete(&reading)?;
        Ok(())
    }

    fn differing_piece<E: From<ApplyError>>(
        &self,
        layer: &Layer,
        piece: &Piece,
        reading: &mut Reading<'_>,
        sink: &mut Sink<'_, E>,
    ) -> Result<(), E> {
        if piece.bytes <= WHOLE_BYTES_MAX {
            let bytes = piece.fetch(&*self.store)?;
            return reading.piece(layer, piece, &bytes, sink);
        }
        let head = layer.head(piece, &*self.store, WHOLE_BYTES_MAX)?;
        let entries = self.entries(piece, &head)?;
        let needed: Vec<PageEntry> =
            entries.into_iter().filter(|entry| reading.takes(layer, entry)).collect();
        let stored = needed.iter().map(|entry| entry.range.end - entry.range.start).sum::<u64>();
        if stored > piece.bytes / 2 {
            let bytes = piece.fetch(&*self.store)?;
            let (_, body) = layer.body(piece, &bytes)?;
            return hand_out(piece, &needed, 0, body, sink);
        }
        self.runs(piece, &head, &needed, sink)
    }

    fn entries(&self, piece: &Piece, head: &Head) -> Result<Vec<PageEntry>, ApplyError> {
        let Head { shape, body, .. } = head;
        let table = self.page_table_bytes(piece, head, shape)?;
        page_table(*shape, body.end - body.start, &table).map_err(|error| piece.corrupt(error))
    }

    /// The bytes of the page table: what was read with the head, or a read of their own.
    fn page_table_bytes(
        &self,
        piece: &Piece,
        head: &Head,
        shape: &BodyShape,
    ) -> Result<Bytes, ApplyError> {
        let end = head.body.start.saturating_add(shape.table_bytes());
        let read = head.bytes_from.saturating_add(head.bytes.len() as u64);
        if head.bytes_from <= head.body.start && end <= read {
            let start = head.body.start - head.bytes_from;
            let place =
                usize::try_from(start).ok().zip(usize::try_from(end - head.bytes_from).ok());
            if let Some((start, end)) = place {
                return Ok(head.bytes.slice(start..end));
            }
        }
        piece.fetch_range(&*self.store, head.body.start..end)
    }

    /// Reads pages by ranges, neighbours together.
    fn runs<E: From<ApplyError>>(
        &self,
        piece: &Piece,
        head: &Head,
        needed: &[PageEntry],
        sink: &mut Sink<'_, E>,
    ) -> Result<(), E> {
        let runs = runs_of(needed);
        let range =
            |run: &Range<usize>| needed[run.start].range.start..needed[run.end - 1].range.end;
        let sizes: Vec<u64> = runs.iter().map(range).map(|range| range.end - range.start).collect();
        let fetch = |number: usize| {
            let Range { start, end } = range(&runs[number]);
            piece.fetch_range(&*self.store, head.body.start + start..head.body.start + end)
        };
        let work =
            Work { sizes: &sizes, threads: READS_AT_ONCE, budget: &self.budget, run: &fetch };
        work.each(|number, bytes: Result<Bytes, ApplyError>| {
            let run = &runs[number];
            hand_out(piece, &needed[run.clone()], range(run).start, &bytes?, sink)?;
            Ok(Go::On)
        })
    }
}

/// Stretches of entries that are read together.
fn runs_of(entries: &[PageEntry]) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    for (number, entry) in entries.iter().enumerate() {
        match runs.last_mut() {
            Some(run) if entry.range.start - entries[run.end - 1].range.end <= GAP_BYTES_MAX => {
                run.end = number + 1;
            }
            _ => runs.push(number..number + 1),
        }
    }
    runs
}

/// Decodes pages out of bytes that begin at `start` of their body.
fn hand_out<E: From<ApplyError>>(
    piece: &Piece,
    entries: &[PageEntry],
    start: u64,
    bytes: &[u8],
    sink: &mut Sink<'_, E>,
) -> Result<(), E> {
    let mut buffer = Vec::new();
    for entry in entries {
        let stored = stored(bytes, &entry.range, start).map_err(|detail| piece.corrupt(detail))?;
        let page = entry.decode_into(stored, &mut buffer).map_err(|error| piece.corrupt(error))?;
        sink(entry.pgno, page)?;
    }
    Ok(())
}
