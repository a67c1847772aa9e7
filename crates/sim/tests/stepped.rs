//! Each rule of the log once more, step by step over a real store with faults: the real driver keeps it, and
//! the same machine with the rule switched off shows what breaks.

use fleet_log::machine::{FindTail, Follow, FollowEnd, Start, StartEnd, TailEnd, Write, WriteEnd};
use fleet_log::{Intent, LogError, Position, Reader, Rule, Rules, Slot, Step, Tail, find_tail};
use segment::{FenceKind, ObjectName};
use sim::kit::{
    append, collect, data, drive, fence, identity, move_boundary, name, promote, read_from,
    resend_until_decided, seq, start,
};
use std::sync::{Arc, Mutex};
use store::{Fault, Faulty, MemoryStore, Operation, Put, Request, Store, Swap};

type Shared = Arc<dyn Store>;

fn memory() -> Shared {
    Arc::new(MemoryStore::default())
}

fn without(rule: Rule) -> Rules {
    Rules::ALL.without(rule)
}

/// For machines that never write.
fn nothing(_: &Slot) -> segment::Encoded {
    unreachable!("a reader seals nothing")
}

/// `meanwhile` happens once, before the first request that `when` picks.
fn interrupted(
    inner: &Shared,
    when: impl Fn(&Request<'_>) -> bool + Send + Sync + 'static,
    meanwhile: impl FnOnce() + Send + 'static,
) -> Shared {
    let meanwhile = Mutex::new(Some(meanwhile));
    let script = move |request: &Request<'_>| {
        if when(request)
            && let Some(meanwhile) = meanwhile.lock().unwrap().take()
        {
            meanwhile();
        }
        Fault::Pass
    };
    Arc::new(Faulty::new(Arc::clone(inner), script))
}

/// A fault for the first put-if-absent of one log object.
fn first_put(number: u64, fault: Fault) -> impl Fn(&Request<'_>) -> Fault + Send + Sync {
    let fault = Mutex::new(Some(fault));
    let path = ObjectName::log(seq(number));
    move |request: &Request<'_>| match request.operation {
        Operation::PutIfAbsent if request.name == path.as_str() => {
            fault.lock().unwrap().take().unwrap_or(Fault::Pass)
        }
        _ => Fault::Pass,
    }
}

fn position_after(store: &Shared, number: u64) -> Position {
    fleet_log::position_after(&**store, seq(number)).unwrap()
}

/// A log of three objects of which the first two were retired and deleted, and the second was then filled again
/// by a put that had been under way since; and the position of a reader that had read the first.
fn with_zombie() -> (Shared, Position) {
    let shared = memory();
    let faulty = Arc::new(Faulty::new(Arc::clone(&shared), first_put(2, Fault::Late)));
    let through: Shared = faulty.clone();
    let mut owner = start(&through, &identity("anvil", 1)).unwrap();
    let position = position_after(&shared, 1);
    assert!(append(&mut owner, "two").is_err());
    resend_until_decided(&mut owner).unwrap();
    append(&mut owner, "three").unwrap();
    collect(&*shared, 3);
    faulty.land_late().unwrap();
    (shared, position)
}

#[test]
fn r1_what_was_filled_again_is_not_accepted() {
    let (shared, position) = with_zombie();
    let step = Reader::new(Arc::clone(&shared), position.clone()).step().unwrap();
    assert!(matches!(step, Step::Behind { retired } if retired == seq(3)), "{step:?}");

    let mut broken = Follow::new(without(Rule::R1), position, 1);
    let end = drive(&*shared, &mut broken, &mut nothing).unwrap();
    assert!(
        matches!(end, FollowEnd::Accepted { count: 1, .. }),
        "it keeps what nobody vouches for: {end:?}"
    );
}

#[test]
fn r2_what_does_not_follow_is_never_skipped() {
    let shared = memory();
    start(&shared, &identity("anvil", 1)).unwrap();
    let position = position_after(&shared, 1);
    let slot = Slot {
        seq: seq(2),
        previous: segment::SegmentHash::from_bytes([1; 32]),
        epoch: segment::Epoch::FIRST,
        not_before: segment::Millis::new(0),
        catalogue: None,
    };
    let forged = data(&slot, &identity("anvil", 1), "forged");
    shared.put_if_absent(&ObjectName::log(seq(2)), &forged.bytes).unwrap();
    for _ in 0..2 {
        let error = Reader::new(Arc::clone(&shared), position.clone()).step().unwrap_err();
        assert!(matches!(error, LogError::Corrupt { seq: at, .. } if at == seq(2)), "{error}");
        assert_eq!(error.exit_code(), 4);
    }

    let mut broken = Follow::new(without(Rule::R2), position, 1);
    let end = drive(&*shared, &mut broken, &mut nothing).unwrap();
    assert!(matches!(end, FollowEnd::Accepted { count: 1, .. }), "{end:?}");
}

#[test]
fn r2_a_damaged_object_is_named_not_skipped() {
    let shared = memory();
    let mut owner = start(&shared, &identity("anvil", 1)).unwrap();
    append(&mut owner, "two").unwrap();
    let path = ObjectName::log(seq(2));
    let sound = shared.get(&path).unwrap().value.unwrap().body;
    for at in [0, 100, sound.len() - 1] {
        let mut damaged = sound.to_vec();
        damaged[at] ^= 1;
        shared.put(&path, &damaged).unwrap();
        let error = read_from(&shared, Position::START).unwrap_err();
        assert!(matches!(error, LogError::Corrupt { seq: at, .. } if at == seq(2)), "{error}");
    }
}

#[test]
fn r3_a_reader_that_was_left_behind_is_told_so() {
    let shared = memory();
    let mut owner = start(&shared, &identity("anvil", 1)).unwrap();
    let position = position_after(&shared, 1);
    append(&mut owner, "two").unwrap();
    append(&mut owner, "three").unwrap();
    collect(&*shared, 3);
    let step = Reader::new(Arc::clone(&shared), position.clone()).step().unwrap();
    assert!(matches!(step, Step::Behind { .. }), "{step:?}");

    let mut broken = Follow::new(without(Rule::R3), position, 1);
    let end = drive(&*shared, &mut broken, &mut nothing).unwrap();
    let waits = FollowEnd::Accepted { count: 0, end: fleet_log::End::Tail };
    assert_eq!(end, waits, "it waits for ever before a slot that will stay empty");
}

#[test]
fn t1_a_search_whose_start_was_filled_again_begins_again() {
    let search = |find: &dyn Fn(&Shared)| {
        let shared = memory();
        // The put of an earlier life of the owner is still under way when its next life takes the slot.
        let faulty = Arc::new(Faulty::new(Arc::clone(&shared), first_put(2, Fault::Late)));
        let through: Shared = faulty.clone();
        let mut earlier = start(&through, &identity("anvil", 1)).unwrap();
        assert!(append(&mut earlier, "zombie").is_err());
        let mut owner = start(&shared, &identity("anvil", 2)).unwrap();
        let behind = Arc::clone(&shared);
        let meanwhile = move || {
            append(&mut owner, "three").unwrap();
            collect(&*behind, 3);
            faulty.land_late().unwrap();
        };
        find(&interrupted(&shared, |request| request.operation == Operation::Get, meanwhile));
    };
    search(&|store| {
        let Tail::At { position, .. } = find_tail(&**store).unwrap() else {
            panic!("there is a log")
        };
        assert_eq!(position.next, seq(4));
    });
    search(&|store| {
        let end = drive(&**store, &mut FindTail::new(without(Rule::T1)), &mut nothing).unwrap();
        assert!(matches!(end, TailEnd::Corrupt { .. }), "a sound log is called corrupt: {end:?}");
    });
}

#[test]
fn t2_a_listing_of_several_pages_is_safe_while_others_write() {
    let shared = memory();
    let mut owner = start(&shared, &identity("anvil", 1)).unwrap();
    (2..=6).for_each(|_| assert!(append(&mut owner, "more").is_ok()));
    let behind = Arc::clone(&shared);
    let meanwhile = move || {
        append(&mut owner, "seven").unwrap();
        collect(&*behind, 6);
    };
    // Pages of two names: the log moves on between the first and the second.
    let store = interrupted(
        &shared,
        |request| request.operation == Operation::List && request.number > 0,
        meanwhile,
    );
    let end = drive(&*store, &mut FindTail::new(Rules::ALL), &mut nothing).unwrap();
    assert!(matches!(&end, TailEnd::At(position) if position.next == seq(8)), "{end:?}");

    // Probing 1, 2, 4, ... by GET instead would find nothing at 1 and call the log empty.
    assert!(shared.get(&ObjectName::log(seq(1))).unwrap().value.is_none());
}

#[test]
fn t3_a_boundary_without_objects_is_refused() {
    let shared = memory();
    let mut owner = start(&shared, &identity("anvil", 1)).unwrap();
    append(&mut owner, "two").unwrap();
    let before = position_after(&shared, 2);
    move_boundary(&*shared, 1, 2);
    (1..=2).for_each(|number| assert!(shared.delete(&ObjectName::log(seq(number))).unwrap().value));
    let again = identity("anvil", 2);
    let error = start(&shared, &again).err().expect("refused");
    assert!(matches!(error, LogError::NotALog { .. }), "{error}");
    assert_eq!(error.exit_code(), 4);

    let intent = Intent::Start;
    let mut broken = Start::new(without(Rule::T3), again.node.clone(), again.writer, intent);
    let mut build = |slot: &Slot| fence(slot, &again, FenceKind::Start);
    let end = drive(&*shared, &mut broken, &mut build).unwrap();
    let StartEnd::Started(position) = end else { panic!("{end:?}") };
    assert!(
        position.next < before.next,
        "a second history begins under numbers that standbys have passed"
    );
}

#[test]
fn t3_an_empty_store_is_an_empty_log() {
    let shared = memory();
    assert!(matches!(find_tail(&*shared).unwrap(), Tail::Empty { .. }));
    // Somebody begins the log between the listing and the look at the first name.
    let inner = Arc::clone(&shared);
    let meanwhile = move || drop(start(&inner, &identity("anvil", 1)).unwrap());
    let store = interrupted(&shared, |request| request.operation == Operation::Get, meanwhile);
    let Tail::At { position, .. } = find_tail(&*store).unwrap() else {
        panic!("the log has begun")
    };
    assert_eq!(position.next, seq(2));
}

#[test]
fn w1_a_start_leaves_the_log_to_another_node() {
    let shared = memory();
    start(&shared, &identity("anvil", 1)).unwrap();
    let forge = identity("forge", 2);
    let error = start(&shared, &forge).err().expect("refused");
    assert!(matches!(&error, LogError::Fenced { owner, .. } if *owner == name("anvil")), "{error}");
    assert_eq!(read_from(&shared, Position::START).unwrap().len(), 1, "nothing was written");

    let mut broken = Start::new(without(Rule::W1), forge.node.clone(), forge.writer, Intent::Start);
    let mut build = |slot: &Slot| fence(slot, &forge, FenceKind::Start);
    let end = drive(&*shared, &mut broken, &mut build).unwrap();
    assert!(matches!(end, StartEnd::Started(_)), "it takes the log from anvil: {end:?}");
}

/// The put of the slot's first bytes lands after the slot was read as empty.
fn landing_after_the_read_back(shared: &Shared) -> Shared {
    let faulty = Arc::new(Faulty::new(Arc::clone(shared), first_put(2, Fault::Late)));
    let through: Shared = faulty.clone();
    let path = ObjectName::log(seq(2));
    // The second put of the slot: by then it was sent, read back as missing, and is sent again.
    let puts = Mutex::new(0);
    let is_second_put = move |request: &Request<'_>| {
        let mut puts = puts.lock().unwrap();
        *puts +=
            u32::from(request.operation == Operation::PutIfAbsent && request.name == path.as_str());
        *puts == 2
    };
    interrupted(&through, is_second_put, move || faulty.land_late().unwrap())
}

#[test]
fn w2_the_same_bytes_are_sent_again() {
    let shared = memory();
    let store = landing_after_the_read_back(&shared);
    let mut owner = start(&store, &identity("anvil", 1)).unwrap();
    assert!(append(&mut owner, "two").unwrap_err().is_transient());
    assert_eq!(resend_until_decided(&mut owner).unwrap(), seq(2));
    assert_eq!(read_from(&shared, Position::START).unwrap(), ["fence e1 anvil", "two"]);

    let shared = memory();
    let store = landing_after_the_read_back(&shared);
    let anvil = identity("anvil", 1);
    start(&store, &anvil).unwrap();
    let mut broken = Write::new(without(Rule::W2), position_after(&shared, 1));
    let mut build = |slot: &Slot| data(slot, &anvil, "two");
    let end = drive(&*store, &mut broken, &mut build).unwrap();
    assert!(
        matches!(&end, WriteEnd::Fenced { owner, .. } if *owner == name("anvil")),
        "by itself: {end:?}"
    );
}

/// anvil's put of slot 2 took effect, but it does not know; forge was promoted behind it, and slot 2 was
/// retired and deleted. Anvil wakes.
fn overtaken() -> (Shared, Position) {
    let shared = memory();
    let faulty: Shared =
        Arc::new(Faulty::new(Arc::clone(&shared), first_put(2, Fault::LoseAnswer)));
    let mut anvil = start(&faulty, &identity("anvil", 1)).unwrap();
    let position = anvil.position().clone();
    append(&mut anvil, "two").unwrap();
    let mut forge = promote(&shared, &identity("forge", 2), "anvil").unwrap();
    append(&mut forge, "four").unwrap();
    collect(&*shared, 4);
    (shared, position)
}

#[test]
fn w3_a_slot_below_the_boundary_is_not_acknowledged() {
    let (shared, position) = overtaken();
    let anvil = identity("anvil", 1);
    let mut build = |slot: &Slot| data(slot, &anvil, "two");
    let mut kept = Write::new(Rules::ALL, position.clone());
    let end = drive(&*shared, &mut kept, &mut build).unwrap();
    assert!(matches!(end, WriteEnd::Superseded { .. }), "{end:?}");
    assert!(
        shared.get(&ObjectName::log(seq(2))).unwrap().value.is_none(),
        "its object is gone again"
    );

    let mut broken = Write::new(without(Rule::W3), position);
    let end = drive(&*shared, &mut broken, &mut build).unwrap();
    assert!(matches!(end, WriteEnd::Acknowledged { .. }), "nobody will ever read it: {end:?}");
}

#[test]
fn w4_exists_is_not_success() {
    let shared = memory();
    let mut first = start(&shared, &identity("anvil", 1)).unwrap();
    let position = first.position().clone();
    let mut second = promote(&shared, &identity("forge", 2), "anvil").unwrap();
    append(&mut second, "three").unwrap();
    let error = append(&mut first, "two").unwrap_err();
    assert!(matches!(&error, LogError::Fenced { owner, .. } if *owner == name("forge")), "{error}");

    let anvil = identity("anvil", 1);
    let mut build = |slot: &Slot| data(slot, &anvil, "two");
    let mut broken = Write::new(without(Rule::W4), position);
    let end = drive(&*shared, &mut broken, &mut build).unwrap();
    assert!(matches!(end, WriteEnd::Acknowledged { .. }), "it is nowhere in the log: {end:?}");
}

/// Two starters whose fences are of the same epoch, for the same slot.
#[test]
fn d2_the_epoch_alone_does_not_say_whose_a_fence_is() {
    let race = |begin: &dyn Fn(&Shared)| {
        let shared = memory();
        start(&shared, &identity("anvil", 1)).unwrap();
        let inner = Arc::clone(&shared);
        let meanwhile = move || drop(promote(&inner, &identity("forge", 2), "anvil").unwrap());
        begin(&interrupted(
            &shared,
            |request| request.operation == Operation::PutIfAbsent,
            meanwhile,
        ));
    };
    let anvil = identity("anvil", 3);
    race(&|store| {
        let error = start(store, &anvil).err().expect("forge was first");
        assert!(
            matches!(&error, LogError::Fenced { owner, .. } if *owner == name("forge")),
            "{error}"
        );
    });
    race(&|store| {
        let mut broken =
            Start::new(without(Rule::D2), anvil.node.clone(), anvil.writer, Intent::Start);
        let mut build = |slot: &Slot| fence(slot, &anvil, FenceKind::Start);
        let end = drive(&**store, &mut broken, &mut build).unwrap();
        assert!(matches!(end, StartEnd::Started(_)), "two owners of one epoch: {end:?}");
    });
}

#[test]
fn d3_of_two_collectors_one_starts_over() {
    let (shared, position) = with_zombie();
    let boundary = ObjectName::boundary();
    let read = shared.get(&boundary).unwrap().value.unwrap();
    move_boundary(&*shared, 3, 4);
    let late = shared
        .put_if_match(&boundary, br#"{"retired": 1, "planned": 2}"#, Some(&read.etag))
        .unwrap();
    assert_eq!(late.value, Swap::Conflict);

    // Unconditionally the boundary would go back, and readers would accept what is below it.
    shared.put(&boundary, br#"{"retired": 1, "planned": 2}"#).unwrap();
    let step = Reader::new(Arc::clone(&shared), position).step().unwrap();
    assert!(matches!(step, Step::Segment(_)), "{step:?}");
}

#[test]
fn d4_an_object_is_only_created() {
    let shared = memory();
    start(&shared, &identity("anvil", 1)).unwrap();
    let position = position_after(&shared, 1);
    let (anvil, forge) = (identity("anvil", 1), identity("forge", 2));
    let mut winner = promote(&shared, &forge, "anvil").unwrap();
    append(&mut winner, "three").unwrap();
    let slot = sim::kit::slot_of(&Write::new(Rules::ALL, position).place());
    let late = data(&slot, &anvil, "two");
    let path = ObjectName::log(seq(2));
    assert_eq!(shared.put_if_absent(&path, &late.bytes).unwrap().value, Put::Exists);

    // Overwritten, the history that forge was promoted on is cut in two.
    shared.put(&path, &late.bytes).unwrap();
    let error = read_from(&shared, Position::START).unwrap_err();
    assert!(matches!(error, LogError::Corrupt { seq: at, .. } if at == seq(3)), "{error}");
}

#[test]
fn p2_a_third_node_is_not_deposed() {
    let race = |begin: &dyn Fn(&Shared)| {
        let shared = memory();
        start(&shared, &identity("anvil", 1)).unwrap();
        promote(&shared, &identity("forge", 2), "anvil").unwrap();
        begin(&shared);
    };
    let third = identity("third", 3);
    race(&|store| {
        let error = promote(store, &third, "anvil").err().expect("forge has won");
        assert!(
            matches!(&error, LogError::Fenced { owner, .. } if *owner == name("forge")),
            "{error}"
        );
    });
    race(&|store| {
        let intent = Intent::Promote { deposed: name("anvil") };
        let mut broken = Start::new(without(Rule::P2), third.node.clone(), third.writer, intent);
        let mut build = |slot: &Slot| fence(slot, &third, FenceKind::Promote);
        let end = drive(&**store, &mut broken, &mut build).unwrap();
        assert!(matches!(end, StartEnd::Started(_)), "forge is deposed by surprise: {end:?}");
    });
}

/// A boundary that lies beyond the log once kept the search for the tail listing for ever.
#[test]
fn a_boundary_beyond_the_log_is_refused() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let mut owner = start(&store, &identity("anvil", 1)).unwrap();
    append(&mut owner, "a").unwrap();
    move_boundary(&*store, 4_000, 4_000);
    let error = find_tail(&*store).unwrap_err();
    assert!(matches!(error, LogError::NotALog { .. }), "{error}");
    let error = start(&store, &identity("anvil", 2)).map(drop).unwrap_err();
    assert!(matches!(error, LogError::NotALog { .. }), "{error}");
}
