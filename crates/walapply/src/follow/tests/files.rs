//! What others do to the standby's files.

use std::fs;
use std::process::Command;
use std::sync::atomic::AtomicU32;

use segment::{Name, PageSize};
use store::{Fault, Faulty, Operation, Request, StoreError};

use super::*;
use crate::replace::RealDisk;
use crate::replica::own::FileId;
use crate::replica::sidecar::{self, Sidecar};
use crate::replica::{files, install};
use crate::testing::{Rng, scale};

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

/// Both carry the mark of a standby: the one was written over with the other's content.
#[test]
fn the_folder_of_another_fleets_standby_is_refused() {
    let shop = shop();
    let standby = Standby::of(&shop);
    standby.once(&shop).unwrap();
    let path = standby.path("ledger").with_file_name(claim::FILE);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), r#"{"fleet":"anvil"}"#);
    std::fs::write(&path, r#"{"fleet":"other"}"#).unwrap();
    let failure = standby.once(&shop).unwrap_err();
    assert_eq!(failure.exit, ExitCode::Usage);
    assert!(failure.to_string().contains("the standby of fleet other"), "{failure}");
    // What a power cut leaves.
    std::fs::write(&path, r#"{"fleet":"oth"#).unwrap();
    standby.once(&shop).unwrap();
    standby.assert_equals(&shop);
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
fn a_repair_fetches_only_what_differs() {
    let mut shop = Shop::open();
    shop.part_pages = 2_000;
    shop.create("ledger", "p0", 4096);
    shop.databases[0].source.grow(6_000_000);
    shop.flush();
    let standby = Standby::of(&shop);
    standby.once(&shop).unwrap();
    let path = standby.path("ledger");
    let mut bytes = fs::read(&path).unwrap();
    for page in [300, 900] {
        bytes[4096 * page + 17] ^= 1;
    }
    fs::write(&path, bytes).unwrap();
    // The base may be read by ranges only, and few of them.
    let ranges = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&ranges);
    let script =
        move |request: &Request<'_>| match (request.name.starts_with("snap/"), request.operation) {
            (true, Operation::Get) => {
                Fault::Refuse(StoreError::unavailable("a whole base", "refused by the test"))
            }
            (true, _) => {
                count.fetch_add(1, Ordering::SeqCst);
                Fault::Pass
            }
            (false, _) => Fault::Pass,
        };
    let snapshot =
        standby.once_with(Arc::new(Faulty::new(Arc::clone(&shop.store), script))).unwrap();
    standby.assert_equals(&shop);
    let detail = status(&snapshot, "ledger").unwrap().detail.clone().unwrap();
    assert!(detail.contains("3 pages written"), "{detail}");
    assert!(ranges.load(Ordering::SeqCst) <= 6, "{ranges:?}");
}

/// A database of somebody else with all that belongs to it, as it is after its last writer was killed.
fn foreign(folder: &Path) -> PathBuf {
    let path = folder.join("foreign.db");
    let writer = Connection::open(&path).unwrap();
    let sql = "PRAGMA journal_mode=WAL; CREATE TABLE alien(x); INSERT INTO alien VALUES(1)";
    writer.execute_batch(sql).unwrap();
    let killed = folder.join("killed.db");
    for ending in ["", "-wal"] {
        fs::copy(files::companion(&path, ending), files::companion(&killed, ending)).unwrap();
    }
    killed
}

#[test]
fn a_strangers_wal_beside_a_missing_file_is_neither_mixed_in_nor_moved() {
    let shop = shop();
    let standby = Standby::of(&shop);
    fs::create_dir_all(standby.path("ledger").parent().unwrap()).unwrap();
    let (foreign, wal) =
        (foreign(standby.folder.path()), files::companion(&standby.path("ledger"), "-wal"));
    fs::copy(files::companion(&foreign, "-wal"), &wal).unwrap();
    let before = fs::read(&wal).unwrap();
    let failure = standby.once(&shop).unwrap_err();
    assert_eq!(failure.exit, ExitCode::Failed);
    assert!(failure.to_string().contains("not this standby's file"), "{failure}");
    assert!(!standby.path("ledger").exists());
    assert!(before == fs::read(&wal).unwrap());
    fs::remove_file(&wal).unwrap();
    standby.once(&shop).unwrap();
    standby.assert_equals(&shop);
    assert_eq!(evidence(&standby).len(), 0);
}

#[test]
fn a_database_that_takes_the_place_of_ours_while_it_runs_is_left_alone_until_it_goes() {
    let mut shop = shop();
    let standby = Standby::of(&shop);
    let running = standby.start(&shop);
    running.until_applied(shop.last());
    let (path, foreign) = (standby.path("ledger"), foreign(standby.folder.path()));
    for ending in ["-shm", "-wal"] {
        let _ = fs::remove_file(files::companion(&path, ending));
    }
    let bytes =
        |path: &Path| ["", "-wal"].map(|end| fs::read(files::companion(path, end)).unwrap());
    let before = bytes(&foreign);
    for end in ["", "-wal"] {
        fs::rename(files::companion(&foreign, end), files::companion(&path, end)).unwrap();
    }
    change(&mut shop);
    let told = running.until_condition("ledger", Condition::Foreign);
    assert!(told.detail.as_ref().unwrap().contains("move it away"), "{told:?}");
    running.until_condition("notes", Condition::Live);
    change(&mut shop);
    assert!(before == bytes(&path));
    for ending in ["", "-wal"] {
        fs::remove_file(files::companion(&path, ending)).unwrap();
    }
    running.until_applied(shop.last());
    running.stop().unwrap();
    standby.assert_equals(&shop);
    assert_eq!(evidence(&standby).len(), 0);
}

/// An empty file is a database without the mark for a moment, before its first content is committed.
#[test]
fn a_crash_while_an_empty_file_is_filled_makes_no_stranger_of_it() {
    let shop = shop();
    let standby = Standby::of(&shop);
    let path = standby.path("ledger");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::create_dir_all(standby.state_dir().join("replicas")).unwrap();
    fs::write(&path, b"").unwrap();
    install::initialise_empty(&path, PageSize::new(4096).unwrap()).unwrap();
    standby.once(&shop).unwrap_err();
    let file = FileId::of(&path).unwrap();
    let sidecar = Sidecar { file, ..Sidecar::default() };
    let at = sidecar::path(&standby.state_dir(), &Name::parse("ledger").unwrap());
    sidecar::write(&RealDisk, &at, &sidecar).unwrap();
    standby.once(&shop).unwrap();
    standby.assert_equals(&shop);
}

#[test]
fn files_that_vanish_while_it_runs_come_back() {
    let mut shop = shop();
    let standby = Standby::of(&shop);
    let running = standby.start(&shop);
    running.until_applied(shop.last());
    for ending in ["", "-wal", "-shm"] {
        fs::remove_file(files::companion(&standby.path("ledger"), ending)).unwrap();
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

/// Everything that was written to the WAL since it was last synced may be lost in a power cut, in any order of its blocks.
#[test]
fn after_a_power_cut_that_kept_any_part_of_the_wal_it_goes_on() {
    let mut rng = Rng::new(5);
    let mut shop = shop();
    let standby = Standby::of(&shop);
    standby.once(&shop).unwrap();
    let running = standby.start(&shop);
    for _ in 0..8 {
        shop.databases[0].source.insert(20);
        let seq = shop.flush();
        running.until_applied(seq);
    }
    // Copied by another process: a descriptor of ours that is closed would drop SQLite's locks.
    let cut = Standby::of(&shop);
    let copied = Command::new("cp")
        .args(["-r", "-t"])
        .arg(cut.folder.path())
        .args([standby.path("ledger").parent().unwrap(), &standby.state_dir()])
        .status();
    assert!(copied.unwrap().success());
    running.stop().unwrap();
    let wal = files::companion(&cut.path("ledger"), "-wal");
    let (database, log) = (fs::read(cut.path("ledger")).unwrap(), fs::read(&wal).unwrap());
    assert!(log.len() > 40_000, "nothing was checkpointed yet: {}", log.len());
    for _ in 0..25 * scale() {
        fs::write(cut.path("ledger"), &database).unwrap();
        let _ = fs::remove_file(files::companion(&cut.path("ledger"), "-shm"));
        fs::write(&wal, torn(&log, &mut rng)).unwrap();
        cut.once(&shop).unwrap();
        cut.assert_equals(&shop);
    }
}

/// A prefix of what was written, in which blocks are missing.
fn torn(log: &[u8], rng: &mut Rng) -> Vec<u8> {
    let mut torn = log[..rng.below(log.len() as u64 + 1) as usize].to_vec();
    let blocks = torn.len() / 512;
    for _ in 0..rng.below(4) {
        if blocks > 0 {
            let at = rng.below(blocks as u64) as usize * 512;
            torn[at..at + 512].fill(0);
        }
    }
    torn
}

#[test]
fn an_installation_that_was_cut_short_is_begun_anew() {
    let shop = shop();
    let standby = Standby::of(&shop);
    let folder = standby.path("ledger").parent().unwrap().to_owned();
    fs::create_dir_all(&folder).unwrap();
    let draft = folder.join(".ledger.db.installing");
    for length in [0, 1, 4096, 100_000] {
        fs::write(&draft, vec![1; length]).unwrap();
        let _ = fs::remove_file(standby.path("ledger"));
        standby.once(&shop).unwrap();
        standby.assert_equals(&shop);
        assert!(!draft.exists());
    }
}

#[test]
fn a_file_with_a_new_page_size_can_be_read_by_whom_the_old_one_could() {
    use std::os::unix::fs::PermissionsExt;
    let mut shop = shop();
    let standby = Standby::of(&shop);
    standby.once(&shop).unwrap();
    fs::set_permissions(standby.path("ledger"), fs::Permissions::from_mode(0o640)).unwrap();
    shop.replace(0, 8192);
    shop.flush();
    standby.once(&shop).unwrap();
    standby.assert_equals(&shop);
    assert_eq!(fs::metadata(standby.path("ledger")).unwrap().permissions().mode() & 0o777, 0o640);
}

#[test]
fn bytes_written_past_sqlite_are_found_by_the_next_change_and_repaired() {
    use std::os::unix::fs::FileExt;
    let mut shop = shop();
    let standby = Standby::of(&shop);
    let running = standby.start(&shop);
    running.until_applied(shop.last());
    // Open until the end: closing it would drop the locks that SQLite holds in this process.
    let path = standby.path("ledger");
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(b"tamper", 3 * 4096 + 100).unwrap();
    shop.databases[0].source.insert(1);
    let seq = shop.flush();
    let snapshot = running.until_applied(seq);
    assert_eq!(status(&snapshot, "ledger").unwrap().heals, 1, "{snapshot:#?}");
    running.stop().unwrap();
    standby.assert_equals(&shop);
    assert!(evidence(&standby).iter().any(|folder| folder.join("find.json").exists()));
}
