//! Carrying a restore out: several databases at once, each from its image into a verified draft.
//!
//! Nothing is put in place here. Each draft that is handed back is written, durable, and proven by reading it back.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::sync_channel;

use console::progress::Progress;
use parking_lot::Mutex;
use segment::{DbId, PageNo};

use super::target::{Draft, Target};
use super::write::{PageWriter, checksum_of, file_bytes};
use crate::ApplyError;
use crate::image::PageSource;

/// Databases restored at once: small ones are bound by latency, large ones by the disk.
const DATABASES_AT_ONCE: usize = 4;
/// So many bytes are on their way to the disk while the next are decoded.
const EARLY_SYNC_BYTES: usize = 32 << 20;

/// One database to restore.
pub(super) struct Job {
    /// The database.
    pub(super) db: DbId,
    /// Where it goes.
    pub(super) target: Target,
    /// Its pages; `None` for a file of 0 bytes.
    pub(super) source: Option<PageSource>,
}

impl Job {
    fn bytes(&self) -> u64 {
        self.source
            .as_ref()
            .map_or(0, |source| file_bytes(source.facts().pages, source.facts().page_size))
    }
}

/// What became of each job.
pub(super) type Drafts = BTreeMap<DbId, Result<Draft, ApplyError>>;

/// Writes all drafts; `stop` ends the work early with [`ApplyError::Interrupted`].
pub(super) fn write_drafts(mut jobs: Vec<Job>, progress: &Progress, stop: &AtomicBool) -> Drafts {
    // The largest first, so that none of them is left for the end alone.
    jobs.sort_by_key(|job| std::cmp::Reverse(job.bytes()));
    let (turn, drafts) = (AtomicUsize::new(0), Mutex::new(Drafts::new()));
    std::thread::scope(|scope| {
        for _ in 0..DATABASES_AT_ONCE.min(jobs.len()) {
            scope.spawn(|| {
                while let Some(job) = jobs.get(turn.fetch_add(1, Ordering::Relaxed)) {
                    let draft = write_draft(job, progress, stop);
                    drafts.lock().insert(job.db, draft);
                }
            });
        }
    });
    drafts.into_inner()
}

fn write_draft(job: &Job, progress: &Progress, stop: &AtomicBool) -> Result<Draft, ApplyError> {
    let draft = job.target.draft()?;
    if let Some(source) = &job.source {
        draft.check_room(job.bytes())?;
        write_pages(source, &draft, progress, stop)?;
        prove(source, &draft)?;
    } else {
        draft.sync()?;
    }
    Ok(draft)
}

fn write_pages(
    source: &PageSource,
    draft: &Draft,
    progress: &Progress,
    stop: &AtomicBool,
) -> Result<(), ApplyError> {
    let facts = source.facts();
    let failed = |error| draft.io_error("write", error);
    draft.file().set_len(file_bytes(facts.pages, facts.page_size)).map_err(failed)?;
    let mut writer = PageWriter::new(draft.file(), facts.page_size);
    std::thread::scope(|scope| {
        let (mut unsynced, (dirty, turns)) = (0, sync_channel(1));
        let early = scope.spawn(move || turns.into_iter().try_for_each(|()| draft.sync_pages()));
        source.read(&|_| true, &mut |page: PageNo, content: &[u8]| -> Result<(), ApplyError> {
            if stop.load(Ordering::Relaxed) {
                return Err(ApplyError::Interrupted);
            }
            writer.write(page, content).map_err(failed)?;
            progress.add(content.len() as u64);
            unsynced += content.len();
            if unsynced >= EARLY_SYNC_BYTES && dirty.try_send(()).is_ok() {
                unsynced = 0;
            }
            Ok(())
        })?;
        writer.finish().map_err(failed)?;
        drop(dirty);
        // An error of the disk may be told only once, so this one counts.
        Ok(early.join().expect("BUG: fsync does not panic")?)
    })
}

/// Makes the file durable and, at the same time, reads it back and compares it with what the log says.
fn prove(source: &PageSource, draft: &Draft) -> Result<(), ApplyError> {
    let facts = source.facts();
    let (synced, read_back) = std::thread::scope(|scope| {
        let sync = scope.spawn(|| draft.sync());
        let read_back = checksum_of(draft.file(), facts.page_size, facts.pages);
        (sync.join().expect("BUG: fsync does not panic"), read_back)
    });
    synced?;
    let actual = read_back.map_err(|error| draft.io_error("read back", error))?;
    if actual != facts.checksum {
        return Err(ApplyError::Checksum {
            path: draft.target().path().to_owned(),
            when: facts
                .changed
                .map_or_else(|| "in its base".to_owned(), |seq| format!("after log object {seq}")),
            expected: facts.checksum,
            actual,
        });
    }
    Ok(())
}
