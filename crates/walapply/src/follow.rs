//! Following the log: every database of the standby, seconds behind the primary, always readable.
//!
//! Four kinds of threads, and what each may wait for:
//!
//! | thread | waits for |
//! |---|---|
//! | reading | the store, the next flush, room in the channel |
//! | workers | files, SQLite's locks, the store (side objects, bases) |
//! | checkpoint | the disk |
//! | coordinator (the caller's) | only for the others to report |
//!
//! - Every database goes its own way: one that waits, heals or is damaged never holds up another.
//! - Invariant F1: nothing stalls silently. What cannot go on says why in the log and in [`FollowState`], and is tried again.
//! - What was read and not applied is bounded in memory; beyond it reading waits.
//!
//! After a crash at any point every file holds the state after some log object; the next start finds out which by content.

mod checkpoint;
mod claim;
mod clocks;
mod feed;
mod fleet;
mod jobs;
mod member;
mod poll;
mod pool;
pub(crate) mod primary;
mod reading;
mod renamed;
mod rounds;
mod saved;
mod sealed;
mod state;
mod track;

use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use console::config::StandbySettings;
use console::{ExitCode, Failure, WalapplyConfig, descriptors};
use crossbeam_channel::{Receiver, bounded, never, select};
use store::Store;

use crate::budget::Budget;
use crate::error::ApplyError;
use crate::failure::tail_hint;
use crate::patient::Patient;
use crate::sqlite;
use clocks::Clocks;
use fleet::{Fleet, Settings};
use jobs::Tools;
use poll::Limits;
use pool::Pool;
use reading::{Event, Reading};

pub use state::{
    DatabaseStatus, FollowSnapshot, FollowState, LeftBehind, PrimaryHealth, StoreHealth,
};
pub use track::Condition;

/// A process that has just ended may hold the folder's lock for a moment longer, through a child that it was starting.
const FOLDER_PATIENCE: Duration = Duration::from_secs(1);
/// The coordinator notices a stop this late at most.
const STOP_TICK: Duration = Duration::from_millis(500);
/// `--once` waits this long for what others hold up (a lock, the store) before it gives up.
const ONCE_PATIENCE: Duration = Duration::from_secs(30);
/// Descriptors of one database: apply connection and checker (database, WAL, shared memory), a checkpoint's connection.
const DESCRIPTORS_PER_DATABASE: u64 = 7;
/// Descriptors of everything else.
const DESCRIPTORS_BESIDES: u64 = 64;

/// How to follow.
#[derive(Clone, Copy, Debug, Default)]
pub struct FollowOptions {
    /// Apply everything there is, then return.
    pub once: bool,
}

/// Follows the log until `stop` is set, or, with `once`, until everything there is was applied.
///
/// `shared` tells at any time how far it is.
///
/// # Errors
/// Settings or a store that no waiting mends; with `once` also a store that does not answer, and databases that could not
/// be brought to the state that the log says, or a stop before that.
pub fn follow(
    config: &WalapplyConfig,
    store: Arc<dyn Store>,
    options: FollowOptions,
    stop: Arc<AtomicBool>,
    shared: Arc<FollowState>,
) -> Result<(), Failure> {
    sqlite::assert_library().map_err(|error| failure(&error))?;
    let standby = config.standby()?;
    let clocks = Clocks::of_host();
    let folder = open_folder(&standby.dir).map_err(|error| failure(&error))?;
    claim::check(&folder.path, &config.fleet)?;
    make_folder(&config.state_dir.join("replicas")).map_err(|error| failure(&error))?;
    let settings = Settings {
        standby: standby.clone(),
        folder: folder.path.clone(),
        state_dir: config.state_dir.clone(),
        clocks: clocks.clone(),
    };
    let tools = Tools { store: Patient::over(Arc::clone(&store)), budget: Budget::standard() };
    let pool = Pool::start(workers(), &tools, &stop).map_err(|error| thread_failure(&error))?;
    let (events, event_queue) = bounded(1);
    let (alive, stopped) = bounded::<()>(0);
    let reading = Reading {
        store,
        clocks,
        fleet: config.fleet.clone(),
        state_dir: config.state_dir.clone(),
        limits: limits(standby),
        once: options.once,
        events,
        stop: stopped,
    };
    let reader = thread::Builder::new().name("reading".into()).spawn(move || reading::run(reading));
    let reader = reader.map_err(|error| thread_failure(&error))?;
    let mut follower =
        Follower { fleet: Fleet::new(settings), pool, shared, stop, once: options.once };
    let ended = follower.run(&event_queue);
    drop((alive, event_queue));
    // A panic there has been printed; everything else came through the channel.
    let _ = reader.join();
    ended
}

struct Follower {
    fleet: Fleet,
    pool: Pool,
    shared: Arc<FollowState>,
    stop: Arc<AtomicBool>,
    once: bool,
}

impl Follower {
    fn run(&mut self, events: &Receiver<Event>) -> Result<(), Failure> {
        let mut patience = Patience::new();
        let mut descriptors_for = 0;
        loop {
            if self.stop.load(Ordering::SeqCst) {
                break;
            }
            if self.fleet.len() > descriptors_for {
                descriptors_for = self.fleet.len();
                descriptors::ensure(
                    DESCRIPTORS_BESIDES + DESCRIPTORS_PER_DATABASE * descriptors_for as u64,
                )?;
            }
            if self.fleet.is_round_due()
                && let Some(facts) = self.fleet.go_round(&self.pool)
            {
                self.shared.publish(facts);
            }
            if self.once && self.is_over(&mut patience)? {
                break;
            }
            self.wait(events)?;
        }
        self.finish_running();
        self.fleet.save(true);
        self.shared.publish(self.fleet.facts());
        let is_complete = self.fleet.is_settled() && self.fleet.unhealthy().is_empty();
        if self.once && !is_complete { Err(interrupted()) } else { Ok(()) }
    }

    /// Waits for something to happen and takes it.
    fn wait(&mut self, events: &Receiver<Event>) -> Result<(), Failure> {
        let none = never();
        let events = if self.fleet.is_full() { &none } else { events };
        let patience = self.fleet.patience().min(STOP_TICK);
        select! {
            recv(events) -> event => match event {
                Ok(event) => self.fleet.read(event).map_err(|error| log_failure(&error))?,
                Err(_) => return Err(Failure::new(ExitCode::Failed, "BUG: the reading thread is gone")),
            },
            recv(self.pool.finished()) -> finished => match finished {
                Ok(finished) => self.fleet.finished(finished),
                Err(_) => return Err(Failure::new(ExitCode::Failed, "BUG: the workers are gone")),
            },
            default(patience) => {}
        }
        Ok(())
    }

    /// Lets jobs that run come to their end; those that only wait are dropped by the workers.
    fn finish_running(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        self.pool.close();
        while let Ok(finished) = self.pool.finished().recv() {
            self.fleet.finished(finished);
        }
    }

    /// For `--once`: whether everything is done; an error when it cannot be.
    fn is_over(&self, patience: &mut Patience) -> Result<bool, Failure> {
        let unhealthy = self.fleet.unhealthy();
        let is_settled = self.fleet.is_settled();
        if is_settled && unhealthy.is_empty() {
            return Ok(true);
        }
        let is_stuck = unhealthy.iter().any(|(condition, _)| *condition == Condition::Waiting);
        let is_held_up = is_stuck || self.fleet.reading_trouble().is_some();
        if !is_settled && !self.fleet.is_stopped_by_damage() && !patience.is_over(is_held_up) {
            return Ok(false);
        }
        if let Some(error) = self.fleet.reading_trouble() {
            return Err(log_failure(error));
        }
        let is_damage = |condition| matches!(condition, Condition::Corrupt | Condition::Doubtful);
        let is_corrupt = unhealthy.iter().any(|(condition, _)| is_damage(*condition));
        let exit = if is_corrupt { ExitCode::Corrupt } else { ExitCode::Failed };
        let reasons: Vec<String> = unhealthy.into_iter().map(|(_, reason)| reason).collect();
        let failure =
            Failure::new(exit, format!("not everything could be applied: {}", reasons.join("; ")));
        Err(match is_corrupt {
            true => failure.hint("`walapply verify` tells which objects of the store are damaged, `walship snapshot NAME` on the primary makes a newer base"),
            false => failure,
        })
    }
}

/// How long `--once` has been held up by others.
struct Patience(Option<Instant>);

impl Patience {
    fn new() -> Self {
        Self(None)
    }

    fn is_over(&mut self, is_held_up: bool) -> bool {
        if !is_held_up {
            self.0 = None;
            return false;
        }
        self.0.get_or_insert_with(Instant::now).elapsed() > ONCE_PATIENCE
    }
}

/// The standby's folder, which only one follower may use.
struct Folder {
    path: PathBuf,
    _lock: File,
}

/// Makes and locks the folder. Its path is resolved once: no symbolic link inside it is followed later.
fn open_folder(path: &Path) -> Result<Folder, ApplyError> {
    make_folder(path)?;
    let path = fs::canonicalize(path).map_err(ApplyError::file(path, "resolving"))?;
    let lock = File::open(&path).map_err(ApplyError::file(&path, "opening"))?;
    let until = Instant::now() + FOLDER_PATIENCE;
    loop {
        match lock.try_lock() {
            Ok(()) => return Ok(Folder { path, _lock: lock }),
            Err(fs::TryLockError::WouldBlock) if Instant::now() < until => {
                thread::sleep(FOLDER_PATIENCE / 20);
            }
            Err(fs::TryLockError::WouldBlock) => {
                let told = format!("{} is followed by another process already", path.display());
                return Err(ApplyError::Unfit(told));
            }
            Err(fs::TryLockError::Error(error)) => {
                return Err(ApplyError::file(path, "locking")(error));
            }
        }
    }
}

fn make_folder(path: &Path) -> Result<(), ApplyError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(ApplyError::file(path, "making the folder"))
}

fn workers() -> usize {
    thread::available_parallelism().map_or(2, |count| count.get().clamp(2, 8))
}

fn limits(standby: &StandbySettings) -> Limits {
    Limits::new(standby.poll_interval, standby.idle_poll_interval)
}

/// For `--once`: it was told to stop before it had done everything.
pub(crate) fn interrupted() -> Failure {
    Failure::new(ExitCode::Failed, "stopped before everything was applied")
        .hint("run it again: what was applied stays")
}

fn failure(error: &ApplyError) -> Failure {
    Failure::from_error(error.exit_code(), error)
}

fn log_failure(error: &fleet_log::LogError) -> Failure {
    let failure = Failure::from_error(ExitCode::from_number(error.exit_code()), error);
    match tail_hint(error) {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

fn thread_failure(error: &std::io::Error) -> Failure {
    Failure::new(ExitCode::Failed, format!("cannot start a thread: {error}"))
}

#[cfg(test)]
mod tests;
