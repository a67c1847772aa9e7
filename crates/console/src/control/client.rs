//! Asking the running program.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use thiserror::Error;

use super::path::ShortPath;
use super::{ANSWER_BYTES_MAX, Request, SOCKET_FILE, refused};

/// Why there is no answer.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AskError {
    /// No program serves this state folder: look elsewhere (in the store).
    #[error("no program is running on this state folder")]
    NotRunning,
    /// The program runs, but the conversation failed or took too long.
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
    let mut stream = connect(state_dir)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    let mut line = serde_json::to_vec(request).map_err(io::Error::other)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let answer = read_answer(stream)?;
    match refused(&answer) {
        Some(why) => Err(AskError::Refused(why.to_owned())),
        None => Ok(answer),
    }
}

fn connect(state_dir: &Path) -> Result<UnixStream, AskError> {
    let path = ShortPath::to(state_dir, SOCKET_FILE)?;
    UnixStream::connect(path.as_path()).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => AskError::NotRunning,
        _ => AskError::Io(error),
    })
}

fn read_answer(stream: UnixStream) -> io::Result<Value> {
    let mut line = Vec::new();
    BufReader::new(stream).take(ANSWER_BYTES_MAX).read_until(b'\n', &mut line)?;
    serde_json::from_slice(&line).map_err(io::Error::other)
}
