//! The processes of a measurement: started, signalled, ended.
//!
//! What must always hold: a process that was started does not outlive this one. It is killed by its id when its value
//! is dropped, and, on Linux, by the kernel when this process dies without dropping anything: every program is started
//! through `bench start`, which asks for that (the wish survives the change of program) and then becomes the program.

use std::ffi::OsString;
use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use console::Failure;
use rustix::process::{Pid, Signal, kill_process};

use crate::failed;
use crate::programs::own;

/// How often a process that is to end is looked at: the error of the time that it took.
const LOOK_INTERVAL: Duration = Duration::from_millis(1);

/// A running process; its output goes to a file.
pub(crate) struct Process {
    name: String,
    child: Child,
    log: std::path::PathBuf,
    input: Option<ChildStdin>,
}

impl Process {
    /// Starts a program, on one processor only if `core` is given.
    pub(crate) fn start<A: Into<OsString>>(
        program: &Path,
        arguments: impl IntoIterator<Item = A>,
        core: Option<usize>,
        log: &Path,
    ) -> Result<Self, Failure> {
        let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let cannot = |error: std::io::Error| failed(format!("{name} cannot be started: {error}"));
        let mut command = Command::new(own()?);
        command.arg("start");
        if let Some(core) = core {
            command.arg("--core").arg(core.to_string());
        }
        command.arg("--").arg(program).args(arguments.into_iter().map(Into::into));
        let output = File::options().create(true).append(true).open(log).map_err(cannot)?;
        command.stdin(Stdio::piped()).stderr(output.try_clone().map_err(cannot)?).stdout(output);
        let mut child = command.spawn().map_err(cannot)?;
        let input = child.stdin.take();
        Ok(Self { name, child, log: log.to_owned(), input })
    }

    /// Its id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) -> Result<(), Failure> {
        kill_process(Pid::from_child(&self.child), signal)
            .map_err(|error| failed(format!("{} cannot be signalled: {error}", self.name)))
    }

    /// Closes its input, which ends a worker, and waits.
    pub(crate) fn finish(mut self, limit: Duration) -> Result<(), Failure> {
        drop(self.input.take());
        self.wait(limit)
    }

    /// Asks it to end and waits.
    pub(crate) fn terminate(mut self, limit: Duration) -> Result<(), Failure> {
        self.signal(Signal::TERM)?;
        self.wait(limit)
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self, limit: Duration) -> Result<(), Failure> {
        let deadline = Instant::now() + limit;
        loop {
            match self.ended()? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => return Err(self.told(&format!("has failed ({status})"))),
                None if Instant::now() > deadline => {
                    return Err(self.told(&format!("does not end within {} s", limit.as_secs())));
                }
                None => std::thread::sleep(LOOK_INTERVAL),
            }
        }
    }

    /// Makes sure that it still runs.
    pub(crate) fn check(&mut self) -> Result<(), Failure> {
        match self.ended()? {
            Some(status) => Err(self.told(&format!("has ended by itself ({status})"))),
            None => Ok(()),
        }
    }

    fn ended(&mut self) -> Result<Option<ExitStatus>, Failure> {
        let ended = self.child.try_wait();
        ended.map_err(|error| failed(format!("{} cannot be watched: {error}", self.name)))
    }

    fn told(&self, what: &str) -> Failure {
        let said = std::fs::read(&self.log).unwrap_or_default();
        let last = String::from_utf8_lossy(&said[said.len().saturating_sub(1_500)..]).into_owned();
        failed(format!("{} {what}. Its last words:\n{last}", self.name))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // One that has ended already needs no signal; either way it is reaped.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Becomes another program; returns only why not.
pub(crate) fn become_program(core: Option<usize>, command: &[OsString]) -> Failure {
    let Some((program, arguments)) = command.split_first() else { return failed("no program") };
    if let Err(error) = bind(core) {
        return failed(format!("cannot bind a process to its parent or to a core: {error}"));
    }
    let error = Command::new(program).args(arguments).exec();
    failed(format!("{}: {error}", program.display()))
}

#[cfg(target_os = "linux")]
fn bind(core: Option<usize>) -> rustix::io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    let Some(core) = core else { return Ok(()) };
    let mut cores = rustix::thread::CpuSet::new();
    cores.set(core);
    rustix::thread::sched_setaffinity(None, &cores)
}

/// Other systems bind neither: the figures of one core are then those of all.
#[cfg(not(target_os = "linux"))]
fn bind(_: Option<usize>) -> std::io::Result<()> {
    Ok(())
}

/// The last processor of this machine: the first ones serve interrupts.
pub(crate) fn last_core() -> usize {
    std::thread::available_parallelism().map_or(0, |cores| cores.get() - 1)
}
