//! Readers of the standby, in other processes and with other SQLites, while segments are applied and the follower is
//! killed again and again: nothing torn, nothing that goes backwards, nothing stale for ever, and never a lock to wait for.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use e2e::{Fleet, History, Ledger, Reading, Rng, Sqlite, Standby, alone, scaled, shared};
use serde_json::{Value, json};

/// Longest read accepted. Readers wait for no lock, so what is left is reading 261 rows, and SQLite's own tries to find a
/// read mark, which it gives up after 10 s: a wait for marks stays above this, a busy machine below.
const READ_MAX_MS: u64 = 2_000;

/// No lock of the follower ever stood in a reader's way, however short, and none of its reads took long.
fn assert_never_held_up(report: &Value) {
    assert_eq!(report["busy"], 0, "a reader met a lock: {report}");
    assert!(report["slowest_ms"].as_u64() < Some(READ_MAX_MS), "a slow read: {report}");
}

/// Every kind of reader, in the order in which they are to be stopped. One opens and closes the file all the time. The
/// others open it before and close it after, for a process that closes a database asks whether it is the last, and an
/// older SQLite locks out whoever opens it at that instant.
fn start_readers(database: &Path) -> [Ledger; 3] {
    let keeps_open = |reading| {
        let mut reader = Ledger::read(database, reading);
        assert!(reader.sees(1));
        reader
    };
    let (warm, long) = (keeps_open(Reading::Warm), keeps_open(Reading::Long));
    [Ledger::read(database, Reading::Fresh), warm, long]
}

/// The report of a reader that was to see everything up to `commits`.
fn report(mut reader: Ledger, commits: u64) -> Value {
    let is_fresh = reader.sees(commits);
    let report = reader.stop();
    println!("{report}");
    assert!(report.get("wrong").is_none(), "a reader saw something wrong: {report}");
    assert!(is_fresh, "a reader never saw commit {commits}: {report}");
    report
}

/// Lets the follower live for a random moment, then kills it, again and again.
fn kill_followers(standby: &Standby, rng: &mut Rng, kills: u64) {
    for _ in 0..kills {
        let follower = standby.follow();
        std::thread::sleep(Duration::from_millis(60) + rng.moment(Duration::from_millis(500)));
        follower.kill();
    }
}

/// Every kind of reader, on a database of every kind of change.
#[test]
fn readers_see_whole_states_in_order_whatever_moment_the_follower_is_killed() {
    let _turn = alone();
    let mut rng = Rng::seeded("readers");
    let fleet = Fleet::new("readers", &["calm", "wild"]).sync_interval("10ms");
    let standby = Standby::of(&fleet);
    for name in fleet.names() {
        Ledger::commit(&fleet.db(name), 1);
    }
    let shipper = fleet.ship();
    for name in fleet.names() {
        fleet.await_shipped(name);
    }
    standby.catch_up();
    let readers = ["calm", "wild"].map(|name| start_readers(&standby.db(name)));
    let writers = [("calm", false), ("wild", true)].map(|(name, turmoil)| {
        let seed = rng.below(1 << 30);
        let options = json!({"rate": 150, "seed": seed, "turmoil": turmoil});
        (name, Ledger::write(&fleet.db(name), &options))
    });
    kill_followers(&standby, &mut rng, scaled(15, 500));
    while History::last_of(&fleet.store()).is_some_and(|last| last.get() < scaled(50, 10_000)) {
        kill_followers(&standby, &mut rng, 1);
    }
    let follower = standby.follow();
    for ((name, writer), readers) in writers.into_iter().zip(readers) {
        let written = writer.stop();
        println!("{name}: {written}");
        let commits = written["commits"].as_u64().expect("a number");
        for report in readers.map(|reader| report(reader, commits)) {
            assert!(
                report["states"].as_u64() > Some(2),
                "{name}: it saw hardly anything: {report}"
            );
            assert_never_held_up(&report);
        }
    }
    standby.await_equal(&fleet);
    let status = standby.status();
    println!("{} log objects", status["seq"]["applied"]);
    assert_eq!(follower.terminate(), 0);
    fleet.finish(shipper);
    standby.assert_equal(&fleet);
}

/// Old and new SQLites beside each other on one database, each of them on one connection throughout, and each in its turn
/// on ever new ones. The versions that take part are printed; none of them knows the number in the read-only mark.
#[test]
fn every_version_of_sqlite_reads_whole_states_in_order() {
    let _turn = alone();
    let mut rng = Rng::seeded("versions");
    let fleet = Fleet::new("versions", &["a"]).sync_interval("10ms");
    let standby = Standby::of(&fleet);
    Ledger::commit(&fleet.db("a"), 1);
    let shipper = fleet.ship();
    fleet.await_shipped("a");
    standby.catch_up();
    let options = json!({"rate": 100, "seed": rng.below(1 << 30), "turmoil": true});
    let writer = Ledger::write(&fleet.db("a"), &options);

    let sqlites = Sqlite::all();
    let reader = |sqlite, reading| {
        let mut reader = Ledger::read_by(sqlite, &standby.db("a"), reading);
        assert!(reader.sees(1), "{sqlite:?} does not read: {}", reader.report());
        reader
    };
    let warm: Vec<_> = sqlites.iter().map(|sqlite| reader(sqlite, Reading::Warm)).collect();
    let mut reports = Vec::new();
    for sqlite in &sqlites {
        let fresh = reader(sqlite, Reading::Fresh);
        kill_followers(&standby, &mut rng, scaled(2, 40));
        reports.push(report(fresh, 1));
    }
    let follower = standby.follow();
    let commits = writer.stop()["commits"].as_u64().expect("a number");
    reports.extend(warm.into_iter().map(|reader| report(reader, commits)));
    let versions: BTreeSet<_> = reports.iter().map(|report| report["sqlite"].to_string()).collect();
    println!("versions: {versions:?}");
    assert!(
        versions.len() >= 3,
        "too few versions of SQLite (ci/sqlites fetches them): {versions:?}"
    );
    for report in &reports {
        assert!(report["reads"].as_u64() > Some(10), "it hardly read: {report}");
        assert_never_held_up(report);
    }
    standby.await_equal(&fleet);
    assert_eq!(follower.terminate(), 0);
    fleet.finish(shipper);
}

/// A reader that keeps one transaction open while far more is written than the database is large.
#[test]
fn a_reader_of_one_long_transaction_neither_stops_the_follower_nor_sees_it_at_work() {
    let _turn = shared();
    let fleet = Fleet::new("long-reader", &["a"]).sync_interval("20ms");
    let standby = Standby::of(&fleet);
    let commits = Ledger::commit(&fleet.db("a"), 5);
    let shipper = fleet.ship();
    fleet.await_shipped("a");
    let follower = standby.follow();
    standby.await_equal(&fleet);
    let mut reader = Ledger::read_with(&standby.db("a"), Reading::Long, Duration::from_secs(3_600));
    assert!(reader.sees(commits));
    let mut witness = Ledger::read(&standby.db("a"), Reading::Fresh);
    assert!(witness.sees(commits));

    // 40 kB a commit: 40 MB in the short form, 520 MB in ten minutes in the long one.
    let (commits, seconds) = (scaled(1_000, 13_000), scaled(4, 600));
    let options =
        json!({"commits": commits, "bytes": 40_000, "rate": commits / seconds, "keep": 50});
    let written = Ledger::write(&fleet.db("a"), &options).finish();
    let commits = written["commits"].as_u64().expect("a number");
    assert!(witness.sees(commits), "the follower did not go on beside the long reader");
    let witnessed = witness.stop();
    standby.await_equal(&fleet);
    let report = reader.stop();
    println!("{written}\n{report}\n{witnessed}");
    for report in [&report, &witnessed] {
        assert!(report.get("wrong").is_none(), "{report}");
        assert_never_held_up(report);
    }
    assert!(report["reads"].as_u64() > Some(10), "it did not read: {report}");
    assert_eq!(follower.terminate(), 0);
    fleet.finish(shipper);
}
