//! The demo's course: who is started, killed and ended when, and what each step waits for.
//!
//! Every step looks after all processes while it waits: one that ends by itself fails the demo at once, with its last
//! words. Steps wait for facts (a position, an exit), with a limit; only the time under load is a time.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use console::control::{Request, ask};
use console::{ExitCode, Failure};
use fleet_log::{Tail, find_tail};
use segment::{Millis, Seq};
use serde_json::Value;
use store::Store;
use store::clock::{Clock as _, SystemClock};
use store::settings::StoreSettings;

use super::fleet::{Content, Database};
use super::folder::{Folder, walapply_toml, walship_toml};
use super::process::{Process, WriterProcess};
use super::readers::{Readers, Seen};
use super::screen::Screen;
use super::view::{LogView, Row, Shipped, rows};
use super::writer::Orders;
use super::{Programs, application, interrupted};

/// Writer processes; each serves its share of the fleet.
const WRITERS: usize = 4;
/// How often everything is looked at.
const TICK: Duration = Duration::from_millis(50);
/// How often the programs are asked and the screen is redrawn.
const REFRESH: Duration = Duration::from_millis(500);
const ASK_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a killed program stays away.
const DOWNTIME: Duration = Duration::from_millis(500);
/// When the shipper and the follower are killed, as shares of the time under load.
const KILLS: [f64; 2] = [0.35, 0.65];
/// Limit of each wait; the real sizes take minutes on a slow disk.
const PATIENCE: Duration = Duration::from_secs(300);

/// A time in which something was away: when that began, and when it was started again.
#[derive(Clone, Copy, Debug)]
pub struct Gap {
    /// When it began.
    pub from: Millis,
    /// When everything was at work again.
    pub again: Millis,
}

/// What is known when everything is durable and applied.
#[derive(Clone, Debug)]
pub struct Drained {
    /// Committed transactions of each database.
    pub counts: Vec<u64>,
    /// Writer processes.
    pub writers: usize,
}

/// Everything that takes part.
pub struct Stage<'a> {
    folder: &'a Folder,
    fleet: &'a [Database],
    programs: &'a Programs,
    stop: &'a AtomicBool,
    shipper: Process,
    follower: Process,
    writers: Vec<WriterProcess>,
    readers: Option<Readers>,
    seen: Arc<Seen>,
    store: Arc<dyn Store>,
    log: LogView,
    screen: Screen,
    refreshed: Option<Instant>,
    shipper_status: Option<Value>,
    follower_status: Option<Value>,
    gaps: Vec<Gap>,
    began: Millis,
}

impl<'a> Stage<'a> {
    /// Writes the configurations; nothing is started.
    ///
    /// # Errors
    /// The file system's.
    pub fn new(
        folder: &'a Folder,
        fleet: &'a [Database],
        programs: &'a Programs,
        stop: &'a AtomicBool,
        is_silent: bool,
    ) -> Result<Self, Failure> {
        let walship = folder.write("walship.toml", walship_toml(fleet))?;
        let walapply = folder.write("walapply.toml", walapply_toml())?;
        let log_of = |name: &str| folder.path("logs").join(name);
        let replicate = ["replicate".into(), "-c".into(), walship.into_os_string()];
        let follow = ["follow".into(), "-c".into(), walapply.into_os_string()];
        let settings = StoreSettings::Local { path: folder.path("store") };
        Ok(Self {
            folder,
            fleet,
            programs,
            stop,
            shipper: Process::new("shipper", &programs.walship, replicate, log_of("walship.log")),
            follower: Process::new("follower", &programs.walapply, follow, log_of("walapply.log")),
            writers: Vec::new(),
            readers: None,
            seen: Arc::default(),
            store: store::settings::open(&settings, true)?,
            log: LogView::default(),
            screen: Screen::new(is_silent),
            refreshed: None,
            shipper_status: None,
            follower_status: None,
            gaps: Vec::new(),
            began: SystemClock.now(),
        })
    }

    /// Makes the databases.
    ///
    /// # Errors
    /// SQLite's, and the user's interruption.
    pub fn make(&mut self) -> Result<(), Failure> {
        let (fleet, folder, stop) = (self.fleet, self.folder, self.stop);
        for database in fleet {
            let path = folder.primary(database);
            application::make(&path, database.content, &|| !stop.load(Ordering::Relaxed)).map_err(
                |error| Failure::new(ExitCode::Failed, format!("{}: {error}", path.display())),
            )?;
            interrupted(stop)?;
        }
        self.screen.say(&format!("made {} databases", fleet.len()));
        Ok(())
    }

    /// Starts everybody: the fleet is live before the shipper first sees it.
    ///
    /// # Errors
    /// When a process cannot be started.
    pub fn start(&mut self) -> Result<(), Failure> {
        self.began = SystemClock.now();
        for number in 0..WRITERS.min(self.fleet.len()) {
            let writer = self.start_writer(number)?;
            self.writers.push(writer);
        }
        self.shipper.start()?;
        self.follower.start()?;
        let followed = self.fleet.iter().filter(|database| database.is_followed);
        let files = followed.map(|database| self.folder.copy(database)).collect();
        let probed = self.folder.copy(self.probed());
        self.readers = Some(Readers::start(probed, files, &self.seen)?);
        self.screen.say("writing, shipping, following");
        Ok(())
    }

    /// The database that gets the probes: one that is there from the beginning.
    fn probed(&self) -> &'a Database {
        let is_fit = |database: &&Database| {
            database.is_followed && matches!(database.content, Content::Bytes(_))
        };
        self.fleet.iter().find(is_fit).unwrap_or(&self.fleet[0])
    }

    fn start_writer(&self, number: usize) -> Result<WriterProcess, Failure> {
        let share: Vec<&Database> = self.fleet.iter().skip(number).step_by(WRITERS).collect();
        let order = |database: &&Database| (self.folder.primary(database), database.period());
        let orders = Orders {
            databases: share.iter().map(order).collect(),
            probe: (number == 0).then(|| self.folder.primary(self.probed())),
            seed: number as u64,
        };
        let text = serde_json::to_vec_pretty(&orders)
            .map_err(|error| Failure::from_error(ExitCode::Failed, &error))?;
        let path = self.folder.write(&format!("orders/writer-{number}.json"), text)?;
        let log = self.folder.path("logs").join(format!("writer-{number}.log"));
        let arguments = ["demo-writer".into(), path.into_os_string()];
        let process =
            Process::new(&format!("writer {number}"), &self.programs.walship, arguments, log);
        WriterProcess::start(process, share.len())
    }

    /// Waits until the standby has every database that it follows.
    ///
    /// # Errors
    /// When that takes too long or somebody ends.
    pub fn wait_for_first_sync(&mut self) -> Result<(), Failure> {
        let total = self.fleet.len();
        let followed = self.fleet.iter().filter(|database| database.is_followed).count();
        self.wait_until("the first sync", |stage| {
            let is_there = stage.shipper_status.as_ref().is_some_and(|it| is_based(it, total))
                && stage.follower_status.as_ref().is_some_and(|it| is_followed(it, followed));
            Ok(is_there && stage.seen.has_probe_since(stage.began))
        })?;
        self.gaps.push(Gap { from: self.began, again: SystemClock.now() });
        self.screen.say("first sync: the standby has every database it follows");
        Ok(())
    }

    /// Lets everything run for a while, and kills both programs on the way.
    ///
    /// # Errors
    /// When somebody ends without being asked to.
    pub fn live(&mut self, length: Duration) -> Result<(), Failure> {
        let began = Instant::now();
        self.run_until(began + length.mul_f64(KILLS[0]), "under load")?;
        self.kill_and_restart(|stage| &mut stage.shipper, "shipper")?;
        self.run_until(began + length.mul_f64(KILLS[1]), "under load, the shipper was killed")?;
        self.kill_and_restart(|stage| &mut stage.follower, "follower")?;
        self.run_until(began + length, "under load, both were killed")
    }

    fn kill_and_restart(
        &mut self,
        process: impl Fn(&mut Self) -> &mut Process,
        name: &str,
    ) -> Result<(), Failure> {
        let from = SystemClock.now();
        process(self).kill()?;
        self.screen.say(&format!("killed the {name} (kill -9)"));
        self.run_until(Instant::now() + DOWNTIME, &format!("the {name} is away"))?;
        process(self).start()?;
        self.gaps.push(Gap { from, again: SystemClock.now() });
        self.screen.say(&format!("started the {name} again"));
        Ok(())
    }

    /// Ends the writers, then the shipper (which flushes what is left), waits until the follower has applied all of
    /// it, and ends the follower.
    ///
    /// # Errors
    /// When any of that fails or takes too long.
    pub fn drain(&mut self) -> Result<Drained, Failure> {
        self.writers.iter_mut().for_each(WriterProcess::tell_to_end);
        self.wait_until("the end of the writers", |stage| all_ended(&mut stage.writers))?;
        self.shipper.ask_to_end()?;
        self.wait_until("the shipper's last flush", |stage| stage.shipper.has_ended())?;
        let end = self.end_of_log()?;
        self.screen
            .say(&format!("stopped the writers; everything is durable in {end} log objects"));
        self.wait_until("the follower", |stage| Ok(stage.applied() >= Some(end)))?;
        self.readers.iter_mut().try_for_each(Readers::stop)?;
        self.follower.ask_to_end()?;
        self.wait_until("the end of the follower", |stage| stage.follower.has_ended())?;
        self.screen.say("everything is applied; comparing");
        Ok(Drained { counts: self.counts(), writers: self.writers.len() })
    }

    fn end_of_log(&self) -> Result<Seq, Failure> {
        let tail = find_tail(&*self.store).map_err(|error| crate::replicate::failure(&error))?;
        match tail {
            Tail::At { position, .. } => position.last(),
            Tail::Empty { .. } => None,
        }
        .ok_or_else(|| Failure::new(ExitCode::Failed, "the log is empty"))
    }

    /// What the follower has applied of the log.
    fn applied(&self) -> Option<Seq> {
        self.follower_status.as_ref()?["seq"]["applied"].as_u64().and_then(Seq::new)
    }

    /// Restores the databases that the standby does not follow.
    ///
    /// # Errors
    /// When `walapply restore` fails or takes too long.
    pub fn restore(&mut self) -> Result<(), Failure> {
        let others = self.fleet.iter().filter(|database| !database.is_followed);
        let mut tiers: Vec<&str> = others.map(|database| database.tier.as_str()).collect();
        tiers.dedup();
        if tiers.is_empty() {
            return Ok(());
        }
        let output = self.folder.path("restored");
        std::fs::create_dir(&output).map_err(|error| {
            Failure::new(ExitCode::Failed, format!("cannot make {}: {error}", output.display()))
        })?;
        let (config, tiers) = (self.folder.path("walapply.toml"), PathBuf::from(tiers.join(",")));
        let words = [
            "restore".into(),
            "--all".into(),
            "-c".into(),
            config,
            "--tiers".into(),
            tiers,
            "-o".into(),
            output,
        ];
        let log = self.folder.path("logs").join("restore.log");
        let mut restore = Process::new("restore", &self.programs.walapply, words, log);
        restore.start()?;
        self.wait_until("the restore", |_| restore.has_ended())
    }

    /// What the readers of the standby have seen.
    #[must_use]
    pub fn seen(&self) -> &Seen {
        &self.seen
    }

    /// When something was away.
    #[must_use]
    pub fn gaps(&self) -> &[Gap] {
        &self.gaps
    }

    /// What was put into the store.
    #[must_use]
    pub fn shipped(&self) -> Shipped {
        self.log.total()
    }

    /// Takes the table off the screen.
    pub fn clear(&mut self) {
        self.screen.clear();
    }

    /// Whether the user wants no more.
    #[must_use]
    pub fn is_interrupted(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Fails if the user wants no more.
    ///
    /// # Errors
    /// Exactly then.
    pub fn fail_if_interrupted(&self) -> Result<(), Failure> {
        interrupted(self.stop)
    }

    fn run_until(&mut self, end: Instant, doing: &str) -> Result<(), Failure> {
        while Instant::now() < end {
            self.tick(doing)?;
        }
        Ok(())
    }

    fn wait_until(
        &mut self,
        what: &str,
        mut is_so: impl FnMut(&mut Self) -> Result<bool, Failure>,
    ) -> Result<(), Failure> {
        let deadline = Instant::now() + PATIENCE;
        let doing = format!("waiting for {what}");
        while !is_so(self)? {
            if Instant::now() > deadline {
                return Err(self.too_late(what));
            }
            self.tick(&doing)?;
        }
        Ok(())
    }

    fn too_late(&self, what: &str) -> Failure {
        let secs = PATIENCE.as_secs();
        let said = [&self.shipper, &self.follower].map(Process::last_words);
        Failure::new(
            ExitCode::Failed,
            format!(
                "waited {secs} seconds for {what} in vain. The shipper's last words:\n{}\n\
                 The follower's last words:\n{}",
                said[0], said[1]
            ),
        )
    }

    /// A short sleep, then a look at everything.
    fn tick(&mut self, doing: &str) -> Result<(), Failure> {
        std::thread::sleep(TICK);
        interrupted(self.stop)?;
        self.shipper.check()?;
        self.follower.check()?;
        self.writers.iter_mut().try_for_each(WriterProcess::check)?;
        if self.refreshed.is_none_or(|at| at.elapsed() >= REFRESH) {
            self.refreshed = Some(Instant::now());
            self.refresh(doing)?;
        }
        Ok(())
    }

    fn refresh(&mut self, doing: &str) -> Result<(), Failure> {
        self.shipper_status = self.status("walship");
        self.follower_status = self.status("walapply");
        self.log.advance(&*self.store).map_err(|error| crate::replicate::failure(&error))?;
        let rows = self.rows();
        self.screen.show(&rows, doing);
        Ok(())
    }

    /// A program that is away or starting has nothing to say.
    fn status(&self, state_dir: &str) -> Option<Value> {
        ask(&self.folder.path(state_dir), &Request::new("status"), ASK_TIMEOUT).ok()
    }

    fn rows(&self) -> Vec<Row> {
        let (shipper, follower) = (self.shipper_status.as_ref(), self.follower_status.as_ref());
        rows(self.fleet, &self.counts(), shipper, follower, &self.log)
    }

    /// The writers' counts in the order of the fleet.
    fn counts(&self) -> Vec<u64> {
        let told: Vec<Vec<u64>> = self.writers.iter().map(WriterProcess::counts).collect();
        let of = |index: usize| told.get(index % WRITERS)?.get(index / WRITERS).copied();
        (0..self.fleet.len()).map(|index| of(index).unwrap_or(0)).collect()
    }
}

fn all_ended(writers: &mut [WriterProcess]) -> Result<bool, Failure> {
    writers.iter_mut().try_fold(true, |all, writer| Ok(writer.has_ended()? && all))
}

fn states(status: &Value) -> impl Iterator<Item = &str> {
    let databases = status["databases"].as_array().into_iter().flatten();
    databases.map(|database| database["state"].as_str().unwrap_or_default())
}

/// The shipper has looked at all databases, and each has its base.
fn is_based(status: &Value, total: usize) -> bool {
    states(status).count() == total
        && states(status).all(|state| !["starting", "first upload"].contains(&state))
}

/// The follower has all databases, and each is where the log is.
fn is_followed(status: &Value, followed: usize) -> bool {
    states(status).count() >= followed
        && states(status).all(|state| ["live", "empty", "missing"].contains(&state))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn status(states: &[&str]) -> Value {
        let databases: Vec<Value> = states.iter().map(|state| json!({ "state": state })).collect();
        json!({ "databases": databases })
    }

    #[test]
    fn the_first_sync_is_over_when_both_sides_say_so() {
        assert!(is_based(&status(&["live", "missing"]), 2));
        assert!(!is_based(&status(&["live", "first upload"]), 2));
        assert!(!is_based(&status(&["live"]), 2));
        assert!(!is_based(&json!({}), 1));
        assert!(is_followed(&status(&["live", "empty", "missing"]), 3));
        assert!(!is_followed(&status(&["live", "healing"]), 2));
        assert!(!is_followed(&status(&["live"]), 2));
    }
}
