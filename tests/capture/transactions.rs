//! Transactions that are larger than the cache, that are rolled back, or whose application dies in the middle.

use e2e::{App, Fleet, Rng, scaled, shared};

/// A cache of a few pages makes SQLite write frames long before COMMIT.
const SCHEMA: &str = "PRAGMA journal_mode=WAL; PRAGMA cache_size=5; PRAGMA wal_autocheckpoint=0; \
    CREATE TABLE t(id INTEGER PRIMARY KEY, v BLOB); \
    WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM s WHERE i<200) \
    INSERT INTO t SELECT i, randomblob(2000) FROM s";

/// Frames of an open transaction stand in the WAL, are rewritten in place, and then count or do not count.
#[test]
fn a_spilled_transaction_is_shipped_at_commit_only() {
    let _turn = shared();
    let mut rng = Rng::seeded("spill");
    let fleet = Fleet::new("spill", &["a"]).sync_interval("10ms");
    let mut app = App::open(&fleet.db("a"));
    app.sql(SCHEMA);
    let shipper = fleet.ship();
    fleet.await_shipped("a");
    for round in 0..scaled(8, 200) {
        let before = fleet.history();
        let wal = wal(&fleet);
        app.sql("BEGIN");
        for _ in 0..4 {
            let step = 1 + rng.below(3);
            app.sql(&format!("UPDATE t SET v = randomblob(2000) WHERE id % {step} = 0"));
            app.sql(&format!(
                "SAVEPOINT s; DELETE FROM t WHERE id > {}; ROLLBACK TO s; RELEASE s",
                rng.below(200)
            ));
        }
        assert!(self::wal(&fleet) != wal, "nothing was spilled");
        assert_eq!(
            fleet.history().since(before.last()).pages("a"),
            0,
            "an open transaction was shipped"
        );
        app.sql(if round % 2 == 0 { "ROLLBACK" } else { "COMMIT" });
        app.sql("INSERT INTO t(v) VALUES('after')");
        fleet.await_shipped("a");
        fleet.assert_restores("a");
    }
    assert_eq!(fleet.history().comparisons("a"), 0);
    fleet.finish(shipper);
}

/// The application is killed with a spilled transaction open; another one goes on.
#[test]
fn a_transaction_whose_application_was_killed_is_never_shipped() {
    let _turn = shared();
    let fleet = Fleet::new("app-kill", &["a"]);
    App::open(&fleet.db("a")).sql(SCHEMA);
    let shipper = fleet.ship();
    fleet.await_shipped("a");
    for _ in 0..scaled(5, 100) {
        let mut app = App::open(&fleet.db("a"));
        app.sql("PRAGMA cache_size=5; INSERT INTO t(v) VALUES('committed')");
        app.sql("BEGIN; UPDATE t SET v = randomblob(2000)");
        app.kill();
        fleet.await_shipped("a");
        App::open(&fleet.db("a")).sql("INSERT INTO t(v) VALUES('later')");
        fleet.await_shipped("a");
        fleet.assert_restores("a");
    }
    assert_eq!(fleet.history().comparisons("a"), 0);
    fleet.finish(shipper);
}

/// Tens of megabytes are written and rolled back, beside another connection that commits.
#[test]
fn the_rollback_of_a_huge_transaction_ships_nothing() {
    let _turn = shared();
    let fleet = Fleet::new("rollback", &["a"]);
    let mut app = App::open(&fleet.db("a"));
    app.sql(SCHEMA);
    let shipper = fleet.ship();
    fleet.await_shipped("a");
    let before = fleet.history();
    for _ in 0..3 {
        app.sql(
            "BEGIN; WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM s WHERE i<3000) \
             INSERT INTO t(v) SELECT randomblob(3000) FROM s; ROLLBACK",
        );
    }
    app.sql("INSERT INTO t(v) VALUES('small')");
    fleet.await_shipped("a");
    let since = fleet.history().since(before.last());
    assert!(since.pages("a") < 10, "{} pages were shipped for one row", since.pages("a"));
    fleet.finish(shipper);
}

fn wal(fleet: &Fleet) -> Vec<u8> {
    std::fs::read(fleet.db("a").with_extension("db-wal")).expect("the WAL")
}
