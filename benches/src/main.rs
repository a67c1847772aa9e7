//! `bench`: measures what the project promises about speed and size, with real processes on real files.
//!
//! Every figure stands beside what it is to be compared with, taken in the same run on the same disk: a copy with
//! fsync, the same load without us, or the promise itself. Nothing here judges by exit code: a figure that misses its
//! target is a finding, and so says the table. Exit code 0 means that everything could be measured.
//!
//! Whatever happens, the processes that were started end with this one: children are killed by id when their value is
//! dropped, and the workers end by themselves when their standard input does.

mod cli;
mod files;
mod idle;
mod latency;
mod machine;
mod paired;
mod process;
mod programs;
mod report;
mod restart;
mod restore;
mod statistics;
mod tables;
mod throughput;
mod trace;
mod usage;
mod work;
mod world;
mod writers;

use std::process::ExitCode as ProcessExit;

use console::{ExitCode, Failure};

use cli::{Cli, Command};

fn main() -> ProcessExit {
    console::cli::main::<Cli>(std::env::args_os(), |cli| cli.output, run)
}

fn run(cli: Cli) -> Result<(), Failure> {
    let report = match &cli.command {
        Command::Latency(args) => latency::run(args),
        Command::Idle(args) => idle::run(args),
        Command::Throughput(args) => throughput::run(args),
        Command::Restore(args) => restore::run(args),
        Command::Writers(args) => writers::run(args),
        Command::Restart(args) => restart::run(args),
        Command::Work { orders } => return work::run(orders),
        Command::Start { core, command } => return Err(process::become_program(*core, command)),
    }?;
    console::output::print(cli.output.json, &report, || report.to_string())
        .map_err(|error| failed(format!("cannot write the answer: {error}")))
}

/// What could not be measured, and why.
fn failed(what: impl Into<String>) -> Failure {
    Failure::new(ExitCode::Failed, what)
}
