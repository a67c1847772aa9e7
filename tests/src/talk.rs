//! Python processes that are told something line by line, and answer line by line.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::programs::python;

/// A running script of `tests/python`. Dropping it kills it.
#[derive(Debug)]
pub struct Talk {
    child: Child,
    requests: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Talk {
    /// Starts a script.
    #[must_use]
    pub fn start(script: &str, arguments: &[&OsStr]) -> Self {
        let mut command = python(script);
        let command = command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("python3 starts");
        let answers = BufReader::new(child.stdout.take().expect("piped"));
        Self { requests: child.stdin.take(), child, answers }
    }

    /// Tells it a line. A script that has ended hears nothing, and [`Talk::hear`] shows it.
    pub fn say(&mut self, line: &str) {
        let requests = self.requests.as_mut().expect("BUG: nothing is said after the end");
        let _ = writeln!(requests, "{line}");
    }

    /// Waits for its next line; empty when it has ended.
    pub fn hear(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("a line");
        line.trim_end().to_owned()
    }

    /// How it ended, once it has said its last.
    pub fn end(&mut self) -> ExitStatus {
        self.child.wait().expect("the process")
    }

    /// Ends its input.
    pub fn hang_up(&mut self) {
        self.requests = None;
    }

    /// kill -9.
    pub fn kill(self) {
        drop(self);
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        if self.child.try_wait().expect("the process").is_none() {
            let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
            let _ = kill_process(pid.expect("a process id"), Signal::KILL);
            self.child.wait().expect("the killed process");
        }
    }
}
