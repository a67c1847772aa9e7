//! The standby's side of the fleet: follow the log, keep every database readable, heal, restore.
//!
//! [`follow::follow`] keeps a folder of read-only SQLite databases seconds behind the primary. Its parts, from the bottom up:
//!
//! | module | what it knows |
//! |---|---|
//! | `sqlite` | the unsafe SQLite calls, and nothing of replication |
//! | `replica` | one standby database: its file, its page hashes, one transaction per batch |
//! | `follow` | the log as it arrives, which database needs what, worker threads, polling |
//! | `heal` | rebuilding a database from its base and sections, shipping only pages that differ |
//! | `image` | the pages of one database at a `seq`: its base and the sections after it, by range reads |
//! | `plan`, `restore` | databases at a cut: what is read, drafts that are proven, putting them in place |
//! | `verify` | the whole log and all it refers to, replayed hash by hash |
//! | `list`, `status` | what the store holds, and how far the standby is |
//! | `cli`, `commands` | the command line, and what each command prints |
//!
//! What always holds:
//! - Invariant A1: a reader of a standby database, in any process, sees exactly the state after some log object:
//!   everything is written inside SQLite transactions that end where log objects end.
//! - Invariant A2: nothing is committed whose rolling checksum differs from the segment's.
//! - Invariant A3: every file under `state_dir` may be lost or stale; the content of a database says where it stands.
//! - Invariant A4: file names come from validated names only, inside the configured folder; no symbolic link is followed.

mod ahead;
mod budget;
pub mod cli;
pub mod commands;
pub mod error;
mod failure;
pub mod follow;
mod gone;
mod heal;
pub mod image;
pub mod list;
mod patient;
pub mod plan;
mod replace;
mod replica;
pub mod restore;
mod scan;
pub mod source;
mod sqlite;
pub mod status;
#[cfg(test)]
mod testing;
mod time;
pub mod verify;

pub use error::ApplyError;
