//! Serving the control socket.
//!
//! The socket is bound in a private folder, gets its mode there and is then renamed into place: at no moment can another
//! user connect, and a leftover socket is replaced in one step. Each conversation has its own thread, a few at a time,
//! so that one slow client does not keep the next one waiting. Dropping the server ends the listening and removes the
//! file; conversations under way finish by themselves. The server keeps the folder locked while it lives, so that the
//! file it removes is never another process's.

use std::fs::{self, File, Permissions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::Value;

use super::path::ShortPath;
use super::{REQUEST_BYTES_MAX, Request, SOCKET_FILE, refusal};
use crate::state_dir::StateDir;

/// A client has this long for its line, and for taking the answer.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(5);
/// Conversations at one time; the next ones are refused.
const CONVERSATIONS_MAX: usize = 16;

type Handler = dyn Fn(Request) -> Value + Send + Sync;

/// A running control socket.
#[derive(Debug)]
pub struct Server {
    socket: PathBuf,
    stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    _lock: File,
}

impl Server {
    /// Serves the socket of a locked state folder; the handler runs on threads of the server.
    ///
    /// # Errors
    /// When the socket cannot be made.
    pub fn start(
        state_dir: &StateDir,
        handler: impl Fn(Request) -> Value + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let lock = state_dir.hold()?;
        let listener = bind(state_dir.path())?;
        let stopping = Arc::new(AtomicBool::new(false));
        let listening = Listening {
            stopping: Arc::clone(&stopping),
            busy: Arc::default(),
            handler: Arc::new(handler),
        };
        let thread = thread::Builder::new()
            .name("control".into())
            .spawn(move || listening.run(&listener))?;
        Ok(Self {
            socket: state_dir.file(SOCKET_FILE),
            stopping,
            thread: Some(thread),
            _lock: lock,
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Release);
        let woken = self.socket.parent().is_some_and(|folder| wake(folder).is_ok());
        // Without a wake-up the thread would be waited for until the next client: leave it to the process's end.
        if let Some(thread) = self.thread.take().filter(|_| woken)
            && thread.join().is_err()
        {
            tracing::warn!("the control thread panicked");
        }
        if let Err(error) = fs::remove_file(&self.socket) {
            tracing::debug!(%error, "the control socket is gone already");
        }
    }
}

fn bind(folder: &Path) -> io::Result<UnixListener> {
    let private = tempfile::Builder::new().prefix(".control-").tempdir_in(folder)?;
    let path = ShortPath::to(private.path(), SOCKET_FILE)?;
    let listener = UnixListener::bind(path.as_path())?;
    fs::set_permissions(path.as_path(), Permissions::from_mode(0o600))?;
    fs::rename(path.as_path(), folder.join(SOCKET_FILE))?;
    Ok(listener)
}

fn wake(folder: &Path) -> io::Result<()> {
    let path = ShortPath::to(folder, SOCKET_FILE)?;
    UnixStream::connect(path.as_path()).map(drop)
}

struct Listening {
    stopping: Arc<AtomicBool>,
    busy: Arc<AtomicUsize>,
    handler: Arc<Handler>,
}

impl Listening {
    fn run(&self, listener: &UnixListener) {
        for stream in listener.incoming() {
            if self.stopping.load(Ordering::Acquire) {
                return;
            }
            match stream {
                Ok(stream) => self.converse_on_a_thread(stream),
                Err(error) => {
                    tracing::warn!(%error, "the control socket does not accept");
                    thread::sleep(Duration::from_millis(100));
                }
            }
        }
    }

    fn converse_on_a_thread(&self, stream: UnixStream) {
        let Some(place) = Place::take(&self.busy) else {
            return log_failure(answer(&stream, &refusal("too many requests at one time")));
        };
        let handler = Arc::clone(&self.handler);
        let conversation = move || {
            log_failure(converse(&stream, &*handler));
            drop(place);
        };
        if let Err(error) = thread::Builder::new().name("control-client".into()).spawn(conversation)
        {
            tracing::warn!(%error, "no thread for a control request");
        }
    }
}

/// One of the places for conversations, free again when dropped.
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(busy: &Arc<AtomicUsize>) -> Option<Self> {
        let place = Self(Arc::clone(busy));
        (busy.fetch_add(1, Ordering::AcqRel) < CONVERSATIONS_MAX).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

fn converse(stream: &UnixStream, handler: &Handler) -> io::Result<()> {
    stream.set_read_timeout(Some(CLIENT_TIMEOUT))?;
    stream.set_write_timeout(Some(CLIENT_TIMEOUT))?;
    let mut line = Vec::new();
    BufReader::new(stream).take(REQUEST_BYTES_MAX).read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Ok(());
    }
    let reply = match serde_json::from_slice(&line) {
        Ok(request) => handler(request),
        Err(error) => refusal(&format!("not a request: {error}")),
    };
    answer(stream, &reply)
}

fn answer(mut stream: &UnixStream, reply: &Value) -> io::Result<()> {
    let mut line = reply.to_string();
    line.push('\n');
    stream.write_all(line.as_bytes())
}

fn log_failure(result: io::Result<()>) {
    if let Err(error) = result {
        tracing::debug!(%error, "a control conversation broke off");
    }
}
