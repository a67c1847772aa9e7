//! The commands: each reads its arguments, does its work through the library, and prints one answer.
//!
//! SIGTERM and SIGINT set a flag that long commands look at, so that they end in order: a follower after the batch it
//! is in, a restore without leaving drafts behind. A second signal ends the program at once.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use console::control::{self, Server};
use console::{ExitCode, Failure, StateDir, WalapplyConfig, output};
use signal_hook::consts::{SIGINT, SIGTERM};
use store::clock::{Clock as _, SystemClock};
use store::{Counted, ErrorClass, Store};

use crate::cli::{Cli, Command, FollowArgs, RestoreArgs, SourceArgs};
use crate::follow::{self, FollowOptions, FollowState};
use crate::restore::point::Point;
use crate::restore::{self, Report, Request, Restorer, Which};
use crate::source::Source;
use crate::{list, status, verify};

/// How often a store is looked for that is not there yet.
const STORE_PAUSE: Duration = Duration::from_secs(1);

/// Carries out a command line.
///
/// # Errors
/// Whatever the command came to, with its exit code.
pub fn run(cli: Cli) -> Result<(), Failure> {
    let json = cli.output.json;
    match cli.command {
        Command::Follow(args) => run_follow(&args, json),
        Command::Restore(args) => run_restore(&args, json),
        Command::Verify(args) => run_verify(&args, json),
        Command::List(args) => run_list(&args, json),
        Command::Status(args) => {
            let status = status::status(&args.load()?)?;
            answer(output::print(json, &status, || status::text(&status)))
        }
        Command::Shell(command) => command.run::<Cli>(json),
    }
}

/// An answer that cannot be printed is a failure: scripts rely on it.
fn answer(printed: io::Result<()>) -> Result<(), Failure> {
    printed.map_err(|error| {
        Failure::new(ExitCode::Failed, format!("cannot write the answer: {error}"))
    })
}

/// The flag that the first signal sets; the second one kills.
fn stop_flag() -> Result<Arc<AtomicBool>, Failure> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGINT] {
        signal_hook::flag::register_conditional_default(signal, Arc::clone(&stop))
            .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&stop)))
            .map_err(|error| {
                Failure::new(ExitCode::Failed, format!("cannot catch signals: {error}"))
            })?;
    }
    Ok(stop)
}

/// Follows under the lock of the state folder, and answers `status` meanwhile.
fn run_follow(args: &FollowArgs, json: bool) -> Result<(), Failure> {
    let config: WalapplyConfig = args.config.load()?;
    let state_dir = StateDir::lock(&config.state_dir, "walapply")?;
    let (stop, state) = (stop_flag()?, Arc::new(FollowState::default()));
    let Some(store) = store_to_follow(&config, args.once, &stop)? else {
        return if args.once { Err(follow::interrupted()) } else { Ok(()) };
    };
    let store = Arc::new(Counted::new(store));
    let tell = {
        let (store, state, fleet) = (Arc::clone(&store), Arc::clone(&state), config.fleet.clone());
        move || status::of_follower(&fleet, &state.snapshot(SystemClock.now()), store.counts())
    };
    let server = serve(&state_dir, tell.clone())?;
    let options = FollowOptions { once: args.once };
    let ended = follow::follow(&config, store, options, stop, state);
    drop(server);
    let status = tell();
    match ended {
        Ok(()) if args.once || json => {
            answer(output::print(json, &status, || status::text(&status)))
        }
        Ok(()) => Ok(()),
        Err(failure) => Err(failure.document(status)),
    }
}

/// Opens the store; where it is not there yet, a follower that stays waits for it, until it is told to stop.
fn store_to_follow(
    config: &WalapplyConfig,
    once: bool,
    stop: &AtomicBool,
) -> Result<Option<Arc<dyn Store>>, Failure> {
    let mut is_told = false;
    while !stop.load(Ordering::Relaxed) {
        match store::settings::open(&config.store, false) {
            Err(error) if !once && error.class() == ErrorClass::Retry => {
                if !std::mem::replace(&mut is_told, true) {
                    tracing::warn!(%error, "waiting for the store");
                }
                std::thread::sleep(STORE_PAUSE);
            }
            opened => return Ok(Some(opened?)),
        }
    }
    Ok(None)
}

fn serve(
    state_dir: &StateDir,
    tell: impl Fn() -> serde_json::Value + Send + Sync + 'static,
) -> Result<Server, Failure> {
    let handler = move |request: control::Request| match request.command.as_str() {
        "status" => tell(),
        other => control::refusal(&format!("`{other}` is not a command of walapply")),
    };
    Server::start(state_dir, handler).map_err(|error| {
        Failure::from_error(ExitCode::Failed, &error).hint("the control socket lives in state_dir")
    })
}

fn run_restore(args: &RestoreArgs, json: bool) -> Result<(), Failure> {
    let request = request(args, !json);
    if let Some(report) = restore::nothing_to_do(&request)? {
        return answer(output::print(json, &report, || report.text()));
    }
    let source = Source::open(&args.source)?;
    source.keep_out(&request.output)?;
    let Some(fleet) = &source.fleet else {
        let report = restore::without_log(&request)?;
        return answer(output::print(json, &report, || report.text()));
    };
    let stop = stop_flag()?;
    let restorer = Restorer { store: &source.store, fleet, clock: &SystemClock, stop: &stop };
    told(restorer.restore(&request)?, json)
}

/// Prints the report; where a database failed, it becomes part of the failure.
fn told(report: Report, json: bool) -> Result<(), Failure> {
    let exit = report.exit_code();
    if exit == ExitCode::Fine {
        return answer(output::print(json, &report, || report.text()));
    }
    let failed = report.failed().map(|told| told.summary());
    let failed: Vec<String> = failed.chain(report.lost.clone()).collect();
    if !json {
        answer(output::print(false, &report, || report.text()))?;
    }
    let (what, hint) = if report.dry_run {
        (
            "would not be restored",
            "--force replaces what is there, --if-missing leaves it alone; `walapply verify` lists all damage",
        )
    } else {
        (
            "not restored",
            "--keep-going puts in place what could be restored; `walapply verify` lists all damage",
        )
    };
    let failure = Failure::new(exit, format!("{what}: {}", failed.join("; ")));
    Err(failure.hint(hint).document(serde_json::json!(report)))
}

fn request(args: &RestoreArgs, progress: bool) -> Request {
    Request {
        which: match args.all {
            true => Which::All,
            false => Which::Named(args.names.clone()),
        },
        tiers: args.tiers.clone(),
        point: match (args.seq, args.at) {
            (Some(seq), _) => Point::Seq(seq),
            (None, Some(instant)) => Point::At(instant),
            (None, None) => Point::Newest,
        },
        output: args.output.clone(),
        dry_run: args.dry_run,
        force: args.force,
        if_missing: args.if_missing,
        if_available: args.if_available,
        keep_going: args.keep_going,
        progress,
    }
}

fn run_verify(args: &SourceArgs, json: bool) -> Result<(), Failure> {
    let source = Source::open(args)?;
    let report = verify::verify(&source.store, source.fleet()?, !json)?;
    if report.damage.is_empty() {
        return answer(output::print(json, &report, || report.text()));
    }
    if !json {
        answer(output::print(false, &report, || report.text()))?;
    }
    let objects: Vec<&str> = report.damage.iter().map(|damage| damage.object.as_str()).collect();
    let failure = Failure::new(ExitCode::Corrupt, format!("not sound: {}", objects.join(", ")));
    Err(failure
        .hint(
            "copy damaged objects back from a backup of the store, or have new bases made: `walship snapshot NAME` on the \
             primary makes one now; an object of a newer format needs a newer program",
        )
        .document(serde_json::json!(report)))
}

fn run_list(args: &SourceArgs, json: bool) -> Result<(), Failure> {
    let source = Source::open(args)?;
    let listing = list::list(&*source.store, source.fleet()?)?;
    let Some(failure) = listing.failure() else {
        return answer(output::print(json, &listing, || listing.text()));
    };
    if !json {
        answer(output::print(false, &listing, || listing.text()))?;
    }
    Err(failure.document(serde_json::json!(listing)))
}

#[cfg(test)]
mod tests;
