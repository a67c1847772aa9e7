//! Databases that are not in WAL mode, or that an application keeps to itself.

use e2e::{App, Fleet, shared};

/// A rollback-journal database is captured by comparing pages, and stays one.
#[test]
fn a_rollback_journal_database_is_captured_and_not_converted() {
    let _turn = shared();
    let fleet = Fleet::new("journal", &["a"]);
    let mut app = App::open(&fleet.db("a"));
    app.sql("CREATE TABLE t(id INTEGER PRIMARY KEY, v BLOB)");
    let shipper = fleet.ship();
    fleet.await_shipped("a");
    for _ in 0..5 {
        app.sql("INSERT INTO t(v) VALUES(randomblob(9000)); DELETE FROM t WHERE id = 2");
        fleet.await_shipped("a");
    }
    fleet.assert_restores("a");
    assert_eq!(app.sql("PRAGMA journal_mode")[0][0], "delete");
    assert_eq!(fleet.history().lives("a"), 1);

    app.sql("PRAGMA journal_mode=WAL; INSERT INTO t(v) VALUES('in WAL mode')");
    fleet.await_shipped("a");
    app.sql("INSERT INTO t(v) VALUES('and again')");
    fleet.await_shipped("a");
    assert_eq!(fleet.history().lives("a"), 1);
    fleet.finish(shipper);
}

/// An application that keeps its database to itself is named in a warning; the other databases go on.
#[test]
fn an_exclusively_locked_database_is_named_and_delays_nobody() {
    let _turn = shared();
    let fleet = Fleet::new("exclusive", &["free", "kept"]);
    let mut free = App::open(&fleet.db("free"));
    free.sql("PRAGMA journal_mode=WAL; CREATE TABLE t(v)");
    let mut kept = App::open(&fleet.db("kept"));
    kept.sql("PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL; CREATE TABLE t(v)");
    let mut shipper = fleet.ship();
    shipper.await_line(&["WARN", "kept", "locked"]);
    free.sql("INSERT INTO t VALUES('goes on')");
    fleet.await_shipped("free");
    assert_eq!(fleet.state_of("kept").as_deref(), Some("locked"));
    kept.sql("INSERT INTO t VALUES('by itself')");
    kept.close("main");
    fleet.await_shipped("kept");
    fleet.finish(shipper);
}

/// In WAL mode, an application that comes to want its database to itself is refused, and shipping goes on.
#[test]
fn no_application_takes_a_database_in_wal_mode_from_us() {
    let _turn = shared();
    let fleet = Fleet::new("not-exclusive", &["a"]);
    App::open(&fleet.db("a")).sql("PRAGMA journal_mode=WAL; CREATE TABLE t(v)");
    let shipper = fleet.ship();
    fleet.await_shipped("a");
    let mut greedy = App::open(&fleet.db("a"));
    greedy.sql("PRAGMA busy_timeout=0; PRAGMA locking_mode=EXCLUSIVE");
    let refused = greedy.try_sql("INSERT INTO t VALUES('alone')");
    assert!(refused.as_ref().is_err_and(|error| error.contains("locked")), "{refused:?}");
    greedy.close("main");
    App::open(&fleet.db("a")).sql("INSERT INTO t VALUES('together')");
    fleet.await_shipped("a");
    assert_eq!(fleet.state_of("a").as_deref(), Some("live"));
    fleet.finish(shipper);
}

/// Commits are in the `-wal` only, the application is gone, and we are the last to close: nothing is lost,
/// and closing changes nothing on disk.
#[test]
fn closing_last_keeps_what_is_not_shipped() {
    let _turn = shared();
    let fleet = Fleet::new("close-last", &["a"]).sync_interval("2s");
    App::open(&fleet.db("a"))
        .sql("PRAGMA journal_mode=WAL; CREATE TABLE t(v); INSERT INTO t VALUES(1)");
    let shipper = fleet.ship();
    fleet.await_shipped("a");
    let mut app = App::open(&fleet.db("a"));
    app.sql("INSERT INTO t VALUES('not shipped yet')");
    app.close("main");
    shipper.kill();
    let wal = std::fs::read(fleet.db("a").with_extension("db-wal")).expect("the WAL is there");
    assert!(wal.len() > 32, "the commit is in the WAL");

    let shipper = fleet.ship();
    fleet.await_shipped("a");
    let mut app = App::open(&fleet.db("a"));
    app.sql("INSERT INTO t VALUES('shipped by SIGTERM')");
    app.close("main");
    assert_eq!(shipper.terminate(), 0);
    let wal = std::fs::read(fleet.db("a").with_extension("db-wal")).expect("the WAL is there");
    assert!(wal.len() > 32, "closing moved or deleted the WAL");
    fleet.assert_all_equal();
    assert_eq!(fleet.history().bases("a"), 1);
}
