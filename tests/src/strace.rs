//! Faults from outside: a running process is made to fail at one system call.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

/// strace attached to a process.
#[derive(Debug)]
pub struct Injection {
    child: Child,
}

impl Injection {
    /// Attaches to all threads of a process and injects `fault` (strace's own words), for example
    /// `fdatasync:error=EIO:when=1`.
    #[must_use]
    pub fn into_process(pid: u32, fault: &str) -> Self {
        Self::with(pid, fault, &[])
    }

    /// The same for calls that concern this file only.
    #[must_use]
    pub fn into_process_at(pid: u32, fault: &str, file: &Path) -> Self {
        Self::with(pid, fault, &["-P".as_ref(), file.as_os_str()])
    }

    fn with(pid: u32, fault: &str, arguments: &[&OsStr]) -> Self {
        let call = fault.split(':').next().expect("the name of a call");
        let mut command = Command::new("strace");
        command.args(["-f", "-p", &pid.to_string(), "-e", &format!("trace={call}")]);
        command.args(["-e", &format!("inject={fault}")]).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("strace starts");
        let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        let attached = lines.find(|line| line.as_ref().is_ok_and(|line| line.contains("attached")));
        assert!(attached.is_some(), "strace did not attach to {pid}");
        // strace must not block on a full pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child }
    }

    /// Detaches; the process goes on.
    pub fn end(mut self) {
        self.detach();
    }

    fn detach(&mut self) {
        if self.child.try_wait().expect("strace").is_none() {
            let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
            let _ = kill_process(pid.expect("a process id"), Signal::TERM);
            self.child.wait().expect("strace ends");
        }
    }
}

impl Drop for Injection {
    fn drop(&mut self) {
        self.detach();
    }
}
