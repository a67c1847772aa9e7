//! The same load without and with the shipper, in turn: what lies between two neighbouring phases cannot come from the
//! time of day, the disk's mood or the size that a database has grown to.

use std::time::Duration;

use console::Failure;
use store::clock::{Clock as _, SystemClock};

use crate::report::Figure;
use crate::statistics::{Spread, median};
use crate::work::Commit;
use crate::world::{LONG, World};

/// After a change, before anything counts.
const SETTLE: Duration = Duration::from_secs(2);

/// A measured time, in milliseconds since 1970.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Phase {
    pub(crate) with_shipper: bool,
    pub(crate) from: u64,
    pub(crate) until: u64,
}

/// Carries out the phases beside a load that runs already. `observe` is called during each and bounds its time.
pub(crate) fn alternate(
    world: &World,
    rounds: u32,
    observe: &mut dyn FnMut(bool) -> Result<(), Failure>,
) -> Result<Vec<Phase>, Failure> {
    let mut phases = Vec::new();
    for _ in 0..rounds {
        phases.push(phase(false, observe)?);
        let mut shipper = world.ship(None)?;
        world.wait_shipping(&mut shipper)?;
        phases.push(phase(true, observe)?);
        shipper.check()?;
        shipper.terminate(LONG)?;
    }
    Ok(phases)
}

fn phase(
    with_shipper: bool,
    observe: &mut dyn FnMut(bool) -> Result<(), Failure>,
) -> Result<Phase, Failure> {
    std::thread::sleep(SETTLE);
    let from = SystemClock.now().get();
    observe(with_shipper)?;
    Ok(Phase { with_shipper, from, until: SystemClock.now().get() })
}

/// Latencies of the commits, in milliseconds, phase by phase.
pub(crate) struct Latencies(Vec<(Phase, Vec<f64>)>);

impl Latencies {
    /// Sorts the commits into the phases; those between two phases do not count.
    pub(crate) fn sort(phases: &[Phase], commits: &[Commit]) -> Self {
        let of = |phase: &Phase| {
            let inside = commits.iter().filter(|(at, _)| (phase.from..phase.until).contains(at));
            (*phase, inside.map(|(_, micros)| f64::from(*micros) / 1e3).collect())
        };
        Self(phases.iter().map(of).collect())
    }

    fn side(&self, with_shipper: bool) -> impl Iterator<Item = &(Phase, Vec<f64>)> {
        self.0.iter().filter(move |(phase, _)| phase.with_shipper == with_shipper)
    }

    fn spreads(&self, with_shipper: bool) -> Vec<Spread> {
        self.side(with_shipper).map(|(_, values)| Spread::of(values.clone())).collect()
    }

    fn rate(&self, with_shipper: bool) -> f64 {
        let rate = |(phase, values): &(Phase, Vec<f64>)| {
            values.len() as f64 * 1e3 / (phase.until - phase.from).max(1) as f64
        };
        median(self.side(with_shipper).map(rate))
    }

    /// With us against without. The promise is judged by the transactions of all phases together: one phase alone has
    /// too few slow ones.
    pub(crate) fn figures(&self, name: &str, ratio_max: f64) -> Vec<Figure> {
        let (without, with) = (self.spreads(false), self.spreads(true));
        let figure = |what: &str, of: fn(&Spread) -> f64| {
            let [with, without] = [&with, &without].map(|side| median(side.iter().map(of)));
            Figure::new(format!("{name}: {what}"), with, "ms").against("without us", without)
        };
        vec![
            figure("commit latency, p50", |spread| spread.p50),
            figure("commit latency, p99 of a phase", |spread| spread.p99),
            figure("commit latency, max", |spread| spread.max),
            self.pooled(name).ratio_at_most(ratio_max),
            self.noise(name, &without),
            Figure::new(format!("{name}: transactions"), self.rate(true), "/s")
                .against("without us", self.rate(false)),
        ]
    }

    fn pooled(&self, name: &str) -> Figure {
        let [with, without] = [true, false].map(|side| {
            Spread::of(self.side(side).flat_map(|(_, values)| values.clone()).collect())
        });
        Figure::new(format!("{name}: commit latency, p99"), with.p99, "ms")
            .against("without us", without.p99)
    }

    /// How far the phases without us differ among themselves: no difference below this says anything.
    fn noise(&self, name: &str, without: &[Spread]) -> Figure {
        let p99s = || without.iter().map(|spread| spread.p99);
        let (highest, lowest) = (p99s().fold(0.0, f64::max), p99s().fold(f64::MAX, f64::min));
        Figure::new(format!("{name}: noise, highest p99 without us"), highest, "ms")
            .against("lowest without us", lowest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commits_are_sorted_into_phases_and_compared() {
        let phase = |with_shipper, from| Phase { with_shipper, from, until: from + 1_000 };
        let phases = [phase(false, 0), phase(true, 2_000), phase(false, 4_000), phase(true, 6_000)];
        let commits: Vec<Commit> =
            (0..8_000).map(|at| (at, if (at / 2_000) % 2 == 1 { 3_000 } else { 2_000 })).collect();
        let latencies = Latencies::sort(&phases, &commits);
        let figures = latencies.figures("x", 1.1);
        let p99 = figures.iter().find(|figure| figure.name == "x: commit latency, p99").unwrap();
        assert_eq!((p99.value, p99.ratio), (3.0, Some(1.5)));
        assert!(p99.target.as_ref().is_some_and(|target| !target.is_met));
        let rate = figures.last().unwrap();
        assert_eq!((rate.value, rate.ratio), (1_000.0, Some(1.0)));
    }
}
