//! Where the programs under test are, and what runs the Python parts.
//!
//! Both programs are built once per test process, into the folder and by the profile of the test executable, so
//! that a test never runs yesterday's program.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use serde_json::Value;

/// The shipper's executable.
#[must_use]
pub fn walship() -> PathBuf {
    built().join("walship")
}

/// The follower's executable.
#[must_use]
pub fn walapply() -> PathBuf {
    built().join("walapply")
}

/// A command that runs one of the scripts of `tests/python`.
#[must_use]
pub fn python(name: &str) -> Command {
    let mut command = Command::new("python3");
    command.arg("-u").arg(script(name)).env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

/// The path of a script of `tests/python`.
#[must_use]
pub fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("python").join(name)
}

fn built() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(build)
}

/// What `status --json` printed, if it was a running program's answer: without one the store answers.
pub(crate) fn of_running(output: &Output) -> Value {
    let status: Value = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    if status["running"] == true { status } else { Value::Null }
}

/// The target folder.
pub(crate) fn target() -> PathBuf {
    profile().parent().expect("the target folder").to_owned()
}

fn profile() -> PathBuf {
    let test = std::env::current_exe().expect("the path of the test executable");
    let profile = test.parent().and_then(Path::parent).expect("target/PROFILE/deps/TEST");
    profile.to_owned()
}

fn build() -> PathBuf {
    let profile = profile();
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--workspace", "--bins", "--target-dir"]).arg(target());
    if profile.ends_with("release") {
        cargo.arg("--release");
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let status = cargo.current_dir(root).status().expect("cargo runs");
    assert!(status.success(), "walship and walapply do not build");
    profile
}
