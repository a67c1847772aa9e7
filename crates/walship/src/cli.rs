//! The command line of `walship`: what may be typed, and nothing of what it does.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use console::cli::{ConfigArgs, OutputArgs, ShellCommand};
use segment::Name;

use crate::demo::DemoArgs;

/// Ships the WAL of a fleet of SQLite databases to an object store.
#[derive(Debug, Parser)]
#[command(name = "walship", version, about, propagate_version = true, after_help = EXAMPLES)]
pub struct Cli {
    /// Options that every command takes.
    #[command(flatten)]
    pub output: OutputArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const EXAMPLES: &str = "\
Examples:
  walship check -c walship.toml        is everything ready?
  walship replicate -c walship.toml    ship every commit until SIGTERM
  walship status -c walship.toml       how old is the oldest commit that is not safe yet?
  walship demo                         all of it at work on this machine, with kills and a verdict

Exit codes: 0 fine, 1 failed, 2 usage or configuration, 3 fenced, 4 corrupt, 5 store unreachable";

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Ship every commit of every database until told to stop
    #[command(after_help = REPLICATE)]
    Replicate(ReplicateArgs),
    /// Check the configuration, the store and every database; change nothing
    #[command(after_help = "Example:\n  walship check -c walship.toml --json")]
    Check(ConfigArgs),
    /// Show how far the running program is, or, where none runs, what the store says
    #[command(
        after_help = "Example:\n  walship status -c walship.toml --json | jq '.databases[].rpo_seconds'"
    )]
    Status(ConfigArgs),
    /// Have the running program make new bases now, and wait until the log names them
    #[command(after_help = SNAPSHOT)]
    Snapshot(SnapshotArgs),
    /// Show the whole system at work on this machine, and prove that both sides are equal
    #[command(after_help = DEMO)]
    Demo(DemoArgs),
    /// Completions and manual pages
    #[command(flatten)]
    Shell(ShellCommand),
}

const REPLICATE: &str = "\
Examples:
  walship replicate -c walship.toml          until SIGTERM or SIGINT, with a final flush
  walship replicate -c walship.toml --once   ship everything there is, then exit";

const SNAPSHOT: &str = "\
Examples:
  walship snapshot -c walship.toml orders invoices
  walship snapshot -c walship.toml --all --json

A standby or a restore that an old, damaged object stops goes on from a new base. A database that is written gets one
by itself in time; one at rest does not.";

const DEMO: &str = "\
Examples:
  walship demo                          the reference fleet with small files, in about 25 seconds
  walship demo --full --dir /tmp/demo   real sizes; everything stays in the folder
  walship demo --json | jq .latency     figures for machines

Exit code 0 only if every database is equal on both sides.";

/// `walship replicate`.
#[derive(Clone, Debug, Args)]
pub struct ReplicateArgs {
    /// The configuration.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Ship everything there is, then exit
    #[arg(long)]
    pub once: bool,
}

/// `walship snapshot`.
#[derive(Clone, Debug, Args)]
pub struct SnapshotArgs {
    /// The configuration.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// The databases that get a new base
    #[arg(value_name = "NAME", value_parser = name, required_unless_present = "all")]
    pub names: Vec<Name>,
    /// Every database
    #[arg(long, conflicts_with = "names")]
    pub all: bool,
}

fn name(text: &str) -> Result<Name, String> {
    Name::parse(text).map_err(|error| error.to_string())
}

/// What the demo types to start one of its writers; no command of [`Cli`], so that nobody is shown it.
pub const DEMO_WRITER: &str = "demo-writer";

/// `walship demo-writer`, which only the demo itself starts.
#[derive(Debug, Parser)]
#[command(
    name = "walship demo-writer",
    about = "A writer process of the demo, which starts it by itself"
)]
pub struct DemoWriter {
    /// Options that every command takes.
    #[command(flatten)]
    pub output: OutputArgs,
    /// A JSON file
    pub orders: PathBuf,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_sound_and_every_command_has_an_example() {
        let command = console::cli::command::<Cli>();
        command.clone().debug_assert();
        for mut each in command.get_subcommands().cloned() {
            let (name, help) = (each.get_name().to_owned(), each.render_help().to_string());
            assert!(help.contains(&format!("  walship {name}")), "{help}");
        }
    }
}
