//! Applications: Python processes with their own SQLite.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::programs::python;

/// An application that carries out one request after the other.
#[derive(Debug)]
pub struct App {
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl App {
    /// Starts it without a connection.
    #[must_use]
    pub fn start() -> Self {
        let mut command = python("app.py");
        let mut child = spawn(&mut command);
        let requests = child.stdin.take().expect("piped");
        let answers = BufReader::new(child.stdout.take().expect("piped"));
        Self { child, requests, answers }
    }

    /// Starts it with a connection `main` to a database.
    #[must_use]
    pub fn open(path: &Path) -> Self {
        let mut app = Self::start();
        app.connect("main", path);
        app
    }

    /// Opens a further connection.
    pub fn connect(&mut self, name: &str, path: &Path) {
        self.expect(&json!({"do": "open", "on": name, "path": path}));
    }

    /// Runs statements on connection `main` and returns the rows of the last one.
    pub fn sql(&mut self, text: &str) -> Value {
        self.sql_on("main", text)
    }

    /// Runs statements on a connection.
    pub fn sql_on(&mut self, connection: &str, text: &str) -> Value {
        self.expect(&json!({"do": "sql", "on": connection, "sql": text}))
    }

    /// Runs statements that may fail.
    ///
    /// # Errors
    /// SQLite's own words.
    pub fn try_sql(&mut self, text: &str) -> Result<Value, String> {
        self.ask(&json!({"do": "sql", "on": "main", "sql": text}))
    }

    /// The number that a statement yields.
    pub fn number(&mut self, text: &str) -> i64 {
        let rows = self.sql(text);
        rows[0][0].as_i64().expect("a number")
    }

    /// Sends statements without waiting for them; [`App::answer`] takes what comes of them.
    pub fn begin_sql(&mut self, text: &str) {
        self.send(&json!({"do": "sql", "on": "main", "sql": text}));
    }

    /// The answer to [`App::begin_sql`]; an error also when the process died of it.
    ///
    /// # Errors
    /// SQLite's own words, or that the process is gone.
    pub fn answer(&mut self) -> Result<Value, String> {
        let mut line = String::new();
        self.answers.read_line(&mut line).map_err(|error| error.to_string())?;
        if line.is_empty() {
            return Err("the application is gone".to_owned());
        }
        let mut answer: Value = serde_json::from_str(&line).expect("an answer in JSON");
        match answer.get("error").and_then(Value::as_str) {
            Some(error) => Err(error.to_owned()),
            None => Ok(answer["rows"].take()),
        }
    }

    /// Closes a connection.
    pub fn close(&mut self, connection: &str) {
        self.expect(&json!({"do": "close", "on": connection}));
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// kill -9.
    pub fn kill(mut self) {
        kill(&mut self.child);
    }

    fn expect(&mut self, request: &Value) -> Value {
        self.ask(request).unwrap_or_else(|error| panic!("{request}: {error}"))
    }

    fn ask(&mut self, request: &Value) -> Result<Value, String> {
        self.send(request);
        self.answer()
    }

    fn send(&mut self, request: &Value) {
        writeln!(self.requests, "{request}").expect("the application listens");
    }
}

impl Drop for App {
    fn drop(&mut self) {
        kill(&mut self.child);
    }
}

/// Applications that write until they are told to stop, and then report.
#[derive(Debug)]
pub struct Load {
    child: Child,
    answers: BufReader<ChildStdout>,
}

impl Load {
    /// Starts `load.py` with these options and waits until its writers are at work.
    #[must_use]
    pub fn start(database: &Path, options: &Value) -> Self {
        let mut command = python("load.py");
        command.arg(database).arg(options.to_string());
        let mut child = spawn(&mut command);
        let answers = BufReader::new(child.stdout.take().expect("piped"));
        let mut load = Self { child, answers };
        assert_eq!(load.line().trim(), "ready");
        load
    }

    /// Ends the writers after what they are doing and returns their report.
    pub fn stop(mut self) -> Value {
        drop(self.child.stdin.take());
        let report = self.line();
        self.child.wait().expect("the load ends");
        serde_json::from_str(&report).expect("a report in JSON")
    }

    /// Waits for the end of a load that ends by itself.
    pub fn finish(mut self) -> Value {
        let report = self.line();
        serde_json::from_str(&report).expect("a report in JSON")
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("a line of the load");
        line
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        kill(&mut self.child);
    }
}

fn spawn(command: &mut Command) -> Child {
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped());
    piped.spawn().expect("python3 starts")
}

fn kill(child: &mut Child) {
    if child.try_wait().expect("the application").is_none() {
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).expect("a process id");
        let _ = kill_process(pid, Signal::KILL);
        child.wait().expect("the killed application");
    }
}
