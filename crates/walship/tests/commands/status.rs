//! `status` of both programs while the running one was stopped.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::host::{Host, Program, stderr, stdout};

/// `walapply`, which stands beside `walship`.
fn walapply(host: &Host, command: &str) -> Command {
    let program = Path::new(env!("CARGO_BIN_EXE_walship")).with_file_name("walapply");
    let text = "fleet = \"anvil\"\nstate_dir = \"follower\"\n[store]\nkind = \"local\"\npath = \"store\"\n\
                [standby]\ndir = \"standby\"\n";
    fs::write(host.path("walapply.toml"), text).expect("written");
    let mut walapply = Command::new(program);
    walapply.arg(command).arg("-c").arg(host.path("walapply.toml"));
    walapply
}

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
    let mut follow = walapply(&host, "follow");
    let follower = Program(follow.stderr(Stdio::null()).spawn().expect("walapply starts"));
    stop(&host, &shipper, "state");
    stop(&host, &follower, "follower");

    let of_follower = walapply(&host, "status").stdout(Stdio::piped()).spawn().expect("it starts");
    let output = host.run(&["status", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let status: Value = serde_json::from_str(&stdout(&output)).expect("one JSON document");
    assert_eq!((&status["running"], &status["databases"][0]["name"]), (&false.into(), &"a".into()));
    assert_eq!(status["silent"]["process"], shipper.0.id());
    assert!(status["silent"]["last_sign_seconds"].as_u64().is_some_and(|age| age < 600));

    let text = stdout(&of_follower.wait_with_output().expect("it ends"));
    let words =
        format!("the running program (process {}) does not answer; its last sign", follower.0.id());
    assert!(text.starts_with(&words), "{text}");
    assert!(text.contains(&format!("`kill -CONT {}`", follower.0.id())), "{text}");
    assert!(text.contains("(as the store says)"), "{text}");
}
