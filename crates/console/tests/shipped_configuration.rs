//! The files in `config/` are what people copy: they show every key, and the values they show are the defaults.

use std::path::{Path, PathBuf};

use console::config::{Config, Source, load, parse};
use console::{WalapplyConfig, WalshipConfig};
use serde::Serialize;
use toml::{Table, Value};

fn shipped(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config").join(file)
}

/// A configuration with the required keys alone.
fn minimal<T: Config>(rest: &str) -> T {
    let text = format!(
        "fleet = 'anvil'\nstate_dir = '/var/lib/x'\n[store]\nkind = 'local'\npath = '/var/lib/x/store'\n{rest}"
    );
    parse(Path::new("minimal.toml"), Path::new("/"), &text).unwrap()
}

fn table(config: &impl Serialize) -> Table {
    Table::try_from(config).unwrap()
}

/// Each key of the defaults, as `table.key`.
fn keys(table: &Table, prefix: &str, found: &mut Vec<(String, Value)>) {
    for (key, value) in table {
        match value {
            Value::Table(inner) => keys(inner, &format!("{prefix}{key}."), found),
            value => found.push((format!("{prefix}{key}"), value.clone())),
        }
    }
}

fn assert_shows_defaults(shown: &impl Serialize, defaults: &impl Serialize, required: &[&str]) {
    let (mut shown_keys, mut default_keys) = (Vec::new(), Vec::new());
    keys(&table(shown), "", &mut shown_keys);
    keys(&table(defaults), "", &mut default_keys);
    for (key, value) in default_keys {
        let shown = shown_keys.iter().find(|(shown, _)| *shown == key);
        assert!(shown.is_some(), "{key} is not shown");
        if !required.contains(&key.as_str()) {
            assert_eq!(shown.unwrap().1, value, "{key} is not shown with its default");
        }
    }
}

/// A key stands in the text, written or commented out.
fn assert_mentions(file: &str, keys: &[&str]) {
    let text = std::fs::read_to_string(shipped(file)).unwrap();
    for key in keys {
        let begins = |line: &&str| line.trim_start_matches("# ").starts_with(&format!("{key} = "));
        assert!(text.lines().any(|line| begins(&line)), "{file} does not show `{key}`");
    }
}

#[test]
fn walship_toml_shows_every_key_with_its_default() {
    let shown: WalshipConfig = load(&shipped("walship.toml")).unwrap();
    let required = ["fleet", "state_dir", "store.kind", "store.path", "databases"];
    assert_shows_defaults(&shown, &minimal::<WalshipConfig>(""), &required);
    assert_mentions(
        "walship.toml",
        &[
            "node",
            "wal_force_above",
            "heartbeat_interval",
            "path",
            "glob",
            "tier",
            "name",
            "sync_interval",
            "renamed_from",
        ],
    );
    assert!(matches!(shown.databases[0].source, Source::Path(_)));
    assert!(matches!(shown.databases[1].source, Source::Glob(_)));
}

#[test]
fn walapply_toml_shows_every_key_with_its_default() {
    let shown: WalapplyConfig = load(&shipped("walapply.toml")).unwrap();
    let required = ["fleet", "state_dir", "store.kind", "store.path", "standby.dir"];
    assert_shows_defaults(
        &shown,
        &minimal::<WalapplyConfig>("[standby]\ndir = '/srv/x'"),
        &required,
    );
    assert_mentions(
        "walapply.toml",
        &["node", "dir", "tiers", "poll_interval", "idle_poll_interval", "quiet_after"],
    );
}

/// Optional keys are left out when they are not set, so the files could miss them unseen: a key that a set value shows
/// must be mentioned too.
#[test]
fn keys_without_a_default_are_mentioned_too() {
    let full: WalapplyConfig = {
        let standby = "[standby]\ndir = '/srv/x'\ntiers = ['p1']";
        let text = format!(
            "fleet = 'anvil'\nnode = 'n'\nstate_dir = '/x'\n[store]\nkind = 'local'\npath = '/s'\n{standby}"
        );
        parse(Path::new("full.toml"), Path::new("/"), &text).unwrap()
    };
    let mut all = Vec::new();
    keys(&table(&full), "", &mut all);
    let names: Vec<&str> = all.iter().filter_map(|(key, _)| key.rsplit('.').next()).collect();
    assert_mentions("walapply.toml", &names);
}

#[test]
fn the_reference_fleet_uses_the_built_in_tiers() {
    let fleet = std::fs::read_to_string(shipped("fleet.csv")).unwrap();
    let defaults: WalshipConfig = minimal("");
    let tiers: Vec<&str> =
        fleet.lines().skip(1).filter_map(|line| line.split(',').nth(1)).collect();
    assert_eq!(tiers.len(), 69);
    assert!(tiers.iter().all(|tier| defaults.tiers.get(tier).is_some()));
}
