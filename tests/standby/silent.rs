//! A follower that was stopped, or is alone: what it says is not a riddle.

use e2e::{Fleet, Ledger, Standby, shared, until};
use rustix::process::Signal;

#[test]
fn a_stopped_follower_is_named_and_the_store_tells_the_rest() {
    let _turn = shared();
    let fleet = Fleet::new("silent", &["a"]);
    Ledger::commit(&fleet.db("a"), 3);
    assert_eq!(fleet.ship_once(), 0);
    let standby = Standby::of(&fleet);
    let follower = standby.follow();
    // The store alone calls the database live too: only a follower knows what is applied.
    until("an answer of the follower", || standby.status()["seq"]["applied"].as_u64());
    follower.signal(Signal::STOP);
    let output = standby.command("status").output().expect("walapply runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let pid = follower.pid();
    let words = format!("the running program (process {pid}) does not answer; its last sign");
    assert!(text.starts_with(&words), "{text}");
    assert!(text.contains(&format!("`kill -CONT {pid}`")), "{text}");
    assert!(text.contains("(as the store says)"), "{text}");
    follower.signal(Signal::CONT);
    until("an answer of its own", || standby.status()["running"].as_bool());
    assert_eq!(follower.terminate(), 0);
}

/// Both sides are started at once, and the standby is first: it waits for the store.
#[test]
fn a_follower_that_is_first_waits_for_the_store() {
    let _turn = shared();
    let fleet = Fleet::new("first", &["a"]);
    let standby = Standby::of(&fleet);
    let mut follower = standby.follow();
    follower.await_line(&["waiting for the store"]);
    let single = Standby::named(&fleet, "single").once();
    assert_eq!(single.status.code(), Some(5), "a single run says so");
    Ledger::commit(&fleet.db("a"), 3);
    assert_eq!(fleet.ship_once(), 0);
    // The store alone also says that it is live.
    standby.await_applied(fleet.history().last());
    standby.assert_equal(&fleet);
    assert_eq!(follower.terminate(), 0);
}
