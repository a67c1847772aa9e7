//! Worker threads that never let a slow job delay a quick one.
//!
//! A job that blocks (a hung disk, a long comparison of pages) occupies its thread. A few threads serve a
//! whole fleet; only when no job was taken up for a while although some wait, another thread is started,
//! up to a bound far above what a fleet needs. Threads without work end.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, unbounded};

/// Threads that are started at once when there is work.
const THREADS_READY: usize = 4;
/// Threads beyond this many are never started.
const THREADS_MAX: usize = 64;
/// Without progress for this long, the threads that are there are taken to be blocked.
const STALLED_AFTER: Duration = Duration::from_millis(20);
/// How long an idle thread lives.
const IDLE_KEPT: Duration = Duration::from_secs(30);
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
    began: Instant,
    progress_ms: AtomicU64,
    threads: AtomicUsize,
    idle: AtomicUsize,
}

impl Default for Pool {
    fn default() -> Self {
        let (jobs, queue) = unbounded();
        let shared = Shared {
            queue,
            began: Instant::now(),
            progress_ms: AtomicU64::new(0),
            threads: AtomicUsize::new(0),
            idle: AtomicUsize::new(0),
        };
        Self { jobs, shared: Arc::new(shared) }
    }
}

impl Pool {
    /// Runs a job on some thread.
    pub fn run(&self, job: impl FnOnce() + Send + 'static) {
        self.jobs.send(Box::new(job)).expect("BUG: the pool holds the receiver");
        self.relieve();
    }

    /// Starts another thread if jobs wait and those that are there are blocked. To be called now and then.
    pub fn relieve(&self) {
        let shared = &self.shared;
        if self.jobs.is_empty() || shared.idle.load(Ordering::SeqCst) > 0 {
            return;
        }
        if shared.threads.load(Ordering::SeqCst) < THREADS_READY || shared.is_stalled() {
            shared.start();
        }
    }
}

impl Shared {
    fn is_stalled(&self) -> bool {
        let last = Duration::from_millis(self.progress_ms.load(Ordering::Relaxed));
        self.began.elapsed().saturating_sub(last) > STALLED_AFTER
    }

    fn note_progress(&self) {
        let now = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.progress_ms.store(now, Ordering::Relaxed);
    }

    fn start(self: &Arc<Self>) {
        let before = self.threads.fetch_add(1, Ordering::SeqCst);
        if before >= THREADS_MAX {
            self.threads.fetch_sub(1, Ordering::SeqCst);
            return;
        }
        self.note_progress();
        let shared = Arc::clone(self);
        let builder = std::thread::Builder::new().name("capture".into()).stack_size(STACK_BYTES);
        if let Err(error) = builder.spawn(move || shared.work()) {
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
                Ok(job) => {
                    self.note_progress();
                    if catch_unwind(AssertUnwindSafe(job)).is_err() {
                        tracing::error!(
                            "BUG: a job of the pool panicked; its database is tried again"
                        );
                    }
                }
                Err(RecvTimeoutError::Timeout) if self.threads.load(Ordering::SeqCst) <= 1 => {}
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
        for _ in 0..2 * THREADS_READY {
            let gate = gate.clone();
            pool.run(move || {
                let _ = gate.recv();
            });
        }
        let (done, seen) = mpsc::channel();
        pool.run(move || done.send(()).expect("the test waits"));
        let deadline = Instant::now() + Duration::from_secs(20);
        while seen.try_recv().is_err() {
            assert!(Instant::now() < deadline, "the job did not run while others block");
            pool.relieve();
            std::thread::sleep(Duration::from_millis(5));
        }
        drop(release);
    }
}
