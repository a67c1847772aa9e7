//! `walapply.toml`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use segment::Name;
use serde::{Deserialize, Serialize};
use store::settings::StoreSettings;

use super::place::Way;
use super::{Complaint, Config, duration, node_or_default, outside_of, rebase_path, rebase_store};
use crate::exit::{ExitCode, Failure};
use crate::node::NodeError;

/// Longest wait for the next object while the log moves.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// Longest wait while the log is idle.
const IDLE_POLL_INTERVAL: Duration = Duration::from_secs(15);
/// Three of the primary's heartbeats, as they are by default.
const QUIET_AFTER: Duration = Duration::from_secs(45 * 60);
/// A shorter time says nothing: the log may rest for longer between two flushes.
const QUIET_AFTER_MIN: Duration = Duration::from_secs(1);
/// Polling more often than this only costs requests.
const POLL_INTERVAL_MIN: Duration = Duration::from_millis(10);

/// The configuration of the standby, and of restores.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WalapplyConfig {
    /// The fleet whose log is read.
    pub fleet: Name,
    /// Lock, control socket and sidecars; all of it may be lost without harm.
    pub state_dir: PathBuf,
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<Name>,
    /// Where the log is.
    pub store: StoreSettings,
    /// What to follow; needed by `follow` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub standby: Option<StandbySettings>,
}

/// The `[standby]` table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StandbySettings {
    /// The folder of the databases.
    pub dir: PathBuf,
    /// The tiers to follow; by default those that the primary marks for the standby.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tiers: Option<Vec<String>>,
    /// Longest wait for the next object while the log moves.
    #[serde(default = "poll_interval", with = "duration")]
    pub poll_interval: Duration,
    /// Longest wait while the log is idle.
    #[serde(default = "idle_poll_interval", with = "duration")]
    pub idle_poll_interval: Duration,
    /// Without news of the primary for this long, something is wrong.
    #[serde(default = "quiet_after", with = "duration")]
    pub quiet_after: Duration,
}

impl WalapplyConfig {
    /// The host's stable name, by default derived from the machine's id.
    ///
    /// # Errors
    /// When it is not configured and the machine has no id.
    pub fn node(&self) -> Result<Name, NodeError> {
        node_or_default(self.node.as_ref())
    }

    /// How long the primary may be quiet.
    #[must_use]
    pub fn quiet_after(&self) -> Duration {
        self.standby.as_ref().map_or(QUIET_AFTER, |standby| standby.quiet_after)
    }

    /// The `[standby]` table, for commands that cannot do without.
    ///
    /// # Errors
    /// When the table is not written.
    pub fn standby(&self) -> Result<&StandbySettings, Failure> {
        self.standby.as_ref().ok_or_else(|| {
            Failure::new(ExitCode::Usage, "the configuration has no [standby] table")
                .hint("add [standby] with dir = \"...\", the folder of the standby's databases")
        })
    }
}

impl StandbySettings {
    /// Whether databases of this tier are followed here, where the primary's tier table says `marked`.
    #[must_use]
    pub fn follows(&self, tier: &str, marked: bool) -> bool {
        self.tiers.as_ref().map_or(marked, |tiers| tiers.iter().any(|name| name == tier))
    }

    fn check(&self, state_dir: &Path, store: &StoreSettings) -> Result<(), Complaint> {
        let way = |key: &str| Way::key("standby").then(key);
        outside_of(store, &self.dir, "[standby] dir", way("dir"))?;
        if self.dir == state_dir {
            return Err(Complaint::new("[standby] dir and state_dir are the same folder")
                .hint("the databases need a folder of their own")
                .at(way("dir")));
        }
        if self.tiers.as_ref().is_some_and(Vec::is_empty) {
            return Err(Complaint::new("tiers is empty: nothing would be followed")
                .hint("leave it out to follow what the primary marks for the standby")
                .at(way("tiers")));
        }
        if self.poll_interval < POLL_INTERVAL_MIN {
            return Err(
                Complaint::new("poll_interval must be at least 10ms").at(way("poll_interval"))
            );
        }
        if self.idle_poll_interval < self.poll_interval {
            return Err(Complaint::new("idle_poll_interval is shorter than poll_interval")
                .at(way("idle_poll_interval"))
                .at(way("poll_interval")));
        }
        if self.quiet_after < QUIET_AFTER_MIN {
            return Err(Complaint::new("quiet_after must be at least 1s").at(way("quiet_after")));
        }
        Ok(())
    }
}

impl Config for WalapplyConfig {
    fn rebase(&mut self, folder: &Path) {
        rebase_path(&mut self.state_dir, folder);
        rebase_store(&mut self.store, folder);
        self.standby.iter_mut().for_each(|standby| rebase_path(&mut standby.dir, folder));
    }

    fn check(&self) -> Result<(), Complaint> {
        outside_of(&self.store, &self.state_dir, "state_dir", Way::key("state_dir"))?;
        self.standby.iter().try_for_each(|standby| standby.check(&self.state_dir, &self.store))
    }
}

fn poll_interval() -> Duration {
    POLL_INTERVAL
}

fn idle_poll_interval() -> Duration {
    IDLE_POLL_INTERVAL
}

fn quiet_after() -> Duration {
    QUIET_AFTER
}
