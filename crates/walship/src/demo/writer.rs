//! A writer process of the demo: `walship demo-writer ORDERS`, which only the demo itself starts.
//!
//! It works as an application does, through SQLite alone, and knows nothing of replication. What it has committed it
//! tells on standard output, one JSON array of counts a line, one number for each database of its orders.
//!
//! It ends when its standard input ends: also when the demo was killed, so that nothing goes on writing for ever.

use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use console::{ExitCode, Failure};
use serde::{Deserialize, Serialize};
use store::clock::{Clock as _, SystemClock};

use super::application::Application;
use super::schedule::Schedule;

/// How often the counts are told.
const TELL_INTERVAL: Duration = Duration::from_millis(200);
/// Longest time until the end of standard input is noticed.
const SLEEP_MAX: Duration = Duration::from_millis(20);
/// How often a probe is committed.
const PROBE_INTERVAL: Duration = Duration::from_millis(100);
/// Descriptors of one open database (with WAL and shared memory), and of the process.
const DESCRIPTORS: (u64, u64) = (3, 64);

/// What a writer is to do.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Orders {
    /// Its databases, and the time between two transactions of each.
    pub databases: Vec<(PathBuf, Duration)>,
    /// The database that gets probes besides.
    pub probe: Option<PathBuf>,
    /// Where its random numbers begin.
    pub seed: u64,
}

/// Works until standard input ends.
///
/// # Errors
/// Orders that cannot be read, and whatever SQLite refuses.
pub fn run(orders: &Path) -> Result<(), Failure> {
    let orders = read(orders)?;
    let databases = orders.databases.len() as u64;
    console::descriptors::ensure(databases * DESCRIPTORS.0 + DESCRIPTORS.1)?;
    let stop = Arc::new(AtomicBool::new(false));
    watch_input(&stop)?;
    let probing = orders.probe.clone().map(|path| start_probing(path, &stop)).transpose()?;
    let worked = Writer::new(orders).work(&stop);
    stop.store(true, Ordering::Relaxed);
    if let Some(probing) = probing {
        probing.join().map_err(|_| failed("the probing thread panicked"))??;
    }
    worked
}

fn read(path: &Path) -> Result<Orders, Failure> {
    let text =
        std::fs::read(path).map_err(|error| failed(format!("{}: {error}", path.display())))?;
    serde_json::from_slice(&text).map_err(|error| {
        Failure::new(ExitCode::Usage, format!("{}: {error}", path.display()))
            .hint("`walship demo` starts this command by itself")
    })
}

fn failed(what: impl Into<String>) -> Failure {
    Failure::new(ExitCode::Failed, what)
}

/// The thread waits for input for ever: it ends with the process.
fn watch_input(stop: &Arc<AtomicBool>) -> Result<JoinHandle<()>, Failure> {
    let stop = Arc::clone(stop);
    let watch = move || {
        let mut nothing = [0; 64];
        while io::stdin().read(&mut nothing).is_ok_and(|count| count > 0) {}
        stop.store(true, Ordering::Relaxed);
    };
    thread("input", watch)
}

fn thread<T: Send + 'static>(
    name: &str,
    run: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, Failure> {
    let started = std::thread::Builder::new().name(name.to_owned()).spawn(run);
    started.map_err(|error| failed(format!("cannot start a thread: {error}")))
}

fn start_probing(
    path: PathBuf,
    stop: &Arc<AtomicBool>,
) -> Result<JoinHandle<Result<(), Failure>>, Failure> {
    let stop = Arc::clone(stop);
    thread("probe", move || probe(&path, &stop).map_err(|error| of_sqlite(&path, &error)))
}

fn probe(path: &Path, stop: &AtomicBool) -> rusqlite::Result<()> {
    let mut application = Application::open(path, 0)?;
    while !stop.load(Ordering::Relaxed) {
        application.probe(SystemClock.now())?;
        std::thread::sleep(PROBE_INTERVAL);
    }
    Ok(())
}

fn of_sqlite(path: &Path, error: &rusqlite::Error) -> Failure {
    failed(format!("{}: {error}", path.display()))
}

struct Writer {
    orders: Orders,
    open: Vec<Option<Application>>,
    counts: Vec<u64>,
    schedule: Schedule,
    began: Instant,
}

impl Writer {
    fn new(orders: Orders) -> Self {
        let periods = orders.databases.iter().map(|(_, period)| *period).collect();
        Self {
            open: orders.databases.iter().map(|_| None).collect(),
            counts: vec![0; orders.databases.len()],
            schedule: Schedule::new(periods),
            began: Instant::now(),
            orders,
        }
    }

    fn work(&mut self, stop: &AtomicBool) -> Result<(), Failure> {
        let mut told = Duration::ZERO;
        while !stop.load(Ordering::Relaxed) {
            while !stop.load(Ordering::Relaxed)
                && let Some(index) = self.schedule.take(self.began.elapsed())
            {
                self.transact(index)?;
            }
            let now = self.began.elapsed();
            if now.saturating_sub(told) >= TELL_INTERVAL {
                told = now;
                self.tell()?;
            }
            std::thread::sleep(self.schedule.idle(now).min(SLEEP_MAX));
        }
        self.tell()
    }

    /// A database that was missing or empty comes to life here.
    fn transact(&mut self, index: usize) -> Result<(), Failure> {
        let path = &self.orders.databases[index].0;
        let seed = self.orders.seed.wrapping_add(index as u64);
        let mut application = match self.open[index].take() {
            Some(open) => open,
            None => Application::open(path, seed).map_err(|error| of_sqlite(path, &error))?,
        };
        application.transact().map_err(|error| of_sqlite(path, &error))?;
        self.open[index] = Some(application);
        self.counts[index] += 1;
        Ok(())
    }

    fn tell(&self) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        let told = serde_json::to_vec(&self.counts)
            .map_err(io::Error::other)
            .and_then(|line| out.write_all(&line))
            .and_then(|()| out.write_all(b"\n"))
            .and_then(|()| out.flush());
        told.map_err(|error| failed(format!("the demo does not listen any more: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_writer_works_at_its_rate_and_counts_what_it_committed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        let period = Duration::from_millis(1);
        let orders = Orders { databases: vec![(path.clone(), period)], probe: None, seed: 1 };
        let mut writer = Writer::new(orders);
        for _ in 0..20 {
            writer.transact(0).unwrap();
        }
        let reader = rusqlite::Connection::open(&path).unwrap();
        let tally = super::super::application::tally(&reader).unwrap();
        assert_eq!((tally, writer.counts.as_slice()), (Some(20), [20].as_slice()));
    }

    #[test]
    fn orders_are_read_back_as_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("orders.json");
        let databases = vec![("x.db".into(), Duration::from_millis(50))];
        let orders = Orders { databases, probe: Some("x.db".into()), seed: 3 };
        std::fs::write(&path, serde_json::to_vec(&orders).unwrap()).unwrap();
        let back = read(&path).unwrap();
        assert_eq!((back.databases, back.probe, back.seed), (orders.databases, orders.probe, 3));
        std::fs::write(&path, b"{").unwrap();
        assert_eq!(read(&path).unwrap_err().exit, ExitCode::Usage);
    }
}
