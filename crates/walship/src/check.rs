//! `walship check`: one line per check, nothing changed but a probe object that is removed again.
//!
//! Each database is read by plain file calls first and through SQLite only then, and only where its `-wal`
//! stands already: closing a plain descriptor would drop the locks of a connection, and nothing may be
//! left beside a database that was not there before.

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
use crate::seen::Seen;
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
    if let Some(Err(failure)) = Seen::load(&config.state_dir).map(|seen| seen.check(config)) {
        return vec![of_failure("store", failure)];
    }
    let store = match store::settings::open(&config.store, false) {
        Ok(store) => store,
        Err(store::StoreError::Unavailable { .. }) => {
            return vec![
                Line::new("store", Verdict::Warn, "not there yet")
                    .hint("the first `walship replicate` makes it"),
            ];
        }
        Err(error) => return vec![store_line("store reachable", &error)],
    };
    vec![check_log(&*store, config), check_writing(&*store)]
}

/// Whether the log can be read, and whether this host may write it.
fn check_log(store: &dyn Store, config: &WalshipConfig) -> Line {
    let held = match fleet_log::FleetFile::of_fleet(store, &config.fleet)
        .and_then(|_| fleet_log::held(store))
    {
        Ok(Some(held)) => held,
        Ok(None) => return Line::new("store readable", Verdict::Ok, "no log yet"),
        Err(error) => return of_failure("store readable", crate::replicate::failure(&error)),
    };
    let found = format!("log ends before seq {}", held.tail.next);
    match (held.tail.owner, config.node()) {
        (Some(owner), Ok(node)) if owner != node => {
            let found = format!("the log belongs to {owner}, this host is {node}");
            let mut line = Line::new("owner of the log", Verdict::Fail, found)
                .hint("only its owner ships to it: check `node`, `fleet` and `[store]`");
            line.exit = ExitCode::Fenced;
            line
        }
        _ => Line::new("store readable", Verdict::Ok, found),
    }
}

fn of_failure(check: &str, failure: Failure) -> Line {
    let mut line = Line::new(check, Verdict::Fail, failure.error);
    line.exit = failure.exit;
    line.hint = failure.hint;
    line
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

/// Tries a read transaction where files of SQLite stand beside the database, so that none is made by us.
/// Must come after the plain reads of the file: closing one would drop the connection's locks.
fn check_lock(check: &str, path: &Path) -> Option<Line> {
    let has_wal = identity::sibling(path, "-wal").exists();
    let is_rollback = !has_wal && !is_in_wal_mode(path);
    if !has_wal && !is_rollback {
        return None;
    }
    let error = sqlite::Connection::open(path).and_then(|mut c| c.begin_read()).err()?;
    let line = Line::new(check, Verdict::Fail, error.to_string());
    Some(if error.is_busy() {
        line.hint("an application holds it exclusively (locking_mode=EXCLUSIVE?): it is shipped when that lets go")
    } else {
        line
    })
}

fn is_in_wal_mode(path: &Path) -> bool {
    let mut versions = [0; 20];
    File::open(path).and_then(|mut file| file.read_exact(&mut versions)).is_ok()
        && versions[19] == 2
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
    if let Some(line) = check_lock(&check, &database.path) {
        return line;
    }
    match header[19] {
        2 => Line::new(check, Verdict::Ok, format!("WAL mode, tier {}", database.tier)),
        1 => Line::new(check, Verdict::Warn, format!("rollback journal, tier {}", database.tier))
            .hint("its pages are compared after each change; `PRAGMA journal_mode=WAL` is cheaper"),
        other => Line::new(check, Verdict::Fail, format!("journal format {other} is not SQLite's")),
    }
}
