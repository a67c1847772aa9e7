//! `walship check`: one line per check, nothing changed but a probe object that is removed again.
//!
//! Databases are read by plain file calls here. That is safe because this process opens none of them
//! through SQLite, and leaves no `-wal` or `-shm` behind.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use console::cli::ConfigArgs;
use console::config::{self, WalshipConfig};
use console::output::{self, Align, Table};
use console::{ExitCode, Failure};
use serde::Serialize;
use store::{ObjectName, Store};

use crate::identity::{self, PathState};
use crate::roster::random;
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
    lines.push(check_state_dir(&config.state_dir));
    lines.extend(check_store(&config));
    lines.extend(check_databases(&config));
    output::print(json, &lines, || human(&lines))
        .map_err(|error| Failure::from_error(ExitCode::Failed, &error))?;
    match lines.iter().find(|line| line.verdict == Verdict::Fail) {
        None => Ok(()),
        Some(line) => {
            let failure = Failure::new(line.exit, format!("{}: {}", line.check, line.found));
            let failure = line.hint.iter().fold(failure, |failure, hint| failure.hint(hint));
            Err(failure.document(serde_json::Value::Null))
        }
    }
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
        Err(error) => {
            let mut line = Line::new("node", Verdict::Fail, error.to_string())
                .hint("write `node = \"...\"` at the top of the configuration");
            line.exit = ExitCode::Usage;
            line
        }
    }
}

fn check_state_dir(path: &Path) -> Line {
    let existing = path.ancestors().find(|ancestor| ancestor.exists()).unwrap_or(Path::new("/"));
    match rustix::fs::access(existing, rustix::fs::Access::WRITE_OK) {
        Ok(()) => Line::new("state_dir", Verdict::Ok, path.display().to_string()),
        Err(error) => Line::new(
            "state_dir",
            Verdict::Fail,
            format!("{} is not writable: {error}", existing.display()),
        )
        .hint("make it writable for this user, or choose another `state_dir`"),
    }
}

fn check_store(config: &WalshipConfig) -> Vec<Line> {
    let store = match store::settings::open(&config.store, true) {
        Ok(store) => store,
        Err(error) => return vec![store_line("store reachable", &error)],
    };
    let reading = match fleet_log::held(&*store) {
        Ok(None) => Line::new("store readable", Verdict::Ok, "no log yet"),
        Ok(Some(held)) => Line::new(
            "store readable",
            Verdict::Ok,
            format!("log ends before seq {}", held.tail.next),
        ),
        Err(error) => {
            let failure = crate::replicate::failure(&error);
            let mut line = Line::new("store readable", Verdict::Fail, failure.error);
            line.exit = failure.exit;
            line.hint = failure.hint;
            line
        }
    };
    vec![reading, check_writing(&*store)]
}

/// Creates a hold under a random name, which nobody waits for, twice, and removes it.
fn check_writing(store: &dyn Store) -> Line {
    let name = ObjectName::hold(random());
    let probe = || -> Result<Line, store::StoreError> {
        let first = store.put_if_absent(&name, b"{}")?.value;
        let second = store.put_if_absent(&name, b"{}")?.value;
        store.delete(&name)?;
        Ok(if (first, second) == (store::Put::Created, store::Put::Exists) {
            Line::new("store writable", Verdict::Ok, "create-if-absent holds")
        } else {
            Line::new(
                "store writable",
                Verdict::Fail,
                "the store overwrote an object that was to be created only if absent",
            )
            .hint("this store cannot fence two writers: use another")
        })
    };
    probe().unwrap_or_else(|error| store_line("store writable", &error))
}

fn store_line(check: &str, error: &store::StoreError) -> Line {
    let mut line = Line::new(check, Verdict::Fail, error.to_string())
        .hint("check `[store]` and the rights of this user");
    line.exit = error.class().into();
    line
}

fn check_databases(config: &WalshipConfig) -> Vec<Line> {
    let found = config::discover(config);
    let warnings =
        found.warnings.into_iter().map(|warning| Line::new("databases", Verdict::Warn, warning));
    let mut lines: Vec<Line> = warnings.collect();
    if found.databases.is_empty() {
        lines.push(
            Line::new("databases", Verdict::Warn, "none")
                .hint("add a [[databases]] table with `path` or `glob`"),
        );
    }
    lines.extend(found.databases.iter().map(check_database));
    lines
}

fn check_database(database: &config::Database) -> Line {
    let check = format!("database {}", database.name);
    match identity::look(&database.path) {
        Ok(PathState::Missing) => Line::new(
            check,
            Verdict::Warn,
            format!("{} does not exist yet", database.path.display()),
        )
        .hint("it is picked up when it appears"),
        Ok(PathState::Empty) => {
            Line::new(check, Verdict::Ok, "0 bytes: it is picked up at its first commit")
        }
        Ok(PathState::Refused(why)) => {
            Line::new(check, Verdict::Fail, why).hint("give the path of the database file itself")
        }
        Ok(PathState::File(_)) => check_file(check, database),
        Err(error) => {
            Line::new(check, Verdict::Fail, format!("{}: {error}", database.path.display()))
        }
    }
}

fn check_file(check: String, database: &config::Database) -> Line {
    let mut header = [0; 100];
    if let Err(error) = File::open(&database.path).and_then(|mut file| file.read_exact(&mut header))
    {
        return Line::new(check, Verdict::Fail, format!("{}: {error}", database.path.display()))
            .hint("run as the user that owns the database");
    }
    if &header[..16] != b"SQLite format 3\0" {
        return Line::new(
            check,
            Verdict::Fail,
            "not a database that SQLite can read (encrypted, or another kind of file)",
        );
    }
    match header[19] {
        2 => Line::new(check, Verdict::Ok, format!("WAL mode, tier {}", database.tier)),
        1 => Line::new(check, Verdict::Warn, format!("rollback journal, tier {}", database.tier))
            .hint("its pages are compared after each change; `PRAGMA journal_mode=WAL` is cheaper"),
        other => Line::new(check, Verdict::Fail, format!("journal format {other} is not SQLite's")),
    }
}
