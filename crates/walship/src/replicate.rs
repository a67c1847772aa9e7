//! `walship replicate`: puts the parts together and runs them until it is told to stop or is fenced.
//!
//! Threads: this one flushes; one glances at databases; one makes bases; the pool captures; one serves the
//! control socket. Only this one appends to the log.
//!
//! When told to stop: capture once more, flush, and end with success only if that is durable.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use console::config::{Homes, Taken, WalshipConfig};
use console::control::Server;
use console::state_dir::StateDir;
use console::{ExitCode, Failure};
use fleet_log::LogError;
use store::clock::Clock;
use store::{Counted, Store};
use tiering::{FlushDecision, flush_due};

use crate::base::Author;
use crate::bases::{BaseMaker, Numbers};
use crate::closing::{self, Closing};
use crate::fleet::Fleet;
use crate::flush::Flusher;
use crate::keep::Keeper;
use crate::member::{Member, Report};
use crate::memory::{self, Memory};
use crate::overdue::Overdue;
use crate::ownership::Owned;
use crate::roster::{self, Roster};
use crate::seen::Seen;
use crate::shipped::HashCache;
use crate::snapshot;
use crate::sqlite;
use crate::status::{Board, CountedStore, Progress, Status};
use crate::watch::Watch;

/// How often the configuration's patterns are looked through.
const DISCOVER_INTERVAL: Duration = Duration::from_secs(5);
/// How often a quiet log is checked for a successor and for credentials.
const OWNER_INTERVAL: Duration = Duration::from_secs(30);
/// Pause after the store failed, and its longest.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(10));
/// How long the last flush may take.
/// launchd ends a program 20 s after it asked it to end.
const FINAL_FLUSH: Duration = Duration::from_secs(15);
/// How long `once` waits for bases that nothing depends on yet.
const LATER_BASES: Duration = Duration::from_secs(600);
/// Pause between two looks at what is under way.
const PAUSE: Duration = Duration::from_millis(20);

/// How to run.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Ship everything there is, then end.
    pub once: bool,
}

/// Runs until `stop` is set, the log is lost to another owner, or, with `once`, everything is shipped.
/// Whoever sets `stop` unparks the thread that called this. Returns how things stood at the end.
///
/// # Errors
/// With the exit code that the situation has.
pub fn replicate(
    config: &WalshipConfig,
    options: Options,
    clock: Arc<dyn Clock>,
    stop: &Arc<AtomicBool>,
) -> Result<Status, Failure> {
    sqlite::assert_library().map_err(|why| Failure::new(ExitCode::Failed, why))?;
    let state_dir = StateDir::lock(&config.state_dir, "walship")?;
    let found = console::config::discover(config, &Homes::new());
    roster::reserve_descriptors(found.databases.len())?;
    if let Some(seen) = Seen::load(state_dir.path()) {
        seen.check(config)?;
    }
    let store = Arc::new(Counted::new(open_store(config)?));
    let counted: Arc<dyn Store> = Arc::clone(&store) as Arc<dyn Store>;
    let owned = Owned::take(config, counted, config.node()?, &*clock).map_err(|e| failure(&e))?;
    let Author { node, epoch, .. } = &owned.author;
    tracing::info!(fleet = %config.fleet, %node, %epoch, "owns the log");
    let mut running = Running::start(config, &state_dir, owned, store, clock, stop)?;
    let _server = serve(&state_dir, &running.board)?;
    let result = running.run(config, options).map(|()| running.status());
    running.end();
    result
}

fn open_store(config: &WalshipConfig) -> Result<Arc<dyn Store>, Failure> {
    store::settings::open(&config.store, true)
        .map_err(|error| Failure::from_error(error.class().into(), &error))
}

fn serve(state_dir: &StateDir, board: &Arc<Board>) -> Result<Server, Failure> {
    let board = Arc::clone(board);
    let answer = move |request: console::control::Request| match request.command.as_str() {
        "status" => serde_json::to_value(board.status())
            .unwrap_or_else(|error| console::control::refusal(&error.to_string())),
        "snapshot" => snapshot::answer(&board, &request),
        other => console::control::refusal(&format!("`{other}` is not a command of walship")),
    };
    Server::start(state_dir, answer).map_err(|error| {
        Failure::from_error(ExitCode::Failed, &error).hint("the control socket lives in state_dir")
    })
}

/// A failure that a [`LogError`] ends the program with.
#[must_use]
pub fn failure(error: &LogError) -> Failure {
    let failure = Failure::from_error(ExitCode::from_number(error.exit_code()), error);
    match error {
        LogError::Fenced { .. } | LogError::Superseded { .. } => failure
            .hint("`walship status` on the owner's host shows it; if the owner is this host's own node, look for a second process or a clone of this host"),
        LogError::WrongFleet { .. } => {
            failure.hint("correct `fleet` or `[store]` in the configuration")
        }
        LogError::Corrupt { .. } | LogError::Missing { .. } => failure
            .hint("bring the object back from a copy of the store and start again; where there is no copy, and no other host took the log over, move the object and log.json in state_dir aside: what it held is captured anew"),
        _ => failure.hint("`walapply verify -c FILE` tells what the store holds"),
    }
}

struct Running {
    fleet: Arc<Fleet>,
    roster: Roster,
    flusher: Flusher,
    keeper: Keeper,
    overdue: Overdue,
    board: Arc<Board>,
    clock: Arc<dyn Clock>,
    stop: Arc<AtomicBool>,
    halt: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    heartbeat_interval: Duration,
    last_discovery: Instant,
    last_owner_check: Instant,
    backoff: Duration,
    retry_at: Option<Instant>,
}

impl Running {
    fn start(
        config: &WalshipConfig,
        state_dir: &StateDir,
        owned: Owned,
        counted: CountedStore,
        clock: Arc<dyn Clock>,
        stop: &Arc<AtomicBool>,
    ) -> Result<Self, Failure> {
        let io = |error: std::io::Error| Failure::from_error(ExitCode::Failed, &error);
        let (spool, cache) = folders(state_dir.path()).map_err(io)?;
        let fleet = Arc::new(Fleet::new(Arc::clone(&clock)));
        let memory = Memory::load(&state_dir.file(memory::FILE));
        let store = Arc::clone(&owned.store);
        let mut roster = Roster::new(Arc::clone(&fleet), store, cache.clone(), memory);
        roster.refresh(config, &owned.catalogue);
        let board = Arc::new(board(config, &owned.author, &fleet, counted, &clock));
        let fleet_id = owned.author.fleet;
        let numbers = Arc::new(Numbers::default());
        let maker = BaseMaker::new(&fleet, &owned, spool, &numbers);
        let flusher = Flusher::new(Arc::clone(&fleet), owned, Arc::clone(&clock), numbers);
        let halt = Arc::new(AtomicBool::new(false));
        let threads = vec![
            spawn("watch", &fleet, &halt, |fleet, halt| Watch::new(Arc::clone(fleet)).run(halt))?,
            spawn("bases", &Arc::new(maker), &halt, |maker, halt| maker.run(halt))?,
        ];
        Ok(Self {
            keeper: Keeper::new(Arc::clone(&fleet), cache, state_dir.path(), fleet_id),
            overdue: Overdue::default(),
            fleet,
            roster,
            flusher,
            board,
            clock,
            stop: Arc::clone(stop),
            halt,
            threads,
            heartbeat_interval: config.heartbeat_interval,
            last_discovery: Instant::now(),
            last_owner_check: Instant::now(),
            backoff: BACKOFF.0,
            retry_at: None,
        })
    }

    fn run(&mut self, config: &WalshipConfig, options: Options) -> Result<(), Failure> {
        while !self.stop.load(Ordering::Relaxed) {
            if options.once {
                if self.is_attached() {
                    break;
                }
                std::thread::sleep(PAUSE);
            } else {
                self.sleep_to_instant();
            }
            self.tick(config)?;
        }
        self.finish(options.once)
    }

    /// Everything that happens at one instant of the grid.
    fn tick(&mut self, config: &WalshipConfig) -> Result<(), Failure> {
        if self.last_discovery.elapsed() >= DISCOVER_INTERVAL {
            self.last_discovery = Instant::now();
            self.roster.refresh(config, self.flusher.catalogue());
        }
        self.overdue.warn_now_and_then(&self.board);
        self.flusher.look_for_unread(Instant::now());
        if self.retry_at.is_some_and(|at| Instant::now() < at) {
            return Ok(());
        }
        let heartbeat = self.flusher.quiet_for() >= self.heartbeat_interval;
        let result = if heartbeat || self.flusher.has_news() || self.is_flush_due() {
            // What is on its way to the store counts as not durable from here on.
            self.flusher.seal(heartbeat);
            self.publish();
            self.flusher.send_sealed().map(drop)
        } else {
            self.check_owner()
        };
        self.note(result)?;
        self.keeper.keep_now_and_then(self.flusher.durable());
        Ok(())
    }

    fn is_flush_due(&self) -> bool {
        flush_due(self.flusher.grid(), self.fleet.dirty(), self.clock.now()) == FlushDecision::Now
    }

    fn check_owner(&mut self) -> Result<(), LogError> {
        if self.last_owner_check.elapsed() < OWNER_INTERVAL
            || self.flusher.quiet_for() < OWNER_INTERVAL
        {
            return Ok(());
        }
        self.last_owner_check = Instant::now();
        self.flusher.check_owner()
    }

    /// Tells the board how far the log is.
    fn publish(&self) {
        let mut progress = self.board.progress.lock();
        progress.durable = self.flusher.durable();
        progress.waiting = self.flusher.waiting();
        progress.is_waiting = self.flusher.is_waiting();
    }

    fn status(&self) -> Status {
        self.publish();
        Status { running: false, ..self.board.status() }
    }

    /// Writes down what came of a request to the store; decides whether to go on.
    fn note(&mut self, result: Result<(), LogError>) -> Result<(), Failure> {
        self.publish();
        let mut progress = self.board.progress.lock();
        match result {
            Ok(()) => {
                if self.retry_at.take().is_some() {
                    tracing::info!("the store answers again");
                }
                progress.store_ok = Some(self.clock.now());
                progress.store_error = None;
                self.backoff = BACKOFF.0;
                Ok(())
            }
            Err(error) if error.is_transient() => {
                tracing::warn!(%error, "the store does not answer: capture goes on, nothing is lost");
                progress.store_error = Some(error.to_string());
                self.retry_at = Some(Instant::now() + self.backoff);
                self.backoff = (self.backoff * 2).min(BACKOFF.1);
                Ok(())
            }
            Err(error) => Err(failure(&error)),
        }
    }

    fn sleep_to_instant(&self) {
        let target = self.flusher.grid().next_in_ms(self.clock.now());
        let until = Instant::now() + Duration::from_millis(u64::from(target));
        while !self.stop.load(Ordering::Relaxed) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            std::thread::park_timeout(left);
        }
    }

    /// True when every database was looked at and has its base.
    fn is_attached(&self) -> bool {
        !self.fleet.is_loading()
            && self.fleet.members().iter().all(|member| member.report().is_settled())
    }

    /// Captures and ships what is committed now, and tells whether all of it is durable.
    ///
    /// A database that appeared a moment ago counts too: its base is waited for, however late it was noticed.
    fn finish(&mut self, once: bool) -> Result<(), Failure> {
        let deadline = Instant::now() + FINAL_FLUSH;
        let stop = Arc::clone(&self.stop);
        // Told to stop, `once` hurries like any other.
        let is_unhurried = || once && !stop.load(Ordering::Relaxed);
        let is_in_time = || is_unhurried() || Instant::now() < deadline;
        let bases_deadline = Instant::now() + LATER_BASES;
        let awaits_bases = || is_unhurried() && Instant::now() < bases_deadline;
        self.fleet.look_for_files();
        // What waits for the store was captured earlier: it goes first, then one more cut.
        while self.flusher.is_waiting() {
            self.flush_finally(deadline)?;
        }
        let mut closing = Closing::new(&self.fleet);
        loop {
            // A database that is attached during the flush may hold changes that the flush lacks.
            let was_attached = self.is_attached();
            closing.capture();
            self.flush_finally(deadline)?;
            let left = closing.left();
            let is_hopeless = Instant::now() >= deadline && closing::are_locked(&left);
            let is_over = was_attached
                && self.is_attached()
                && (left.is_empty() || is_hopeless)
                && !self.fleet.has_backlog()
                && !(awaits_bases() && self.fleet.is_base_on_its_way());
            if !is_over && !is_in_time() && self.fleet.is_loading() {
                let error = "not everything is shipped: page hashes are still being read";
                return Err(Failure::new(ExitCode::Failed, error));
            }
            if is_over || !is_in_time() {
                let taken = if once { self.roster.taken() } else { &[] };
                return unshippable(&self.reports(), &left, taken);
            }
            self.await_base(&is_in_time, &awaits_bases);
            std::thread::sleep(PAUSE);
        }
    }

    /// A first base on its way ends as backlog, a later one as a record; only a flush that names it settles the
    /// database. `once` waits for later bases too: ended before it is named, an upload would be litter.
    fn await_base(&self, is_in_time: &dyn Fn() -> bool, awaits_bases: &dyn Fn() -> bool) {
        let is_awaited =
            || !self.is_attached() || awaits_bases() && self.fleet.is_base_on_its_way();
        while is_in_time()
            && is_awaited()
            && !self.fleet.has_backlog()
            && !self.fleet.has_base_record()
        {
            std::thread::sleep(PAUSE);
        }
    }

    fn reports(&self) -> Vec<Report> {
        self.fleet.settle();
        self.fleet.members().into_iter().map(|member| member.report()).collect()
    }

    fn flush_finally(&mut self, deadline: Instant) -> Result<(), Failure> {
        loop {
            match self.flusher.flush(false) {
                Ok(_) => return Ok(()),
                Err(error) if error.is_transient() && Instant::now() < deadline => {
                    tracing::warn!(%error, "the final flush is not through, trying again");
                    std::thread::sleep(BACKOFF.0);
                }
                Err(error) => {
                    let hint = "the last commits are not durable: the next start ships them";
                    return Err(failure(&error).hint(hint));
                }
            }
        }
    }

    fn end(&mut self) {
        self.halt.store(true, Ordering::Relaxed);
        self.fleet.news().bases_wanted.ring();
        self.threads.iter().for_each(|thread| thread.thread().unpark());
        self.keeper.keep(self.flusher.durable());
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the program had panicked");
            }
        }
    }
}

/// Names the databases of which something may be left: those of which a flush does not ship everything, those of which
/// the last one did not, and files that are not shipped at all.
fn unshippable(reports: &[Report], left: &[Arc<Member>], taken: &[Taken]) -> Result<(), Failure> {
    let is_left = |report: &&Report| left.iter().any(|member| member.id == report.spec.id);
    let left = reports.iter().filter(|report| !report.is_shippable() || is_left(report));
    let left = left.map(|report| format!("{} ({})", report.spec.name, report.condition.word()));
    let taken = taken.iter().map(|taken| format!("{} (its name is taken)", taken.path.display()));
    let left: Vec<String> = left.chain(taken).collect();
    if left.is_empty() {
        return Ok(());
    }
    let error = format!("not everything is shipped: {}", left.join(", "));
    Err(Failure::new(ExitCode::Failed, error)
        .hint("the next start ships what is left; `walship check -c FILE` tells what keeps it from the others"))
}

fn spawn<T: Send + Sync + 'static>(
    name: &str,
    shared: &Arc<T>,
    halt: &Arc<AtomicBool>,
    run: impl FnOnce(&Arc<T>, &AtomicBool) + Send + 'static,
) -> Result<JoinHandle<()>, Failure> {
    let (shared, halt) = (Arc::clone(shared), Arc::clone(halt));
    std::thread::Builder::new()
        .name(name.into())
        .spawn(move || run(&shared, &halt))
        .map_err(|error| Failure::from_error(ExitCode::Failed, &error))
}

fn board(
    config: &WalshipConfig,
    author: &Author,
    fleet: &Arc<Fleet>,
    store: CountedStore,
    clock: &Arc<dyn Clock>,
) -> Board {
    let store_ok = Some(clock.now());
    let progress = Progress { epoch: Some(author.epoch), store_ok, ..Progress::default() };
    Board {
        name: config.fleet.clone(),
        node: author.node.clone(),
        fleet: Arc::clone(fleet),
        clock: Arc::clone(clock),
        store,
        progress: progress.into(),
    }
}

fn folders(state_dir: &Path) -> std::io::Result<(std::path::PathBuf, HashCache)> {
    let spool = state_dir.join("spool");
    std::fs::create_dir_all(&spool)?;
    Ok((spool, HashCache::open(state_dir)?))
}
