//! Whether each database can be read and shipped.
//!
//! SQLite is not asked: opening a database can make its `-shm`, and reading it can play a hot journal back. What it would
//! say about locks is seen by asking the system about them. The files are opened here, which must not happen in a process
//! that has them open through SQLite, since closing a descriptor drops that connection's locks: no other command does.

use std::fs::File;
use std::io::{self, Read};
use std::thread::sleep;
use std::time::Duration;

use console::config::{self, WalshipConfig};
use rustix::process::{Flock, FlockType, fcntl_getlk};

use super::{Line, Verdict, rights};
use crate::identity::{self, PathState};
use crate::memory::{self, Memory};

/// The bytes that every reader of a database locks (<https://sqlite.org/fileformat2.html#the_lock_byte_page>).
const SHARED_BYTES: (u64, u64) = (0x4000_0002, 510);
/// A commit to a rollback journal takes the exclusive lock for a moment; who holds it this long keeps it.
const COMMIT: (u32, Duration) = (10, Duration::from_millis(50));
const OWNER: &str = "run as the user that owns the database";
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

pub(super) fn check_all(config: &WalshipConfig) -> Vec<Line> {
    let memory = Memory::load(&config.state_dir.join(memory::FILE));
    let found = config::discover(config, &memory.homes());
    let warnings =
        found.warnings.into_iter().map(|warning| Line::new("databases", Verdict::Warn, warning));
    let mut lines: Vec<Line> = warnings.collect();
    lines.extend(found.taken.iter().map(|taken| {
        Line::new("databases", Verdict::Fail, taken.to_string())
            .hint("list it by `path` with a `name` of its own")
    }));
    if found.databases.is_empty() {
        lines.push(
            Line::new("databases", Verdict::Warn, "none")
                .hint("add a [[databases]] table with `path` or `glob`"),
        );
    }
    lines.extend(found.databases.iter().map(check));
    lines
}

fn check(database: &config::Database) -> Line {
    let (check, path) = (format!("database {}", database.name), database.path.display());
    match identity::look(&database.path) {
        Ok(PathState::Missing) => {
            Line::new(check, Verdict::Warn, format!("{path} does not exist yet"))
                .hint("it is picked up when it appears")
        }
        Ok(PathState::Empty) => {
            Line::new(check, Verdict::Ok, "0 bytes: it is picked up at its first commit")
        }
        Ok(PathState::Refused(why)) => {
            Line::new(check, Verdict::Fail, why).hint("give the path of the database file itself")
        }
        Ok(PathState::File(_)) if let Some(why) = identity::unfit_folder(&database.path) => {
            Line::new(check, Verdict::Fail, why).hint("move it to a local disk")
        }
        Ok(PathState::File(_)) => check_file(&check, database)
            .unwrap_or_else(|error| unreadable(&check, database, &error)),
        Err(error) => Line::new(check, Verdict::Fail, format!("{path}: {error}")),
    }
}

fn unreadable(check: &str, database: &config::Database, error: &io::Error) -> Line {
    Line::new(check, Verdict::Fail, format!("{}: {error}", database.path.display())).hint(OWNER)
}

fn check_file(check: &str, database: &config::Database) -> io::Result<Line> {
    let file = File::open(&database.path)?;
    let mut header = Vec::new();
    (&file).take(100).read_to_end(&mut header)?;
    // A file without a byte that has a log: all of its pages are still there.
    let journal = if header.is_empty() { Some(2) } else { journal_format(&header) };
    let Some(journal) = journal else {
        let found = "not a database that SQLite can read (encrypted, or another kind of file)";
        return Ok(Line::new(check, Verdict::Fail, found));
    };
    if let Some(holder) = exclusive_holder(&file)? {
        let found = format!("process {holder} holds it exclusively (locking_mode=EXCLUSIVE?)");
        return Ok(Line::new(check, Verdict::Fail, found).hint("it is shipped when that lets go"));
    }
    let rights = match journal {
        1 => rights::check_rollback(&database.path, &file)?,
        2 => rights::check_wal(&database.path),
        _ => None,
    };
    if let Some((verdict, found)) = rights {
        return Ok(Line::new(check, verdict, found).hint(OWNER));
    }
    let tier = &database.tier;
    Ok(match journal {
        2 => Line::new(check, Verdict::Ok, format!("WAL mode, tier {tier}")),
        1 => Line::new(check, Verdict::Warn, format!("rollback journal, tier {tier}"))
            .hint("its pages are compared after each change; `PRAGMA journal_mode=WAL` is cheaper"),
        other => Line::new(check, Verdict::Fail, format!("journal format {other} is not SQLite's")),
    })
}

/// The version for reading in the header of a database.
fn journal_format(header: &[u8]) -> Option<u8> {
    header.starts_with(MAGIC).then(|| header.get(19).copied()).flatten()
}

/// The process that keeps everybody else from reading.
fn exclusive_holder(file: &File) -> io::Result<Option<i32>> {
    let wanted =
        Flock { start: SHARED_BYTES.0, length: SHARED_BYTES.1, ..FlockType::ReadLock.into() };
    for _ in 0..COMMIT.0 {
        if fcntl_getlk(file, &wanted)?.is_none() {
            return Ok(None);
        }
        sleep(COMMIT.1);
    }
    let held = fcntl_getlk(file, &wanted)?;
    Ok(held.map(|lock| lock.pid.map_or(0, |pid| pid.as_raw_nonzero().get())))
}
