//! Which files in the standby's folder are the standby's own. Whatever else lies there is never changed.
//!
//! Invariant O1: no database, and nothing beside one, is opened for writing, moved or written over before [`check`] has found
//! that it is ours (enforced by `follow::jobs` for every file that is opened, and by [`Held::check_unchanged`] where much time
//! has passed since). Ours is:
//! - what carries the read-only mark, in the file or in its log: nobody else sets it;
//! - the very file that the sidecar remembers, also where a stray writer has taken off the mark, or damage has;
//! - what has no content.
//!
//! Nothing here opens a file in a way that SQLite's readers would notice: a database is read as if nobody could change
//! it, without locks, and a `-wal` takes none.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::time::UNIX_EPOCH;

use segment::PageSize;
use serde::{Deserialize, Serialize};

use super::files;
use crate::error::ApplyError;
use crate::sqlite::{WRITE_VERSION_AT, has_mark, header_in_file};

/// Length of a `-wal` file's header (sqlite.org/fileformat2.html, 4.1).
const LOG_HEADER: usize = 32;
/// Length of the header before each page in it.
const FRAME_HEADER: usize = 24;
/// As much of a frame as tells whether its page is a page 1 with the mark.
const FRAME_START: usize = FRAME_HEADER + WRITE_VERSION_AT + 2;

/// One file, under whatever name: another one that is put in its place is another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileId {
    device: u64,
    inode: u64,
    /// Numbers of inodes are used again; `None` where the file system does not know.
    born_ns: Option<u64>,
}

impl FileId {
    /// The file at `path`, if there is one.
    pub(crate) fn of(path: &Path) -> Result<Option<Self>, ApplyError> {
        let metadata = match fs::symlink_metadata(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            other => other.map_err(ApplyError::file(path, "looking at the file"))?,
        };
        let born = metadata.created().ok().and_then(|born| born.duration_since(UNIX_EPOCH).ok());
        Ok(Some(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            born_ns: born.and_then(|born| u64::try_from(born.as_nanos()).ok()),
        }))
    }
}

/// What lies at the path of a standby database, and may be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    file: Option<FileId>,
    /// Whether it is more than an empty file.
    pub(crate) has_content: bool,
}

impl Held {
    /// Whether the same file, or none, still lies there, and has not come by content meanwhile.
    pub(crate) fn check_unchanged(&self, path: &Path) -> Result<(), ApplyError> {
        let has_content = files::length(path)? > Some(0);
        if FileId::of(path)? != self.file || (has_content && !self.has_content) {
            return Err(ApplyError::NotOurs(path.to_owned()));
        }
        Ok(())
    }
}

/// Finds out whether what lies at `path` and beside it is ours.
///
/// # Errors
/// [`ApplyError::NotOurs`] where it is not.
pub(crate) fn check(path: &Path, remembered: Option<FileId>) -> Result<Held, ApplyError> {
    let has_content = files::length(path)? > Some(0);
    let file = FileId::of(path)?;
    let is_remembered = file.is_some() && file == remembered;
    if is_remembered || is_ours(path, has_content)? {
        return Ok(Held { file, has_content });
    }
    Err(ApplyError::NotOurs(path.to_owned()))
}

fn is_ours(path: &Path, has_content: bool) -> Result<bool, ApplyError> {
    if has_content {
        return Ok(is_marked(path)? || log(path)? == Log::Marked);
    }
    let has_journal = files::length(&files::companion(path, "-journal"))? > Some(0);
    Ok(!has_journal && log(path)? != Log::Foreign)
}

/// Whether the mark stands in the file itself.
fn is_marked(path: &Path) -> Result<bool, ApplyError> {
    match header_in_file(path) {
        Ok(header) => Ok(has_mark(&header)),
        Err(error) if error.is_broken_file() => Ok(false),
        Err(error) => Err(error),
    }
}

/// What stands in the `-wal` file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Log {
    /// No frame.
    Empty,
    /// Frames of ours: each of our changes writes page 1, with the mark.
    Marked,
    /// Frames of somebody else, or nothing that SQLite would read.
    Foreign,
}

fn log(path: &Path) -> Result<Log, ApplyError> {
    let path = files::companion(path, "-wal");
    match files::length(&path)? {
        Some(length) if length > LOG_HEADER as u64 => {
            let read = File::open(&path).and_then(|file| read_log(&file, length));
            read.map_err(ApplyError::file(&path, "reading"))
        }
        _ => Ok(Log::Empty),
    }
}

/// Looks for the first image of page 1.
fn read_log(file: &File, length: u64) -> io::Result<Log> {
    let mut header = [0; LOG_HEADER];
    file.read_exact_at(&mut header, 0)?;
    let Some(page_size) = PageSize::new(be_u32(&header, 8)) else { return Ok(Log::Foreign) };
    let (salts, frame) = (&header[16..24], FRAME_HEADER as u64 + u64::from(page_size.get()));
    let (mut at, mut start) = (LOG_HEADER as u64, [0; FRAME_START]);
    while at + frame <= length {
        file.read_exact_at(&mut start, at)?;
        match be_u32(&start, 0) {
            _ if &start[8..16] != salts => break,
            1 if has_mark(&start[FRAME_HEADER..]) => return Ok(Log::Marked),
            1 => break,
            _ => at += frame,
        }
    }
    Ok(Log::Foreign)
}

fn be_u32(bytes: &[u8], at: usize) -> u32 {
    bytes[at..at + 4].iter().fold(0, |number, byte| number << 8 | u32::from(*byte))
}

#[cfg(test)]
mod tests;
