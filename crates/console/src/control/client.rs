//! Asking the running program.
//!
//! A program that was stopped, or hangs, keeps its socket: the system takes connections for it until its queue is full, and
//! nobody answers. So no step of a conversation waits for longer than the caller allows, connecting included.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use rustix::io::{FdFlags, fcntl_setfd, ioctl_fionbio};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, connect, socket};
use serde_json::Value;
use thiserror::Error;

use super::path::ShortPath;
use super::silence::Silence;
use super::{ANSWER_BYTES_MAX, Request, SOCKET_FILE, refused};

/// Why there is no answer.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AskError {
    /// No program serves this state folder: look elsewhere (in the store).
    #[error("no program is running on this state folder")]
    NotRunning,
    /// The program runs, or at least stands in the system's table, and says nothing.
    #[error("{0}")]
    Silent(Silence),
    /// The conversation failed.
    #[error("the running program does not answer: {0}")]
    Io(#[from] io::Error),
    /// The program said no.
    #[error("{0}")]
    Refused(String),
}

/// Asks the program that runs on this state folder; `timeout` bounds each wait, not the sum of all.
///
/// # Errors
/// When no program runs, it does not answer, or it refuses.
pub fn ask(state_dir: &Path, request: &Request, timeout: Duration) -> Result<Value, AskError> {
    let answer = converse(state_dir, request, timeout).map_err(|error| match error.kind() {
        ErrorKind::NotFound | ErrorKind::ConnectionRefused => AskError::NotRunning,
        ErrorKind::WouldBlock | ErrorKind::TimedOut => AskError::Silent(Silence::of(state_dir)),
        _ => AskError::Io(error),
    })?;
    match refused(&answer) {
        Some(why) => Err(AskError::Refused(why.to_owned())),
        None => Ok(answer),
    }
}

fn converse(state_dir: &Path, request: &Request, timeout: Duration) -> io::Result<Value> {
    let mut stream = connect_now(ShortPath::to(state_dir, SOCKET_FILE)?.as_path())?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    let mut line = serde_json::to_vec(request).map_err(io::Error::other)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    read_answer(stream)
}

/// Connects without waiting: with a full queue that would last until the program takes somebody out of it.
fn connect_now(path: &Path) -> io::Result<UnixStream> {
    let socket = socket(AddressFamily::UNIX, SocketType::STREAM, None)?;
    fcntl_setfd(&socket, FdFlags::CLOEXEC)?;
    ioctl_fionbio(&socket, true)?;
    connect(&socket, &SocketAddrUnix::new(path)?)?;
    ioctl_fionbio(&socket, false)?;
    Ok(UnixStream::from(socket))
}

fn read_answer(stream: UnixStream) -> io::Result<Value> {
    let mut line = Vec::new();
    BufReader::new(stream).take(ANSWER_BYTES_MAX).read_until(b'\n', &mut line)?;
    serde_json::from_slice(&line).map_err(io::Error::other)
}
