//! The names that people give: of fleets, nodes and databases.
//!
//! Invariant N1: a `Name` is a plain file name without surprises on any system, so that joining it to a folder cannot
//! lead out of that folder. `Name::parse` enforces it, and no other way makes one.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};

use crate::ids::FromText;

/// The longest name in bytes.
pub const NAME_BYTES_MAX: usize = 128;

/// `[A-Za-z0-9._-]{1,128}`, without `..`, not beginning with a dot.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Name(String);

/// Why a text is not a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The text has no characters.
    #[error("a name must not be empty")]
    Empty,
    /// The text is too long.
    #[error("a name has at most {NAME_BYTES_MAX} characters")]
    TooLong,
    /// A character outside the allowed set.
    #[error(
        "a name consists of letters, digits, '.', '_' and '-'; {character:?} at {at} is none of them"
    )]
    Character {
        /// The character found.
        character: char,
        /// Its offset in bytes.
        at: usize,
    },
    /// The text begins with a dot, which hides files.
    #[error("a name must not begin with '.'")]
    LeadingDot,
    /// The text contains two dots in a row, which could be read as the parent folder.
    #[error("a name must not contain '..'")]
    DotDot,
}

impl Name {
    /// The name that `text` is, or why it is none.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        check(text)?;
        Ok(Name(text.to_owned()))
    }

    /// The name as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The form to compare for uniqueness: some file systems ignore case.
    pub fn key(&self) -> String {
        self.0.to_ascii_lowercase()
    }
}

fn check(text: &str) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    if text.len() > NAME_BYTES_MAX {
        return Err(NameError::TooLong);
    }
    if let Some((at, character)) = text.char_indices().find(|&(_, character)| !allowed(character)) {
        return Err(NameError::Character { character, at });
    }
    if text.starts_with('.') {
        return Err(NameError::LeadingDot);
    }
    if text.contains("..") {
        return Err(NameError::DotDot);
    }
    Ok(())
}

fn allowed(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '.' | '_' | '-')
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        Name::parse(text)
    }
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(FromText::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_file_names_are_names() {
        for text in ["a", "mission-control", "A.b_c-9", "x.db", "-", "_", &"n".repeat(128)] {
            assert_eq!(Name::parse(text).unwrap().as_str(), text);
        }
    }

    #[test]
    fn everything_else_is_refused_with_its_reason() {
        let refused = |text: &str| Name::parse(text).unwrap_err();
        assert_eq!(refused(""), NameError::Empty);
        assert_eq!(refused(&"n".repeat(129)), NameError::TooLong);
        assert_eq!(refused("a/b"), NameError::Character { character: '/', at: 1 });
        assert_eq!(refused("ab\0"), NameError::Character { character: '\0', at: 2 });
        assert_eq!(refused("größe"), NameError::Character { character: 'ö', at: 2 });
        assert_eq!(refused("."), NameError::LeadingDot);
        assert_eq!(refused(".."), NameError::LeadingDot);
        assert_eq!(refused("a..b"), NameError::DotDot);
    }

    #[test]
    fn case_is_kept_but_does_not_make_names_different() {
        let (upper, lower) = (Name::parse("Mail").unwrap(), Name::parse("mail").unwrap());
        assert_ne!(upper, lower);
        assert_eq!(upper.key(), lower.key());
        assert_eq!(upper.to_string(), "Mail");
    }

    #[test]
    fn json_passes_through_the_same_check() {
        assert!(serde_json::from_str::<Name>(r#""../x""#).is_err());
        assert_eq!(serde_json::from_str::<Name>(r#""x""#).unwrap(), Name::parse("x").unwrap());
    }
}
