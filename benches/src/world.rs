//! The world of one measurement: a scratch folder with databases, store and configurations, and the two programs.
//!
//! Fleet, databases and folder are those of `walship demo`: figures and demo speak of the same load.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use console::Failure;
use console::control::{Request, ask};
use segment::Name;
use serde_json::Value;
use tempfile::TempDir;
use walship::demo::application;
use walship::demo::fleet::{Content, Database, fleet};
use walship::demo::folder::{Folder, walapply_toml, walship_toml};

use crate::cli::{FleetArgs, PlaceArgs};
use crate::failed;
use crate::machine::Machine;
use crate::process::Process;
use crate::programs::Programs;

/// The longest that anything may take that is not measured for a given time.
pub(crate) const LONG: Duration = Duration::from_secs(600);
const LOOK_INTERVAL: Duration = Duration::from_millis(5);
const PATIENCE: Duration = Duration::from_secs(5);

/// The folder of a run, removed with it; worlds are made in it.
pub(crate) struct Scratch {
    root: TempDir,
    programs: Programs,
    /// What the figures are taken on.
    pub(crate) machine: Machine,
}

impl Scratch {
    /// Makes it, and finds the programs.
    pub(crate) fn open(place: &PlaceArgs) -> Result<Self, Failure> {
        let dir = place.dir.clone().unwrap_or_else(std::env::temp_dir);
        let programs = Programs::find()?;
        let root = tempfile::Builder::new().prefix("walship-bench-").tempdir_in(&dir);
        let root = root.map_err(|error| failed(format!("{}: {error}", dir.display())))?;
        let machine = Machine::here(root.path());
        Ok(Self { root, programs, machine })
    }

    /// Its path.
    pub(crate) fn path(&self) -> &Path {
        self.root.path()
    }

    /// Makes the databases of a world.
    pub(crate) fn world(&self, name: &str, fleet: Vec<Database>) -> Result<World, Failure> {
        let folder = Folder::open(Some(&self.root.path().join(name)))?;
        let world = World { folder, fleet, programs: self.programs.clone() };
        for database in &world.fleet {
            application::make(&world.primary(database), database.content, &|| true)
                .map_err(failed)?;
        }
        world.configure("1s")?;
        Ok(world)
    }
}

/// Notes that belong to every report.
pub(crate) fn notes() -> Vec<String> {
    let unoptimised = "built without --release: these figures say nothing".to_owned();
    if Programs::are_optimised() { Vec::new() } else { vec![unoptimised] }
}

/// The reference fleet, or as much of it as is asked for.
pub(crate) fn reference_fleet(args: FleetArgs) -> Result<Vec<Database>, Failure> {
    fleet(args.databases as usize, args.full).map_err(failed)
}

/// A database that no fleet has.
pub(crate) fn single(name: &str, content: Content) -> Result<Database, Failure> {
    let name = Name::parse(name).map_err(|error| failed(error.to_string()))?;
    Ok(Database {
        name,
        tier: "p0-critical".to_owned(),
        content,
        sync_interval: "1s".to_owned(),
        is_followed: true,
        rate: 1.0,
    })
}

/// Databases, store, standby and configurations.
pub(crate) struct World {
    folder: Folder,
    /// The databases.
    pub(crate) fleet: Vec<Database>,
    programs: Programs,
}

impl World {
    /// Writes both configurations; the shortest `sync_interval` of the fleet stands in the fleet.
    pub(crate) fn configure(&self, poll_interval: &str) -> Result<(), Failure> {
        self.folder.write("walship.toml", walship_toml(&self.fleet))?;
        let poll = format!("poll_interval = \"{poll_interval}\"\n");
        self.folder.write("walapply.toml", walapply_toml() + &poll)?;
        Ok(())
    }

    /// A path in its folder.
    pub(crate) fn path(&self, part: &str) -> PathBuf {
        self.folder.path(part)
    }

    /// The live file of a database.
    pub(crate) fn primary(&self, database: &Database) -> PathBuf {
        self.folder.primary(database)
    }

    /// The file of a database on the standby.
    pub(crate) fn standby(&self, database: &Database) -> PathBuf {
        self.folder.copy(database)
    }

    /// Writes a file.
    pub(crate) fn write(&self, part: &str, text: impl AsRef<[u8]>) -> Result<PathBuf, Failure> {
        self.folder.write(part, text)
    }

    /// Starts the shipper, on one processor only if `core` is given.
    pub(crate) fn ship(&self, core: Option<usize>) -> Result<Process, Failure> {
        self.start(&self.programs.walship, "replicate", core, &[])
    }

    /// Ships everything there is; how long that took.
    pub(crate) fn ship_once(&self) -> Result<Duration, Failure> {
        let began = Instant::now();
        self.start(&self.programs.walship, "replicate", None, &["--once"])?.wait(LONG)?;
        Ok(began.elapsed())
    }

    /// Starts the follower.
    pub(crate) fn follow(&self) -> Result<Process, Failure> {
        self.start(&self.programs.walapply, "follow", None, &[])
    }

    /// Restores; how long that took.
    pub(crate) fn restore(&self, arguments: &[&str]) -> Result<Duration, Failure> {
        let began = Instant::now();
        self.start(&self.programs.walapply, "restore", None, arguments)?.wait(LONG)?;
        Ok(began.elapsed())
    }

    fn start(
        &self,
        program: &Path,
        command: &str,
        core: Option<usize>,
        more: &[&str],
    ) -> Result<Process, Failure> {
        let name = program.file_name().unwrap_or_default().to_string_lossy();
        let config = self.path(&format!("{name}.toml")).display().to_string();
        let arguments = [&[command, "-c", &config], more].concat();
        Process::start(program, arguments, core, &self.path(&format!("logs/{name}.log")))
    }

    /// What a running program (`walship` or `walapply`) says of itself; nothing while it starts.
    pub(crate) fn status(&self, program: &str) -> Option<Value> {
        ask(&self.path(program), &Request::new("status"), PATIENCE).ok()
    }

    /// Waits until a program says what is wanted.
    pub(crate) fn wait_until(
        &self,
        process: &mut Process,
        program: &str,
        what: &str,
        is_so: &dyn Fn(&Value) -> bool,
    ) -> Result<(), Failure> {
        let deadline = Instant::now() + LONG;
        while !self.status(program).as_ref().is_some_and(is_so) {
            process.check()?;
            if Instant::now() > deadline {
                return Err(failed(format!("{program} never reached: {what}")));
            }
            std::thread::sleep(LOOK_INTERVAL);
        }
        Ok(())
    }

    /// Waits until the shipper has uploaded every database once.
    pub(crate) fn wait_shipping(&self, shipper: &mut Process) -> Result<(), Failure> {
        self.wait_until(shipper, "walship", "all databases uploaded", &|status| {
            every_database(status, |database| {
                let state = database["state"].as_str().unwrap_or_default();
                matches!(state, "live" | "missing" | "empty")
            })
        })
    }

    /// Waits until nothing is left to apply for the follower.
    pub(crate) fn wait_following(&self, follower: &mut Process) -> Result<(), Failure> {
        self.wait_until(follower, "walapply", "all databases followed", &|status| {
            let durable = status["seq"]["durable"].as_u64();
            durable.is_some() && durable == status["seq"]["applied"].as_u64()
        })
    }
}

fn every_database(status: &Value, is_so: impl Fn(&Value) -> bool) -> bool {
    let databases = status["databases"].as_array();
    databases.is_some_and(|databases| !databases.is_empty() && databases.iter().all(is_so))
}
