//! What can be wrong with a configuration file, told with file, line and column, and with the key that was meant.

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use thiserror::Error;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::exit::{ExitCode, Failure};

/// Names that are further apart than this share of their length (in percent) are not suggested.
const LIKENESS_MIN_PERCENT: f64 = 60.0;

/// Why a configuration cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The text is not what is expected at this place.
    #[error("{}:{place}: {message}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where in the file.
        place: Place,
        /// What is wrong.
        message: String,
        /// The key that was probably meant.
        meant: Option<String>,
    },
    /// Each value is well formed, but together they make no sense.
    #[error("{}: {message}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
        /// What to write instead.
        hint: Option<String>,
    },
}

/// A line and a column, both counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Line.
    pub line: usize,
    /// Column in characters.
    pub column: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

impl ConfigError {
    /// Tells a parser's error by its place, and guesses what an unknown key was meant to be.
    pub(super) fn from_toml(path: &Path, text: &str, error: &toml::de::Error) -> Self {
        let unknown = Unknown::from_message(error.message());
        let span = error.span().unwrap_or(0..0);
        let offset = unknown
            .as_ref()
            .and_then(|unknown| find_key(text, unknown.key, &span))
            .unwrap_or(span.start);
        Self::Malformed {
            path: path.into(),
            place: Place::of(text, offset),
            message: error.message().into(),
            meant: unknown.and_then(|unknown| closest(unknown.key, unknown.known)),
        }
    }

    /// The advice that goes with the error.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unreadable { .. } => {
                Some("name the configuration with -c FILE; config/*.toml are examples".into())
            }
            Self::Malformed { meant, .. } => {
                meant.as_ref().map(|key| format!("did you mean `{key}`?"))
            }
            Self::Invalid { hint, .. } => hint.clone(),
        }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        let failure = Self::from_error(ExitCode::Usage, &error);
        match error.hint() {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

impl Place {
    fn of(text: &str, offset: usize) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Self {
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }
}

/// An unknown key or variant, and those that are known at its place, as serde names them: every name between backticks.
struct Unknown<'a> {
    key: &'a str,
    known: Vec<&'a str>,
}

impl<'a> Unknown<'a> {
    fn from_message(message: &'a str) -> Option<Self> {
        let rest = message
            .strip_prefix("unknown field ")
            .or_else(|| message.strip_prefix("unknown variant "))?;
        let mut names = rest.split('`').skip(1).step_by(2);
        Some(Self { key: names.next()?, known: names.collect() })
    }
}

/// The known name that is most like this one, if any is like it.
pub(super) fn closest<'a>(key: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    known
        .into_iter()
        .map(|name| {
            (
                strsim::normalized_damerau_levenshtein(&key.to_lowercase(), &name.to_lowercase()),
                name,
            )
        })
        .filter(|(likeness, _)| likeness * 100.0 >= LIKENESS_MIN_PERCENT)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name.to_owned())
}

/// Where this key (or text value) stands. Serde reads tables with a `kind` ahead of time and then knows only the
/// place of the table's header, so the key is looked up again; of several, the first at or after the header.
fn find_key(text: &str, key: &str, span: &Range<usize>) -> Option<usize> {
    let document = DeTable::parse(text).ok()?;
    let mut found = Vec::new();
    collect(document.get_ref(), key, &mut found);
    found.sort_unstable();
    found.into_iter().find(|offset| *offset >= span.start)
}

fn collect(table: &DeTable<'_>, key: &str, found: &mut Vec<usize>) {
    for (name, value) in table {
        if name.get_ref() == key {
            found.push(name.span().start);
        }
        collect_value(value, key, found);
    }
}

fn collect_value(value: &Spanned<DeValue<'_>>, key: &str, found: &mut Vec<usize>) {
    match value.get_ref() {
        DeValue::Table(table) => collect(table, key, found),
        DeValue::Array(items) => items.iter().for_each(|item| collect_value(item, key, found)),
        DeValue::String(text) if text == key => found.push(value.span().start),
        _ => {}
    }
}
