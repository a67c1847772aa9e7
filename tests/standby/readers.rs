//! Readers of the standby, in other processes and with another SQLite, while segments are applied and the follower is
//! killed again and again: nothing torn, nothing that goes backwards, nothing stale for ever.

use std::time::Duration;

use e2e::{Fleet, Ledger, Program, Reading, Rng, Standby, alone, scale, shared};
use serde_json::{Value, json};

/// Longest read accepted: far above what is seen, so that a busy machine does not matter.
const READ_MAX_MS: u64 = 5_000;

/// Reports of readers that were to see everything up to `commits`.
fn reports(readers: Vec<Ledger>, commits: u64) -> Vec<Value> {
    let finish = |mut reader: Ledger| {
        let is_fresh = reader.sees(commits);
        let report = reader.stop();
        println!("{report}");
        assert!(report.get("wrong").is_none(), "a reader saw something wrong: {report}");
        assert!(is_fresh, "a reader never saw commit {commits}: {report}");
        report
    };
    readers.into_iter().map(finish).collect()
}

/// Lets the follower live for a random moment, then kills it, again and again; one is left running.
fn killed_followers(standby: &Standby, rng: &mut Rng, kills: u64) -> Program {
    for _ in 0..kills {
        let follower = standby.follow();
        std::thread::sleep(Duration::from_millis(60) + rng.moment(Duration::from_millis(500)));
        follower.kill();
    }
    standby.follow()
}

/// Every kind of reader, on a database of every kind of change.
#[test]
fn readers_see_whole_states_in_order_whatever_moment_the_follower_is_killed() {
    let _turn = alone();
    let mut rng = Rng::seeded("readers");
    let fleet = Fleet::new("readers", &["calm", "wild"]).sync_interval("10ms");
    let standby = Standby::of(&fleet);
    let writers = [("calm", false), ("wild", true)].map(|(name, turmoil)| {
        let seed = rng.below(1 << 30);
        let options = json!({"rate": 150, "seed": seed, "turmoil": turmoil});
        (name, Ledger::write(&fleet.db(name), &options))
    });
    let shipper = fleet.ship();
    standby.catch_up();
    let readers = writers.each_ref().map(|(name, _)| {
        Reading::ALL
            .map(|reading| Ledger::read(&standby.db(name), reading))
            .into_iter()
            .collect::<Vec<_>>()
    });
    let follower = killed_followers(&standby, &mut rng, 15 * scale());
    for ((name, writer), readers) in writers.into_iter().zip(readers) {
        let written = writer.stop();
        println!("{name}: {written}");
        for report in reports(readers, written["commits"].as_u64().expect("a number")) {
            assert!(
                report["states"].as_u64() > Some(2),
                "{name}: it saw hardly anything: {report}"
            );
            let is_long = report["kind"] == "long";
            assert!(
                is_long || report["slowest_ms"].as_u64() < Some(READ_MAX_MS),
                "{name}: {report}"
            );
        }
    }
    standby.await_equal(&fleet);
    let status = standby.status();
    println!("{} log objects", status["seq"]["applied"]);
    assert_eq!(follower.terminate(), 0);
    fleet.finish(shipper);
    standby.assert_equal(&fleet);
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
    let reader = Ledger::read_with(&standby.db("a"), Reading::Long, Duration::from_secs(3_600));
    let mut witness = Ledger::read(&standby.db("a"), Reading::Fresh);
    assert!(witness.sees(commits));

    // 40 kB a commit, so about 40 MB in the short form.
    let options = json!({"commits": 1_000 * scale(), "bytes": 40_000, "rate": 300, "keep": 50});
    let written = Ledger::write(&fleet.db("a"), &options).finish();
    let commits = written["commits"].as_u64().expect("a number");
    assert!(witness.sees(commits), "the follower did not go on beside the long reader");
    standby.await_equal(&fleet);
    let report = reader.stop();
    println!("{written}\n{report}\n{}", witness.stop());
    assert!(report.get("wrong").is_none(), "{report}");
    assert!(report["reads"].as_u64() > Some(10), "it did not read: {report}");
    assert_eq!(follower.terminate(), 0);
    fleet.finish(shipper);
}
