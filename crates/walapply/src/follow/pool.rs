//! Worker threads: a job goes to whichever is free, its report comes back through one channel.
//!
//! Checkpoints have a thread of their own, so that a long one does not hold up the pages of any database.
//! Dropping the pool lets running jobs end and joins all threads.

use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use crossbeam_channel::{Receiver, Sender, unbounded};
use segment::DbId;

use super::checkpoint::{self, Checkpointed, Request};
use super::jobs::{self, Assignment, Report, Tools};

/// What comes back.
pub(crate) enum Finished {
    /// From a worker.
    Job(Box<Report>),
    /// From the checkpoint thread.
    Checkpoint(Checkpointed),
    /// A worker met a bug of ours; the database's connections are gone with it.
    Panicked(DbId),
}

/// The threads.
pub(crate) struct Pool {
    jobs: Option<Sender<Box<Assignment>>>,
    checkpoints: Option<Sender<Request>>,
    finished: Receiver<Finished>,
    threads: Vec<JoinHandle<()>>,
    workers: usize,
}

impl Pool {
    /// Starts `workers` threads for jobs and one for checkpoints.
    ///
    /// Once `stop` is set, jobs that have not begun are dropped.
    pub(crate) fn start(
        workers: usize,
        tools: &Tools,
        stop: &Arc<AtomicBool>,
    ) -> std::io::Result<Self> {
        let (jobs, job_queue) = unbounded();
        let (checkpoints, checkpoint_queue) = unbounded();
        let (reports, finished) = unbounded();
        let mut threads = Vec::new();
        for number in 0..workers {
            let (queue, reports) = (job_queue.clone(), reports.clone());
            let (tools, stop) = (tools.clone(), Arc::clone(stop));
            let worker = thread::Builder::new().name(format!("apply-{number}"));
            threads.push(worker.spawn(move || work(&queue, &reports, &tools, &stop))?);
        }
        let checkpointer = thread::Builder::new().name("checkpoint".into());
        threads.push(checkpointer.spawn(move || checkpoint::work(&checkpoint_queue, &reports))?);
        Ok(Self { jobs: Some(jobs), checkpoints: Some(checkpoints), finished, threads, workers })
    }

    /// Jobs that run at once.
    pub(crate) fn workers(&self) -> usize {
        self.workers
    }

    /// Hands a job to a worker.
    pub(crate) fn assign(&self, assignment: Assignment) {
        let sent = self.jobs.as_ref().map(|jobs| jobs.send(Box::new(assignment)));
        assert!(matches!(sent, Some(Ok(()))), "BUG: workers outlive the sender");
    }

    /// Hands a checkpoint to its thread.
    pub(crate) fn checkpoint(&self, request: Request) {
        let sent = self.checkpoints.as_ref().map(|checkpoints| checkpoints.send(request));
        assert!(matches!(sent, Some(Ok(()))), "BUG: the checkpoint thread outlives the sender");
    }

    /// Takes no more work; [`Pool::finished`] ends after the last report.
    pub(crate) fn close(&mut self) {
        self.jobs = None;
        self.checkpoints = None;
    }

    /// Where reports arrive.
    pub(crate) fn finished(&self) -> &Receiver<Finished> {
        &self.finished
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.close();
        for thread in self.threads.drain(..) {
            // A thread that panicked has said so already.
            let _ = thread.join();
        }
    }
}

fn work(
    queue: &Receiver<Box<Assignment>>,
    reports: &Sender<Finished>,
    tools: &Tools,
    stop: &AtomicBool,
) {
    while let Ok(assignment) = queue.recv() {
        if stop.load(Ordering::SeqCst) {
            continue;
        }
        let db = assignment.db;
        // A bug that one database meets must not stop the others.
        let ran = panic::catch_unwind(AssertUnwindSafe(|| jobs::run(tools, *assignment)));
        let finished = ran.map_or(Finished::Panicked(db), |report| Finished::Job(Box::new(report)));
        if reports.send(finished).is_err() {
            return;
        }
    }
}
