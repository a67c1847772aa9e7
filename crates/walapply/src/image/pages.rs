//! Reading an image: from the newest layer to the base, each page once.

use std::ops::Range;

use bytes::Bytes;
use segment::{PageEntry, PageNo};

use super::PageSource;
use super::layer::{Layer, Piece};
use super::seen::Seen;
use crate::ApplyError;
use crate::ahead::{Go, Work};

/// Objects read at once for one database. Reading and hashing one while the other's pages are decoded and written keeps
/// two cores busy; over a network it hides most of the latency of parts of 32 MiB.
const READS_AT_ONCE: usize = 4;

/// What a caller does with the number and content of a page.
pub type Sink<'a, E> = dyn FnMut(PageNo, &[u8]) -> Result<(), E> + 'a;

impl PageSource {
    /// Hands every wanted page to `sink`, once, in no order of numbers; `wanted` is asked once for every page.
    ///
    /// Once all pages of the database were met, what is older is not read. Success means that every page was met and
    /// none is missing; that the pages are the right ones is proven by [`super::ImageFacts::checksum`].
    ///
    /// # Errors
    /// The sink's own, and those of [`PageSource::open`].
    pub fn read<E: From<ApplyError>>(
        &self,
        wanted: &dyn Fn(PageNo) -> bool,
        sink: &mut Sink<'_, E>,
    ) -> Result<(), E> {
        let wanted = |page: PageNo, _: u64| wanted(page);
        let mut reading = Reading::new(self, &wanted);
        let pieces: Vec<(&Layer, &Piece)> = self.pieces().collect();
        let sizes: Vec<u64> = pieces.iter().map(|(_, piece)| piece.bytes).collect();
        let fetch = |number: usize| pieces[number].1.fetch(&*self.store);
        let work =
            Work { sizes: &sizes, threads: READS_AT_ONCE, budget: &self.budget, run: &fetch };
        work.each(|number, bytes: Result<Bytes, ApplyError>| {
            let (layer, piece) = pieces[number];
            reading.piece(layer, piece, &bytes?, sink)?;
            Ok::<_, E>(if reading.has_all() { Go::Stop } else { Go::On })
        })?;
        self.check_complete(&reading)?;
        Ok(())
    }

    /// Every stretch of pages, the newest first.
    pub(super) fn pieces(&self) -> impl DoubleEndedIterator<Item = (&Layer, &Piece)> {
        self.layers.iter().flat_map(|layer| layer.pieces.iter().map(move |piece| (layer, piece)))
    }

    /// All pages but the lock page.
    fn pages_with_content(&self) -> u64 {
        let holds_lock_page = self.facts.pages >= self.facts.page_size.lock_page().get();
        u64::from(self.facts.pages) - u64::from(holds_lock_page)
    }

    /// Every page must have been met.
    pub(super) fn check_complete(&self, reading: &Reading<'_>) -> Result<(), ApplyError> {
        if reading.has_all() {
            return Ok(());
        }
        let lock = self.facts.page_size.lock_page();
        let missing = reading.seen.first_missing(self.facts.pages, lock).map_or(0, PageNo::get);
        let name = &self.facts.name;
        let oldest = self.pieces().next_back();
        Err(ApplyError::Corrupt {
            what: oldest.map_or_else(
                || format!("the base of {name}"),
                |(_, piece)| piece.object.to_string(),
            ),
            detail: format!(
                "page {missing} of {name} stands neither in the base nor in a later section"
            ),
        })
    }
}

/// How far a reading has come.
pub(super) struct Reading<'a> {
    seen: Seen,
    needed: u64,
    wanted: &'a dyn Fn(PageNo, u64) -> bool,
}

impl<'a> Reading<'a> {
    pub(super) fn new(source: &PageSource, wanted: &'a dyn Fn(PageNo, u64) -> bool) -> Self {
        Self { seen: Seen::default(), needed: source.pages_with_content(), wanted }
    }

    /// Nothing that is older can hold anything new.
    pub(super) fn has_all(&self) -> bool {
        self.seen.count() == self.needed
    }

    /// Is this the newest image of a page that is wanted? Asked in the order of the layers, once for each entry.
    pub(super) fn takes(&mut self, layer: &Layer, entry: &PageEntry) -> bool {
        entry.pgno.get() <= layer.limit
            && self.seen.insert(entry.pgno)
            && (self.wanted)(entry.pgno, entry.hash)
    }

    /// Hands on what is new in a piece that was read and verified.
    pub(super) fn piece<E: From<ApplyError>>(
        &mut self,
        layer: &Layer,
        piece: &Piece,
        bytes: &Bytes,
        sink: &mut Sink<'_, E>,
    ) -> Result<(), E> {
        let (entries, body) = layer.entries(piece, bytes)?;
        let mut buffer = Vec::new();
        for entry in entries {
            if self.takes(layer, &entry) {
                let stored = stored(body, &entry.range, 0).map_err(|what| piece.corrupt(what))?;
                let page = entry.decode_into(stored, &mut buffer);
                sink(entry.pgno, page.map_err(|error| piece.corrupt(error))?)?;
            }
        }
        Ok(())
    }
}

/// The stored bytes of a page, out of bytes that begin at `start` of the body that `range` is of.
pub(super) fn stored<'a>(
    bytes: &'a [u8],
    range: &Range<u64>,
    start: u64,
) -> Result<&'a [u8], &'static str> {
    let offset = |at: u64| at.checked_sub(start).and_then(|at| usize::try_from(at).ok());
    let place = offset(range.start).zip(offset(range.end));
    let stored = place.and_then(|(start, end)| bytes.get(start..end));
    stored.ok_or("shorter than its page table says")
}
