//! A program under test as a process: its log, its signals, its end.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::wait::until;

/// A running process whose standard error goes to a file. Dropping it kills it.
#[derive(Debug)]
pub struct Program {
    child: Child,
    log: PathBuf,
}

impl Program {
    /// Starts `command`; what it logs is written to `log`.
    #[must_use]
    pub fn start(mut command: Command, log: &Path) -> Self {
        let file = File::create(log).expect("a log file");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file);
        let child = command.spawn().expect("the program starts");
        Self { child, log: log.to_owned() }
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The file of its log.
    #[must_use]
    pub fn log_path(&self) -> PathBuf {
        self.log.clone()
    }

    /// Everything logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).expect("the log file")).into_owned()
    }

    /// Waits for a line of the log that holds all of `words`, and returns it. Fails when the program ends first.
    pub fn await_line(&mut self, words: &[&str]) -> String {
        let log = self.log.clone();
        until(&format!("a line with {words:?} in {}", log.display()), || {
            let ended = self.child.try_wait().expect("the process").is_some();
            let found = self.lines_with(words).next();
            assert!(found.is_some() || !ended, "it ended without {words:?}:\n{}", self.log());
            found
        })
    }

    /// The lines of the log that hold all of `words`.
    pub fn lines_with(&self, words: &[&str]) -> impl Iterator<Item = String> {
        let fits = |line: &&str| words.iter().all(|word| line.contains(word));
        self.log().lines().filter(fits).map(str::to_owned).collect::<Vec<_>>().into_iter()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        // The process may have ended by itself: then there is nobody to be told.
        let _ = kill_process(pid.expect("a process id"), signal);
    }

    /// kill -9.
    pub fn kill(mut self) {
        self.signal(Signal::KILL);
        self.child.wait().expect("the killed process");
    }

    /// SIGTERM, then its exit code.
    pub fn terminate(self) -> i32 {
        self.signal(Signal::TERM);
        self.exit()
    }

    /// Waits for its end; its exit code, or -1 if a signal ended it.
    pub fn exit(mut self) -> i32 {
        let log = self.log.clone();
        let status: ExitStatus =
            until(&format!("the end of the program, see {}", log.display()), || {
                self.child.try_wait().expect("the process")
            });
        status.code().unwrap_or(-1)
    }

    /// True while it runs.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("the process").is_none()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if self.is_running() {
            self.signal(Signal::KILL);
            let _ = self.child.wait();
        }
    }
}
