//! Finding the layers of images: from each section to the previous one, back to the base.
//!
//! Several databases are walked together. What they ask for next is certain to be needed, so it is read in parallel, and a
//! log object that changed many databases is read once for all of them.
//! The walk ends because each step goes to a smaller seq; every step was a real log object, so memory is bounded by
//! the log between base and cut.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fleet_log::LogError;
use segment::{
    BaseRecord, Catalogue, CatalogueEntry, Checksum, DbId, ObjectName, SectionEntry, Seq, Table,
    Txid,
};
use store::Store;

use super::layer::Layer;
use super::{ImageFacts, PageSource};
use crate::ApplyError;
use crate::budget::Budget;
use crate::failure::blame;

/// Tables read at once.
const READS_AT_ONCE: usize = 8;

/// What became of opening one database.
pub struct Opened {
    /// The database.
    pub db: DbId,
    /// Its image.
    pub source: Result<PageSource, ApplyError>,
}

/// Opens the images of several databases after `at`, with one walk over the log; `catalogue` is that of the same cut.
pub fn open_all(
    store: &Arc<dyn Store>,
    catalogue: &Catalogue,
    databases: &[DbId],
    at: Seq,
    budget: &Arc<Budget>,
) -> Vec<Opened> {
    let mut walks: Vec<Walk<'_>> =
        databases.iter().map(|&db| Walk::begin(catalogue, db, at)).collect();
    loop {
        let next: BTreeSet<Seq> = walks.iter().filter_map(Walk::next).collect();
        let newest: Vec<Seq> = next.into_iter().rev().take(READS_AT_ONCE).collect();
        if newest.is_empty() {
            break;
        }
        let tables = read_tables(&**store, &newest);
        walks.iter_mut().for_each(|walk| walk.step(&tables));
    }
    walks.into_iter().map(|walk| walk.finish(store, budget)).collect()
}

/// Header and table of some log objects, read in parallel.
fn read_tables(store: &dyn Store, seqs: &[Seq]) -> BTreeMap<Seq, Result<Table, LogError>> {
    if let [seq] = seqs {
        return BTreeMap::from([(*seq, fleet_log::table(store, *seq))]);
    }
    std::thread::scope(|scope| {
        let reads: Vec<_> = seqs
            .iter()
            .map(|&seq| (seq, scope.spawn(move || fleet_log::table(store, seq))))
            .collect();
        reads
            .into_iter()
            .map(|(seq, read)| (seq, read.join().expect("BUG: reading a table does not panic")))
            .collect()
    })
}

/// Without a section there is nothing yet; a section of a life that has no base is damage.
fn without_base(entry: &CatalogueEntry, at: Seq) -> ApplyError {
    match entry.changed.filter(|_| entry.incarnation.is_some()) {
        Some(seq) => ApplyError::Corrupt {
            what: ObjectName::log(seq).to_string(),
            detail: format!("it changes a life of {} that has no base", entry.name),
        },
        None => ApplyError::NoSuchPoint(format!("{} has no content at seq {at}", entry.name)),
    }
}

/// The database is not in the catalogue.
pub(super) fn unknown(db: DbId) -> ApplyError {
    ApplyError::NoSuchPoint(format!("the fleet has no database {db} there"))
}

/// The way of one database back to its base.
struct Walk<'a> {
    db: DbId,
    at: Seq,
    state: Result<Going<'a>, ApplyError>,
}

/// A walk that has met no error.
struct Going<'a> {
    entry: &'a CatalogueEntry,
    base: &'a BaseRecord,
    /// The section to read next, if it is younger than the base.
    next: Option<Seq>,
    /// What the newest section at or before the cut says; the base's word before one is found.
    newest: Newest,
    /// The checksum that the next older thing must end with; `None` before the first.
    joint: Option<(Seq, Checksum)>,
    /// The smallest size since.
    limit: u32,
    layers: Vec<Layer>,
}

/// The image as a whole, as its newest part tells it.
struct Newest {
    changed: Option<Seq>,
    pages: u32,
    checksum: Checksum,
    txid: Txid,
}

impl<'a> Walk<'a> {
    fn begin(catalogue: &'a Catalogue, db: DbId, at: Seq) -> Self {
        let entry = catalogue.databases.get(&db).ok_or_else(|| unknown(db));
        Self { db, at, state: entry.and_then(|entry| Going::begin(entry, at)) }
    }

    fn next(&self) -> Option<Seq> {
        self.state.as_ref().ok().and_then(|going| going.next)
    }

    /// Takes the next section, if its table is among those read.
    fn step(&mut self, tables: &BTreeMap<Seq, Result<Table, LogError>>) {
        let Some((seq, table)) =
            self.next().and_then(|seq| tables.get(&seq).map(|table| (seq, table)))
        else {
            return;
        };
        if let Ok(going) = &mut self.state {
            let stepped = match table {
                Ok(table) => going.step(self.db, seq, table, self.at),
                Err(error) => Err(blame(error.clone())),
            };
            if let Err(error) = stepped {
                self.state = Err(error);
            }
        }
    }

    fn finish(self, store: &Arc<dyn Store>, budget: &Arc<Budget>) -> Opened {
        let source = self.state.and_then(Going::finish).map(|(facts, layers)| PageSource {
            store: Arc::clone(store),
            budget: Arc::clone(budget),
            facts,
            layers,
        });
        Opened { db: self.db, source }
    }
}

impl<'a> Going<'a> {
    fn begin(entry: &'a CatalogueEntry, at: Seq) -> Result<Self, ApplyError> {
        let base = entry.base.as_ref().ok_or_else(|| without_base(entry, at))?;
        if base.at > Some(at) {
            return Err(ApplyError::NoSuchPoint(format!(
                "the base of {} is younger than seq {at}",
                entry.name
            )));
        }
        let newest =
            Newest { changed: None, pages: base.pages, checksum: base.checksum, txid: entry.txid };
        let next = entry.changed.filter(|&seq| Some(seq) > base.at);
        Ok(Self { entry, base, next, newest, joint: None, limit: u32::MAX, layers: Vec::new() })
    }

    fn step(&mut self, db: DbId, seq: Seq, table: &Table, at: Seq) -> Result<(), ApplyError> {
        let corrupt = |detail: &str| corrupt(seq, &format!("{}: {detail}", self.entry.name));
        let mut ours = table.sections.iter().filter(|section| section.db == db);
        let section =
            ours.next().ok_or_else(|| corrupt("has no section, though a later object says so"))?;
        if ours.next().is_some() {
            return Err(corrupt("has two sections"));
        }
        if section.previous_seq >= Some(seq) {
            return Err(corrupt("names a previous section that is not older"));
        }
        self.next = section.previous_seq.filter(|&seq| Some(seq) > self.base.at);
        if seq <= at {
            self.take(seq, section)?;
        }
        Ok(())
    }

    /// Adds the layer of a section, which must fit the base and the section after it.
    fn take(&mut self, seq: Seq, section: &SectionEntry) -> Result<(), ApplyError> {
        if (section.incarnation, section.page_size) != (self.base.incarnation, self.base.page_size)
        {
            return Err(corrupt(
                seq,
                &format!("the section of {} is of another life than its base", self.entry.name),
            ));
        }
        self.check_joint(section.post)?;
        if self.layers.is_empty() {
            self.newest = Newest {
                changed: Some(seq),
                pages: section.pages_after,
                checksum: section.post,
                txid: section.last_txid,
            };
        }
        self.joint = Some((seq, section.pre));
        self.limit = self.limit.min(section.pages_after);
        self.layers.push(Layer::of_section(seq, section, self.limit));
        Ok(())
    }

    /// What is older must end with the checksum that the newer section begins with.
    fn check_joint(&self, ends_with: Checksum) -> Result<(), ApplyError> {
        match self.joint {
            Some((seq, begins_with)) if begins_with != ends_with => Err(corrupt(
                seq,
                &format!(
                    "{}: builds on a state with checksum {begins_with}, before it stands {ends_with}",
                    self.entry.name
                ),
            )),
            _ => Ok(()),
        }
    }

    fn finish(mut self) -> Result<(ImageFacts, Vec<Layer>), ApplyError> {
        self.check_joint(self.base.checksum)?;
        self.layers.push(Layer::of_base(self.base, self.limit.min(self.base.pages)));
        let facts = ImageFacts {
            db: self.entry.id,
            name: self.entry.name.clone(),
            incarnation: self.base.incarnation,
            changed: self.newest.changed,
            page_size: self.base.page_size,
            pages: self.newest.pages,
            checksum: self.newest.checksum,
            txid: self.newest.txid,
        };
        Ok((facts, self.layers))
    }
}

fn corrupt(seq: Seq, detail: &str) -> ApplyError {
    ApplyError::Corrupt { what: ObjectName::log(seq).to_string(), detail: detail.to_owned() }
}
