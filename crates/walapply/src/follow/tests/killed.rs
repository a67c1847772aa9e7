//! The follower killed again and again in mid-work, while other programs read: nothing is ever torn or stale for ever.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};

use rustix::process::{Resource, Rlimit, setrlimit};

use super::*;
use crate::replica::sidecar;
use crate::testing::{Rng, Source, scale};

const CONFIG: &str = "WALAPPLY_TEST_CHILD";
/// The largest file that the child may write, in bytes.
const FILE_MAX: &str = "WALAPPLY_TEST_FILE_MAX";

/// Reads in a loop, each time in one transaction: the sums that every commit of the source keeps, and the size of the
/// largest table twice. Prints what it counted, or what was wrong.
const READER: &str = "
import sqlite3, sys, time
path, stop = sys.argv[1], sys.argv[2]
import os
reads, last, changes, busy = 0, None, 0, 0
c = None
while not os.path.exists(stop):
    try:
        if c is None or reads % 50 == 0:
            c = sqlite3.connect(path, isolation_level=None, timeout=5)
        c.execute('begin')
        n, rows, total = c.execute('select n, rows, total from invariant').fetchone()
        found = c.execute('select count(*), coalesce(sum(v+length(b)),0) from data').fetchone()
        again = c.execute('select count(*) from data').fetchone()[0]
        c.execute('commit')
        if n > 0 and (found != (rows, total) or again != rows):
            print('TORN', n, rows, total, found, again); sys.exit(1)
        if last is not None and n < last:
            print('BACK', last, n); sys.exit(1)
        changes += n != last
        last = n
        reads += 1
    except sqlite3.OperationalError as e:
        if 'locked' in str(e) or 'busy' in str(e) or 'no such table' in str(e) or 'unable to open' in str(e):
            busy += 1; c = None; time.sleep(0.01)
        else:
            print('ERROR', e); sys.exit(1)
    except sqlite3.DatabaseError as e:
        print('ERROR', e); sys.exit(1)
print('READS', reads, changes, last, busy)
";

/// Not a test by itself: the process that is killed.
#[test]
#[expect(clippy::disallowed_methods, reason = "tells the child process from the test run")]
fn child() {
    let Some(path) = std::env::var_os(CONFIG) else { return };
    if let Ok(bytes) = std::env::var(FILE_MAX) {
        limit_files(bytes.parse().unwrap());
    }
    let config: WalapplyConfig = config::load(Path::new(&path)).unwrap();
    let store = store::settings::open(&config.store, false).unwrap();
    let (stop, state) = (Arc::new(AtomicBool::new(false)), Arc::new(FollowState::default()));
    follow(&config, store, FollowOptions::default(), stop, state).unwrap();
}

/// Writes beyond the limit fail as on a full disk, without ending the process.
fn limit_files(bytes: u64) {
    let hit = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(signal_hook::consts::SIGXFSZ, hit).unwrap();
    let limit = Rlimit { current: Some(bytes), maximum: Some(bytes) };
    setrlimit(Resource::Fsize, limit).unwrap();
}

fn spawn(standby: &Standby) -> Child {
    command(standby).spawn().unwrap()
}

fn command(standby: &Standby) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["follow::tests::killed::child", "--exact", "--nocapture"])
        .env(CONFIG, standby.folder.path().join("walapply.toml"))
        .stdout(Stdio::null());
    command
}

struct Reader(Child, BufReader<ChildStdout>);

impl Reader {
    fn start(path: &Path, stop: &Path) -> Self {
        let mut child = Command::new("python3")
            .args(["-c", READER])
            .args([path, stop])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self(child, output)
    }

    /// (reads, changes seen, last state seen)
    fn finish(mut self) -> (u64, u64, u64) {
        let mut line = String::new();
        self.1.read_line(&mut line).unwrap();
        assert!(self.0.wait().unwrap().success(), "{line}");
        let numbers: Vec<u64> =
            line.split_whitespace().skip(1).map(|word| word.parse().unwrap()).collect();
        assert!(line.starts_with("READS"), "{line}");
        (numbers[0], numbers[1], numbers[2])
    }
}

/// The reader above can see harm: a canary.
#[test]
fn the_reader_tells_a_torn_state() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("torn.db");
    let mut source = Source::create(&path, 4096, "UTF-8", 1);
    source.insert(10);
    source.connection.execute_batch("UPDATE invariant SET rows=rows+1").unwrap();
    let Reader(mut child, mut output) = Reader::start(&path, &scratch.path().join("stop"));
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    assert!(line.starts_with("TORN"), "{line}");
    assert!(!child.wait().unwrap().success());
}

#[test]
fn readers_never_see_a_torn_state_while_the_follower_is_killed() {
    let kills = 12 * scale();
    let seed = SystemClock.now().get();
    println!("seed {seed}");
    let mut rng = Rng::new(seed);
    let mut shop = shop();
    let standby = Standby::of(&shop);
    standby.once(&shop).unwrap();
    let stop = standby.folder.path().join("stop");
    let readers: Vec<Reader> =
        (0..2).map(|_| Reader::start(&standby.path("ledger"), &stop)).collect();
    for _ in 0..kills {
        let mut follower = spawn(&standby);
        let until = Instant::now() + Duration::from_millis(50 + rng.below(500));
        while Instant::now() < until {
            // Ordinary commits, and now and then something that rewrites much.
            shop.databases[0].source.insert(1 + rng.below(200));
            if rng.below(10) == 0 {
                shop.databases[0].source.mutate();
            }
            shop.flush();
        }
        follower.kill().unwrap();
        follower.wait().unwrap();
        let connection = Connection::open(standby.path("ledger")).unwrap();
        let check: String =
            connection.query_row("PRAGMA quick_check", [], |row| row.get(0)).unwrap();
        assert_eq!(check, "ok", "seed {seed}");
    }
    let snapshot = standby.once(&shop).unwrap();
    assert_eq!(snapshot.applied, Some(shop.last()));
    standby.assert_equals(&shop);
    thread::sleep(Duration::from_millis(200));
    std::fs::write(&stop, b"").unwrap();
    let newest = shop.databases[0].source.steps();
    for reader in readers {
        let (reads, changes, last) = reader.finish();
        println!("{reads} reads, {changes} states");
        assert!(reads > 20 && changes > 3, "seed {seed}: {reads} reads, {changes} states");
        assert_eq!(last, newest, "seed {seed}: the reader is stale");
    }
}

#[test]
fn a_full_disk_leaves_the_former_state_and_is_waited_for() {
    let mut shop = shop();
    let standby = Standby::of(&shop);
    standby.once(&shop).unwrap();
    let former = shop.databases[0].shipped.clone().unwrap();
    shop.databases[0].source.grow(2_000_000);
    let seq = shop.flush();
    let mut follower = command(&standby).env(FILE_MAX, "400000").spawn().unwrap();
    let sidecar = sidecar::path(&standby.state_dir(), &shop.databases[0].name);
    let began = Instant::now();
    while sidecar::read(&sidecar).ceiling < Some(seq) {
        assert!(began.elapsed() < PATIENCE, "it never tried");
        thread::sleep(Duration::from_millis(10));
    }
    thread::sleep(Duration::from_millis(500));
    assert!(follower.try_wait().unwrap().is_none(), "it waits, it does not end");
    assert_eq!(Image::of(&standby.path("ledger")).checksum(), former.checksum());
    follower.kill().unwrap();
    follower.wait().unwrap();
    standby.once(&shop).unwrap();
    standby.assert_equals(&shop);
}
