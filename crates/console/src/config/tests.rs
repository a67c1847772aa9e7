use std::path::Path;
use std::time::Duration;

use super::*;

const BASE: &str =
    "fleet = 'anvil'\nstate_dir = 'state'\n[store]\nkind = 'local'\npath = 'store'\n";

fn walship(rest: &str) -> Result<WalshipConfig, ConfigError> {
    parse(Path::new("walship.toml"), Path::new("/etc/walship"), &format!("{BASE}{rest}"))
}

fn walapply(rest: &str) -> Result<WalapplyConfig, ConfigError> {
    parse(Path::new("walapply.toml"), Path::new("/etc/walship"), &format!("{BASE}{rest}"))
}

/// The message and the hint.
fn told<T: std::fmt::Debug>(result: Result<T, ConfigError>) -> String {
    crate::Failure::from(result.unwrap_err()).to_string()
}

fn database(keys: &str) -> String {
    format!("[[databases]]\npath = '/srv/a.db'\ntier = 'p1'\n{keys}\n")
}

#[test]
fn what_is_not_written_has_its_default() {
    let config = walship("").unwrap();
    assert_eq!(config.state_dir, Path::new("/etc/walship/state"));
    assert_eq!(config.wal_force_above, Threshold::Above(ByteSize::mib(256)));
    assert_eq!(config.heartbeat_interval, Duration::from_secs(900));
    assert_eq!(config.tiers, Tiers::default());
    assert!(config.databases.is_empty());
    let config = walapply("[standby]\ndir = 'db'").unwrap();
    let standby = config.standby().unwrap();
    assert_eq!(standby.dir, Path::new("/etc/walship/db"));
    assert_eq!(standby.poll_interval, Duration::from_secs(1));
    assert_eq!(standby.idle_poll_interval, Duration::from_secs(15));
    assert_eq!(standby.quiet_after, Duration::from_secs(45 * 60));
    assert!(standby.follows("p1", true) && !standby.follows("p2", false));
}

#[test]
fn unknown_keys_are_told_with_their_place_and_what_was_meant() {
    for (rest, place, meant) in [
        ("pth = 'x'\n", "6:1", Some("path")),
        ("[tiers.p1]\nsync_intervall = '1s'\n", "7:1", Some("sync_interval")),
        ("[[databases]]\npaths = 'x'\n", "7:1", Some("path")),
        ("[tier.p1]\n", "6:2", Some("tiers")),
        ("[xyzzy]\n", "6:2", None),
    ] {
        let told = told(walship(rest));
        assert!(told.starts_with(&format!("error: walship.toml:{place}: unknown field")), "{told}");
        let hint = meant.map(|key| format!("did you mean `{key}`?"));
        assert_eq!(told.split_once(" hint: ").map(|(_, hint)| hint.to_owned()), hint, "{told}");
    }
    let told = told(walapply("[standby]\ndir = 'db'\npoll_intervall = '1s'\n"));
    assert!(told.contains("walapply.toml:8:1") && told.contains("`poll_interval`?"), "{told}");
}

#[test]
fn an_unknown_store_is_told_with_its_place() {
    let text = BASE.replace("'local'", "'locl'");
    let told = told(parse::<WalshipConfig>(Path::new("w.toml"), Path::new("/"), &text));
    assert!(told.starts_with("error: w.toml:4:8: unknown variant `locl`"), "{told}");
    assert!(told.ends_with("did you mean `local`?"), "{told}");
}

#[test]
fn wrong_values_are_told_with_their_place() {
    for (rest, part) in [
        ("[tiers.p1]\nretention = 'often'\n", "7:13: `often` is not a duration"),
        ("[[databases]]\npath = 'x'\ntier = 1\n", "8:8: invalid type"),
        ("[[databases]]\npath = 'x'\n", "6:1: missing field `tier`"),
        ("[store", "6:7: unclosed table"),
        ("[[databases]]\ntier = 'p1'\n", "6:1: write either `path` or `glob`"),
        (
            "[[databases]]\ntier = 'p1'\npath = 'x'\n[[databases]]\ntier = 'p1'\n",
            "9:1: write either `path` or `glob`",
        ),
        (
            "[[databases]]\ntier = 'p1'\nglob = '*'\nname = 'x'\n",
            "6:1: `name` and `renamed_from` are for one database: write `path` instead of `glob`",
        ),
        (
            "[tiers.p1]\nstandby = false\n[tiers.p3]\nretention = '1h'\n",
            "8:1: missing key `sync_interval` of tier `p3`",
        ),
        ("[tiers.p0-critcal]\nretention = '1h'\n", "did you mean `p0-critical`?"),
    ] {
        let told = told(walship(rest));
        assert!(told.contains(part), "{told}");
    }
}

#[test]
fn what_makes_no_sense_together_is_refused_where_it_stands() {
    for (rest, part) in [
        (database("").repeat(2), "11:8: /srv/a.db and /srv/a.db are both named `a`"),
        (
            database("") + &database("name = 'A'"),
            "13:8: /srv/a.db and /srv/a.db are both named `A`",
        ),
        (database("") + &database("name = 'b'"), "13:8: /srv/a.db is listed as `a` and as `b`"),
        (database("").replace("a.db", "a b.db"), "7:8: /srv/a b.db gives no valid name"),
        (database("").replace("'p1'", "'p9'"), "8:8: there is no tier `p9`"),
        (database("").replace("'p1'", "'p1-'"), "did you mean `p1`?"),
        (
            database("name = 'b'\nrenamed_from = 'B'"),
            "10:16: renamed_from = \"B\", but /srv/a.db has that name now",
        ),
        (database("sync_interval = '1m'"), "9:17: sync_interval of database `a` (1m) is longer"),
        (database("sync_interval = '1ms'"), "9:17: sync_interval of database `a` must lie between"),
        ("[[databases]]\nglob = '/a/***'\ntier = 'p1'\n".into(), "7:8: `/a/***` is not a valid"),
        ("[[databases]]\nglob = '*'\ntier = 'p9'\n".into(), "8:8: there is no tier `p9`"),
        ("[tiers.p1]\nretention = '90m'\n".into(), "7:13: retention of tier `p1` must be whole"),
        ("[tiers.p1]\nretention = '0s'\n".into(), "7:13: retention of tier `p1` must be whole"),
        ("[tiers.p1]\nsync_interval = '2d'\n".into(), "7:17: sync_interval of tier `p1` must lie"),
        // The interval is the default: the table is where either of the two can be changed.
        ("[tiers.p1]\nrpo_bound = '500ms'\n".into(), "6:1: sync_interval of tier `p1` (1s) is"),
    ] {
        let told = told(walship(&rest));
        assert!(told.contains(part), "{told}");
    }
    let heartbeat = format!("heartbeat_interval = '0s'\n{BASE}");
    let heartbeat = told(parse::<WalshipConfig>(Path::new("w"), Path::new("/"), &heartbeat));
    assert!(heartbeat.contains("w:1:22: heartbeat_interval must be at least 1s"), "{heartbeat}");
    let inside = BASE.replace("'state'", "'store/state'");
    for told in [
        told(parse::<WalshipConfig>(Path::new("w"), Path::new("/"), &inside)),
        told(parse::<WalapplyConfig>(Path::new("w"), Path::new("/"), &inside)),
    ] {
        assert!(told.contains("w:2:13: state_dir lies in the store, /store"), "{told}");
    }
    for (keys, part) in [
        ("dir = 'state'", "7:7: [standby] dir and state_dir are the same folder"),
        ("dir = 'store/log'", "7:7: [standby] dir lies in the store, /etc/walship/store"),
        ("dir = 'db'\ntiers = []", "8:9: tiers is empty: nothing would be followed"),
        ("dir = 'db'\npoll_interval = '0s'", "8:17: poll_interval must be at least 10ms"),
        ("dir = 'db'\npoll_interval = '20s'", "8:17: idle_poll_interval is shorter"),
        ("dir = 'db'\nquiet_after = '0s'", "8:15: quiet_after must be at least 1s"),
        (
            "dir = 'db'\npoll_interval = '20s'\nidle_poll_interval = '9s'",
            "9:22: idle_poll_interval is shorter",
        ),
    ] {
        let told = told(walapply(&format!("[standby]\n{keys}\n")));
        assert!(told.contains(part), "{told}");
    }
}

#[test]
fn an_empty_text_is_refused_with_its_key_and_place() {
    let empty = |text: &str, place: &str, key: &str| {
        let told = told(parse::<WalapplyConfig>(Path::new("w.toml"), Path::new("/"), text));
        assert!(told.starts_with(&format!("error: w.toml:{place}: `{key}` is empty")), "{told}");
    };
    empty(&BASE.replace("'store'", "''"), "5:8", "path");
    empty(&BASE.replace("'state'", "' '"), "2:13", "state_dir");
    empty(&format!("{BASE}[standby]\ndir = ''\n"), "7:7", "dir");
    empty(&format!("{BASE}[standby]\ndir = 'x'\ntiers = ['p1', '']\n"), "8:16", "tiers");
    for (keys, place, key) in [
        ("path = ''\ntier = 'p1'", "7:8", "path"),
        ("glob = ''\ntier = 'p1'", "7:8", "glob"),
        ("path = 'x'\ntier = ''", "8:8", "tier"),
    ] {
        let told = told(walship(&format!("[[databases]]\n{keys}\n")));
        assert!(
            told.starts_with(&format!("error: walship.toml:{place}: `{key}` is empty")),
            "{told}"
        );
    }
    for (key, place) in [("fleet = ''", "1:9"), ("fleet = 'anvil'\nnode = ''", "2:8")] {
        let text = BASE.replace("fleet = 'anvil'", key);
        let told = told(parse::<WalshipConfig>(Path::new("w.toml"), Path::new("/"), &text));
        assert!(
            told.starts_with(&format!("error: w.toml:{place}: a name must not be empty")),
            "{told}"
        );
    }
}

#[test]
fn a_table_may_change_single_keys_of_a_tier_or_make_one() {
    let rest = "[tiers.p1]\nsync_interval = '5s'\n\
                [tiers.own]\nsync_interval = '1s'\nretention = '1h'\nrpo_bound = '1s'\nstandby = true\n";
    let tiers = walship(rest).unwrap().tiers;
    let p1 = tiers.get("p1").unwrap();
    assert_eq!((p1.sync_interval, p1.class_hours()), (Duration::from_secs(5), 72));
    assert_eq!(tiers.get("own").unwrap().class_hours(), 1);
    assert_eq!(tiers.iter().count(), 5);
}

#[test]
fn without_a_standby_table_only_follow_fails() {
    let failure = walapply("").unwrap().standby().unwrap_err();
    assert_eq!(failure.exit, crate::ExitCode::Usage);
}

#[test]
fn a_configured_node_is_taken_as_it_is() {
    let config: WalshipConfig =
        parse(Path::new("w"), Path::new("/"), &format!("node = 'anvil'\n{BASE}")).unwrap();
    assert_eq!(config.node().unwrap().as_str(), "anvil");
}

#[test]
fn patterns_find_files_that_appear_later() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path();
    let text = format!(
        "{BASE}[[databases]]\nglob = '*.db'\ntier = 'p1'\nsync_interval = '30s'\n\
         [[databases]]\npath = 'Main.db'\ntier = 'p0-critical'\n"
    );
    let config: WalshipConfig = parse(Path::new("w"), folder, &text).unwrap();
    let names = |found: &Discovery| {
        found.databases.iter().map(|db| db.name.to_string()).collect::<Vec<_>>()
    };
    let found = discover(&config, &Homes::new());
    assert_eq!(names(&found), ["Main"]);
    assert_eq!(found.databases[0].sync_interval, Duration::from_secs(1));

    for file in ["Main.db", "b.db", "b.db-wal", "b.db-shm", ".hidden.db", "bad name.db"] {
        std::fs::write(folder.join(file), "").unwrap();
    }
    std::fs::create_dir(folder.join("folder.db")).unwrap();
    std::os::unix::fs::symlink("b.db", folder.join("link.db")).unwrap();
    let found = discover(&config, &Homes::new());
    assert_eq!(names(&found), ["Main", "b"]);
    assert_eq!(found.databases[1].sync_interval, Duration::from_secs(30));
    assert_eq!(found.warnings.len(), 2, "{:?}", found.warnings);
    assert!(found.warnings[0].contains("bad name.db gives no valid name"));
    assert!(found.warnings[1].contains("link.db is a symbolic link"));
}

#[test]
fn of_two_files_of_one_name_the_one_that_had_it_keeps_it() {
    let scratch = tempfile::tempdir().unwrap();
    for file in ["a.db", "A.sqlite"] {
        std::fs::write(scratch.path().join(file), "").unwrap();
    }
    let text = format!("{BASE}[[databases]]\nglob = '*'\ntier = 'p1'\n");
    let config: WalshipConfig = parse(Path::new("w"), scratch.path(), &text).unwrap();
    let found = discover(&config, &Homes::new());
    let [first, later] = ["A.sqlite", "a.db"].map(|file| scratch.path().join(file));
    assert_eq!(found.databases.iter().map(|each| &each.path).collect::<Vec<_>>(), [&first]);
    assert_eq!((&found.taken[0].path, &found.taken[0].by), (&later, &first));

    let homes = Homes::from([("a".to_owned(), later.clone())]);
    let found = discover(&config, &homes);
    assert_eq!(found.databases.iter().map(|each| &each.path).collect::<Vec<_>>(), [&later]);
    assert_eq!((&found.taken[0].path, &found.taken[0].by), (&first, &later));
}
