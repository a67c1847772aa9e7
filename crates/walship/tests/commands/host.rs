//! A host with a configuration, databases and programs in a scratch folder.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

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

/// A process that ends with the value.
pub(crate) struct Program(pub(crate) Child);

impl Drop for Program {
    fn drop(&mut self) {
        let ended = self.0.kill().and_then(|()| self.0.wait());
        ended.expect("the process is ended");
    }
}

pub(crate) struct Host(tempfile::TempDir);

impl Host {
    /// A host whose store stands at `store`, which may be relative to its folder.
    pub(crate) fn new(store: &str) -> Self {
        let host = Self(tempfile::tempdir().expect("a temporary folder"));
        fs::create_dir(host.path("db")).expect("a folder");
        let text = format!(
            "fleet = \"anvil\"\nnode = \"anvil\"\nstate_dir = \"state\"\n\
             [store]\nkind = \"local\"\npath = \"{store}\"\n\
             [[databases]]\nglob = \"db/*.db\"\ntier = \"p1\"\n"
        );
        fs::write(host.path("walship.toml"), text).expect("written");
        host
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_walship"));
        command.args(arguments).arg("-c").arg(self.path("walship.toml"));
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("walship starts")
    }

    /// The one document that a command answers with.
    pub(crate) fn json(&self, command: &str) -> Value {
        let output = self.run(&[command, "--json"]);
        serde_json::from_str(&stdout(&output)).expect("one JSON document")
    }

    pub(crate) fn start(&self, arguments: &[&str]) -> Program {
        let mut command = self.command(arguments);
        Program(command.stderr(Stdio::null()).spawn().expect("walship starts"))
    }

    /// Runs Python with an open connection `c` to the database `name`, and returns when it has printed a line. It lives
    /// until its standard input ends or it exits by itself.
    pub(crate) fn application(&self, name: &str, code: &str) -> Program {
        let whole = format!(
            "import os, sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None)\n\
             {code}\nprint(flush=True)\nsys.stdin.read()"
        );
        let mut command = Command::new("python3");
        command.args(["-c", &whole]).arg(self.path(&format!("db/{name}.db")));
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("python3 starts");
        let out = child.stdout.take().expect("a pipe");
        BufReader::new(out).read_line(&mut String::new()).expect("it says something or ends");
        Program(child)
    }
}

/// Mode, time and content of everything below a folder; of a folder only the mode.
pub(crate) fn tree(folder: &Path) -> BTreeMap<PathBuf, (u32, i64, Vec<u8>)> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let facts = path.symlink_metadata().expect("stat");
        if facts.is_dir() {
            found.insert(path.clone(), (facts.mode(), 0, Vec::new()));
            found.extend(tree(&path));
        } else {
            let nanoseconds = facts.mtime() * 1_000_000_000 + facts.mtime_nsec();
            let content = if facts.is_file() { fs::read(&path).expect("read") } else { Vec::new() };
            found.insert(path, (facts.mode(), nanoseconds, content));
        }
    }
    found
}
