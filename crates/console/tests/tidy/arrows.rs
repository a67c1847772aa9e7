//! Dependencies between the crates point down only.

use std::collections::BTreeSet;

use toml::Table;

use crate::assert_none;
use crate::sources::root;

/// What each crate may depend on, outside its tests. `sim` is all tests and may use anything.
const ALLOWED: [(&str, &[&str]); 9] = [
    ("segment", &[]),
    ("sqlite-wal", &[]),
    ("store", &["segment"]),
    ("tiering", &["segment"]),
    ("fleet-log", &["segment", "store"]),
    ("console", &["segment", "store", "tiering"]),
    ("walship", &["segment", "sqlite-wal", "store", "fleet-log", "tiering", "console"]),
    ("walapply", &["segment", "store", "fleet-log", "tiering", "console"]),
    (
        "sim",
        &[
            "segment",
            "sqlite-wal",
            "store",
            "fleet-log",
            "tiering",
            "console",
            "walship",
            "walapply",
        ],
    ),
];

fn wrong_arrows(name: &str, manifest: &Table, ours: &BTreeSet<&str>) -> Vec<String> {
    let Some((_, allowed)) = ALLOWED.iter().find(|(known, _)| *known == name) else {
        return vec![format!("crate {name} is not in the table of arrows")];
    };
    let dependencies = manifest.get("dependencies").and_then(|table| table.as_table());
    let names = dependencies.into_iter().flat_map(Table::keys);
    names
        .filter(|dependency| {
            ours.contains(dependency.as_str()) && !allowed.contains(&dependency.as_str())
        })
        .map(|dependency| format!("crate {name} must not depend on {dependency}"))
        .collect()
}

#[test]
fn crates_depend_downwards_only() {
    let entries = std::fs::read_dir(root().join("crates")).unwrap().map(Result::unwrap);
    let folders = entries.filter(|entry| entry.path().is_dir());
    let names: Vec<String> =
        folders.map(|folder| folder.file_name().into_string().unwrap()).collect();
    let ours: BTreeSet<&str> = names.iter().map(String::as_str).collect();
    let wrong = names.iter().flat_map(|name| {
        let manifest = root().join("crates").join(name).join("Cargo.toml");
        let manifest = std::fs::read_to_string(manifest).unwrap().parse().unwrap();
        wrong_arrows(name, &manifest, &ours)
    });
    assert_none(&wrong.collect::<Vec<_>>());
}

#[test]
fn an_arrow_upwards_is_seen() {
    let manifest =
        "[dependencies]\nstore.workspace = true\nserde.workspace = true".parse().unwrap();
    let ours = BTreeSet::from(["segment", "store"]);
    assert_eq!(
        wrong_arrows("segment", &manifest, &ours),
        ["crate segment must not depend on store"]
    );
    assert_eq!(wrong_arrows("fleet-log", &manifest, &ours), [""; 0]);
    assert_eq!(wrong_arrows("new", &manifest, &ours).len(), 1);
}
