//! The state folder of a running program: made on first use, locked while it runs, its layout versioned.
//!
//! At most one process of a program uses a folder (flock on `lock`; the system drops the lock when the process ends,
//! however it ends). Nothing in it is needed for safety: everything may be lost, so a layout that this program does
//! not know is refused instead of guessed at, and the advice is to delete the folder.
//!
//! After a crash: `lock` with the number of a process that is gone (only a text for the message), and perhaps a
//! temporary file.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use segment::Millis;
use serde::{Deserialize, Serialize};
use store::clock::unix_millis;
use thiserror::Error;

use crate::durable;
use crate::exit::{ExitCode, Failure};

const LOCK_FILE: &str = "lock";
const LAYOUT_FILE: &str = "layout.json";
/// The layout that this program writes. Version 1: `lock`, `layout.json`, `control.sock`, and the programs' own files.
const LAYOUT_VERSION: u32 = 1;
/// A lock or layout file is some dozen bytes; more is not ours.
const FILE_BYTES_MAX: u64 = 4_096;

/// Why the state folder cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StateDirError {
    /// The file system says no.
    #[error("cannot use the state folder {}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Locks and files there are not this machine's alone.
    #[error("cannot use the state folder {}: {why}", path.display())]
    Shared {
        /// The folder.
        path: PathBuf,
        /// What it is.
        why: String,
    },
    /// Another process holds the lock.
    #[error("the state folder {} is in use by process {process}", path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
        /// What the other process wrote into the lock file.
        process: String,
    },
    /// The folder belongs to another program.
    #[error("the state folder {} belongs to {owner}", path.display())]
    OfAnother {
        /// The folder.
        path: PathBuf,
        /// The program that made it.
        owner: String,
    },
    /// The layout is newer than this program, or not a layout.
    #[error("the state folder {} has layout {found}; this program knows {LAYOUT_VERSION}", path.display())]
    UnknownLayout {
        /// The folder.
        path: PathBuf,
        /// What stands there.
        found: String,
    },
}

impl StateDirError {
    fn hint(&self) -> &'static str {
        match self {
            Self::Io { .. } | Self::Shared { .. } => {
                "state_dir must be on a local disk and writable for this user"
            }
            Self::InUse { .. } => {
                "stop the other process first, or give this one another state_dir"
            }
            Self::OfAnother { .. } => "give each program a state_dir of its own",
            Self::UnknownLayout { .. } => {
                "update the program, or delete the folder: all of it is rebuilt from the store and the databases"
            }
        }
    }
}

impl From<StateDirError> for Failure {
    fn from(error: StateDirError) -> Self {
        let exit = match error {
            StateDirError::Io { .. } | StateDirError::InUse { .. } => ExitCode::Failed,
            StateDirError::OfAnother { .. }
            | StateDirError::UnknownLayout { .. }
            | StateDirError::Shared { .. } => ExitCode::Usage,
        };
        let hint = error.hint();
        Self::from_error(exit, &error).hint(hint)
    }
}

/// A state folder that this process has locked, until the value is dropped.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    lock: File,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Layout {
    program: String,
    version: u32,
}

impl StateDir {
    /// Makes the folder where it is missing (mode 0700), locks it for `program`, and checks its layout.
    ///
    /// # Errors
    /// When the folder is in use, of another program, of an unknown layout, or not usable.
    pub fn lock(path: &Path, program: &str) -> Result<Self, StateDirError> {
        let io = |source| StateDirError::Io { path: path.into(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(io)?;
        if let Some(why) = store::shared_folder(path).map_err(io)? {
            return Err(StateDirError::Shared { path: path.into(), why });
        }
        let lock = take_lock(path)?;
        ensure_layout(path, program)?;
        Ok(Self { path: path.into(), lock })
    }

    /// Whether [`StateDir::lock`] would find the layout of this program, or nothing yet. Makes and locks nothing.
    ///
    /// # Errors
    /// When the folder is of another program, of an unknown layout, or not usable.
    pub fn check(path: &Path, program: &str) -> Result<(), StateDirError> {
        has_layout(path, program).map(drop)
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A file in the folder.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// A second holder of the same lock: the folder is free only when both are dropped.
    pub(crate) fn hold(&self) -> io::Result<File> {
        self.lock.try_clone()
    }
}

/// What the last process that locked the folder wrote into the lock file: its number.
pub(crate) fn holder(folder: &Path) -> Option<String> {
    read_bounded(&folder.join(LOCK_FILE)).ok()?.filter(|process| !process.is_empty())
}

/// When something in the folder was last written or replaced; what lies deeper shows in the time of its folder.
pub(crate) fn last_written(folder: &Path) -> Option<Millis> {
    let entries = fs::read_dir(folder).ok()?;
    let times = entries.filter_map(|entry| entry.ok()?.metadata().ok()?.modified().ok());
    times.map(unix_millis).max()
}

fn take_lock(folder: &Path) -> Result<File, StateDirError> {
    let path = folder.join(LOCK_FILE);
    let io = |source| StateDirError::Io { path: path.clone(), source };
    let open = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path);
    let mut lock = open.map_err(io)?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(in_use(folder)),
        Err(TryLockError::Error(source)) => return Err(io(source)),
    }
    lock.set_len(0).and_then(|()| write!(lock, "{}", std::process::id())).map_err(io)?;
    Ok(lock)
}

fn in_use(folder: &Path) -> StateDirError {
    let process = holder(folder).unwrap_or_else(|| "?".into());
    StateDirError::InUse { path: folder.into(), process }
}

fn ensure_layout(folder: &Path, program: &str) -> Result<(), StateDirError> {
    if has_layout(folder, program)? {
        return Ok(());
    }
    let path = folder.join(LAYOUT_FILE);
    durable::replace(&path, &layout_of(program))
        .map_err(|source| StateDirError::Io { path, source })
}

/// Whether the folder has the layout of this program already; one that has another is refused.
fn has_layout(folder: &Path, program: &str) -> Result<bool, StateDirError> {
    let path = folder.join(LAYOUT_FILE);
    let read = read_bounded(&path).map_err(|source| StateDirError::Io { path, source })?;
    let Some(text) = read else { return Ok(false) };
    let unknown = |found: String| StateDirError::UnknownLayout { path: folder.into(), found };
    match serde_json::from_str::<Layout>(&text) {
        Err(_) => Err(unknown("that cannot be read".into())),
        Ok(layout) if layout.version != LAYOUT_VERSION => Err(unknown(layout.version.to_string())),
        Ok(layout) if layout.program != program => {
            Err(StateDirError::OfAnother { path: folder.into(), owner: layout.program })
        }
        Ok(_) => Ok(true),
    }
}

fn layout_of(program: &str) -> Vec<u8> {
    let layout = Layout { program: program.into(), version: LAYOUT_VERSION };
    serde_json::to_vec(&layout).expect("BUG: a text and a number can be written as JSON")
}

fn read_bounded(path: &Path) -> io::Result<Option<String>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_folder_is_made_private_and_can_be_locked_again_after_a_drop() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("a/state");
        let state = StateDir::lock(&path, "walship").unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(state.file("cache"), path.join("cache"));
        drop(state);
        StateDir::lock(&path, "walship").unwrap();
    }

    #[test]
    fn a_second_process_is_told_who_holds_the_lock() {
        let scratch = tempfile::tempdir().unwrap();
        let _state = StateDir::lock(scratch.path(), "walship").unwrap();
        let error = StateDir::lock(scratch.path(), "walship").unwrap_err();
        assert!(
            error.to_string().ends_with(&format!("in use by process {}", std::process::id())),
            "{error}"
        );
    }

    #[test]
    fn a_check_makes_nothing() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("state");
        StateDir::check(&path, "walship").unwrap();
        assert!(!path.exists());
        drop(StateDir::lock(&path, "walship").unwrap());
        StateDir::check(&path, "walship").unwrap();
    }

    #[test]
    fn another_program_and_unknown_layouts_are_refused() {
        let scratch = tempfile::tempdir().unwrap();
        drop(StateDir::lock(scratch.path(), "walship").unwrap());
        let error = StateDir::lock(scratch.path(), "walapply").unwrap_err();
        assert!(matches!(error, StateDirError::OfAnother { .. }));
        for text in [r#"{"program":"walship","version":2}"#, "", "garbage"] {
            std::fs::write(scratch.path().join(LAYOUT_FILE), text).unwrap();
            assert!(StateDir::check(scratch.path(), "walship").is_err());
            let failure = Failure::from(StateDir::lock(scratch.path(), "walship").unwrap_err());
            assert_eq!(failure.exit, ExitCode::Usage, "{failure}");
            assert!(failure.to_string().contains("delete the folder"), "{failure}");
        }
    }
}
