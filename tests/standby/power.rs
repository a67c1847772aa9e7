//! Power cuts on the standby: the writes of a follower are recorded, and of those that were not synced any subset is lost.
//!
//! In every such state a database is whole for every reader; and a follower that finds it goes on to the end. The trace
//! begins before there is a file: that the first one is synced before it comes to its place is watched here alone.

use std::process::Command;

use e2e::{Fleet, Ledger, Program, Rng, Standby, python, scaled, shared, until};
use serde_json::{Value, json};

const TRACED: &str =
    "trace=openat,pwrite64,write,ftruncate,fsync,fdatasync,rename,renameat,linkat,unlink";

#[test]
fn whatever_a_power_cut_leaves_is_whole_and_goes_on() {
    let _turn = shared();
    let mut rng = Rng::seeded("power");
    let fleet = Fleet::new("power", &["a"]).sync_interval("50ms");
    let standby = Standby::of(&fleet);
    Ledger::commit(&fleet.db("a"), 5);
    let shipper = fleet.ship();
    let trace = fleet.scratch.file("trace");
    let follower = traced(&standby, &trace);
    standby.await_equal(&fleet);
    for round in 0..3 {
        let options = json!({"commits": 12, "rate": 12, "turmoil": true, "seed": round});
        Ledger::write(&fleet.db("a"), &options).finish();
        standby.await_equal(&fleet);
    }
    assert_eq!(follower.terminate(), 0);
    until("the end of the trace", || {
        let text = std::fs::read_to_string(&trace).ok()?;
        text.lines().next_back()?.ends_with("+++ exited with 0 +++").then_some(())
    });
    fleet.finish(shipper);

    let cuts = fleet.scratch.file("cuts");
    let (states, followed) = (scaled(120, 4_000), scaled(8, 200));
    let each = states / followed;
    let options = json!({"seed": rng.below(1 << 30), "states": states, "keep_each": each});
    let report = cut(&trace, &standby, &cuts, &options);
    println!("{report}");
    let commits = report["commits"].as_array().expect("commits");
    assert!(commits.len() > 3, "the cuts show hardly anything: {report}");
    for number in 0..followed {
        let state = cuts.join((number * each).to_string());
        let after = Standby::over(&state, &fleet.store());
        after.catch_up();
        after.assert_equal(&fleet);
    }
}

fn traced(standby: &Standby, trace: &std::path::Path) -> Program {
    let follow = standby.command("follow");
    let mut command = Command::new("strace");
    command.args(["-D", "-f", "-y", "-xx", "-s", "70000", "-e", TRACED, "-o"]).arg(trace);
    command.arg(follow.get_program()).args(follow.get_args());
    Program::start(command, &standby.folder().join("walapply.log"))
}

fn cut(
    trace: &std::path::Path,
    standby: &Standby,
    out: &std::path::Path,
    options: &Value,
) -> Value {
    let mut command = python("power.py");
    command.arg(trace).arg(standby.folder()).arg(out).arg(options.to_string());
    let output = command.output().expect("python3 runs");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "a state is not whole: {text}");
    serde_json::from_slice(&output.stdout).expect("a report")
}
