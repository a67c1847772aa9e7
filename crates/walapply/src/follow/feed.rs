//! The pages of a batch of sections, newest image first, one decoded page in memory at a time.
//!
//! Inline pages are in memory already, verified when their object was read. Side parts are fetched one by one and
//! verified before their first page is handed out.

use segment::PageNo;
use store::Store;

use super::jobs::Payload;
use super::track::Link;
use crate::error::ApplyError;
use crate::image::layer::Layer;
use crate::replica::Sink;

/// Links that are applied as one transaction.
pub(super) struct Batch<'a> {
    store: &'a dyn Store,
    links: &'a [Link<Payload>],
}

impl<'a> Batch<'a> {
    /// The pages of these links, whose side parts are in `store`.
    pub(super) fn new(store: &'a dyn Store, links: &'a [Link<Payload>]) -> Self {
        Self { store, links }
    }

    /// Hands out all pages. What a newer section cut off is left out, also where the database grew again later.
    pub(super) fn give(&self, sink: &mut Sink<'_>) -> Result<(), ApplyError> {
        let mut limit = u32::MAX;
        for link in self.links.iter().rev() {
            let section = &link.payload.segment.table().sections[link.payload.section];
            limit = limit.min(section.pages_after);
            let mut below = |page: PageNo, image: &[u8]| {
                if page.get() <= limit { sink(page, image) } else { Ok(()) }
            };
            if section.body.is_some() {
                give_inline(link, &mut below)?;
            }
            if !section.side.is_empty() {
                give_side(self.store, &Layer::of_section(link.seq, section, limit), &mut below)?;
            }
        }
        Ok(())
    }
}

fn give_inline(link: &Link<Payload>, sink: &mut Sink<'_>) -> Result<(), ApplyError> {
    let corrupt = |error: segment::SegmentError| ApplyError::Corrupt {
        what: format!("log object {}", link.seq),
        detail: error.to_string(),
    };
    let mut pages = link.payload.segment.pages(link.payload.section).map_err(corrupt)?;
    let mut buffer = Vec::new();
    while let Some((page, image)) = pages.next_into(&mut buffer).map_err(corrupt)? {
        sink(page, image)?;
    }
    Ok(())
}

fn give_side(store: &dyn Store, layer: &Layer, sink: &mut Sink<'_>) -> Result<(), ApplyError> {
    let mut buffer = Vec::new();
    for piece in &layer.pieces {
        let bytes = piece.fetch(store)?;
        let mut pages = layer.pages(piece, &bytes)?;
        while let Some((page, image)) =
            pages.next_into(&mut buffer).map_err(|error| piece.corrupt(error))?
        {
            sink(page, image)?;
        }
    }
    Ok(())
}
