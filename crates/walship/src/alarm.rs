//! Tells when the log of a resting database is written, at no cost while nothing happens.
//!
//! A database at rest is glanced at seldom, and an application that begins again may checkpoint right after its first
//! commit, with the write lock held until we look. So the kernel is asked to tell of the next write to the `-wal`, once:
//! while a database is in use, glances are cheaper than news of every frame.
//!
//! It is a help and no more: where it cannot be had, the next glance finds everything. A `-wal` may be watched, and even
//! opened, by plain calls; the database and its `-shm` may not (see `sqlite`).

use std::io::{self, ErrorKind};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use segment::DbId;

#[cfg(target_os = "linux")]
#[path = "alarm/inotify.rs"]
mod kernel;
#[cfg(not(target_os = "linux"))]
#[path = "alarm/kqueue.rs"]
mod kernel;

use kernel::Kernel;

/// See the module's text.
pub struct Alarm {
    kernel: Kernel,
    rung: Mutex<Vec<DbId>>,
    is_refusal_told: AtomicBool,
    end: (UnixStream, UnixStream),
}

/// Ends [`Alarm::listen`] when it is dropped, also by a panic: whoever joins the listening thread must not wait for ever.
pub struct EndsWithThis<'a>(pub &'a Alarm);

impl Drop for EndsWithThis<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.0.end.1.shutdown(Shutdown::Both) {
            tracing::debug!(%error, "the alarm was ended already");
        }
    }
}

impl Alarm {
    /// One that nothing is watched with yet.
    ///
    /// # Errors
    /// What the system refuses.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            kernel: Kernel::new()?,
            rung: Mutex::default(),
            is_refusal_told: AtomicBool::new(false),
            end: UnixStream::pair()?,
        })
    }

    /// Is rung by the next write to this file, once. What was written before is not told of. Where the system watches no
    /// more files, that is told once.
    pub fn set(&self, id: DbId, wal: &Path) {
        let Err(error) = self.kernel.set(id, wal) else { return };
        // Without a log there is nothing to be told of.
        let is_refused = error.kind() != ErrorKind::NotFound;
        if is_refused && !self.is_refusal_told.swap(true, Ordering::Relaxed) {
            tracing::warn!(wal = %wal.display(), %error, "the system does not tell of writes to this file, and perhaps to others");
        }
    }

    /// The databases that were written since the last call.
    pub fn take_rung(&self) -> Vec<DbId> {
        std::mem::take(&mut *self.rung.lock())
    }

    /// Listens until an [`EndsWithThis`] is dropped; `wake` is called whenever there is something to take.
    ///
    /// # Errors
    /// When the system tells no more.
    pub fn listen(&self, wake: impl Fn()) -> io::Result<()> {
        loop {
            let mut fds =
                [PollFd::new(&self.kernel, PollFlags::IN), PollFd::new(&self.end.0, PollFlags::IN)];
            match poll(&mut fds, None) {
                Err(Errno::INTR) => continue,
                polled => polled?,
            };
            if !fds[1].revents().is_empty() {
                return Ok(());
            }
            let written = self.kernel.take()?;
            if !written.is_empty() {
                self.rung.lock().extend(written);
                wake();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossbeam_channel::RecvTimeoutError;
    use std::io::Write;
    use std::time::Duration;

    #[test]
    fn a_write_rings_once_and_again_only_when_it_is_set_again() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("a.db-wal");
        let mut wal = std::fs::File::create(&path).expect("made");
        let alarm = Alarm::new().expect("an alarm");
        let id = DbId::from_bytes([7; 8]);
        let (woken, heard) = crossbeam_channel::unbounded();
        std::thread::scope(|scope| {
            let _ends = EndsWithThis(&alarm);
            scope.spawn(|| alarm.listen(|| woken.send(()).expect("heard")));
            for _ in 0..3 {
                alarm.set(id, &path);
                assert_eq!(alarm.take_rung(), []);
                wal.write_all(b"frame").expect("written");
                heard.recv_timeout(Duration::from_secs(20)).expect("told of");
                assert_eq!(alarm.take_rung(), [id]);
                wal.write_all(b"frame").expect("written");
                let again = heard.recv_timeout(Duration::from_millis(20));
                assert_eq!(again, Err(RecvTimeoutError::Timeout));
            }
        });
        alarm.set(id, &folder.path().join("nothing"));
    }
}
