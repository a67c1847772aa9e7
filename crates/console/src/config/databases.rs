//! The `[[databases]]` tables: which files to ship, under which name and in which tier.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use glob::Pattern;
use segment::Name;
use serde::{Deserialize, Deserializer, Serialize};

use super::place::Way;
use super::tiers::check_sync_interval;
use super::units::optional_duration;
use super::{Complaint, Tiers, table};

/// One `[[databases]]` table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(into = "RuleKeys")]
pub struct DatabaseRule {
    /// The file or files.
    pub source: Source,
    /// The tier they belong to.
    pub tier: String,
    /// The name of the database; by default the stem of the file's name.
    pub name: Option<Name>,
    /// Overrides the tier's interval.
    pub sync_interval: Option<Duration>,
    /// The name that the database had so far: its history goes on under the new one.
    pub renamed_from: Option<Name>,
}

/// Where the databases of a rule are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// One file; it need not exist yet.
    Path(PathBuf),
    /// All files that match, now and later.
    Glob(String),
}

impl DatabaseRule {
    pub(super) fn rebase(&mut self, folder: &Path) {
        match &mut self.source {
            Source::Path(path) => *path = folder.join(&path),
            Source::Glob(pattern) if Path::new(pattern.as_str()).is_absolute() => {}
            Source::Glob(pattern) => {
                *pattern = format!("{}/{pattern}", Pattern::escape(&folder.to_string_lossy()));
            }
        }
    }

    /// The name of a rule for one file.
    pub(super) fn name_of(&self, path: &Path) -> Result<Name, Complaint> {
        self.name.clone().map_or_else(|| name_from_stem(path), Ok)
    }
}

/// The stem of the file's name as a database name.
pub(super) fn name_from_stem(path: &Path) -> Result<Name, Complaint> {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    Name::parse(&stem).map_err(|error| {
        Complaint::new(format!("{} gives no valid name: {error}", path.display()))
            .hint("write `name = \"...\"` in its [[databases]] table")
    })
}

/// Checks all rules together: tiers, intervals, patterns, and names unique ignoring case.
pub(super) fn check(rules: &[DatabaseRule], tiers: &Tiers) -> Result<(), Complaint> {
    let mut seen = Seen::default();
    let placed = || rules.iter().enumerate().map(|(index, rule)| (way_to(index), rule));
    placed().try_for_each(|(way, rule)| check_rule(way, rule, tiers, &mut seen))?;
    placed().try_for_each(|(way, rule)| {
        let Some(old) = &rule.renamed_from else { return Ok(()) };
        seen.refuse_living(old).map_err(|complaint| complaint.at(way.then("renamed_from")))
    })
}

fn way_to(index: usize) -> Way {
    Way::key("databases").item(index)
}

fn check_rule(
    way: Way,
    rule: &DatabaseRule,
    tiers: &Tiers,
    seen: &mut Seen,
) -> Result<(), Complaint> {
    match &rule.source {
        Source::Path(path) => {
            let (named, file) = (way.clone().then("name"), way.clone().then("path"));
            let at = |complaint: Complaint| complaint.at(named).at(file);
            let name = rule.name_of(path).map_err(at.clone())?;
            check_interval(way, rule, name.as_str(), tiers)?;
            seen.add(&name, path).map_err(at)
        }
        Source::Glob(pattern) => {
            check_interval(way.clone(), rule, pattern, tiers)?;
            let explain = |error| {
                Complaint::new(format!("`{pattern}` is not a valid pattern: {error}"))
                    .at(way.then("glob"))
            };
            Pattern::new(pattern).map(drop).map_err(explain)
        }
    }
}

fn check_interval(
    way: Way,
    rule: &DatabaseRule,
    whose: &str,
    tiers: &Tiers,
) -> Result<(), Complaint> {
    let tier =
        tiers.require(&rule.tier).map_err(|complaint| complaint.at(way.clone().then("tier")))?;
    let interval = rule.sync_interval.unwrap_or(tier.sync_interval);
    check_sync_interval(&format!("database `{whose}`"), interval, tier)
        .map_err(|complaint| complaint.at(way.then("sync_interval")))
}

/// Names and paths met so far.
#[derive(Default)]
struct Seen {
    by_name: BTreeMap<String, PathBuf>,
    by_path: BTreeMap<PathBuf, Name>,
}

impl Seen {
    fn add(&mut self, name: &Name, path: &Path) -> Result<(), Complaint> {
        if let Some(other) = self.by_name.insert(name.key(), path.into()) {
            let message = format!(
                "{} and {} are both named `{name}` (case is ignored)",
                other.display(),
                path.display()
            );
            return Err(Complaint::new(message).hint("give one of them another `name`"));
        }
        match self.by_path.insert(path.into(), name.clone()) {
            Some(other) => Err(Complaint::new(format!(
                "{} is listed as `{other}` and as `{name}`",
                path.display()
            ))),
            None => Ok(()),
        }
    }

    /// A name that is in use has no history to give away.
    fn refuse_living(&self, old: &Name) -> Result<(), Complaint> {
        match self.by_name.get(&old.key()) {
            Some(path) => Err(Complaint::new(format!(
                "renamed_from = \"{old}\", but {} has that name now",
                path.display()
            ))),
            None => Ok(()),
        }
    }
}

/// The table as it is written.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleKeys {
    path: Option<PathBuf>,
    glob: Option<String>,
    tier: String,
    name: Option<Name>,
    #[serde(with = "optional_duration", default, skip_serializing_if = "Option::is_none")]
    sync_interval: Option<Duration>,
    renamed_from: Option<Name>,
}

impl<'de> Deserialize<'de> for DatabaseRule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        table::convert(deserializer, Self::from_keys)
    }
}

impl DatabaseRule {
    fn from_keys(keys: RuleKeys) -> Result<Self, String> {
        let source = match (keys.path, keys.glob) {
            (Some(path), None) => Source::Path(path),
            (None, Some(_)) if keys.name.is_some() || keys.renamed_from.is_some() => {
                return Err("`name` and `renamed_from` are for one database: write `path` instead of `glob`".into());
            }
            (None, Some(pattern)) => Source::Glob(pattern),
            _ => return Err("write either `path` or `glob` for a database".into()),
        };
        let RuleKeys { tier, name, sync_interval, renamed_from, .. } = keys;
        Ok(Self { source, tier, name, sync_interval, renamed_from })
    }
}

impl From<DatabaseRule> for RuleKeys {
    fn from(rule: DatabaseRule) -> Self {
        let (path, glob) = match rule.source {
            Source::Path(path) => (Some(path), None),
            Source::Glob(pattern) => (None, Some(pattern)),
        };
        let DatabaseRule { tier, name, sync_interval, renamed_from, .. } = rule;
        Self { path, glob, tier, name, sync_interval, renamed_from }
    }
}
