//! Durations and sizes as a person writes them: `"250ms"`, `"1s"`, `"1h 30m"`, `"7d"`, `"256MiB"`.
//!
//! What is printed is what is read back: `parse(format(x)) == x` for every whole number of milliseconds and bytes.
//! Serde uses the modules [`duration`] and [`optional_duration`] by `#[serde(with = ...)]`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

/// Units of time, largest first, in milliseconds.
const TIME_UNITS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Units of size, largest first, in bytes.
const SIZE_UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("TB", 1_000_000_000_000),
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("KB", 1_000),
    ("B", 1),
];

/// Why a text is not a duration or a size.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum UnitError {
    /// Not a number followed by a unit.
    #[error("`{text}` is not {what}: write a whole number and a unit, like {example}")]
    Malformed {
        /// What was read.
        text: String,
        /// What was expected.
        what: &'static str,
        /// How it is written.
        example: &'static str,
    },
    /// The number does not fit.
    #[error("`{0}` is too large")]
    TooLarge(String),
}

/// Reads a duration: one or more numbers with a unit of `ms`, `s`, `m`, `h` or `d`.
///
/// # Errors
/// When the text has another form or does not fit in 64 bits of milliseconds.
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    parse_sum(text, &TIME_UNITS, "a duration", "\"1s\", \"250ms\", \"15m\" or \"7d\"")
        .map(Duration::from_millis)
}

/// Writes a duration in the form that [`parse_duration`] reads; parts below a millisecond are left out.
#[must_use]
pub fn format_duration(duration: Duration) -> String {
    let mut rest = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let mut parts = Vec::new();
    for (unit, millis) in TIME_UNITS {
        if rest >= millis {
            parts.push(format!("{}{unit}", rest / millis));
            rest %= millis;
        }
    }
    if parts.is_empty() { "0s".into() } else { parts.join(" ") }
}

/// A size in bytes, written like `"256MiB"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(pub u64);

impl ByteSize {
    /// A size of this many mebibytes.
    #[must_use]
    pub const fn mib(count: u64) -> Self {
        Self(count << 20)
    }
}

impl FromStr for ByteSize {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        parse_sum(text, &SIZE_UNITS, "a size", "\"256MiB\", \"4KiB\" or \"1GB\"").map(Self)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exact = |(_, bytes): &&(&str, u64)| self.0 >= *bytes && self.0.is_multiple_of(*bytes);
        match SIZE_UNITS.iter().find(exact) {
            Some((unit, bytes)) => write!(f, "{}{unit}", self.0 / bytes),
            None => f.write_str("0B"),
        }
    }
}

/// A size above which something happens, or `"never"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threshold {
    /// It happens above this many bytes.
    Above(ByteSize),
    /// It never happens.
    Never,
}

impl Threshold {
    /// Whether this many bytes are past the threshold.
    #[must_use]
    pub fn is_passed_by(self, bytes: u64) -> bool {
        matches!(self, Self::Above(limit) if bytes > limit.0)
    }
}

impl FromStr for Threshold {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        if text.trim() == "never" { Ok(Self::Never) } else { text.parse().map(Self::Above) }
    }
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Above(limit) => limit.fmt(f),
            Self::Never => f.write_str("never"),
        }
    }
}

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for Threshold {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        from_text(deserializer)
    }
}

impl<'de> Deserialize<'de> for Threshold {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        from_text(deserializer)
    }
}

/// `#[serde(with = "duration")]` for a [`Duration`] field.
pub mod duration {
    use super::{Deserialize, Deserializer, Duration, Serializer, format_duration, parse_duration};

    /// Writes the duration as text.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format_duration(*value))
    }

    /// Reads the duration from text.
    ///
    /// # Errors
    /// When the text is not a duration.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        parse_duration(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// `#[serde(with = "optional_duration", default)]` for an `Option<Duration>` field.
pub mod optional_duration {
    use super::{Deserializer, Duration, Serializer, duration};

    /// Writes the duration as text, where there is one.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(
        value: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => duration::serialize(value, serializer),
            None => serializer.serialize_none(),
        }
    }

    /// Reads the duration from text; called only where the key is written.
    ///
    /// # Errors
    /// When the text is not a duration.
    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        duration::deserialize(deserializer).map(Some)
    }
}

fn from_text<'de, D: Deserializer<'de>, T: FromStr<Err = UnitError>>(
    deserializer: D,
) -> Result<T, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
}

/// Adds up `number unit` pairs, with or without spaces between them.
fn parse_sum(
    text: &str,
    units: &[(&str, u64)],
    what: &'static str,
    example: &'static str,
) -> Result<u64, UnitError> {
    let malformed = || UnitError::Malformed { text: text.into(), what, example };
    let too_large = || UnitError::TooLarge(text.into());
    let mut rest = text.trim();
    let mut total: u64 = 0;
    loop {
        let (digits, after) = split_while(rest, |c| c.is_ascii_digit());
        let (unit, after) = split_while(after.trim_start(), |c| c.is_ascii_alphabetic());
        let (_, factor) = units.iter().find(|(name, _)| *name == unit).ok_or_else(malformed)?;
        if digits.is_empty() {
            return Err(malformed());
        }
        let number: u64 = digits.parse().map_err(|_| too_large())?;
        let value = number.checked_mul(*factor).ok_or_else(too_large)?;
        total = total.checked_add(value).ok_or_else(too_large)?;
        rest = after.trim_start();
        if rest.is_empty() {
            return Ok(total);
        }
    }
}

fn split_while(text: &str, accepts: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|c| !accepts(c)).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_are_read_as_people_write_them() {
        for (text, millis) in [
            ("1s", 1_000),
            ("250ms", 250),
            ("15m", 900_000),
            ("7d", 604_800_000),
            ("1h30m", 5_400_000),
            (" 1h 30 m ", 5_400_000),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "5", "s", "1.5s", "-1s", "1 week", "1s,2s", "1M"] {
            assert!(matches!(parse_duration(text), Err(UnitError::Malformed { .. })), "{text}");
        }
        assert!(matches!(parse_duration("999999999999999999d"), Err(UnitError::TooLarge(_))));
    }

    #[test]
    fn sizes_and_thresholds_are_read_as_people_write_them() {
        assert_eq!("256MiB".parse(), Ok(ByteSize::mib(256)));
        assert_eq!("1 GB".parse(), Ok(ByteSize(1_000_000_000)));
        assert_eq!("never".parse(), Ok(Threshold::Never));
        assert!("256mib".parse::<ByteSize>().is_err());
        assert!("sometimes".parse::<Threshold>().is_err());
        let above: Threshold = "1KiB".parse().unwrap();
        assert!(above.is_passed_by(1_025) && !above.is_passed_by(1_024));
        assert!(!Threshold::Never.is_passed_by(u64::MAX));
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_back(value: u64) {
            prop_assert_eq!(parse_duration(&format_duration(Duration::from_millis(value))), Ok(Duration::from_millis(value)));
            prop_assert_eq!(ByteSize(value).to_string().parse(), Ok(ByteSize(value)));
        }

        #[test]
        fn no_text_panics(text: String) {
            let _ = parse_duration(&text);
            let _ = text.parse::<Threshold>();
        }
    }
}
