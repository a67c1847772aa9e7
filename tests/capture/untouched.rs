//! We write nothing into a user's database, ever.

use std::fs;

use e2e::{App, Fleet, shared};

/// Idle databases are the same to the byte after we have come, shipped them and gone.
#[test]
fn idle_databases_keep_every_byte() {
    let _turn = shared();
    let fleet = Fleet::new("untouched", &["wal", "journal"]);
    for (name, mode) in [("wal", "WAL"), ("journal", "DELETE")] {
        let mut app = App::open(&fleet.db(name));
        app.sql(&format!(
            "PRAGMA journal_mode={mode}; CREATE TABLE t(v); INSERT INTO t VALUES(randomblob(30000))"
        ));
        app.close("main");
    }
    let read = || {
        fleet.names().iter().map(|name| fs::read(fleet.db(name)).expect("read")).collect::<Vec<_>>()
    };
    let before = read();
    for _ in 0..2 {
        let mut shipper = fleet.ship();
        shipper.await_line(&["attached", "wal"]);
        shipper.await_line(&["attached", "journal"]);
        assert_eq!(shipper.terminate(), 0);
        assert!(read() == before, "a database has other bytes than before");
    }
    assert_eq!(fleet.ship_once(), 0);
    assert!(read() == before, "a database has other bytes than before");
    assert!(
        !fleet.db("journal").with_extension("db-wal").exists(),
        "no WAL for a rollback-journal database"
    );
    fleet.assert_all_equal();
}

/// Under load the schema, the journal mode and all settings stay the application's.
#[test]
fn the_schema_and_the_settings_stay_as_they_are() {
    let _turn = shared();
    let fleet = Fleet::new("schema", &["a"]);
    let mut app = App::open(&fleet.db("a"));
    app.sql("PRAGMA application_id=77; PRAGMA user_version=5; PRAGMA journal_mode=WAL; CREATE TABLE t(v)");
    let facts = |app: &mut App| {
        let questions = [
            "SELECT * FROM sqlite_schema",
            "PRAGMA application_id",
            "PRAGMA user_version",
            "PRAGMA journal_mode",
            "PRAGMA schema_version",
        ];
        questions.map(|question| app.sql(question))
    };
    let before = facts(&mut app);
    let shipper = fleet.ship();
    for _ in 0..50 {
        app.sql("INSERT INTO t VALUES(randomblob(3000))");
    }
    fleet.await_shipped("a");
    assert_eq!(facts(&mut app), before);
    fleet.finish(shipper);
}
