//! The command line of `bench`: what may be typed.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use console::cli::OutputArgs;

/// Measures speed and size with real processes; every figure stands beside its baseline
#[derive(Debug, Parser)]
#[command(name = "bench", about, after_help = EXAMPLES)]
pub(crate) struct Cli {
    /// Options that every command takes.
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    /// What to measure.
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXAMPLES: &str = "\
Examples:
  bench latency --full --seconds 60     commit to readable on the standby
  bench restore --json | jq .figures    a restore against a copy of the same file
  bench writers --dir /mnt/disk         what the shipper costs the applications, on that disk

The scratch folder is removed at the end. Figures are worth something on a machine that does nothing else.";

/// What can be measured.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// From commit to readable on the standby, and to durable, of the reference fleet under its stress load
    Latency(LatencyArgs),
    /// What idle databases cost the shipper and the follower
    Idle(IdleArgs),
    /// How fast a long WAL reaches the store on one core, against a copy with fsync
    Throughput(ThroughputArgs),
    /// How long a restore takes, against a copy with fsync
    Restore(RestoreArgs),
    /// What the shipper costs the applications that write
    Writers(WritersArgs),
    /// What a first start uploads, and a start without changes
    Restart(RestartArgs),
    /// A worker process of a measurement
    #[command(hide = true)]
    Work {
        /// What it is to do
        orders: PathBuf,
    },
    /// Become another program that does not outlive this one's parent
    #[command(hide = true)]
    Start {
        /// The only processor that it may use
        #[arg(long)]
        core: Option<usize>,
        /// The program and its arguments
        #[arg(required = true, last = true)]
        command: Vec<OsString>,
    },
}

/// Where to measure.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct PlaceArgs {
    /// Make the scratch folder in DIR: its disk is measured
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
}

/// Which fleet.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct FleetArgs {
    /// The real sizes (1 GB) in place of small ones
    #[arg(long)]
    pub(crate) full: bool,
    /// How many databases
    #[arg(long, value_name = "N", default_value_t = 69, value_parser = clap::value_parser!(u32).range(5..=2000))]
    pub(crate) databases: u32,
}

/// `bench latency`.
#[derive(Clone, Debug, Args)]
pub(crate) struct LatencyArgs {
    /// Where.
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    /// Which fleet.
    #[command(flatten)]
    pub(crate) fleet: FleetArgs,
    /// How long each of the two settings is measured
    #[arg(long, value_name = "S", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub(crate) seconds: u32,
}

/// `bench idle`.
#[derive(Clone, Debug, Args)]
pub(crate) struct IdleArgs {
    /// Where.
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    /// How many idle databases
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=2000))]
    pub(crate) databases: u32,
    /// How long processor time is counted
    #[arg(long, value_name = "S", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub(crate) seconds: u32,
    /// How long system calls are counted, afterwards
    #[arg(long, value_name = "S", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub(crate) trace_seconds: u32,
}

/// `bench throughput`.
#[derive(Clone, Debug, Args)]
pub(crate) struct ThroughputArgs {
    /// Where.
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    /// How long the WAL is, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 256, value_parser = clap::value_parser!(u32).range(16..=4096))]
    pub(crate) mib: u32,
    /// How often
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) rounds: u32,
}

/// `bench restore`.
#[derive(Clone, Debug, Args)]
pub(crate) struct RestoreArgs {
    /// Where.
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    /// How large the database is, in MB
    #[arg(long, value_name = "MB", default_value_t = 400, value_parser = clap::value_parser!(u32).range(1..=16000))]
    pub(crate) mb: u32,
    /// How often
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) rounds: u32,
    /// Read from the disk: what is read leaves the file cache before each run
    #[arg(long)]
    pub(crate) cold: bool,
}

/// `bench writers`.
#[derive(Clone, Debug, Args)]
pub(crate) struct WritersArgs {
    /// Where.
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    /// Which fleet.
    #[command(flatten)]
    pub(crate) fleet: FleetArgs,
    /// How long each phase is measured
    #[arg(long, value_name = "S", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub(crate) seconds: u32,
    /// How often without and with the shipper
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) rounds: u32,
}

/// `bench restart`.
#[derive(Clone, Debug, Args)]
pub(crate) struct RestartArgs {
    /// Where.
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    /// Which fleet.
    #[command(flatten)]
    pub(crate) fleet: FleetArgs,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }
}
