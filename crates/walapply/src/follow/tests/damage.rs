//! Damage in the store, and a store that does not answer: what it concerns heals or says so, everything else goes on.

use fleet_log::Boundary;
use segment::ObjectName;
use store::{Fault, Faulty, StoreError};

use super::*;

/// Flips a bit in the middle of an object's last bytes.
fn flip(shop: &Shop, object: &ObjectName, from_end: usize) {
    let path = shop.object_path(object);
    let mut bytes = std::fs::read(&path).unwrap();
    let at = bytes.len() - from_end;
    bytes[at] ^= 0x10;
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, bytes).unwrap();
}

#[test]
fn damaged_pages_in_the_log_stop_only_their_databases_until_a_newer_base() {
    let mut shop = shop();
    let standby = Standby::of(&shop);
    standby.once(&shop).unwrap();
    // Only the first database is in the damaged object.
    shop.databases[0].source.mutate();
    let damaged = shop.flush();
    flip(&shop, &ObjectName::log(damaged), 1);
    // A later image of the damaged page would make it unnecessary.
    shop.databases[1].source.mutate();
    let last = shop.flush();
    let running = standby.start(&shop);
    let corrupt = running.until_condition("ledger", Condition::Corrupt);
    assert!(corrupt.detail.unwrap().contains(ObjectName::log(damaged).as_str()));
    running.until("the other goes on", |snapshot| {
        status(snapshot, "notes").unwrap().applied_seq == Some(last)
    });
    assert!(running.snapshot().notice.unwrap().contains("damaged"));
    shop.rebase(0);
    running.until_condition("ledger", Condition::Live);
    running.until_applied(shop.last());
    let seq = change(&mut shop);
    running.until_applied(seq);
    running.stop().unwrap();
    standby.assert_equals(&shop);
}

#[test]
fn a_run_that_cannot_apply_everything_ends_with_the_code_for_corruption() {
    let mut shop = shop();
    let standby = Standby::of(&shop);
    standby.once(&shop).unwrap();
    shop.databases[0].source.mutate();
    let damaged = shop.flush();
    flip(&shop, &ObjectName::log(damaged), 1);
    let failure = standby.once(&shop).unwrap_err();
    assert_eq!(failure.exit, ExitCode::Corrupt, "{failure}");
    assert!(failure.to_string().contains("ledger"), "{failure}");
}

#[test]
fn an_unreadable_object_is_passed_by_databases_that_it_did_not_change() {
    for with_catalogue in [false, true] {
        let mut shop = shop();
        let standby = Standby::of(&shop);
        standby.once(&shop).unwrap();
        shop.databases[0].source.mutate();
        let damaged = shop.flush();
        wreck(&shop, damaged);
        let running = standby.start(&shop);
        // At the end of the log there is nothing to go on with.
        running.until("in trouble", |snapshot| {
            snapshot.store.error.as_ref().is_some_and(|error| error.contains("corrupt"))
        });
        if with_catalogue {
            shop.publish_catalogue();
        }
        shop.databases[1].source.mutate();
        let last = shop.flush();
        running.until("the other goes on", |snapshot| {
            status(snapshot, "notes").unwrap().applied_seq == Some(last)
        });
        assert!(running.snapshot().notice.is_some());
        assert_eq!(status(&running.snapshot(), "notes").unwrap().state, Condition::Live);
        shop.databases[0].source.mutate();
        shop.flush();
        running.until_condition("ledger", Condition::Corrupt);
        shop.rebase(0);
        running.until_condition("ledger", Condition::Live);
        running.until_applied(shop.last());
        running.stop().unwrap();
        standby.assert_equals(&shop);
    }
}

/// A bad sector fails as a store fails that is away for a moment, but for ever.
#[test]
fn an_object_that_can_never_be_read_is_passed() {
    let mut shop = shop();
    let standby = Standby::of(&shop);
    standby.once(&shop).unwrap();
    shop.databases[0].source.mutate();
    let bad = ObjectName::log(shop.flush());
    let name = bad.clone();
    let faulty = Faulty::new(Arc::clone(&shop.store), move |request| {
        let cause = "input/output error".to_owned();
        match request.name == name.as_str() {
            true => Fault::Refuse(StoreError::Transient { what: name.to_string(), cause }),
            false => Fault::Pass,
        }
    });
    shop.databases[1].source.mutate();
    let last = shop.flush();
    let running = standby.start_with(Arc::new(faulty));
    passes_and_heals(running, &standby, &mut shop, last);
}

/// The second database goes on to `last`; the first one, which was in the object that cannot be read, heals from a base.
fn passes_and_heals(running: Running, standby: &Standby, shop: &mut Shop, last: Seq) {
    running.until("the other goes on", |snapshot| {
        status(snapshot, "notes").is_some_and(|notes| notes.applied_seq == Some(last))
    });
    shop.rebase(0);
    running.until_condition("ledger", Condition::Live);
    running.until_applied(shop.last());
    running.stop().unwrap();
    standby.assert_equals(shop);
}

/// Damages the header of a log object: nothing in it can be read.
fn wreck(shop: &Shop, seq: Seq) {
    let object = ObjectName::log(seq);
    let length = std::fs::metadata(shop.object_path(&object)).unwrap().len();
    flip(shop, &object, length as usize - 300);
}

/// The store cannot read such an object, which is no reason to wait for it.
#[test]
fn what_is_no_file_or_too_large_for_an_object_is_passed_like_any_damage() {
    let folder = |path: &Path| std::fs::create_dir(path).unwrap();
    let huge = |path: &Path| std::fs::File::create(path).unwrap().set_len(3 << 30).unwrap();
    let ways: [&dyn Fn(&Path); 2] = [&folder, &huge];
    for put in ways {
        let mut shop = shop();
        let standby = Standby::of(&shop);
        standby.once(&shop).unwrap();
        shop.databases[0].source.mutate();
        let damaged = shop.flush();
        let path = shop.object_path(&ObjectName::log(damaged));
        std::fs::remove_file(&path).unwrap();
        put(&path);
        shop.publish_catalogue();
        shop.databases[1].source.mutate();
        let last = shop.flush();
        let running = standby.start(&shop);
        passes_and_heals(running, &standby, &mut shop, last);
    }
}

/// Later objects lead past a damaged one; where there is none, a person must know what to do.
#[test]
fn a_newest_object_that_is_damaged_is_told_with_what_to_do() {
    let mut shop = shop();
    let standby = Standby::of(&shop);
    standby.once(&shop).unwrap();
    let last = change(&mut shop);
    wreck(&shop, last);
    let failure = standby.once(&shop).unwrap_err();
    assert_eq!(failure.exit, ExitCode::Corrupt, "{failure}");
    let hint = failure.hint.as_deref().unwrap();
    assert!(
        hint.contains("a copy of the store")
            && hint.contains("log.json in the primary's state_dir"),
        "{hint}"
    );
    // One that begins there has what stands before it.
    let fresh = Standby::of(&shop);
    assert_eq!(fresh.once(&shop).unwrap_err().exit, ExitCode::Corrupt);
    for name in ["ledger", "notes"] {
        let [one, other] = [&fresh, &standby].map(|each| Image::of(&each.path(name)).checksum());
        assert_eq!(one, other, "{name}");
    }
    let running = standby.start(&shop);
    let told = running.until("trouble", |snapshot| snapshot.store.error.is_some());
    let error = told.store.error.unwrap();
    assert!(error.contains(&format!("log object {last}")) && error.contains(hint), "{error}");
    // It begins with nothing, in the millisecond in which it is noticed.
    running.until("lagging", |snapshot| {
        let ledger = status(snapshot, "ledger").unwrap();
        ledger.state == Condition::Doubtful && ledger.apply_lag_seconds != Some(0.0)
    });
    change(&mut shop);
    running.until("led past it", |snapshot| snapshot.store.error.is_none());
    running.stop().unwrap();
}

/// A flipped byte in the version looks like a newer format: the follower ended, at every start, though the objects around
/// it are by the same writer and as old as this program.
#[test]
fn a_false_version_is_damage_and_a_newer_one_is_not() {
    let mut shop = shop();
    let standby = Standby::of(&shop);
    standby.once(&shop).unwrap();
    // With a neighbour that is lost as well.
    let newer = change(&mut shop);
    let path = shop.object_path(&ObjectName::log(newer));
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[8] = 7;
    std::fs::write(&path, bytes).unwrap();
    let failure = standby.once(&shop).unwrap_err();
    assert!(failure.to_string().contains("format version 7"), "{failure}");
    let lost = change(&mut shop);
    std::fs::remove_file(shop.object_path(&ObjectName::log(lost))).unwrap();
    let last = change(&mut shop);
    let running = standby.start(&shop);
    running.until("passed", |snapshot| snapshot.read == Some(last));
    let damage = running.snapshot().damage.unwrap();
    assert!(damage.contains(&format!("log objects {newer} to {lost}")), "{damage}");
    shop.rebase(0);
    shop.rebase(1);
    shop.publish_catalogue();
    running.until_applied(shop.last());
    running.stop().unwrap();
    standby.assert_equals(&shop);
    let salvage = fleet_log::salvage_at(&*shop.store, last).unwrap();
    assert_eq!(salvage.lost.len(), 2, "{:?}", salvage.lost);
}

/// It stood live, without lag, for a minute, and a run that is to apply everything ended well.
#[test]
fn a_last_object_that_is_damaged_after_it_was_applied_is_told_at_once() {
    let mut shop = shop();
    let standby = Standby::of(&shop);
    let last = change(&mut shop);
    standby.once(&shop).unwrap();
    wreck(&shop, last);
    let failure = standby.once(&shop).unwrap_err();
    assert_eq!(failure.exit, ExitCode::Corrupt, "{failure}");
    let running = standby.start(&shop);
    running.until_condition("ledger", Condition::Doubtful);
    let snapshot = running.snapshot();
    assert_eq!(snapshot.store.reachable, Some(true), "it answers");
    assert!(snapshot.primary.last_heard_seconds.is_some());
    running.stop().unwrap();
}

/// Only a single one was passed: where two stood side by side, the standby stood still until the next catalogue.
#[test]
fn objects_that_cannot_be_read_are_passed_together() {
    for is_missing in [false, true] {
        let mut shop = shop();
        let standby = Standby::of(&shop);
        standby.once(&shop).unwrap();
        let lost = [change(&mut shop), change(&mut shop), change(&mut shop)];
        let last = change(&mut shop);
        for seq in lost {
            match is_missing {
                true => std::fs::remove_file(shop.object_path(&ObjectName::log(seq))).unwrap(),
                false => wreck(&shop, seq),
            }
        }
        // Also by one that begins here, and finds no catalogue behind them.
        let (running, fresh) = (standby.start(&shop), Standby::of(&shop));
        let beginner = fresh.start(&shop);
        for each in [&running, &beginner] {
            each.until("passed", |snapshot| snapshot.read == Some(last));
            let damage = each.snapshot().damage.unwrap();
            let told = format!("log objects {} to {}", lost[0], lost[2]);
            assert!(damage.contains(&told), "{damage}");
        }
        shop.rebase(0);
        shop.rebase(1);
        shop.publish_catalogue();
        running.until_applied(shop.last());
        running.until_condition("ledger", Condition::Live);
        running.stop().unwrap();
        standby.assert_equals(&shop);
        beginner.until_applied(shop.last());
        beginner.until_condition("ledger", Condition::Live);
        beginner.stop().unwrap();
        fresh.assert_equals(&shop);
    }
}

/// A log object that changed only the ledger and cannot be read, and after it one that changed only the notes.
fn lose_a_change(shop: &mut Shop, standby: &Standby) -> Seq {
    standby.once(shop).unwrap();
    shop.databases[0].source.mutate();
    let lost = shop.flush();
    shop.databases[1].source.mutate();
    shop.flush();
    wreck(shop, lost);
    lost
}

/// The follower passed an object that it could not read, and took every database that no later one changed for up to
/// date: live, without lag, exit code 0, its position saved behind the object. The standby stayed stale for ever.
#[test]
fn a_database_that_a_lost_object_may_have_changed_is_in_doubt_also_after_a_restart() {
    let mut shop = shop();
    let standby = Standby::of(&shop);
    let lost = lose_a_change(&mut shop, &standby);
    for _ in 0..2 {
        let failure = standby.once(&shop).unwrap_err();
        assert_eq!(failure.exit, ExitCode::Corrupt, "{failure}");
        let told = format!("ledger: log object {lost} cannot be read");
        assert!(failure.to_string().contains(&told), "{failure}");
        let running = standby.start(&shop);
        let ledger = running.until_condition("ledger", Condition::Doubtful);
        assert!(ledger.detail.unwrap().contains(&format!("log object {lost}")));
        assert!(ledger.apply_lag_seconds.unwrap() > 0.0);
        assert_eq!(ledger.committed_age_seconds, None);
        running.until_condition("notes", Condition::Live);
        let snapshot = running.snapshot();
        assert!(snapshot.applied < Some(lost), "{snapshot:#?}");
        assert!(snapshot.damage.unwrap().contains(&format!("log object {lost}")));
        running.stop().unwrap();
    }
    let running = standby.start(&shop);
    running.until_condition("ledger", Condition::Doubtful);
    shop.publish_catalogue();
    let corrupt = running.until_condition("ledger", Condition::Corrupt);
    assert!(corrupt.detail.unwrap().contains(ObjectName::log(lost).as_str()));
    assert_eq!(running.snapshot().damage, None);
    shop.rebase(0);
    running.until_condition("ledger", Condition::Live);
    running.until_applied(shop.last());
    running.stop().unwrap();
    standby.assert_equals(&shop);
}

#[test]
fn a_catalogue_clears_what_a_lost_object_did_not_change() {
    let mut shop = shop();
    shop.create("quiet", "p0", 4096);
    shop.flush();
    let standby = Standby::of(&shop);
    lose_a_change(&mut shop, &standby);
    let running = standby.start(&shop);
    running.until_condition("quiet", Condition::Doubtful);
    shop.publish_catalogue();
    let quiet = running.until_condition("quiet", Condition::Live);
    assert_eq!((quiet.heals, quiet.detail), (0, None));
    running.stop().unwrap();
}

/// The base stands behind the lost object, and nothing has changed since: it is the proof, before any catalogue.
#[test]
fn a_base_that_is_asked_for_ends_the_doubt_and_heals() {
    let mut shop = shop();
    let standby = Standby::of(&shop);
    lose_a_change(&mut shop, &standby);
    let running = standby.start(&shop);
    running.until_condition("ledger", Condition::Doubtful);
    shop.rebase(0);
    let ledger = running.until_condition("ledger", Condition::Live);
    assert_eq!(ledger.heals, 1);
    running.until_applied(shop.last());
    assert!(running.snapshot().damage.is_some(), "what the object announced is not known");
    shop.databases[0].source.mutate();
    let last = shop.flush();
    running.until_applied(last);
    running.stop().unwrap();
    standby.assert_equals(&shop);
}

/// The standby had the object before it was damaged, and was killed before it saved its position.
#[test]
fn readers_are_not_taken_back_to_before_a_lost_object() {
    let mut shop = shop();
    let standby = Standby::of(&shop);
    standby.once(&shop).unwrap();
    let position = standby.state_dir().join("follow.json");
    let saved = std::fs::read(&position).unwrap();
    shop.databases[0].source.mutate();
    let lost = shop.flush();
    standby.once(&shop).unwrap();
    std::fs::write(&position, saved).unwrap();
    shop.databases[1].source.mutate();
    shop.flush();
    wreck(&shop, lost);
    let failure = standby.once(&shop).unwrap_err();
    assert_eq!(failure.exit, ExitCode::Corrupt, "{failure}");
    standby.assert_equals(&shop);
    let running = standby.start(&shop);
    running.until_condition("ledger", Condition::Doubtful);
    shop.publish_catalogue();
    assert_eq!(running.until_condition("ledger", Condition::Live).heals, 0);
    running.stop().unwrap();
    standby.assert_equals(&shop);
}

/// Only the log's next catalogue tells what it announced.
#[test]
fn a_database_that_a_lost_object_announced_is_followed_from_the_next_catalogue_on() {
    let mut shop = shop();
    let standby = Standby::of(&shop);
    standby.once(&shop).unwrap();
    shop.create("later", "p0", 4096);
    let lost = shop.last();
    change(&mut shop);
    wreck(&shop, lost);
    let failure = standby.once(&shop).unwrap_err();
    assert_eq!(failure.exit, ExitCode::Corrupt, "{failure}");
    assert!(failure.to_string().contains(&format!("log object {lost}")), "{failure}");
    shop.publish_catalogue();
    standby.once(&shop).unwrap();
    assert!(standby.path("later").exists());
    standby.assert_equals(&shop);
}

#[test]
fn a_hole_in_the_log_is_not_taken_for_its_end() {
    let mut shop = shop();
    let standby = Standby::of(&shop);
    standby.once(&shop).unwrap();
    shop.databases[0].source.mutate();
    let missing = shop.flush();
    let last = change(&mut shop);
    std::fs::remove_file(shop.object_path(&ObjectName::log(missing))).unwrap();
    let running = standby.start(&shop);
    let corrupt = running.until_condition("ledger", Condition::Corrupt);
    assert!(corrupt.detail.unwrap().contains(ObjectName::log(missing).as_str()));
    running.until("the other goes on", |snapshot| {
        status(snapshot, "notes").unwrap().applied_seq == Some(last)
    });
    shop.rebase(0);
    running.until_condition("ledger", Condition::Live);
    running.stop().unwrap();
    standby.assert_equals(&shop);
}

#[test]
fn a_damaged_or_missing_base_is_named_and_a_newer_one_taken() {
    for is_missing in [false, true] {
        let mut shop = shop();
        let bases = |shop: &Shop| -> Vec<ObjectName> {
            shop.objects()
                .into_iter()
                .filter(|name| name.as_str().starts_with("snap/ledger"))
                .collect()
        };
        for base in bases(&shop) {
            if is_missing {
                std::fs::remove_file(shop.object_path(&base)).unwrap();
            } else {
                flip(&shop, &base, 100);
            }
        }
        let standby = Standby::of(&shop);
        let running = standby.start(&shop);
        let corrupt = running.until_condition("ledger", Condition::Corrupt);
        assert!(corrupt.detail.unwrap().contains("snap/ledger"));
        running.until_condition("notes", Condition::Live);
        assert!(!standby.path("ledger").exists());
        shop.rebase(0);
        running.until_applied(shop.last());
        running.stop().unwrap();
        standby.assert_equals(&shop);
    }
}

#[test]
fn a_damaged_side_object_leaves_the_database_at_its_former_state() {
    let mut shop = Shop::open();
    shop.part_pages = 8;
    shop.create("ledger", "p0", 4096);
    shop.flush();
    let standby = Standby::of(&shop);
    let running = standby.start(&shop);
    running.until_applied(shop.last());
    running.stop().unwrap();
    let former = shop.databases[0].shipped.clone().unwrap();
    shop.databases[0].source.grow(200_000);
    shop.flush();
    let sides: Vec<_> =
        shop.objects().into_iter().filter(|name| name.as_str().starts_with("side/")).collect();
    flip(&shop, sides.last().unwrap(), 50);
    let running = standby.start(&shop);
    let corrupt = running.until_condition("ledger", Condition::Corrupt);
    assert!(corrupt.detail.unwrap().contains("side/"));
    assert_eq!(Image::of(&standby.path("ledger")).checksum(), former.checksum());
    shop.rebase(0);
    running.until_applied(shop.last());
    running.stop().unwrap();
    standby.assert_equals(&shop);
}

#[test]
fn a_standby_that_is_too_far_behind_heals_from_bases() {
    let mut shop = shop();
    let standby = Standby::of(&shop);
    standby.once(&shop).unwrap();
    for _ in 0..10 {
        change(&mut shop);
    }
    shop.rebase(0);
    shop.rebase(1);
    let retired = shop.publish_catalogue();
    let boundary = serde_json::to_vec(&Boundary { retired, planned: retired }).unwrap();
    shop.store.put_if_match(&ObjectName::boundary(), &boundary, None).unwrap();
    for number in 1..retired.get() {
        shop.store.delete(&ObjectName::log(Seq::new(number).unwrap())).unwrap();
    }
    change(&mut shop);
    let running = standby.start(&shop);
    let snapshot = running.until_applied(shop.last());
    assert!(snapshot.notice.unwrap().contains("no longer held"));
    assert!(
        snapshot.databases.iter().all(|database| database.heals == 1),
        "{:?}",
        snapshot.databases
    );
    running.stop().unwrap();
    standby.assert_equals(&shop);
}

#[test]
fn a_store_that_does_not_answer_is_waited_for() {
    let mut shop = shop();
    let standby = Standby::of(&shop);
    let is_down = Arc::new(AtomicBool::new(false));
    let down = Arc::clone(&is_down);
    let faulty = Faulty::new(Arc::clone(&shop.store), move |_| match down.load(Ordering::SeqCst) {
        true => Fault::Refuse(StoreError::unavailable("anything", "the cable is out")),
        false => Fault::Pass,
    });
    let running = standby.start_with(Arc::new(faulty));
    running.until_applied(shop.last());
    is_down.store(true, Ordering::SeqCst);
    running.until("unreachable", |snapshot| snapshot.store.reachable == Some(false));
    let seq = change(&mut shop);
    is_down.store(false, Ordering::SeqCst);
    let snapshot = running.until_applied(seq);
    assert_eq!(snapshot.store.reachable, Some(true));
    running.stop().unwrap();
    standby.assert_equals(&shop);
}

#[test]
fn a_log_that_ends_before_what_was_applied_is_refused() {
    for is_empty in [false, true] {
        let mut shop = shop();
        let standby = Standby::of(&shop);
        let applied = change(&mut shop);
        standby.once(&shop).unwrap();
        for object in shop.objects().iter().filter(|object| object.log_seq().is_some()) {
            if is_empty || object.log_seq() == Some(applied) {
                std::fs::remove_file(shop.object_path(object)).unwrap();
            }
        }
        let failure = standby.once(&shop).unwrap_err();
        assert_eq!(failure.exit, ExitCode::Corrupt, "{failure}");
        let text = failure.to_string();
        assert!(text.contains(&format!("applied seq {applied}")), "{text}");
        assert!(text.contains("follow.json"), "{text}");
        if !is_empty {
            assert!(text.contains(&format!("ends at seq {}", applied.get() - 1)), "{text}");
            std::fs::remove_file(standby.state_dir().join("follow.json")).unwrap();
            standby.once(&shop).unwrap();
        }
    }
}

#[test]
fn a_damaged_fleet_file_or_boundary_ends_a_run_at_once() {
    for (object, is_fresh) in [
        (ObjectName::fleet_json(), true),
        (ObjectName::fleet_json(), false),
        (ObjectName::boundary(), true),
        (ObjectName::boundary(), false),
    ] {
        let shop = shop();
        let standby = Standby::of(&shop);
        if !is_fresh {
            standby.once(&shop).unwrap();
        }
        let path = shop.object_path(&object);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "{ \"half").unwrap();
        let began = Instant::now();
        let failure = standby.once(&shop).unwrap_err();
        assert_eq!(failure.exit, ExitCode::Corrupt, "{failure}");
        assert!(failure.to_string().contains(object.as_str()), "{failure}");
        let is_soon = began.elapsed() < ONCE_PATIENCE / 3;
        assert!(is_soon, "{object}, fresh {is_fresh}: {:?}", began.elapsed());
    }
}
