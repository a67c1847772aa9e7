//! What the shipper costs the applications: commit latency of the fleet, and of writers that never rest.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use console::Failure;
use walship::demo::fleet::Content;

use crate::cli::WritersArgs;
use crate::paired::{Latencies, alternate};
use crate::report::{Figure, Report};
use crate::work::{Commit, Orders, Worker, start_fleet};
use crate::world::{Scratch, World, notes, reference_fleet, single};

const FLEET_RATIO_MAX: f64 = 1.10;
const SATURATED_RATIO_MAX: f64 = 1.25;
const SATURATING_WRITERS: u64 = 4;
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

pub(crate) fn run(args: &WritersArgs) -> Result<Report, Failure> {
    let scratch = Scratch::open(&args.place)?;
    let figures = [under_fleet_load(&scratch, args)?, saturated(&scratch, args)?].concat();
    Ok(Report {
        bench: "writers",
        machine: scratch.machine.clone(),
        setup: format!(
            "{} rounds of {} s without and {} s with the shipper; {} databases under the stress load, then one \
             database with {SATURATING_WRITERS} saturating writers and random checkpoints",
            args.rounds, args.seconds, args.seconds, args.fleet.databases
        ),
        figures,
        notes: [
            vec![
                "latency: a whole transaction, from before BEGIN IMMEDIATE until COMMIT has returned".into(),
                "p99: all phases together; the other latencies are medians of those of the phases".into(),
            ],
            notes(),
        ]
        .concat(),
    })
}

fn under_fleet_load(scratch: &Scratch, args: &WritersArgs) -> Result<Vec<Figure>, Failure> {
    let world = scratch.world("fleet", reference_fleet(args.fleet)?)?;
    let mut writers = start_fleet(&world, &[])?;
    let time = Duration::from_secs(u64::from(args.seconds));
    let phases = alternate(&world, args.rounds, &mut |_| {
        std::thread::sleep(time);
        writers.iter_mut().try_for_each(Worker::check)
    })?;
    Ok(Latencies::sort(&phases, &commits(writers)?).figures("fleet", FLEET_RATIO_MAX))
}

fn saturated(scratch: &Scratch, args: &WritersArgs) -> Result<Vec<Figure>, Failure> {
    let world = scratch.world("saturated", vec![single("busy", Content::Missing)?])?;
    let path = world.primary(&world.fleet[0]);
    let mut writers = start_saturating(&world, &path)?;
    let orders = Orders::Checkpoints { path: path.clone(), seed: 1 };
    let checkpoints = Worker::start(&world, "checkpoints", &orders)?;
    let time = Duration::from_secs(u64::from(args.seconds));
    let mut wal = [0; 2];
    let phases = alternate(&world, args.rounds, &mut |with_shipper| {
        let largest = &mut wal[usize::from(with_shipper)];
        *largest = (*largest).max(largest_wal(&path, time));
        writers.iter_mut().try_for_each(Worker::check)
    })?;
    let latencies = Latencies::sort(&phases, &commits(writers)?);
    let count: u64 = checkpoints.finish()?;
    let mut figures = latencies.figures("saturated", SATURATED_RATIO_MAX);
    let [without, with] = wal.map(|bytes| bytes as f64 / 1e6);
    figures.push(Figure::new("saturated: largest WAL", with, "MB").against("without us", without));
    figures.push(Figure::new("saturated: checkpoints by the application", count as f64, ""));
    Ok(figures)
}

fn start_saturating(world: &World, path: &Path) -> Result<Vec<Worker>, Failure> {
    let start = |seed: u64| {
        let orders = Orders::Saturate { path: path.to_owned(), seed };
        Worker::start(world, &format!("saturating-{seed}"), &orders)
    };
    (0..SATURATING_WRITERS).map(start).collect()
}

fn commits(writers: Vec<Worker>) -> Result<Vec<Commit>, Failure> {
    let commits: Result<Vec<Vec<Commit>>, Failure> =
        writers.into_iter().map(Worker::finish).collect();
    Ok(commits?.concat())
}

/// The largest that the WAL becomes in this time.
fn largest_wal(database: &Path, time: Duration) -> u64 {
    let wal = PathBuf::from(format!("{}-wal", database.display()));
    let (began, mut largest) = (Instant::now(), 0);
    while began.elapsed() < time {
        largest = largest.max(wal.metadata().map_or(0, |file| file.len()));
        std::thread::sleep(LOOK_INTERVAL);
    }
    largest
}
