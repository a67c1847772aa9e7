//! The memory of a running process, as the kernel counts it.

/// Resident now, in KiB.
#[must_use]
pub fn resident_kib(pid: u32) -> usize {
    of_status(pid, "VmRSS:")
}

/// The most that was ever resident, in KiB.
#[must_use]
pub fn resident_kib_max(pid: u32) -> usize {
    of_status(pid, "VmHWM:")
}

fn of_status(pid: u32, key: &str) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
    let line = status.lines().find_map(|line| line.strip_prefix(key)).expect("its memory");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}
