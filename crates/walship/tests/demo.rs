//! The demo end to end, in a short form: real processes, real kills, every database compared.
//!
//! `walapply` belongs to another package. Both programs are built once per test process, into the folder and by the
//! profile of this test, so that `cargo test -p walship` alone works and never runs yesterday's program.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Once;

use serde_json::Value;

const WALSHIP: &str = env!("CARGO_BIN_EXE_walship");

fn build() {
    static BUILT: Once = Once::new();
    BUILT.call_once(|| {
        let profile = Path::new(WALSHIP).parent().unwrap();
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "--workspace", "--bins", "--target-dir"]);
        cargo.arg(profile.parent().unwrap());
        cargo.args(profile.ends_with("release").then_some("--release"));
        let built = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    });
}

fn demo(arguments: &[&str], dir: &Path) -> Output {
    build();
    Command::new(WALSHIP).arg("demo").args(arguments).arg("--dir").arg(dir).output().unwrap()
}

fn told(output: &Output) -> String {
    format!(
        "{}\n{}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

fn files_in(folder: PathBuf) -> usize {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.extension().is_some_and(|extension| extension == "db")).count()
}

#[test]
fn a_short_demo_finds_both_sides_equal() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("demo");
    let output = demo(&["--databases", "6", "--seconds", "4", "--json"], &dir);
    assert!(output.status.success(), "{}", told(&output));
    assert!(output.stderr.is_empty(), "{}", told(&output));
    let verdict: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(verdict["equal"], true, "{verdict:#}");
    assert_eq!(verdict["databases"]["equal"], 6, "{verdict:#}");
    assert_eq!(verdict["kills"], serde_json::json!({ "shipper": 1, "follower": 1 }));
    assert!(verdict["transactions"].as_u64().unwrap() > 50, "{verdict:#}");
    assert!(verdict["reads"]["whole"].as_u64().unwrap() > 10, "{verdict:#}");
    assert!(verdict["latency_with_outages"]["probes"].as_u64().unwrap() > 10, "{verdict:#}");
    assert_eq!(files_in(dir.join("standby")), 5);
    assert_eq!(files_in(dir.join("restored")), 1);
}

#[test]
fn a_folder_with_something_in_it_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("precious"), b"x").unwrap();
    let output = demo(&[], folder.path());
    assert_eq!(output.status.code(), Some(2), "{}", told(&output));
    assert!(told(&output).contains("is not empty"), "{}", told(&output));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn an_interrupted_demo_leaves_nothing_behind() {
    build();
    let folder = tempfile::tempdir().unwrap();
    let mut demo = Command::new(WALSHIP)
        .args(["demo", "--databases", "4"])
        .env("TMPDIR", folder.path())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    wait_for_follower(folder.path());
    let pid = rustix::process::Pid::from_child(&demo);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let status = demo.wait().unwrap();
    assert_eq!(status.code(), Some(1));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "the folder is still there");
}

/// Waits until the follower has said its first words: then everybody is at work.
fn wait_for_follower(temporary: &Path) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    let has_spoken = || {
        let mut folders = std::fs::read_dir(temporary).unwrap();
        let demo = folders.next()?.unwrap().path();
        demo.join("logs/walapply.log").metadata().ok().filter(|log| log.len() > 0)
    };
    while has_spoken().is_none() {
        assert!(std::time::Instant::now() < deadline, "the demo does not start");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}
