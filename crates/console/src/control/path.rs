//! Reaching a socket whose path is longer than a socket address can hold (104 bytes on macOS, 108 on Linux).
//!
//! The folder is reached through a symbolic link with a short path in a private temporary folder. The link is needed
//! only while binding or connecting; the socket itself always lies in the state folder, so nothing of lasting value
//! depends on the temporary folder, and both systems do the same.

use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// Room for a path and its final zero byte on the stricter system.
const ADDRESS_BYTES_MAX: usize = 103;

/// Another way to a file, short enough for a socket address while the value lives.
pub(super) struct ShortPath {
    path: PathBuf,
    _link_folder: Option<TempDir>,
}

impl ShortPath {
    /// A path to `folder/file` that fits.
    pub(super) fn to(folder: &Path, file: &str) -> io::Result<Self> {
        let direct = folder.join(file);
        if direct.as_os_str().len() <= ADDRESS_BYTES_MAX {
            return Ok(Self { path: direct, _link_folder: None });
        }
        let link_folder = tempfile::Builder::new().prefix("ws-").tempdir()?;
        let link = link_folder.path().join("s");
        symlink(std::path::absolute(folder)?, &link)?;
        Ok(Self { path: link.join(file), _link_folder: Some(link_folder) })
    }

    pub(super) fn as_path(&self) -> &Path {
        &self.path
    }
}
