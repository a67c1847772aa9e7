//! kill -9 of the shipper, many times, at random moments.

use std::time::Duration;

use e2e::{Fleet, Load, Rng, is_long, scaled, shared};
use serde_json::json;

/// Whatever moment a kill hits, the log has no hole, nothing is lost, and no database is uploaded again.
#[test]
fn a_killed_shipper_leaves_no_hole_and_restarts_with_what_changed() {
    let _turn = shared();
    let mut rng = Rng::seeded("kills");
    let fleet = Fleet::new("kills", &["a"]);
    Load::start(&fleet.db("a"), &json!({"rows": 400, "rate": 20, "seconds": 1})).finish();
    assert_eq!(fleet.ship_once(), 0);
    let load = Load::start(
        &fleet.db("a"),
        &json!({"rate": 100, "checkpoint_ms": 150, "seed": rng.below(1 << 30)}),
    );
    let kills = scaled(30, 500);
    for _ in 0..kills {
        let shipper = fleet.ship_unawaited();
        std::thread::sleep(rng.moment(Duration::from_millis(500)));
        shipper.kill();
    }
    let shipper = fleet.ship();
    let report = load.stop();
    assert_eq!(report["errors"], json!([]));
    fleet.finish(shipper);
    let history = fleet.history();
    assert_eq!(history.lives("a"), 1, "a restart uploaded the database again");
    let fences = history.tables.iter().filter(|table| table.header.epoch.get() > 1).count();
    println!(
        "{kills} kills, {} log objects, {fences} of them after the first epoch; {report}",
        history.tables.len()
    );
}

/// The exit code of a program that a signal ended.
const KILLED: i32 = -1;

/// System calls at which the shipper is killed.
const CALLS: [&str; 5] = ["linkat", "fsync", "write", "unlink", "openat"];

/// A start opens the folder of the log once for each of its objects, of which there are more after every kill.
const OPENS_MAX: usize = 200;

/// Kills at the n-th of these calls in a thread: in the short form ten kills, each at a call and an n taken at random; in
/// the long form at every call, for every n up to the one that is reached no more because nothing is left to do.
#[test]
fn a_shipper_killed_at_each_write_to_the_store_goes_on_where_it_stood() {
    let _turn = shared();
    let mut rng = Rng::seeded("kills at writes");
    let fleet = Fleet::new("kills-writes", &["a"]);
    Load::start(&fleet.db("a"), &json!({"rows": 50, "rate": 50, "seconds": 1})).finish();
    if is_long() {
        for call in CALLS {
            let kills = (1..).take_while(|&when| is_killed_and_goes_on(&fleet, call, when));
            let kills =
                if call == "openat" { kills.take(OPENS_MAX).count() } else { kills.count() };
            println!("killed at each of {kills} {call}");
            assert!(kills > 0, "there was no {call} to be killed at");
        }
    } else {
        for call in CALLS.repeat(2) {
            let when = 1 + rng.below(if call == "openat" { 60 } else { 8 });
            is_killed_and_goes_on(&fleet, call, when);
        }
    }
    fleet.assert_verified();
    assert!(fleet.history().lives("a") == 1, "a restart uploaded the database again");
}

/// One change, which a shipper is to ship that is killed, and then one that is not. False if the first came to its end.
fn is_killed_and_goes_on(fleet: &Fleet, call: &str, when: u64) -> bool {
    Load::start(&fleet.db("a"), &json!({"rate": 50, "seconds": 0.2, "seed": when})).finish();
    let code = kill_at(fleet, call, when);
    assert!(matches!(code, KILLED | 0), "exit code {code} at {call} number {when}");
    assert_eq!(fleet.ship_once(), 0, "after a kill at {call} number {when}");
    fleet.assert_restores("a");
    code == KILLED
}

/// Runs the shipper under strace until the call kills it, or it has shipped everything: its exit code.
fn kill_at(fleet: &Fleet, call: &str, when: u64) -> i32 {
    let shipper = fleet.replicate(&fleet.config("alpha"));
    let mut command = std::process::Command::new("strace");
    command.args(["-f", "-o", "/dev/null", "-e", &format!("trace={call}")]);
    command.args(["-e", &format!("inject={call}:signal=KILL:when={when}")]);
    command.arg(shipper.get_program()).args(shipper.get_args()).arg("--once");
    fleet.start(command).exit()
}
