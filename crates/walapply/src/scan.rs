//! Reading the tables of many log objects, several at once, in order, past those that cannot be read.

use segment::{ObjectName, Seq, Table};
use store::Store;

use crate::ApplyError;
use crate::ahead::{Go, Work};
use crate::budget::Budget;
use crate::failure::blame;

/// Tables read at once.
const READS_AT_ONCE: usize = 8;
/// What a table counts in the budget: most are far shorter, and what is decoded is kept only until it was consumed.
const TABLE_BYTES: u64 = 64 << 10;

/// What was found in a slot.
pub(crate) enum Scanned {
    /// Header and table, verified by their own hashes.
    Table(Seq, Box<Table>),
    /// Nothing, or something that cannot be trusted.
    Unreadable(ObjectName, ApplyError),
}

/// Hands the log objects from `first` to `last` to `consume`, in order.
///
/// # Errors
/// Those of a store that does not answer: going on would blame objects that are fine.
pub(crate) fn tables(
    store: &dyn Store,
    first: Seq,
    last: Seq,
    mut consume: impl FnMut(Scanned),
) -> Result<(), ApplyError> {
    let seqs: Vec<Seq> = (first.get()..=last.get()).filter_map(Seq::new).collect();
    let sizes = vec![TABLE_BYTES; seqs.len()];
    let read = |number: usize| fleet_log::table(store, seqs[number]);
    let work =
        Work { sizes: &sizes, threads: READS_AT_ONCE, budget: &Budget::standard(), run: &read };
    work.each(|number, result| {
        let seq = seqs[number];
        consume(match result.map_err(blame) {
            Ok(table) => Scanned::Table(seq, Box::new(table)),
            Err(error @ (ApplyError::Corrupt { .. } | ApplyError::Missing(_))) => {
                Scanned::Unreadable(ObjectName::log(seq), error)
            }
            Err(error) => return Err(error),
        });
        Ok(Go::On)
    })
}
