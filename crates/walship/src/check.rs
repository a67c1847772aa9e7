//! `walship check`: one line per check, nothing changed.
//!
//! What must always hold: files are looked at, and none is made, changed or removed. The one exception is a scratch folder
//! in which the store is tried out, which is removed again; killed in between, it stays, and its name says whose it was.

mod database;
mod folder;
mod rights;
mod store;

use console::cli::ConfigArgs;
use console::config::WalshipConfig;
use console::output::{self, Align, Table};
use console::{ExitCode, Failure};
use serde::Serialize;
use serde_json::json;

use crate::sqlite;

/// How a check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// Works, but look at it.
    Warn,
    /// Does not work.
    Fail,
}

/// One line.
#[derive(Debug, Clone, Serialize)]
pub struct Line {
    /// What was checked.
    pub check: String,
    /// How it went.
    pub verdict: Verdict,
    /// What was found.
    pub found: String,
    /// What to do about it.
    pub hint: Option<String>,
    #[serde(skip)]
    exit: ExitCode,
}

impl Line {
    fn new(check: impl Into<String>, verdict: Verdict, found: impl Into<String>) -> Self {
        Self {
            check: check.into(),
            verdict,
            found: found.into(),
            hint: None,
            exit: ExitCode::Failed,
        }
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    fn exit(mut self, exit: ExitCode) -> Self {
        self.exit = exit;
        self
    }

    fn of_failure(check: &str, failure: Failure) -> Self {
        let line = Self::new(check, Verdict::Fail, failure.error).exit(failure.exit);
        Self { hint: failure.hint, ..line }
    }
}

/// Runs all checks and prints them.
///
/// # Errors
/// If one of them failed, with the code of the first that did.
pub fn run(args: &ConfigArgs, json: bool) -> Result<(), Failure> {
    let config: WalshipConfig = args.load()?;
    let mut lines =
        vec![Line::new("configuration", Verdict::Ok, args.config.display().to_string())];
    lines.push(sqlite::assert_library().map_or_else(
        |why| Line::new("SQLite", Verdict::Fail, why),
        |()| Line::new("SQLite", Verdict::Ok, "version and compile options"),
    ));
    lines.push(check_node(&config));
    lines.push(folder::check_state_dir(&config.state_dir));
    lines.extend(store::check(&config));
    lines.extend(database::check_all(&config));
    tell(&lines, json)
}

fn tell(lines: &[Line], json: bool) -> Result<(), Failure> {
    let failed = lines.iter().find(|line| line.verdict == Verdict::Fail);
    // With `--json` the lines are the failure's own document: a reader expects one.
    if failed.is_none() || !json {
        output::print(json, &lines, || human(lines))
            .map_err(|error| Failure::from_error(ExitCode::Failed, &error))?;
    }
    let Some(line) = failed else { return Ok(()) };
    let failure = Failure::new(line.exit, format!("{}: {}", line.check, line.found));
    let failure = line.hint.iter().fold(failure, |failure, hint| failure.hint(hint));
    Err(failure.document(json!(lines)))
}

fn human(lines: &[Line]) -> String {
    let mut table = Table::new([
        ("", Align::Left),
        ("check", Align::Left),
        ("found", Align::Left),
        ("hint", Align::Left),
    ]);
    for line in lines {
        let verdict = match line.verdict {
            Verdict::Ok => "OK",
            Verdict::Warn => "WARN",
            Verdict::Fail => "FAIL",
        };
        table.row([verdict, &line.check, &line.found, line.hint.as_deref().unwrap_or_default()]);
    }
    table.to_string()
}

fn check_node(config: &WalshipConfig) -> Line {
    match config.node() {
        Ok(node) => Line::new("node", Verdict::Ok, node.to_string()),
        Err(error) => Line::new("node", Verdict::Fail, error.to_string())
            .hint("write `node = \"...\"` at the top of the configuration")
            .exit(ExitCode::Usage),
    }
}
