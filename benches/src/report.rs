//! What a measurement says: figures with their baselines, ratios and targets.

use std::fmt;

use console::output::{Align, Table};
use serde::Serialize;

use crate::machine::Machine;

/// All figures of one run.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    /// The measurement's name.
    pub(crate) bench: &'static str,
    /// What it was taken on.
    pub(crate) machine: Machine,
    /// What was measured, in words.
    pub(crate) setup: String,
    /// The figures.
    pub(crate) figures: Vec<Figure>,
    /// What a reader of the figures has to know.
    pub(crate) notes: Vec<String>,
}

/// One number.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Figure {
    /// What it says.
    pub(crate) name: String,
    /// The number.
    pub(crate) value: f64,
    /// Its unit.
    pub(crate) unit: &'static str,
    /// What it is compared with, in the same unit.
    pub(crate) baseline: Option<Baseline>,
    /// Value divided by baseline.
    pub(crate) ratio: Option<f64>,
    /// What is promised.
    pub(crate) target: Option<Target>,
}

/// What a figure is compared with.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Baseline {
    /// What it is.
    pub(crate) what: String,
    /// Its number.
    pub(crate) value: f64,
}

/// A promise about a figure.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Target {
    /// The promise.
    pub(crate) promise: String,
    /// Whether this run kept it.
    pub(crate) is_met: bool,
}

impl Figure {
    /// A number without anything beside it.
    pub(crate) fn new(name: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self { name: name.into(), value, unit, baseline: None, ratio: None, target: None }
    }

    /// The same number beside what it is compared with.
    pub(crate) fn against(mut self, what: impl Into<String>, value: f64) -> Self {
        self.ratio = (value != 0.0).then(|| self.value / value);
        self.baseline = Some(Baseline { what: what.into(), value });
        self
    }

    /// Promised: the value is at most this.
    pub(crate) fn at_most(self, limit: f64) -> Self {
        let (promise, is_met) = (format!("<= {} {}", short(limit), self.unit), self.value <= limit);
        self.promise(promise, is_met)
    }

    /// Promised: the value is at least this.
    pub(crate) fn at_least(self, limit: f64) -> Self {
        let (promise, is_met) = (format!(">= {} {}", short(limit), self.unit), self.value >= limit);
        self.promise(promise, is_met)
    }

    /// Promised: the ratio is at most this.
    pub(crate) fn ratio_at_most(self, limit: f64) -> Self {
        let is_met = self.ratio.is_some_and(|ratio| ratio <= limit);
        self.promise(format!("<= {}x", short(limit)), is_met)
    }

    fn promise(self, promise: String, is_met: bool) -> Self {
        Self { target: Some(Target { promise, is_met }), ..self }
    }

    fn cells(&self) -> [String; 6] {
        let baseline = self.baseline.as_ref();
        let target = self.target.as_ref();
        [
            self.name.clone(),
            format!("{} {}", short(self.value), self.unit),
            baseline.map(|b| format!("{} {}", short(b.value), self.unit)).unwrap_or_default(),
            baseline.map(|b| b.what.clone()).unwrap_or_default(),
            self.ratio.map(|ratio| format!("{ratio:.2}x")).unwrap_or_default(),
            target.map(Target::words).unwrap_or_default(),
        ]
    }
}

impl Target {
    fn words(&self) -> String {
        format!("{} {}", self.promise, if self.is_met { "met" } else { "MISSED" })
    }
}

/// Three digits that matter; whole numbers stay whole.
fn short(value: f64) -> String {
    let digits = match value.abs() {
        value if value.fract() == 0.0 || value >= 100.0 => 0,
        value if value >= 10.0 => 1,
        value if value >= 1.0 => 2,
        _ => 3,
    };
    format!("{value:.digits$}")
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}\nmachine: {}\n", self.bench, self.setup, self.machine)?;
        let mut table = Table::new([
            ("FIGURE", Align::Left),
            ("VALUE", Align::Right),
            ("BASELINE", Align::Right),
            ("", Align::Left),
            ("RATIO", Align::Right),
            ("TARGET", Align::Left),
        ]);
        for figure in &self.figures {
            table.row(figure.cells());
        }
        writeln!(f, "{table}")?;
        self.notes.iter().try_for_each(|note| write!(f, "\n- {note}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_tell_ratio_and_target() {
        let figure = Figure::new("restore", 3.0, "s").against("cp", 2.0).ratio_at_most(2.0);
        assert_eq!(figure.cells(), ["restore", "3 s", "2 s", "cp", "1.50x", "<= 2x met"]);
        let figure = Figure::new("p99", 2_500.4, "ms").at_most(2_000.0);
        assert_eq!(figure.cells()[5], "<= 2000 ms MISSED");
        let figure = Figure::new("speed", 150.0, "MB/s").against("nothing", 0.0).at_least(200.0);
        assert_eq!((figure.ratio, figure.target.map(|t| t.is_met)), (None, Some(false)));
    }

    #[test]
    fn numbers_are_short() {
        let cases =
            [(0.0, "0"), (0.0312, "0.031"), (1.234, "1.23"), (45.67, "45.7"), (812.3, "812")];
        for (value, text) in cases {
            assert_eq!(short(value), text);
        }
    }
}
