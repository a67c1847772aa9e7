//! Which databases a restore is about, and where each one goes: pure decisions over a catalogue.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use segment::{Catalogue, CatalogueEntry, DatabaseState, DbId, Name};

use crate::ApplyError;

/// The databases that are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// Every database of the fleet that was not retired at that cut.
    All,
    /// These, retired or not.
    Named(Vec<Name>),
}

/// What there is to restore of a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// Pages. If the file was missing on the primary, those of its last state.
    Image,
    /// A file of 0 bytes.
    Empty,
    /// Nothing was ever captured of it.
    Nothing,
}

/// A database that is restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chosen {
    /// The database.
    pub(crate) db: DbId,
    /// Its name at that cut.
    pub(crate) name: Name,
    /// Its tier at that cut.
    pub(crate) tier: String,
    /// Was it there?
    pub(crate) state: DatabaseState,
    /// What there is of it.
    pub(crate) content: Content,
}

/// The chosen databases, in the order of their names; unknown names apart. Tiers narrow the choice if any are named.
pub(crate) fn select(
    catalogue: &Catalogue,
    which: &Which,
    tiers: &[String],
) -> Result<(Vec<Chosen>, Vec<Name>), ApplyError> {
    check_tiers(catalogue, tiers)?;
    let is_wanted = |entry: &CatalogueEntry| tiers.is_empty() || tiers.contains(&entry.tier);
    match which {
        Which::All => {
            let there = catalogue.databases.values();
            let there = there.filter(|entry| entry.state != DatabaseState::Retired);
            Ok((in_order(there.filter(|entry| is_wanted(entry)))?, Vec::new()))
        }
        Which::Named(names) => {
            let found: BTreeMap<DbId, &CatalogueEntry> = names
                .iter()
                .filter_map(|name| catalogue.find(name))
                .map(|entry| (entry.id, entry))
                .collect();
            if let Some(left_out) = found.values().find(|entry| !is_wanted(entry)) {
                let CatalogueEntry { name, tier, .. } = left_out;
                let detail = format!("{name} is of tier {tier}, which --tiers leaves out");
                return Err(ApplyError::Usage(detail));
            }
            let unknown = names.iter().filter(|name| catalogue.find(name).is_none());
            Ok((in_order(found.into_values())?, unknown.cloned().collect()))
        }
    }
}

/// Retired databases of these tiers, which [`Which::All`] leaves out; those that were never captured do not count.
pub(crate) fn retired(catalogue: &Catalogue, tiers: &[String]) -> Vec<Name> {
    let entries = catalogue.databases.values().filter(|entry| {
        entry.state == DatabaseState::Retired
            && entry.incarnation.is_some()
            && (tiers.is_empty() || tiers.contains(&entry.tier))
    });
    let mut names: Vec<Name> = entries.map(|entry| entry.name.clone()).collect();
    names.sort_by_key(Name::key);
    names
}

fn check_tiers(catalogue: &Catalogue, tiers: &[String]) -> Result<(), ApplyError> {
    let known = |tier: &String| {
        catalogue.tiers.contains_key(tier)
            || catalogue.databases.values().any(|entry| entry.tier == *tier)
    };
    match tiers.iter().find(|tier| !known(tier)) {
        Some(tier) => Err(ApplyError::Usage(format!("the fleet has no tier {tier} at this point"))),
        None => Ok(()),
    }
}

/// Sorted by name; names must differ even where the file system ignores case.
fn in_order<'a>(
    entries: impl Iterator<Item = &'a CatalogueEntry>,
) -> Result<Vec<Chosen>, ApplyError> {
    let mut by_key = BTreeMap::new();
    for entry in entries {
        if by_key.insert(entry.name.key(), chosen(entry)).is_some() {
            return Err(ambiguous(&entry.name));
        }
    }
    Ok(by_key.into_values().collect())
}

fn ambiguous(name: &Name) -> ApplyError {
    ApplyError::Corrupt {
        what: "the catalogue".to_owned(),
        detail: format!("two databases are called {name}"),
    }
}

fn chosen(entry: &CatalogueEntry) -> Chosen {
    Chosen {
        db: entry.id,
        name: entry.name.clone(),
        tier: entry.tier.clone(),
        state: entry.state,
        content: match (entry.state, entry.incarnation) {
            (DatabaseState::Empty, _) => Content::Empty,
            (_, Some(_)) => Content::Image,
            (_, None) => Content::Nothing,
        },
    }
}

/// Where one database goes: to `output` itself, or to a file in that folder.
pub(crate) fn place(output: &Path, name: &Name, alone: bool) -> PathBuf {
    if alone { output.to_owned() } else { output.join(format!("{}.db", name.as_str())) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use segment::{Announcement, Incarnation};

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    fn catalogue(databases: &[(&str, &str, DatabaseState, bool)]) -> Catalogue {
        let mut catalogue = Catalogue::default();
        for (number, (text, tier, state, captured)) in databases.iter().enumerate() {
            let id = DbId::from_bytes([number as u8; 8]);
            let tier = (*tier).to_owned();
            let mut entry = CatalogueEntry::new(&Announcement {
                id,
                name: name(text),
                tier,
                class_hours: 24,
                state: *state,
            });
            entry.incarnation = captured.then_some(Incarnation::from_bytes([1; 16]));
            catalogue.databases.insert(id, entry);
        }
        catalogue
    }

    fn names(chosen: &[Chosen]) -> Vec<&str> {
        chosen.iter().map(|each| each.name.as_str()).collect()
    }

    use DatabaseState::{Empty, Live, Missing, Retired};

    #[test]
    fn all_is_the_fleet_of_that_cut_in_the_order_of_names() {
        let fleet = catalogue(&[
            ("c", "p0", Live, true),
            ("A", "p1", Missing, true),
            ("b", "p1", Retired, true),
        ]);
        let (all, _) = select(&fleet, &Which::All, &[]).unwrap();
        assert_eq!(names(&all), ["A", "c"]);
        let (some, _) = select(&fleet, &Which::All, &["p0".to_owned()]).unwrap();
        assert_eq!(names(&some), ["c"]);
        let wrong = select(&fleet, &Which::All, &["p9".to_owned()]);
        assert!(matches!(wrong, Err(ApplyError::Usage(why)) if why.contains("p9")));
    }

    #[test]
    fn names_are_found_whatever_their_case_and_taken_once() {
        let fleet = catalogue(&[("Orders", "p0", Retired, true), ("b", "p1", Live, true)]);
        let asked = Which::Named(vec![name("orders"), name("ORDERS"), name("nowhere")]);
        let (chosen, unknown) = select(&fleet, &asked, &[]).unwrap();
        assert_eq!((names(&chosen), unknown), (vec!["Orders"], vec![name("nowhere")]));
        let left_out = select(&fleet, &asked, &["p1".to_owned()]);
        assert!(matches!(left_out, Err(ApplyError::Usage(_))));
    }

    #[test]
    fn two_databases_never_share_a_file() {
        let fleet = catalogue(&[("orders", "p0", Live, true), ("ORDERS", "p0", Live, true)]);
        assert!(matches!(select(&fleet, &Which::All, &[]), Err(ApplyError::Corrupt { .. })));
    }

    #[test]
    fn what_there_is_follows_from_state_and_capture() {
        let fleet = catalogue(&[
            ("a", "p", Live, true),
            ("b", "p", Missing, true),
            ("c", "p", Empty, true),
            ("d", "p", Empty, false),
            ("e", "p", Missing, false),
        ]);
        let (all, _) = select(&fleet, &Which::All, &[]).unwrap();
        let contents: Vec<Content> = all.iter().map(|each| each.content).collect();
        use Content::{Image, Nothing};
        assert_eq!(contents, [Image, Image, Content::Empty, Content::Empty, Nothing]);
    }
}
