//! What a store holds: databases, their lives, their sizes, and how far back each can be restored.
//!
//! Every log object's header and table is read, no page. The scan goes on past objects that cannot be read, and says
//! which ones those are: a list of what is left is needed most when something is broken.

use std::collections::BTreeMap;

use console::{ExitCode, Failure};
use fleet_log::{FleetFile, Held};
use segment::{
    Catalogue, CatalogueEntry, Checksum, DatabaseState, DbId, Epoch, FleetId, Incarnation, Millis,
    Name, PageSize, SectionEntry, Seq, Table, Txid,
};
use serde::Serialize;
use store::Store;

use crate::ApplyError;
use crate::failure::blame;
use crate::scan::{self, Scanned};
use crate::time::rfc3339;

mod stranded;
mod text;

pub(crate) use stranded::BASE_PREFIX;
pub use stranded::Stranded;
pub(crate) use text::state as state_word;

/// What a store holds.
#[derive(Clone, Debug, Serialize)]
pub struct Listing {
    /// The fleet.
    pub fleet: Name,
    /// Its random id.
    pub fleet_id: FleetId,
    /// The current epoch.
    pub epoch: Option<Epoch>,
    /// The node that owns the log.
    pub owner: Option<Name>,
    /// The log as a whole; `None` while it is empty.
    pub log: Option<Range>,
    /// Log objects that are missing or damaged.
    pub unreadable: Vec<String>,
    /// Every database that the log speaks of, by name.
    pub databases: Vec<Listed>,
    /// Bases where the log is empty, though it is what names them: its objects were lost.
    pub stranded: Vec<Stranded>,
}

/// A range of states.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct Range {
    /// The first state.
    pub from_seq: Seq,
    /// The last state.
    pub to_seq: Seq,
    /// When the first one was sealed, by the primary's clock.
    pub from_time: String,
    /// When the last one was sealed.
    pub to_time: String,
}

/// One database.
#[derive(Clone, Debug, Serialize)]
pub struct Listed {
    /// Its name now.
    pub name: Name,
    /// Its id; a rename keeps it.
    pub id: DbId,
    /// Its tier.
    pub tier: String,
    /// Whether the primary has it.
    pub state: DatabaseState,
    /// Bytes of its newest state.
    pub bytes: u64,
    /// Pages of its newest state.
    pub pages: u32,
    /// Its page size.
    pub page_size: Option<PageSize>,
    /// Captured commits.
    pub txid: Txid,
    /// The checksum of its newest state.
    pub checksum: Checksum,
    /// The last log object that changed it.
    pub changed: Option<Seq>,
    /// When that was sealed.
    pub changed_time: Option<String>,
    /// The states that can be restored; `None` while there is no content.
    pub restorable: Option<Range>,
    /// Its lives, oldest first.
    pub incarnations: Vec<Life>,
    /// Its newest base.
    pub base: Option<Base>,
}

/// One life of a database file.
#[derive(Clone, Debug, Serialize)]
pub struct Life {
    /// Its random id.
    pub incarnation: Incarnation,
    /// The first log object with its pages.
    pub from_seq: Seq,
    /// The last log object that changed it.
    pub to_seq: Seq,
    /// When the first was sealed.
    pub from_time: String,
    /// When the last was sealed.
    pub to_time: String,
    /// Log objects that changed it.
    pub changes: u64,
    /// Its page size.
    pub page_size: PageSize,
    /// Pages after the last change.
    pub pages: u32,
}

/// The newest full image.
#[derive(Clone, Debug, Serialize)]
pub struct Base {
    /// It is the state after this log object; `None`: before the first.
    pub at: Option<Seq>,
    /// Bytes of its objects.
    pub bytes: u64,
    /// Its objects.
    pub parts: usize,
}

impl Listing {
    /// What is wrong with the store, if something is; the list holds what is left.
    #[must_use]
    pub fn failure(&self) -> Option<Failure> {
        if !self.stranded.is_empty() {
            let error = "the log is empty, though there are bases that only a log can name";
            return Some(Failure::new(ExitCode::Corrupt, error).hint(
                "copy the objects under log/ back from a backup of the store; without them nothing can be restored",
            ));
        }
        if self.unreadable.is_empty() {
            return None;
        }
        let error = format!("missing or damaged: {}", self.unreadable.join(", "));
        Some(Failure::new(ExitCode::Corrupt, error).hint(
            "what is listed is what the others tell; `walapply verify` reads everything, and `walship snapshot --all` \
             on the primary makes new bases",
        ))
    }
}

/// Reads the whole log's tables.
///
/// # Errors
/// When the log's end cannot be read.
pub fn list(store: &dyn Store, fleet: &FleetFile) -> Result<Listing, ApplyError> {
    let mut listing = Listing {
        fleet: fleet.name.clone(),
        fleet_id: fleet.id,
        epoch: None,
        owner: None,
        log: None,
        unreadable: Vec::new(),
        databases: Vec::new(),
        stranded: Vec::new(),
    };
    let Some(held) = held_or_stranded(store, &mut listing.stranded)? else { return Ok(listing) };
    let last = held.tail.last().unwrap_or(held.first);
    // What is lost behind it is told like every other one.
    let end = held.lost.iter().fold(last, |end, _| end.next());
    let mut history = History::default();
    scan::tables(store, held.first, end, |scanned| match scanned {
        Scanned::Table(seq, table) => history.add(seq, &table),
        Scanned::Unreadable(object, error) => {
            tracing::warn!(%object, %error, "a log object cannot be read");
            listing.unreadable.push(object.to_string());
        }
    })?;
    listing.log = history.whole.as_ref().map(Span::range);
    listing.databases = history.databases();
    (listing.epoch, listing.owner) = (held.tail.epoch, held.tail.owner);
    Ok(listing)
}

/// The log, or the bases that stand there without one. It is asked for again after them: the log of a new fleet begins
/// before its first base.
fn held_or_stranded(
    store: &dyn Store,
    stranded: &mut Vec<Stranded>,
) -> Result<Option<Held>, ApplyError> {
    if let Some(held) = fleet_log::held(store).map_err(blame)? {
        return Ok(Some(held));
    }
    let bases = stranded::bases(store)?;
    let held = fleet_log::held(store).map_err(blame)?;
    if held.is_none() {
        *stranded = bases;
    }
    Ok(held)
}

/// From one log object to another, with their instants.
#[derive(Clone, Copy, Debug)]
struct Span {
    from: (Seq, Millis),
    to: (Seq, Millis),
}

impl Span {
    fn at(seq: Seq, stamp: Millis) -> Self {
        Self { from: (seq, stamp), to: (seq, stamp) }
    }

    fn range(&self) -> Range {
        Range {
            from_seq: self.from.0,
            to_seq: self.to.0,
            from_time: rfc3339(self.from.1),
            to_time: rfc3339(self.to.1),
        }
    }
}

/// What the tables tell, seen in order.
#[derive(Default)]
struct History {
    /// The fold of all tables that could be read.
    catalogue: Catalogue,
    whole: Option<Span>,
    lives: BTreeMap<DbId, Vec<Lived>>,
}

/// One life as far as it was seen.
struct Lived {
    incarnation: Incarnation,
    span: Span,
    changes: u64,
    page_size: PageSize,
    pages: u32,
}

impl History {
    fn add(&mut self, seq: Seq, table: &Table) {
        let stamp = table.header.stamp;
        self.whole.get_or_insert(Span::at(seq, stamp)).to = (seq, stamp);
        for section in &table.sections {
            self.add_section(section, seq, stamp);
        }
        if let Err(error) = self.catalogue.absorb(table) {
            // The announcement stood in an object that cannot be read, which is told already.
            tracing::debug!(%seq, %error, "the catalogue is incomplete");
        }
    }

    fn add_section(&mut self, section: &SectionEntry, seq: Seq, stamp: Millis) {
        let lives = self.lives.entry(section.db).or_default();
        if lives.last().is_none_or(|life| life.incarnation != section.incarnation) {
            lives.push(Lived {
                incarnation: section.incarnation,
                span: Span::at(seq, stamp),
                changes: 0,
                page_size: section.page_size,
                pages: 0,
            });
        }
        if let Some(life) = lives.last_mut() {
            life.span.to = (seq, stamp);
            life.changes += 1;
            life.pages = section.pages_after;
        }
    }

    /// The databases of the catalogue, by name.
    fn databases(&self) -> Vec<Listed> {
        let mut listed: Vec<Listed> =
            self.catalogue.databases.values().map(|entry| self.database(entry)).collect();
        listed.sort_by_cached_key(|listed| (listed.name.key(), listed.id));
        listed
    }

    fn database(&self, entry: &CatalogueEntry) -> Listed {
        let lives = self.lives.get(&entry.id).map_or(&[][..], Vec::as_slice);
        let page_bytes = entry.page_size.map_or(0, |size| u64::from(size.get()));
        let changed = lives.last().map(|life| life.span.to);
        Listed {
            name: entry.name.clone(),
            id: entry.id,
            tier: entry.tier.clone(),
            state: entry.state,
            bytes: u64::from(entry.pages) * page_bytes,
            pages: entry.pages,
            page_size: entry.page_size,
            txid: entry.txid,
            checksum: entry.checksum,
            changed: entry.changed,
            changed_time: changed
                .filter(|(seq, _)| Some(*seq) == entry.changed)
                .map(|(_, at)| rfc3339(at)),
            restorable: self.restorable(lives),
            incarnations: lives.iter().map(Lived::told).collect(),
            base: entry.base.as_ref().map(|base| Base {
                at: base.at,
                bytes: base.bytes,
                parts: base.parts.len(),
            }),
        }
    }

    /// From the first state with content to the newest of the fleet.
    fn restorable(&self, lives: &[Lived]) -> Option<Range> {
        let (first, whole) = (lives.first()?, self.whole?);
        Some(Span { from: first.span.from, to: whole.to }.range())
    }
}

impl Lived {
    fn told(&self) -> Life {
        let Range { from_seq, to_seq, from_time, to_time } = self.span.range();
        Life {
            incarnation: self.incarnation,
            from_seq,
            to_seq,
            from_time,
            to_time,
            changes: self.changes,
            page_size: self.page_size,
            pages: self.pages,
        }
    }
}

#[cfg(test)]
mod tests;
