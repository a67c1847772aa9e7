//! What is in the store, by its listings.

use std::collections::{BTreeMap, BTreeSet};

use segment::{LOG_PREFIX, ObjectName, Seq};
use store::Store;

use super::Unreferenced;
use crate::ApplyError;

/// Where objects lie that a verification reads.
const PREFIXES: [&str; 3] = [LOG_PREFIX, "side/", "snap/"];
/// Names of one request.
const PAGE: usize = 1_000;

/// The objects of the log and those that it may refer to, with their sizes.
pub(super) struct Inventory(BTreeMap<ObjectName, u64>);

impl Inventory {
    /// Lists the store.
    pub(super) fn take(store: &dyn Store) -> Result<Self, ApplyError> {
        let mut objects = BTreeMap::new();
        for prefix in PREFIXES {
            let mut after: Option<String> = None;
            loop {
                let listing = store.list(prefix, after.as_deref(), PAGE)?.value;
                after = listing.entries.last().map(|listed| listed.name.as_str().to_owned());
                objects
                    .extend(listing.entries.into_iter().map(|listed| (listed.name, listed.bytes)));
                if !listing.more || after.is_none() {
                    break;
                }
            }
        }
        Ok(Self(objects))
    }

    /// The end of the log when it was listed.
    pub(super) fn last_log_object(&self) -> Option<Seq> {
        self.0.keys().filter_map(ObjectName::log_seq).max()
    }

    /// Whether there are bases, which only a log gives a meaning to.
    pub(super) fn has_bases(&self) -> bool {
        self.0.keys().any(|name| name.as_str().starts_with("snap/"))
    }

    pub(super) fn bytes_of(&self, name: &ObjectName) -> Option<u64> {
        self.0.get(name).copied()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.0.values().fold(0, |sum, bytes| sum.saturating_add(*bytes))
    }

    /// What nothing in the log refers to: left by crashed writers, or made while the log was read.
    pub(super) fn unreferenced(&self, referenced: &BTreeSet<ObjectName>) -> Unreferenced {
        let others = self.0.iter().filter(|(name, _)| name.log_seq().is_none());
        let litter = others.filter(|(name, _)| !referenced.contains(*name));
        let mut told = Unreferenced { objects: 0, bytes: 0 };
        for (_, bytes) in litter {
            told.objects += 1;
            told.bytes += bytes;
        }
        told
    }
}
