//! Noticing that the database file itself was written to, past SQLite.
//!
//! While a standby database is followed its main file changes only through checkpoints: ours, which tell this watch
//! before and after, or a stranger's. Any other change of size, times or inode is a reason to hash all pages.
//!
//! A page that also stands in the WAL is read from there, so a look in between may not see what was done to the file.
//! Hence a second look once a checkpoint has moved all frames.
//!
//! Shared by the connections and the checkpoint thread. Nothing is kept: opening a file reads all of it anyway.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;

/// What a file looks like from outside; it differs after nearly every write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    size: u64,
    inode: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(path: &Path) -> io::Result<Self> {
        let metadata = fs::symlink_metadata(path)?;
        Ok(Self {
            size: metadata.size(),
            inode: metadata.ino(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}

/// Whether another look is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Again {
    No,
    /// Once a checkpoint has moved all frames.
    AfterCheckpoint,
    Now,
}

#[derive(Debug)]
struct State {
    /// As of the last look or checkpoint of ours; `None` when a look is due.
    known: Option<Stamp>,
    again: Again,
    is_running: bool,
    /// Checkpoints begun.
    runs: u64,
}

/// The watch over one file.
#[derive(Debug)]
pub(crate) struct Watch {
    path: PathBuf,
    inode: Option<u64>,
    state: Mutex<State>,
}

/// The file as it was before a look.
#[derive(Clone, Copy, Debug)]
pub(super) struct Before {
    stamp: Option<Stamp>,
    runs: u64,
    /// Whether the file was changed by somebody else, or a second look is due.
    pub(super) is_suspicious: bool,
}

impl Watch {
    /// Begins to watch; the caller reads all of the file afterwards.
    pub(crate) fn new(path: &Path) -> Self {
        let known = Stamp::of(path).ok();
        let inode = known.map(|stamp| stamp.inode);
        let state = State { known, again: Again::No, is_running: false, runs: 0 };
        Self { path: path.to_owned(), inode, state: Mutex::new(state) }
    }

    /// Whether the file at the path is still the one that is watched.
    pub(crate) fn is_there(&self) -> bool {
        Stamp::of(&self.path).ok().map(|stamp| stamp.inode) == self.inode
    }

    /// What a look begins with. Nothing can be said while a checkpoint of ours writes.
    pub(super) fn before_look(&self) -> Before {
        let state = self.state.lock();
        let stamp = Stamp::of(&self.path).ok();
        let is_suspicious =
            !state.is_running && (state.known != stamp || state.again == Again::Now);
        Before { stamp, runs: state.runs, is_suspicious }
    }

    /// All pages were hashed. What a checkpoint changed meanwhile is the business of the next look.
    pub(super) fn looked(&self, before: Before) {
        let mut state = self.state.lock();
        if state.is_running || state.runs != before.runs {
            return;
        }
        if state.again == Again::Now {
            state.again = Again::No;
        } else if state.known != before.stamp {
            state.again = Again::AfterCheckpoint;
        }
        state.known = before.stamp;
    }

    /// Runs a checkpoint of ours. (frames in the log, frames moved)
    pub(crate) fn checkpoint<E>(
        &self,
        run: impl FnOnce() -> Result<(u32, u32), E>,
    ) -> Result<(u32, u32), E> {
        let was_untouched = self.checkpoint_begins();
        let result = run();
        let mut state = self.state.lock();
        state.is_running = false;
        state.known = if was_untouched { Stamp::of(&self.path).ok() } else { None };
        let is_complete = matches!(result, Ok((frames, moved)) if frames == moved);
        if is_complete && state.again == Again::AfterCheckpoint {
            state.again = Again::Now;
        }
        result
    }

    /// Whether nobody has changed the file since the last look or checkpoint.
    fn checkpoint_begins(&self) -> bool {
        let mut state = self.state.lock();
        state.is_running = true;
        state.runs += 1;
        state.known.is_some() && state.known == Stamp::of(&self.path).ok()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    fn write(path: &Path, bytes: &[u8]) {
        fs::write(path, bytes).unwrap();
    }

    #[test]
    fn a_checkpoint_of_ours_is_no_reason_to_look_and_a_strangers_is_one() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("x.db");
        write(&path, b"1");
        let watch = Watch::new(&path);
        assert!(!watch.before_look().is_suspicious);
        let ours = || {
            write(&path, b"22");
            assert!(!watch.before_look().is_suspicious, "nothing can be said meanwhile");
            Ok::<_, Infallible>((3, 3))
        };
        watch.checkpoint(ours).unwrap();
        assert!(!watch.before_look().is_suspicious);
        write(&path, b"333");
        let before = watch.before_look();
        assert!(before.is_suspicious);
        watch.looked(before);
        assert!(!watch.before_look().is_suspicious);
        // A second look, once nothing stands in the WAL any more, and no third.
        watch.checkpoint(|| Ok::<_, Infallible>((3, 2))).unwrap();
        assert!(!watch.before_look().is_suspicious);
        watch.checkpoint(|| Ok::<_, Infallible>((3, 3))).unwrap();
        let before = watch.before_look();
        assert!(before.is_suspicious);
        watch.looked(before);
        watch.checkpoint(|| Ok::<_, Infallible>((3, 3))).unwrap();
        assert!(!watch.before_look().is_suspicious);
    }

    #[test]
    fn a_change_before_a_checkpoint_of_ours_is_not_forgotten() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("x.db");
        write(&path, b"1");
        let watch = Watch::new(&path);
        write(&path, b"stray");
        let before = watch.before_look();
        watch.checkpoint(|| Ok::<_, Infallible>((3, 3))).unwrap();
        assert!(watch.before_look().is_suspicious);
        watch.looked(before);
        assert!(watch.before_look().is_suspicious, "that look began too early");
    }
}
