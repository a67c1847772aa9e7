//! `walship status`: of a program that was stopped, of another fleet's store, and of commits that wait.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::host::{Host, Program, stderr, stdout};

/// Waits until a program serves its socket, and stops it.
fn stop(host: &Host, program: &Program, state: &str) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !host.path(state).join("control.sock").exists() {
        assert!(Instant::now() < deadline, "no control socket in {state}");
        thread::sleep(Duration::from_millis(20));
    }
    let id = i32::try_from(program.0.id()).expect("a process id");
    kill_process(Pid::from_raw(id).expect("not 0"), Signal::STOP).expect("stopped");
}

#[test]
fn a_stopped_program_is_named_and_the_store_tells_the_rest() {
    let host = Host::new("store");
    let create = "c.execute('PRAGMA journal_mode=WAL'); c.execute('CREATE TABLE t(x)')";
    let _application = host.application("a", create);
    assert_eq!(host.run(&["replicate", "--once"]).status.code(), Some(0));
    let shipper = host.start(&["replicate"]);
    stop(&host, &shipper, "state");
    let output = host.run(&["status", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let status: Value = serde_json::from_str(&stdout(&output)).expect("one JSON document");
    assert_eq!((&status["running"], &status["databases"][0]["name"]), (&false.into(), &"a".into()));
    assert_eq!(status["silent"]["process"], shipper.0.id());
    assert!(status["silent"]["last_sign_seconds"].as_u64().is_some_and(|age| age < 600));
}

/// A stranger's databases are not shown under one's own name, and a log of nobody is none.
#[test]
fn another_fleets_store_is_refused() {
    let host = Host::new("store");
    let _application = host.application("a", "c.execute('CREATE TABLE t(x)')");
    assert_eq!(host.run(&["replicate", "--once"]).status.code(), Some(0));
    assert_eq!(host.run(&["status"]).status.code(), Some(0));
    let config = fs::read_to_string(host.path("walship.toml")).expect("it is there");
    let other = config.replace("fleet = \"anvil\"", "fleet = \"other\"");
    fs::write(host.path("walship.toml"), other).expect("written");
    let output = host.run(&["status"]);
    assert_eq!(output.status.code(), Some(2), "{}", stdout(&output));
    assert!(stderr(&output).contains("belongs to fleet anvil"), "{}", stderr(&output));

    fs::write(host.path("walship.toml"), config).expect("written");
    fs::remove_file(host.path("store/fleet.json")).expect("removed");
    let output = host.run(&["status"]);
    assert_eq!(output.status.code(), Some(4), "{}", stdout(&output));
    assert!(stderr(&output).contains("fleet.json"), "{}", stderr(&output));
}

/// A commit that cannot be captured waits: status says so when it is longer than the tier allows.
#[test]
fn a_commit_that_waits_longer_than_its_bound_is_told() {
    let host = Host::new("store");
    let bound = "\n[tiers.p1]\nsync_interval = \"100ms\"\nrpo_bound = \"1s\"\n";
    let config = fs::read_to_string(host.path("walship.toml")).expect("it is there");
    fs::write(host.path("walship.toml"), config + bound).expect("written");
    drop(host.application("a", "c.execute('CREATE TABLE t(x)')"));
    assert_eq!(host.run(&["replicate", "--once"]).status.code(), Some(0));
    let _shipper = host.start(&["replicate"]);
    let deadline = Instant::now() + Duration::from_secs(60);
    let until = |fits: &dyn Fn(&Value) -> bool| {
        loop {
            let mut status = host.json("status");
            let told = status["databases"][0].take();
            // Until the program answers, the store alone does.
            if status["running"] == true && fits(&told) {
                return;
            }
            assert!(Instant::now() < deadline, "{told}");
            thread::sleep(Duration::from_millis(100));
        }
    };
    until(&|told| told["state"] == "live" && told["detail"].is_null());
    let lock = "c.execute('INSERT INTO t VALUES (1)'); c.execute('BEGIN EXCLUSIVE'); c.execute('INSERT INTO t VALUES (2)')";
    let _application = host.application("a", lock);
    until(&|told| told["detail"].as_str().is_some_and(|detail| detail.contains("rpo_bound (1s)")));
}
