//! The host's stable name when the configuration gives none.
//!
//! It is derived from the machine's id, hashed, because that id is meant to stay on the machine and node names stand in
//! every object of the store. Both programs of one host arrive at the same name. Clones of one disk image share the id
//! and so the name: where hosts are cloned, `node` must be written in the configuration.

use segment::Name;
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::exit::{ExitCode, Failure};
use crate::platform;

/// Separates this use of the machine's id from every other.
const PURPOSE: &[u8] = b"walship node name 1\n";
/// 48 bits tell the hosts of a fleet apart; the name stays readable.
const NAME_BYTES: usize = 6;

/// Why no node name can be derived.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum NodeError {
    /// The machine has no id, or it cannot be read.
    #[error("this machine has no id that a node name could be derived from ({0})")]
    NoMachineId(String),
}

impl From<NodeError> for Failure {
    fn from(error: NodeError) -> Self {
        Self::from_error(ExitCode::Usage, &error).hint(
            "write `node = \"...\"` in the configuration, the same for both programs of one host",
        )
    }
}

/// The name derived from the machine's id.
///
/// # Errors
/// When the machine has none.
pub fn default_node() -> Result<Name, NodeError> {
    platform::machine_id().map(|id| name_of(&id)).map_err(NodeError::NoMachineId)
}

fn name_of(machine_id: &str) -> Name {
    let digest = Sha256::new().chain_update(PURPOSE).chain_update(machine_id).finalize();
    let hex: String = digest.iter().take(NAME_BYTES).map(|byte| format!("{byte:02x}")).collect();
    Name::parse(&format!("node-{hex}")).expect("BUG: letters, digits and a hyphen are a valid name")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_stable_and_does_not_show_the_id() {
        let id = "0123456789abcdef0123456789abcdef";
        assert_eq!(name_of(id).as_str(), "node-82ac8f7fc386");
        assert_ne!(name_of(id), name_of("0123456789abcdef0123456789abcdee"));
    }
}
