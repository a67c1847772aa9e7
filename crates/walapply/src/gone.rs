//! With which log object a database's content went away on the primary: the state before it is the last that had content.
//!
//! A catalogue tells the state of its moment, and one stands in the log at least every 1,024 objects. So the log is halved
//! until no catalogue lies between a state with content and one without; the tables in between name the object.
//! Nothing but tables is read, some forty of them and at most a thousand more.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use fleet_log::LogError;
use segment::{Catalogue, CatalogueEntry, DatabaseState, DbId, Record, Seq, Table};
use serde::{Deserialize, Serialize};
use store::Store;

/// How long a first start may spend on asking; what is not known by then is told without its object.
const LOOK_UP_TIME: Duration = Duration::from_millis(500);

/// Whether the database had content, and is empty or missing now.
pub(crate) fn is_gone(entry: &CatalogueEntry) -> bool {
    let has_none = matches!(entry.state, DatabaseState::Empty | DatabaseState::Missing);
    has_none && entry.incarnation.is_some()
}

/// The log object with which the content of `entry`, as of the cut after `at`, went away; `None` where that is not the case,
/// or the log does not tell.
pub(crate) fn since(store: &dyn Store, entry: &CatalogueEntry, at: Seq) -> Option<Seq> {
    let changed = entry.changed.filter(|changed| is_gone(entry) && *changed < at)?;
    let found = Search { store, db: entry.id }.between(changed, at);
    let told = found.inspect_err(|error| {
        tracing::debug!(db = %entry.name, %error, "since when it has no content is unknown");
    });
    told.ok()
}

struct Search<'a> {
    store: &'a dyn Store,
    db: DbId,
}

impl Search<'_> {
    /// After `live` the database has content, after `gone` it has none.
    fn between(&self, mut live: Seq, mut gone: Seq) -> Result<Seq, LogError> {
        while let Some(middle) = middle(live, gone) {
            let catalogue = fleet_log::table(self.store, middle)?.header.catalogue;
            match catalogue.filter(|catalogue| *catalogue > live) {
                Some(at) if self.is_gone_after(at)? => gone = at,
                Some(at) => live = at,
                None => match self.first_gone(live, middle)? {
                    Some(found) => return Ok(found),
                    None => live = middle,
                },
            }
        }
        Ok(gone)
    }

    fn is_gone_after(&self, at: Seq) -> Result<bool, LogError> {
        let catalogue = fleet_log::catalogue_at(self.store, at)?.catalogue;
        Ok(catalogue.databases.get(&self.db).is_some_and(is_gone))
    }

    /// The first object after `live`, and not after `last`, that says so.
    fn first_gone(&self, live: Seq, last: Seq) -> Result<Option<Seq>, LogError> {
        for table in fleet_log::tables(self.store, live.next(), last) {
            let table = table?;
            if table.records.iter().any(|record| takes_content(record, self.db)) {
                return Ok(table.header.seq);
            }
        }
        Ok(None)
    }
}

fn middle(low: Seq, high: Seq) -> Option<Seq> {
    let middle = low.get() + (high.get() - low.get()) / 2;
    Seq::new(middle).filter(|middle| *middle > low)
}

fn takes_content(record: &Record, db: DbId) -> bool {
    match record {
        Record::Announce(announced) => {
            let has_none = matches!(announced.state, DatabaseState::Empty | DatabaseState::Missing);
            announced.id == db && has_none
        }
        _ => false,
    }
}

/// The log object for each database of a followed log whose content is gone, as far as that is known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Gone(BTreeMap<DbId, Seq>);

impl Gone {
    /// Asks the store, where reading begins.
    pub(crate) fn look_up(store: &dyn Store, catalogue: &Catalogue, at: Seq) -> Self {
        let until = Instant::now() + LOOK_UP_TIME;
        let gone = catalogue.databases.values().filter(|entry| is_gone(entry));
        let in_time = gone.take_while(|_| Instant::now() < until);
        Self(in_time.filter_map(|entry| Some((entry.id, since(store, entry, at)?))).collect())
    }

    /// A table was read, in the order of the log; what the catalogue said before it, and says after it.
    pub(crate) fn read(&mut self, table: &Table, were_live: &[DbId], after: &Catalogue) {
        self.0.retain(|db, _| after.databases.get(db).is_some_and(is_gone));
        let Some(seq) = table.header.seq else { return };
        let now_gone = |db: &&DbId| after.databases.get(db).is_some_and(is_gone);
        self.0.extend(were_live.iter().filter(now_gone).map(|db| (*db, seq)));
    }

    /// With which object the content of the database went away.
    pub(crate) fn since(&self, db: DbId) -> Option<Seq> {
        self.0.get(&db).copied()
    }
}

/// The databases that have content; none where the table cannot take it from any.
pub(crate) fn live_before(catalogue: &Catalogue, table: &Table) -> Vec<DbId> {
    let may_take = |record: &Record| matches!(record, Record::Announce(_) | Record::Catalogue(_));
    if !table.records.iter().any(may_take) {
        return Vec::new();
    }
    let live = catalogue.databases.values().filter(|entry| !is_gone(entry));
    live.filter(|entry| entry.incarnation.is_some()).map(|entry| entry.id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::testing::Shop;

    fn entry(shop: &Shop, at: Seq) -> CatalogueEntry {
        let catalogue = fleet_log::catalogue_at(&*shop.store, at).unwrap().catalogue;
        catalogue.databases[&shop.databases[0].id].clone()
    }

    #[test]
    fn the_object_is_found_wherever_catalogues_stand() {
        for (before, after) in [(0, 0), (1, 0), (0, 1), (7, 30), (30, 7)] {
            for each in [1_000, 3] {
                let mut shop = Shop::open();
                shop.create("ledger", "p0", 4096);
                shop.flush();
                let id = shop.databases[0].id;
                let idle = |shop: &mut Shop, objects: u64| {
                    for number in 1..=objects {
                        if number % each == 0 {
                            shop.publish_catalogue();
                        } else {
                            shop.append(Vec::new(), Vec::new());
                        }
                    }
                };
                idle(&mut shop, before);
                shop.announce(id, "ledger", "p0", DatabaseState::Empty);
                let expected = shop.last();
                idle(&mut shop, after);
                shop.announce(id, "ledger", "p0", DatabaseState::Missing);
                let found = since(&*shop.store, &entry(&shop, shop.last()), shop.last());
                assert_eq!(found, Some(expected), "{before}, {after}, {each}");
            }
        }
    }

    #[test]
    fn what_has_content_or_never_had_any_is_not_gone() {
        let mut shop = Shop::open();
        shop.create("ledger", "p0", 4096);
        shop.flush();
        let live = entry(&shop, shop.last());
        assert!(!is_gone(&live));
        assert_eq!(since(&*shop.store, &live, shop.last()), None);
        let never = CatalogueEntry { state: DatabaseState::Empty, ..live.without_content() };
        assert!(!is_gone(&never));
    }
}
