//! The processes of the demo: started, watched, killed, ended.
//!
//! What must always hold: a process that was started is reaped or killed before its value is gone, whatever happens.
//! Each is in a process group of its own, so that an interrupt typed at the terminal reaches the demo alone, which
//! then ends the others in order.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::Arc;

use console::{ExitCode, Failure};
use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process};

/// As much of the end of a log as a failure shows.
const LOG_END_BYTES: u64 = 1_500;

/// One program of the demo, running or not.
pub struct Process {
    name: String,
    program: PathBuf,
    arguments: Vec<OsString>,
    log: PathBuf,
    child: Option<Child>,
    is_ending: bool,
}

impl Process {
    /// A process that is not started yet; what it says goes to `log`.
    pub fn new<A: Into<OsString>>(
        name: &str,
        program: &Path,
        arguments: impl IntoIterator<Item = A>,
        log: PathBuf,
    ) -> Self {
        let arguments = arguments.into_iter().map(Into::into).collect();
        Self {
            name: name.to_owned(),
            program: program.to_owned(),
            arguments,
            log,
            child: None,
            is_ending: false,
        }
    }

    /// Starts it.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn start(&mut self) -> Result<(), Failure> {
        self.spawn(Stdio::null(), None)
    }

    fn spawn(&mut self, input: Stdio, output: Option<Stdio>) -> Result<(), Failure> {
        let log = self.open_log().map_err(|error| self.failed(&format!("has no log: {error}")))?;
        let output = output.map_or_else(|| log.try_clone().map(Stdio::from), Ok);
        let output = output.map_err(|error| self.failed(&format!("has no log: {error}")))?;
        let started = Command::new(&self.program)
            .args(&self.arguments)
            .stdin(input)
            .stdout(output)
            .stderr(log)
            .process_group(0)
            .spawn();
        let child = started.map_err(|error| self.failed(&format!("cannot be started: {error}")))?;
        self.child = Some(child);
        self.is_ending = false;
        Ok(())
    }

    fn open_log(&self) -> io::Result<File> {
        File::options().append(true).create(true).open(&self.log)
    }

    /// Kills it in the middle of whatever it does (SIGKILL).
    ///
    /// # Errors
    /// When it does not run any more, though nobody ended it.
    pub fn kill(&mut self) -> Result<(), Failure> {
        self.check()?;
        self.end_by_force();
        Ok(())
    }

    fn end_by_force(&mut self) {
        if let Some(mut child) = self.child.take() {
            // A child that has ended already needs no signal; either way it is reaped.
            let killed = child.kill();
            let reaped = child.wait();
            tracing::trace!(name = self.name, ?killed, ?reaped, "ended by force");
        }
    }

    /// Makes sure that it has not ended unless it was asked to.
    ///
    /// # Errors
    /// With the end of its log, when it has ended by itself.
    pub fn check(&mut self) -> Result<(), Failure> {
        match self.status()? {
            Some(status) if !self.is_ending => {
                Err(self.told(&format!("has ended by itself ({status})")))
            }
            _ => Ok(()),
        }
    }

    fn status(&mut self) -> Result<Option<ExitStatus>, Failure> {
        let looked = self.child.as_mut().map_or(Ok(None), Child::try_wait);
        looked.map_err(|error| self.failed(&format!("cannot be watched: {error}")))
    }

    /// Asks it to end (SIGTERM).
    ///
    /// # Errors
    /// When it does not run any more, or the system refuses.
    pub fn ask_to_end(&mut self) -> Result<(), Failure> {
        self.check()?;
        self.is_ending = true;
        let pid = self.child.as_ref().map(Pid::from_child);
        let asked = pid.map_or(Ok(()), |pid| kill_process(pid, Signal::TERM));
        asked.map_err(|error| self.failed(&format!("cannot be asked to end: {error}")))
    }

    /// Whether it has ended, as it was asked to or because its work is over.
    ///
    /// # Errors
    /// With the end of its log, when it ended with another code than 0.
    pub fn has_ended(&mut self) -> Result<bool, Failure> {
        self.is_ending = true;
        match self.status()? {
            Some(status) if !status.success() => Err(self.told(&format!("has failed ({status})"))),
            Some(_) => {
                self.child = None;
                Ok(true)
            }
            None => Ok(self.child.is_none()),
        }
    }

    /// What it said last.
    #[must_use]
    pub fn last_words(&self) -> String {
        end_of(&self.log).unwrap_or_default()
    }

    fn failed(&self, what: &str) -> Failure {
        Failure::new(ExitCode::Failed, format!("the {} {what}", self.name))
    }

    fn told(&self, what: &str) -> Failure {
        let end = self.last_words();
        let said = if end.is_empty() { String::new() } else { format!(". Its last words:\n{end}") };
        self.failed(&format!("{what}{said}"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end_by_force();
    }
}

fn end_of(log: &Path) -> io::Result<String> {
    let mut file = File::open(log)?;
    let bytes = file.metadata()?.len();
    file.seek(SeekFrom::Start(bytes.saturating_sub(LOG_END_BYTES)))?;
    let mut text = Vec::new();
    file.read_to_end(&mut text)?;
    Ok(String::from_utf8_lossy(&text).trim().to_owned())
}

/// A writer process: ends when its input is closed, and tells what it has committed.
pub struct WriterProcess {
    process: Process,
    input: Option<ChildStdin>,
    counts: Arc<Mutex<Vec<u64>>>,
    listening: Option<std::thread::JoinHandle<()>>,
}

impl WriterProcess {
    /// Starts it.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn start(mut process: Process, databases: usize) -> Result<Self, Failure> {
        process.spawn(Stdio::piped(), Some(Stdio::piped()))?;
        let child = process.child.as_mut().expect("BUG: it was started just now");
        let (input, output) = (child.stdin.take(), child.stdout.take());
        let counts = Arc::new(Mutex::new(vec![0; databases]));
        let heard = Arc::clone(&counts);
        let listening = std::thread::Builder::new()
            .name("listen".into())
            .spawn(move || listen(output, &heard))
            .map_err(|error| process.failed(&format!("cannot be heard: {error}")))?;
        Ok(Self { process, input, counts, listening: Some(listening) })
    }

    /// How many transactions of each of its databases it has committed, as it said last.
    #[must_use]
    pub fn counts(&self) -> Vec<u64> {
        self.counts.lock().clone()
    }

    /// As [`Process::check`].
    ///
    /// # Errors
    /// As there.
    pub fn check(&mut self) -> Result<(), Failure> {
        self.process.check()
    }

    /// Tells it to end.
    pub fn tell_to_end(&mut self) {
        self.process.is_ending = true;
        drop(self.input.take());
    }

    /// Whether it has ended; its last counts are here then.
    ///
    /// # Errors
    /// When it has failed.
    pub fn has_ended(&mut self) -> Result<bool, Failure> {
        if !self.process.has_ended()? {
            return Ok(false);
        }
        match self.listening.take().map(std::thread::JoinHandle::join) {
            Some(Err(_)) => Err(self.process.failed("was not heard to its end")),
            _ => Ok(true),
        }
    }
}

/// Ends with the writer's output.
fn listen(output: Option<ChildStdout>, heard: &Mutex<Vec<u64>>) {
    let lines = output.into_iter().flat_map(|output| BufReader::new(output).lines());
    for line in lines.map_while(Result::ok) {
        match serde_json::from_str(&line) {
            Ok(counts) => *heard.lock() = counts,
            Err(error) => tracing::warn!(%error, line, "a writer said something unexpected"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    fn shell(folder: &Path, script: &str) -> Process {
        Process::new("shell", Path::new("/bin/sh"), ["-c", script], folder.join("log"))
    }

    fn until(mut what: impl FnMut() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !what() {
            assert!(Instant::now() < deadline, "it takes too long");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn an_unexpected_end_is_told_with_the_last_words() {
        let folder = tempfile::tempdir().unwrap();
        let mut process = shell(folder.path(), "echo no such luck; exit 3");
        process.start().unwrap();
        until(|| process.check().is_err());
        let failure = process.has_ended().unwrap_err();
        assert!(failure.error.contains("exit status: 3"), "{failure}");
        assert!(failure.error.ends_with("no such luck"), "{failure}");
    }

    #[test]
    fn a_process_is_killed_started_again_and_asked_to_end() {
        let folder = tempfile::tempdir().unwrap();
        let script = "trap 'exit 0' TERM; echo up; while :; do sleep 0.02; done";
        let mut process = shell(folder.path(), script);
        process.start().unwrap();
        process.kill().unwrap();
        std::fs::write(folder.path().join("log"), b"").unwrap();
        process.start().unwrap();
        until(|| process.last_words() == "up");
        process.check().unwrap();
        process.ask_to_end().unwrap();
        until(|| process.has_ended().unwrap());
        process.check().unwrap();
    }

    #[test]
    fn nobody_outlives_the_demo() {
        let folder = tempfile::tempdir().unwrap();
        let mut process = shell(folder.path(), "sleep 1000");
        process.start().unwrap();
        let pid = process.child.as_ref().map(Pid::from_child).unwrap();
        drop(process);
        assert!(rustix::process::test_kill_process(pid).is_err());
    }

    #[test]
    fn a_writer_is_heard_until_its_input_is_closed() {
        let folder = tempfile::tempdir().unwrap();
        let process = shell(folder.path(), "echo '[1, 2]'; echo huh; cat; echo '[3, 4]'");
        let mut writer = WriterProcess::start(process, 2).unwrap();
        writer.check().unwrap();
        writer.tell_to_end();
        until(|| writer.has_ended().unwrap());
        assert_eq!(writer.counts(), [3, 4]);
    }
}
