//! The tier table: the four built-in tiers, with what the file says laid over them.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::de::{DeserializeSeed, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tiering::{BUILT_IN_TIERS, Tier};

use super::error::closest;
use super::place::Way;
use super::units::optional_duration;
use super::{Complaint, format_duration, table};

/// Shortest `sync_interval`: the mechanism itself needs some milliseconds.
const SYNC_INTERVAL_MIN: Duration = Duration::from_millis(10);
/// Longest `sync_interval`; the log's header counts the period in 32 bits of milliseconds.
const SYNC_INTERVAL_MAX: Duration = Duration::from_secs(86_400);
/// Roll-ups are kept per whole hour of retention.
const RETENTION_UNIT: Duration = Duration::from_secs(3_600);

/// All tiers by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tiers(BTreeMap<String, Tier>);

impl Tiers {
    /// The tier of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Tier> {
        self.0.get(name)
    }

    /// All tiers, ordered by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Tier)> {
        self.0.iter().map(|(name, tier)| (name.as_str(), tier))
    }

    /// The tier of this name, or a complaint that names the one that was probably meant.
    pub(super) fn require(&self, name: &str) -> Result<&Tier, Complaint> {
        self.get(name).ok_or_else(|| {
            let known = self.0.keys().map(String::as_str);
            let hint = closest(name, known.clone()).map_or_else(
                || format!("the tiers are {}", known.collect::<Vec<_>>().join(", ")),
                |meant| format!("did you mean `{meant}`?"),
            );
            Complaint::new(format!("there is no tier `{name}`")).hint(hint)
        })
    }

    pub(super) fn check(&self) -> Result<(), Complaint> {
        self.iter().try_for_each(|(name, tier)| check_tier(name, tier))
    }
}

impl Default for Tiers {
    fn default() -> Self {
        Self(BUILT_IN_TIERS.into_iter().map(|(name, tier)| (name.to_owned(), tier)).collect())
    }
}

impl<'de> Deserialize<'de> for Tiers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Over(Self::default()))
    }
}

/// Lays the tables of a file over these tiers.
struct Over(Tiers);

impl<'de> Visitor<'de> for Over {
    type Value = Tiers;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table of tiers")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Tiers, A::Error> {
        while let Some(name) = map.next_key::<String>()? {
            let base = self.0.get(&name).copied();
            let tier = map.next_value_seed(Named { name: &name, base })?;
            self.0.0.insert(name, tier);
        }
        Ok(self.0)
    }
}

/// What the table of one tier is laid over.
struct Named<'a> {
    name: &'a str,
    base: Option<Tier>,
}

impl<'de> DeserializeSeed<'de> for Named<'_> {
    type Value = Tier;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Tier, D::Error> {
        table::convert(deserializer, |keys: TierKeys| keys.over(self.name, self.base))
    }
}

impl Serialize for Tiers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, tier)| (name, TierKeys::from(*tier))))
    }
}

/// A tier's table in the file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TierKeys {
    #[serde(with = "optional_duration", default)]
    sync_interval: Option<Duration>,
    #[serde(with = "optional_duration", default)]
    retention: Option<Duration>,
    #[serde(with = "optional_duration", default)]
    rpo_bound: Option<Duration>,
    standby: Option<bool>,
}

impl TierKeys {
    /// A built-in tier keeps what is not written; a tier of one's own has no defaults, so that a misspelt name shows.
    fn over(self, name: &str, base: Option<Tier>) -> Result<Tier, String> {
        let missing = |key: &str| {
            let meant = closest(name, BUILT_IN_TIERS.iter().map(|(known, _)| *known));
            let meant =
                meant.map_or_else(String::new, |meant| format!(" (did you mean `{meant}`?)"));
            format!("missing key `{key}` of tier `{name}`, which is not a built-in one{meant}")
        };
        let from_base = |part: fn(Tier) -> Duration| base.map(part);
        Ok(Tier {
            sync_interval: self
                .sync_interval
                .or(from_base(|tier| tier.sync_interval))
                .ok_or_else(|| missing("sync_interval"))?,
            retention: self
                .retention
                .or(from_base(|tier| tier.retention))
                .ok_or_else(|| missing("retention"))?,
            rpo_bound: self
                .rpo_bound
                .or(from_base(|tier| tier.rpo_bound))
                .ok_or_else(|| missing("rpo_bound"))?,
            standby: self
                .standby
                .or(base.map(|tier| tier.standby))
                .ok_or_else(|| missing("standby"))?,
        })
    }
}

impl From<Tier> for TierKeys {
    fn from(tier: Tier) -> Self {
        Self {
            sync_interval: Some(tier.sync_interval),
            retention: Some(tier.retention),
            rpo_bound: Some(tier.rpo_bound),
            standby: Some(tier.standby),
        }
    }
}

fn check_tier(name: &str, tier: &Tier) -> Result<(), Complaint> {
    let way = Way::key("tiers").then(name);
    check_sync_interval(&format!("tier `{name}`"), tier.sync_interval, tier)
        .map_err(|complaint| complaint.at(way.clone().then("sync_interval")))?;
    let whole_hours = tier.retention.as_nanos().is_multiple_of(RETENTION_UNIT.as_nanos());
    if tier.retention < RETENTION_UNIT || !whole_hours {
        let message = format!(
            "retention of tier `{name}` must be whole hours, at least one, not {}",
            format_duration(tier.retention)
        );
        return Err(Complaint::new(message).at(way.then("retention")));
    }
    Ok(())
}

/// Checks the interval of a tier or of one of its databases (`whose`).
pub(super) fn check_sync_interval(
    whose: &str,
    interval: Duration,
    tier: &Tier,
) -> Result<(), Complaint> {
    if !(SYNC_INTERVAL_MIN..=SYNC_INTERVAL_MAX).contains(&interval) {
        return Err(Complaint::new(format!(
            "sync_interval of {whose} must lie between {} and {}, not {}",
            format_duration(SYNC_INTERVAL_MIN),
            format_duration(SYNC_INTERVAL_MAX),
            format_duration(interval)
        )));
    }
    if interval > tier.rpo_bound {
        return Err(Complaint::new(format!(
            "sync_interval of {whose} ({}) is longer than the rpo_bound of the tier ({})",
            format_duration(interval),
            format_duration(tier.rpo_bound)
        ))
        .hint("lower sync_interval, or raise rpo_bound in the table of the tier"));
    }
    Ok(())
}
