//! `walship snapshot`: asks the running program for new bases now, and waits until the log names them.
//!
//! A new base is what heals a standby when an object that an older one needs is damaged: a database that is written
//! gets one by itself in time, one at rest does not. A catalogue goes with it, so that a damaged log object is behind
//! everybody, too. The program that owns the log makes them, by the same thread and
//! in the same order as all others; a command that is stopped takes nothing back.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use console::config::WalshipConfig;
use console::control::{AskError, Request, ask, refusal};
use console::output;
use console::{ExitCode, Failure};
use segment::{Name, Seq};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::cli::SnapshotArgs;
use crate::database::Condition;
use crate::member::Member;
use crate::status::Board;

/// How long the program may take for an answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// States of a database, as `status` words them, in which a base is on its way.
const WAITS: [&str; 3] = ["starting", "first upload", "live"];
/// Pause between two looks at how far the bases are.
const PAUSE: Duration = Duration::from_millis(200);
/// Who waits is told so often what for.
const TOLD_EVERY: Duration = Duration::from_secs(10);

/// What the program promised.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Promise {
    /// The bases are named by log objects after this one.
    after: Option<Seq>,
    /// Databases that get one.
    asked: Vec<Name>,
    /// Databases that get none.
    left_out: Vec<LeftOut>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct LeftOut {
    name: Name,
    why: String,
    /// Whether it has no content that a base could be made of.
    has_nothing: bool,
}

/// What came of it.
#[derive(Debug, Clone, Serialize)]
struct Outcome {
    databases: Vec<Named>,
    left_out: Vec<LeftOut>,
}

#[derive(Debug, Clone, Serialize)]
struct Named {
    name: Name,
    /// The log object that names the new base.
    named_by: Seq,
}

/// Asks for bases of the databases that `request` names, or of all: the running program's side.
#[must_use]
pub fn answer(board: &Board, request: &Request) -> Value {
    let after = board.progress.lock().durable;
    match wanted(request) {
        Ok(wanted) => promise(board, after, wanted.as_ref()),
        Err(why) => refusal(&why),
    }
}

/// The names asked for; `None` for all.
fn wanted(request: &Request) -> Result<Option<BTreeSet<Name>>, String> {
    let Some(names) = request.arguments.get("names") else { return Ok(None) };
    serde_json::from_value(names.clone()).map(Some).map_err(|error| format!("`names`: {error}"))
}

fn promise(board: &Board, after: Option<Seq>, wanted: Option<&BTreeSet<Name>>) -> Value {
    let members = board.fleet.members();
    let known: BTreeSet<Name> = members.iter().map(|member| member.report().spec.name).collect();
    if let Some(unknown) = wanted.and_then(|names| names.difference(&known).next()) {
        return refusal(&format!("no database `{unknown}`: `walship status` lists them"));
    }
    board.fleet.news().catalogue_wanted.store(true, Ordering::Release);
    let mut promise = Promise { after, asked: Vec::new(), left_out: Vec::new() };
    for member in &members {
        let name = member.report().spec.name;
        if wanted.is_some_and(|names| !names.contains(&name)) {
            continue;
        }
        match ask_member(member) {
            Ok(()) => promise.asked.push(name),
            Err(condition) => promise.left_out.push(LeftOut {
                name,
                why: format!("it is {}", condition.word()),
                has_nothing: matches!(condition, Condition::Empty | Condition::Missing),
            }),
        }
    }
    serde_json::to_value(promise).unwrap_or_else(|error| refusal(&error.to_string()))
}

fn ask_member(member: &Member) -> Result<(), Condition> {
    let report = member.report();
    if report.size.is_none() {
        return Err(report.condition);
    }
    member.ask_for_base();
    Ok(())
}

/// Asks the running program, and waits until every base is named.
///
/// # Errors
/// When no program runs, it refuses or ends meanwhile, or a database gets no base.
pub fn run(args: &SnapshotArgs, json: bool) -> Result<(), Failure> {
    let config: WalshipConfig = args.config.load()?;
    let mut request = Request::new("snapshot");
    if !args.all {
        request = request.with("names", args.names.iter().map(Name::to_string).collect::<Vec<_>>());
    }
    let promise: Promise = read(ask(&config.state_dir, &request, TIMEOUT).map_err(failed)?)?;
    let mut waiting: BTreeSet<Name> = promise.asked.iter().cloned().collect();
    let mut outcome = Outcome { databases: Vec::new(), left_out: promise.left_out };
    let mut told = Instant::now();
    while !waiting.is_empty() {
        let answer = rows(&config)?;
        if told.elapsed() >= TOLD_EVERY {
            told = Instant::now();
            tell_waiting(&waiting, answer.store.error.as_deref());
        }
        for row in answer.databases {
            let named_by = row.base_named_by.filter(|by| Some(*by) > promise.after);
            let is_over = named_by.is_some() || !WAITS.contains(&row.state.as_str());
            if !is_over || !waiting.remove(&row.name) {
                continue;
            }
            match named_by {
                Some(named_by) => outcome.named(row.name, named_by, json)?,
                None => {
                    let why = format!("it is {}: a base is made when that is over", row.state);
                    outcome.left_out.push(LeftOut { name: row.name, why, has_nothing: false });
                }
            }
        }
        if !waiting.is_empty() {
            std::thread::sleep(PAUSE);
        }
    }
    conclude(&outcome, args.all, json)
}

fn tell_waiting(waiting: &BTreeSet<Name>, store_error: Option<&str>) {
    let names: Vec<String> = waiting.iter().map(Name::to_string).collect();
    let names = names.join(", ");
    match store_error {
        Some(error) => tracing::warn!("waiting for the store, for bases of {names}: {error}"),
        None => tracing::info!("waiting for bases of {names}"),
    }
}

/// What the program says of a database.
#[derive(Deserialize)]
struct Row {
    name: Name,
    state: String,
    base_named_by: Option<Seq>,
}

/// What the program says of itself.
#[derive(Deserialize)]
struct Answer {
    store: Health,
    databases: Vec<Row>,
}

#[derive(Deserialize)]
struct Health {
    error: Option<String>,
}

fn rows(config: &WalshipConfig) -> Result<Answer, Failure> {
    read(ask(&config.state_dir, &Request::new("status"), TIMEOUT).map_err(failed)?)
}

impl Outcome {
    fn named(&mut self, name: Name, named_by: Seq, json: bool) -> Result<(), Failure> {
        if !json {
            say(&format!("{name}: a new base stands in the log, by object {named_by}"))?;
        }
        self.databases.push(Named { name, named_by });
        Ok(())
    }
}

/// Among all, those that have nothing to make a base of are only told.
fn conclude(outcome: &Outcome, is_all: bool, json: bool) -> Result<(), Failure> {
    let is_failure = |left: &&LeftOut| !(is_all && left.has_nothing);
    let tell = |left: &LeftOut| format!("{} ({})", left.name, left.why);
    let left: Vec<String> = outcome.left_out.iter().filter(is_failure).map(tell).collect();
    if left.is_empty() {
        if json {
            let printed = output::print(json, outcome, String::new);
            return printed.map_err(|error| Failure::from_error(ExitCode::Failed, &error));
        }
        let mut left_out = outcome.left_out.iter();
        return left_out.try_for_each(|left| say(&format!("{}: no base, {}", left.name, left.why)));
    }
    Err(Failure::new(ExitCode::Failed, format!("no new base of {}", left.join(", ")))
        .hint("`walship check -c FILE` tells why for each of them")
        .document(json!(outcome)))
}

fn say(line: &str) -> Result<(), Failure> {
    output::say(line).map_err(|error| Failure::from_error(ExitCode::Failed, &error))
}

fn read<T: for<'de> Deserialize<'de>>(answer: Value) -> Result<T, Failure> {
    serde_json::from_value(answer).map_err(|error| {
        Failure::from_error(ExitCode::Failed, &error)
            .hint("the running program is of another version: start it anew")
    })
}

fn failed(error: AskError) -> Failure {
    let failure = Failure::from_error(ExitCode::Failed, &error);
    match &error {
        AskError::NotRunning => {
            failure.hint("the program that owns the log makes bases: start `walship replicate`")
        }
        AskError::Silent(silence) => failure.hint(silence.hint()),
        _ => failure,
    }
}
