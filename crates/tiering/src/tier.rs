//! The promises made for the databases of a tier, and the four tiers that need no configuration.

use std::time::Duration;

/// What is promised for every database of a tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tier {
    /// How long a committed change may wait for the next flush.
    pub sync_interval: Duration,
    /// How far back the database can be restored, in whole hours.
    pub retention: Duration,
    /// How long a flush may be delayed to save money; never less than `sync_interval`.
    pub rpo_bound: Duration,
    /// Whether standbys follow the tier unless they say otherwise.
    pub standby: bool,
}

impl Tier {
    /// The retention class: roll-ups are kept per whole hour of retention.
    #[must_use]
    pub fn class_hours(&self) -> u32 {
        u32::try_from(self.retention.as_secs() / 3_600).unwrap_or(u32::MAX)
    }
}

/// The tiers that exist without being written in a configuration.
pub const BUILT_IN_TIERS: [(&str, Tier); 4] = [
    ("p0-critical", built_in(7 * 24, 1, 45, true)),
    ("p0-financial", built_in(30 * 24, 1, 45, true)),
    ("p1", built_in(72, 1, 45, true)),
    ("p2", built_in(24, 10, 300, false)),
];

const fn built_in(
    retention_hours: u64,
    sync_secs: u64,
    rpo_bound_secs: u64,
    standby: bool,
) -> Tier {
    Tier {
        sync_interval: Duration::from_secs(sync_secs),
        retention: Duration::from_secs(retention_hours * 3_600),
        rpo_bound: Duration::from_secs(rpo_bound_secs),
        standby,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_in_tiers_keep_their_own_rules() {
        for (name, tier) in BUILT_IN_TIERS {
            assert!(tier.sync_interval <= tier.rpo_bound, "{name}");
            assert_eq!(u64::from(tier.class_hours()) * 3_600, tier.retention.as_secs(), "{name}");
        }
    }
}
