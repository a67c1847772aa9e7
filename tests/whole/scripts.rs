//! The store can be read without this project's code: by a short script that was written from the format's document.

use std::path::PathBuf;

use e2e::{App, Fleet, Ledger, oracle, python, shared};
use serde_json::json;

fn restore(fleet: &Fleet, name: &str, seq: Option<u64>) -> PathBuf {
    let target = fleet.scratch.file(&format!("script-{name}.db"));
    let mut script = python("restore.py");
    script.arg(fleet.store()).arg(name).arg(&target).args(seq.map(|seq| seq.to_string()));
    let output = script.output().expect("python3 runs");
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{name} at {seq:?}: {text}");
    target
}

/// Bases, inline changes, side objects, growth, shrinking and new lives, in several page sizes.
#[test]
fn a_script_restores_every_database_at_every_point_that_walapply_restores() {
    let _turn = shared();
    let names = ["tiny", "small", "large", "reborn"];
    let fleet = Fleet::new("script", &names);
    let page_sizes = [512, 4096, 65_536, 1_024];
    let ship = |round: u64| {
        for (name, page_size) in names.into_iter().zip(page_sizes) {
            let bytes = if name == "large" && round == 1 { 900_000 } else { 300 };
            let options =
                json!({"commits": 15, "page_size": page_size, "bytes": bytes, "seed": round});
            Ledger::write(&fleet.db(name), &options).finish();
        }
        assert_eq!(fleet.ship_once(), 0);
        fleet.history().last().get()
    };
    let mut points = vec![ship(0), ship(1)];
    App::open(&fleet.db("small")).sql("DELETE FROM load; VACUUM");
    for ending in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{ending}", fleet.db("reborn").display()));
    }
    points.push(ship(2));
    points.push(ship(3));
    for name in names {
        oracle::assert_equal(&fleet.db(name), &restore(&fleet, name, None));
        for &seq in &points {
            let ours = fleet.scratch.file("ours.db");
            let output = fleet.restore_to(name, &ours, &["--seq", &seq.to_string()]);
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            oracle::assert_equal(&ours, &restore(&fleet, name, Some(seq)));
        }
    }
    let sides = e2e::objects::Objects::of(&fleet.store()).named("side/");
    assert!(!sides.is_empty(), "no side object was there to be read");
}
