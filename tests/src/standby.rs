//! The other side of a test's world: a folder of standby databases, and followers that keep it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use segment::Seq;
use serde_json::Value;

use crate::fleet::Fleet;
use crate::history::History;
use crate::oracle;
use crate::program::Program;
use crate::programs::{of_running, walapply};
use crate::scratch::configure;
use crate::wait::until;

/// A standby of a [`Fleet`]. Everything of it lies in one folder of the fleet's scratch folder.
#[derive(Debug)]
pub struct Standby {
    folder: PathBuf,
    store: PathBuf,
    fleet_name: &'static str,
}

impl Standby {
    /// The standby of a fleet.
    #[must_use]
    pub fn of(fleet: &Fleet) -> Self {
        Self::named(fleet, "standby")
    }

    /// One of several standbys of a fleet.
    #[must_use]
    pub fn named(fleet: &Fleet, name: &str) -> Self {
        Self::over(&fleet.scratch.file(name), &fleet.store())
    }

    /// A standby in any folder, of any store.
    #[must_use]
    pub fn over(folder: &Path, store: &Path) -> Self {
        fs::create_dir_all(folder).expect("a folder");
        Self { folder: folder.to_owned(), store: store.to_owned(), fleet_name: "e2e" }
    }

    /// Its folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The folder of its databases.
    #[must_use]
    pub fn databases(&self) -> PathBuf {
        self.folder.join("databases")
    }

    /// The file of a database.
    #[must_use]
    pub fn db(&self, name: &str) -> PathBuf {
        self.databases().join(format!("{name}.db"))
    }

    /// Where the follower keeps what may be lost.
    #[must_use]
    pub fn state_dir(&self) -> PathBuf {
        self.folder.join("state")
    }

    /// Its configuration file.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        let path = self.folder.join("walapply.toml");
        let text = format!(
            "fleet = \"{}\"\nnode = \"beta\"\nstate_dir = \"{}\"\n[store]\nkind = \"local\"\npath = \"{}\"\n\
             [standby]\ndir = \"{}\"\npoll_interval = \"20ms\"\nidle_poll_interval = \"100ms\"\n",
            self.fleet_name,
            self.state_dir().display(),
            self.store.display(),
            self.databases().display(),
        );
        configure(&path, &text);
        path
    }

    /// A command `walapply COMMAND -c FILE`, not started yet.
    #[must_use]
    pub fn command(&self, command: &str) -> Command {
        let mut walapply = Command::new(walapply());
        walapply.arg(command).arg("-c").arg(self.config()).env("RUST_LOG", "walapply=debug,info");
        walapply
    }

    /// Starts a follower.
    #[must_use]
    pub fn follow(&self) -> Program {
        Program::start(self.command("follow"), &self.folder.join("walapply.log"))
    }

    /// `walapply follow --once --json`.
    #[must_use]
    pub fn once(&self) -> Output {
        let mut command = self.command("follow");
        command.args(["--once", "--json"]).output().expect("walapply runs")
    }

    /// The same, which must succeed.
    pub fn catch_up(&self) {
        let output = self.once();
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "follow --once ended with {}:\n{text}", output.status);
    }

    /// What the running follower says of itself; null where none answers.
    #[must_use]
    pub fn status(&self) -> Value {
        let mut command = self.command("status");
        of_running(&command.arg("--json").output().expect("walapply runs"))
    }

    /// What the running follower says of a database.
    #[must_use]
    pub fn status_of(&self, name: &str) -> Option<Value> {
        let status = self.status();
        status["databases"].as_array()?.iter().find(|each| each["name"] == name).cloned()
    }

    /// Waits until the running follower gives this state of a database, and returns all it says of it.
    pub fn await_state(&self, name: &str, state: &str) -> Value {
        until(&format!("{name} {state} on the standby"), || {
            self.status_of(name).filter(|status| status["state"] == state)
        })
    }

    /// Waits until everything up to `seq` is applied.
    pub fn await_applied(&self, seq: Seq) {
        until(&format!("log object {seq} applied"), || {
            let status = self.status();
            (status["seq"]["applied"].as_u64() >= Some(seq.get())).then_some(())
        });
    }

    /// Waits until the log holds every database as it is now and the standby has applied it; then compares. Nobody may
    /// write meanwhile.
    pub fn await_equal(&self, fleet: &Fleet) {
        fleet.names().iter().for_each(|name| fleet.await_shipped(name));
        self.await_applied(History::last_of(&self.store).expect("a log"));
        self.assert_equal(fleet);
    }

    /// All databases are sound, and equal on both sides.
    pub fn assert_equal(&self, fleet: &Fleet) {
        for name in fleet.names() {
            self.assert_mirrors(&fleet.db(name), name);
        }
    }

    /// A database is sound, and equal to `source`, as readers of both see them now.
    pub fn assert_mirrors(&self, source: &Path, name: &str) {
        let images = ["source", "copy"].map(|side| self.folder.join(format!("{name}.{side}")));
        let _ = oracle::checksum(source, &images[0]);
        let _ = oracle::checksum(&self.db(name), &images[1]);
        oracle::assert_equal(&images[0], &images[1]);
    }

    /// Whether all pages of a database are those of `source`.
    #[must_use]
    pub fn mirrors(&self, source: &Path, name: &str) -> bool {
        let image = self.folder.join(format!("{name}.image"));
        oracle::checksum(source, &image) == oracle::checksum(&self.db(name), &image)
    }

    /// Folders in which the follower kept what it found before it repaired it.
    #[must_use]
    pub fn evidence(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.state_dir().join("evidence"));
        let entries = entries.into_iter().flatten();
        entries.map(|entry| entry.expect("a folder's entry").path()).collect()
    }
}
