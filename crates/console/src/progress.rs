//! A progress bar on a terminal, and nothing anywhere else.

use std::io::{IsTerminal, stderr};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How far a long command is, in bytes. Cheap to clone; every clone moves the same bar.
#[derive(Clone, Debug)]
pub struct Progress(ProgressBar);

impl Progress {
    /// A bar of `total` bytes on standard error where that is a terminal and `wanted` (not with `--json`).
    #[must_use]
    pub fn bytes(total: u64, label: &str, wanted: bool) -> Self {
        let shown = wanted && stderr().is_terminal();
        let target =
            if shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(total), target).with_style(style());
        bar.set_message(label.to_owned());
        Self(bar)
    }

    /// So many more bytes were moved.
    pub fn add(&self, bytes: u64) {
        self.0.inc(bytes);
    }

    /// Says what is going on now.
    pub fn say(&self, label: &str) {
        self.0.set_message(label.to_owned());
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        self.0.finish_and_clear();
    }

    /// Bytes moved so far.
    #[must_use]
    pub fn moved(&self) -> u64 {
        self.0.position()
    }
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template(
        "{msg} {wide_bar} {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} eta {eta}",
    )
    .expect("BUG: the template is a constant that tests parse")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_counted_without_a_terminal() {
        let progress = Progress::bytes(10, "restore", false);
        progress.clone().add(4);
        progress.say("verify");
        assert_eq!(progress.moved(), 4);
        progress.finish();
    }
}
