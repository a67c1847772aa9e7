//! The answers of a store: what stands there, how old it is, and what the store's clock said.

use bytes::Bytes;
use segment::{Millis, ObjectName};
use std::fmt;

/// An answer together with the store's clock at the time of answering.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply<T> {
    /// What was asked for.
    pub value: T,
    /// The store's clock, never the asking host's.
    pub server: Millis,
}

impl<T> Reply<T> {
    /// The same answer with its value turned into another.
    pub fn map<U>(self, turn: impl FnOnce(T) -> U) -> Reply<U> {
        Reply { value: turn(self.value), server: self.server }
    }
}

/// What a put-if-absent found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// The object is there now, durable, with the bytes given.
    Created,
    /// Something stands there already: perhaps our own bytes, after an answer was lost.
    Exists,
}

/// What a conditional overwrite found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Swap {
    /// The new content stands, durable, under this tag.
    Written(ETag),
    /// The content is not the expected one (any more).
    Conflict,
}

/// The opaque mark of one content of an object. Compared for equality only.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ETag(String);

impl ETag {
    /// A tag as the store gave it.
    pub fn new(text: impl Into<String>) -> ETag {
        ETag(text.into())
    }

    /// The tag of a content in the backends that have no tags of their own: its XXH3-128. The tag decides
    /// races over one small object between honest hosts, so 128 bits without a secret are enough, and a
    /// large read does not pay for a second SHA-256.
    pub(crate) fn of_content(body: &[u8]) -> ETag {
        ETag(format!("{:032x}", xxhash_rust::xxh3::xxh3_128(body)))
    }

    /// The tag's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ETag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An object as read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// The whole content.
    pub body: Bytes,
    /// The tag to overwrite it by.
    pub etag: ETag,
    /// When it was written, by the store's clock.
    pub created: Millis,
}

/// One page of a listing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// Sorted by name.
    pub entries: Vec<Listed>,
    /// There are more: ask again after the last name.
    pub more: bool,
}

/// One object in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its name, checked.
    pub name: ObjectName,
    /// Its size.
    pub bytes: u64,
    /// When it was written, by the store's clock.
    pub created: Millis,
}
