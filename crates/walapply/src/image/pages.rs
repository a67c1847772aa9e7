//! Reading an image: from the newest layer to the base, each page once.

use bytes::Bytes;
use segment::PageNo;

use super::PageSource;
use super::layer::{Layer, Piece};
use super::seen::Seen;
use crate::ApplyError;
use crate::ahead::{Go, Work};

/// Objects read at once for one database. Reading and hashing one while the other's pages are decoded and written keeps
/// two cores busy; over a network it hides most of the latency of parts of 32 MiB.
const READS_AT_ONCE: usize = 4;

/// What a caller does with a page.
type Sink<'a, E> = dyn FnMut(PageNo, &[u8]) -> Result<(), E> + 'a;

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
        let pieces: Vec<(&Layer, &Piece)> = self
            .layers
            .iter()
            .flat_map(|layer| layer.pieces.iter().map(move |piece| (layer, piece)))
            .collect();
        let sizes: Vec<u64> = pieces.iter().map(|(_, piece)| piece.bytes).collect();
        let fetch = |number: usize| pieces[number].1.fetch(&*self.store);
        let work =
            Work { sizes: &sizes, threads: READS_AT_ONCE, budget: &self.budget, run: &fetch };
        let mut reading =
            Reading { seen: Seen::default(), needed: self.pages_with_content(), wanted };
        work.each(|number, bytes: Result<Bytes, ApplyError>| {
            let (layer, piece) = pieces[number];
            reading.piece(layer, piece, &bytes?, sink)
        })?;
        self.check_complete(&reading.seen).map_err(E::from)
    }

    /// All pages but the lock page.
    fn pages_with_content(&self) -> u64 {
        let holds_lock_page = self.facts.pages >= self.facts.page_size.lock_page().get();
        u64::from(self.facts.pages) - u64::from(holds_lock_page)
    }

    fn check_complete(&self, seen: &Seen) -> Result<(), ApplyError> {
        if seen.count() == self.pages_with_content() {
            return Ok(());
        }
        let missing = seen.first_missing(self.facts.pages, self.facts.page_size.lock_page());
        let oldest = self.layers.iter().flat_map(|layer| &layer.pieces).next_back();
        Err(ApplyError::Corrupt {
            what: oldest.map_or_else(
                || format!("the base of {}", self.facts.name),
                |piece| piece.object.to_string(),
            ),
            detail: format!(
                "page {} of {} stands neither in the base nor in a later section",
                missing.map_or(0, PageNo::get),
                self.facts.name
            ),
        })
    }
}

struct Reading<'a> {
    seen: Seen,
    needed: u64,
    wanted: &'a dyn Fn(PageNo) -> bool,
}

impl Reading<'_> {
    /// Hands on what is new in a piece, and says whether older ones can hold anything new.
    fn piece<E: From<ApplyError>>(
        &mut self,
        layer: &Layer,
        piece: &Piece,
        bytes: &Bytes,
        sink: &mut Sink<'_, E>,
    ) -> Result<Go, E> {
        let mut pages = layer.pages(piece, bytes)?;
        let mut buffer = Vec::new();
        while let Some((page, content)) =
            pages.next_into(&mut buffer).map_err(|error| piece.corrupt(error))?
        {
            if page.get() <= layer.limit && self.seen.insert(page) && (self.wanted)(page) {
                sink(page, content)?;
            }
        }
        Ok(if self.seen.count() == self.needed { Go::Stop } else { Go::On })
    }
}
