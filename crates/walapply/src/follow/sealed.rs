//! When the newest change of each database was sealed into the log: what the age of its last commit is told by.
//!
//! The log does not say when the newest commit of a change was made; its seal is at most one flush later. Known from the
//! tables that are read, kept with the saved position, and looked up where reading begins without one.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use segment::{Catalogue, CatalogueEntry, DbId, Millis, Seq, Table};
use serde::{Deserialize, Serialize};
use store::Store;

use super::primary;

/// How long a first start may spend on looking up tables: following waits for it. Those that changed longest ago come
/// last, and stay unknown until they change.
const LOOK_UP_TIME: Duration = Duration::from_millis(500);

/// The log object of each database's newest section, and when it was sealed, on the store's clock.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sealed(BTreeMap<DbId, (Seq, Millis)>);

impl Sealed {
    /// Asks the store, at `now` by its clock. What it does not answer stays unknown: nothing depends on it.
    pub(super) fn look_up(store: &dyn Store, catalogue: &Catalogue, now: Millis) -> Self {
        let seqs: BTreeSet<Seq> =
            catalogue.databases.values().filter_map(|entry| entry.changed).collect();
        let (mut sealed, until) = (Self::default(), Instant::now() + LOOK_UP_TIME);
        for seq in seqs.into_iter().rev().take_while(|_| Instant::now() < until) {
            match fleet_log::table(store, seq) {
                Ok(table) => sealed.take(&table, now, |db| changed(catalogue, db) == Some(seq)),
                Err(error) => tracing::debug!(%seq, %error, "the age of a change is unknown"),
            }
        }
        sealed
    }

    /// A table was read, in the order of the log, at `now` by the store's clock.
    pub(super) fn read(&mut self, table: &Table, now: Millis) {
        self.take(table, now, |_| true);
    }

    /// Nothing was sealed later than now: the primary's clock may have been ahead.
    fn take(&mut self, table: &Table, now: Millis, is_newest: impl Fn(DbId) -> bool) {
        let Some(seq) = table.header.seq else { return };
        let at = primary::sealed(&table.header).min(now);
        let sections = table.sections.iter().filter(|section| is_newest(section.db));
        self.0.extend(sections.map(|section| (section.db, (seq, at))));
    }

    /// When the database's newest change was sealed, if that is known.
    pub(super) fn of(&self, entry: Option<&CatalogueEntry>) -> Option<Millis> {
        let entry = entry?;
        let (seq, at) = self.0.get(&entry.id)?;
        (entry.changed == Some(*seq)).then_some(*at)
    }
}

fn changed(catalogue: &Catalogue, db: DbId) -> Option<Seq> {
    catalogue.databases.get(&db)?.changed
}
