//! Turns sealed changes into the sections of one segment, and the changes that must leave before it.
//!
//! What does not fit into the log object goes to side objects, the largest changes first, so that a bulk
//! load of one database does not make the changes of the others wait for its bytes.

use segment::{DbId, EncodedBody, INLINE_BYTES_MAX, PageHashes, SectionEntry, Seq, page_hash};

use crate::base::Author;
use crate::database::{Acknowledged, Outgoing};
use crate::side::Side;

/// What to tell a database once the segment is durable.
#[derive(Debug)]
pub struct Receipt {
    /// The database.
    pub db: DbId,
    /// The change that became durable; its `seq` is filled in when the slot is known.
    pub ack: Acknowledged,
    /// Hashes of the base that a first change stands on.
    pub base: Option<PageHashes>,
}

/// The sections of one segment.
#[derive(Debug, Default)]
pub struct Assembled {
    /// In the order of the databases.
    pub sections: Vec<(SectionEntry, Option<EncodedBody>)>,
    /// What is to be put first, and the section that names it.
    pub sides: Vec<(usize, Side)>,
    /// One for each section.
    pub receipts: Vec<Receipt>,
}

/// A change of one database on its way.
#[derive(Debug)]
pub struct Item {
    /// The database.
    pub db: DbId,
    /// Its retention class.
    pub class_hours: u32,
    /// The log object that touched it before.
    pub previous_seq: Option<Seq>,
    /// The change.
    pub outgoing: Outgoing,
}

/// Numbers side objects of this start of the program.
pub type Numbers<'a> = &'a mut dyn FnMut() -> u64;

/// Encodes the changes. `seq` in the receipts is a placeholder until the slot is known.
pub fn assemble(items: Vec<Item>, author: &Author, numbers: Numbers<'_>) -> Assembled {
    let mut assembled = Assembled::default();
    let raw: Vec<u64> = items.iter().map(|item| item.outgoing.change.bytes()).collect();
    let encoded: Vec<Encoded> = items.into_iter().map(encode).collect();
    let sizes: Vec<u64> = encoded
        .iter()
        .zip(&raw)
        .map(|(item, raw)| item.body.as_ref().map_or(*raw, |body| body.bytes.len() as u64))
        .collect();
    let inline = choose_inline(&sizes, INLINE_BYTES_MAX);
    for (item, inline) in encoded.into_iter().zip(inline) {
        let Encoded { mut item, section, body } = item;
        let body = body.filter(|_| inline);
        assembled.receipts.push(receipt(&mut item));
        if body.is_none() {
            let pages = item.outgoing.change.pages;
            let side = Side::new(section.clone(), pages, author.clone(), numbers());
            assembled.sides.push((assembled.sections.len(), side));
        }
        assembled.sections.push((section, body));
    }
    assembled
}

impl Assembled {
    /// The sections, once everything that they name is in the store.
    pub fn take_sections(&mut self) -> Vec<(SectionEntry, Option<EncodedBody>)> {
        for (index, side) in self.sides.drain(..) {
            self.sections[index].0.side = side.into_parts();
        }
        std::mem::take(&mut self.sections)
    }
}

struct Encoded {
    item: Item,
    section: SectionEntry,
    /// Absent when the change is too large for the log object however well it compresses.
    body: Option<EncodedBody>,
}

fn encode(item: Item) -> Encoded {
    let change = &item.outgoing.change;
    let fits = change.bytes() <= 4 * INLINE_BYTES_MAX;
    let body = fits.then(|| {
        segment::encode_body(
            change.page_size,
            change.pages.iter().map(|(pgno, page)| (*pgno, &**page)),
        )
    });
    Encoded { section: section_of(&item), body, item }
}

fn section_of(item: &Item) -> SectionEntry {
    let change = &item.outgoing.change;
    SectionEntry {
        db: item.db,
        incarnation: change.incarnation,
        class_hours: item.class_hours,
        page_size: change.page_size,
        pages_after: change.pages_after,
        page_count: u32::try_from(change.pages.len())
            .expect("BUG: no more pages than page numbers"),
        first_txid: change.txids.0,
        last_txid: change.txids.1,
        pre: change.checksums.0,
        post: change.checksums.1,
        oldest_commit: change.oldest_commit,
        previous_seq: item.previous_seq,
        is_diff: change.is_diff,
        new_incarnation: change.is_first,
        body: None,
        side: Vec::new(),
    }
}

/// The smallest changes stay in the log object as long as they fit together.
fn choose_inline(sizes: &[u64], bytes_max: u64) -> Vec<bool> {
    let mut order: Vec<usize> = (0..sizes.len()).collect();
    order.sort_by_key(|index| sizes[*index]);
    let mut inline = vec![false; sizes.len()];
    let mut total = 0;
    for index in order {
        total += sizes[index];
        inline[index] = total <= bytes_max;
    }
    inline
}

fn receipt(item: &mut Item) -> Receipt {
    let change = &item.outgoing.change;
    let bytes = change.bytes();
    let hashes = change.pages.iter().map(|(pgno, page)| (*pgno, page_hash(*pgno, page))).collect();
    Receipt {
        db: item.db,
        ack: Acknowledged {
            seq: Seq::FIRST,
            incarnation: change.incarnation,
            hashes,
            pages_after: change.pages_after,
            txid: change.txids.1,
            bytes,
        },
        base: item.outgoing.base.take().map(|(_, hashes)| hashes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_largest_changes_leave_the_log_object_first() {
        assert_eq!(choose_inline(&[5, 1, 9, 2], 8), [true, true, false, true]);
        assert_eq!(choose_inline(&[9], 8), [false]);
        assert_eq!(choose_inline(&[], 8), [] as [bool; 0]);
    }

    proptest! {
        #[test]
        fn what_stays_inline_always_fits(sizes in proptest::collection::vec(0u64..100, 0..20), max in 0u64..300) {
            let inline = choose_inline(&sizes, max);
            let total: u64 = sizes.iter().zip(&inline).filter(|(_, inline)| **inline).map(|(size, _)| size).sum();
            prop_assert!(total <= max);
            let largest_inline = sizes.iter().zip(&inline).filter(|(_, i)| **i).map(|(s, _)| *s).max().unwrap_or(0);
            let smallest_side = sizes.iter().zip(&inline).filter(|(_, i)| !**i).map(|(s, _)| *s).min().unwrap_or(u64::MAX);
            prop_assert!(largest_inline <= smallest_side);
        }
    }
}
