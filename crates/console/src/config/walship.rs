//! `walship.toml`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use segment::Name;
use serde::{Deserialize, Serialize};
use store::settings::StoreSettings;

use super::place::Way;
use super::{
    ByteSize, Complaint, Config, DatabaseRule, Threshold, Tiers, databases, duration,
    node_or_default, outside_of, rebase_path, rebase_store,
};
use crate::node::NodeError;

/// Past this WAL size writers are held for a moment; the WAL of one saturating writer grew to 361 MB without it.
const WAL_FORCE_ABOVE: Threshold = Threshold::Above(ByteSize::mib(256));
/// A sign of life in an idle log; each costs one PUT.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(15 * 60);
/// Heartbeats more often than this are a mistake: shorter gaps are what `sync_interval` is for.
const HEARTBEAT_INTERVAL_MIN: Duration = Duration::from_secs(1);

/// The configuration of the primary.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WalshipConfig {
    /// The fleet whose log this host writes.
    pub fleet: Name,
    /// Lock, control socket and caches; all of it may be lost without harm.
    pub state_dir: PathBuf,
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<Name>,
    /// Past this size of a WAL its writers are held for a moment so that it can be reset.
    #[serde(default = "wal_force_above")]
    pub wal_force_above: Threshold,
    /// Longest silence in the log.
    #[serde(default = "heartbeat_interval", with = "duration")]
    pub heartbeat_interval: Duration,
    /// Where the log is.
    pub store: StoreSettings,
    /// The tier table.
    #[serde(default)]
    pub tiers: Tiers,
    /// What to ship.
    #[serde(default)]
    pub databases: Vec<DatabaseRule>,
}

impl WalshipConfig {
    /// The host's stable name, by default derived from the machine's id.
    ///
    /// # Errors
    /// When it is not configured and the machine has no id.
    pub fn node(&self) -> Result<Name, NodeError> {
        node_or_default(self.node.as_ref())
    }
}

impl Config for WalshipConfig {
    fn rebase(&mut self, folder: &Path) {
        rebase_path(&mut self.state_dir, folder);
        rebase_store(&mut self.store, folder);
        self.databases.iter_mut().for_each(|rule| rule.rebase(folder));
    }

    fn check(&self) -> Result<(), Complaint> {
        if self.heartbeat_interval < HEARTBEAT_INTERVAL_MIN {
            return Err(Complaint::new("heartbeat_interval must be at least 1s")
                .at(Way::key("heartbeat_interval")));
        }
        outside_of(&self.store, &self.state_dir, "state_dir", Way::key("state_dir"))?;
        self.tiers.check()?;
        databases::check(&self.databases, &self.tiers)
    }
}

fn wal_force_above() -> Threshold {
    WAL_FORCE_ABOVE
}

fn heartbeat_interval() -> Duration {
    HEARTBEAT_INTERVAL
}
