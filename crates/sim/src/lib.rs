//! Shows that the rules of the fleet's log are enough, and that each of them is needed.
//!
//! The machines of `fleet_log::machine`, the very ones the programs run, are explored over a modelled store:
//! every interleaving of a few writers, promoters, readers and a collector, with lost answers, writes that
//! land late, crashes, a cloned host and hosts restored from an old copy, up to stated budgets. In each state
//! that is reached the properties of [`world::World`] must hold.
//!
//! The fault model: a request takes effect at one instant; its answer may be lost after that; a write may take
//! effect at any later time, once; a process may stop for good or pause for ever between any two requests.
//! Not modelled: a store that loses or alters acknowledged objects (but for the forged object of one
//! scenario), holds, side objects, and the clock.
//!
//! [`kit`] is for the stepped tests beside it, which run the real drivers over a store with faults.
//!
//! Every rule has a switch. With all rules kept the exploration finds nothing; with one switched off it prints
//! the shortest history that breaks a property. Tests in `tests/rules.rs` hold both. Whoever changes a rule
//! changes it here first.

pub mod explore;
mod gallop;
pub mod kit;
mod objects;
mod process;
pub mod scenario;
pub mod world;
