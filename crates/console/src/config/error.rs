//! What can be wrong with a configuration file, told with file, line and column, and with the key that was meant.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::place::{self, Place};
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
    /// Each value is well formed, but it makes no sense here.
    #[error("{}:{place}: {message}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Where in the file.
        place: Place,
        /// What is wrong.
        message: String,
        /// What to write instead.
        hint: Option<String>,
    },
}

impl ConfigError {
    /// Tells a parser's error by its place, and guesses what an unknown key was meant to be.
    pub(super) fn from_toml(path: &Path, text: &str, error: &toml::de::Error) -> Self {
        let unknown = Unknown::from_message(error.message());
        let span = error.span().unwrap_or(0..0);
        let offset = unknown
            .as_ref()
            .and_then(|unknown| place::of_word(text, unknown.key, &span))
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
