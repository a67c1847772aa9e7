//! A primary that was killed does not look like an idle one: the standby says since when nothing was heard of it, with and
//! without a running follower, and takes it back when it comes again.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use e2e::{Fleet, Ledger, Program, Standby, shared, until, walapply};
use serde_json::Value;

fn impatient(standby: &Standby) -> PathBuf {
    let text = fs::read_to_string(standby.config()).expect("a configuration");
    let path = standby.folder().join("impatient.toml");
    fs::write(&path, format!("{text}quiet_after = \"2s\"\n")).expect("written");
    path
}

fn command(name: &str, config: &Path) -> Command {
    let mut command = Command::new(walapply());
    command.arg(name).arg("-c").arg(config);
    command
}

fn status(config: &Path) -> Value {
    let output = command("status", config).arg("--json").output().expect("walapply runs");
    serde_json::from_slice(&output.stdout).unwrap_or(Value::Null)
}

fn text(config: &Path) -> String {
    let output = command("status", config).output().expect("walapply runs");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn await_state(config: &Path, state: &str) -> Value {
    until(&format!("the database {state}"), || {
        Some(status(config)).filter(|status| status["databases"][0]["state"] == state)
    })
}

fn assert_quiet(status: &Value) {
    let primary = &status["primary"];
    assert_eq!(primary["node"], "alpha", "{status}");
    assert_eq!(primary["quiet"], true, "{status}");
    assert!(primary["last_heard_seconds"].as_f64() > Some(2.0), "{status}");
    let notice = status["notice"].as_str().expect("a notice");
    assert!(notice.contains("nothing was heard of the primary for"), "{notice}");
    assert!(status["databases"][0]["apply_lag_seconds"].is_null(), "{status}");
}

#[test]
fn a_killed_primary_is_told_apart_from_an_idle_one() {
    let _turn = shared();
    let fleet = Fleet::new("quiet", &["a"]).setting("heartbeat_interval = \"1s\"");
    let standby = Standby::of(&fleet);
    let config = impatient(&standby);
    Ledger::commit(&fleet.db("a"), 5);
    let shipper = fleet.ship();
    let mut follower =
        Program::start(command("follow", &config), &standby.folder().join("impatient.log"));
    let live = await_state(&config, "live");
    assert_eq!(live["primary"]["node"], "alpha", "{live}");
    assert!(live["primary"]["last_heard_seconds"].as_f64() < Some(3.0), "{live}");
    assert_eq!(live["primary"]["quiet"], false, "{live}");

    shipper.kill();
    Ledger::commit(&fleet.db("a"), 5);
    assert_quiet(&await_state(&config, "quiet"));
    let text = text(&config);
    assert!(text.contains("\nPrimary alpha last heard "), "{text}");
    assert!(text.contains("\nnotice: nothing was heard"), "{text}");
    let warning = follower.await_line(&["WARN", "nothing was heard of the primary"]);
    assert!(warning.contains("heartbeat_interval"), "{warning}");

    let shipper = fleet.ship();
    await_state(&config, "live");
    follower.await_line(&["the primary is heard again"]);
    fleet.finish(shipper);
    assert_eq!(follower.terminate(), 0);
    // Without a follower the store tells.
    assert_quiet(&await_state(&config, "quiet"));
}
