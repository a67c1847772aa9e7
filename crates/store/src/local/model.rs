//! A modelled disk that is stopped at a chosen step, and that then loses any part of what was not synced.
//!
//! The fault model is harsher than any file system: after a power cut each change of a name that was not
//! synced by its folder may be there or not, independently of all others, and each file that was not synced
//! may hold all, half or none of its bytes. A kill loses nothing, but the process does nothing any more.

use super::disk::{Disk, Found, Kind, NewFile};
use parking_lot::Mutex;
use segment::Millis;
use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::sync::Arc;

#[derive(Clone, Default)]
pub(super) struct ModelDisk(Arc<Mutex<State>>);

#[derive(Clone, Default)]
struct State {
    files: Vec<Content>,
    /// What a running process sees.
    names: Names,
    /// What stands for certain after a power cut.
    durable: Names,
    /// Changes of names that no sync has covered yet, in order.
    pending: Vec<Change>,
    steps: usize,
    stops_at: Option<usize>,
    lies: Lies,
}

type Names = BTreeMap<String, Node>;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Node {
    Folder,
    File(usize),
}

#[derive(Clone, Default)]
struct Content {
    bytes: Vec<u8>,
    is_synced: bool,
}

#[derive(Clone)]
struct Change {
    add: Option<(String, Node)>,
    remove: Option<String>,
}

/// Syncs that claim success and do nothing, to show that the checks notice.
#[derive(Clone, Copy, Default)]
pub(super) struct Lies {
    pub(super) file_syncs: bool,
    pub(super) folder_syncs: bool,
}

impl ModelDisk {
    pub(super) fn lying(lies: Lies) -> ModelDisk {
        let disk = ModelDisk::default();
        disk.0.lock().lies = lies;
        disk
    }

    /// From here on only `steps` more steps are carried out.
    pub(super) fn stop_after(&self, steps: usize) {
        let mut state = self.0.lock();
        state.stops_at = Some(state.steps + steps);
    }

    pub(super) fn steps(&self) -> usize {
        self.0.lock().steps
    }

    /// The disk as another process, or the next one, finds it.
    pub(super) fn after_kill(&self) -> ModelDisk {
        let state = State { stops_at: None, ..self.0.lock().clone() };
        ModelDisk(Arc::new(Mutex::new(state)))
    }

    /// Every disk that a power cut can leave.
    pub(super) fn after_power_cut(&self) -> Vec<ModelDisk> {
        let state = self.0.lock();
        let changes = state.pending.len();
        assert!(changes <= 12, "too many combinations: {changes}");
        let mut disks = Vec::new();
        for kept in 0..1_u32 << changes {
            for part in 0..3 {
                disks.push(state.left(kept, part));
            }
        }
        disks
    }
}

impl State {
    /// Keeps the pending changes whose bit is set, and `part` halves of each file that was not synced.
    fn left(&self, kept: u32, part: usize) -> ModelDisk {
        let mut names = self.durable.clone();
        for (index, change) in self.pending.iter().enumerate() {
            if kept & (1 << index) != 0 {
                change.apply(&mut names);
            }
        }
        let all = names.clone();
        names
            .retain(|path, _| ancestors(path).all(|folder| all.get(folder) == Some(&Node::Folder)));
        let mut files = self.files.clone();
        for file in files.iter_mut().filter(|file| !file.is_synced) {
            file.bytes.truncate(file.bytes.len() * part / 2);
            file.is_synced = true;
        }
        let (durable, lies) = (names.clone(), self.lies);
        let left = State { files, names, durable, lies, ..State::default() };
        ModelDisk(Arc::new(Mutex::new(left)))
    }

    fn step(&mut self) -> io::Result<()> {
        if self.stops_at.is_some_and(|stop| self.steps >= stop) {
            return Err(io::Error::other("the process was killed"));
        }
        self.steps += 1;
        Ok(())
    }

    fn change(&mut self, add: Option<(String, Node)>, remove: Option<String>) {
        let change = Change { add, remove };
        change.apply(&mut self.names);
        self.pending.push(change);
    }

    fn file(&self, path: &str) -> io::Result<usize> {
        match self.names.get(path) {
            Some(Node::File(file)) => Ok(*file),
            Some(Node::Folder) => Err(ErrorKind::IsADirectory.into()),
            None => Err(ErrorKind::NotFound.into()),
        }
    }

    fn check_parent(&self, path: &str) -> io::Result<()> {
        let is_there = ancestors(path).all(|folder| self.names.get(folder) == Some(&Node::Folder));
        if is_there { Ok(()) } else { Err(ErrorKind::NotFound.into()) }
    }

    fn check_free(&self, path: &str) -> io::Result<()> {
        self.check_parent(path)?;
        if self.names.contains_key(path) { Err(ErrorKind::AlreadyExists.into()) } else { Ok(()) }
    }

    fn found(&self, file: usize) -> Found {
        Found { bytes: self.files[file].bytes.len() as u64, modified: Millis::new(1) }
    }
}

impl Change {
    fn apply(&self, names: &mut Names) {
        if let Some(path) = &self.remove {
            names.remove(path);
        }
        if let Some((path, node)) = &self.add {
            names.insert(path.clone(), *node);
        }
    }

    /// The folder whose sync covers it: a rename is one change, covered where it arrives.
    fn folder(&self) -> &str {
        let added = self.add.as_ref().map(|(path, _)| path);
        folder_of(added.or(self.remove.as_ref()).expect("a change changes something"))
    }
}

struct OpenFile {
    disk: ModelDisk,
    file: usize,
}

impl NewFile for OpenFile {
    fn write(&mut self, body: &[u8]) -> io::Result<()> {
        // Two steps, so that a kill can leave half of it.
        let (first, second) = body.split_at(body.len() / 2);
        for half in [first, second] {
            let mut state = self.disk.0.lock();
            state.step()?;
            state.files[self.file].bytes.extend_from_slice(half);
        }
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut state = self.disk.0.lock();
        state.step()?;
        let is_real = !state.lies.file_syncs;
        state.files[self.file].is_synced = is_real;
        Ok(())
    }
}

impl Disk for ModelDisk {
    fn create(&self, path: &str) -> io::Result<Box<dyn NewFile>> {
        let mut state = self.0.lock();
        state.step()?;
        state.check_free(path)?;
        state.files.push(Content::default());
        let file = state.files.len() - 1;
        state.change(Some((path.to_owned(), Node::File(file))), None);
        Ok(Box::new(OpenFile { disk: self.clone(), file }))
    }

    fn link(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.0.lock();
        state.step()?;
        let file = state.file(from)?;
        state.check_free(to)?;
        state.change(Some((to.to_owned(), Node::File(file))), None);
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.0.lock();
        state.step()?;
        let file = state.file(from)?;
        state.check_parent(to)?;
        state.change(Some((to.to_owned(), Node::File(file))), Some(from.to_owned()));
        Ok(())
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        let mut state = self.0.lock();
        state.step()?;
        state.file(path)?;
        state.change(None, Some(path.to_owned()));
        Ok(())
    }

    fn make_folder(&self, path: &str) -> io::Result<()> {
        let mut state = self.0.lock();
        state.step()?;
        state.check_parent(path)?;
        if !state.names.contains_key(path) {
            state.change(Some((path.to_owned(), Node::Folder)), None);
        }
        Ok(())
    }

    fn remove_folder(&self, path: &str) -> io::Result<()> {
        let mut state = self.0.lock();
        state.step()?;
        if state.names.keys().any(|name| folder_of(name) == path) {
            return Err(ErrorKind::DirectoryNotEmpty.into());
        }
        state.change(None, Some(path.to_owned()));
        Ok(())
    }

    fn sync_folder(&self, path: &str) -> io::Result<()> {
        let mut state = self.0.lock();
        state.step()?;
        if state.lies.folder_syncs {
            return Ok(());
        }
        let State { pending, durable, .. } = &mut *state;
        pending.retain(|change| {
            let is_covered = change.folder() == path;
            if is_covered {
                change.apply(durable);
            }
            !is_covered
        });
        Ok(())
    }

    fn read(&self, path: &str, range: Range<u64>) -> io::Result<(Vec<u8>, Found)> {
        let mut state = self.0.lock();
        state.step()?;
        let file = state.file(path)?;
        let bytes = &state.files[file].bytes;
        let end = (range.end as usize).min(bytes.len());
        let start = (range.start as usize).min(end);
        Ok((bytes[start..end].to_vec(), state.found(file)))
    }

    fn stat(&self, path: &str) -> io::Result<Found> {
        let mut state = self.0.lock();
        state.step()?;
        let file = state.file(path)?;
        Ok(state.found(file))
    }

    fn entries(&self, folder: &str, visit: &mut dyn FnMut(&str, Kind)) -> io::Result<()> {
        let state = self.0.lock();
        for (path, node) in state.names.iter().filter(|(path, _)| folder_of(path) == folder) {
            let kind = if *node == Node::Folder { Kind::Folder } else { Kind::File };
            visit(path.rsplit('/').next().unwrap_or(path), kind);
        }
        Ok(())
    }

    fn lock(&self, _: &str) -> io::Result<Box<dyn Send>> {
        self.0.lock().step()?;
        Ok(Box::new(()))
    }

    fn is_in_place(&self) -> bool {
        true
    }
}

fn folder_of(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

fn ancestors(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(|(at, _)| &path[..at])
}
