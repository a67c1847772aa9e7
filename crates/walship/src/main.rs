//! The `walship` program.

use std::ffi::OsString;
use std::io;
use std::process::ExitCode as ProcessExit;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use console::config::WalshipConfig;
use console::{ExitCode, Failure, cli};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use store::clock::SystemClock;
use walship::cli::{Cli, Command, DEMO_WRITER, DemoWriter, ReplicateArgs};
use walship::replicate::{Options, replicate};

fn main() -> ProcessExit {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    if arguments.get(1).is_some_and(|command| command == DEMO_WRITER) {
        return cli::main::<DemoWriter>(
            arguments.into_iter().skip(1),
            |cli| cli.output,
            |cli| walship::demo::writer::run(&cli.orders),
        );
    }
    cli::main::<Cli>(arguments, |cli| cli.output, run)
}

fn run(cli: Cli) -> Result<(), Failure> {
    let json = cli.output.json;
    match cli.command {
        Command::Replicate(args) => run_replicate(&args, json),
        Command::Check(config) => walship::check::run(&config, json),
        Command::Status(config) => walship::ask::run(&config.load()?, json),
        Command::Snapshot(args) => walship::snapshot::run(&args, json),
        Command::Demo(args) => walship::demo::run(&args, json),
        Command::Shell(command) => command.run::<Cli>(json),
    }
}

fn run_replicate(args: &ReplicateArgs, json: bool) -> Result<(), Failure> {
    let config: WalshipConfig = args.config.load()?;
    let stop = stop_by_signal().map_err(|error| Failure::from_error(ExitCode::Failed, &error))?;
    let options = Options { once: args.once };
    let status = replicate(&config, options, Arc::new(SystemClock), &stop)?;
    if json {
        console::output::print(json, &status, String::new)
            .map_err(|error| Failure::from_error(ExitCode::Failed, &error))?;
    }
    Ok(())
}

/// What a signal to end the program sets, waking this thread. It is set by a thread that waits for nothing
/// else, so that no other has to look again and again.
fn stop_by_signal() -> io::Result<Arc<AtomicBool>> {
    let (stop, waiting) = (Arc::new(AtomicBool::new(false)), std::thread::current());
    let mut signals = Signals::new([SIGTERM, SIGINT])?;
    let set = Arc::clone(&stop);
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        for _ in signals.forever() {
            set.store(true, Ordering::Relaxed);
            waiting.unpark();
        }
    })?;
    Ok(stop)
}
