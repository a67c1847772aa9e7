//! The command line of `walapply`: what may be typed, and nothing of what it does.
//!
//! The words here are a contract with scripts: options are added, never renamed. Everything that `clap` cannot check
//! by itself (a folder where a file is meant) is checked by the command, with exit code 2 as well.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use console::cli::{ConfigArgs, OutputArgs, ShellCommand};
use segment::{Millis, Name, Seq};

mod parse;

/// Follows the log of a fleet of SQLite databases, and restores them.
#[derive(Debug, Parser)]
#[command(name = "walapply", version, about, propagate_version = true, after_help = EXAMPLES)]
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
  walapply follow -c walapply.toml                        keep the standby seconds behind the primary
  walapply restore -c walapply.toml orders -o orders.db   the newest state of one database
  walapply list -c walapply.toml                          what the store holds, and how far back

Exit codes: 0 fine, 1 failed, 2 usage or configuration, 3 fenced, 4 corrupt, 5 store unreachable";

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Apply the log to the standby's databases as it grows
    #[command(after_help = FOLLOW)]
    Follow(FollowArgs),
    /// Write databases as they stood at a point of the log
    #[command(after_help = RESTORE)]
    Restore(RestoreArgs),
    /// Read the whole log and all it refers to, and check every hash and checksum
    #[command(after_help = VERIFY)]
    Verify(SourceArgs),
    /// Show the databases that the store holds, and the range that can be restored
    #[command(after_help = LIST)]
    List(SourceArgs),
    /// Show how far the running follower is, or, where none runs, what the store says
    #[command(after_help = STATUS)]
    Status(ConfigArgs),
    /// Completions and manual pages.
    #[command(flatten)]
    Shell(ShellCommand),
}

const FOLLOW: &str = "\
Examples:
  walapply follow -c walapply.toml          until SIGTERM or SIGINT
  walapply follow -c walapply.toml --once   apply all there is, then exit";

const RESTORE: &str = "\
Examples:
  walapply restore -c walapply.toml orders -o /tmp/orders.db
  walapply restore -c walapply.toml orders invoices -o /tmp/restored --at 2026-11-25T09:30:00Z
  walapply restore -c walapply.toml --all -o /srv/restored --dry-run
  walapply restore --store /backup/store --all --tiers p0-critical,p0-financial -o /srv/restored --seq 4711

PATH is a file for one database, a folder for several (each becomes NAME.db in it).

Stop what uses a database before --force replaces it: who has it open goes on with the former file, and what is written
there is lost. A warning names such databases, as far as SQLite's locks show them: a connection in WAL mode always, once
it has read; in another journal mode only inside of a transaction.";

const VERIFY: &str = "\
Examples:
  walapply verify -c walapply.toml
  walapply verify --store /backup/store --json

Exit code 4 and the names of the damaged objects, if any byte that a restore could need is wrong.";

const LIST: &str = "\
Examples:
  walapply list -c walapply.toml
  walapply list --store /backup/store --json";

const STATUS: &str = "\
Examples:
  walapply status -c walapply.toml
  walapply status -c walapply.toml --json | jq .seq.applied

COMMITTED is the age of the newest commit in the log, applied or not; APPLY LAG that of the oldest one not applied yet.
What this side cannot know is null, and printed as -.";

/// A command that needs a store only, wherever its place is written.
#[derive(Clone, Debug, Args)]
pub struct SourceArgs {
    /// The configuration file
    #[arg(short, long, value_name = "FILE", required_unless_present = "store")]
    pub config: Option<PathBuf>,
    /// Read this local folder instead of the configuration's store
    #[arg(long, value_name = "DIR", conflicts_with = "config")]
    pub store: Option<PathBuf>,
}

/// `walapply follow`.
#[derive(Clone, Debug, Args)]
pub struct FollowArgs {
    /// The configuration.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Apply everything that the log holds, then exit
    #[arg(long)]
    pub once: bool,
}

/// `walapply restore`.
#[derive(Clone, Debug, Args)]
pub struct RestoreArgs {
    /// Where the store is.
    #[command(flatten)]
    pub source: SourceArgs,
    /// The databases to restore
    #[arg(value_name = "NAME", value_parser = parse::name, required_unless_present = "all")]
    pub names: Vec<Name>,
    /// Restore every database, all on one cut
    #[arg(long, conflicts_with = "names")]
    pub all: bool,
    /// The file to write (one database), or the folder (several)
    #[arg(short, long, value_name = "PATH")]
    pub output: PathBuf,
    /// Restore the newest state sealed at or before this instant, by the primary's clock
    #[arg(long, value_name = "RFC3339", value_parser = parse::instant, conflicts_with = "seq")]
    pub at: Option<Millis>,
    /// Restore the state after this position of the log
    #[arg(long, value_name = "N", value_parser = parse::seq)]
    pub seq: Option<Seq>,
    /// Only databases of these tiers
    #[arg(long, value_name = "TIER,..", value_delimiter = ',')]
    pub tiers: Vec<String>,
    /// Show what would be read and how long it would take; write nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Replace what stands at the target, with a warning if somebody has it open; a -wal, -shm or -journal beside it is
    /// moved aside
    #[arg(long)]
    pub force: bool,
    /// Put in place what could be restored even if another database could not
    #[arg(long)]
    pub keep_going: bool,
    /// Succeed and do nothing where the target is there already
    #[arg(long, conflicts_with = "force")]
    pub if_missing: bool,
    /// Succeed and do nothing where the store holds no backup
    #[arg(long)]
    pub if_available: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(words.split_whitespace())
    }

    #[test]
    fn the_definition_is_sound_and_every_command_has_an_example() {
        let command = console::cli::command::<Cli>();
        command.clone().debug_assert();
        for mut each in command.get_subcommands().cloned() {
            let (name, help) = (each.get_name().to_owned(), each.render_help().to_string());
            assert!(help.contains(&format!("  walapply {name}")), "{help}");
        }
    }

    #[test]
    fn restore_takes_names_or_all_and_one_point() {
        assert!(read("walapply restore -c f orders -o out.db --seq 7 --json").is_ok());
        assert!(
            read("walapply restore -c f --all -o out --at 2026-11-25T09:30:00Z --tiers a,b")
                .is_ok()
        );
        assert!(read("walapply restore --store s --all -o out").is_ok());
        for wrong in [
            "walapply restore -c f -o out",
            "walapply restore -c f --all orders -o out",
            "walapply restore -c f orders -o out --seq 1 --at 2026-11-25T09:30:00Z",
            "walapply restore -c f orders -o out --seq 0",
            "walapply restore -c f orders -o out --at yesterday",
            "walapply restore -c f ../orders -o out",
            "walapply restore orders -o out",
            "walapply restore -c f orders",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
