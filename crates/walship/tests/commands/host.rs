//! A host with a configuration and databases in a scratch folder.

use std::ffi::OsStr;
use std::process::{Command, Output};

/// Runs `walship` with these arguments.
pub(crate) fn walship<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_walship"));
    command.args(arguments).output().expect("walship starts")
}

/// What a program said on standard output.
pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What a program said on standard error.
pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
