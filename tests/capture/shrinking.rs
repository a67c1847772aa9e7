//! Databases that become smaller, by every way that SQLite has.

use e2e::{App, Fleet, shared};

const FILL: &str = "WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM s WHERE i<400) \
                    INSERT INTO big SELECT i, randomblob(3000) FROM s";

/// Each step makes the database smaller, or changes how it will become smaller; each is compared at its end.
#[test]
fn a_shrunk_database_is_shipped_with_its_new_size() {
    let _turn = shared();
    let fleet = Fleet::new("shrinking", &["a"]);
    let mut app = App::open(&fleet.db("a"));
    app.sql(
        "PRAGMA journal_mode=WAL; CREATE TABLE keep(v); INSERT INTO keep VALUES(randomblob(5000))",
    );
    app.sql(&format!("CREATE TABLE big(id INTEGER PRIMARY KEY, v BLOB); {FILL}"));
    let shipper = fleet.ship();
    fleet.await_shipped("a");
    let full = app.number("PRAGMA page_count");
    let mut smallest = full;
    for step in [
        "DELETE FROM big WHERE id % 4 <> 0",
        "VACUUM",
        "DROP TABLE big",
        "VACUUM",
        &format!("CREATE TABLE big(id INTEGER PRIMARY KEY, v BLOB); {FILL}"),
        "PRAGMA auto_vacuum=FULL; VACUUM",
        "DELETE FROM big WHERE id > 100",
        "PRAGMA auto_vacuum=INCREMENTAL; DELETE FROM big WHERE id > 50",
        "PRAGMA incremental_vacuum(7)",
        "PRAGMA auto_vacuum=FULL; DELETE FROM big WHERE id > 40",
        "PRAGMA auto_vacuum=INCREMENTAL; DROP TABLE big",
        "PRAGMA incremental_vacuum",
        "PRAGMA auto_vacuum=NONE; VACUUM",
        &format!(
            "CREATE TABLE big(id INTEGER PRIMARY KEY, v BLOB); {FILL}; DELETE FROM big; VACUUM"
        ),
    ] {
        app.sql(step);
        fleet.await_shipped("a");
        fleet.assert_restores("a");
        smallest = smallest.min(app.number("PRAGMA page_count"));
    }
    assert!(smallest * 20 < full, "it never became small: {full} pages, then {smallest}");
    let history = fleet.history();
    assert_eq!(
        (history.lives("a"), history.comparisons("a")),
        (1, 0),
        "captured from the WAL throughout"
    );
    fleet.finish(shipper);
}

/// A transaction that grows the database, then one that shrinks it below the pages of the first, in one flush.
#[test]
fn growth_and_shrinking_in_one_flush_leave_no_page_behind() {
    let _turn = shared();
    let fleet = Fleet::new("shrinking-flush", &["a"]).sync_interval("1s");
    let mut app = App::open(&fleet.db("a"));
    app.sql("PRAGMA auto_vacuum=FULL; PRAGMA journal_mode=WAL; CREATE TABLE big(id INTEGER PRIMARY KEY, v BLOB)");
    let shipper = fleet.ship();
    fleet.await_shipped("a");
    for _ in 0..20 {
        app.sql(&format!("BEGIN; {FILL}; COMMIT; DELETE FROM big"));
    }
    fleet.await_shipped("a");
    fleet.assert_restores("a");
    assert_eq!(fleet.history().comparisons("a"), 0);
    fleet.finish(shipper);
}
