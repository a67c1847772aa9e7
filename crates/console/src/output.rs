//! Answers of commands on standard output: a table or text for people, one JSON document with `--json`.
//!
//! A reader that goes away (`| head`) ends the output quietly. Values that are not known are shown as `?`.

use std::fmt;
use std::io::{self, Write};
use std::time::Duration;

use serde::Serialize;

/// How unknown values are shown to people; machines get `null`.
pub const UNKNOWN: &str = "?";

/// Prints one answer: `value` as JSON where `json` is set, else what `human` shows.
///
/// # Errors
/// When standard output cannot be written, unless its reader is gone.
pub fn print<T: Serialize + ?Sized>(
    json: bool,
    value: &T,
    human: impl FnOnce() -> String,
) -> io::Result<()> {
    let text = if json { to_json(value)? } else { human() };
    quiet_when_reader_is_gone(write_line(&mut io::stdout().lock(), &text))
}

/// Prints a line of an answer that comes in several.
///
/// # Errors
/// As for [`print()`].
pub fn say(line: &str) -> io::Result<()> {
    quiet_when_reader_is_gone(write_line(&mut io::stdout().lock(), line))
}

fn to_json<T: Serialize + ?Sized>(value: &T) -> io::Result<String> {
    serde_json::to_string_pretty(value).map_err(io::Error::other)
}

fn write_line(out: &mut impl Write, text: &str) -> io::Result<()> {
    out.write_all(text.trim_end_matches('\n').as_bytes())?;
    out.write_all(b"\n")?;
    out.flush()
}

fn quiet_when_reader_is_gone(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// Where the text of a column stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Names and words.
    Left,
    /// Numbers.
    Right,
}

/// Rows under a heading, in columns as wide as their widest cell.
#[derive(Clone, Debug)]
pub struct Table {
    columns: Vec<(String, Align)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these columns.
    #[must_use]
    pub fn new<'a>(columns: impl IntoIterator<Item = (&'a str, Align)>) -> Self {
        let columns =
            columns.into_iter().map(|(heading, align)| (heading.to_owned(), align)).collect();
        Self { columns, rows: Vec::new() }
    }

    /// Adds a row; cells that are missing at its end stay empty, cells beyond the last column are left out.
    pub fn row<C: Into<String>>(&mut self, cells: impl IntoIterator<Item = C>) -> &mut Self {
        let mut row: Vec<String> = cells.into_iter().map(|cell| plain(&cell.into())).collect();
        row.resize(self.columns.len(), String::new());
        self.rows.push(row);
        self
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    fn width(&self, column: usize) -> usize {
        let cells = self.rows.iter().map(|row| row[column].chars().count());
        cells.chain([self.columns[column].0.chars().count()]).max().unwrap_or(0)
    }

    fn line<'a>(&self, widths: &[usize], cells: impl Iterator<Item = &'a str>) -> String {
        let cells =
            cells.zip(widths).zip(&self.columns).map(|((cell, width), (_, align))| match align {
                Align::Left => format!("{cell:<width$}"),
                Align::Right => format!("{cell:>width$}"),
            });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths: Vec<usize> = (0..self.columns.len()).map(|column| self.width(column)).collect();
        f.write_str(&self.line(&widths, self.columns.iter().map(|(heading, _)| heading.as_str())))?;
        self.rows.iter().try_for_each(|row| {
            write!(f, "\n{}", self.line(&widths, row.iter().map(String::as_str)))
        })
    }
}

/// Control characters would let a text from outside move the cursor or break a row.
fn plain(cell: &str) -> String {
    cell.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// A size for people: `0 B`, `4.0 KiB`, `162.0 MiB`.
#[must_use]
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if count < 1_024 {
        return format!("{count} B");
    }
    #[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
    let mut value = count as f64 / 1_024.0;
    let mut unit = 0;
    while value >= 1_023.95 && unit + 1 < UNITS.len() {
        value /= 1_024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// An age or a duration for people: `340 ms`, `12.4 s`, `3m 05s`, `2h 10m`, `4d 03h`.
#[must_use]
pub fn age(duration: Duration) -> String {
    let secs = duration.as_secs();
    match (duration.as_millis(), secs) {
        (millis @ ..1_000, _) => format!("{millis} ms"),
        (millis @ ..60_000, _) => format!("{}.{} s", millis / 1_000, millis % 1_000 / 100),
        (_, ..3_600) => format!("{}m {:02}s", secs / 60, secs % 60),
        (_, ..86_400) => format!("{}h {:02}m", secs / 3_600, secs % 3_600 / 60),
        _ => format!("{}d {:02}h", secs / 86_400, secs % 86_400 / 3_600),
    }
}

/// A value that may be unknown, for people.
#[must_use]
pub fn known<T>(value: Option<T>, show: impl FnOnce(T) -> String) -> String {
    value.map_or_else(|| UNKNOWN.to_owned(), show)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_rows_made_whole() {
        let mut table =
            Table::new([("NAME", Align::Left), ("BYTES", Align::Right), ("STATE", Align::Left)]);
        table.row(["mission-control", "1", "live"]).row(["x"]).row([
            "y\u{1b}[2J\n",
            "12",
            "",
            "beyond",
        ]);
        assert_eq!(
            table.to_string(),
            "NAME             BYTES  STATE\nmission-control      1  live\nx\ny [2J               12"
        );
        assert!(!table.is_empty());
    }

    #[test]
    fn sizes_and_ages_are_short() {
        for (count, text) in [
            (0, "0 B"),
            (1_023, "1023 B"),
            (4_096, "4.0 KiB"),
            (1 << 20, "1.0 MiB"),
            ((1 << 20) - 1, "1.0 MiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(bytes(count), text);
        }
        for (millis, text) in [
            (0, "0 ms"),
            (12_449, "12.4 s"),
            (59_999, "59.9 s"),
            (185_000, "3m 05s"),
            (7_800_000, "2h 10m"),
            (356_400_000, "4d 03h"),
        ] {
            assert_eq!(age(Duration::from_millis(millis)), text);
        }
        assert_eq!(known(None::<u64>, bytes), "?");
        assert_eq!(known(Some(5), bytes), "5 B");
    }

    #[test]
    fn a_gone_reader_is_no_error() {
        let gone = io::Error::from(io::ErrorKind::BrokenPipe);
        assert!(quiet_when_reader_is_gone(Err(gone)).is_ok());
        assert!(quiet_when_reader_is_gone(Err(io::Error::other("full"))).is_err());
        let mut out = Vec::new();
        write_line(&mut out, "a\n\n").unwrap();
        assert_eq!(out, b"a\n");
    }
}
