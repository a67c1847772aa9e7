//! What others do to the standby's files.

use std::fs;

use super::*;

fn evidence(standby: &Standby) -> Vec<PathBuf> {
    let folder = standby.state_dir().join("evidence");
    fs::read_dir(folder)
        .map(|entries| entries.map(|entry| entry.unwrap().path()).collect())
        .unwrap_or_default()
}

/// Writes through SQLite in spite of the mark, as somebody may who knows it.
fn vandalise(path: &Path) {
    use rusqlite::config::DbConfig;
    let vandal = Connection::open(path).unwrap();
    vandal.busy_timeout(Duration::from_secs(5)).unwrap();
    vandal.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, false).unwrap();
    let mut page: Vec<u8> = vandal
        .query_row("SELECT data FROM temp.sqlite_dbpage WHERE pgno=1", [], |row| row.get(0))
        .unwrap();
    page[18] = 2;
    vandal.set_db_config(DbConfig::SQLITE_DBCONFIG_RESET_DATABASE, true).unwrap();
    vandal.execute("INSERT INTO temp.sqlite_dbpage(pgno, data) VALUES(1, ?1)", [page]).unwrap();
    drop(vandal);
    let vandal = Connection::open(path).unwrap();
    vandal.execute_batch("INSERT INTO data(v, b, t) VALUES(1, x'00', 'stray')").unwrap();
}

#[test]
fn a_stray_writer_is_found_within_one_change_repaired_and_kept_as_evidence() {
    let mut shop = shop();
    let standby = Standby::of(&shop);
    let running = standby.start(&shop);
    running.until_applied(shop.last());
    vandalise(&standby.path("ledger"));
    let seq = change(&mut shop);
    let snapshot = running.until_applied(seq);
    let ledger = status(&snapshot, "ledger").unwrap();
    assert_eq!(ledger.heals, 1);
    assert!(ledger.detail.as_ref().unwrap().starts_with("healed"), "{ledger:?}");
    assert_eq!(status(&snapshot, "notes").unwrap().heals, 0);
    running.stop().unwrap();
    standby.assert_equals(&shop);
    assert!(evidence(&standby).iter().any(|folder| folder.join("find.json").exists()));
    let late = Connection::open(standby.path("ledger")).unwrap();
    assert!(late.execute_batch("INSERT INTO data(v) VALUES(2)").is_err(), "the mark stands again");
}

#[test]
fn files_that_were_changed_replaced_or_removed_while_it_was_stopped_are_repaired() {
    let mut shop = shop();
    let standby = Standby::of(&shop);
    standby.once(&shop).unwrap();
    let path = standby.path("ledger");
    let flip = || {
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&path, bytes).unwrap();
    };
    let truncate =
        || fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(8192).unwrap();
    let acts: [(&str, &dyn Fn()); 6] = [
        ("flip", &flip),
        ("truncate", &truncate),
        ("garbage", &|| fs::write(&path, vec![7; 10_000]).unwrap()),
        ("remove", &|| fs::remove_file(&path).unwrap()),
        ("empty", &|| fs::write(&path, b"").unwrap()),
        ("vandal", &|| vandalise(&path)),
    ];
    for (act, commit) in acts {
        let kept = evidence(&standby).len();
        commit();
        if act == "flip" {
            change(&mut shop);
        }
        standby.once(&shop).unwrap();
        standby.assert_equals(&shop);
        let is_found = matches!(act, "flip" | "garbage" | "vandal");
        assert!(!is_found || evidence(&standby).len() > kept, "{act}");
    }
}

#[test]
fn a_stale_wal_beside_a_missing_file_is_not_mixed_in() {
    let shop = shop();
    let standby = Standby::of(&shop);
    fs::create_dir_all(standby.path("ledger").parent().unwrap()).unwrap();
    let stale = standby.folder.path().join("stale.db");
    let other = Connection::open(&stale).unwrap();
    other
        .execute_batch(
            "PRAGMA journal_mode=WAL; CREATE TABLE alien(x); INSERT INTO alien VALUES(1)",
        )
        .unwrap();
    fs::copy(
        standby.folder.path().join("stale.db-wal"),
        standby.path("ledger").with_extension("db-wal"),
    )
    .unwrap();
    standby.once(&shop).unwrap();
    standby.assert_equals(&shop);
    assert_eq!(evidence(&standby).len(), 1);
}

#[test]
fn files_that_vanish_while_it_runs_come_back() {
    let mut shop = shop();
    let standby = Standby::of(&shop);
    let running = standby.start(&shop);
    running.until_applied(shop.last());
    for ending in ["", "-wal", "-shm"] {
        fs::remove_file(crate::replica::files::companion(&standby.path("ledger"), ending)).unwrap();
        let seq = change(&mut shop);
        running.until_applied(seq);
        assert_eq!(
            Image::of(&standby.path("ledger")).checksum(),
            shop.databases[0].shipped.as_ref().unwrap().checksum(),
            "{ending}"
        );
    }
    running.stop().unwrap();
    standby.assert_equals(&shop);
}

#[test]
fn no_symbolic_link_is_followed() {
    let shop = shop();
    let standby = Standby::of(&shop);
    let victim = standby.folder.path().join("victim.db");
    fs::write(&victim, b"precious").unwrap();
    fs::create_dir_all(standby.path("ledger").parent().unwrap()).unwrap();
    std::os::unix::fs::symlink(&victim, standby.path("ledger")).unwrap();
    let running = standby.start(&shop);
    let waiting = running.until_condition("ledger", Condition::Waiting);
    assert!(waiting.detail.unwrap().contains("not a regular file"));
    running.until_condition("notes", Condition::Live);
    running.stop().unwrap();
    assert_eq!(fs::read(&victim).unwrap(), b"precious");
}

#[test]
fn only_the_owner_can_read_what_it_makes() {
    use std::os::unix::fs::PermissionsExt;
    let shop = shop();
    let standby = Standby::of(&shop);
    standby.once(&shop).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&standby.path("ledger")), 0o600);
    assert_eq!(mode(standby.path("ledger").parent().unwrap()), 0o700);
    assert_eq!(mode(&standby.state_dir()), 0o700);
}
