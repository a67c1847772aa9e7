//! Who is followed, and which database each file name belongs to.
//!
//! What always holds: two databases never share a file, also where the file system ignores case. What stands under a name
//! that another database has been given stays there, and becomes that one's content. The file of a database that is not
//! followed any more stays as it was, and is told of.
//!
//! What must happen before what: files of renamed databases move, and files are made, once the log was read as far as it
//! goes. Before that a file may be another database's already: what was read was true when it was written, and this standby may have
//! followed the log further than that in an earlier run.

use std::collections::{BTreeMap, BTreeSet};

use segment::{Catalogue, CatalogueEntry, DatabaseState, DbId, Name};

use super::Fleet;
use crate::follow::member::Member;
use crate::follow::state::LeftBehind;
use crate::replica::files;

const CLASH: &str = "another database has this name already: not followed";

impl Fleet {
    /// Makes the members those that the catalogue and the settings say.
    pub(super) fn enlist(&mut self) {
        let now = self.now();
        let owners = self.owners();
        let entries: BTreeMap<DbId, CatalogueEntry> =
            owners.values().map(|entry| (entry.id, entry.clone())).collect();
        self.members.retain(|db, _| entries.contains_key(db));
        for entry in entries.into_values() {
            let member = self.members.entry(entry.id).or_insert_with(|| {
                let place = self.settings.place(&entry);
                let mut member = Member::new(entry.id, place, entry.tier.clone(), now);
                // Only one that was announced before may be changed there.
                let lost = self.lost.filter(|_| entry.incarnation.is_some());
                lost.into_iter().for_each(|lost| member.track.object_lost(lost));
                member
            });
            member.tier.clone_from(&entry.tier);
            if member.place.name != entry.name {
                member.rename(self.settings.place(&entry), now.store);
            }
        }
        for (db, member) in self.members.iter_mut().filter(|(_, member)| member.is_renamed()) {
            let is_anothers = |name: &Name| owners.get(&name.key()).is_some_and(|of| of.id != *db);
            member.leave_files(is_anothers);
        }
        self.is_left_behind_due = true;
        self.look_for_tiers();
    }

    /// The names of the files with content in the standby's folder.
    fn files(&self) -> Vec<Name> {
        let folder = &self.settings.folder;
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let stems = entries.filter_map(|entry| {
            entry.file_name().to_str().and_then(|name| name.strip_suffix(".db")).map(str::to_owned)
        });
        let names = stems.filter_map(|stem| Name::parse(&stem).ok());
        let is_there =
            |name: &Name| matches!(files::length(&files::database(folder, name)), Ok(Some(1..)));
        names.filter(is_there).collect()
    }

    /// A tier that is misspelt in the settings would be missing here until the day it is needed.
    fn look_for_tiers(&mut self) {
        let Catalogue { tiers, databases, .. } = &self.catalogue;
        let is_known = |tier: &String| {
            tiers.contains_key(tier) || databases.values().any(|entry| entry.tier == *tier)
        };
        let wanted = self.settings.standby.tiers.iter().flatten();
        let unknown: Vec<String> = wanted.filter(|tier| !is_known(tier)).cloned().collect();
        let is_news = unknown != self.unknown_tiers;
        self.unknown_tiers = unknown;
        if let Some(told) = self.tell_unknown_tiers().filter(|_| is_news) {
            tracing::error!("{told}");
        }
    }

    pub(super) fn tell_unknown_tiers(&self) -> Option<String> {
        let unknown = self.unknown_tiers.join(", ");
        let known: Vec<&str> = self.catalogue.tiers.keys().map(String::as_str).collect();
        (!unknown.is_empty()).then(|| {
            format!(
                "[standby] tiers names {unknown}, which the fleet does not have: nothing of that is followed; it has {}",
                known.join(", ")
            )
        })
    }

    /// Nothing is deleted here, and nobody should take an old state for the newest one. At the end of the log: before it,
    /// names may be about to change.
    pub(super) fn tell_left_behind(&mut self) {
        if !std::mem::take(&mut self.is_left_behind_due) {
            return;
        }
        let owners = self.owners();
        let formers = self.members.values().flat_map(|member| &member.place.formers);
        let on_their_way: BTreeSet<String> = formers.map(Name::key).collect();
        let mut found = self.files();
        found.retain(|name| {
            !owners.contains_key(&name.key()) && !on_their_way.contains(&name.key())
        });
        found.sort();
        let catalogue = &self.catalogue;
        let left_behind: Vec<LeftBehind> =
            found.into_iter().map(|name| left_behind(catalogue.find(&name), name)).collect();
        for LeftBehind { name, reason } in &left_behind {
            if self.left_behind.iter().all(|known| known.name != *name) {
                tracing::warn!(db = %name, "{reason}");
            }
        }
        self.left_behind = left_behind;
    }

    /// The database that each name belongs to: the one that has it already keeps it.
    fn owners(&mut self) -> BTreeMap<String, CatalogueEntry> {
        let entries = self.catalogue.databases.values();
        let entries = entries.filter(|entry| self.settings.follows(&self.catalogue, entry));
        let has_it = |entry: &&CatalogueEntry| {
            let member = self.members.get(&entry.id);
            member.is_some_and(|member| member.place.name.key() == entry.name.key())
        };
        let (holders, others): (Vec<_>, Vec<_>) =
            entries.cloned().partition(|entry| has_it(&entry));
        let mut owners: BTreeMap<String, CatalogueEntry> = BTreeMap::new();
        let told = std::mem::take(&mut self.clashes);
        for entry in holders.into_iter().chain(others) {
            let key = entry.name.key();
            match owners.get(&key) {
                Some(holder) => {
                    if !told.contains_key(&entry.id) {
                        tracing::error!(db = %entry.name, holder = %holder.id, "{CLASH}");
                    }
                    self.clashes.insert(entry.id, entry.name);
                }
                None => _ = owners.insert(key, entry),
            }
        }
        owners
    }

    /// Databases whose name another one has.
    pub(super) fn tell_clashes(&self) -> impl Iterator<Item = String> {
        self.clashes.iter().map(|(db, name)| format!("{name} ({db}): {CLASH}"))
    }

    /// Whether the log was read as far as it goes, so that no name is about to change.
    pub(super) fn are_names_known(&self) -> bool {
        self.at_tail || self.trouble.is_some()
    }

    /// Names (their keys) whose files are touched by jobs of databases that do not have them any more.
    pub(super) fn names_being_left(&self) -> Vec<String> {
        self.members.values().flat_map(Member::names_being_left).map(Name::key).collect()
    }
}

fn left_behind(entry: Option<&CatalogueEntry>, name: Name) -> LeftBehind {
    let why = match entry {
        None => "the fleet has no database of this name".to_owned(),
        Some(entry) if entry.state == DatabaseState::Retired => "retired on the primary".to_owned(),
        Some(entry) => format!("its tier {} is not followed here", entry.tier),
    };
    LeftBehind { reason: format!("{why}: the file {name}.db here stays as it was"), name }
}
