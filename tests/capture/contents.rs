//! What is in a database does not matter to capture: encodings, kinds of tables, even a damaged schema.

use e2e::{App, Fleet, shared};

/// Every kind of table and page that SQLite has, in three encodings.
#[test]
fn every_kind_of_table_is_shipped() {
    let _turn = shared();
    let fleet = Fleet::new("contents", &["utf8", "utf16le", "utf16be"]);
    let shipper = fleet.ship();
    for (name, encoding) in [("utf8", "UTF-8"), ("utf16le", "UTF-16le"), ("utf16be", "UTF-16be")] {
        let mut app = App::open(&fleet.db(name));
        app.sql(&format!("PRAGMA encoding='{encoding}'; PRAGMA journal_mode=WAL"));
        app.sql(
            "CREATE TABLE w(k TEXT PRIMARY KEY, v BLOB) WITHOUT ROWID; \
             CREATE TABLE g(a INTEGER, b AS (a * 2) STORED, c AS (a + 1)); CREATE INDEX gi ON g(b) WHERE c > 5; \
             CREATE VIRTUAL TABLE f USING fts5(x); CREATE VIRTUAL TABLE r USING rtree(id, a, b); \
             CREATE TABLE s(v ANY) STRICT",
        );
        fleet.await_shipped(name);
        app.sql(
            "WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM s WHERE i<200) \
             INSERT INTO w SELECT 'Schlüssel ' || i, randomblob(i * 10) FROM s; \
             INSERT INTO g(a) VALUES(1), (7), (9); INSERT INTO f VALUES('ein Satz'), ('noch ein Satz'); \
             INSERT INTO r VALUES(1, 0.5, 2.5), (2, 1, 3); INSERT INTO s VALUES('x'), (1.5)",
        );
        fleet.await_shipped(name);
        app.sql("INSERT INTO f(f) VALUES('optimize'); DELETE FROM w WHERE k LIKE '%7%'");
        fleet.await_shipped(name);
    }
    fleet.finish(shipper);
}

/// A schema that no SQLite can parse, with a table named as one of SQLite's own, is shipped page by page.
#[test]
fn a_garbage_schema_is_shipped_byte_for_byte() {
    let _turn = shared();
    let fleet = Fleet::new("garbage", &["a"]);
    let mut app = App::open(&fleet.db("a"));
    app.sql("PRAGMA journal_mode=WAL; CREATE TABLE t(v); INSERT INTO t VALUES(1)");
    let shipper = fleet.ship();
    fleet.await_shipped("a");
    app.sql(
        "PRAGMA writable_schema=ON; \
         INSERT INTO sqlite_schema VALUES('table', 'sqlite_dbpage', 'sqlite_dbpage', 2, 'CREATE TABLE sqlite_dbpage(pgno, data, schema)'); \
         INSERT INTO sqlite_schema VALUES('table', 'x', 'x', 2, 'this is not SQL'); PRAGMA user_version=7",
    );
    fleet.await_shipped("a");
    e2e::oracle::assert_same_pages(&fleet.db("a"), &fleet.restore("a"));
    assert_eq!(fleet.history().comparisons("a"), 0);
    assert_eq!(shipper.terminate(), 0);
    // Attaching anew must not parse the schema either.
    app.sql("PRAGMA user_version=8");
    assert_eq!(fleet.ship_once(), 0);
    e2e::oracle::assert_same_pages(&fleet.db("a"), &fleet.restore("a"));
    fleet.assert_verified();
}
