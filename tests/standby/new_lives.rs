//! The primary's file becomes another one, with another page size or another life, while the standby is read.

use std::path::Path;
use std::time::Duration;

use e2e::{App, Fleet, Ledger, Reading, Rng, Shipper, Standby, scaled, shared, until};
use serde_json::json;

/// Writes so many commits into a new database of this page size.
fn fill(database: &Path, page_size: u32, commits: u64) -> u64 {
    let options = json!({"commits": commits, "page_size": page_size});
    let report = Ledger::write(database, &options).finish();
    report["commits"].as_u64().expect("a number")
}

/// A reader that never closes its connection keeps the old state, whole; the follower says that it waits; the other
/// database goes on; as soon as the reader is gone the new page size is there.
#[test]
fn a_new_page_size_waits_for_readers_who_keep_the_old_state() {
    let _turn = shared();
    let fleet = Fleet::new("page-size", &["a", "b"]).sync_interval("20ms");
    let standby = Standby::of(&fleet);
    for name in fleet.names() {
        fill(&fleet.db(name), 4096, 30);
    }
    let shipper = fleet.ship();
    let follower = standby.follow();
    standby.await_equal(&fleet);
    let mut reader = Ledger::read(&standby.db("a"), Reading::Warm);
    assert!(reader.sees(30));

    let shipper = change_page_size(&fleet, shipper, 8192);
    fill(&fleet.db("a"), 8192, 30);
    let commits = fill(&fleet.db("b"), 4096, 30);
    fleet.await_shipped("a");
    let told = standby.await_state("a", "waiting");
    println!("{}", told["detail"]);
    let mut other = Ledger::read(&standby.db("b"), Reading::Fresh);
    assert!(other.sees(commits), "b is held up by a");
    println!("{}", other.stop());
    let report = reader.stop();
    assert_eq!((report.get("wrong"), &report["commits"]), (None, &json!(30)), "{report}");

    standby.await_state("a", "live");
    standby.await_equal(&fleet);
    let mut reader = Ledger::read(&standby.db("a"), Reading::Fresh);
    assert!(reader.sees(60), "{}", reader.stop());
    assert_eq!(follower.terminate(), 0);
    fleet.finish(shipper);
}

/// Readers that come and go without a pause see the old state or the new one, whichever page sizes follow on each other.
#[test]
fn page_sizes_change_under_readers_that_come_and_go() {
    let _turn = shared();
    let fleet = Fleet::new("page-sizes", &["a"]).sync_interval("20ms");
    let standby = Standby::of(&fleet);
    fill(&fleet.db("a"), 512, 20);
    let mut shipper = fleet.ship();
    let follower = standby.follow();
    standby.await_equal(&fleet);
    let mut readers = [(); 2].map(|()| Ledger::read(&standby.db("a"), Reading::Fresh));
    let mut commits = 20;
    for page_size in [65_536, 1_024, 4_096, 512] {
        shipper = change_page_size(&fleet, shipper, page_size);
        commits = fill(&fleet.db("a"), 4_096, 20);
        fleet.await_shipped("a");
        for reader in &mut readers {
            assert!(reader.sees(commits), "page size {page_size}: {}", reader.report());
        }
        standby.assert_mirrors(&fleet.db("a"), "a");
    }
    assert_eq!(commits, 100);
    for reader in readers {
        let report = reader.stop();
        println!("{report}");
        assert!(report.get("wrong").is_none(), "{report}");
    }
    standby.await_equal(&fleet);
    assert_eq!(follower.terminate(), 0);
    fleet.finish(shipper);
}

/// Wherever the exchange of the content is cut short, what readers see is the old state or the new one, and the next
/// follower goes on from there.
#[test]
fn a_follower_killed_while_the_page_size_changes_leaves_a_whole_state() {
    let _turn = shared();
    let mut rng = Rng::seeded("page-size-killed");
    let fleet = Fleet::new("page-size-killed", &["a"]).sync_interval("20ms");
    let standby = Standby::of(&fleet);
    let options = json!({"commits": 150, "page_size": 1024, "bytes": 150_000});
    Ledger::write(&fleet.db("a"), &options).finish();
    let mut shipper = fleet.ship();
    fleet.await_shipped("a");
    standby.catch_up();
    let mut readers = [(); 2].map(|()| Ledger::read(&standby.db("a"), Reading::Fresh));
    let mut cut_short = 0;
    for page_size in
        [8_192, 512, 4_096, 1_024].repeat(usize::try_from(scaled(1, 20)).expect("small"))
    {
        shipper = change_page_size(&fleet, shipper, page_size);
        let commits = fill(&fleet.db("a"), 4_096, 1);
        fleet.await_shipped("a");
        let follower = standby.follow();
        let journal = standby.databases().join("a.db-journal");
        until("an exchange", || journal.exists().then_some(()));
        std::thread::sleep(rng.moment(Duration::from_millis(200)));
        follower.kill();
        cut_short += u64::from(journal.exists());
        let follower = standby.follow();
        for reader in &mut readers {
            assert!(reader.sees(commits), "page size {page_size}: {}", reader.report());
        }
        standby.await_equal(&fleet);
        assert_eq!(follower.terminate(), 0);
    }
    println!("{cut_short} exchanges cut short");
    for reader in readers {
        let report = reader.stop();
        println!("{report}");
        assert!(report.get("wrong").is_none(), "{report}");
    }
    fleet.finish(shipper);
}

/// Deleted and made anew, replaced by rename, copied over: each is one change for a reader that keeps its connection.
#[test]
fn a_new_life_is_one_change_for_a_reader_that_keeps_its_connection() {
    let _turn = shared();
    let fleet = Fleet::new("lives", &["a"]).sync_interval("20ms");
    let standby = Standby::of(&fleet);
    fill(&fleet.db("a"), 4096, 10);
    let shipper = fleet.ship();
    let follower = standby.follow();
    standby.await_equal(&fleet);
    let mut readers = [Reading::Warm, Reading::Fresh, Reading::Long]
        .map(|reading| Ledger::read(&standby.db("a"), reading));
    for round in 1..=3_u64 {
        // Each life has more commits than the one before, so that readers see it go forward.
        let next = fleet.scratch.file("next.db");
        let commits = fill(&next, 4096, 10 + 20 * round);
        App::open(&next).sql("PRAGMA wal_checkpoint(TRUNCATE)");
        for ending in ["-wal", "-shm"] {
            let _ = std::fs::remove_file(format!("{}{ending}", next.display()));
            let _ = std::fs::remove_file(format!("{}{ending}", fleet.db("a").display()));
        }
        std::fs::rename(&next, fleet.db("a")).expect("renamed");
        fleet.await_shipped("a");
        for reader in &mut readers {
            assert!(reader.sees(commits), "life {round}");
        }
        standby.assert_mirrors(&fleet.db("a"), "a");
    }
    for reader in readers {
        let report = reader.stop();
        println!("{report}");
        assert!(report.get("wrong").is_none(), "{report}");
    }
    assert!(fleet.history().lives("a") >= 4);
    standby.await_equal(&fleet);
    assert_eq!(follower.terminate(), 0);
    fleet.finish(shipper);
}

/// Changes the page size as an application must: outside WAL mode, which it cannot leave while a shipper is attached.
fn change_page_size(fleet: &Fleet, shipper: Shipper, page_size: i64) -> Shipper {
    assert_eq!(shipper.terminate(), 0);
    let mut app = App::open(&fleet.db("a"));
    app.sql("PRAGMA journal_mode=DELETE");
    app.sql(&format!("PRAGMA page_size={page_size}; VACUUM; PRAGMA journal_mode=WAL"));
    assert_eq!(app.number("PRAGMA page_size"), page_size);
    fleet.ship()
}
