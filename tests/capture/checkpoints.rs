//! Checkpoints by the application, of every kind, at any time.

use std::thread::sleep;
use std::time::Duration;

use e2e::{App, Fleet, Load, Rng, Shipper, alone, scale};
use rustix::process::Signal;
use serde_json::json;

/// Busy timeout of the writers, in seconds. Without us, waits of a second are seen on two cores: SQLite's locks are not
/// fair. So this test fails only if we keep a writer out for good.
const TIMEOUT: u64 = 5;

/// Four writers without pause, and a checkpoint of a random mode every 50 ms.
#[test]
fn checkpoints_of_every_mode_under_four_writers_never_break_continuity() {
    let _turn = alone();
    let mut rng = Rng::seeded("checkpoints");
    let fleet = Fleet::new("checkpoints", &["a"]);
    let options = |seconds: u64, seed: u64| json!({"writers": 4, "checkpoint_ms": 50, "timeout": TIMEOUT, "seed": seed, "seconds": seconds});
    let without = Load::start(&fleet.scratch.file("alone.db"), &options(3, 1)).finish();
    Load::start(&fleet.db("a"), &options(1, 1)).finish();
    assert_eq!(fleet.ship_once(), 0);
    let mut shipper = fleet.ship();
    // What is written before it is attached is found by comparison, rightly.
    shipper.await_line(&["attached", "db=a"]);
    let with = Load::start(&fleet.db("a"), &options(8 * scale(), rng.below(1 << 30))).finish();
    println!("without us: {without}\nwith us:    {with}");
    fleet.finish(shipper);
    let history = fleet.history();
    assert_eq!(history.lives("a"), 1, "no database was uploaded again");
    assert_eq!(history.comparisons("a"), 0, "continuity was lost");
    assert_eq!(with["errors"], json!([]), "no writer failed");
    assert!(with["transactions"].as_u64() > Some(1000), "hardly any load: {with}");
}

/// A checkpoint that waits for a reader's mark waits on for whoever takes that mark next, and keeps all writers out. Here
/// that is us: held while the reader goes, and let go to capture the commit before, we take the mark that came free.
#[test]
fn a_checkpoint_that_waits_for_the_mark_we_take_is_let_through() {
    let _turn = alone();
    let fleet = Fleet::new("give-way", &["a"]);
    let mut app = App::open(&fleet.db("a"));
    app.sql("PRAGMA journal_mode=WAL; CREATE TABLE t(x)");
    assert_eq!(fleet.ship_once(), 0);
    let before = fleet.history().last();
    let mut shipper = fleet.ship();
    shipper.await_line(&["attached", "db=a"]);
    for round in 0..3 {
        wait_on_our_mark(&fleet, &shipper, round);
        fleet.await_shipped("a");
    }
    fleet.finish(shipper);
    let since = fleet.history().since(before);
    assert_eq!((since.lives("a"), since.comparisons("a")), (0, 0), "continuity was lost");
}

fn wait_on_our_mark(fleet: &Fleet, shipper: &Shipper, round: u32) {
    let mut app = App::open(&fleet.db("a"));
    let mut reader = App::open(&fleet.db("a"));
    // On an empty log the reader gets the first mark, and we the next.
    app.sql("PRAGMA wal_checkpoint(TRUNCATE); INSERT INTO t VALUES (1)");
    reader.sql("BEGIN; SELECT * FROM t");
    app.sql("INSERT INTO t VALUES (2)");
    fleet.await_shipped("a");
    shipper.signal(Signal::STOP);
    app.sql("INSERT INTO t VALUES (3)");
    app.begin_sql("PRAGMA wal_checkpoint(TRUNCATE)");
    // By then it looks every 100 ms, which leaves us the time to be first.
    sleep(Duration::from_millis(1500));
    reader.sql("COMMIT");
    shipper.signal(Signal::CONT);
    let answer = app.answer().expect("the checkpoint ends");
    assert_eq!(answer[0][0], 0, "round {round}: the checkpoint waited for us until it gave up");
}
