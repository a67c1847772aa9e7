//! Who belongs to the fleet: joins the configuration with what the log knows, and gives new databases
//! their identity.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use console::config::{self, DatabaseRule, Source, Taken, WalshipConfig};
use console::descriptors::TooFewDescriptors;
use segment::{Catalogue, CatalogueEntry, DatabaseState, DbId, Incarnation};
use store::Store;

use crate::database::{Database, Shipped, Spec};
use crate::fleet::Fleet;
use crate::memory::Memory;
use crate::shipped::{self, HashCache};

/// Descriptors of one database, and of the program.
const DESCRIPTORS: (u64, u64) = (4, 64);
/// Pause after the store did not answer.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// See the module's text.
pub struct Roster {
    fleet: Arc<Fleet>,
    store: Arc<dyn Store>,
    cache: HashCache,
    memory: Memory,
    warned: BTreeSet<String>,
    taken: Vec<Taken>,
}

impl Roster {
    /// A roster for a fleet without members.
    #[must_use]
    pub fn new(fleet: Arc<Fleet>, store: Arc<dyn Store>, cache: HashCache, memory: Memory) -> Self {
        Self { fleet, store, cache, memory, warned: BTreeSet::new(), taken: Vec::new() }
    }

    /// Adds the databases that the configuration means now and the fleet does not have yet. Finding out
    /// what the log holds of them happens on threads of its own.
    pub fn refresh(&mut self, config: &WalshipConfig, catalogue: &Catalogue) {
        let mut found = config::discover(config, &self.memory.homes());
        let taken = found.taken.iter().map(ToString::to_string);
        for warning in found.warnings.drain(..).chain(taken) {
            if self.warned.insert(warning.clone()) {
                tracing::warn!("{warning}");
            }
        }
        self.taken = found.taken;
        let members = self.fleet.names();
        let paths: BTreeSet<PathBuf> =
            found.databases.iter().map(|database| database.path.clone()).collect();
        let mut specs: Vec<_> = found
            .databases
            .into_iter()
            .filter(|database| !members.contains(&database.name.key()))
            .map(|database| spec_of(config, catalogue, database))
            .collect();
        let known: BTreeSet<DbId> = specs.iter().map(|spec| spec.id).collect();
        let absent = |entry: &&CatalogueEntry| {
            entry.state != DatabaseState::Retired
                && !known.contains(&entry.id)
                && !self.fleet.expects(entry.id)
                && !self.fleet.is_retired(entry.id)
        };
        for entry in catalogue.databases.values().filter(absent).collect::<Vec<_>>() {
            match self.absence(config, &paths, entry) {
                Absence::Missing(database) => specs.push(spec_of(config, catalogue, *database)),
                Absence::Removed => {
                    tracing::warn!(db = %entry.name, "no longer in the configuration: retired");
                    self.fleet.retire(entry.id);
                }
                Absence::Unknown => self.warn_of_unknown(entry),
            }
        }
        for mut spec in specs {
            spec.no_room = no_room(self.fleet.names().len() + 1);
            self.fleet.expect(spec.id, &spec.name);
            self.load(spec, catalogue);
        }
    }

    /// Files that are not shipped because another one has their name.
    #[must_use]
    pub fn taken(&self) -> &[Taken] {
        &self.taken
    }

    /// Why a database of the log is not among those that the configuration finds now. Only what is known to
    /// have been removed is retired: a folder that is not mounted, or a state folder that was lost, is not a
    /// decision of anybody.
    fn absence(
        &self,
        config: &WalshipConfig,
        paths: &BTreeSet<PathBuf>,
        entry: &CatalogueEntry,
    ) -> Absence {
        let Some(remembered) = self.memory.0.get(&entry.name) else { return Absence::Unknown };
        if paths.contains(&remembered.path) {
            return Absence::Removed;
        }
        let rule = config.databases.iter().find(|rule| is_matched(rule, &remembered.path));
        let Some((rule, tier)) = rule.and_then(|rule| Some((rule, config.tiers.get(&rule.tier)?)))
        else {
            return Absence::Removed;
        };
        Absence::Missing(Box::new(config::Database {
            name: entry.name.clone(),
            path: remembered.path.clone(),
            tier: rule.tier.clone(),
            sync_interval: rule.sync_interval.unwrap_or(tier.sync_interval),
            renamed_from: None,
        }))
    }

    fn warn_of_unknown(&mut self, entry: &CatalogueEntry) {
        if self.warned.insert(entry.name.key()) {
            tracing::warn!(
                db = %entry.name,
                "in the log, but no rule of the configuration finds it: left as it is. Is a folder not mounted?"
            );
        }
    }

    fn load(&self, spec: Spec, catalogue: &Catalogue) {
        let entry = catalogue.databases.get(&spec.id).cloned();
        let (fleet, store, cache) =
            (Arc::clone(&self.fleet), Arc::clone(&self.store), self.cache.clone());
        // Moved to another path it is the same file still; another file there begins another life.
        let file = self.memory.0.get(&spec.name).and_then(|remembered| remembered.file);
        self.fleet.pool().run(move || {
            let shipped = entry.and_then(|entry| shipped_of(&store, &cache, &entry));
            fleet.add(Database::new(spec, shipped, file, new_incarnation, Instant::now()));
        });
    }
}

/// Makes sure that the process may hold the descriptors of so many databases.
///
/// # Errors
/// With the number needed.
pub fn reserve_descriptors(databases: usize) -> Result<(), TooFewDescriptors> {
    console::descriptors::ensure(databases as u64 * DESCRIPTORS.0 + DESCRIPTORS.1)
}

/// Why one more database would take what the others and the store need.
fn no_room(databases: usize) -> Option<String> {
    let error = reserve_descriptors(databases).err()?;
    Some(format!("{error}: raise the limit and start walship anew"))
}

/// What the log holds of a database. A store that does not answer is waited for; a log that does not add
/// up means a new base.
fn shipped_of(
    store: &Arc<dyn Store>,
    cache: &HashCache,
    entry: &CatalogueEntry,
) -> Option<Shipped> {
    loop {
        match shipped::load(store, cache, entry) {
            Ok(shipped) => return shipped,
            Err(error) if error.is_transient() => {
                tracing::warn!(db = %entry.name, %error, "waiting for the store");
                std::thread::sleep(RETRY_INTERVAL);
            }
            Err(error) => {
                tracing::warn!(db = %entry.name, %error, "a new base will be shipped");
                return None;
            }
        }
    }
}

/// See [`Roster::absence`].
enum Absence {
    /// Its file is gone, but a pattern still means it.
    Missing(Box<config::Database>),
    /// The configuration does not mean it any more.
    Removed,
    /// Nobody remembers where it was.
    Unknown,
}

fn is_matched(rule: &DatabaseRule, path: &Path) -> bool {
    match &rule.source {
        Source::Glob(pattern) => {
            glob::Pattern::new(pattern).is_ok_and(|pattern| pattern.matches_path(path))
        }
        Source::Path(_) => false,
    }
}

fn spec_of(config: &WalshipConfig, catalogue: &Catalogue, database: config::Database) -> Spec {
    let former = database.renamed_from.as_ref().and_then(|old| catalogue.find(old));
    let entry = catalogue.find(&database.name).or(former);
    let tier = config.tiers.get(&database.tier);
    Spec {
        id: entry.map_or_else(new_id, |entry| entry.id),
        class_hours: tier.map_or(0, tiering::Tier::class_hours),
        rpo_bound: tier.map_or(Duration::MAX, |tier| tier.rpo_bound),
        no_room: None,
        force_above: match config.wal_force_above {
            config::Threshold::Above(size) => Some(size.0),
            config::Threshold::Never => None,
        },
        name: database.name,
        path: database.path,
        tier: database.tier,
        sync_interval: database.sync_interval,
    }
}

fn new_id() -> DbId {
    DbId::from_bytes(random())
}

fn new_incarnation() -> Incarnation {
    Incarnation::from_bytes(random())
}

/// Random bytes from the operating system.
///
/// # Panics
/// If the operating system has none, without which no identity can be given.
#[must_use]
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system provides random bytes");
    bytes
}
