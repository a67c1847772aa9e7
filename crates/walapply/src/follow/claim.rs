//! Whose standby a folder is: the files of another fleet's standby carry the same mark, and would be written over.
//!
//! A file in the folder names the fleet. After a crash it is whole, or not there; what a power cut left of it counts as
//! nothing.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use console::{ExitCode, Failure};
use segment::Name;
use serde::{Deserialize, Serialize};

use super::failure;
use crate::error::ApplyError;
use crate::replace::{self, Disk, RealDisk};

/// Its name.
pub(super) const FILE: &str = ".walapply-fleet";

#[derive(Serialize, Deserialize)]
struct Claim {
    fleet: Name,
}

/// Refuses the folder of another fleet, and claims one that is nobody's.
pub(super) fn check(folder: &Path, fleet: &Name) -> Result<(), Failure> {
    let path = folder.join(FILE);
    match read(&path).map_err(|error| failure(&error))? {
        Some(found) if found == *fleet => Ok(()),
        Some(found) => {
            let told = format!("{} is the standby of fleet {found}", folder.display());
            Err(Failure::new(ExitCode::Usage, told).hint(format!(
                "correct `dir` in [standby], or delete {} if its databases may be written over",
                path.display()
            )))
        }
        None => write(&RealDisk, &path, fleet).map_err(|error| failure(&error)),
    }
}

fn read(path: &Path) -> Result<Option<Name>, ApplyError> {
    match fs::read(path) {
        Ok(found) => Ok(serde_json::from_slice(&found).ok().map(|Claim { fleet }| fleet)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(ApplyError::file(path, "reading")(error)),
    }
}

fn write(disk: &impl Disk, path: &Path, fleet: &Name) -> Result<(), ApplyError> {
    let claim = Claim { fleet: fleet.clone() };
    let text = serde_json::to_vec(&claim).expect("BUG: a name can be written as JSON");
    replace::json(disk, path, &text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replace::testing::{Stop, at_every_step};

    #[test]
    fn a_crash_at_any_step_leaves_no_claim_or_the_whole_one() {
        let scratch = tempfile::tempdir().unwrap();
        let (path, fleet) = (scratch.path().join(FILE), Name::parse("anvil").unwrap());
        at_every_step(
            || drop(fs::remove_file(&path)),
            |disk| write(disk, &path, &fleet),
            |stopped| {
                let found = read(&path).unwrap();
                let may_be_lost = !stopped.is_whole || matches!(stopped.by, Stop::PowerCut(_));
                let is_claimed = found.as_ref() == Some(&fleet);
                assert!(is_claimed || may_be_lost && found.is_none(), "{stopped:?}: {found:?}");
            },
        );
    }
}
