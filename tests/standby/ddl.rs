//! Everything that changes a schema, applied by one follower that is never restarted.

use e2e::{Fleet, History, Rng, Standby, Talk, scaled, shared, until};
use serde_json::json;

/// A connection of the follower that kept a stale schema, or a schema that diverted its writes, would show here: as an
/// error, as a page that differs, or as a rebuild that should not have been needed.
#[test]
fn a_storm_of_schema_changes_is_applied_by_one_follower_without_a_rebuild() {
    let _turn = shared();
    let mut rng = Rng::seeded("ddl");
    let fleet = Fleet::new("ddl", &["a"]).sync_interval("10ms");
    let standby = Standby::of(&fleet);
    let (path, options) = (fleet.db("a"), json!({"seed": rng.below(1 << 30)}).to_string());
    let mut storm = Talk::start("storm.py", &[path.as_ref(), options.as_ref()]);
    assert_eq!(storm.hear(), "0");
    let shipper = fleet.ship();
    let follower = standby.follow();
    let wanted = usize::try_from(scaled(250, 10_000)).expect("a count");
    let applies = || follower.lines_with(&["applied", "db=a"]).count();
    let mut compared = 0;
    while applies() < wanted {
        storm.say("0.7");
        let statements: u64 = storm.hear().parse().expect("the storm goes on");
        fleet.await_shipped("a");
        standby.await_applied(History::last_of(&fleet.store()).expect("a log"));
        standby.assert_mirrors(&fleet.db("a"), "a");
        compared += 1;
        assert!(statements > 0, "no statement fits");
    }
    println!("{} applies, compared {compared} times", applies());
    let status = until("the standby's status", || standby.status_of("a"));
    assert_eq!((&status["state"], &status["heals"]), (&json!("live"), &json!(0)), "{status}");
    assert_eq!(follower.terminate(), 0);
    fleet.finish(shipper);
}
