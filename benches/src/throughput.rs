//! How fast a WAL reaches the store. The shipper, bound to one processor, is held (SIGSTOP) while an application writes
//! a long WAL; then it goes on, and the time until all of it is durable counts.
//!
//! It has to be the running shipper: one that starts anew cannot know that it missed nothing, and compares pages.

mod stages;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use console::Failure;
use rustix::process::Signal;
use walship::demo::fleet::Content;

use crate::cli::ThroughputArgs;
use crate::failed;
use crate::files::{self, Cache, copy_durably};
use crate::process::{Process, last_core};
use crate::report::{Figure, Report};
use crate::statistics::median;
use crate::tables;
use crate::usage;
use crate::work::{Orders, Worker, Written};
use crate::world::{LONG, Scratch, World, notes, single};

const RATE_MIN: f64 = 200.0;
/// How often it is looked whether all is durable: the error of the time.
const LOOK_INTERVAL: Duration = Duration::from_millis(3);

pub(crate) fn run(args: &ThroughputArgs) -> Result<Report, Failure> {
    let scratch = Scratch::open(&args.place)?;
    let rounds: Vec<Round> =
        (0..args.rounds).map(|number| round(&scratch, args, number)).collect::<Result<_, _>>()?;
    Ok(Report {
        bench: "throughput",
        machine: scratch.machine.clone(),
        setup: format!("a WAL of {} MiB, shipper on one core, medians of {} rounds", args.mib, args.rounds),
        figures: figures(&rounds),
        notes: [
            vec![
                "MB are MB of the WAL; a round's copy is the same WAL copied to the same disk, with fsync".into(),
                "stages: one core, in memory, on pages of that WAL; each page passes each of them once".into(),
            ],
            notes(),
        ]
        .concat(),
    })
}

struct Round {
    wal_mb: f64,
    seconds: f64,
    processor_seconds: Option<f64>,
    copy_seconds: f64,
    stored_mb: f64,
    stages: Vec<stages::Stage>,
}

fn round(scratch: &Scratch, args: &ThroughputArgs, number: u32) -> Result<Round, Failure> {
    // Short, so that the wait for the next instant of the grid does not count as work.
    let mut database = single("wal", Content::Bytes(1 << 16))?;
    database.sync_interval = "10ms".to_owned();
    let world = scratch.world(&format!("round-{number}"), vec![database])?;
    let mut shipper = world.ship(Some(last_core()))?;
    world.wait_shipping(&mut shipper)?;
    let path = world.primary(&world.fleet[0]);
    let wal = PathBuf::from(format!("{}-wal", path.display()));
    shipper.signal(Signal::STOP)?;
    let orders = Orders::Wal { path, bytes: u64::from(args.mib) << 20 };
    let written: Written = Worker::start(&world, "wal", &orders)?.wait()?;
    let copy_seconds = copy(&world, &wal)?;
    let stages = stages::measure(&wal)?;
    let before = files::size(&world.path("store"));
    let (seconds, processor_seconds) = ship(&world, &mut shipper, &written)?;
    let stored = files::size(&world.path("store")).since(before);
    shipper.terminate(LONG)?;
    std::fs::remove_dir_all(world.path("")).map_err(|error| failed(error.to_string()))?;
    Ok(Round {
        wal_mb: written.wal_bytes as f64 / 1e6,
        seconds,
        processor_seconds,
        copy_seconds,
        stored_mb: stored.bytes as f64 / 1e6,
        stages,
    })
}

/// The WAL is on the disk before either reads it, and in memory for both.
fn copy(world: &World, wal: &Path) -> Result<f64, Failure> {
    let flushed = std::fs::File::open(wal).and_then(|file| file.sync_all());
    flushed.map_err(|error| failed(format!("{}: {error}", wal.display())))?;
    Cache::Warm.prepare(wal);
    let target = world.path("copy");
    let time = copy_durably(wal, &target)?;
    std::fs::remove_file(&target).map_err(|error| failed(error.to_string()))?;
    Ok(time.as_secs_f64())
}

/// Lets the shipper go on, until it says that the log object with the last commit is durable.
fn ship(
    world: &World,
    shipper: &mut Process,
    written: &Written,
) -> Result<(f64, Option<f64>), Failure> {
    let used = usage::processor_seconds(shipper.pid());
    let began = Instant::now();
    shipper.signal(Signal::CONT)?;
    while !is_durable(world, written.commits)? {
        shipper.check()?;
        if began.elapsed() > LONG {
            return Err(failed("the WAL never became durable"));
        }
        std::thread::sleep(LOOK_INTERVAL);
    }
    let seconds = began.elapsed().as_secs_f64();
    let now = usage::processor_seconds(shipper.pid());
    Ok((seconds, now.zip(used).map(|(after, before)| after - before)))
}

fn is_durable(world: &World, commits: u64) -> Result<bool, Failure> {
    let Some(seq) = tables::holder(&world.path("store"), commits)? else { return Ok(false) };
    let durable = world.status("walship").and_then(|status| status["seq"]["durable"].as_u64());
    Ok(durable.is_some_and(|durable| durable >= seq))
}

fn figures(rounds: &[Round]) -> Vec<Figure> {
    let of = |value: &dyn Fn(&Round) -> f64| median(rounds.iter().map(value));
    let copy = of(&|round| round.wal_mb / round.copy_seconds);
    let mut figures = vec![
        Figure::new("WAL to durable, one core", of(&|round| round.wal_mb / round.seconds), "MB/s")
            .against("copy and fsync", copy)
            .at_least(RATE_MIN),
        Figure::new("store: bytes written", of(&|round| round.stored_mb), "MB")
            .against("the WAL", of(&|round| round.wal_mb)),
    ];
    let by_processor: Option<Vec<f64>> =
        rounds.iter().map(|round| Some(round.wal_mb / round.processor_seconds?)).collect();
    figures.extend(
        by_processor
            .map(|rates| Figure::new("WAL for a second of processor time", median(rates), "MB/s")),
    );
    let stages = rounds.first().map_or(0, |round| round.stages.len());
    figures.extend((0..stages).map(|index| {
        let rate = of(&|round| round.stages[index].mb_a_second);
        Figure::new(format!("stage: {}", rounds[0].stages[index].name), rate, "MB/s")
    }));
    figures
}
