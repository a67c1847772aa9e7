//! Walking over the log: chain and records, and the pages of every section and base into the replay.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use console::progress::Progress;
use fleet_log::{FleetFile, LogError, Position};
use segment::{
    BaseRecord, Catalogue, CatalogueEntry, DatabaseState, DbId, Header, LOG_PREFIX, Millis, Name,
    ObjectName, Pages, Record, SectionEntry, Segment, SegmentError, Seq, Table, page_hash,
};
use store::{Store, StoreError};

use super::inventory::Inventory;
use super::replay::{Hashed, Replay};
use super::report::{Damage, Verified, VerifyReport};
use crate::ApplyError;
use crate::ahead::{Go, Work};
use crate::budget::Budget;
use crate::image::layer::Layer;

/// Parts of one change or base read at once.
const READS_AT_ONCE: usize = 4;

/// What stands in a slot of the log.
pub(super) enum Slot {
    /// A segment, every SHA-256 in it verified.
    Segment(Box<Segment>),
    /// Nothing.
    Nothing,
    /// Something that is no sound segment.
    Damaged(String),
}

/// Reads a slot.
pub(super) fn read(store: &dyn Store, seq: Seq) -> Result<Slot, ApplyError> {
    let object = match store.get(&ObjectName::log(seq)) {
        Ok(reply) => reply.value,
        Err(StoreError::Corrupt { cause, .. }) => return Ok(Slot::Damaged(cause)),
        Err(error) => return Err(error.into()),
    };
    let Some(object) = object else { return Ok(Slot::Nothing) };
    match Segment::decode(object.body) {
        Ok(segment) => Ok(Slot::Segment(Box::new(segment))),
        Err(error) => Ok(Slot::Damaged(error.to_string())),
    }
}

/// The walk so far.
pub(super) struct Walk<'a> {
    store: &'a Arc<dyn Store>,
    fleet: &'a FleetFile,
    progress: Progress,
    budget: Arc<Budget>,
    /// After the last object; `None` after one that could not be read.
    position: Option<Position>,
    /// Of the object before; `None` where that could not be read.
    stamp: Option<Millis>,
    /// Where the newest catalogue stands, if anywhere; `None` where that is not known.
    catalogue_at: Option<Option<Seq>>,
    /// The fold of all tables; `None` once one of them is missing, until the next catalogue.
    catalogue: Option<Catalogue>,
    names: BTreeMap<DbId, Name>,
    replays: BTreeMap<DbId, Replay>,
    referenced: BTreeSet<ObjectName>,
    report: VerifyReport,
}

impl<'a> Walk<'a> {
    pub(super) fn new(store: &'a Arc<dyn Store>, fleet: &'a FleetFile, progress: Progress) -> Self {
        Self {
            store,
            fleet,
            progress,
            budget: Budget::standard(),
            position: Some(Position::START),
            stamp: None,
            catalogue_at: Some(None),
            catalogue: Some(Catalogue::default()),
            names: BTreeMap::new(),
            replays: BTreeMap::new(),
            referenced: BTreeSet::new(),
            report: VerifyReport::new(fleet.name.clone()),
        }
    }

    /// Takes the next slot of the log.
    pub(super) fn slot(
        &mut self,
        seq: Seq,
        found: Result<Slot, ApplyError>,
    ) -> Result<(), ApplyError> {
        match found? {
            Slot::Segment(segment) => self.segment(seq, &segment),
            Slot::Nothing => {
                self.lost(seq, "it is missing".to_owned());
                Ok(())
            }
            Slot::Damaged(detail) => {
                self.lost(seq, detail);
                Ok(())
            }
        }
    }

    /// Bases stand there, and nothing that names them.
    pub(super) fn log_is_empty(&mut self) {
        let detail = "bases exist but the log is empty".to_owned();
        self.report.damage.push(Damage { object: LOG_PREFIX.to_owned(), detail, seq: None });
    }

    /// A log object that cannot be read may have changed any database.
    fn lost(&mut self, seq: Seq, detail: String) {
        self.blame_log(seq, detail);
        self.position = None;
        self.stamp = None;
        self.catalogue_at = None;
        self.catalogue = None;
        self.replays.values_mut().for_each(Replay::doubt);
    }

    fn segment(&mut self, seq: Seq, segment: &Segment) -> Result<(), ApplyError> {
        let table = segment.table();
        self.report.log_objects += 1;
        self.count_bytes(segment.bytes().len() as u64);
        self.report.from_seq.get_or_insert(seq);
        self.report.to_seq = Some(seq);
        self.check_chain(seq, table);
        self.check_header(seq, table);
        for record in &table.records {
            self.record(seq, record)?;
        }
        for (index, section) in table.sections.iter().enumerate() {
            self.section(seq, segment, index, section)?;
        }
        self.absorb(seq, table);
        Ok(())
    }

    /// Rule R2; after damage the walk goes on from what stands there.
    fn check_chain(&mut self, seq: Seq, table: &Table) {
        let header = &table.header;
        if header.fleet != self.fleet.id {
            self.blame_log(
                seq,
                format!("it is of fleet {}, the store is of {}", header.fleet, self.fleet.id),
            );
        }
        let accepted = match &self.position {
            Some(position) if position.next == seq => position.accept(table),
            _ if header.seq == Some(seq) => Ok(after(seq, table)),
            _ => Err(LogError::Corrupt {
                seq,
                detail: "it is not the object of this number".to_owned(),
            }),
        };
        self.position = Some(accepted.unwrap_or_else(|error| {
            let detail = match error {
                LogError::Corrupt { detail, .. } => detail,
                other => other.to_string(),
            };
            self.blame_log(seq, detail);
            after(seq, table)
        }));
    }

    /// What the header says must follow from the objects before it.
    fn check_header(&mut self, seq: Seq, table: &Table) {
        let Header { stamp, catalogue, .. } = table.header;
        if self.stamp.is_some_and(|before| stamp <= before) {
            self.blame_log(seq, "its stamp is not after that of the object before it".to_owned());
        }
        self.stamp = Some(stamp);
        let at = if table.has_catalogue() { Some(Some(seq)) } else { self.catalogue_at };
        if at.is_some_and(|at| at != catalogue) {
            let named = catalogue.map_or_else(|| "nowhere".to_owned(), |at| at.to_string());
            self.blame_log(seq, format!("it does not know the newest catalogue: it names {named}"));
        }
        self.catalogue_at = Some(at.unwrap_or(catalogue));
    }

    fn record(&mut self, seq: Seq, record: &Record) -> Result<(), ApplyError> {
        match record {
            Record::Announce(announcement) => {
                self.names.insert(announcement.id, announcement.name.clone());
            }
            Record::Renamed { db, name } => {
                self.names.insert(*db, name.clone());
            }
            Record::Catalogue(catalogue) => self.check_catalogue(seq, catalogue),
            Record::Base(base) => self.base(seq, base)?,
            _ => {}
        }
        Ok(())
    }

    /// A catalogue must say what all objects before it say together, or nothing of a database's content: the owner then
    /// went on over an object that was lost, and the database begins a new life.
    fn check_catalogue(&mut self, seq: Seq, catalogue: &Catalogue) {
        let names = catalogue.databases.values().map(|entry| (entry.id, entry.name.clone()));
        self.names.extend(names);
        let follows = |known: &CatalogueEntry, said: &CatalogueEntry| {
            known == said || known.without_content() == *said
        };
        let differs = self.catalogue.as_ref().is_some_and(|known| {
            let [known, said] = [&known.databases, &catalogue.databases];
            known.len() != said.len()
                || !known.values().zip(said.values()).all(|(known, said)| follows(known, said))
        });
        if differs && seq != Seq::FIRST {
            self.blame_log(seq, "its catalogue does not follow from the log before it".to_owned());
        }
        self.catalogue = Some(catalogue.clone());
    }

    fn absorb(&mut self, seq: Seq, table: &Table) {
        let Some(catalogue) = &mut self.catalogue else { return };
        if let Err(error) = catalogue.absorb(table) {
            self.catalogue = None;
            return self.blame_log(seq, error.to_string());
        }
        if table.records.is_empty() {
            return;
        }
        let mut keys = BTreeSet::new();
        let entries = catalogue.databases.values();
        let named = entries.filter(|entry| entry.state != DatabaseState::Retired);
        let twice: Vec<String> = named
            .filter(|entry| !keys.insert(entry.name.key()))
            .map(|entry| format!("two databases are named {}", entry.name))
            .collect();
        twice.into_iter().for_each(|twice| self.blame_log(seq, twice));
    }

    fn base(&mut self, seq: Seq, base: &BaseRecord) -> Result<(), ApplyError> {
        self.referenced.extend(base.parts.iter().map(|part| part.name.clone()));
        self.report.base_objects += base.parts.len() as u64;
        let pages = self.parts(&Layer::of_base(base, base.pages))?;
        let replay = self.replays.entry(base.db).or_default();
        let Some(pages) = pages else {
            replay.unread_base(base);
            return Ok(());
        };
        let replayed = replay.base(base, &pages);
        self.blame_database(seq, base.db, replayed);
        Ok(())
    }

    fn section(
        &mut self,
        seq: Seq,
        segment: &Segment,
        index: usize,
        section: &SectionEntry,
    ) -> Result<(), ApplyError> {
        let pages = self.pages_of(seq, segment, index, section)?;
        let replay = self.replays.entry(section.db).or_default();
        if pages.is_none() {
            replay.doubt();
        }
        let replayed = replay.section(seq, section, &pages.unwrap_or_default());
        self.blame_database(seq, section.db, replayed);
        Ok(())
    }

    /// The hashes of a section's pages; `None` where they cannot be read, which is then already blamed.
    fn pages_of(
        &mut self,
        seq: Seq,
        segment: &Segment,
        index: usize,
        section: &SectionEntry,
    ) -> Result<Option<Hashed>, ApplyError> {
        if section.body.is_none() {
            self.referenced.extend(section.side.iter().map(|part| part.name.clone()));
            self.report.side_objects += section.side.len() as u64;
            return self.parts(&Layer::of_section(seq, section, section.pages_after));
        }
        match segment.pages(index).and_then(hashed) {
            Ok(pages) => {
                self.report.pages += pages.len() as u64;
                Ok(Some(pages))
            }
            Err(error) => {
                self.blame_database(seq, section.db, Err(error.to_string()));
                Ok(None)
            }
        }
    }

    /// Reads the objects of a layer; all that is wrong with them is blamed.
    fn parts(&mut self, layer: &Layer) -> Result<Option<Hashed>, ApplyError> {
        let store = Arc::clone(self.store);
        let sizes: Vec<u64> = layer.pieces.iter().map(|piece| piece.bytes).collect();
        let run = |number: usize| -> Result<Hashed, ApplyError> {
            let piece = &layer.pieces[number];
            let bytes = piece.fetch(&*store)?;
            hashed(layer.pages(piece, &bytes)?).map_err(|error| piece.corrupt(error))
        };
        let budget = Arc::clone(&self.budget);
        let work = Work { sizes: &sizes, threads: READS_AT_ONCE, budget: &budget, run: &run };
        let mut all = Some(Vec::new());
        work.each(|number, result| {
            match result {
                Ok(pages) => {
                    self.count_bytes(sizes[number]);
                    self.report.pages += pages.len() as u64;
                    all.iter_mut().for_each(|all: &mut Hashed| all.extend(&pages));
                }
                Err(error) => {
                    self.blame_part(error)?;
                    all = None;
                }
            }
            Ok::<_, ApplyError>(Go::On)
        })?;
        Ok(all)
    }

    /// Damage goes into the report; a store that does not answer ends the walk.
    fn blame_part(&mut self, error: ApplyError) -> Result<(), ApplyError> {
        let (object, detail) = match error {
            ApplyError::Corrupt { what, detail } => (what, detail),
            ApplyError::Missing(what) => (what, "it is missing".to_owned()),
            other => return Err(other),
        };
        self.report.damage.push(Damage { object, detail, seq: None });
        Ok(())
    }

    fn blame_log(&mut self, seq: Seq, detail: String) {
        let object = ObjectName::log(seq).to_string();
        self.report.damage.push(Damage { object, detail, seq: Some(seq) });
    }

    fn blame_database(&mut self, seq: Seq, db: DbId, replayed: Result<(), String>) {
        if let Err(what) = replayed {
            let name = self.name(db);
            self.blame_log(seq, format!("{name}: {what}"));
        }
    }

    fn name(&self, db: DbId) -> String {
        self.names.get(&db).map_or_else(|| db.to_string(), Name::to_string)
    }

    fn count_bytes(&mut self, bytes: u64) {
        self.report.bytes += bytes;
        self.progress.add(bytes);
    }

    /// The report, but for what is read after the walk.
    pub(super) fn finish(mut self, inventory: &Inventory) -> VerifyReport {
        self.progress.finish();
        let databases = self.replays.iter().map(|(db, replay)| Verified {
            name: self.name(*db),
            proven_sections: replay.proven_sections,
            unproven_sections: replay.unproven_sections,
            proven_bases: replay.proven_bases,
            pages: replay.pages(),
        });
        let mut databases: Vec<Verified> = databases.collect();
        databases.sort_by(|left, right| left.name.cmp(&right.name));
        self.report.databases = databases;
        self.report.unreferenced = inventory.unreferenced(&self.referenced);
        self.report
    }
}

/// The position after an object that does not follow from the one before it.
fn after(seq: Seq, table: &Table) -> Position {
    let header = &table.header;
    Position {
        next: seq.next(),
        previous: table.hash,
        epoch: Some(header.epoch),
        owner: Some(header.node.clone()),
        writer: Some(header.writer),
    }
}

/// The hashes of pages, which are decoded one at a time.
fn hashed(mut pages: Pages<'_>) -> Result<Hashed, SegmentError> {
    let mut hashes = Vec::with_capacity(pages.remaining());
    let mut buffer = Vec::new();
    while let Some((page, content)) = pages.next_into(&mut buffer)? {
        hashes.push((page, page_hash(page, content)));
    }
    Ok(hashes)
}
