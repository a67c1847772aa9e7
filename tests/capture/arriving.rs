//! Databases that are not there yet, and readers that stay.

use e2e::{App, Fleet, Load, scaled, shared};
use serde_json::json;

/// The shipper is started first; the databases come later, one of them by way of an empty file.
#[test]
fn databases_that_come_later_are_picked_up() {
    let _turn = shared();
    let fleet = Fleet::new("later", &["missing", "empty", "wal-only"]);
    std::fs::write(fleet.db("empty"), b"").expect("an empty file");
    let shipper = fleet.ship();
    e2e::until("both states in the log", || {
        let history = fleet.history();
        let states: Vec<_> =
            history.catalogue.databases.values().map(|entry| entry.state).collect();
        use segment::DatabaseState::{Empty, Missing};
        (states.contains(&Empty) && states.contains(&Missing)).then_some(())
    });
    assert_eq!(
        std::fs::read_dir(fleet.scratch.file("db")).expect("a folder").count(),
        1,
        "nothing was made beside them"
    );
    assert_eq!(
        std::fs::metadata(fleet.db("empty")).expect("the file").len(),
        0,
        "an empty file stays empty"
    );
    for name in ["missing", "empty"] {
        App::open(&fleet.db(name))
            .sql("PRAGMA journal_mode=WAL; CREATE TABLE t(v); INSERT INTO t VALUES(1)");
        fleet.await_shipped(name);
        App::open(&fleet.db(name)).sql("INSERT INTO t VALUES(2)");
        fleet.await_shipped(name);
    }
    let mut app = App::open(&fleet.db("wal-only"));
    app.sql("PRAGMA wal_autocheckpoint=0; PRAGMA journal_mode=WAL; CREATE TABLE t(v); INSERT INTO t VALUES(randomblob(50000))");
    fleet.await_shipped("wal-only");
    fleet.finish(shipper);
}

/// A reader that pins an old state: shipping goes on, writers do not notice, and afterwards the log is short again.
#[test]
fn a_long_reader_delays_neither_shipping_nor_writers() {
    let _turn = shared();
    let fleet = Fleet::new("reader", &["a"]);
    Load::start(&fleet.db("a"), &json!({"seconds": 0.2, "rate": 100})).finish();
    let shipper = fleet.ship();
    fleet.await_shipped("a");
    let mut reader = App::open(&fleet.db("a"));
    reader.sql("BEGIN; SELECT count(*) FROM load");
    let heavy = |transactions: u64, seconds: u64| json!({"writers": 2, "rate": transactions / seconds, "bytes": 20_000, "keep": 200, "seconds": seconds});
    // 32 MB in the short form, 520 MB in ten minutes in the long one.
    let options = heavy(scaled(800, 13_000), scaled(4, 600));
    let during = Load::start(&fleet.db("a"), &options).finish();
    fleet.await_shipped("a");
    let grown = wal_bytes(&fleet);
    reader.sql("COMMIT");
    let after = Load::start(&fleet.db("a"), &heavy(800, 4)).finish();
    fleet.await_shipped("a");
    let last = wal_bytes(&fleet);
    println!("WAL {grown} bytes with a reader, {last} in the end; {during}; {after}");
    assert_eq!((&during["errors"], &after["errors"]), (&json!([]), &json!([])));
    assert!(grown > 20_000_000, "the reader pinned nothing");
    assert!(last < grown + grown / 4, "the log went on growing after the reader had left");
    assert_eq!(fleet.history().comparisons("a"), 0);
    fleet.finish(shipper);
}

fn wal_bytes(fleet: &Fleet) -> u64 {
    std::fs::metadata(fleet.db("a").with_extension("db-wal")).expect("the WAL").len()
}

/// Databases for which there is no room are named and left alone; the others and the store keep what they need.
#[test]
fn more_databases_than_descriptors_do_not_stop_the_others() {
    let _turn = shared();
    let fleet = Fleet::new("no-room", &["kept"]).sync_interval("20ms");
    let config = fleet.config("alpha");
    let text = std::fs::read_to_string(&config).expect("the configuration");
    let pattern = "[[databases]]\nglob = 'more/*.db'\ntier = 'p1'\n";
    std::fs::write(&config, format!("{text}\n{pattern}")).expect("written");
    let folder = fleet.scratch.file("more");
    std::fs::create_dir(&folder).expect("a folder");
    let schema = "PRAGMA journal_mode=WAL; CREATE TABLE t(v)";
    App::open(&fleet.db("kept")).sql(schema);

    let shipper = fleet.replicate(&config);
    let mut command = std::process::Command::new("prlimit");
    command.arg("--nofile=100:100").arg(shipper.get_program()).args(shipper.get_args());
    let mut shipper = fleet.start(command);
    fleet.await_shipped("kept");
    for number in 0..12 {
        App::open(&folder.join(format!("more{number:02}.db"))).sql(schema);
    }
    shipper.await_line(&["cannot be replicated", "open files are needed, but the limit is 100"]);
    e2e::until("as many as there is room for", || {
        (fleet.history().catalogue.databases.len() == 9).then_some(())
    });
    App::open(&fleet.db("kept")).sql("INSERT INTO t VALUES (1)");
    fleet.await_shipped("kept");
    shipper.signal(rustix::process::Signal::TERM);
    shipper.await_line(&["not everything is shipped", "(refused)"]);
    assert_eq!(shipper.exit(), 1);
}
