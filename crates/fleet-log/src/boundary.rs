//! The boundary below which log objects may be gone (rule D3).
//!
//! It names existing log objects, never above the last, and only a conditional overwrite moves it. Where it
//! is absent nothing was ever deleted. What lies below `retired` may vanish, and may be filled again by a
//! write that was under way for long; so whatever is read is judged by a boundary that is read afterwards.

use crate::LogError;
use segment::{ObjectName, Seq};
use serde::{Deserialize, Serialize};
use store::{Reply, Store};

/// The content of `gc/boundary`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Boundary {
    /// The first log object that is held.
    pub retired: Seq,
    /// Where the collector wants the log to begin next.
    pub planned: Seq,
}

/// Reads the boundary; `None` where nothing was ever deleted.
///
/// # Errors
/// The store's, or [`LogError::NotALog`] where something else stands in its place.
pub fn boundary(store: &dyn Store) -> Result<Option<Boundary>, LogError> {
    Ok(read(store)?.value)
}

pub(crate) fn read(store: &dyn Store) -> Result<Reply<Option<Boundary>>, LogError> {
    let reply = store.get(&ObjectName::boundary())?;
    let server = reply.server;
    let value = reply.value.map(|object| parse(&object.body)).transpose()?;
    Ok(Reply { value, server })
}

fn parse(bytes: &[u8]) -> Result<Boundary, LogError> {
    let damaged =
        |detail: String| LogError::NotALog { detail: format!("gc/boundary is damaged: {detail}") };
    let boundary: Boundary =
        serde_json::from_slice(bytes).map_err(|error| damaged(error.to_string()))?;
    if boundary.planned < boundary.retired {
        return Err(damaged(format!(
            "planned {} lies below retired {}",
            boundary.planned, boundary.retired
        )));
    }
    Ok(boundary)
}

/// Whether a slot is still held under a boundary as it was read.
pub(crate) fn holds(boundary: Option<Boundary>, seq: Seq) -> bool {
    boundary.is_none_or(|boundary| boundary.retired <= seq)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_boundary_is_no_boundary() {
        assert!(parse(br#"{"retired": 3, "planned": 5}"#).is_ok());
        for damaged in
            [&b""[..], b"{}", br#"{"retired":0,"planned":5}"#, br#"{"retired":6,"planned":5}"#]
        {
            assert!(matches!(parse(damaged), Err(LogError::NotALog { .. })), "{damaged:?}");
        }
    }
}
