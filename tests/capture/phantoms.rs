//! Frames of a commit that failed look exactly like frames of one that succeeded. They must never be shipped.

use e2e::strace::Injection;
use e2e::{App, Fleet, shared};

/// A fsync that fails at COMMIT leaves a frame with the commit flag and a right checksum, which every live connection
/// ignores and the next writer overwrites.
#[test]
fn a_commit_whose_fsync_failed_is_never_shipped() {
    let _turn = shared();
    let fleet = Fleet::new("phantom-fsync", &["a"]);
    let mut app = App::open(&fleet.db("a"));
    app.sql("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; CREATE TABLE t(v TEXT); INSERT INTO t VALUES('first')");
    let shipper = fleet.ship();
    fleet.await_shipped("a");

    let fault = Injection::into_process(app.pid(), "fdatasync:error=EIO:when=1");
    let failed = app.try_sql("INSERT INTO t VALUES('phantom')");
    fault.end();
    assert!(
        failed.is_err_and(|error| error.contains("disk I/O error")),
        "the fault did not hit COMMIT"
    );
    assert_phantom_stands(&fleet);
    fleet.await_shipped("a");
    fleet.assert_restores("a");

    app.sql("INSERT INTO t VALUES('later')");
    fleet.await_shipped("a");
    fleet.assert_restores("a");
    assert_eq!(rows(&fleet), ["first", "later"]);
    assert_eq!(fleet.history().comparisons("a"), 0, "continuity was never in doubt");
    fleet.finish(shipper);
}

/// The same frame is left by a kill between the commit frame and the update of the wal-index.
#[test]
fn a_commit_that_a_kill_cut_off_is_never_shipped() {
    let _turn = shared();
    let fleet = Fleet::new("phantom-kill", &["a"]);
    let mut app = App::open(&fleet.db("a"));
    app.sql("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; CREATE TABLE t(v TEXT); INSERT INTO t VALUES('first')");
    let shipper = fleet.ship();
    fleet.await_shipped("a");

    let fault = Injection::into_process(app.pid(), "fdatasync:signal=KILL:when=1");
    app.begin_sql("INSERT INTO t VALUES('phantom')");
    assert!(app.answer().is_err(), "the application survived");
    fault.end();
    assert_phantom_stands(&fleet);

    let mut next = App::open(&fleet.db("a"));
    fleet.await_shipped("a");
    fleet.assert_restores("a");
    next.sql("INSERT INTO t VALUES('later')");
    fleet.await_shipped("a");
    assert_eq!(rows(&fleet), ["first", "later"]);
    assert_eq!(fleet.history().comparisons("a"), 0, "continuity was never in doubt");
    fleet.finish(shipper);
}

/// The test sees what it is about: the row is in the WAL file, in nobody's sight.
fn assert_phantom_stands(fleet: &Fleet) {
    let wal = std::fs::read(fleet.db("a").with_extension("db-wal")).expect("the WAL");
    assert!(wal.windows(7).any(|bytes| bytes == b"phantom"), "no phantom was made");
}

fn rows(fleet: &Fleet) -> Vec<String> {
    let mut app = App::open(&fleet.restore("a"));
    let rows = app.sql("SELECT v FROM t ORDER BY rowid");
    let rows = rows.as_array().expect("rows").iter();
    rows.map(|row| row[0].as_str().expect("text").to_owned()).collect()
}
