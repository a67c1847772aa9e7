//! Verifying a store: every log object and everything that it refers to, down to the last page.
//!
//! What is proven: the hash chain and the owners of the log (rule R2), the SHA-256 of every table, body, side object and
//! base part, that each page can be decoded, and, by replaying the page hashes of every database, that each section's
//! checksum before and after is the true one and that bases are what the log says. A store that passes restores every
//! state that it promises.
//!
//! The walk does not end at damage: what comes after it is still looked at, as far as that proves anything. A database
//! whose state is in doubt stays so until its next base.
//! Memory: 8 bytes a page of the fleet, and the objects in flight.
//! What cannot be seen from the store alone: that its last objects were removed. Then it is simply shorter; unless
//! all are gone while bases are left.

use std::sync::Arc;

use console::progress::Progress;
use fleet_log::{FleetFile, Tail};
use segment::{ObjectName, Seq};
use store::Store;

use crate::ApplyError;
use crate::ahead::{Go, Work};
use crate::budget::Budget;
use crate::failure::blame;

mod inventory;
mod replay;
mod report;
mod walk;

use inventory::Inventory;
pub use report::{Damage, Unreferenced, Verified, VerifyReport};
use walk::Walk;

/// Log objects read at once.
const READS_AT_ONCE: usize = 4;
/// What a slot without an object counts in the budget.
const ABSENT_BYTES: u64 = 4 << 10;

/// Verifies the whole store.
///
/// # Errors
/// What keeps it from being read at all; damage is in the report.
pub fn verify(
    store: &Arc<dyn Store>,
    fleet: &FleetFile,
    progress: bool,
) -> Result<VerifyReport, ApplyError> {
    let began = std::time::Instant::now();
    let first = first_held(&**store)?;
    let inventory = Inventory::take(&**store)?;
    let mut walk = Walk::new(store, fleet, Progress::bytes(inventory.bytes(), "verify", progress));
    if let Some(last) = inventory.last_log_object() {
        read_log(store, &inventory, first, last, &mut walk)?;
    } else if inventory.has_bases() && is_log_empty(&**store)? {
        walk.log_is_empty();
    }
    let mut report = walk.finish(&inventory);
    // Rule R1: what left the log while it was read is not missing.
    let held = first_held(&**store)?;
    report.damage.retain(|damage| damage.seq.is_none_or(|seq| seq >= held));
    report.seconds = began.elapsed().as_secs_f64();
    Ok(report)
}

/// Asked after the bases were listed: the log of a new fleet begins before its first base.
fn is_log_empty(store: &dyn Store) -> Result<bool, ApplyError> {
    Ok(matches!(fleet_log::find_tail(store).map_err(blame)?, Tail::Empty { .. }))
}

fn first_held(store: &dyn Store) -> Result<Seq, ApplyError> {
    let boundary = fleet_log::boundary(store).map_err(blame)?;
    Ok(boundary.map_or(Seq::FIRST, |boundary| boundary.retired))
}

/// Reads and decodes log objects ahead, and walks over them in order.
fn read_log(
    store: &Arc<dyn Store>,
    inventory: &Inventory,
    first: Seq,
    last: Seq,
    walk: &mut Walk<'_>,
) -> Result<(), ApplyError> {
    let seqs: Vec<Seq> = (first.get()..=last.get()).filter_map(Seq::new).collect();
    let sizes: Vec<u64> = seqs
        .iter()
        .map(|seq| inventory.bytes_of(&ObjectName::log(*seq)).unwrap_or(ABSENT_BYTES))
        .collect();
    let read = |number: usize| walk::read(&**store, seqs[number]);
    let budget = Budget::standard();
    let work = Work { sizes: &sizes, threads: READS_AT_ONCE, budget: &budget, run: &read };
    work.each(|number, found| {
        walk.slot(seqs[number], found)?;
        Ok(Go::On)
    })
}

#[cfg(test)]
mod tests;
