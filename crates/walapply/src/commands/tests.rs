//! Whole command lines, and the exit codes they end with.

use std::fs;
use std::path::PathBuf;

use clap::Parser as _;
use segment::ObjectName;

use super::*;
use crate::image::testing::Shop;
use crate::restore::tests::{busy_shop, check_file};

/// Runs a command line; `STORE` and `OUT` stand for the shop's folders.
fn exit_of(shop: &Shop, line: &str) -> Result<(), Failure> {
    let store = shop.store_path().display().to_string();
    let out = shop.out("").display().to_string();
    let line = line.replace("STORE", &store).replace("OUT/", &out);
    run(Cli::try_parse_from(line.split_whitespace()).unwrap_or_else(|error| panic!("{error}")))
}

fn config(shop: &Shop, fleet: &str) -> PathBuf {
    let path = shop.folder.path().join(format!("{fleet}.toml"));
    let text = format!(
        "fleet = \"{fleet}\"\nstate_dir = \"state\"\n[store]\nkind = \"local\"\npath = \"store\"\n"
    );
    fs::write(&path, text).unwrap();
    path
}

#[test]
fn the_store_alone_is_enough() {
    let (shop, states) = busy_shop(3);
    exit_of(&shop, "walapply restore --store STORE orders -o OUT/one.db").unwrap();
    exit_of(&shop, "walapply restore --store STORE --all -o OUT/all --json").unwrap();
    let images = &states[2].1;
    check_file(&shop.out("one.db"), &images[0]);
    check_file(&shop.out("all/ledger.db"), &images[1]);
    exit_of(&shop, "walapply verify --store STORE").unwrap();
    exit_of(&shop, "walapply list --store STORE --json").unwrap();
}

#[test]
fn a_configuration_names_store_and_fleet() {
    let (shop, _) = busy_shop(1);
    let [own, other] = ["anvil", "other"].map(|fleet| config(&shop, fleet).display().to_string());
    exit_of(&shop, &format!("walapply restore -c {own} orders -o OUT/a.db")).unwrap();
    exit_of(&shop, &format!("walapply status -c {own} --json")).unwrap();
    let wrong = exit_of(&shop, &format!("walapply list -c {other}")).unwrap_err();
    assert_eq!(wrong.exit, ExitCode::Usage);
    let follow = exit_of(&shop, &format!("walapply follow -c {own} --once")).unwrap_err();
    assert_eq!(follow.exit, ExitCode::Usage, "no [standby] table: {follow}");
}

#[test]
fn exit_codes_tell_what_to_do() {
    let (shop, _) = busy_shop(2);
    let unknown = exit_of(&shop, "walapply restore --store STORE nowhere -o OUT/x.db").unwrap_err();
    assert_eq!(unknown.exit, ExitCode::Failed);
    assert!(unknown.hint.unwrap().contains("walapply list"));
    exit_of(&shop, "walapply restore --store STORE nowhere -o OUT/x.db --if-available").unwrap();
    let absent = exit_of(&shop, "walapply list --store STORE/absent").unwrap_err();
    assert_eq!(absent.exit, ExitCode::StoreUnreachable);
    exit_of(&shop, "walapply restore --store STORE orders -o OUT/x.db").unwrap();
    let there = exit_of(&shop, "walapply restore --store STORE orders -o OUT/x.db").unwrap_err();
    assert_eq!(there.exit, ExitCode::Failed);
    assert!(there.hint.unwrap().contains("--force"));
    exit_of(&shop, "walapply restore --store STORE orders -o OUT/x.db --if-missing").unwrap();
    let inside = exit_of(&shop, "walapply restore --store STORE orders -o STORE/x.db").unwrap_err();
    assert_eq!(inside.exit, ExitCode::Usage);
    let folder = exit_of(&shop, "walapply restore --store STORE --all -o OUT/x.db").unwrap_err();
    assert_eq!(folder.exit, ExitCode::Usage);
    let tier = exit_of(&shop, "walapply restore --store STORE --all -o OUT/y --tiers p7");
    assert_eq!(tier.unwrap_err().exit, ExitCode::Usage);
}

#[test]
fn damage_ends_with_4_and_one_document_that_names_the_object() {
    let (mut shop, _) = busy_shop(2);
    shop.rebase(1);
    let base = shop.catalogue.databases[&shop.databases[1].id].base.clone().unwrap();
    let object = base.parts[0].name.as_str().to_owned();
    fs::write(shop.object_path(&base.parts[0].name), "damaged").unwrap();
    for line in ["verify --store STORE", "restore --store STORE --all -o OUT/all"] {
        let failure = exit_of(&shop, &format!("walapply {line} --json")).unwrap_err();
        assert_eq!(failure.exit, ExitCode::Corrupt);
        assert!(failure.error.contains(&object), "{failure}");
        let document = failure.json();
        assert!(document["databases"].is_array() && document.to_string().contains(&object));
    }
    assert!(!shop.out("all/orders.db").exists());
}

#[test]
fn bases_that_lost_their_log_are_listed_as_damage() {
    let (shop, _) = busy_shop(2);
    for object in shop.objects().iter().filter(|object| object.log_seq().is_some()) {
        fs::remove_file(shop.object_path(object)).unwrap();
    }
    let failure = exit_of(&shop, "walapply list --store STORE --json").unwrap_err();
    assert_eq!(failure.exit, ExitCode::Corrupt);
    let stranded = &failure.json()["stranded"];
    assert_eq!((&stranded[0]["name"], &stranded[1]["name"]), (&"ledger".into(), &"orders".into()));
    assert!(stranded[0]["bytes"].as_u64() > Some(0));
    fs::remove_file(shop.object_path(&ObjectName::fleet_json())).unwrap();
    for command in ["list", "verify"] {
        let failure = exit_of(&shop, &format!("walapply {command} --store STORE")).unwrap_err();
        assert_eq!(failure.exit, ExitCode::Corrupt, "{failure}");
        assert!(failure.error.contains("fleet.json"), "{failure}");
    }
}

#[test]
fn a_store_that_nobody_wrote_to_is_no_backup() {
    let shop = Shop::open();
    for object in [ObjectName::log(segment::Seq::FIRST), ObjectName::fleet_json()] {
        fs::remove_file(shop.object_path(&object)).unwrap();
    }
    let empty = exit_of(&shop, "walapply restore --store STORE a -o OUT/a.db").unwrap_err();
    assert_eq!(empty.exit, ExitCode::Failed);
    exit_of(&shop, "walapply restore --store STORE a -o OUT/a.db --if-available").unwrap();
    assert_eq!(exit_of(&shop, "walapply list --store STORE").unwrap_err().exit, ExitCode::Failed);
}

#[test]
fn a_log_without_its_fleet_file_is_not_trusted() {
    let (shop, _) = busy_shop(1);
    let path = shop.object_path(&ObjectName::fleet_json());
    let sound = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    for line in
        ["list --store STORE", "verify --store STORE", "restore --store STORE orders -o OUT/a"]
    {
        let failure = exit_of(&shop, &format!("walapply {line}")).unwrap_err();
        assert_eq!(failure.exit, ExitCode::Corrupt, "{failure}");
    }
    fs::write(&path, &sound[..sound.len() / 2]).unwrap();
    let damaged = exit_of(&shop, "walapply restore --store STORE orders -o OUT/a").unwrap_err();
    assert_eq!(damaged.exit, ExitCode::Corrupt);
    assert!(damaged.error.contains("fleet.json"), "{damaged}");
}
