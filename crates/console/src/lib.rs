//! What `walship` and `walapply` show the outside in the same way.
//!
//! Configuration files, exit codes, logging, tables and JSON, progress, the lock on the state folder, the control socket,
//! and the parts of the command line that both programs have. No SQLite and no log protocol here.

pub mod cli;
pub mod config;
pub mod control;
pub mod descriptors;
mod durable;
pub mod exit;
pub mod logging;
pub mod node;
pub mod output;
mod platform;
pub mod progress;
pub mod state_dir;

pub use config::{ConfigError, WalapplyConfig, WalshipConfig};
pub use exit::{ExitCode, Failure};
pub use state_dir::StateDir;
