//! The checkers can see: each is shown what it must object to.

use super::*;

fn world() -> World {
    LogModel::new(Scenario::quiet(4, 1)).initial()
}

fn after(object: &Facts, epoch: u64, variant: u8) -> Object {
    let epoch = Epoch::new(epoch).unwrap();
    let place = Place { seq: object.seq.next(), previous: object.hash, epoch };
    build(&place, 0, 1, false, variant)
}

fn first(world: &World) -> Object {
    world.history[1].clone().unwrap()
}

#[test]
fn a_sound_history_is_accepted() {
    let mut world = world();
    let second = after(&first(&world), 1, 0);
    world.accept(&second, false);
    world.accept(&second, false);
    world.accept(&after(&second, 1, 0), false);
    assert_eq!(world.broken, None);
}

#[test]
fn a_fork_is_seen() {
    let mut world = world();
    for variant in [0, 1] {
        let second = after(&first(&world), 1, variant);
        world.accept(&second, false);
    }
    assert_eq!(world.broken, Some("two histories under one number"));
}

#[test]
fn an_object_behind_a_gap_in_the_chain_is_seen() {
    let mut world = world();
    let second = after(&first(&world), 1, 0);
    let stranger = after(&first(&world), 1, 1);
    world.accept(&second, false);
    world.accept(&after(&stranger, 1, 0), false);
    assert_eq!(world.broken, Some("an accepted object does not follow from the accepted history"));
}

#[test]
fn an_older_epoch_above_a_newer_one_is_seen() {
    let mut world = world();
    let second = after(&first(&world), 2, 0);
    world.accept(&second, false);
    world.accept(&after(&second, 1, 0), false);
    assert_eq!(world.broken, Some("an older epoch is accepted above a newer one"));
}

#[test]
fn a_lost_object_is_seen() {
    let mut world = world();
    world.delete(1);
    assert_eq!(world.broken_property(), Some("an accepted object is lost"));
}

#[test]
fn a_reader_that_rests_too_early_is_seen() {
    let mut world = world();
    let second = after(&first(&world), 1, 0);
    let third = after(&second, 1, 0);
    world.slots[3].object = Some(third);
    let model = LogModel::new(Scenario { settle_every: 1, ..Scenario::quiet(4, 1) });
    let found = model.check_settles(&world);
    assert!(
        found.as_deref().is_some_and(|found| found.contains("though object 3 stands")),
        "{found:?}"
    );
}
