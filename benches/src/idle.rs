//! What idle databases cost: processor time, memory, descriptors, and requests to the store.

use std::time::Duration;

use console::Failure;
use walship::demo::fleet::{Content, Database};

use crate::cli::IdleArgs;
use crate::files::{self, Size};
use crate::process::Process;
use crate::report::{Figure, Report};
use crate::trace::{self, Requests};
use crate::usage::{self, Descriptors};
use crate::world::{Scratch, World, notes, single};

/// After the last upload, before anything counts: caches are written, the follower slows down.
const SETTLE: Duration = Duration::from_secs(5);
const DATABASE_BYTES: u64 = 64 << 10;
/// For each hundred databases.
const SHARE_MAX_PERCENT: f64 = 0.1;
/// With up to a hundred databases.
const RESIDENT_MB_MAX: f64 = 40.0;
/// For each further one.
const RESIDENT_MB_EACH_MAX: f64 = 0.1;
const DESCRIPTORS_MAX: f64 = 4.0;

pub(crate) fn run(args: &IdleArgs) -> Result<Report, Failure> {
    let scratch = Scratch::open(&args.place)?;
    let make = |number| single(&format!("idle-{number:04}"), Content::Bytes(DATABASE_BYTES));
    let fleet: Vec<Database> = (0..args.databases).map(make).collect::<Result<_, _>>()?;
    let world = scratch.world("idle", fleet)?;
    let mut shipper = world.ship(None)?;
    world.wait_shipping(&mut shipper)?;
    let mut follower = world.follow()?;
    world.wait_following(&mut follower)?;
    std::thread::sleep(SETTLE);
    let idle = observe(&world, args, &mut [&mut shipper, &mut follower])?;
    Ok(Report {
        bench: "idle",
        machine: scratch.machine.clone(),
        setup: format!("{} idle databases of 64 KiB, {} s", args.databases, args.seconds),
        figures: figures(&idle, args),
        notes: [remarks(&idle), notes()].concat(),
    })
}

/// Of one program.
struct Cost {
    percent: Option<f64>,
    resident: Option<u64>,
    descriptors: Option<Descriptors>,
    requests: Option<Requests>,
}

/// Of both, shipper first.
struct Idle {
    costs: [Cost; 2],
    written: Size,
}

/// What so many idle databases may cost the shipper.
struct Budget {
    percent: f64,
    resident_mb: f64,
}

impl Budget {
    fn of(databases: u32) -> Self {
        let (hundreds, further) = (f64::from(databases) / 100.0, databases.saturating_sub(100));
        Self {
            percent: SHARE_MAX_PERCENT * hundreds.max(1.0),
            resident_mb: RESIDENT_MB_MAX + RESIDENT_MB_EACH_MAX * f64::from(further),
        }
    }
}

fn observe(
    world: &World,
    args: &IdleArgs,
    programs: &mut [&mut Process; 2],
) -> Result<Idle, Failure> {
    let store = world.path("store");
    let before = files::size(&store);
    let percents = shares(programs, args.seconds)?;
    let folders = [world.path("primary"), world.path("standby")];
    let mut costs = Vec::new();
    for ((program, folder), percent) in programs.iter().zip(folders).zip(percents) {
        let log = world.path(&format!("logs/strace-{}", program.pid()));
        let time = Duration::from_secs(u64::from(args.trace_seconds));
        costs.push(Cost {
            percent,
            resident: usage::resident_bytes(program.pid()),
            descriptors: usage::descriptors(program.pid(), &folder),
            requests: trace::requests(program.pid(), &store, time, &log),
        });
    }
    programs.iter_mut().try_for_each(|program| program.check())?;
    let costs = costs.try_into().unwrap_or_else(|_| panic!("BUG: one cost for each program"));
    Ok(Idle { costs, written: files::size(&store).since(before) })
}

fn shares(programs: &[&mut Process; 2], seconds: u32) -> Result<[Option<f64>; 2], Failure> {
    let used = || programs.each_ref().map(|program| usage::processor_seconds(program.pid()));
    let before = used();
    std::thread::sleep(Duration::from_secs(u64::from(seconds)));
    let after = used();
    let percent =
        |index: usize| Some((after[index]? - before[index]?) / f64::from(seconds) * 100.0);
    Ok([percent(0), percent(1)])
}

fn figures(idle: &Idle, args: &IdleArgs) -> Vec<Figure> {
    let [shipper, follower] = &idle.costs;
    let mut figures = Vec::new();
    let percent = |cost: &Cost, name: &str| {
        Some(Figure::new(format!("{name}: share of a core"), cost.percent?, "%"))
    };
    let budget = Budget::of(args.databases);
    figures.extend(percent(shipper, "shipper").map(|figure| figure.at_most(budget.percent)));
    figures.extend(memory(shipper, "shipper").map(|figure| figure.at_most(budget.resident_mb)));
    figures.extend(descriptors(shipper, "shipper", args));
    figures.push(Figure::new("store: objects written", idle.written.files as f64, "").at_most(0.0));
    figures.extend(lists(shipper, "shipper").map(|figure| figure.at_most(0.0)));
    figures.extend(percent(follower, "follower"));
    figures.extend(memory(follower, "follower"));
    figures.extend(descriptors(follower, "follower", args));
    figures.extend(lists(follower, "follower"));
    figures.extend(follower.requests.map(|requests| {
        let rate = requests.gets as f64 * 60.0 / f64::from(args.trace_seconds);
        Figure::new("follower: GETs a minute", rate, "")
    }));
    figures
}

fn memory(cost: &Cost, name: &str) -> Option<Figure> {
    Some(Figure::new(format!("{name}: resident memory"), cost.resident? as f64 / 1e6, "MB"))
}

fn descriptors(cost: &Cost, name: &str, args: &IdleArgs) -> Vec<Figure> {
    let Some(open) = cost.descriptors else { return Vec::new() };
    let most = open.of_a_database as f64;
    vec![
        Figure::new(format!("{name}: descriptors of one database, at most"), most, "")
            .at_most(DESCRIPTORS_MAX),
        Figure::new(format!("{name}: of these on its main file"), open.on_its_file as f64, ""),
        Figure::new(format!("{name}: descriptors in all"), open.total as f64, "")
            .against("databases", f64::from(args.databases)),
    ]
}

fn lists(cost: &Cost, name: &str) -> Option<Figure> {
    Some(Figure::new(
        format!("{name}: store LISTs in {name}'s trace"),
        cost.requests?.lists as f64,
        "",
    ))
}

fn remarks(idle: &Idle) -> Vec<String> {
    let untraced = idle.costs.iter().any(|cost| cost.requests.is_none());
    let missing =
        "strace is missing or not allowed: requests to the store were not counted".to_owned();
    if untraced { vec![missing] } else { Vec::new() }
}
