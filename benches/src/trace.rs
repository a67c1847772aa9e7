//! Counts what a process asks of the store's folder, by strace: requests cannot be seen from outside otherwise.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::process::Process;

/// Requests to the store in a while.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Requests {
    /// Folders whose entries were read: LIST.
    pub(crate) lists: u64,
    /// Files that were opened or asked for, whether they exist or not: GET.
    pub(crate) gets: u64,
    /// Names that were made: PUT.
    pub(crate) puts: u64,
}

/// Watches a process for a while; `None` where strace is missing or may not.
pub(crate) fn requests(pid: u32, store: &Path, time: Duration, log: &Path) -> Option<Requests> {
    let found = Command::new("strace").arg("-V").stdout(Stdio::null()).status();
    found.ok().filter(std::process::ExitStatus::success)?;
    let pid = pid.to_string();
    let calls = "trace=openat,getdents64,link,linkat,rename,renameat,renameat2";
    let arguments = ["-f", "-qq", "-y", "-s", "0", "-p", &pid, "-e", calls];
    let strace = Process::start(Path::new("strace"), arguments, None, log).ok()?;
    std::thread::sleep(time);
    let is_told = |failure: console::Failure| failure.error.contains("has failed");
    // A tracer that is asked to end detaches and dies of the signal: that is its way to succeed.
    strace
        .terminate(Duration::from_secs(10))
        .or_else(|f| is_told(f).then_some(()).ok_or(()))
        .ok()?;
    let text = std::fs::read_to_string(log).ok()?;
    (!text.contains("ptrace(")).then(|| count(&text, &store.display().to_string()))
}

fn count(text: &str, store: &str) -> Requests {
    let inside = text.lines().filter(|line| line.contains(store));
    inside.fold(Requests::default(), |mut requests, line| {
        if line.contains("getdents64(") {
            requests.lists += u64::from(!line.ends_with("= 0"));
        } else if line.contains("link") || line.contains("rename") {
            requests.puts += 1;
        } else if line.contains("openat(")
            && !line.contains("O_DIRECTORY")
            && !line.contains("O_CREAT")
        {
            requests.gets += 1;
        }
        requests
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_told_apart() {
        let text = "\
[pid 1] openat(AT_FDCWD</>, \"/s/log\"..., O_RDONLY|O_DIRECTORY) = 5</s/log>
[pid 1] getdents64(5</s/log>, 0x1, 32768) = 48
[pid 1] getdents64(5</s/log>, 0x1, 32768) = 0
[pid 1] openat(AT_FDCWD</>, \"/s/log/1.seg\", O_RDONLY|O_CLOEXEC) = -1 ENOENT (No such file or directory)
[pid 1] openat(AT_FDCWD</>, \"/s/tmp/x\", O_WRONLY|O_CREAT|O_EXCL, 0666) = 6
[pid 1] linkat(AT_FDCWD</>, \"/s/tmp/x\", AT_FDCWD</>, \"/s/log/1.seg\", 0) = 0
[pid 1] openat(AT_FDCWD</>, \"/elsewhere/x\", O_RDONLY) = 7
";
        assert_eq!(count(text, "/s"), Requests { lists: 1, gets: 1, puts: 1 });
    }
}
