//! What is shown while the demo runs: a table that is redrawn in place on a terminal, a line now and then elsewhere,
//! nothing with `--json`. All of it on standard error, so that standard output holds the verdict alone.

use std::io::{self, IsTerminal as _, Write};
use std::time::{Duration, Instant};

use super::view::{self, Row};

/// How often a log gets a line.
const LINE_INTERVAL: Duration = Duration::from_secs(2);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    Redrawn,
    Lines,
    Silent,
}

/// The screen.
pub struct Screen<W: Write = io::Stderr> {
    out: W,
    manner: Manner,
    began: Instant,
    drawn_lines: usize,
    last_line: Option<Instant>,
}

impl Screen {
    /// The standard error of this process.
    #[must_use]
    pub fn new(is_silent: bool) -> Self {
        let manner = match (is_silent, io::stderr().is_terminal()) {
            (true, _) => Manner::Silent,
            (false, true) => Manner::Redrawn,
            (false, false) => Manner::Lines,
        };
        Self::on(io::stderr(), manner)
    }
}

impl<W: Write> Screen<W> {
    fn on(out: W, manner: Manner) -> Self {
        Self { out, manner, began: Instant::now(), drawn_lines: 0, last_line: None }
    }

    /// Says that something has happened; it stays above the table.
    pub fn say(&mut self, what: &str) {
        if self.manner != Manner::Silent {
            let text = format!("{}{:5.1} s  {what}\n", self.erase(), self.seconds());
            self.write(&text);
        }
    }

    /// Shows how things are.
    pub fn show(&mut self, rows: &[Row], doing: &str) {
        match self.manner {
            Manner::Silent => {}
            Manner::Redrawn => self.redraw(rows, doing),
            Manner::Lines => self.line(rows),
        }
    }

    /// Takes the table away.
    pub fn clear(&mut self) {
        let text = self.erase();
        self.write(&text);
    }

    fn redraw(&mut self, rows: &[Row], doing: &str) {
        let table = view::table(rows);
        let text = format!("{}\n{table}\n{:5.1} s  {doing}\n", self.erase(), self.seconds());
        self.drawn_lines = table.lines().count() + 2;
        self.write(&text);
    }

    fn line(&mut self, rows: &[Row]) {
        if self.last_line.is_none_or(|at| at.elapsed() >= LINE_INTERVAL) {
            self.last_line = Some(Instant::now());
            let text = format!("{:5.1} s  {}\n", self.seconds(), view::line(rows));
            self.write(&text);
        }
    }

    /// Moves to the first line of the table and erases to the end of the screen.
    fn erase(&mut self) -> String {
        match std::mem::take(&mut self.drawn_lines) {
            0 => String::new(),
            lines => format!("\u{1b}[{lines}F\u{1b}[J"),
        }
    }

    fn seconds(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }

    /// A screen that is gone changes nothing about the verdict.
    fn write(&mut self, text: &str) {
        let shown = self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush());
        tracing::trace!(?shown, "screen");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(manner: Manner) -> String {
        let mut out = Vec::new();
        let mut screen = Screen::on(&mut out, manner);
        let rows = [Row { tier: "fleet".into(), ..Row::default() }];
        screen.show(&rows, "writing");
        screen.show(&rows, "writing");
        screen.say("killed");
        screen.clear();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_terminal_is_redrawn_in_place() {
        let text = shown(Manner::Redrawn);
        assert_eq!(text.matches("\u{1b}[4F\u{1b}[J").count(), 2, "{text:?}");
        assert!(text.ends_with("s  killed\n"), "{text:?}");
    }

    #[test]
    fn a_log_gets_plain_lines_and_no_more_than_needed() {
        let text = shown(Manner::Lines);
        assert!(!text.contains('\u{1b}'), "{text:?}");
        assert_eq!(text.lines().count(), 2, "{text:?}");
        assert_eq!(shown(Manner::Silent), "");
    }
}
