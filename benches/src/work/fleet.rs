//! A share of the fleet's applications: each database at its own rate, and probes in some of them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use console::Failure;
use store::clock::{Clock as _, SystemClock};
use walship::demo::application::Application;
use walship::demo::schedule::Schedule;

use super::{Commit, sqlite};
use crate::failed;

const PROBE_INTERVAL: Duration = Duration::from_millis(100);
const SLEEP_MAX: Duration = Duration::from_millis(20);

pub(super) fn work(
    databases: Vec<(PathBuf, Duration)>,
    probes: Vec<PathBuf>,
    seed: u64,
    stop: &Arc<AtomicBool>,
) -> Result<Vec<Commit>, Failure> {
    let probing =
        probes.into_iter().map(|path| start_probing(path, stop)).collect::<Result<Vec<_>, _>>();
    let commits = transact(&databases, seed, stop);
    stop.store(true, Ordering::Relaxed);
    for thread in probing? {
        thread.join().map_err(|_| failed("a probing thread panicked"))??;
    }
    commits
}

fn transact(
    databases: &[(PathBuf, Duration)],
    seed: u64,
    stop: &AtomicBool,
) -> Result<Vec<Commit>, Failure> {
    let mut schedule = Schedule::new(databases.iter().map(|(_, period)| *period).collect());
    let mut open: Vec<Option<Application>> = databases.iter().map(|_| None).collect();
    let (began, mut commits) = (Instant::now(), Vec::new());
    while !stop.load(Ordering::Relaxed) {
        while let Some(index) = schedule.take(began.elapsed()) {
            let path = &databases[index].0;
            // A database that was missing or empty comes to life here; that is not counted as a transaction.
            let application = match open[index].take() {
                Some(application) => application,
                None => sqlite(path, Application::open(path, seed + index as u64))?,
            };
            commits.push(timed(open[index].insert(application), path)?);
        }
        std::thread::sleep(schedule.idle(began.elapsed()).min(SLEEP_MAX));
    }
    Ok(commits)
}

fn timed(application: &mut Application, path: &Path) -> Result<Commit, Failure> {
    let began = Instant::now();
    sqlite(path, application.transact())?;
    let micros = u32::try_from(began.elapsed().as_micros()).unwrap_or(u32::MAX);
    Ok((SystemClock.now().get(), micros))
}

fn start_probing(
    path: PathBuf,
    stop: &Arc<AtomicBool>,
) -> Result<JoinHandle<Result<(), Failure>>, Failure> {
    let stop = Arc::clone(stop);
    let probe = move || sqlite(&path, probe(&path, &stop));
    let started = std::thread::Builder::new().name("probe".to_owned()).spawn(probe);
    started.map_err(|error| failed(format!("cannot start a thread: {error}")))
}

/// The time in a probe is that before its commit. The pauses differ a little, so that probes fall on every part of the
/// flushing grid.
fn probe(path: &Path, stop: &AtomicBool) -> rusqlite::Result<()> {
    let mut application = Application::open(path, 0)?;
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        application.probe(SystemClock.now())?;
        std::thread::sleep(PROBE_INTERVAL + Duration::from_millis(number * 7 % 13));
    }
    Ok(())
}
