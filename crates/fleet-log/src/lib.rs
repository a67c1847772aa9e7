//! The fleet's log: how it is appended to, followed, and fenced, over any object store.
//!
//! One flush is one segment, one sequence number and one log object (rule D1). Objects are created only where
//! none stands (rule D4), so two writers cannot own one slot, and each names its predecessor's hash. The rules
//! that keep this safe under lost answers, late writes, crashes, cloned hosts and deletion have labels: D for
//! data, R for readers, T for finding the tail, W for writers, P for promotion. A label stands in the code
//! where its rule is enforced, and crate `sim` explores the same machines with each rule switched off, and
//! steps these drivers through a store with faults.
//!
//! Decisions live in [`machine`]: pure state machines that ask for one request at a time and are told the
//! answer. [`Reader`], [`find_tail`] and [`Writer`] carry the requests out. A store error leaves a machine
//! where it was, so the caller may pause and go on.
//!
//! What remains after a crash: a log object is there or it is not. A writer that restarts reads the tail and
//! puts a fence of a new epoch; whatever it had sent before is then history or was never accepted.

mod boundary;
mod error;
mod facts;
mod fleet_file;
mod history;
mod io;
pub mod machine;
mod position;
mod reader;
mod rules;
mod salvage;
mod tail;
mod writer;

pub use boundary::{Boundary, boundary};
pub use error::LogError;
pub use fleet_file::FleetFile;
pub use history::{
    Held, Snapshot, catalogue_at, check_held, false_version, held, position_after, seq_at_time,
    table, tables,
};
pub use machine::Intent;
pub use position::Position;
pub use reader::{Batch, End, Reader, Step};
pub use rules::{Rule, Rules};
pub use salvage::{Salvage, beginning_at, salvage_at};
pub use tail::{SoundEnd, Tail, find_sound_end, find_tail, first_behind};
pub use writer::{Appended, Identity, Slot, Writer};
