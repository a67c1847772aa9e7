//! Polling against a simulated primary: how late objects are seen, and how many requests that costs.

use segment::{Epoch, FleetId, Name, SegmentHash, SegmentKind, Seq, WriterId};

use super::*;
use crate::testing::Rng;

const LIMITS: Limits = Limits { poll_ms: 1_000, idle_ms: 15_000 };

fn header(stamp: u64, offset: i64, period: u32, next: u32) -> Header {
    Header {
        kind: SegmentKind::Log,
        fleet: FleetId::from_bytes([1; 16]),
        node: Name::parse("anvil").unwrap(),
        writer: WriterId::from_bytes([2; 16]),
        epoch: Epoch::FIRST,
        seq: Some(Seq::FIRST),
        previous: SegmentHash::ZERO,
        stamp: Millis::new(stamp),
        store_offset_ms: offset,
        flush_period_ms: period,
        next_flush_in_ms: next,
        catalogue: None,
        consistent: true,
        positions_wanted: false,
    }
}

/// What a run of `Primary` cost and how late its objects were seen.
#[derive(Debug)]
struct Outcome {
    requests: u64,
    lateness: Vec<u64>,
}

impl Outcome {
    fn percentile(&mut self, percent: usize) -> u64 {
        self.lateness.sort_unstable();
        self.lateness[(self.lateness.len() * percent / 100).min(self.lateness.len() - 1)]
    }
}

/// A primary that flushes on a grid with `period`, at each instant with this probability in percent, and whose objects
/// are there after 5 to `jitter` ms. Half-way its clock and the store's jump by `jump` ms; its stamps never go back.
fn simulate(
    limits: Limits,
    period: u64,
    percent: u64,
    jitter: u64,
    jump: i64,
    seed: u64,
) -> Outcome {
    let mut rng = Rng::new(seed);
    let start = 1_000_000_000_u64;
    let flushes = 2_000;
    let clock = |now: u64| {
        let is_before = now < start + flushes / 2 * period;
        if is_before { now } else { now.saturating_add_signed(jump) }
    };
    let mut objects: Vec<(u64, u64)> = Vec::new();
    for instant in (1..flushes).map(|number| start + number * period) {
        if rng.below(100) < percent {
            let stamp = objects.last().map_or(0, |(stamp, _)| stamp + 1).max(clock(instant));
            objects.push((stamp, instant + 5 + rng.below(jitter)));
        }
    }
    let began = Instant::now();
    let own = |now: u64| began + Duration::from_millis(now - start);
    let mut now = start;
    let mut poller = Poller::new(limits, own(now));
    let (mut seen, mut outcome) = (0, Outcome { requests: 0, lateness: Vec::new() });
    let end = start + flushes * period;
    while now < end {
        outcome.requests += 1;
        poller.answered(Millis::new(clock(now)), own(now));
        let before = seen;
        while seen < objects.len() && objects[seen].1 <= now {
            outcome.lateness.push(now - objects[seen].1);
            seen += 1;
        }
        if seen > before {
            let newest = header(objects[seen - 1].0, 0, period as u32, period as u32);
            poller.moved(&newest, own(now));
        }
        let wait = poller.wait(own(now)).as_millis() as u64;
        assert!(wait >= WAIT_MIN_MS && wait <= limits.idle_ms, "{wait}");
        now += wait;
    }
    outcome
}

#[test]
fn a_busy_log_costs_little_more_than_one_request_a_flush() {
    for jump in [0, 7_200_000] {
        let mut outcome = simulate(LIMITS, 1_000, 100, 30, jump, 1);
        assert!(outcome.requests < 2_000 * 3 / 2, "{} requests", outcome.requests);
        assert!(outcome.percentile(50) < 60, "p50 {}", outcome.percentile(50));
        assert!(outcome.percentile(99) < 200, "p99 {}", outcome.percentile(99));
    }
}

/// The primary's stamps stay ahead until its clock has caught up with them: they tell no grid, and nobody waits for them.
#[test]
fn clocks_that_are_set_back_cost_requests_and_no_waits() {
    let mut outcome = simulate(LIMITS, 1_000, 100, 30, -7_200_000, 1);
    assert!(outcome.requests < 2_000 * 4, "{} requests", outcome.requests);
    assert!(outcome.percentile(100) <= LIMITS.poll_ms, "{} ms late", outcome.percentile(100));
    // A log that moves now and then is asked as often as without a jump.
    let [mut before, mut jumped] =
        [0, -7_200_000].map(|jump| simulate(LIMITS, 1_000, 15, 30, jump, 3));
    assert!(jumped.requests < before.requests * 3, "{} requests", jumped.requests);
    assert!(jumped.percentile(99) <= before.percentile(99) + 1_000, "{jumped:?}");
}

#[test]
fn an_object_is_awaited_only_while_its_time_can_be_near() {
    let now = Instant::now();
    let mut poller = Poller::new(LIMITS, now);
    poller.answered(Millis::new(100_000_000), now);
    for (stamp, is_awaited) in [
        (98_999_999, false),
        (99_999_500, true),
        (100_000_300, true),
        (100_001_500, false),
        (107_200_000, false),
    ] {
        let is_found = poller.is_awaited(&header(stamp, 0, 1_000, 1_000), now);
        assert_eq!(is_found, is_awaited, "{stamp}");
    }
    assert!(!poller.is_awaited(&header(u64::MAX, i64::MAX, u32::MAX, u32::MAX), now));
    assert!(!poller.is_awaited(&header(100_000_000, 0, 0, 1_000), now), "it announces nothing");
}

#[test]
fn a_slow_and_unsteady_store_is_met_in_the_same_period() {
    let mut outcome = simulate(LIMITS, 1_000, 100, 400, 0, 2);
    assert!(outcome.percentile(50) < 400, "p50 {}", outcome.percentile(50));
    assert!(outcome.percentile(99) < 1_100, "p99 {}", outcome.percentile(99));
    assert!(outcome.requests < 2_000 * 3, "{} requests", outcome.requests);
}

#[test]
fn a_log_that_moves_now_and_then_is_still_seen_within_an_interval() {
    let mut outcome = simulate(LIMITS, 1_000, 15, 30, 0, 3);
    assert!(outcome.percentile(99) <= 2_100, "p99 {}", outcome.percentile(99));
    assert!(outcome.percentile(50) < 100, "p50 {}", outcome.percentile(50));
}

#[test]
fn a_finer_grid_is_polled_no_more_often_than_configured() {
    let outcome = simulate(LIMITS, 50, 100, 10, 0, 4);
    let periods = 2_000 * 50 / 1_000;
    assert!(
        outcome.requests <= periods * 2,
        "{} requests in {periods} intervals",
        outcome.requests
    );
    let fast = Limits { poll_ms: 50, idle_ms: 1_000 };
    let mut outcome = simulate(fast, 50, 100, 10, 0, 5);
    assert!(outcome.percentile(99) < 60, "p99 {}", outcome.percentile(99));
}

#[test]
fn a_quiet_log_is_asked_less_and_less_up_to_the_idle_interval() {
    let began = Instant::now();
    let mut poller = Poller::new(LIMITS, began);
    poller.answered(Millis::new(1_000_000), began);
    poller.moved(&header(999_990, 0, 1_000, 1_000), began);
    let (mut now, mut waits) = (1_000_000, Vec::new());
    for _ in 0..200 {
        let wait = poller.wait(began + Duration::from_millis(now - 1_000_000)).as_millis() as u64;
        waits.push(wait);
        now += wait;
    }
    assert!(waits[..8].iter().all(|wait| *wait <= 1_000), "{waits:?}");
    assert!(waits[150..].iter().all(|wait| (14_000..=15_000).contains(wait)), "{waits:?}");
    // Still on the grid: shortly after the announced instants.
    assert!((now - 999_990) % 1_000 <= 500, "{now}");
}

#[test]
fn a_header_without_a_grid_is_polled_at_the_interval() {
    let now = Instant::now();
    let mut poller = Poller::new(LIMITS, now);
    assert_eq!(poller.wait(now), Duration::from_millis(1_000));
    poller.moved(&header(5_000, 0, 0, 0), now);
    assert_eq!(poller.wait(now), Duration::from_millis(1_000));
    // Absurd announcements neither overflow nor stop the polling.
    poller.moved(&header(u64::MAX, i64::MAX, 1, u32::MAX), now);
    assert!(poller.wait(now) <= Duration::from_millis(1_000));
    poller.moved(&header(0, i64::MIN, u32::MAX, 0), now);
    assert!(poller.wait(now) <= Duration::from_millis(1_000));
}
