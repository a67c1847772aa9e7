//! `walship demo`: the whole system at work on one machine, and a verdict.
//!
//! It makes a fleet like the reference fleet in a scratch folder, lets real applications write to it, ships it with
//! `walship replicate`, follows it with `walapply follow`, kills each of the two in the middle of its work, restores
//! what the standby does not follow with `walapply restore`, and compares every database page by page. Nothing in it
//! is simulated: all parts are processes of their own, which meet only in the files.
//!
//! What must always hold: the exit code is 0 only if every database was compared and is equal, and no reader of the
//! standby saw anything wrong. Every wait has a limit.
//!
//! Whatever ends the demo, an error or SIGINT included, its processes are ended first and its folder is removed then
//! (unless the user named it): that is the order in which the values here are dropped. If the demo itself is killed,
//! the writers notice and end; the two programs go on until they are ended by hand.
//!
//! The demo opens databases through SQLite only, as any application does, and never in a process that captures.

pub mod application;
pub mod compare;
pub mod fleet;
pub mod folder;
pub mod latency;
pub mod process;
pub mod random;
pub mod readers;
pub mod schedule;
pub mod screen;
pub mod stage;
pub mod verdict;
pub mod view;
pub mod writer;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use console::{ExitCode, Failure, output};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use fleet::{DATABASES_MAX, Database};
use folder::Folder;
use latency::{Latency, Outage};
use stage::{Drained, Stage};
use verdict::{Databases, Different, Kills, Reads, Seconds, ShippedFigures, Verdict};

/// `walship demo`.
#[derive(Clone, Debug, Args)]
pub struct DemoArgs {
    /// Keep everything in this folder, which must be empty or new [default: a temporary one]
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Real sizes: 1 GB of databases, and about four times that on disk
    #[arg(long)]
    pub full: bool,
    /// How many databases [default: 69, the reference fleet]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=DATABASES_MAX as i64))]
    pub databases: Option<u32>,
    /// How long to write, after the first sync
    #[arg(long, value_name = "S", default_value_t = 12, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub seconds: u32,
}

/// Runs the demo and prints its verdict.
///
/// # Errors
/// When anything differs, anything fails, or the user interrupts it.
pub fn run(args: &DemoArgs, json: bool) -> Result<(), Failure> {
    let stop = stop_flag()?;
    let programs = Programs::find()?;
    let fleet = fleet_of(args)?;
    let folder = Folder::open(args.dir.as_deref())?;
    let mut clock = Laps::new();
    let mut stage = Stage::new(&folder, &fleet, &programs, &stop, json)?;
    stage.make()?;
    let mut seconds = Seconds { make: clock.lap(), ..Seconds::default() };
    stage.start()?;
    stage.wait_for_first_sync()?;
    seconds.first_sync = clock.lap();
    stage.live(Duration::from_secs(u64::from(args.seconds)))?;
    seconds.live = clock.lap();
    let drained = stage.drain()?;
    seconds.drain = clock.lap();
    stage.restore()?;
    let databases = compare(&folder, &fleet, &drained.counts, &stage)?;
    seconds.compare = clock.lap();
    seconds.total = clock.total();
    let mut verdict = judge(drained, databases, &stage);
    verdict.seconds = seconds;
    verdict.dir = folder.kept().map(|dir| dir.display().to_string());
    stage.clear();
    tell(&verdict, json)
}

fn stop_flag() -> Result<Arc<AtomicBool>, Failure> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGINT, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&stop))
            .map_err(|error| Failure::from_error(ExitCode::Failed, &error))?;
    }
    Ok(stop)
}

fn fleet_of(args: &DemoArgs) -> Result<Vec<Database>, Failure> {
    let count = args.databases.map_or_else(fleet::reference_count, |count| Ok(count as usize));
    count.and_then(|count| fleet::fleet(count, args.full)).map_err(|error| {
        Failure::new(ExitCode::Failed, format!("BUG: the table of the fleet: {error}"))
    })
}

/// The two programs.
#[derive(Clone, Debug)]
pub struct Programs {
    /// This one.
    pub walship: PathBuf,
    /// The other, which is installed beside it.
    pub walapply: PathBuf,
}

impl Programs {
    fn find() -> Result<Self, Failure> {
        let walship = std::env::current_exe().map_err(|error| {
            Failure::new(ExitCode::Failed, format!("cannot tell where this program is: {error}"))
        })?;
        Self::beside(walship)
    }

    fn beside(walship: PathBuf) -> Result<Self, Failure> {
        let walapply = walship.with_file_name("walapply");
        if walapply.is_file() {
            return Ok(Self { walship, walapply });
        }
        let is_release = walship.parent().is_some_and(|folder| folder.ends_with("release"));
        let profile = if is_release { " --release" } else { "" };
        let what = format!("the demo needs walapply, but {} is not there", walapply.display());
        Err(Failure::new(ExitCode::Failed, what)
            .hint(format!("build it: cargo build{profile} -p walapply")))
    }
}

/// Time from one mark to the next.
struct Laps {
    began: Instant,
    last: Instant,
}

impl Laps {
    fn new() -> Self {
        let now = Instant::now();
        Self { began: now, last: now }
    }

    fn lap(&mut self) -> f64 {
        let seconds = self.last.elapsed().as_secs_f64();
        self.last = Instant::now();
        seconds
    }

    fn total(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }
}

/// Compares all databases.
fn compare(
    folder: &Folder,
    fleet: &[Database],
    counts: &[u64],
    stage: &Stage<'_>,
) -> Result<Databases, Failure> {
    let files: Vec<(PathBuf, PathBuf)> =
        fleet.iter().map(|database| (folder.primary(database), folder.copy(database))).collect();
    let sides = files.iter().zip(fleet).zip(counts);
    let pairs: Vec<compare::Pair<'_>> =
        sides.map(|((files, database), count)| pair(files, database, *count)).collect();
    let results = compare::compare_all(&pairs, &|| !stage.is_interrupted());
    stage.fail_if_interrupted()?;
    Ok(summary(fleet, results))
}

fn pair<'a>(
    (primary, copy): &'a (PathBuf, PathBuf),
    database: &Database,
    transactions: u64,
) -> compare::Pair<'a> {
    compare::Pair { primary, copy, transactions, copy_must_exist: database.is_followed }
}

fn summary(fleet: &[Database], results: Vec<Result<compare::Equal, String>>) -> Databases {
    let followed = fleet.iter().filter(|database| database.is_followed).count();
    let mut databases = Databases {
        total: fleet.len(),
        followed,
        restored: fleet.len() - followed,
        ..Databases::default()
    };
    for (database, result) in fleet.iter().zip(results) {
        match result {
            Ok(equal) => {
                databases.equal += 1;
                databases.pages += equal.pages;
                databases.bytes += equal.bytes;
            }
            Err(why) => databases.different.push(Different {
                name: database.name.to_string(),
                tier: database.tier.clone(),
                why,
            }),
        }
    }
    databases
}

fn judge(drained: Drained, databases: Databases, stage: &Stage<'_>) -> Verdict {
    let seen = stage.seen();
    let probes = seen.probes();
    let gaps = stage.gaps().iter();
    let outages: Vec<Outage> =
        gaps.map(|gap| Outage::until_probe(gap.from, gap.again, &probes)).collect();
    let shipped = stage.shipped();
    Verdict {
        equal: databases.equal == databases.total && seen.wrong() == 0,
        databases,
        transactions: drained.counts.iter().sum(),
        writers: drained.writers,
        latency: Latency::undisturbed(&probes, &outages),
        latency_with_outages: Latency::of_all(&probes),
        shipped: ShippedFigures { bytes: shipped.bytes, objects: shipped.objects },
        kills: Kills { shipper: 1, follower: 1 },
        reads: Reads { whole: seen.whole(), wrong: seen.wrong(), findings: seen.findings() },
        ..Verdict::default()
    }
}

/// One document for machines in any case; the failure brings its own.
fn tell(verdict: &Verdict, json: bool) -> Result<(), Failure> {
    if verdict.equal || !json {
        output::print(json, verdict, || verdict.text())
            .map_err(|error| Failure::from_error(ExitCode::Failed, &error))?;
    }
    verdict.result()
}

/// The failure of a demo that was interrupted.
fn interrupted(stop: &AtomicBool) -> Result<(), Failure> {
    match stop.load(Ordering::Relaxed) {
        true => Err(Failure::new(ExitCode::Failed, "interrupted: nothing was proven")),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_is_told_with_the_command_that_builds_it() {
        let folder = tempfile::tempdir().unwrap();
        let release = folder.path().join("release");
        std::fs::create_dir(&release).unwrap();
        let failure = Programs::beside(release.join("walship")).unwrap_err();
        assert!(failure.to_string().ends_with("cargo build --release -p walapply"), "{failure}");
        std::fs::write(folder.path().join("walapply"), b"").unwrap();
        assert!(Programs::beside(folder.path().join("walship")).is_ok());
    }

    #[test]
    fn the_summary_counts_what_is_equal_and_names_the_rest() {
        let fleet = fleet::fleet(4, false).unwrap();
        let equal = compare::Equal { pages: 2, bytes: 8_192 };
        let results = vec![Ok(equal), Err("x".to_owned()), Ok(equal), Ok(equal)];
        let databases = summary(&fleet, results);
        assert_eq!((databases.total, databases.equal, databases.pages), (4, 3, 6));
        assert_eq!(databases.different[0].name, fleet[1].name.as_str());
        assert_eq!((databases.followed, databases.restored), (3, 1));
    }
}
