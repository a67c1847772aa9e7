//! The worker processes of the measurements: `bench work ORDERS`, which only this program itself starts.
//!
//! They are applications: they use SQLite alone and know nothing of replication. Each ends when its standard input
//! does, and then writes what it has seen beside its orders, as JSON.

mod checkpoints;
mod fleet;
mod saturate;
mod wal;
mod watch;

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use console::{ExitCode, Failure};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::failed;
use crate::process::Process;
use crate::programs::own;
use crate::world::{LONG, World};

/// What a worker is to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Orders {
    /// Transactions at the rates of a fleet, and probes. Ends with [`Commit`]s.
    Fleet {
        /// Databases with the time between two transactions.
        databases: Vec<(PathBuf, Duration)>,
        /// Databases that get a probe every 100 ms.
        probes: Vec<PathBuf>,
        /// Where random numbers begin.
        seed: u64,
    },
    /// One writer that never rests. Ends with [`Commit`]s.
    Saturate {
        /// The database.
        path: PathBuf,
        /// Where random numbers begin.
        seed: u64,
    },
    /// Checkpoints of every mode at random times. Ends with how many there were.
    Checkpoints {
        /// The database.
        path: PathBuf,
        /// Where random numbers begin.
        seed: u64,
    },
    /// A WAL of this length, not checkpointed. Ends by itself, with [`wal::Written`].
    Wal {
        /// The database.
        path: PathBuf,
        /// Length of the WAL.
        bytes: u64,
    },
    /// Waits for probes on a standby. Ends with [`Probe`]s.
    Watch {
        /// The files.
        paths: Vec<PathBuf>,
    },
}

/// A transaction: when it was committed (milliseconds since 1970), and how many microseconds it took from its begin.
pub(crate) type Commit = (u64, u32);

/// A probe: the index of its file, when it was committed and when it became readable (milliseconds since 1970).
pub(crate) type Probe = (usize, u64, u64);

pub(crate) use wal::Written;

/// Carries out orders.
pub(crate) fn run(orders: &Path) -> Result<(), Failure> {
    let text = std::fs::read(orders).map_err(|error| wrong(orders, &error))?;
    let stop = Arc::new(AtomicBool::new(false));
    let parsed: Orders = serde_json::from_slice(&text).map_err(|error| wrong(orders, &error))?;
    watch_input(&stop)?;
    let told = work(parsed, &stop)?;
    std::fs::write(result_of(orders), told).map_err(|error| wrong(orders, &error))
}

fn work(orders: Orders, stop: &Arc<AtomicBool>) -> Result<Vec<u8>, Failure> {
    match orders {
        Orders::Fleet { databases, probes, seed } => {
            json(&fleet::work(databases, probes, seed, stop)?)
        }
        Orders::Saturate { path, seed } => json(&sqlite(&path, saturate::work(&path, seed, stop))?),
        Orders::Checkpoints { path, seed } => {
            json(&sqlite(&path, checkpoints::work(&path, seed, stop))?)
        }
        Orders::Wal { path, bytes } => json(&sqlite(&path, wal::work(&path, bytes, stop))?),
        Orders::Watch { paths } => json(&watch::work(&paths, stop)),
    }
}

fn json(value: &impl Serialize) -> Result<Vec<u8>, Failure> {
    serde_json::to_vec(value).map_err(|error| failed(error.to_string()))
}

fn sqlite<T>(path: &Path, result: rusqlite::Result<T>) -> Result<T, Failure> {
    result.map_err(|error| failed(format!("{}: {error}", path.display())))
}

fn wrong(orders: &Path, error: &dyn std::fmt::Display) -> Failure {
    Failure::new(ExitCode::Usage, format!("{}: {error}", orders.display()))
        .hint("this command is started by the measurements themselves")
}

fn result_of(orders: &Path) -> PathBuf {
    orders.with_extension("result")
}

/// The thread waits for input for ever: it ends with the process.
fn watch_input(stop: &Arc<AtomicBool>) -> Result<(), Failure> {
    let stop = Arc::clone(stop);
    let watch = move || {
        let mut nothing = [0; 64];
        while io::stdin().read(&mut nothing).is_ok_and(|count| count > 0) {}
        stop.store(true, Ordering::Relaxed);
    };
    let started = std::thread::Builder::new().name("input".to_owned()).spawn(watch);
    started.map(drop).map_err(|error| failed(format!("cannot start a thread: {error}")))
}

/// A running worker.
pub(crate) struct Worker {
    process: Process,
    orders: PathBuf,
}

impl Worker {
    /// Starts it.
    pub(crate) fn start(world: &World, name: &str, orders: &Orders) -> Result<Self, Failure> {
        let path = world.write(&format!("orders/{name}.json"), json(orders)?)?;
        let log = world.path(&format!("logs/{name}.log"));
        let arguments = ["work".as_ref(), path.as_os_str()];
        Ok(Self { process: Process::start(own()?, arguments, None, &log)?, orders: path })
    }

    /// Makes sure that it is at work.
    pub(crate) fn check(&mut self) -> Result<(), Failure> {
        self.process.check()
    }

    /// Ends it; what it has seen.
    pub(crate) fn finish<T: DeserializeOwned>(self) -> Result<T, Failure> {
        self.process.finish(LONG)?;
        read(&self.orders)
    }

    /// Waits until it ends by itself; what it has seen.
    pub(crate) fn wait<T: DeserializeOwned>(mut self) -> Result<T, Failure> {
        self.process.wait(LONG)?;
        read(&self.orders)
    }
}

fn read<T: DeserializeOwned>(orders: &Path) -> Result<T, Failure> {
    let path = result_of(orders);
    let text =
        std::fs::read(&path).map_err(|error| failed(format!("{}: {error}", path.display())))?;
    serde_json::from_slice(&text).map_err(|error| failed(format!("{}: {error}", path.display())))
}

/// Starts the writers of a fleet: a few processes that share the databases, each probing its share of `probed`.
pub(crate) fn start_fleet(world: &World, probed: &[usize]) -> Result<Vec<Worker>, Failure> {
    const WRITERS: usize = 4;
    let start = |number: usize| {
        let share = world.fleet.iter().skip(number).step_by(WRITERS);
        let probes = probed.iter().skip(number).step_by(WRITERS);
        let orders = Orders::Fleet {
            databases: share.map(|one| (world.primary(one), one.period())).collect(),
            probes: probes.map(|&index| world.primary(&world.fleet[index])).collect(),
            seed: number as u64,
        };
        Worker::start(world, &format!("writer-{number}"), &orders)
    };
    (0..WRITERS.min(world.fleet.len())).map(start).collect()
}
