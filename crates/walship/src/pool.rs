//! Worker threads that never let a slow job delay a quick one.
//!
//! A job that blocks (a hung disk, a long comparison of pages) occupies its thread; when no thread is
//! free another one is started, up to a bound far above what a fleet needs. Threads without work end.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, unbounded};

/// Threads beyond this many wait for one another.
const THREADS_MAX: usize = 64;
/// Threads kept when idle.
const THREADS_KEPT: usize = 2;
/// How long another idle thread lives.
const IDLE_KEPT: Duration = Duration::from_secs(10);
/// Stack of a worker: SQLite and LZ4 need little.
const STACK_BYTES: usize = 512 << 10;

type Job = Box<dyn FnOnce() + Send>;

/// See the module's text.
pub struct Pool {
    jobs: Sender<Job>,
    shared: Arc<Shared>,
}

struct Shared {
    queue: Receiver<Job>,
    threads: AtomicUsize,
    idle: AtomicUsize,
}

impl Default for Pool {
    fn default() -> Self {
        let (jobs, queue) = unbounded();
        Self {
            jobs,
            shared: Arc::new(Shared {
                queue,
                threads: AtomicUsize::new(0),
                idle: AtomicUsize::new(0),
            }),
        }
    }
}

impl Pool {
    /// Runs a job on some thread.
    pub fn run(&self, job: impl FnOnce() + Send + 'static) {
        self.jobs.send(Box::new(job)).expect("BUG: the pool holds the receiver");
        if self.shared.idle.load(Ordering::SeqCst) < self.jobs.len() {
            self.shared.start();
        }
    }
}

impl Shared {
    fn start(self: &Arc<Self>) {
        let before = self.threads.fetch_add(1, Ordering::SeqCst);
        if before >= THREADS_MAX {
            self.threads.fetch_sub(1, Ordering::SeqCst);
            return;
        }
        let shared = Arc::clone(self);
        let spawned = std::thread::Builder::new()
            .name("capture".into())
            .stack_size(STACK_BYTES)
            .spawn(move || shared.work());
        if let Err(error) = spawned {
            self.threads.fetch_sub(1, Ordering::SeqCst);
            tracing::error!(%error, "no further worker thread could be started");
        }
    }

    fn work(&self) {
        loop {
            self.idle.fetch_add(1, Ordering::SeqCst);
            let job = self.queue.recv_timeout(IDLE_KEPT);
            self.idle.fetch_sub(1, Ordering::SeqCst);
            match job {
                Ok(job) => job(),
                Err(crossbeam_channel::RecvTimeoutError::Timeout)
                    if self.threads.load(Ordering::SeqCst) <= THREADS_KEPT => {}
                Err(_) => break,
            }
        }
        self.threads.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn blocked_jobs_do_not_hold_up_others() {
        let pool = Pool::default();
        let (release, gate) = crossbeam_channel::bounded::<()>(0);
        for _ in 0..8 {
            let gate = gate.clone();
            pool.run(move || drop(gate.recv()));
        }
        let (done, seen) = mpsc::channel();
        pool.run(move || done.send(()).expect("the test waits"));
        seen.recv_timeout(Duration::from_secs(20))
            .expect("the job ran although eight others block");
        drop(release);
    }
}
