//! What happens every day.

use super::*;

#[test]
fn a_standby_is_made_and_kept_up_run_by_run() {
    let mut shop = shop();
    shop.create("scratch", "p2", 4096);
    shop.flush();
    let standby = Standby::of(&shop);
    let snapshot = standby.once(&shop).unwrap();
    standby.assert_equals(&shop);
    assert_eq!(snapshot.applied, Some(shop.last()));
    assert_eq!(snapshot.databases.len(), 2, "the tier of the third is not followed");
    assert!(!standby.path("scratch").exists());
    for _ in 0..15 {
        // Several objects at once are one transaction; none at all is fine.
        for _ in 0..shop.databases[0].source.rng.below(5) {
            change(&mut shop);
        }
        standby.once(&shop).unwrap();
        standby.assert_equals(&shop);
    }
}

#[test]
fn every_object_is_applied_while_it_runs() {
    let mut shop = shop();
    let standby = Standby::of(&shop);
    let running = standby.start(&shop);
    for _ in 0..60 {
        let seq = change(&mut shop);
        let snapshot = running.until_applied(seq);
        assert!(snapshot.databases.iter().all(|database| database.state == Condition::Live));
        assert_eq!(
            Image::of(&standby.path("ledger")).checksum(),
            shop.databases[0].shipped.as_ref().unwrap().checksum()
        );
    }
    let snapshot = running.snapshot();
    assert!(snapshot.databases.iter().all(|database| database.apply_lag_seconds == Some(0.0)));
    assert!(snapshot.databases.iter().all(|database| database.heals == 0), "{snapshot:#?}");
    assert_eq!(snapshot.store.reachable, Some(true));
    running.stop().unwrap();
    standby.assert_equals(&shop);
}

#[test]
fn it_waits_for_a_store_that_is_still_empty() {
    let folder = tempfile::tempdir().unwrap();
    let empty: Arc<dyn Store> = Arc::new(store::MemoryStore::default());
    let path = folder.path().join("walapply.toml");
    std::fs::write(&path, configuration(folder.path(), Path::new("/nowhere"))).unwrap();
    let standby = Standby { config: config::load(&path).unwrap(), folder };
    standby.once_with(Arc::clone(&empty)).unwrap();
    let running = standby.start_with(empty);
    thread::sleep(Duration::from_millis(200));
    assert!(running.snapshot().databases.is_empty());
    running.stop().unwrap();
}

#[test]
fn another_fleets_store_is_refused() {
    let shop = shop();
    let mut standby = Standby::of(&shop);
    standby.config.fleet = segment::Name::parse("other").unwrap();
    let failure = standby.once(&shop).unwrap_err();
    assert_eq!(failure.exit, ExitCode::Usage, "{failure}");
}

#[test]
fn two_followers_do_not_share_a_folder() {
    let shop = shop();
    let standby = Standby::of(&shop);
    let running = standby.start(&shop);
    running.until_applied(shop.last());
    let mut other = Standby::of(&shop);
    other.config.standby = standby.config.standby.clone();
    let failure = other.once(&shop).unwrap_err();
    assert!(failure.to_string().contains("followed by another process"), "{failure}");
    running.stop().unwrap();
    other.once(&shop).unwrap();
}

#[test]
fn all_local_state_may_be_lost_or_stale() {
    let mut shop = shop();
    let standby = Standby::of(&shop);
    standby.once(&shop).unwrap();
    let saved = standby.state_dir().join("follow.json");
    let old = std::fs::read(&saved).unwrap();
    let losses: [&dyn Fn(); 5] = [
        &|| std::fs::remove_dir_all(standby.state_dir()).unwrap(),
        &|| std::fs::write(&saved, &old).unwrap(),
        &|| std::fs::write(&saved, b"{\"fleet\":").unwrap(),
        &|| std::fs::remove_dir_all(standby.state_dir().join("replicas")).unwrap(),
        &|| std::fs::write(standby.state_dir().join("replicas/ledger.json"), b"garbage").unwrap(),
    ];
    for (number, lose) in losses.into_iter().enumerate() {
        change(&mut shop);
        standby.once(&shop).unwrap();
        change(&mut shop);
        lose();
        let snapshot = standby.once(&shop).unwrap();
        standby.assert_equals(&shop);
        let heals: u64 = snapshot.databases.iter().map(|database| database.heals).sum();
        // Only without a position is a file compared with the end of the log alone.
        assert!(heals == 0 || matches!(number, 0 | 2), "{number}: {snapshot:#?}");
    }
}

/// Known from what is read, after a restart from what was kept, and at a first start from what the log says.
#[test]
fn the_age_of_the_newest_commit_is_told() {
    let mut shop = shop();
    let standby = Standby::of(&shop);
    standby.once(&shop).unwrap();
    standby.once(&shop).unwrap();
    shop.databases[0].source.mutate();
    shop.flush();
    for standby in [standby, Standby::of(&shop)] {
        let state = standby.state_after(Arc::clone(&shop.store)).unwrap();
        // The made-up stamps of the log may lie ahead of the real clock.
        let snapshot = state.snapshot(SystemClock.now().offset(365 * 86_400_000));
        let age = |name| status(&snapshot, name).unwrap().committed_age_seconds.unwrap();
        let apart = age("notes") - age("ledger");
        assert!((apart - 1.0).abs() < 1e-6, "{apart} s instead of one flush");
    }
}

#[test]
fn an_older_file_is_replayed_from_where_its_content_stands() {
    let mut shop = shop();
    let standby = Standby::of(&shop);
    standby.once(&shop).unwrap();
    let saved = standby.state_dir().join("follow.json");
    let position = std::fs::read(&saved).unwrap();
    let mut older = Vec::new();
    for _ in 0..6 {
        change(&mut shop);
        standby.once(&shop).unwrap();
        older.push(std::fs::read(standby.path("ledger")).unwrap());
    }
    for copy in older {
        std::fs::write(standby.path("ledger"), copy).unwrap();
        std::fs::write(&saved, &position).unwrap();
        let snapshot = standby.once(&shop).unwrap();
        standby.assert_equals(&shop);
        assert_eq!(status(&snapshot, "ledger").unwrap().heals, 0);
    }
}

#[test]
fn large_changes_come_from_side_objects() {
    let mut shop = Shop::open();
    shop.part_pages = 8;
    shop.create("ledger", "p0", 4096);
    shop.flush();
    let standby = Standby::of(&shop);
    let running = standby.start(&shop);
    for round in 0..10 {
        shop.databases[0].source.grow(200_000);
        if round % 3 == 0 {
            shop.databases[0]
                .source
                .connection
                .execute_batch("DELETE FROM data WHERE length(b)>20000; VACUUM")
                .unwrap();
        }
        let seq = shop.flush();
        running.until_applied(seq);
    }
    assert_eq!(running.snapshot().databases[0].heals, 0);
    running.stop().unwrap();
    standby.assert_equals(&shop);
}

#[test]
fn databases_without_content_are_empty_files_that_fill_in_place() {
    let mut shop = shop();
    shop.announce(DbId::from_bytes([3; 8]), "later", "p0", DatabaseState::Missing);
    let standby = Standby::of(&shop);
    let running = standby.start(&shop);
    let missing = running.until_condition("later", Condition::Missing);
    assert_eq!(missing.detail, None, "it never had any content");
    assert_eq!(std::fs::metadata(standby.path("later")).unwrap().len(), 0);
    let reader = Connection::open(standby.path("later")).unwrap();
    let tables = || -> i64 {
        reader.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).unwrap()
    };
    assert_eq!(tables(), 0);
    assert_eq!(shop.create("later", "p0", 2048), 2);
    let seq = shop.flush();
    running.until_applied(seq);
    running.until_condition("later", Condition::Live);
    assert!(tables() > 0, "a reader that was there before sees the content");
    running.stop().unwrap();
    standby.assert_equals(&shop);
}

/// The same words with and without a restart, and on a standby that never saw the content.
#[test]
fn content_that_goes_away_on_the_primary_stays_here_and_is_told() {
    for (state, condition) in
        [(DatabaseState::Empty, Condition::Empty), (DatabaseState::Missing, Condition::Missing)]
    {
        let mut shop = shop();
        let standby = Standby::of(&shop);
        let running = standby.start(&shop);
        running.until_applied(shop.last());
        shop.databases[0].source.mutate();
        let changed = shop.flush();
        shop.announce(shop.databases[0].id, "ledger", "p0", state);
        let gone = shop.last();
        change_notes(&mut shop);
        running.until_applied(shop.last());
        let told = running.until_condition("ledger", condition);
        assert_eq!(told.applied_seq, Some(changed));
        let detail = told.detail.clone().unwrap();
        assert!(
            detail.contains(&format!("since log object {gone}: the file here keeps")),
            "{detail}"
        );
        running.stop().unwrap();
        standby.assert_equals(&shop);

        let plain = |told: &DatabaseStatus| {
            let words = (told.state, told.detail.clone(), told.applied_seq, told.applied_txid);
            (words, told.pages, told.bytes, told.apply_lag_seconds)
        };
        let saved = standby.once(&shop).unwrap();
        assert_eq!(plain(status(&saved, "ledger").unwrap()), plain(&told), "after a restart");
        std::fs::remove_file(standby.state_dir().join("follow.json")).unwrap();
        let found = standby.once(&shop).unwrap();
        assert_eq!(plain(status(&found, "ledger").unwrap()), plain(&told), "without a position");
        standby.assert_equals(&shop);

        let fresh = Standby::of(&shop);
        let snapshot = fresh.once(&shop).unwrap();
        let (told, path) = (status(&snapshot, "ledger").unwrap(), fresh.path("ledger"));
        assert_eq!((told.state, std::fs::metadata(path).unwrap().len()), (condition, 0));
        let detail = told.detail.clone().unwrap();
        assert!(
            detail.contains(&format!("since log object {gone}: `walapply restore`")),
            "{detail}"
        );

        let running = standby.start(&shop);
        running.until_condition("ledger", condition);
        change(&mut shop);
        running.until_condition("ledger", Condition::Live);
        running.until_applied(shop.last());
        running.stop().unwrap();
        standby.assert_equals(&shop);
        fresh.once(&shop).unwrap();
        fresh.assert_equals(&shop);
    }
}

fn change_notes(shop: &mut Shop) {
    shop.databases[1].source.mutate();
    shop.flush();
}

#[test]
fn a_new_life_is_a_change_for_readers() {
    let mut shop = shop();
    let standby = Standby::of(&shop);
    let running = standby.start(&shop);
    running.until_applied(shop.last());
    let reader = Connection::open(standby.path("ledger")).unwrap();
    let steps = |reader: &Connection| -> i64 {
        reader.query_row("SELECT n FROM invariant", [], |row| row.get(0)).unwrap()
    };
    let _ = steps(&reader);
    shop.replace(0, 4096);
    shop.databases[0].source.connection.execute_batch("UPDATE invariant SET n=4711").unwrap();
    let seq = shop.flush();
    running.until_applied(seq);
    assert_eq!(steps(&reader), 4711);
    running.stop().unwrap();
    standby.assert_equals(&shop);
}

#[test]
fn a_new_page_size_waits_for_readers_and_says_so() {
    let mut shop = shop();
    let standby = Standby::of(&shop);
    let running = standby.start(&shop);
    running.until_applied(shop.last());
    let former = shop.databases[0].shipped.clone().unwrap();
    let reader = Connection::open(standby.path("ledger")).unwrap();
    let rows = |reader: &Connection| -> i64 {
        reader.query_row("SELECT count(*) FROM data", [], |row| row.get(0)).unwrap()
    };
    let before = rows(&reader);
    shop.replace(0, 8192);
    shop.flush();
    let waiting = running.until_condition("ledger", Condition::Waiting);
    assert!(waiting.detail.unwrap().contains("another process holds the lock"));
    // The old cut is served on, and the other database goes on.
    assert_eq!(rows(&reader), before);
    assert_eq!(Image::of(&standby.path("ledger")).checksum(), former.checksum());
    change(&mut shop);
    running.until("the other database goes on", |snapshot| {
        status(snapshot, "notes").unwrap().applied_seq == Some(shop.last())
    });
    drop(reader);
    running.until_applied(shop.last());
    running.stop().unwrap();
    standby.assert_equals(&shop);
}

#[test]
fn a_renamed_database_keeps_its_file_and_a_retired_one_stays_behind() {
    let mut shop = shop();
    let standby = Standby::of(&shop);
    let running = standby.start(&shop);
    running.until_applied(shop.last());
    let name = segment::Name::parse("general-ledger").unwrap();
    shop.append(
        vec![segment::Record::Renamed { db: shop.databases[0].id, name: name.clone() }],
        Vec::new(),
    );
    shop.databases[0].name = name;
    running.until_condition("general-ledger", Condition::Live);
    assert!(!standby.path("ledger").exists());
    let seq = change(&mut shop);
    running.until_applied(seq);
    let retired = shop.databases[1].id;
    shop.append(vec![segment::Record::Retired { db: retired }], Vec::new());
    running.until("one database is left", |snapshot| snapshot.databases.len() == 1);
    assert!(standby.path("notes").exists());
    running.stop().unwrap();
    standby.assert_equals(&shop);
    // A former name that nobody remembers.
    std::fs::copy(standby.path("general-ledger"), standby.path("ledger")).unwrap();
    let left = standby.once(&shop).unwrap().left_behind;
    let told: Vec<&str> = left.iter().map(|left| left.reason.as_str()).collect();
    let of_none = "the fleet has no database of this name: the file ledger.db here stays as it was";
    assert_eq!(told, [of_none, "retired on the primary: the file notes.db here stays as it was"]);
}

/// A misspelt tier was missing on the standby, without a word, until the day it was needed.
#[test]
fn a_tier_that_the_fleet_does_not_have_is_told() {
    let shop = shop();
    let mut standby = Standby::of(&shop);
    let settings = standby.config.standby.as_mut().unwrap();
    settings.tiers = Some(vec!["p0".into(), "p00".into()]);
    let failure = standby.once(&shop).unwrap_err();
    assert_eq!(failure.exit, ExitCode::Failed);
    let told = "[standby] tiers names p00, which the fleet does not have";
    assert!(failure.to_string().contains(told), "{failure}");
    standby.assert_equals(&shop);
    let running = standby.start(&shop);
    running.until_applied(shop.last());
    assert!(running.snapshot().notice.unwrap().contains(told));
    running.stop().unwrap();
}

/// A script must not take half of it for all.
#[test]
fn a_run_that_is_stopped_before_its_end_says_so() {
    let shop = shop();
    let standby = Standby::of(&shop);
    let (store, stop) = (Arc::clone(&shop.store), Arc::new(AtomicBool::new(true)));
    let once = FollowOptions { once: true };
    let failure = follow(&standby.config, store, once, stop, Arc::default()).unwrap_err();
    assert_eq!(failure.exit, ExitCode::Failed);
    assert!(failure.to_string().contains("before everything was applied"), "{failure}");
    standby.once(&shop).unwrap();
    standby.assert_equals(&shop);
}

/// Old content that nobody follows must not be taken for the newest one without a word.
#[test]
fn a_database_that_moves_to_a_tier_that_is_not_followed_is_told_of() {
    let mut shop = shop();
    let standby = Standby::of(&shop);
    let snapshot = standby.once(&shop).unwrap();
    assert_eq!((snapshot.databases.len(), snapshot.left_behind), (2, Vec::new()));
    let notes = shop.databases[1].id;
    shop.announce(notes, "notes", "p2", DatabaseState::Live);
    let snapshot = standby.once(&shop).unwrap();
    assert_eq!(snapshot.databases.len(), 1);
    let [left] = &snapshot.left_behind[..] else { panic!("{snapshot:?}") };
    assert!(left.reason.contains("tier p2 is not followed here: the file notes.db"), "{left:?}");
    assert!(standby.path("notes").exists());
    shop.announce(notes, "notes", "p0", DatabaseState::Live);
    let snapshot = standby.once(&shop).unwrap();
    assert_eq!((snapshot.databases.len(), snapshot.left_behind), (2, Vec::new()), "it is back");
}

#[test]
fn two_names_that_differ_in_case_do_not_share_a_file() {
    let mut shop = shop();
    shop.announce(DbId::from_bytes([9; 8]), "LEDGER", "p0", DatabaseState::Empty);
    let standby = Standby::of(&shop);
    let failure = standby.once(&shop).unwrap_err();
    assert!(failure.to_string().contains("LEDGER (0909090909090909): another"), "{failure}");
    assert!(!standby.path("LEDGER").exists());
    standby.assert_equals(&shop);
}
