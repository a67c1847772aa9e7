//! Applications that read the standby while it is being written: one waits for probes, one checks sums.
//!
//! Both are ordinary SQLite readers. A sum that is wrong, or a database that refuses to be read, would mean that the
//! standby is not what it promises to be: such findings count against the verdict.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use console::{ExitCode, Failure};
use parking_lot::Mutex;
use rusqlite::{Connection, OpenFlags};
use segment::Millis;
use store::clock::{Clock as _, SystemClock};

use super::application::{BALANCE_TOTAL, balance_total};
use super::latency::Probe;

/// How often probes are looked for: the error of the figures.
const PROBE_POLL: Duration = Duration::from_millis(5);
/// Between two sums.
const SUM_PAUSE: Duration = Duration::from_millis(20);
/// A file may be replaced by another one of the same name; a connection is not kept longer than this.
const CONNECTION_AGE: Duration = Duration::from_secs(1);
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Findings that are kept in words; the others are counted.
const FINDINGS_MAX: usize = 8;

/// What the readers have seen.
#[derive(Debug, Default)]
pub struct Seen {
    probes: Mutex<Vec<Probe>>,
    whole: AtomicU64,
    wrong: AtomicU64,
    findings: Mutex<Vec<String>>,
}

impl Seen {
    /// The probes that became readable, in the order of their commits.
    #[must_use]
    pub fn probes(&self) -> Vec<Probe> {
        self.probes.lock().clone()
    }

    /// Whether a probe committed at `since` or later is readable.
    #[must_use]
    pub fn has_probe_since(&self, since: Millis) -> bool {
        self.probes.lock().last().is_some_and(|probe| probe.committed >= since)
    }

    /// How many sums were right.
    #[must_use]
    pub fn whole(&self) -> u64 {
        self.whole.load(Ordering::Relaxed)
    }

    /// How many reads showed a wrong sum or were refused.
    #[must_use]
    pub fn wrong(&self) -> u64 {
        self.wrong.load(Ordering::Relaxed)
    }

    /// The first of them in words.
    #[must_use]
    pub fn findings(&self) -> Vec<String> {
        self.findings.lock().clone()
    }

    fn count(&self, path: &Path, read: rusqlite::Result<Option<i64>>) {
        let what = match read {
            Ok(None) => return,
            Ok(Some(BALANCE_TOTAL)) => {
                self.whole.fetch_add(1, Ordering::Relaxed);
                return;
            }
            Ok(Some(total)) => format!("the balances add up to {total}, not {BALANCE_TOTAL}"),
            Err(error) => error.to_string(),
        };
        self.wrong.fetch_add(1, Ordering::Relaxed);
        let mut findings = self.findings.lock();
        if findings.len() < FINDINGS_MAX {
            findings.push(format!("{}: {what}", path.display()));
        }
    }
}

/// The readers at work; they end with the value.
pub struct Readers {
    seen: Arc<Seen>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Readers {
    /// Starts both: probes are read from `probed`, sums from every one of `files`. What they see goes to `seen`.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(probed: PathBuf, files: Vec<PathBuf>, seen: &Arc<Seen>) -> Result<Self, Failure> {
        let mut readers =
            Self { seen: Arc::clone(seen), stop: Arc::default(), threads: Vec::with_capacity(2) };
        readers.spawn("probes", move |seen, stop| wait_for_probes(&probed, seen, stop))?;
        readers.spawn("sums", move |seen, stop| check_sums(&files, seen, stop))?;
        Ok(readers)
    }

    fn spawn(
        &mut self,
        name: &str,
        run: impl FnOnce(&Seen, &AtomicBool) + Send + 'static,
    ) -> Result<(), Failure> {
        let (seen, stop) = (Arc::clone(&self.seen), Arc::clone(&self.stop));
        let started =
            std::thread::Builder::new().name(name.to_owned()).spawn(move || run(&seen, &stop));
        let thread = started.map_err(|error| {
            Failure::new(ExitCode::Failed, format!("cannot start a thread: {error}"))
        })?;
        self.threads.push(thread);
        Ok(())
    }

    /// Ends them after a last look.
    ///
    /// # Errors
    /// When one has panicked: nothing it has not said can be relied on.
    pub fn stop(&mut self) -> Result<(), Failure> {
        self.stop.store(true, Ordering::Relaxed);
        let mut ended = self.threads.drain(..).map(JoinHandle::join);
        match ended.any(|ended| ended.is_err()) {
            true => Err(Failure::new(ExitCode::Failed, "a reader of the standby panicked")),
            false => Ok(()),
        }
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Opens a database that the standby keeps; `None` as long as it has no content.
fn open(path: &Path) -> rusqlite::Result<Option<Connection>> {
    if path.metadata().map_or(true, |file| file.len() == 0) {
        return Ok(None);
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    Ok(Some(connection))
}

fn check_sums(files: &[PathBuf], seen: &Seen, stop: &AtomicBool) {
    for path in files.iter().cycle() {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let read = open(path).and_then(|open| open.as_ref().map_or(Ok(None), balance_total));
        seen.count(path, read);
        std::thread::sleep(SUM_PAUSE);
    }
}

/// Looks once more after it was told to stop, so that what was readable then is seen.
fn wait_for_probes(path: &Path, seen: &Seen, stop: &AtomicBool) {
    let mut eye = Eye { path, open: None, last: 0 };
    loop {
        let is_last = stop.load(Ordering::Relaxed);
        match eye.look() {
            Ok(probes) => seen.probes.lock().extend(probes),
            Err(error) => seen.count(path, Err(error)),
        }
        if is_last {
            return;
        }
        std::thread::sleep(PROBE_POLL);
    }
}

struct Eye<'a> {
    path: &'a Path,
    open: Option<(Connection, Instant)>,
    last: i64,
}

impl Eye<'_> {
    fn look(&mut self) -> rusqlite::Result<Vec<Probe>> {
        self.open = self.open.take().filter(|(_, since)| since.elapsed() < CONNECTION_AGE);
        if self.open.is_none() {
            self.open = open(self.path)?.map(|connection| (connection, Instant::now()));
        }
        let Some((connection, _)) = &self.open else { return Ok(Vec::new()) };
        if !connection.table_exists(None, "probe")? {
            return Ok(Vec::new());
        }
        let mut select = connection
            .prepare_cached("SELECT id, committed_ms FROM probe WHERE id > ? ORDER BY id")?;
        let rows = select.query_map([self.last], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let rows: Vec<(i64, i64)> = rows.collect::<Result<_, _>>()?;
        self.last = rows.last().map_or(self.last, |(id, _)| *id);
        let readable = SystemClock.now();
        let probe =
            |(_, at): (i64, i64)| Probe { committed: Millis::new(at.unsigned_abs()), readable };
        Ok(rows.into_iter().map(probe).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::super::application::Application;
    use super::*;

    #[test]
    fn probes_are_seen_once_and_sums_are_judged() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        let mut eye = Eye { path: &path, open: None, last: 0 };
        assert_eq!(eye.look().unwrap(), []);
        let mut application = Application::open(&path, 1).unwrap();
        application.probe(Millis::new(5)).unwrap();
        assert_eq!(eye.look().unwrap().len(), 1);
        application.probe(Millis::new(6)).unwrap();
        let probes = eye.look().unwrap();
        assert_eq!(probes.iter().map(|probe| probe.committed.get()).collect::<Vec<_>>(), [6]);
        assert_eq!(eye.look().unwrap(), []);

        let seen = Seen::default();
        seen.count(&path, balance_total(&open(&path).unwrap().unwrap()));
        seen.count(&path, Ok(None));
        seen.count(&path, Ok(Some(BALANCE_TOTAL - 7)));
        assert_eq!((seen.whole(), seen.wrong()), (1, 1));
        assert!(seen.findings()[0].contains("49993"), "{:?}", seen.findings());
    }
}
