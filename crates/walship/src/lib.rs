//! The primary's side: captures every committed transaction of a fleet of SQLite databases and appends
//! it to the fleet's log, without ever writing to a database.
//!
//! Where to start reading: [`attached`] holds the invariant that nothing is lost (C1), [`handover`] the
//! decision when to move on, [`wal_range`] the proof that what is read was committed (C2), [`database`]
//! one database through all its states, [`fleet`] all of them, [`flush`] what makes changes durable.

pub mod alarm;
pub mod ask;
pub mod assemble;
pub mod attached;
pub mod base;
pub mod bases;
pub mod bell;
pub mod check;
pub mod cli;
pub mod closing;
pub mod compare;
pub mod database;
pub mod demo;
pub mod error;
pub mod fleet;
pub mod flush;
pub mod handover;
pub mod heap;
pub mod identity;
pub mod image;
pub mod keep;
pub mod member;
pub mod memory;
pub mod overdue;
pub mod ownership;
pub mod pending;
pub mod pinned;
pub mod pool;
pub mod replicate;
pub mod roster;
pub mod seen;
pub mod shipped;
pub mod side;
pub mod snapshot;
pub mod sqlite;
pub mod status;
pub mod wal_index;
pub mod wal_range;
pub mod watch;
