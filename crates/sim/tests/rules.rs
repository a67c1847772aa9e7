//! The rules of the log, both ways: kept, nothing breaks; one switched off, a named property breaks.
//!
//! The short form runs with every test. `WALSHIP_TEST_SCALE=50 cargo test --release -p sim -- --nocapture`
//! explores fifty times as many states of longer logs; the summaries say what was exhausted.

use fleet_log::{Rule, Rules};
use sim::explore::{Report, explore, walk};
use sim::scenario::{Around, Begin, Budget, Scenario};
use sim::world::LogModel;

/// States per scenario in the short form.
const STATES: usize = 250_000;

/// 1 in the short form.
#[allow(clippy::disallowed_methods, reason = "the one parameter of the long form")]
fn scale() -> usize {
    let text = std::env::var("WALSHIP_TEST_SCALE").unwrap_or_default();
    text.parse().unwrap_or(1).max(1)
}

fn longer(slots: u8) -> u8 {
    slots + u8::from(scale() >= 10)
}

/// Everything that ordinary life brings, once.
const LIFE: Budget = Budget {
    lost_answers: 1,
    late_puts: 1,
    crashes: 1,
    starts: 1,
    promotions: 1,
    restored_readers: 0,
    collections: 1,
    clones: 0,
    forged_objects: 0,
    wipes: 0,
};

fn nothing_breaks(what: &str, scenario: Scenario, states_max: usize) -> Report {
    let report = explore(&LogModel::new(scenario), states_max);
    println!("{what}: {}", report.summary());
    if let Some(violation) = &report.violation {
        panic!("{what}: {}\n{}", violation.property, violation.history.join("\n"));
    }
    report
}

fn breaks(what: &str, scenario: Scenario, property: &str) {
    let report = explore(&LogModel::new(scenario), 3_000_000);
    println!("without {what}: {}", report.summary());
    let violation = report.violation.unwrap_or_else(|| panic!("without {what} nothing broke"));
    assert_eq!(violation.property, property, "\n{}", violation.history.join("\n"));
}

/// The scenario is explored to its end with all rules, and with the one switched off until it breaks.
fn is_needed(rule: Rule, scenario: Scenario, property: &str) {
    let kept = nothing_breaks(&format!("{rule:?} kept"), scenario, usize::MAX);
    assert!(kept.is_exhausted);
    let rules = Rules::ALL.without(rule);
    breaks(&format!("{rule:?}"), Scenario { rules, ..scenario }, property);
}

fn around_is_needed(what: &str, around: Around, scenario: Scenario, property: &str) {
    let kept = nothing_breaks(&format!("{what} kept"), scenario, usize::MAX);
    assert!(kept.is_exhausted);
    breaks(what, Scenario { around, ..scenario }, property);
}

const LOST: &str = "an accepted object is lost";
const MISFIT: &str = "an accepted object does not follow from the accepted history";
const RECREATED: &str = "an object that was filled again after its deletion is accepted";
const FALSE_ALARM: &str = "somebody calls a sound log corrupt";

#[test]
fn an_ordinary_life_breaks_nothing() {
    let scenario = Scenario::quiet(longer(3), 1).with(LIFE);
    nothing_breaks("one standby", scenario, STATES * scale());
    let scenario = Scenario::quiet(longer(4), 1).with(LIFE);
    nothing_breaks("one standby, a longer log", scenario, STATES * scale());
}

#[test]
fn two_standbys_and_two_promotions_break_nothing() {
    let budget = Budget { promotions: 2, crashes: 0, starts: 0, ..LIFE };
    let scenario = Scenario::quiet(longer(3), 2).with(budget);
    nothing_breaks("two promotions", scenario, STATES * scale());
}

#[test]
fn a_reader_restored_from_an_old_copy_breaks_nothing() {
    let budget = Budget { restored_readers: 1, crashes: 0, starts: 0, ..LIFE };
    let scenario = Scenario { batch: 2, ..Scenario::quiet(longer(4), 1).with(budget) };
    nothing_breaks("a restored reader", scenario, STATES * scale());
}

#[test]
fn a_cloned_host_breaks_nothing() {
    let budget = Budget { clones: 1, promotions: 0, crashes: 0, starts: 0, ..LIFE };
    let scenario = Scenario::quiet(longer(4), 1).with(budget);
    nothing_breaks("a cloned host", scenario, STATES * scale());
}

#[test]
fn two_starts_on_an_empty_store_break_nothing() {
    let budget = Budget { starts: 3, crashes: 2, promotions: 0, ..LIFE };
    let scenario = Scenario { begin: Begin::Empty, ..Scenario::quiet(longer(3), 0).with(budget) };
    nothing_breaks("an empty store", scenario, STATES * scale());
}

#[test]
fn two_collections_break_nothing() {
    let budget = Budget { collections: 2, lost_answers: 0, crashes: 0, starts: 0, ..LIFE };
    let scenario = Scenario::quiet(longer(4), 1).with(budget);
    nothing_breaks("two collections", scenario, STATES * scale());
}

#[test]
fn whoever_is_left_alone_comes_to_rest() {
    let scenario = Scenario { settle_every: 4, ..Scenario::quiet(longer(3), 1).with(LIFE) };
    nothing_breaks("left alone", scenario, STATES * scale());
}

#[test]
fn long_random_histories_break_nothing() {
    let budget = Budget {
        lost_answers: 3,
        late_puts: 3,
        crashes: 3,
        starts: 4,
        promotions: 3,
        restored_readers: 2,
        collections: 3,
        clones: 1,
        ..Budget::default()
    };
    let scenario = Scenario { settle_every: 64, ..Scenario::quiet(9, 2).with(budget) };
    let report = walk(&LogModel::new(scenario), 0x5EED, 1_000 * scale(), 200);
    println!("random walks: {}", report.summary());
    let violation = report.violation.map(|found| (found.property, found.history.join("\n")));
    assert_eq!(violation, None);
}

#[test]
fn d2_the_epoch_alone_does_not_say_whose_it_is() {
    let budget = Budget { crashes: 1, starts: 1, promotions: 1, late_puts: 1, ..Budget::default() };
    is_needed(Rule::D2, Scenario::quiet(3, 1).with(budget), LOST);
}

#[test]
fn d3_the_boundary_changes_only_by_if_match() {
    let budget = Budget { promotions: 1, collections: 2, ..Budget::default() };
    let around = Around { boundary_if_match: false, ..Around::ALL };
    around_is_needed("D3", around, Scenario::quiet(3, 1).with(budget), LOST);
}

#[test]
fn d4_a_log_object_is_only_created() {
    let budget = Budget { promotions: 1, ..Budget::default() };
    let around = Around { create_if_absent: false, ..Around::ALL };
    around_is_needed("D4", around, Scenario::quiet(3, 1).with(budget), LOST);
}

#[test]
fn g1_the_boundary_moves_before_anything_is_deleted() {
    let budget = Budget { collections: 1, ..Budget::default() };
    let around = Around { boundary_before_deletion: false, ..Around::ALL };
    around_is_needed("G1", around, Scenario::quiet(3, 1).with(budget), LOST);
}

#[test]
fn r1_the_boundary_is_read_after_the_object() {
    let budget = Budget { late_puts: 1, collections: 1, ..Budget::default() };
    is_needed(Rule::R1, Scenario::quiet(4, 1).with(budget), RECREATED);
}

#[test]
fn r2_an_object_follows_from_its_predecessor() {
    let budget = Budget { forged_objects: 1, ..Budget::default() };
    is_needed(Rule::R2, Scenario::quiet(3, 1).with(budget), MISFIT);
}

#[test]
fn r3_an_empty_slot_is_the_tail_only_above_the_boundary() {
    let budget = Budget { collections: 1, ..Budget::default() };
    let stalls = "a reader takes a slot below the boundary for the tail";
    is_needed(Rule::R3, Scenario::quiet(4, 1).with(budget), stalls);
}

#[test]
fn t1_the_walk_starts_at_an_accepted_object() {
    let budget = Budget {
        late_puts: 1,
        crashes: 1,
        starts: 1,
        promotions: 1,
        collections: 1,
        ..Budget::default()
    };
    is_needed(Rule::T1, Scenario::quiet(3, 1).with(budget), FALSE_ALARM);
}

#[test]
fn t2_names_are_not_probed_for_the_tail() {
    let budget = Budget { crashes: 1, starts: 1, collections: 1, ..Budget::default() };
    let around = Around { no_galloping: false, ..Around::ALL };
    let property = "a starter takes a slot below the boundary for the tail";
    around_is_needed("T2", around, Scenario::quiet(3, 1).with(budget), property);
}

#[test]
fn t3_a_boundary_without_objects_is_not_an_empty_log() {
    let budget = Budget { crashes: 1, starts: 1, collections: 1, wipes: 1, ..Budget::default() };
    is_needed(Rule::T3, Scenario::quiet(3, 1).with(budget), RECREATED);
}

#[test]
fn w1_a_start_never_changes_the_owner() {
    let budget = Budget { promotions: 1, crashes: 1, starts: 1, ..Budget::default() };
    let property = "a start takes the log from another node";
    is_needed(Rule::W1, Scenario::quiet(3, 1).with(budget), property);
}

#[test]
fn w2_the_bytes_of_a_slot_are_chosen_once() {
    let budget = Budget { late_puts: 1, ..Budget::default() };
    is_needed(Rule::W2, Scenario::quiet(3, 1).with(budget), "a writer is ended by its own object");
}

#[test]
fn w3_the_boundary_is_read_before_acknowledging() {
    let budget = Budget { lost_answers: 1, promotions: 1, collections: 1, ..Budget::default() };
    is_needed(Rule::W3, Scenario::quiet(4, 1).with(budget), RECREATED);
}

#[test]
fn w4_exists_is_resolved_by_reading() {
    let budget = Budget { promotions: 1, ..Budget::default() };
    is_needed(Rule::W4, Scenario::quiet(3, 1).with(budget), LOST);
}

#[test]
fn p2_a_promotion_deposes_only_whom_it_was_told_to() {
    let budget = Budget { promotions: 2, ..Budget::default() };
    let property = "a promotion supersedes a node that it was not told to depose";
    is_needed(Rule::P2, Scenario::quiet(3, 2).with(budget), property);
}
