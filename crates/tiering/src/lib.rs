//! Policy: when to flush and when to take a new base. Pure functions of configuration and observed state, no I/O.
//!
//! What must always hold, checked by property tests:
//! Invariant F1: a change never waits longer for a flush than the `sync_interval` of its database.
//! Invariant F2: flushes that are not late stand on the grid that the log's headers announce.
//! Invariant B1: what must be read on top of a base stays below a bound that does not grow with the age of the log.

mod base;
mod flush;
mod grid;
mod tier;

pub use base::{CHANGED_BYTES_MIN, OBJECTS_MAX, base_due};
pub use flush::{DirtySince, FlushDecision, flush_due};
pub use grid::Grid;
pub use tier::{BUILT_IN_TIERS, Tier};
