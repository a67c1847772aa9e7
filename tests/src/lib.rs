//! The harness of the end-to-end tests: real `walship` and `walapply` processes, applications in Python with their
//! own SQLite, a log that is looked into, and an oracle that knows nothing of either program.
//!
//! - [`Fleet`] is one test's world: a scratch folder with databases, a store, configurations, and programs.
//! - [`App`] is an application that does what it is told, statement by statement, and can be killed.
//! - [`Standby`] is the other side: a folder of standby databases, and followers that keep it.
//! - [`Ledger`] writes with invariants, and reads copies that must keep them.
//! - [`Sqlite`] is one of several versions of SQLite that read.
//! - [`History`] is what the log says: sections, bases, lives.
//! - [`oracle`] compares two databases page by page.
//!
//! Tests wait for events, never for time. Whatever is random comes from a [`Rng`] whose seed is printed. How much a long
//! test does is given as a short and a full amount, see [`scaled`]. A failed test keeps its folder and prints where it is.

mod app;
mod fleet;
pub mod forge;
mod history;
mod ledger;
mod memory;
pub mod objects;
pub mod oracle;
mod program;
mod programs;
mod rng;
mod scratch;
mod small_disk;
mod sqlites;
mod standby;
pub mod strace;
mod talk;
mod wait;

pub use app::{App, Load};
pub use fleet::{Fleet, Shipper};
pub use history::History;
pub use ledger::{Ledger, Reading};
pub use memory::{resident_kib, resident_kib_max};
pub use program::Program;
pub use programs::{python, script, walapply, walship};
pub use rng::Rng;
pub use scratch::Scratch;
pub use small_disk::SmallDisk;
pub use sqlites::Sqlite;
pub use standby::Standby;
pub use talk::Talk;
pub use wait::until;

use std::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

static MACHINE: RwLock<()> = RwLock::new(());

/// Held by tests that may run beside others.
pub fn shared() -> RwLockReadGuard<'static, ()> {
    MACHINE.read().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Held by tests that measure time: nothing else of this test program runs beside them.
pub fn alone() -> RwLockWriteGuard<'static, ()> {
    MACHINE.write().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// At this scale every long test does its full amount.
const FULL_SCALE: u64 = 75;

/// How much a long test does: `short` at scale 1, `full` at scale 75, in proportion between and beyond.
#[must_use]
pub fn scaled(short: u64, full: u64) -> u64 {
    short + (full - short) * (scale() - 1) / (FULL_SCALE - 1)
}

/// Whether a test that tries some cases in its short form is to try them all.
#[must_use]
pub fn is_long() -> bool {
    scale() > 1
}

/// The environment variable `WALSHIP_TEST_SCALE`, 1 where it is not set.
#[expect(clippy::disallowed_methods, reason = "the one parameter of long tests")]
fn scale() -> u64 {
    let given = std::env::var("WALSHIP_TEST_SCALE").ok().and_then(|text| text.parse().ok());
    given.unwrap_or(1).max(1)
}
