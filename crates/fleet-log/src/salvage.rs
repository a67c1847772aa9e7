//! The state of the fleet behind damage: what a log tells although some of its objects are lost.
//!
//! A lost object may have changed any database, but the sections after it name the log object that changed their
//! database before. So the state of a database is told if a section or a catalogue stands behind the last lost object,
//! and it can be built if no lost object stands between its base and its last change. Every other database is
//! *in doubt*: nobody may take its entry for its state, and the owner of the log ships a new base of it. So a lost object
//! is never passed as if nothing had been in it, which rule R2 forbids.
//!
//! What is taken over is proven from the end: every object has the hash that its successor names, or, where the successor
//! is lost, belongs to the same fleet and has its own hashes right.

use std::collections::{BTreeMap, BTreeSet};

use segment::{Catalogue, CatalogueEntry, DbId, Seq, Table};
use store::Store;

use crate::LogError;
use crate::boundary::boundary;
use crate::history::{Snapshot, catalogue_at, check_held, damaged_version, explain, table};

/// What a damaged log tells of the fleet.
#[derive(Clone, Debug)]
pub struct Salvage {
    /// What is known of every database; of one in doubt, the last that was told.
    pub catalogue: Catalogue,
    /// Why log objects are lost, newest first.
    pub lost: Vec<LogError>,
    /// The databases whose state is not told, or cannot be built.
    pub in_doubt: BTreeSet<DbId>,
}

/// The state of the fleet after the log object `seq`, whatever is lost before it. Where nothing is, the catalogue is
/// that of [`catalogue_at`]. Otherwise the tables back to the newest sound catalogue are read, twice.
///
/// # Errors
/// The store's; where `seq` itself is lost; [`LogError::Behind`]; an object of a newer format.
pub fn salvage_at(store: &dyn Store, seq: Seq) -> Result<Salvage, LogError> {
    match catalogue_at(store, seq) {
        Ok(Snapshot { catalogue, .. }) => {
            Ok(Salvage { catalogue, lost: Vec::new(), in_doubt: BTreeSet::new() })
        }
        Err(LogError::Corrupt { .. } | LogError::Missing { .. } | LogError::NewerFormat { .. }) => {
            salvage(store, seq).map_err(|error| explain(store, error))
        }
        Err(error) => Err(error),
    }
}

/// The state of the fleet from which a reader can go on towards the log object `seq`: the one after that object, or, where
/// something is lost that this needs, the one of the newest sound catalogue before. Reading on from there meets what is lost.
///
/// # Errors
/// As for [`salvage_at`]; the damage itself where no catalogue is sound.
pub fn beginning_at(store: &dyn Store, seq: Seq) -> Result<Snapshot, LogError> {
    match catalogue_at(store, seq) {
        Err(LogError::Corrupt { .. } | LogError::Missing { .. } | LogError::NewerFormat { .. }) => {
            let span = look_back(store, table(store, seq)?);
            let Span { first, .. } = span.map_err(|error| explain(store, error))?;
            catalogue_at(store, first)
        }
        found => found,
    }
}

fn salvage(store: &dyn Store, seq: Seq) -> Result<Salvage, LogError> {
    let Span { first, lost } = look_back(store, table(store, seq)?)?;
    let mut folding = Folding::default();
    for at in (first.get()..=seq.get()).filter_map(Seq::new).filter(|at| !lost.contains_key(at)) {
        folding.take(at, &table(store, at)?);
    }
    check_held(store, first)?;
    let lost_at = lost.keys().copied().collect();
    let in_doubt = folding.in_doubt(&lost_at);
    let lost = lost.into_values().rev().collect();
    Ok(Salvage { catalogue: folding.catalogue, lost, in_doubt })
}

/// From the newest sound catalogue to the end, and what is lost in between.
struct Span {
    first: Seq,
    lost: BTreeMap<Seq, LogError>,
}

fn look_back(store: &dyn Store, last: Table) -> Result<Span, LogError> {
    let end = last.header.seq.unwrap_or(Seq::FIRST);
    let held_from = boundary(store)?.map_or(Seq::FIRST, |boundary| boundary.retired);
    let mut span = Span { first: end, lost: BTreeMap::new() };
    let (fleet, mut successor) = (last.header.fleet, Some(last));
    while !successor.as_ref().is_some_and(Table::has_catalogue) && span.first > held_from {
        let Some(at) = span.first.previous() else { break };
        span.first = at;
        let named = successor.take().map(|table| table.header.previous);
        let is_sound = |table: &Table| {
            table.header.fleet == fleet && named.is_none_or(|hash| hash == table.hash)
        };
        match table(store, at) {
            Ok(table) if is_sound(&table) => successor = Some(table),
            Ok(_) => {
                let detail = "it is not the object that the next one follows".to_owned();
                span.lost.insert(at, LogError::Corrupt { seq: at, detail });
            }
            Err(error @ (LogError::Corrupt { .. } | LogError::Missing { .. })) => {
                span.lost.insert(at, error);
            }
            Err(LogError::NewerFormat { .. }) => {
                span.lost.insert(at, damaged_version(at));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(span)
}

/// A fold over a log with holes.
#[derive(Default)]
struct Folding {
    catalogue: Catalogue,
    /// Of each section: the log object that changed the same database before.
    links: BTreeMap<(DbId, Seq), Option<Seq>>,
}

impl Folding {
    fn take(&mut self, seq: Seq, table: &Table) {
        for section in &table.sections {
            let before = section.previous_seq.filter(|_| !section.new_incarnation);
            self.links.insert((section.db, seq), before);
        }
        if let Err(error) = self.catalogue.absorb(table) {
            // What is said of a database that a lost object announced has nothing to stand on.
            tracing::debug!(%seq, %error, "not taken over");
        }
    }

    fn in_doubt(&self, lost: &BTreeSet<Seq>) -> BTreeSet<DbId> {
        let entries = self.catalogue.databases.values();
        let in_doubt = |entry: &&CatalogueEntry| {
            entry.changed < lost.last().copied() || !self.can_be_built(entry, lost)
        };
        entries.filter(in_doubt).map(|entry| entry.id).collect()
    }

    /// True if nothing lost stands between the base and the last change, as far as this fold looked back.
    fn can_be_built(&self, entry: &CatalogueEntry, lost: &BTreeSet<Seq>) -> bool {
        let from = entry.base.as_ref().and_then(|base| base.at);
        let mut next = entry.changed;
        while let Some(seq) = next.filter(|seq| from.is_none_or(|from| *seq > from)) {
            if lost.contains(&seq) {
                return false;
            }
            let before = self.links.get(&(entry.id, seq)).copied().flatten();
            next = before.filter(|before| *before < seq);
        }
        true
    }
}
