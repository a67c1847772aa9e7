//! Whether this user may do with the files of a database what capturing it takes.
//!
//! - In WAL mode every reader writes to the `-shm`, and makes it where it is missing; a checkpoint, without which the log
//!   never gets shorter, writes the database (<https://sqlite.org/wal.html#read_only_databases>).
//! - In a rollback journal mode reading is enough, until a killed application leaves a journal: whoever reads next rolls
//!   the database back (<https://sqlite.org/lockingv3.html#hot_journals>).

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use rustix::fs::{Access, access};
use rustix::process::{Flock, FlockType, fcntl_getlk};

use super::Verdict;
use super::folder::why_not_writable;
use crate::identity::sibling;

/// Locked as long as a transaction writes (<https://sqlite.org/fileformat2.html#the_lock_byte_page>).
const RESERVED_BYTE: u64 = 0x4000_0001;

/// What this user lacks, and whether that keeps a database in WAL mode from being captured.
pub(super) fn check_wal(path: &Path) -> Option<(Verdict, String)> {
    let both = Access::READ_OK | Access::WRITE_OK;
    let log = sibling(path, "-wal");
    let lacking = lacking(path, both)
        .or_else(|| lacking_or_unmakable(&log, Access::READ_OK))
        .or_else(|| lacking_or_unmakable(&sibling(path, "-shm"), both));
    let found = lacking.map(|why| (Verdict::Fail, why));
    found.or_else(|| lacking_where_present(&log, both).map(|why| (Verdict::Warn, why)))
}

/// The same for a database in a rollback journal mode, whose file is `file`.
///
/// # Errors
/// If its journal cannot be read.
pub(super) fn check_rollback(path: &Path, file: &File) -> io::Result<Option<(Verdict, String)>> {
    let both = Access::READ_OK | Access::WRITE_OK;
    let Some(why) = lacking(path, both).or_else(|| why_not_writable(path.parent()?)) else {
        return Ok(None);
    };
    if is_hot(&sibling(path, "-journal"), file)? {
        let left = format!("a killed application left a journal that is to be rolled back; {why}");
        return Ok(Some((Verdict::Fail, left)));
    }
    Ok(Some((Verdict::Warn, why)))
}

fn lacking(path: &Path, wanted: Access) -> Option<String> {
    access(path, wanted).err().map(|error| format!("{}: {error}", path.display()))
}

fn lacking_where_present(path: &Path, wanted: Access) -> Option<String> {
    if path.exists() { lacking(path, wanted) } else { None }
}

fn lacking_or_unmakable(path: &Path, wanted: Access) -> Option<String> {
    if path.exists() {
        return lacking(path, wanted);
    }
    let why = why_not_writable(path.parent()?)?;
    Some(format!("{} cannot be made: {why}", path.display()))
}

/// Whether a journal has content and no transaction is under way: what SQLite itself goes by.
fn is_hot(journal: &Path, database: &File) -> io::Result<bool> {
    let reserved = Flock { start: RESERVED_BYTE, length: 1, ..FlockType::ReadLock.into() };
    if !journal.exists() || fcntl_getlk(database, &reserved)?.is_some() {
        return Ok(false);
    }
    let mut first = [0];
    let bytes = File::open(journal)?.read(&mut first)?;
    Ok(bytes == 1 && first != [0])
}
