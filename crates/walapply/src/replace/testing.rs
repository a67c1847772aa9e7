//! Crash enumeration: the function that replaces a file in the running program is stopped after each of its steps, by a
//! kill and by a power cut that keeps any part of what it wrote.
//!
//! Steps: making or emptying a file, each byte of it, each rename. They happen on real files, so that the real reading
//! function judges what is left. A power cut that also takes back a rename leaves what a kill before it and a cut of the
//! file beside leaves, so it needs no state of its own.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use super::{Disk, RealDisk};
use crate::error::ApplyError;

/// What stopped the function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Everything that it did before stays, and no more.
    Kill,
    /// Of a file that it wrote, only so many bytes stay.
    PowerCut(u64),
}

/// How far the function came, and what stopped it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stopped {
    /// Whether it came to its end before.
    pub(crate) is_whole: bool,
    /// What happened then.
    pub(crate) by: Stop,
}

/// Carries out so many steps and nothing after them.
pub(crate) struct StoppingDisk {
    left: Cell<usize>,
    written: RefCell<BTreeSet<PathBuf>>,
}

impl StoppingDisk {
    fn after(steps: usize) -> Self {
        Self { left: Cell::new(steps), written: RefCell::default() }
    }

    fn step(&self) -> io::Result<()> {
        let left = self.left.get().checked_sub(1);
        self.left.set(left.ok_or_else(|| io::Error::other("killed"))?);
        Ok(())
    }
}

impl Disk for StoppingDisk {
    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.step()?;
        self.written.borrow_mut().insert(path.to_owned());
        let kept = bytes.len().min(self.left.get());
        RealDisk.write(path, &bytes[..kept])?;
        bytes.iter().try_for_each(|_| self.step())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step()?;
        let mut written = self.written.borrow_mut();
        written.remove(to);
        if written.remove(from) {
            written.insert(to.to_owned());
        }
        RealDisk.rename(from, to)
    }
}

/// Stops `replace` after 0, 1, 2, ... steps until it comes to its end, each time on what `prepare` leaves, and shows
/// every state of the files to `judge`. Returns how many steps a whole run takes.
pub(crate) fn at_every_step(
    prepare: impl Fn(),
    replace: impl Fn(&StoppingDisk) -> Result<(), ApplyError>,
    judge: impl Fn(Stopped),
) -> usize {
    for steps in 0.. {
        prepare();
        let disk = StoppingDisk::after(steps);
        let is_whole = replace(&disk).is_ok();
        judge(Stopped { is_whole, by: Stop::Kill });
        for path in disk.written.take() {
            cut(&path, |length| judge(Stopped { is_whole, by: Stop::PowerCut(length) }));
        }
        if is_whole {
            return steps;
        }
    }
    unreachable!("BUG: a replacement has an end")
}

/// Shortens a file byte by byte.
fn cut(path: &Path, shorter: impl Fn(u64)) {
    let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    for length in (0..file.metadata().unwrap().len()).rev() {
        file.set_len(length).unwrap();
        shorter(length);
    }
}

/// A function that writes into the file itself is seen doing so, and so is one that renames too early.
#[test]
fn what_breaks_the_rule_is_seen() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("a.json");
    let beside = scratch.path().join("b.json");
    type Replace<'a> = &'a dyn Fn(&StoppingDisk) -> io::Result<()>;
    let in_place: Replace<'_> = &|disk| disk.write(&path, b"new");
    let too_early: Replace<'_> = &|disk| {
        disk.write(&beside, b"")?;
        disk.rename(&beside, &path)?;
        disk.write(&path, b"new")
    };
    for wrong in [in_place, too_early] {
        let torn = Cell::new(false);
        at_every_step(
            || std::fs::write(&path, "old").unwrap(),
            |disk| wrong(disk).map_err(ApplyError::file(&path, "writing")),
            |stopped| {
                let found = std::fs::read(&path).unwrap();
                torn.set(
                    torn.get() || stopped.by == Stop::Kill && found != b"old" && found != b"new",
                );
            },
        );
        assert!(torn.get());
    }
}
