//! Checkpoints by the application, of every kind, at any time.

use e2e::{Fleet, Load, Rng, alone, scale};
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
    // A checkpoint that waits for our read mark is let through, which may cost one comparison of pages.
    let given_way = shipper.lines_with(&["after giving way"]).count();
    fleet.finish(shipper);
    let history = fleet.history();
    assert_eq!(history.lives("a"), 1, "no database was uploaded again");
    assert!(history.comparisons("a") <= given_way, "continuity was lost");
    assert_eq!(with["errors"], json!([]), "no writer failed");
    assert!(with["transactions"].as_u64() > Some(1000), "hardly any load: {with}");
}
