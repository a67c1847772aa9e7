//! The standby's program: parses the command line and carries out one command.

use std::ffi::OsString;
use std::process::ExitCode as ProcessExit;

use walapply::cli::Cli;

fn main() -> ProcessExit {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    console::cli::main(arguments, |cli: &Cli| cli.output, walapply::commands::run)
}
