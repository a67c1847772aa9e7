//! What is remembered about a standby database beside it: a hint of where it stands, never a proof.
//!
//! `ceiling`: the newest log object that may be in the file, written before its transaction begins. After a restart the file
//! holds that state or an older one, and its checksum tells which; nothing is applied before all up to the ceiling is read,
//! so that no reader sees an older state than it saw before. Where the checksum is that of no state, the file is rebuilt from
//! the store. Losing the sidecar costs that promise to readers after a power cut, never correctness.
//!
//! `file`: which file is ours, where the mark may be off it for a moment, or be taken off by others; see `own`.
//!
//! A crash leaves the old content or the new (Invariant W1 of `replace`). It is not synced: after a power cut it may be
//! old, which only makes the search longer, or cut short, which counts as none. Before we take the mark off a file
//! ourselves, it is ([`sync`]).

use std::fs;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use segment::{Name, Seq};
use serde::{Deserialize, Serialize};

use super::files;
use super::own::FileId;
use crate::error::ApplyError;
use crate::replace::{self, Disk};

/// A sidecar is some 100 bytes; more is not ours.
const BYTES_MAX: u64 = 4_096;

/// The content of a sidecar.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sidecar {
    /// Perhaps in the file.
    pub(crate) ceiling: Option<Seq>,
    /// The file itself; `None` where the mark alone tells that it is ours.
    #[serde(default)]
    pub(crate) file: Option<FileId>,
}

/// Where the sidecar of `name` lies.
pub(crate) fn path(state_dir: &Path, name: &Name) -> PathBuf {
    state_dir.join("replicas").join(format!("{}.json", name.as_str()))
}

/// Reads a sidecar; one that is missing or unreadable counts as one that says nothing.
pub(crate) fn read(path: &Path) -> Sidecar {
    let mut text = String::new();
    let read = fs::File::open(path).and_then(|file| file.take(BYTES_MAX).read_to_string(&mut text));
    match read.map(|_| serde_json::from_str(&text)) {
        Ok(Ok(sidecar)) => sidecar,
        Ok(Err(error)) => {
            tracing::warn!(path = %path.display(), %error, "unreadable sidecar: going by the content of the database alone");
            Sidecar::default()
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Sidecar::default(),
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "no sidecar: going by the content of the database alone");
            Sidecar::default()
        }
    }
}

/// Replaces a sidecar.
pub(crate) fn write(disk: &impl Disk, path: &Path, sidecar: &Sidecar) -> Result<(), ApplyError> {
    let text = serde_json::to_vec(sidecar).expect("BUG: a few optional ids can be written as JSON");
    replace::json(disk, path, &text)
}

/// Makes what was written last survive a power cut.
pub(crate) fn sync(path: &Path) -> Result<(), ApplyError> {
    let synced = fs::File::open(path).and_then(|file| file.sync_all());
    synced.map_err(ApplyError::file(path, "syncing"))?;
    files::sync_folder(path)
}

/// Lets what is known of a database go with it to another name. Where that fails it is lost, which costs reading only.
pub(crate) fn rename(state_dir: &Path, from: &Name, to: &Name) {
    if let Err(error) = fs::rename(path(state_dir, from), path(state_dir, to)) {
        tracing::debug!(%from, %to, %error, "the sidecar was not renamed");
    }
}

#[cfg(test)]
mod tests;
