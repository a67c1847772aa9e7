//! From commit to readable on the standby, by probes; and to durable, by what the shipper says of itself.
//!
//! A probe is a row that holds the time before its commit; another process looks for it on the standby every 2 ms. It
//! is written about every 100 ms into several databases, beside the fleet's stress load.

use std::time::{Duration, Instant};

use console::Failure;
use console::output::bytes;
use serde_json::Value;
use store::clock::{Clock as _, SystemClock};

use crate::cli::LatencyArgs;
use crate::files::sync_time;
use crate::process::Process;
use crate::report::{Figure, Report};
use crate::statistics::Spread;
use crate::usage;
use crate::work::{Orders, Probe, Worker, start_fleet};
use crate::world::{Scratch, World, notes, reference_fleet};

/// After everything is uploaded and followed, before anything counts.
const SETTLE: Duration = Duration::from_secs(3);
/// A probe that was committed before the end of the measured time has this long to arrive.
const LAST_PROBES: Duration = Duration::from_secs(3);
const STATUS_INTERVAL: Duration = Duration::from_millis(97);
const PROBED: usize = 5;

/// One pair of intervals, with what is promised for it.
struct Setting {
    name: &'static str,
    interval: &'static str,
    interval_ms: f64,
    p50_ms_max: Option<f64>,
    p99_ms_max: f64,
}

const SETTINGS: [Setting; 2] = [
    Setting {
        name: "1s",
        interval: "1s",
        interval_ms: 1_000.0,
        p50_ms_max: Some(800.0),
        p99_ms_max: 2_000.0,
    },
    Setting {
        name: "50ms",
        interval: "50ms",
        interval_ms: 50.0,
        p50_ms_max: None,
        p99_ms_max: 250.0,
    },
];

pub(crate) fn run(args: &LatencyArgs) -> Result<Report, Failure> {
    let scratch = Scratch::open(&args.place)?;
    let mut figures = Vec::new();
    for setting in &SETTINGS {
        figures.extend(measure(&scratch, args, setting)?);
    }
    let fsync = sync_time(scratch.path())?.as_secs_f64() * 1e3;
    figures.push(Figure::new("for comparison: append of 4 KiB with fsync, median", fsync, "ms"));
    let sizes = if args.fleet.full { "real" } else { "small" };
    Ok(Report {
        bench: "latency",
        machine: scratch.machine.clone(),
        setup: format!(
            "{} databases of {sizes} sizes under the stress load, {} s for each setting",
            args.fleet.databases, args.seconds
        ),
        figures,
        notes: [
            vec![
                "1s, 50ms: sync_interval and poll_interval; a commit waits half an interval on average by design".into(),
                "durable: the age of the oldest commit of the fleet that is not durable, looked at every 97 ms".into(),
            ],
            notes(),
        ]
        .concat(),
    })
}

fn measure(
    scratch: &Scratch,
    args: &LatencyArgs,
    setting: &Setting,
) -> Result<Vec<Figure>, Failure> {
    let mut fleet = reference_fleet(args.fleet)?;
    for database in fleet.iter_mut().filter(|database| database.sync_interval == "1s") {
        database.sync_interval = setting.interval.to_owned();
    }
    let world = scratch.world(setting.name, fleet)?;
    world.configure(setting.interval)?;
    let probed = probed(&world, setting.interval);
    let writers = start_fleet(&world, &probed)?;
    let mut shipper = world.ship(None)?;
    world.wait_shipping(&mut shipper)?;
    let mut follower = world.follow()?;
    world.wait_following(&mut follower)?;
    let paths = probed.iter().map(|&index| world.standby(&world.fleet[index])).collect();
    let watcher = Worker::start(&world, "watcher", &Orders::Watch { paths })?;
    std::thread::sleep(SETTLE);
    let seen = observe(&world, &mut [&mut shipper, &mut follower], args.seconds)?;
    std::thread::sleep(LAST_PROBES);
    let probes: Vec<Probe> = watcher.finish()?;
    writers.into_iter().try_for_each(|writer| writer.finish::<Vec<(u64, u32)>>().map(drop))?;
    Ok(figures(setting, &seen, &waited(&probes, &seen), &probed))
}

/// Followed databases that are flushed in the shortest interval, spread over the fleet and its tiers.
fn probed(world: &World, interval: &str) -> Vec<usize> {
    let is_fit = |&index: &usize| {
        let database = &world.fleet[index];
        database.is_followed && database.sync_interval == interval
    };
    let fit: Vec<usize> = (0..world.fleet.len()).filter(is_fit).collect();
    fit.iter().step_by((fit.len() / PROBED).max(1)).take(PROBED).copied().collect()
}

/// What was seen from outside in the measured time.
struct Seen {
    from: u64,
    until: u64,
    /// RPO of the fleet, in milliseconds.
    rpo: Vec<f64>,
    /// Share of one processor, and largest resident memory, of shipper and follower.
    usage: Vec<(Option<f64>, Option<u64>)>,
}

fn observe(world: &World, programs: &mut [&mut Process; 2], seconds: u32) -> Result<Seen, Failure> {
    let time = Duration::from_secs(u64::from(seconds));
    let (from, began) = (SystemClock.now().get(), Instant::now());
    let used = programs.each_ref().map(|program| usage::processor_seconds(program.pid()));
    let mut rpo = Vec::new();
    while began.elapsed() < time {
        rpo.extend(world.status("walship").as_ref().and_then(fleet_rpo_ms));
        programs.iter_mut().try_for_each(|program| program.check())?;
        std::thread::sleep(STATUS_INTERVAL);
    }
    let elapsed = began.elapsed().as_secs_f64();
    let share = |(program, before): (&&mut Process, Option<f64>)| {
        let used = usage::processor_seconds(program.pid()).zip(before);
        (
            used.map(|(after, before)| (after - before) / elapsed),
            usage::resident_bytes_max(program.pid()),
        )
    };
    let usage = programs.iter().zip(used).map(share).collect();
    Ok(Seen { from, until: SystemClock.now().get(), rpo, usage })
}

fn fleet_rpo_ms(status: &Value) -> Option<f64> {
    let databases = status["databases"].as_array()?;
    databases
        .iter()
        .filter_map(|database| database["rpo_seconds"].as_f64())
        .reduce(f64::max)
        .map(|s| s * 1e3)
}

/// The wait of every probe of the measured time, by database.
fn waited(probes: &[Probe], seen: &Seen) -> Vec<Vec<f64>> {
    let mut waited = vec![Vec::new(); PROBED];
    for &(index, committed, readable) in probes {
        if (seen.from..seen.until).contains(&committed) {
            #[expect(clippy::cast_precision_loss, reason = "milliseconds")]
            waited[index].push(readable.saturating_sub(committed) as f64);
        }
    }
    waited
}

fn figures(setting: &Setting, seen: &Seen, waited: &[Vec<f64>], probed: &[usize]) -> Vec<Figure> {
    let all = Spread::of(waited.concat());
    let slowest = waited.iter().map(|one| Spread::of(one.clone()).p99).fold(0.0, f64::max);
    let rpo = Spread::of(seen.rpo.clone());
    let named = |what: &str, value: f64| {
        let what = format!("{}: {what}", setting.name);
        Figure::new(what, value, "ms").against("interval", setting.interval_ms)
    };
    let p50 = named("commit to readable, p50", all.p50);
    let mut figures = vec![
        match setting.p50_ms_max {
            Some(limit) => p50.at_most(limit),
            None => p50,
        },
        named("commit to readable, p99", all.p99).at_most(setting.p99_ms_max),
        named("commit to readable, max", all.max),
        named(&format!("the same, p99 of the slowest of {} databases", probed.len()), slowest),
        Figure::new(format!("{}: probes", setting.name), all.count as f64, ""),
        named("commit to durable (RPO of the fleet), p50", rpo.p50),
        named("commit to durable (RPO of the fleet), p99", rpo.p99),
    ];
    for (program, (share, memory)) in ["shipper", "follower"].iter().zip(&seen.usage) {
        let memory = memory.map_or_else(|| "?".to_owned(), bytes);
        let what = format!("{}: {program}, share of a core (memory {memory})", setting.name);
        figures.extend(share.map(|share| Figure::new(what, share * 100.0, "%")));
    }
    figures
}
