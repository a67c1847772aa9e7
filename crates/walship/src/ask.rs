//! `walship status`: asks the running program; where none runs, or it does not answer, reads the log.

use std::fmt::Write as _;
use std::time::Duration;

use console::config::WalshipConfig;
use console::control::{self, told_silence};
use console::output::{self, Align, Table, known};
use console::{ExitCode, Failure};
use fleet_log::{FleetFile, LogError, Position, Salvage};
use serde::Deserialize as _;
use serde_json::Value;
use store::{RequestCounts, Store};

use crate::replicate::failure;
use crate::status::{self, Status};

const TIMEOUT: Duration = Duration::from_secs(5);

/// Prints the status.
///
/// # Errors
/// When neither a running program nor the store answers.
pub fn run(config: &WalshipConfig, json: bool) -> Result<(), Failure> {
    let answer = control::status(&config.state_dir, TIMEOUT, || of_log(config))?;
    output::print(json, &answer, || human(&answer))
        .map_err(|error| Failure::from_error(ExitCode::Failed, &error))
}

fn of_log(config: &WalshipConfig) -> Result<Value, Failure> {
    let store = store::settings::open(&config.store, false)
        .map_err(|error| Failure::from_error(error.class().into(), &error))?;
    let found = state_of(&*store, config).map_err(|error| failure(&error))?;
    let status = found.unwrap_or_else(|| {
        status::of_log(&config.fleet, &segment::Catalogue::default(), None, None, None)
    });
    serde_json::to_value(status).map_err(|error| Failure::from_error(ExitCode::Failed, &error))
}

/// What the log says; `None` where there is none yet.
fn state_of(store: &dyn Store, config: &WalshipConfig) -> Result<Option<Status>, LogError> {
    let file = FleetFile::of_fleet(store, &config.fleet)?;
    let Some(mut held) = fleet_log::held(store)? else { return Ok(None) };
    if let Some(damage) = held.lost.drain(..).next() {
        return Err(damage);
    }
    let not_a_log = |detail: &str| LogError::NotALog { detail: detail.to_owned() };
    if file.is_none() {
        return Err(not_a_log("fleet.json is missing, which says whose log it is"));
    }
    let seq = held.last.header.seq.ok_or_else(|| not_a_log("its last object has no number"))?;
    let Salvage { catalogue, .. } = fleet_log::salvage_at(store, seq)?;
    let Position { epoch, owner, .. } = held.tail;
    Ok(Some(status::of_log(&config.fleet, &catalogue, epoch, owner, Some(seq))))
}

fn human(status: &Value) -> String {
    let silence = told_silence(status);
    let source = match (&status["running"], &silence) {
        (Value::Bool(true), _) => "running",
        (_, None) => "not running (as the store says)",
        (_, Some(_)) => "not answering (as the store says)",
    };
    let mut text = silence.unwrap_or_default();
    let word = |value: &Value| {
        value.as_str().map_or_else(
            || if value.is_null() { output::UNKNOWN.to_owned() } else { value.to_string() },
            str::to_owned,
        )
    };
    let head = writeln!(
        text,
        "fleet {}, {}; owner {}, epoch {}; captured {}, durable {}",
        word(&status["fleet"]),
        source,
        word(&status["owner"]),
        word(&status["epoch"]),
        word(&status["seq"]["captured"]),
        word(&status["seq"]["durable"]),
    );
    debug_assert!(head.is_ok(), "BUG: writing to a String cannot fail");
    if let Some(error) = status["store"]["error"].as_str() {
        text.push_str(&format!("the store does not answer: {error}\n"));
    }
    text.push_str(&table(status).to_string());
    if let Ok(requests) = RequestCounts::deserialize(&status["requests"]) {
        text.push_str(&format!("\nrequests to the store since the start: {requests}"));
    }
    text
}

fn table(status: &Value) -> Table {
    use Align::{Left, Right};
    let mut table = Table::new([
        ("database", Left),
        ("tier", Left),
        ("state", Left),
        ("RPO now", Right),
        ("last commit", Right),
        ("size", Right),
        ("WAL", Right),
    ]);
    for database in status["databases"].as_array().into_iter().flatten() {
        let text = |key: &str| database[key].as_str().unwrap_or_default().to_owned();
        let age = |key: &str| {
            known(database[key].as_f64(), |seconds| {
                output::age(Duration::from_secs_f64(seconds.max(0.0)))
            })
        };
        let size = |key: &str| known(database[key].as_u64(), output::bytes);
        let state = database["detail"]
            .as_str()
            .map_or_else(|| text("state"), |detail| format!("{}: {detail}", text("state")));
        table.row([
            text("name"),
            text("tier"),
            state,
            age("rpo_seconds"),
            age("committed_age_seconds"),
            size("bytes"),
            size("wal_bytes"),
        ]);
    }
    table
}
