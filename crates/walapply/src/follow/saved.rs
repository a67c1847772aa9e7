//! Where the follower began, or when it last had everything: a shortcut for the next start, never a proof.
//!
//! Position and catalogue of one cut, replaced together (Invariant W1 of `replace`). Without it the follower begins at the end of the log
//! and compares every database with the catalogue there; with an old one it reads a little more of the log.

use std::fs;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use fleet_log::Position;
use segment::{Catalogue, FleetId};
use serde::{Deserialize, Serialize};

use super::sealed::Sealed;
use crate::error::ApplyError;
use crate::gone::Gone;
use crate::replace::{self, Disk};

/// A catalogue of 100,000 databases fits; more is not ours.
const BYTES_MAX: u64 = 64 << 20;

/// The content of the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Saved {
    /// Whose log it is.
    pub(super) fleet: FleetId,
    /// Where to go on reading.
    pub(super) position: Position,
    /// The fleet there.
    pub(super) catalogue: Catalogue,
    /// When its databases changed last.
    #[serde(default)]
    pub(super) sealed: Sealed,
    /// Since when databases have no content any more.
    #[serde(default)]
    pub(super) gone: Gone,
}

impl Saved {
    /// What the last run left, if it is of this fleet.
    pub(super) fn load(state_dir: &Path, fleet: FleetId) -> Option<Self> {
        let path = path(state_dir);
        let mut text = String::new();
        let read =
            fs::File::open(&path).and_then(|file| file.take(BYTES_MAX).read_to_string(&mut text));
        let saved = match read {
            Ok(_) => serde_json::from_str::<Self>(&text).map_err(|error| error.to_string()),
            Err(error) if error.kind() == ErrorKind::NotFound => return None,
            Err(error) => Err(error.to_string()),
        };
        match saved {
            Ok(saved) if saved.fleet == fleet => Some(saved),
            Ok(_) => {
                tracing::warn!(
                    "the saved position is of another fleet: beginning at the end of the log"
                );
                None
            }
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "no saved position: beginning at the end of the log");
                None
            }
        }
    }

    /// Replaces the file.
    pub(super) fn store(&self, disk: &impl Disk, state_dir: &Path) -> Result<(), ApplyError> {
        let text = serde_json::to_vec(self)
            .expect("BUG: a position and a catalogue can be written as JSON");
        replace::json(disk, &path(state_dir), &text)
    }
}

/// Where it is.
pub(super) fn path(state_dir: &Path) -> PathBuf {
    state_dir.join("follow.json")
}

#[cfg(test)]
mod tests;
