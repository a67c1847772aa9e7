//! Turns the `[[databases]]` tables into the list of databases of this moment.
//!
//! Called at start and again and again, since patterns also mean files that appear later. Files listed by `path` come
//! first and need not exist. Whatever is wrong with a file that a pattern found is a warning, and the rest goes on:
//! one badly named file must not stop a fleet.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use glob::MatchOptions;
use segment::Name;

use super::databases::name_from_stem;
use super::{DatabaseRule, Source, Tiers, WalshipConfig};

/// SQLite's own companions of a database file.
const COMPANIONS: [&str; 3] = ["-wal", "-shm", "-journal"];

/// Like a shell: `*` does not cross folders and does not match hidden files.
const MATCHING: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: true,
};

/// A database to ship.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Database {
    /// Its name in the fleet.
    pub name: Name,
    /// Its file.
    pub path: PathBuf,
    /// Its tier.
    pub tier: String,
    /// How long a change of it may wait for the next flush.
    pub sync_interval: Duration,
    /// The name it had so far.
    pub renamed_from: Option<Name>,
}

/// The databases of this moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Discovery {
    /// What to ship; names are unique ignoring case.
    pub databases: Vec<Database>,
    /// Files that are not shipped because another one has the name.
    pub taken: Vec<Taken>,
    /// Whatever else was found and cannot be shipped, and why.
    pub warnings: Vec<String>,
}

/// A file whose name another file has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// The name.
    pub name: Name,
    /// The file that is not shipped.
    pub path: PathBuf,
    /// The one that is.
    pub by: PathBuf,
}

impl fmt::Display for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (path, by) = (self.path.display(), self.by.display());
        write!(f, "{path} is not shipped: {by} has the name `{}` (case is ignored)", self.name)
    }
}

/// Where each database was so far, by the key of its name: of two files of one name, the one that has it keeps it.
pub type Homes = BTreeMap<String, PathBuf>;

/// Lists the databases that the configuration means now.
#[must_use]
pub fn discover(config: &WalshipConfig, homes: &Homes) -> Discovery {
    let mut collector = Collector {
        tiers: &config.tiers,
        homes,
        found: Discovery::default(),
        names: BTreeMap::new(),
        paths: BTreeSet::new(),
    };
    for rule in &config.databases {
        if let Source::Path(path) = &rule.source {
            collector.add(rule, path, rule.name_of(path).map_err(|complaint| complaint.message));
        }
    }
    for rule in &config.databases {
        if let Source::Glob(pattern) = &rule.source {
            collector.expand(rule, pattern);
        }
    }
    collector.found
}

struct Collector<'a> {
    tiers: &'a Tiers,
    homes: &'a Homes,
    found: Discovery,
    /// Which of the databases has a name.
    names: BTreeMap<String, usize>,
    paths: BTreeSet<PathBuf>,
}

impl Collector<'_> {
    fn expand(&mut self, rule: &DatabaseRule, pattern: &str) {
        match glob::glob_with(pattern, MATCHING) {
            Ok(matches) => matches.for_each(|found| match found {
                Ok(path) => self.meet(rule, &path),
                Err(error) => self.warn(format!(
                    "cannot look into {}: {}",
                    error.path().display(),
                    error.error()
                )),
            }),
            Err(error) => self.warn(format!("`{pattern}` is not a valid pattern: {error}")),
        }
    }

    /// A file that a pattern found.
    fn meet(&mut self, rule: &DatabaseRule, path: &Path) {
        if is_companion(path) || self.paths.contains(path) {
            return;
        }
        match path.symlink_metadata() {
            Ok(metadata) if metadata.is_symlink() => {
                self.warn(format!(
                    "{} is a symbolic link: list its target by `path`",
                    path.display()
                ));
            }
            Ok(metadata) if metadata.is_file() => {
                self.add(rule, path, name_from_stem(path).map_err(|complaint| complaint.message));
            }
            Ok(_) | Err(_) => {}
        }
    }

    fn add(&mut self, rule: &DatabaseRule, path: &Path, name: Result<Name, String>) {
        self.paths.insert(path.into());
        let Some(tier) = self.tiers.get(&rule.tier) else {
            return self.warn(format!("{}: there is no tier `{}`", path.display(), rule.tier));
        };
        let name = match name {
            Ok(name) => name,
            Err(message) => return self.warn(message),
        };
        let key = name.key();
        let database = Database {
            name,
            path: path.into(),
            tier: rule.tier.clone(),
            sync_interval: rule.sync_interval.unwrap_or(tier.sync_interval),
            renamed_from: rule.renamed_from.clone(),
        };
        match self.names.get(&key) {
            Some(index) => self.decide(&key, *index, database),
            None => {
                self.names.insert(key, self.found.databases.len());
                self.found.databases.push(database);
            }
        }
    }

    /// Two files of one name: the later one gets it only where it had it before.
    fn decide(&mut self, key: &str, index: usize, mut later: Database) {
        let first = &mut self.found.databases[index];
        if self.homes.get(key) == Some(&later.path) {
            std::mem::swap(first, &mut later);
        }
        let by = first.path.clone();
        self.found.taken.push(Taken { name: later.name, path: later.path, by });
    }

    fn warn(&mut self, warning: String) {
        self.found.warnings.push(warning);
    }
}

fn is_companion(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    COMPANIONS.iter().any(|ending| name.ends_with(ending))
}
