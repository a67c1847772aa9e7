//! From commit to readable on the standby: every probe, and those that no outage touched.
//!
//! A kill makes the probes in flight wait for the restart; that says how fast a restart is, not how fast the
//! programs are. So the figures are kept apart: a probe is disturbed if any moment between its commit and its
//! being readable lies in an outage, and an outage lasts from the kill to the moment when a probe that was
//! committed after the restart is readable.

use segment::Millis;
use serde::Serialize;

/// One probe: when it was committed, and when the standby first showed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Just before the commit, by the clock of the host.
    pub committed: Millis,
    /// By the same clock.
    pub readable: Millis,
}

impl Probe {
    fn waited(self) -> u64 {
        self.readable.since(self.committed)
    }

    fn overlaps(self, outage: &Outage) -> bool {
        self.committed <= outage.until && outage.from <= self.readable
    }
}

/// A time in which one of the programs was not at work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outage {
    /// When it began.
    pub from: Millis,
    /// When everything flowed again.
    pub until: Millis,
}

impl Outage {
    /// The outage from `from` to the moment when a probe committed at `again` or later was readable.
    #[must_use]
    pub fn until_probe(from: Millis, again: Millis, probes: &[Probe]) -> Self {
        let after = probes.iter().filter(|probe| probe.committed >= again);
        let until = after.map(|probe| probe.readable).min();
        Self { from, until: until.unwrap_or(Millis::new(u64::MAX)) }
    }
}

/// Milliseconds from commit to readable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Latency {
    /// How many probes were counted.
    pub probes: usize,
    /// The median.
    pub p50_ms: u64,
    /// 99 of 100 were at most this.
    pub p99_ms: u64,
    /// The longest.
    pub max_ms: u64,
}

impl Latency {
    /// Of all probes.
    #[must_use]
    pub fn of_all(probes: &[Probe]) -> Self {
        Self::of(probes.iter().map(|probe| probe.waited()).collect())
    }

    /// Of the probes that no outage touched.
    #[must_use]
    pub fn undisturbed(probes: &[Probe], outages: &[Outage]) -> Self {
        let is_calm = |probe: &&Probe| !outages.iter().any(|outage| probe.overlaps(outage));
        Self::of(probes.iter().filter(is_calm).map(|probe| probe.waited()).collect())
    }

    fn of(mut waited: Vec<u64>) -> Self {
        waited.sort_unstable();
        Self {
            probes: waited.len(),
            p50_ms: percentile(&waited, 50),
            p99_ms: percentile(&waited, 99),
            max_ms: waited.last().copied().unwrap_or(0),
        }
    }
}

/// The smallest value that at least `percent` of 100 do not exceed; 0 of nothing.
fn percentile(sorted: &[u64], percent: usize) -> u64 {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probe(committed: u64, waited: u64) -> Probe {
        Probe { committed: Millis::new(committed), readable: Millis::new(committed + waited) }
    }

    #[test]
    fn percentiles_are_values_that_occurred() {
        let values: Vec<u64> = (1..=200).collect();
        assert_eq!((percentile(&values, 50), percentile(&values, 99)), (100, 198));
        assert_eq!((percentile(&[7], 50), percentile(&[7], 99)), (7, 7));
        assert_eq!(percentile(&[], 99), 0);
    }

    #[test]
    fn an_outage_ends_when_a_later_probe_is_readable() {
        let probes = [probe(900, 1_500), probe(1_700, 900), probe(1_800, 700)];
        let outage = Outage::until_probe(Millis::new(1_000), Millis::new(1_650), &probes);
        assert_eq!(outage.until, Millis::new(2_500));
        let never = Outage::until_probe(Millis::new(1_000), Millis::new(5_000), &probes);
        assert_eq!(Latency::undisturbed(&probes[1..], &[never]).probes, 0);
    }

    #[test]
    fn probes_that_an_outage_touches_are_counted_apart() {
        let outages = [Outage { from: Millis::new(1_000), until: Millis::new(2_000) }];
        let probes = [
            probe(0, 10),
            probe(900, 1_150),
            probe(1_500, 600),
            probe(1_990, 20),
            probe(2_001, 30),
        ];
        let calm = Latency::undisturbed(&probes, &outages);
        assert_eq!((calm.probes, calm.p50_ms, calm.max_ms), (2, 10, 30));
        assert_eq!(Latency::of_all(&probes).max_ms, 1_150);
        assert_eq!(Latency::undisturbed(&[], &outages), Latency::default());
    }
}
