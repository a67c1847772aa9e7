//! Strangers who write to the standby's databases: refused by every SQLite there is here; where one writes all the same,
//! it is found, repaired, and what was found is kept.

use std::path::Path;
use std::process::{Command, Output};

use e2e::{Fleet, History, Ledger, Program, Standby, python, shared, until};

struct World {
    fleet: Fleet,
    standby: Standby,
    shipper: Program,
    follower: Program,
}

fn world(test: &str) -> World {
    let fleet = Fleet::new(test, &["a"]).sync_interval("20ms");
    let standby = Standby::of(&fleet);
    Ledger::commit(&fleet.db("a"), 300);
    let shipper = fleet.ship();
    let follower = standby.follow();
    standby.await_equal(&fleet);
    World { fleet, standby, shipper, follower }
}

impl World {
    /// One change of the primary, applied.
    fn change(&self) {
        Ledger::commit(&self.fleet.db("a"), 1);
        self.fleet.await_shipped("a");
        self.standby.await_applied(History::last_of(&self.fleet.store()).expect("a log"));
    }

    fn heals(&self) -> u64 {
        let status = until("the standby's status", || self.standby.status_of("a"));
        status["heals"].as_u64().expect("a number")
    }

    fn finish(self) {
        assert_eq!(self.follower.terminate(), 0);
        self.fleet.finish(self.shipper);
        self.standby.assert_equal(&self.fleet);
    }
}

fn stray(act: &str, database: &Path) -> Output {
    python("stray.py").arg(act).arg(database).output().expect("python3 runs")
}

fn assert_refuses_everything(database: &Path) {
    let output = stray("refused", database);
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "these were not refused:\n{text}");
    println!("{}", text.trim());
}

fn shell(database: &Path, sql: &str) -> Output {
    Command::new("sqlite3").arg("-bail").arg(database).arg(sql).output().expect("sqlite3 runs")
}

/// SQLite 3.40 in Python and in its own shell, while the standby is followed and after it was stopped.
#[test]
fn every_write_of_a_stranger_is_refused_and_every_read_works() {
    let _turn = shared();
    let world = world("strays");
    let database = world.standby.db("a");
    for _ in 0..2 {
        assert_refuses_everything(&database);
        for sql in
            ["INSERT INTO bank VALUES(7777, 1)", "DROP TABLE bank", "VACUUM", "CREATE TABLE x(a)"]
        {
            let output = shell(&database, sql);
            let error = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(!output.status.success() && error.contains("readonly"), "{sql}: {error}");
        }
        let read = shell(&database, "SELECT sum(amount) FROM bank; PRAGMA integrity_check");
        assert_eq!(String::from_utf8_lossy(&read.stdout), "100000\nok\n");
        let checkpoint = shell(&database, "PRAGMA wal_checkpoint");
        assert!(checkpoint.status.success(), "a reader may checkpoint: {checkpoint:?}");
        world.change();
    }
    assert_eq!(world.heals(), 0, "nothing had to be repaired");
    let World { fleet, standby, shipper, follower } = world;
    assert_eq!(follower.terminate(), 0);
    assert_refuses_everything(&database);
    standby.assert_equal(&fleet);
    fleet.finish(shipper);
}

/// Takes the mark off and writes through SQLite.
#[test]
fn a_write_behind_the_mark_is_found_by_the_next_change_repaired_and_kept() {
    let _turn = shared();
    let world = world("forced");
    let database = world.standby.db("a");
    let forced = stray("force", &database);
    assert!(forced.status.success(), "{}", String::from_utf8_lossy(&forced.stderr));
    let count = "SELECT count(*) FROM load WHERE id = 987654";
    assert_eq!(shell(&database, count).stdout, b"1\n", "the stray write failed, nothing is tested");

    world.change();
    assert_eq!(shell(&database, count).stdout, b"0\n", "the stray row is still there");
    assert_eq!(world.heals(), 1);
    world.standby.assert_mirrors(&world.fleet.db("a"), "a");
    assert_refuses_everything(&database);
    let evidence = world.standby.evidence();
    let [found] = &evidence[..] else { panic!("one find expected: {evidence:?}") };
    let mut kept = std::fs::read_dir(found).expect("the find").filter_map(Result::ok);
    let has_row = |page: std::fs::DirEntry| {
        let bytes = std::fs::read(page.path()).expect("a page");
        bytes.windows(5).any(|window| window == b"stray")
    };
    assert!(kept.any(has_row), "the stray row is not among the evidence");
    world.finish();
}

/// Bytes of the file itself, past every SQLite: nobody is told of it, so it is found where all pages are read.
#[test]
fn scribbled_pages_are_found_at_the_next_start_repaired_and_kept() {
    let _turn = shared();
    let world = world("scribbled");
    let database = world.standby.db("a");
    let World { fleet, standby, shipper, follower } = world;
    assert_eq!(follower.terminate(), 0);
    assert!(stray("scribble", &database).status.success());
    assert!(!standby.mirrors(&fleet.db("a"), "a"), "nothing was scribbled");

    let follower = standby.follow();
    until("the repair", || {
        let status = standby.status_of("a")?;
        (status["heals"] == 1 && status["state"] == "live").then_some(())
    });
    standby.assert_mirrors(&fleet.db("a"), "a");
    assert_eq!(standby.evidence().len(), 1);
    World { fleet, standby, shipper, follower }.finish();
}
