//! The names of all objects in a fleet's store.
//!
//! Invariant O1: an object name is one of the forms of FORMAT.md section 2, written in the only way it can be written,
//! so it is never absolute, never leads out of the store and never names a temporary file. The constructors and
//! `ObjectName::parse` enforce it; whatever name comes from a store passes through `parse`.
//!
//! Numbers have a fixed width, so names sort as strings in the order of what they name.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};

use crate::hex;
use crate::ids::{Epoch, FromText, Incarnation, Seq, WriterId};
use crate::name::Name;

/// Everything that is a log object begins with this.
pub const LOG_PREFIX: &str = "log/";

/// The name of an object in the store, relative to the fleet's root, with `/` between its parts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct ObjectName(String);

/// A text that names no object of this format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not the name of an object of a fleet")]
pub struct ObjectNameError {
    /// The text, shortened to 200 characters.
    pub text: String,
}

/// What an object is, as its name says it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ObjectKind {
    /// `fleet.json`: who the store belongs to.
    Fleet,
    /// A log object.
    Log(Seq),
    /// A part of a change that is too large for its log object.
    Side {
        /// The epoch of the writer.
        epoch: Epoch,
        /// The writer.
        writer: WriterId,
        /// The writer's count of such changes.
        n: u64,
        /// The part of the change.
        part: u32,
    },
    /// A part of a base.
    Base {
        /// The name the database had then.
        database: Name,
        /// The life of the database.
        incarnation: Incarnation,
        /// The epoch of the writer.
        epoch: Epoch,
        /// The writer.
        writer: WriterId,
        /// The writer's count of such parts.
        n: u64,
    },
    /// Log objects verbatim in one object.
    Pack {
        /// The first log object.
        first: Seq,
        /// The last one.
        last: Seq,
    },
    /// Merged segments of a time window.
    RollUp {
        /// The retention class in hours.
        class_hours: u32,
        /// The kind of window, in lowercase letters.
        window: String,
        /// The first log object merged.
        first: Seq,
        /// The last one.
        last: Seq,
    },
    /// The boundary below which log objects may be gone.
    Boundary,
    /// What a reader needs kept.
    Hold([u8; 16]),
    /// A restore point that a person wants kept.
    Pin(Name),
    /// Where a standby stands.
    Standby(Name),
    /// A request to the writer of an epoch.
    Request(Epoch),
}

impl ObjectName {
    /// The object that names the fleet.
    pub fn fleet_json() -> Self {
        ObjectKind::Fleet.into()
    }

    /// The log object with this number.
    pub fn log(seq: Seq) -> Self {
        ObjectKind::Log(seq).into()
    }

    /// Part `part` of the `n`-th large change of a writer.
    pub fn side(epoch: Epoch, writer: WriterId, n: u64, part: u32) -> Self {
        ObjectKind::Side { epoch, writer, n, part }.into()
    }

    /// The `n`-th part of a base that a writer put.
    pub fn base(
        database: &Name,
        incarnation: Incarnation,
        epoch: Epoch,
        writer: WriterId,
        n: u64,
    ) -> Self {
        ObjectKind::Base { database: database.clone(), incarnation, epoch, writer, n }.into()
    }

    /// The boundary of deletion.
    pub fn boundary() -> Self {
        ObjectKind::Boundary.into()
    }

    /// The hold with this random id.
    pub fn hold(id: [u8; 16]) -> Self {
        ObjectKind::Hold(id).into()
    }

    /// The pin of this name.
    pub fn pin(name: &Name) -> Self {
        ObjectKind::Pin(name.clone()).into()
    }

    /// The position of a standby.
    pub fn standby(node: &Name) -> Self {
        ObjectKind::Standby(node.clone()).into()
    }

    /// The request to the writer of `epoch`.
    pub fn request(epoch: Epoch) -> Self {
        ObjectKind::Request(epoch).into()
    }

    /// The name that `text` is.
    pub fn parse(text: &str) -> Result<Self, ObjectNameError> {
        // The kind is written out again and compared: a text that is not the canonical one is refused.
        match ObjectKind::parse(text) {
            Some(kind) if kind.to_string() == text => Ok(ObjectName(text.to_owned())),
            _ => Err(ObjectNameError { text: text.chars().take(200).collect() }),
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What the object is.
    pub fn kind(&self) -> ObjectKind {
        ObjectKind::parse(&self.0).expect("BUG: an object name is only made from a kind")
    }

    /// The number of a log object; `None` for every other object.
    pub fn log_seq(&self) -> Option<Seq> {
        log_seq(self.0.strip_prefix(LOG_PREFIX)?)
    }
}

impl ObjectKind {
    fn parse(text: &str) -> Option<Self> {
        match text.split_once('/') {
            None => (text == "fleet.json").then_some(ObjectKind::Fleet),
            Some(("log", rest)) => log_seq(rest).map(ObjectKind::Log),
            Some(("side", rest)) => side(rest),
            Some(("snap", rest)) => base(rest),
            Some(("pack", rest)) => pack(rest),
            Some(("roll", rest)) => roll_up(rest),
            Some(("gc", rest)) => (rest == "boundary").then_some(ObjectKind::Boundary),
            Some(("hold", rest)) => hex::decode(rest).map(ObjectKind::Hold),
            Some(("pin", rest)) => Name::parse(rest).ok().map(ObjectKind::Pin),
            Some(("standby", rest)) => Name::parse(rest).ok().map(ObjectKind::Standby),
            Some(("request", rest)) => number(rest).and_then(Epoch::new).map(ObjectKind::Request),
            Some(_) => None,
        }
    }
}

fn log_seq(rest: &str) -> Option<Seq> {
    number(rest.strip_suffix(".seg")?).and_then(Seq::new)
}

fn side(rest: &str) -> Option<ObjectKind> {
    let (change, part) = rest.strip_suffix(".seg")?.split_once('/')?;
    let (epoch, writer, n) = writers_count(change)?;
    let part = decimal::<10>(part)?.try_into().ok()?;
    Some(ObjectKind::Side { epoch, writer, n, part })
}

fn base(rest: &str) -> Option<ObjectKind> {
    let (database, rest) = rest.split_once('/')?;
    let (incarnation, part) = rest.strip_suffix(".seg")?.split_once('/')?;
    let (epoch, writer, n) = writers_count(part)?;
    let database = Name::parse(database).ok()?;
    Some(ObjectKind::Base { database, incarnation: incarnation.parse().ok()?, epoch, writer, n })
}

fn pack(rest: &str) -> Option<ObjectKind> {
    let (first, last) = range(rest.strip_suffix(".seg")?)?;
    Some(ObjectKind::Pack { first, last })
}

fn roll_up(rest: &str) -> Option<ObjectKind> {
    let (class, rest) = rest.split_once('/')?;
    let (window, rest) = rest.strip_suffix(".seg")?.split_once('-')?;
    let (first, last) = range(rest)?;
    let is_word =
        (1..=16).contains(&window.len()) && window.bytes().all(|byte| byte.is_ascii_lowercase());
    let class_hours = class.strip_suffix('h')?.parse().ok()?;
    is_word.then(|| ObjectKind::RollUp { class_hours, window: window.to_owned(), first, last })
}

/// `<epoch>-<writer>-<n>`
fn writers_count(text: &str) -> Option<(Epoch, WriterId, u64)> {
    let (epoch, rest) = text.split_once('-')?;
    let (writer, n) = rest.split_once('-')?;
    Some((number(epoch).and_then(Epoch::new)?, writer.parse().ok()?, number(n)?))
}

/// `<first>-<last>`
fn range(text: &str) -> Option<(Seq, Seq)> {
    let (first, last) = text.split_once('-')?;
    let (first, last) = (number(first).and_then(Seq::new)?, number(last).and_then(Seq::new)?);
    (first <= last).then_some((first, last))
}

/// A number of 20 digits.
fn number(text: &str) -> Option<u64> {
    decimal::<20>(text)
}

fn decimal<const DIGITS: usize>(text: &str) -> Option<u64> {
    let is_decimal = text.len() == DIGITS && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_decimal { text.parse().ok() } else { None }
}

impl fmt::Display for ObjectKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ObjectKind::Fleet => f.write_str("fleet.json"),
            ObjectKind::Log(seq) => write!(f, "{LOG_PREFIX}{seq:020}.seg"),
            ObjectKind::Side { epoch, writer, n, part } => {
                write!(f, "side/{epoch:020}-{writer}-{n:020}/{part:010}.seg")
            }
            ObjectKind::Base { database, incarnation, epoch, writer, n } => {
                write!(f, "snap/{database}/{incarnation}/{epoch:020}-{writer}-{n:020}.seg")
            }
            ObjectKind::Pack { first, last } => write!(f, "pack/{first:020}-{last:020}.seg"),
            ObjectKind::RollUp { class_hours, window, first, last } => {
                write!(f, "roll/{class_hours}h/{window}-{first:020}-{last:020}.seg")
            }
            ObjectKind::Boundary => f.write_str("gc/boundary"),
            ObjectKind::Hold(id) => write!(f, "hold/{}", hex::encode(id)),
            ObjectKind::Pin(name) => write!(f, "pin/{name}"),
            ObjectKind::Standby(node) => write!(f, "standby/{node}"),
            ObjectKind::Request(epoch) => write!(f, "request/{epoch:020}"),
        }
    }
}

impl From<ObjectKind> for ObjectName {
    fn from(kind: ObjectKind) -> Self {
        ObjectName(kind.to_string())
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for ObjectName {
    type Err = ObjectNameError;

    fn from_str(text: &str) -> Result<Self, ObjectNameError> {
        ObjectName::parse(text)
    }
}

impl<'de> Deserialize<'de> for ObjectName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(FromText::new())
    }
}

#[cfg(test)]
mod tests;
