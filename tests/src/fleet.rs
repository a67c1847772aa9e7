//! One test's world: databases, store, configuration, and the programs on them.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;

use crate::history::History;
use crate::oracle;
use crate::program::Program;
use crate::programs::{of_running, walapply, walship};
use crate::scratch::{Scratch, configure};
use crate::wait::until;

/// See the module's text.
#[derive(Debug)]
pub struct Fleet {
    /// The folder of the test.
    pub scratch: Scratch,
    databases: Vec<String>,
    state_dir: Option<PathBuf>,
    extra: String,
    sync_interval: &'static str,
    starts: AtomicU32,
}

/// A running `walship replicate`.
pub type Shipper = Program;

impl Fleet {
    /// A fleet of databases with these names, flushed every 50 ms.
    #[must_use]
    pub fn new(test: &str, databases: &[&str]) -> Self {
        let scratch = Scratch::new(test);
        fs::create_dir(scratch.file("db")).expect("a folder");
        let databases = databases.iter().map(|&name| name.to_owned()).collect();
        let (state_dir, extra) = (None, String::new());
        let starts = AtomicU32::new(0);
        Self { scratch, databases, state_dir, extra, sync_interval: "50ms", starts }
    }

    /// Another interval between two flushes.
    #[must_use]
    pub fn sync_interval(mut self, interval: &'static str) -> Self {
        self.sync_interval = interval;
        self
    }

    /// A line of top-level configuration.
    #[must_use]
    pub fn setting(mut self, line: &str) -> Self {
        self.extra.push_str(line);
        self.extra.push('\n');
        self
    }

    /// Another state folder for the shippers.
    #[must_use]
    pub fn state_dir(mut self, path: &Path) -> Self {
        self.state_dir = Some(path.to_owned());
        self
    }

    /// The file of a database.
    #[must_use]
    pub fn db(&self, name: &str) -> PathBuf {
        self.scratch.file("db").join(format!("{name}.db"))
    }

    /// The names.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.databases
    }

    /// The store's folder.
    #[must_use]
    pub fn store(&self) -> PathBuf {
        self.scratch.file("store")
    }

    /// Writes the configuration of a host and returns its path.
    #[must_use]
    pub fn config(&self, node: &str) -> PathBuf {
        let state =
            self.state_dir.clone().unwrap_or_else(|| self.scratch.file(&format!("state-{node}")));
        self.config_with(node, &state)
    }

    /// The same with a state folder of its own.
    #[must_use]
    pub fn config_with(&self, node: &str, state_dir: &Path) -> PathBuf {
        let mut text = format!("fleet = \"e2e\"\nnode = \"{node}\"\n{}", self.extra);
        let (state, store) = (state_dir.display(), self.store());
        write!(
            text,
            "state_dir = \"{state}\"\n[store]\nkind = \"local\"\npath = \"{}\"\n",
            store.display()
        )
        .expect("text");
        write!(text, "[tiers.p1]\nsync_interval = \"{}\"\n", self.sync_interval).expect("text");
        for name in &self.databases {
            let path = self.db(name);
            write!(
                text,
                "[[databases]]\nname = \"{name}\"\ntier = \"p1\"\npath = \"{}\"\n",
                path.display()
            )
            .expect("text");
        }
        let stem = state_dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let path = self.scratch.file(&format!("walship-{node}-{stem}.toml"));
        configure(&path, &text);
        path
    }

    /// A command `walship replicate`, not started yet.
    #[must_use]
    pub fn replicate(&self, config: &Path) -> Command {
        let mut command = Command::new(walship());
        command.args(["replicate", "-c"]).arg(config).env("RUST_LOG", "walship=debug,info");
        command
    }

    /// Starts the shipper of host `alpha` and waits until it owns the log.
    #[must_use]
    pub fn ship(&self) -> Shipper {
        let mut shipper = self.ship_unawaited();
        shipper.await_line(&["owns the log"]);
        shipper
    }

    /// Starts the shipper of host `alpha`.
    #[must_use]
    pub fn ship_unawaited(&self) -> Shipper {
        self.start(self.replicate(&self.config("alpha")))
    }

    /// Starts a program of the fleet with a log of its own.
    #[must_use]
    pub fn start(&self, command: Command) -> Program {
        let number = self.starts.fetch_add(1, Ordering::Relaxed);
        Program::start(command, &self.scratch.file(&format!("program-{number:03}.log")))
    }

    /// `walship replicate --once`: its exit code.
    #[must_use]
    pub fn ship_once(&self) -> i32 {
        let mut command = self.replicate(&self.config("alpha"));
        command.arg("--once");
        self.start(command).exit()
    }

    /// What the running shipper says of itself; null where none answers.
    #[must_use]
    pub fn status(&self) -> Value {
        let mut command = Command::new(walship());
        command.args(["status", "--json", "-c"]).arg(self.config("alpha"));
        of_running(&command.output().expect("walship runs"))
    }

    /// The process id of the shipper of host `alpha`: strace stands between it and us.
    #[must_use]
    pub fn pid_of_running_shipper(&self) -> u32 {
        let folder = self.scratch.path().display().to_string();
        let processes = fs::read_dir("/proc").expect("/proc").filter_map(Result::ok);
        let mut pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let is_ours = |pid: &u32| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).into_owned();
            line.starts_with(&walship().display().to_string()) && line.contains(&folder)
        };
        pids.find(is_ours).expect("a running shipper")
    }

    /// The state of a database by the shipper's own words.
    #[must_use]
    pub fn state_of(&self, name: &str) -> Option<String> {
        let status = self.status();
        let found = status["databases"].as_array()?.iter().find(|each| each["name"] == name)?;
        found["state"].as_str().map(str::to_owned)
    }

    /// Waits until the log holds what readers of the database see now. Nobody may write meanwhile.
    pub fn await_shipped(&self, name: &str) {
        let expected = oracle::checksum(&self.db(name), &self.scratch.file("expected.image"));
        until(&format!("{name} in the log as it is now"), || {
            (History::checksum(&self.store(), name) == Some(expected)).then_some(())
        });
    }

    /// What the log says.
    #[must_use]
    pub fn history(&self) -> History {
        History::read(&self.store()).expect("a log")
    }

    /// Restores a database from the store alone.
    #[must_use]
    pub fn restore(&self, name: &str) -> PathBuf {
        let target = self.scratch.file(&format!("restored-{name}.db"));
        let output = self.restore_to(name, &target, &[]);
        assert!(output.status.success(), "restore: {}", String::from_utf8_lossy(&output.stderr));
        target
    }

    /// `walapply restore` with further arguments.
    #[must_use]
    pub fn restore_to(&self, name: &str, target: &Path, arguments: &[&str]) -> Output {
        let mut command = Command::new(walapply());
        command.arg("restore").arg("--store").arg(self.store()).args([name, "--force", "-o"]);
        command.arg(target).args(arguments).output().expect("walapply runs")
    }

    /// The restored database equals the source.
    pub fn assert_restores(&self, name: &str) {
        oracle::assert_equal(&self.db(name), &self.restore(name));
    }

    /// Every hash and checksum in the store is right.
    pub fn assert_verified(&self) {
        let mut command = Command::new(walapply());
        let output = command.arg("verify").arg("--store").arg(self.store()).output();
        let output = output.expect("walapply runs");
        let text = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "verify: {}", String::from_utf8_lossy(&text));
    }

    /// Ends the shipper by SIGTERM; then all databases can be restored as they are, and the store is sound.
    pub fn finish(&self, shipper: Shipper) {
        assert_eq!(shipper.terminate(), 0, "SIGTERM ends with a final flush and code 0");
        self.assert_all_equal();
    }

    /// All databases can be restored as they are, and the store is sound.
    pub fn assert_all_equal(&self) {
        self.names().iter().for_each(|name| self.assert_restores(name));
        self.assert_verified();
    }
}
