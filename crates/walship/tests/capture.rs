//! Capture against adversarial applications: what was captured is, byte for byte, what another SQLite in
//! another process sees, and continuity is never lost.
//!
//! `WALSHIP_TEST_SCALE` lengthens the run; the seed is printed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};
use rustix::process::{Pid, Signal, kill_process};
use segment::{Checksum, Incarnation, Millis, PageNo, page_hash};
use walship::attached::Attached;
use walship::error::CaptureError;
use walship::handover::Action;

const CREATE: &str = "import sqlite3, sys; db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute('PRAGMA page_size=' + sys.argv[2]); db.execute('PRAGMA auto_vacuum=' + sys.argv[3])
db.execute('PRAGMA journal_mode=WAL'); db.execute('CREATE TABLE t(id INTEGER PRIMARY KEY, v, b)')
db.executemany('INSERT INTO t(v, b) VALUES(?, randomblob(500))', [(i,) for i in range(1000)])";

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python").join(name)
}

fn now() -> (Instant, Millis) {
    (Instant::now(), Millis::new(1))
}

/// A process that is killed when it goes out of scope.
struct Application(Child);

impl Application {
    fn start(db: &Path, seed: u64, role: &str) -> Self {
        let mut command = Command::new("python3");
        command.arg(script("adversary.py")).arg(db).arg(seed.to_string()).arg(role);
        Self(command.stderr(Stdio::null()).spawn().expect("python3 starts"))
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.0);
        kill_process(pid, signal).expect("the application is there");
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        self.0.kill().expect("the application can be killed");
        self.0.wait().expect("the application ends");
    }
}

/// What a standby would have: the pages of all changes taken so far.
struct Copy {
    pages: BTreeMap<PageNo, Box<[u8]>>,
    checksum: Checksum,
    changes: u64,
}

impl Copy {
    fn of_base(attached: &mut Attached) -> Self {
        let pinned = attached.pin(now()).expect("a state to copy");
        let mut pages = BTreeMap::new();
        let image = pinned.image().expect("an image");
        image
            .for_each(|pgno, page| {
                pages.insert(pgno, page.into());
                Ok::<_, CaptureError>(())
            })
            .expect("pages");
        Self { pages, checksum: pinned.checksum(), changes: 0 }
    }

    fn take(&mut self, attached: &mut Attached) {
        let Some(change) = attached.seal(Millis::new(1)) else { return };
        assert_eq!(change.checksums.0, self.checksum, "changes follow one another");
        self.pages.extend(change.pages);
        self.pages.retain(|pgno, _| pgno.get() <= change.pages_after);
        self.checksum = change.checksums.1;
        self.changes += 1;
    }

    /// Compares with the image another process sees.
    fn compare(&self, image: &[u8], page_size: usize) -> Result<(), String> {
        let theirs: Vec<_> = image.chunks_exact(page_size).collect();
        if theirs.len() != self.pages.len() {
            return Err(format!(
                "{} pages, another SQLite sees {}",
                self.pages.len(),
                theirs.len()
            ));
        }
        for (pgno, page) in &self.pages {
            if page_hash(*pgno, page) != page_hash(*pgno, theirs[pgno.get() as usize - 1]) {
                return Err(format!("page {pgno} differs"));
            }
        }
        Ok(())
    }
}

fn dump(db: &Path, to: &Path) -> Option<Vec<u8>> {
    let status = Command::new("python3")
        .arg(script("dump.py"))
        .arg(db)
        .arg(to)
        .stderr(Stdio::null())
        .status();
    status.expect("python3 starts").success().then(|| std::fs::read(to).expect("the dump"))
}

/// Glances and works for a while, as the program does.
fn follow(attached: &mut Attached, copy: &mut Copy, span: Duration) {
    let end = Instant::now() + span;
    while Instant::now() < end {
        let decision = attached.glance(now());
        let done = match decision.action {
            Action::Wait => Ok(()),
            Action::HandOver => attached.hand_over(now()),
            Action::StepAside => attached.step_aside(Instant::now()),
            Action::Checkpoint => attached.checkpoint(now()),
            Action::Force => attached.force(now).map(drop),
        };
        expect_continuity(done);
        copy.take(attached);
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn expect_continuity(result: Result<(), CaptureError>) {
    match result {
        Ok(()) | Err(CaptureError::Locked(_)) => {}
        Err(error) => panic!("continuity was lost: {error}"),
    }
}

/// Captures until nothing is left to capture.
fn settle(attached: &mut Attached, copy: &mut Copy) {
    let end = Instant::now() + Duration::from_secs(20);
    while !attached.is_still() {
        assert!(Instant::now() < end, "stopped applications do not commit");
        expect_continuity(attached.hand_over(now()));
    }
    copy.take(attached);
}

fn storm(page_size: usize, auto_vacuum: u32, force_above: Option<u64>, span: Duration, seed: u64) {
    println!("page size {page_size}, auto_vacuum {auto_vacuum}, seed {seed}");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let db = folder.path().join("a.db");
    let made = Command::new("python3")
        .args(["-c", CREATE])
        .arg(&db)
        .arg(page_size.to_string())
        .arg(auto_vacuum.to_string())
        .status();
    assert!(made.expect("python3 starts").success());
    let mut applications: Vec<_> =
        (0..3).map(|n| Application::start(&db, seed + n, "writer")).collect();
    applications.push(Application::start(&db, seed + 9, "checkpointer"));
    let fresh = Incarnation::from_bytes([7; 16]);
    let mut attached = loop {
        match Attached::open(&db, None, fresh, force_above, now()) {
            Ok(attached) => break attached,
            Err(CaptureError::Locked(_)) => {}
            Err(error) => panic!("not attached: {error}"),
        }
    };
    let mut copy = Copy::of_base(&mut attached);
    attached
        .seal(Millis::new(1))
        .expect("the first change")
        .pages
        .into_iter()
        .for_each(|(pgno, page)| drop(copy.pages.insert(pgno, page)));
    copy.checksum = attached.hashes().checksum();
    copy.pages.retain(|pgno, _| pgno.get() <= attached.hashes().page_count());
    let (end, mut compared, mut round) = (Instant::now() + span, 0, 0);
    while Instant::now() < end {
        round += 1;
        follow(&mut attached, &mut copy, Duration::from_millis(100 + 37 * (round % 5)));
        if round % 3 == 0 {
            let victim = (round as usize / 3) % 3;
            applications[victim] = Application::start(&db, seed + 100 * round, "writer");
        }
        applications.iter().for_each(|application| application.signal(Signal::STOP));
        settle(&mut attached, &mut copy);
        if let Some(image) = dump(&db, &folder.path().join("dump")) {
            copy.compare(&image, page_size)
                .unwrap_or_else(|why| panic!("seed {seed}, round {round}: {why}"));
            compared += 1;
        }
        applications.iter().for_each(|application| application.signal(Signal::CONT));
    }
    let counters = attached.counters();
    println!("{compared} comparisons, {} changes, {counters:?}", copy.changes);
    assert!(
        compared > 0,
        "no comparison was made: an application was always stopped inside a lock"
    );
    assert!(copy.changes > 3, "the applications did not write");
}

#[expect(clippy::disallowed_methods, reason = "the one parameter of long tests")]
fn span() -> Duration {
    let scale = std::env::var("WALSHIP_TEST_SCALE").ok().and_then(|text| text.parse::<f64>().ok());
    Duration::from_secs_f64(4.0 * scale.unwrap_or(1.0))
}

fn seed() -> u64 {
    u64::from_le_bytes(walship::roster::random()) % 1_000_000
}

/// The clock of a file system may stand still between two commits: the times of the file tell of one of them only.
#[test]
fn a_commit_that_leaves_size_and_time_of_the_file_is_captured() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let db = folder.path().join("a.db");
    let application = rusqlite::Connection::open(&db).expect("opened");
    application.execute_batch("CREATE TABLE t(x); INSERT INTO t VALUES (0)").expect("written");
    let stand_still = || {
        let long_ago = Timespec { tv_sec: 1_000_000, tv_nsec: 0 };
        let times = Timestamps { last_access: long_ago, last_modification: long_ago };
        utimensat(CWD, &db, &times, AtFlags::empty()).expect("a time that is set");
    };
    stand_still();
    let fresh = Incarnation::from_bytes([7; 16]);
    let mut attached = Attached::open(&db, None, fresh, None, now()).expect("attached");
    let mut copy = Copy::of_base(&mut attached);
    for _ in 0..3 {
        assert_eq!(attached.glance(now()).action, Action::Wait, "nothing to do");
        application.execute("UPDATE t SET x = x + 1", []).expect("written");
        stand_still();
        assert_eq!(attached.glance(now()).action, Action::HandOver, "a commit");
        settle(&mut attached, &mut copy);
        let seen = dump(&db, &folder.path().join("seen")).expect("another SQLite's view");
        copy.compare(&seen, 4096).expect("the newest commit");
    }
}

#[test]
fn everything_committed_is_captured_exactly() {
    storm(4096, 0, None, span(), seed());
}

#[test]
fn everything_committed_is_captured_with_small_pages_and_auto_vacuum() {
    storm(512, 1, None, span(), seed());
}

#[test]
fn everything_committed_is_captured_while_the_log_is_forced_short() {
    storm(1024, 2, Some(200_000), span(), seed());
}
