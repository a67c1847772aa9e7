//! A reader of the standby that waits for probes, as any application reads: its own connection, short transactions.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};
use store::clock::{Clock as _, SystemClock};

use super::Probe;

/// How often each file is looked at: the error of the figures.
const LOOK_INTERVAL: Duration = Duration::from_millis(2);
/// A file may be replaced by another of the same name; a connection is not kept longer than this.
const CONNECTION_AGE: Duration = Duration::from_secs(1);

pub(super) fn work(paths: &[PathBuf], stop: &AtomicBool) -> Vec<Probe> {
    let mut eyes: Vec<Eye<'_>> =
        paths.iter().map(|path| Eye { path, open: None, last: 0 }).collect();
    let mut seen = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        for (index, eye) in eyes.iter_mut().enumerate() {
            // A file that is being replaced is looked at again: a probe that is never seen is missing in the count.
            let probes = eye.look().unwrap_or_default();
            let now = SystemClock.now().get();
            seen.extend(probes.into_iter().map(|committed| (index, committed, now)));
        }
        std::thread::sleep(LOOK_INTERVAL);
    }
    seen
}

struct Eye<'a> {
    path: &'a Path,
    open: Option<(Connection, Instant)>,
    last: i64,
}

impl Eye<'_> {
    fn look(&mut self) -> rusqlite::Result<Vec<u64>> {
        self.open = self.open.take().filter(|(_, since)| since.elapsed() < CONNECTION_AGE);
        let (connection, _) = match self.open.take() {
            Some(open) => self.open.insert(open),
            None => self.open.insert((open(self.path)?, Instant::now())),
        };
        let mut select = connection
            .prepare_cached("SELECT id, committed_ms FROM probe WHERE id > ? ORDER BY id")?;
        let rows = select.query_map([self.last], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?)))?;
        let rows: Vec<(i64, i64)> = rows.collect::<Result<_, _>>()?;
        self.last = rows.last().map_or(self.last, |(id, _)| *id);
        Ok(rows.into_iter().map(|(_, at)| at.cast_unsigned()).collect())
    }
}

fn open(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    Ok(connection)
}

#[cfg(test)]
mod tests {
    use super::*;
    use segment::Millis;
    use walship::demo::application::Application;

    #[test]
    fn probes_are_seen_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        let mut eye = Eye { path: &path, open: None, last: 0 };
        assert!(eye.look().is_err(), "there is no file yet");
        let mut application = Application::open(&path, 1).unwrap();
        application.probe(Millis::new(5)).unwrap();
        assert_eq!(eye.look().unwrap(), [5]);
        assert_eq!(eye.look().unwrap(), [0; 0]);
    }
}
