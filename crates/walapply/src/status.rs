//! `walapply status`: how far the standby is.
//!
//! The running follower knows best and is asked through the control socket. Where none runs, or it does not answer, the
//! store is read: what is durable is then known, what is applied is not, and what nobody can know is null.

use std::sync::Arc;
use std::time::Duration;

use console::control::{self, told_silence};
use console::output::{Align, Table, age, bytes, known};
use console::{Failure, WalapplyConfig};
use fleet_log::{Salvage, SoundEnd, Tail};
use segment::{CatalogueEntry, DatabaseState, Millis, Name, Seq};
use serde::Deserialize as _;
use serde_json::{Map, Value, json};
use store::{RequestCounts, Store};

use crate::ApplyError;
use crate::failure::blame;
use crate::follow::{Condition, DatabaseStatus, FollowSnapshot, PrimaryHealth, primary};
use crate::list::state_word;
use crate::source::Source;
use crate::time::rfc3339;

/// A follower answers from memory.
const PATIENCE: Duration = Duration::from_secs(5);

/// The status as one JSON document.
///
/// # Errors
/// When neither a follower nor the store answers.
pub fn status(config: &WalapplyConfig) -> Result<Value, Failure> {
    control::status(&config.state_dir, PATIENCE, || Ok(of_store(config)?))
}

/// What a follower tells about itself.
#[must_use]
pub fn of_follower(fleet: &Name, snapshot: &FollowSnapshot, requests: RequestCounts) -> Value {
    let databases: Vec<Value> = snapshot.databases.iter().map(of_standby).collect();
    json!({
        "fleet": fleet,
        "running": true,
        "epoch": snapshot.epoch,
        "owner": snapshot.owner,
        "seq": { "captured": null, "durable": snapshot.read, "applied": snapshot.applied },
        "store": {
            "reachable": snapshot.store.reachable,
            "last_ok": snapshot.store.last_ok.map(rfc3339),
            "error": snapshot.store.error,
        },
        "requests": requests,
        "primary": snapshot.primary,
        "notice": snapshot.notice,
        "damage": snapshot.damage,
        "databases": databases,
        "left_behind": snapshot.left_behind,
    })
}

fn of_standby(database: &DatabaseStatus) -> Value {
    json!({
        "name": database.name,
        "tier": database.tier,
        "committed_age_seconds": database.committed_age_seconds,
        "rpo_seconds": null,
        "apply_lag_seconds": database.apply_lag_seconds,
        "bytes": database.bytes,
        "pages": database.pages,
        "wal_bytes": null,
        "state": database.state,
        "detail": database.detail,
        "applied_seq": database.applied_seq,
        "txid": database.applied_txid,
        "heals": database.heals,
    })
}

/// What the store alone tells.
fn of_store(config: &WalapplyConfig) -> Result<Value, ApplyError> {
    let source = Source::of(&config.store, Some(&config.fleet))?;
    let mut status = Map::new();
    status.insert("fleet".to_owned(), json!(config.fleet));
    status.insert("running".to_owned(), json!(false));
    status.insert("requests".to_owned(), Value::Null);
    let SoundEnd { tail, lost } = fleet_log::find_sound_end(&*source.store).map_err(blame)?;
    if let Some(error) = lost.last() {
        let damage = format!("{error}: nothing behind it can be read");
        status.insert("damage".to_owned(), json!(damage));
    }
    match tail {
        Tail::Empty { server } => {
            fill(&mut status, None, server);
            status.insert("primary".to_owned(), json!(PrimaryHealth::default()));
            status.insert("databases".to_owned(), json!([]));
        }
        Tail::At { position, last, server } => {
            let durable = position.last();
            fill(&mut status, durable, server);
            status.insert("epoch".to_owned(), json!(position.epoch));
            status.insert("owner".to_owned(), json!(position.owner));
            if let Some(seq) = durable {
                fill_databases(&mut status, &source.store, seq, server)?;
            }
            let heard = primary::sealed(&last.header);
            tell_primary(&mut status, position.owner, heard, config.quiet_after(), server);
        }
    }
    Ok(Value::Object(status))
}

/// When the primary was last heard; if that is long ago, no database counts as live. A stamp from the future tells nothing.
fn tell_primary(
    status: &mut Map<String, Value>,
    node: Option<Name>,
    heard: Millis,
    quiet_after: Duration,
    server: Millis,
) {
    let silence = primary::quiet_for(Some(heard), quiet_after, server);
    let age = Duration::from_millis(server.since(heard)).as_secs_f64();
    let ahead = primary::ahead_of(heard, server);
    let last_heard_seconds = ahead.is_none().then_some(age);
    let health = PrimaryHealth { node, last_heard_seconds, quiet: silence.is_some() };
    status.insert("primary".to_owned(), json!(health));
    if let Some(ahead) = ahead {
        let notice =
            format!("{}: when the primary was last heard is not known", primary::told_ahead(ahead));
        status.insert("notice".to_owned(), json!(notice));
    }
    let Some(silence) = silence else { return };
    status.insert("notice".to_owned(), json!(primary::told(silence)));
    let databases = status.get_mut("databases").and_then(Value::as_array_mut);
    for database in databases.into_iter().flatten() {
        if database["state"] == json!(Condition::Live) {
            database["state"] = json!(Condition::Quiet);
        }
    }
}

fn fill(status: &mut Map<String, Value>, durable: Option<Seq>, server: Millis) {
    status.insert("epoch".to_owned(), Value::Null);
    status.insert("owner".to_owned(), Value::Null);
    let seq = json!({ "captured": null, "durable": durable, "applied": null });
    status.insert("seq".to_owned(), seq);
    let store = json!({ "reachable": true, "last_ok": rfc3339(server) });
    status.insert("store".to_owned(), store);
}

fn fill_databases(
    status: &mut Map<String, Value>,
    store: &Arc<dyn Store>,
    at: Seq,
    server: Millis,
) -> Result<(), ApplyError> {
    let Salvage { catalogue, lost, in_doubt } =
        fleet_log::salvage_at(&**store, at).map_err(blame)?;
    if !lost.is_empty() {
        let lost: Vec<String> = lost.iter().rev().map(ToString::to_string).collect();
        let damage = format!("{}: what is said behind it may be incomplete", lost.join("; "));
        status.entry("damage").or_insert(json!(damage));
    }
    let mut entries: Vec<&CatalogueEntry> = catalogue
        .databases
        .values()
        .filter(|entry| entry.state != DatabaseState::Retired)
        .collect();
    entries.sort_by_key(|entry| entry.name.key());
    let rows = entries.into_iter().map(|entry| {
        let mut row = database(store, entry, server)?;
        if in_doubt.contains(&entry.id) {
            row["state"] = json!(Condition::Doubtful);
        }
        Ok(row)
    });
    status.insert("databases".to_owned(), json!(rows.collect::<Result<Vec<Value>, ApplyError>>()?));
    Ok(())
}

fn database(
    store: &Arc<dyn Store>,
    entry: &CatalogueEntry,
    server: Millis,
) -> Result<Value, ApplyError> {
    let page_bytes = entry.page_size.map_or(0, |size| u64::from(size.get()));
    Ok(json!({
        "name": entry.name,
        "tier": entry.tier,
        "committed_age_seconds": committed_age(store, entry, server)?,
        "rpo_seconds": null,
        "apply_lag_seconds": null,
        "bytes": u64::from(entry.pages) * page_bytes,
        "pages": entry.pages,
        "wal_bytes": null,
        "state": state_word(entry.state),
        "txid": entry.txid,
        "changed": entry.changed,
    }))
}

/// The age of the newest durable commit, by the store's clock.
fn committed_age(
    store: &Arc<dyn Store>,
    entry: &CatalogueEntry,
    server: Millis,
) -> Result<Option<f64>, ApplyError> {
    let Some(seq) = entry.changed else { return Ok(None) };
    let header = fleet_log::table(&**store, seq).map_err(blame)?.header;
    let sealed = header.stamp.offset(header.store_offset_ms);
    Ok(Some(Duration::from_millis(server.since(sealed)).as_secs_f64()))
}

/// The status for people.
#[must_use]
pub fn text(status: &Value) -> String {
    let number = |value: &Value| known(value.as_u64(), |number| number.to_string());
    let mut table = Table::new([
        ("DATABASE", Align::Left),
        ("TIER", Align::Left),
        ("STATE", Align::Left),
        ("BYTES", Align::Right),
        ("COMMITTED", Align::Right),
        ("RPO", Align::Right),
        ("APPLY LAG", Align::Right),
    ]);
    for database in status["databases"].as_array().map_or(&[][..], Vec::as_slice) {
        table.row(cells(database));
    }
    let silence = told_silence(status);
    let source = match (&status["running"], &silence) {
        (Value::Bool(false), None) => " (no follower runs here)",
        (Value::Bool(false), Some(_)) => " (as the store says)",
        _ => "",
    };
    format!(
        "{}Fleet {}, owner {}, epoch {}: durable {}, applied {}{source}\nPrimary {} last heard {} ago\n{table}{}",
        silence.unwrap_or_default(),
        word(&status["fleet"]),
        word(&status["owner"]),
        number(&status["epoch"]),
        number(&status["seq"]["durable"]),
        number(&status["seq"]["applied"]),
        word(&status["primary"]["node"]),
        seconds(&status["primary"]["last_heard_seconds"]),
        remarks(status),
    )
}

/// What was asked of the store, and what keeps the standby from being well, one line each.
fn remarks(status: &Value) -> String {
    let mut lines = Vec::new();
    if let Ok(requests) = RequestCounts::deserialize(&status["requests"]) {
        lines.push(format!("requests to the store since the start: {requests}"));
    }
    if let Some(error) = status["store"]["error"].as_str() {
        lines.push(format!("store: {error}"));
    } else if status["store"]["reachable"] == json!(false) {
        lines.push("store: does not answer".to_owned());
    }
    for key in ["damage", "notice"] {
        lines.extend(status[key].as_str().map(|text| format!("{key}: {text}")));
    }
    for database in status["databases"].as_array().map_or(&[][..], Vec::as_slice) {
        let detail = database["detail"].as_str();
        lines.extend(detail.map(|detail| format!("{}: {detail}", word(&database["name"]))));
    }
    for file in status["left_behind"].as_array().map_or(&[][..], Vec::as_slice) {
        lines.push(format!("{}: {}", word(&file["name"]), word(&file["reason"])));
    }
    lines.iter().map(|line| format!("\n{line}")).collect()
}

fn cells(database: &Value) -> [String; 7] {
    [
        word(&database["name"]),
        word(&database["tier"]),
        word(&database["state"]),
        known(database["bytes"].as_u64(), bytes),
        seconds(&database["committed_age_seconds"]),
        seconds(&database["rpo_seconds"]),
        seconds(&database["apply_lag_seconds"]),
    ]
}

fn seconds(value: &Value) -> String {
    known(value.as_f64(), |value| age(Duration::from_secs_f64(value.clamp(0.0, 1e12))))
}

fn word(value: &Value) -> String {
    known(value.as_str(), ToOwned::to_owned)
}

#[cfg(test)]
mod tests;
