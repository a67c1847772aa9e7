//! What a running process uses, as the kernel counts it. Linux only: elsewhere nothing is known, and nothing is shown.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Kernel clock ticks a second: what user space is shown on every Linux, whatever the kernel's own rate is.
const TICKS_A_SECOND: f64 = 100.0;

/// Processor seconds that a process has used so far.
///
/// The scheduler's own account, in nanoseconds, of every living thread; a thread that ended between two readings is
/// missing, so the larger of this and the account in ticks counts.
pub(crate) fn processor_seconds(pid: u32) -> Option<f64> {
    let ticks = in_ticks(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)?;
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).ok()?;
    let nanos: Option<Vec<f64>> = tasks.map(|task| of_task(&task.ok()?.path())).collect();
    Some(nanos.map_or(0.0, |nanos| nanos.iter().sum::<f64>() / 1e9).max(ticks))
}

fn of_task(task: &Path) -> Option<f64> {
    std::fs::read_to_string(task.join("schedstat")).ok()?.split_whitespace().next()?.parse().ok()
}

/// Fields 14 and 15 of the line; the name in parentheses may hold anything.
fn in_ticks(stat: &str) -> Option<f64> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |index: usize| fields.get(index)?.parse::<f64>().ok();
    Some((ticks(11)? + ticks(12)?) / TICKS_A_SECOND)
}

/// Resident memory in bytes.
pub(crate) fn resident_bytes(pid: u32) -> Option<u64> {
    in_status(&std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?, "VmRSS:")
}

/// The largest resident memory that it ever had, in bytes.
pub(crate) fn resident_bytes_max(pid: u32) -> Option<u64> {
    in_status(&std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?, "VmHWM:")
}

fn in_status(status: &str, key: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib << 10)
}

/// Open files of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Descriptors {
    /// All of them.
    pub(crate) total: usize,
    /// The most that any one database in the folder has, with its `-wal` and `-shm`.
    pub(crate) of_a_database: usize,
    /// Of these on the main file of that database: one connection has one.
    pub(crate) on_its_file: usize,
}

/// The open files of a process, and of the databases in `folder`.
pub(crate) fn descriptors(pid: u32, folder: &Path) -> Option<Descriptors> {
    let entries = std::fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
    let links = entries.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    Some(count(&links.collect::<Vec<_>>(), folder))
}

fn count(links: &[PathBuf], folder: &Path) -> Descriptors {
    let mut databases: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    let inside = links.iter().filter_map(|link| link.strip_prefix(folder).ok()?.to_str());
    for name in inside {
        let main = name.strip_suffix("-wal").or_else(|| name.strip_suffix("-shm")).unwrap_or(name);
        let (all, on_main) = databases.entry(main).or_default();
        *all += 1;
        *on_main += usize::from(main == name);
    }
    let (of_a_database, on_its_file) = databases.into_values().max().unwrap_or_default();
    Descriptors { total: links.len(), of_a_database, on_its_file }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_lines_are_understood() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 9 0 100 1 2";
        assert_eq!(in_ticks(stat), Some(3.0));
        assert_eq!(in_ticks("broken"), None);
        let status = "Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n";
        assert_eq!(in_status(status, "VmRSS:"), Some(1 << 20));
        assert_eq!(in_status(status, "VmSwap:"), None);
    }

    #[test]
    fn descriptors_are_counted_by_database() {
        let links =
            ["/p/a.db", "/p/a.db-wal", "/p/a.db-shm", "/p/b.db", "/x/b.db-wal", "socket:[1]"];
        let counted = count(&links.map(PathBuf::from), Path::new("/p"));
        assert_eq!(counted, Descriptors { total: 6, of_a_database: 3, on_its_file: 1 });
    }
}
