//! What the log says of a database, read from the store while the programs run.

use std::path::Path;

use segment::{Catalogue, Checksum, DbId, Name, Record, SectionEntry, Seq, Table};
use store::{LocalStore, Store};

/// All tables of a log, as of one look.
#[derive(Debug)]
pub struct History {
    /// Headers, records and sections, oldest first.
    pub tables: Vec<Table>,
    /// The state of the fleet at its end.
    pub catalogue: Catalogue,
}

impl History {
    /// Reads the log; `None` while there is none.
    #[must_use]
    pub fn read(store: &Path) -> Option<Self> {
        Self::read_after(store, None)
    }

    /// Reads what came after `seq`; what stands before may be damaged.
    #[must_use]
    pub fn read_from(store: &Path, seq: Seq) -> Option<Self> {
        Self::read_after(store, Some(seq))
    }

    fn read_after(store: &Path, seq: Option<Seq>) -> Option<Self> {
        let store = LocalStore::open(store, false).ok()?;
        let (first, last) = range(&store)?;
        let first = seq.map_or(first, Seq::next);
        let tables: Result<Vec<_>, _> = fleet_log::tables(&store, first, last).collect();
        let catalogue = fleet_log::catalogue_at(&store, last).expect("the catalogue").catalogue;
        Some(Self { tables: tables.expect("a sound log"), catalogue })
    }

    /// The checksum of a database at the log's end, without reading all of the log.
    #[must_use]
    pub fn checksum(store: &Path, name: &str) -> Option<Checksum> {
        let store = LocalStore::open(store, false).ok()?;
        let (_, last) = range(&store)?;
        let catalogue = fleet_log::catalogue_at(&store, last).ok()?.catalogue;
        let entry = catalogue.databases.into_values().find(|entry| entry.name.as_str() == name)?;
        entry.incarnation.map(|_| entry.checksum)
    }

    /// The last number, without reading the log.
    #[must_use]
    pub fn last_of(store: &Path) -> Option<Seq> {
        range(&LocalStore::open(store, false).ok()?).map(|(_, last)| last)
    }

    /// The last number.
    #[must_use]
    pub fn last(&self) -> Seq {
        self.tables.last().and_then(|table| table.header.seq).expect("a log object")
    }

    /// What came after `seq`.
    #[must_use]
    pub fn since(mut self, seq: Seq) -> Self {
        self.tables.retain(|table| table.header.seq > Some(seq));
        self
    }

    /// The sections of a database.
    pub fn sections<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a SectionEntry> + 'a {
        let id = self.id(name);
        let all = self.tables.iter().flat_map(|table| &table.sections);
        all.filter(move |section| Some(section.db) == id)
    }

    /// The last log object with a section of it.
    #[must_use]
    pub fn last_change(&self, name: &str) -> Option<Seq> {
        let id = self.id(name);
        let changes = |table: &&Table| table.sections.iter().any(|each| Some(each.db) == id);
        self.tables.iter().rfind(changes)?.header.seq
    }

    /// Pages in its sections.
    #[must_use]
    pub fn pages(&self, name: &str) -> u64 {
        self.sections(name).map(|section| u64::from(section.page_count)).sum()
    }

    /// Sections found by comparing all pages, other than the first of a life.
    #[must_use]
    pub fn comparisons(&self, name: &str) -> usize {
        self.sections(name).filter(|section| section.is_diff && !section.new_incarnation).count()
    }

    /// Lives that began.
    #[must_use]
    pub fn lives(&self, name: &str) -> usize {
        self.sections(name).filter(|section| section.new_incarnation).count()
    }

    /// Full images that were named.
    #[must_use]
    pub fn bases(&self, name: &str) -> usize {
        let id = self.id(name);
        let records = self.tables.iter().flat_map(|table| &table.records);
        records.filter(|record| matches!(record, Record::Base(base) if Some(base.db) == id)).count()
    }

    fn id(&self, name: &str) -> Option<DbId> {
        let name = Name::parse(name).expect("a name");
        self.catalogue.databases.values().find(|entry| entry.name == name).map(|entry| entry.id)
    }
}

fn range(store: &dyn Store) -> Option<(Seq, Seq)> {
    let held = fleet_log::held(store).expect("a sound log")?;
    Some((held.first, held.tail.last()?))
}
