//! What this host has seen of its log: proof, at the next start, that the store is the one it shipped to.
//!
//! Losing it is harmless. Having it makes three accidents visible that would otherwise begin a new log in
//! silence: a volume that is not mounted, another store at the same path, and a store that was set back.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use console::config::WalshipConfig;
use console::{ExitCode, Failure};
use fleet_log::{FleetFile, LogError};
use segment::{FleetId, Seq};
use serde::{Deserialize, Serialize};

use crate::replicate::failure;

/// Its file in the state folder.
pub const FILE: &str = "log.json";

/// The log as this host last knew it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// The fleet's id.
    pub fleet: FleetId,
    /// A log object that was durable.
    pub durable: Seq,
}

impl Seen {
    /// What a state folder holds of it; nothing if it cannot be read.
    #[must_use]
    pub fn load(state_dir: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(state_dir.join(FILE)).ok()?).ok()
    }

    /// Writes it.
    ///
    /// # Errors
    /// Write errors.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(path.parent().unwrap_or(Path::new(".")))?;
        file.write_all(&serde_json::to_vec(self)?)?;
        file.persist(path).map(drop).map_err(|error| error.error)
    }

    /// Checks that the store still holds what was seen. Nothing is created.
    ///
    /// # Errors
    /// With exit code 5 if the store is not there, 4 if it holds less than it did or another log.
    pub fn check(&self, config: &WalshipConfig) -> Result<(), Failure> {
        let store = store::settings::open(&config.store, false).map_err(|error| {
            Failure::from_error(ExitCode::StoreUnreachable, &error)
                .hint("this host has shipped to it before: is a volume not mounted?")
        })?;
        match FleetFile::read(&*store) {
            Ok(Some(found)) if found.id == self.fleet => {}
            Ok(Some(_)) => return Err(self.accident("holds another log", config)),
            Ok(None) => return Err(self.accident("holds no log", config)),
            Err(error) => return Err(failure(&error)),
        }
        match fleet_log::position_after(&*store, self.durable) {
            Ok(_) | Err(LogError::Behind { .. }) => Ok(()),
            Err(LogError::Missing { .. }) => Err(self.accident("was set back", config)),
            Err(error) => Err(failure(&error)),
        }
    }

    fn accident(&self, what: &str, config: &WalshipConfig) -> Failure {
        let path: PathBuf = config.state_dir.join(FILE);
        let error = format!(
            "the store {what}: this host has made log object {} durable in it",
            self.durable
        );
        Failure::new(ExitCode::Corrupt, error).hint(format!(
            "bring the store back; or, to go on with what it holds now, remove {}",
            path.display()
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_is_remembered() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        assert_eq!(Seen::load(folder.path()), None);
        let seen = Seen { fleet: FleetId::from_bytes([3; 16]), durable: Seq::FIRST };
        seen.save(&folder.path().join(FILE)).expect("saved");
        assert_eq!(Seen::load(folder.path()), Some(seen));
    }
}
