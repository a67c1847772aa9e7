//! Bases in a store whose log is gone: nothing names them, and still they tell what was there.

use std::collections::BTreeMap;

use segment::{Name, ObjectKind};
use serde::Serialize;
use store::Store;

use crate::ApplyError;

/// Where bases lie.
pub(crate) const BASE_PREFIX: &str = "snap/";
/// Names of one request.
const PAGE: usize = 1_000;

/// What the names of the bases of one database tell.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct Stranded {
    /// Its name when they were made.
    pub name: Name,
    /// Their objects.
    pub objects: u64,
    /// Bytes of these.
    pub bytes: u64,
}

/// Lists the bases by database. Memory: one entry a database.
pub(super) fn bases(store: &dyn Store) -> Result<Vec<Stranded>, ApplyError> {
    let mut found: BTreeMap<Name, (u64, u64)> = BTreeMap::new();
    let mut after: Option<String> = None;
    loop {
        let listing = store.list(BASE_PREFIX, after.as_deref(), PAGE)?.value;
        after = listing.entries.last().map(|listed| listed.name.as_str().to_owned());
        for listed in listing.entries {
            if let ObjectKind::Base { database, .. } = listed.name.kind() {
                let (objects, bytes) = found.entry(database).or_default();
                (*objects, *bytes) = (*objects + 1, bytes.saturating_add(listed.bytes));
            }
        }
        if !listing.more || after.is_none() {
            break;
        }
    }
    let told = |(name, (objects, bytes))| Stranded { name, objects, bytes };
    Ok(found.into_iter().map(told).collect())
}
