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
/// are there after 5 to `jitter` ms. The standby's clock is `skew` ms off the store's.
fn simulate(
    limits: Limits,
    period: u64,
    percent: u64,
    jitter: u64,
    skew: i64,
    seed: u64,
) -> Outcome {
    let mut rng = Rng::new(seed);
    let start = 1_000_000_u64;
    let flushes = 2_000;
    let mut objects: Vec<(u64, u64)> = (1..flushes)
        .map(|number| start + number * period)
        .filter(|_| rng.below(100) < percent)
        .map(|stamp| (stamp, 0))
        .collect();
    for object in &mut objects {
        object.1 = object.0 + 5 + rng.below(jitter);
    }
    let own = |store: u64| Millis::new(store).offset(skew);
    let mut now = start;
    let mut poller = Poller::new(limits, own(now));
    let (mut seen, mut outcome) = (0, Outcome { requests: 0, lateness: Vec::new() });
    let end = start + flushes * period;
    while now < end {
        outcome.requests += 1;
        poller.answered(Millis::new(now), own(now));
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
    for skew in [0, 7_200_000, -7_200_000] {
        let mut outcome = simulate(LIMITS, 1_000, 100, 30, skew, 1);
        assert!(outcome.requests < 2_000 * 3 / 2, "{} requests", outcome.requests);
        assert!(outcome.percentile(50) < 60, "p50 {}", outcome.percentile(50));
        assert!(outcome.percentile(99) < 200, "p99 {}", outcome.percentile(99));
    }
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
    let mut poller = Poller::new(LIMITS, Millis::new(1_000_000));
    poller.answered(Millis::new(1_000_000), Millis::new(1_000_000));
    poller.moved(&header(999_990, 0, 1_000, 1_000), Millis::new(1_000_000));
    let (mut now, mut waits) = (1_000_000, Vec::new());
    for _ in 0..200 {
        let wait = poller.wait(Millis::new(now)).as_millis() as u64;
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
    let mut poller = Poller::new(LIMITS, Millis::new(5_000));
    assert_eq!(poller.wait(Millis::new(5_000)), Duration::from_millis(1_000));
    poller.moved(&header(5_000, 0, 0, 0), Millis::new(5_000));
    assert_eq!(poller.wait(Millis::new(5_000)), Duration::from_millis(1_000));
    // Absurd announcements neither overflow nor stop the polling.
    poller.moved(&header(u64::MAX, i64::MAX, 1, u32::MAX), Millis::new(5_000));
    assert!(poller.wait(Millis::new(5_000)) <= Duration::from_millis(1_000));
    poller.moved(&header(0, i64::MIN, u32::MAX, 0), Millis::new(5_000));
    assert!(poller.wait(Millis::new(5_000)) <= Duration::from_millis(1_000));
}
