//! The identifiers of the fleet: a type for each meaning, so that a page number cannot stand where a sequence number
//! belongs.
//!
//! Every value is checked once, where it is made; numbers are texts in decimal, byte strings in lowercase hexadecimal.
//! In JSON numbers are numbers and byte strings are texts.

use std::fmt;
use std::num::{NonZeroU32, NonZeroU64};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};

use crate::hex;

/// A text that is not a value of the type it was read as.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {expected}")]
pub struct ParseIdError {
    /// The text that was refused, shortened to 200 bytes.
    pub text: String,
    /// What was expected in its place.
    pub expected: &'static str,
}

impl ParseIdError {
    pub(crate) fn new(text: &str, expected: &'static str) -> Self {
        let text = text.chars().take(200).collect();
        ParseIdError { text, expected }
    }
}

/// Numbers from 1 that name something: 0 cannot be written.
macro_rules! counted_from_one {
    ($(#[$doc:meta])* $name:ident, $inner:ty, $plain:ty, $expected:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name($inner);

        impl $name {
            /// The smallest value.
            pub const FIRST: $name = $name(<$inner>::MIN);

            /// `None` for 0.
            pub const fn new(value: $plain) -> Option<Self> {
                match <$inner>::new(value) {
                    Some(value) => Some($name(value)),
                    None => None,
                }
            }

            /// The plain number.
            pub const fn get(self) -> $plain {
                self.0.get()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                text.parse().map($name).map_err(|_| ParseIdError::new(text, $expected))
            }
        }
    };
}

counted_from_one! {
    /// The number of a log object: from 1, without gaps.
    Seq, NonZeroU64, u64, "a sequence number"
}
counted_from_one! {
    /// The number of a writer's reign over the log; raised by each fence.
    Epoch, NonZeroU64, u64, "an epoch"
}
counted_from_one! {
    /// SQLite's page number, from 1.
    PageNo, NonZeroU32, u32, "a page number"
}

/// `next` and `previous` for the two numbers that are walked.
macro_rules! walked {
    ($name:ident) => {
        impl $name {
            /// The number after this one.
            ///
            /// The last one has no successor; at a thousand a second it comes after half a billion years.
            pub fn next(self) -> Self {
                $name(self.0.checked_add(1).expect("2^64 numbers are never used up"))
            }

            /// The number before this one; `None` for the first.
            pub fn previous(self) -> Option<Self> {
                Self::new(self.get() - 1)
            }
        }
    };
}

walked!(Seq);
walked!(Epoch);

/// How many commits of a database were captured; 0 before the first.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Txid(u64);

impl Txid {
    /// Nothing captured yet.
    pub const NONE: Txid = Txid(0);

    /// The id of the commit with this count.
    pub const fn new(value: u64) -> Self {
        Txid(value)
    }

    /// The plain count.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The id of the next commit.
    pub fn next(self) -> Self {
        Txid(self.0.checked_add(1).expect("2^64 commits are never reached"))
    }
}

/// An instant in milliseconds since 1970-01-01T00:00:00Z.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Millis(u64);

impl Millis {
    /// The instant this many milliseconds after 1970.
    pub const fn new(value: u64) -> Self {
        Millis(value)
    }

    /// Milliseconds since 1970.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// How many milliseconds `earlier` lies before this instant; 0 if it does not.
    pub const fn since(self, earlier: Millis) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// This instant moved by `ms`, kept within what can be written.
    pub const fn offset(self, ms: i64) -> Self {
        Millis(self.0.saturating_add_signed(ms))
    }
}

macro_rules! plain_number_text {
    ($name:ident, $expected:literal) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                text.parse().map($name).map_err(|_| ParseIdError::new(text, $expected))
            }
        }
    };
}

plain_number_text!(Txid, "a transaction count");
plain_number_text!(Millis, "a number of milliseconds");

/// SQLite's page size: a power of two from 512 to 65,536.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct PageSize(u32);

impl PageSize {
    /// The largest page size there is.
    pub const MAX: PageSize = PageSize(65_536);

    /// `None` unless `value` is a power of two from 512 to 65,536.
    pub const fn new(value: u32) -> Option<Self> {
        if value.is_power_of_two() && value >= 512 && value <= Self::MAX.0 {
            Some(PageSize(value))
        } else {
            None
        }
    }

    /// The size in bytes.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// The size in bytes, for lengths of buffers.
    pub const fn bytes(self) -> usize {
        self.0 as usize
    }

    /// The page that holds SQLite's lock bytes (file offset 2^30): it carries no content and is never shipped.
    pub fn lock_page(self) -> PageNo {
        PageNo::new((1 << 30) / self.0 + 1).expect("BUG: a quotient plus one is not 0")
    }
}

impl TryFrom<u32> for PageSize {
    type Error = ParseIdError;

    fn try_from(value: u32) -> Result<Self, ParseIdError> {
        PageSize::new(value).ok_or_else(|| ParseIdError::new(&value.to_string(), PAGE_SIZE))
    }
}

impl From<PageSize> for u32 {
    fn from(size: PageSize) -> u32 {
        size.0
    }
}

impl fmt::Display for PageSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for PageSize {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        text.parse().ok().and_then(PageSize::new).ok_or_else(|| ParseIdError::new(text, PAGE_SIZE))
    }
}

const PAGE_SIZE: &str = "a page size (a power of two from 512 to 65536)";

/// Byte strings of a fixed length: random ids and hashes.
macro_rules! byte_id {
    ($(#[$doc:meta])* $name:ident, $length:literal, $expected:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; $length]);

        impl $name {
            /// The value with these bytes.
            pub const fn from_bytes(bytes: [u8; $length]) -> Self {
                $name(bytes)
            }

            /// The bytes of the value.
            pub const fn as_bytes(&self) -> &[u8; $length] {
                &self.0
            }

            /// The value as lowercase hexadecimal text.
            pub fn hex(&self) -> String {
                hex::encode(&self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.hex())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.hex())
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                hex::decode(text).map($name).ok_or_else(|| ParseIdError::new(text, $expected))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.hex())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str(FromText::new())
            }
        }
    };
}

byte_id! {
    /// The random id of a fleet, drawn when its store is first written.
    FleetId, 16, "a fleet id (32 lowercase hex digits)"
}
byte_id! {
    /// The random id of one start of a writer.
    WriterId, 16, "a writer id (32 lowercase hex digits)"
}
byte_id! {
    /// The random id of one life of a database file.
    Incarnation, 16, "an incarnation (32 lowercase hex digits)"
}
byte_id! {
    /// The random id of a database; a rename keeps it.
    DbId, 8, "a database id (16 lowercase hex digits)"
}
byte_id! {
    /// SHA-256 of a segment's header and table: the link of the hash chain.
    SegmentHash, 32, "a segment hash (64 lowercase hex digits)"
}
byte_id! {
    /// SHA-256 of a section's body or of a whole object.
    ContentHash, 32, "a SHA-256 (64 lowercase hex digits)"
}

impl SegmentHash {
    /// What the first segment of a log names as its predecessor's hash.
    pub const ZERO: SegmentHash = SegmentHash([0; 32]);

    pub(crate) fn of(header_and_table: &[u8]) -> Self {
        SegmentHash(Sha256::digest(header_and_table).into())
    }
}

impl ContentHash {
    /// The hash of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        ContentHash(Sha256::digest(bytes).into())
    }
}

/// Reads any type that has a text from a JSON string without keeping the string.
pub(crate) struct FromText<T>(std::marker::PhantomData<T>);

impl<T> FromText<T> {
    pub(crate) fn new() -> Self {
        FromText(std::marker::PhantomData)
    }
}

impl<T: FromStr<Err: fmt::Display>> serde::de::Visitor<'_> for FromText<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

#[cfg(test)]
mod tests;
