use std::path::Path;

use store::settings::StoreSettings;

use super::*;
use crate::image::testing::{Shop, name};
use crate::restore::tests::busy_shop;

fn config(shop: &Shop, fleet: &str) -> WalapplyConfig {
    let text = format!(
        "fleet = \"{fleet}\"\nstate_dir = \"{state}\"\n[store]\nkind = \"local\"\npath = \"{store}\"\n",
        state = shop.out("state").display(),
        store = shop.store_path().display(),
    );
    console::config::parse(Path::new("walapply.toml"), Path::new("/"), &text).unwrap()
}

#[test]
fn without_a_follower_the_store_tells_what_is_durable_and_null_the_rest() {
    let (shop, states) = busy_shop(4);
    let config = config(&shop, "anvil");
    assert!(matches!(config.store, StoreSettings::Local { .. }));
    let status = status(&config).unwrap();
    assert_eq!(status["fleet"], "anvil");
    assert_eq!((&status["epoch"], &status["owner"]), (&json!(1), &json!("anvil-host")));
    assert_eq!(status["seq"], json!({ "captured": null, "durable": shop.last(), "applied": null }));
    assert_eq!(status["store"]["reachable"], true);
    let orders = &status["databases"][1];
    assert_eq!((&orders["name"], &orders["tier"]), (&json!("orders"), &json!("p0")));
    assert_eq!(orders["pages"], states[3].1[0].pages.len());
    for unknown in ["rpo_seconds", "apply_lag_seconds", "wal_bytes"] {
        assert!(orders.as_object().unwrap()[unknown].is_null(), "{unknown}");
    }
    assert!(orders["committed_age_seconds"].is_number());
    assert!(text(&status).contains("no follower runs here"));
}

#[test]
fn another_fleets_store_is_refused() {
    let shop = Shop::open();
    assert_eq!(status(&config(&shop, "other")).unwrap_err().exit, console::ExitCode::Usage);
}

#[test]
fn a_follower_tells_every_key_of_the_contract() {
    let status = of_follower(&name("anvil"), &FollowSnapshot::default(), RequestCounts::default());
    for key in ["fleet", "epoch", "owner", "seq", "store", "databases"] {
        assert!(status.as_object().unwrap().contains_key(key), "{key}");
    }
    assert!(text(&status).starts_with("Fleet anvil"));
    assert_eq!(status["requests"]["write"], 0);
    assert!(text(&status).contains("requests to the store since the start: 0 writes, 0 lists"));
}

#[test]
fn without_a_follower_what_is_lost_is_told_and_what_it_may_have_changed_is_doubtful() {
    let (shop, states) = busy_shop(3);
    let lost = segment::ObjectName::log(states[1].0);
    std::fs::remove_file(shop.object_path(&lost)).unwrap();
    let mut shop = shop;
    shop.append(Vec::new(), Vec::new());
    let status = status(&config(&shop, "anvil")).unwrap();
    let damage = status["damage"].as_str().unwrap();
    assert!(damage.contains(&format!("log object {}", states[1].0)), "{damage}");
    assert!(text(&status).contains(damage));
    let states = status["databases"].as_array().unwrap().iter();
    assert!(states.map(|row| &row["state"]).all(|state| state == "doubtful"), "{status}");
}

#[test]
fn the_text_tells_what_is_wrong() {
    let status = json!({
        "store": { "reachable": false, "error": "connection refused" },
        "notice": "log object 7 is damaged",
        "databases": [{ "name": "orders", "state": "waiting", "detail": "not a regular file" }, { "name": "fine" }],
        "left_behind": [{ "name": "old", "reason": "retired on the primary" }],
    });
    let text = text(&status);
    for line in [
        "store: connection refused",
        "notice: log object 7 is damaged",
        "orders: not a regular file",
        "old: retired on the primary",
    ] {
        assert!(text.lines().any(|each| each == line), "{text}");
    }
    assert!(!text.contains("fine:"));
}
