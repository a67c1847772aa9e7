//! Becoming the log's owner: the fleet's file, the fence, and the state of the fleet it takes over.

use std::sync::Arc;
use std::time::Duration;

use console::config::{DatabaseRule, WalshipConfig};
use fleet_log::{FleetFile, Identity, Intent, LogError, Salvage, Writer};
use segment::{Catalogue, Epoch, FleetId, Name, TierRecord, WriterId};
use store::Store;
use store::clock::Clock;
use tiering::{Grid, Tier};

use crate::base::Author;
use crate::flush::fence;
use crate::roster::random;

/// A log that is ours to write.
pub struct Owned {
    /// Where it is.
    pub store: Arc<dyn Store>,
    /// Who writes.
    pub author: Author,
    /// The writer, behind its own fence.
    pub writer: Writer,
    /// The instants of flushing.
    pub grid: Grid,
    /// The state of the fleet before the fence, with the configuration's tiers.
    pub catalogue: Catalogue,
}

impl Owned {
    /// Takes the log (rule W1): by its own node, or if there is none yet.
    ///
    /// # Errors
    /// Fenced, if another node owns it; another fleet's store; the store's errors.
    pub fn take(
        config: &WalshipConfig,
        store: Arc<dyn Store>,
        node: Name,
        clock: &dyn Clock,
    ) -> Result<Self, LogError> {
        let fresh =
            FleetFile::new(config.fleet.clone(), FleetId::from_bytes(random()), clock.now());
        let fleet = FleetFile::read_or_create(&*store, fresh)?.id;
        let identity = Identity { fleet, node, writer: WriterId::from_bytes(random()) };
        let grid = Grid::new(clock.now(), period(config));
        let seal = |slot: &fleet_log::Slot| fence(slot, &identity, grid, clock.now());
        let writer = Writer::start(Arc::clone(&store), identity.clone(), Intent::Start, seal)?;
        let mut catalogue = catalogue_before(&*store, &writer)?;
        catalogue.tiers = tiers(config);
        let Identity { fleet, node, writer: id } = identity;
        let author = Author { fleet, node, writer: id, epoch: epoch_of(&writer) };
        Ok(Self { store, author, writer, grid, catalogue })
    }
}

/// What the log held before the fence. An object that is lost on the way is no reason to stop: the databases that it may
/// have changed are known by name only, and get a new base.
fn catalogue_before(store: &dyn Store, writer: &Writer) -> Result<Catalogue, LogError> {
    let Some(seq) = writer.before_fence().and_then(|table| table.header.seq) else {
        return Ok(Catalogue::default());
    };
    let Salvage { mut catalogue, lost, in_doubt } = fleet_log::salvage_at(store, seq)?;
    for error in lost {
        tracing::error!(%error, "the log goes on without it");
    }
    for db in in_doubt {
        if let Some(entry) = catalogue.databases.get_mut(&db) {
            tracing::warn!(db = %entry.name, "its state in the log is in doubt: a new base will be shipped");
            *entry = entry.without_content();
        }
    }
    Ok(catalogue)
}

fn epoch_of(writer: &Writer) -> Epoch {
    writer.position().epoch.expect("BUG: a started writer stands after its own fence")
}

fn tiers(config: &WalshipConfig) -> std::collections::BTreeMap<String, TierRecord> {
    config.tiers.iter().map(|(name, tier)| (name.to_owned(), tier_record(tier))).collect()
}

fn tier_record(tier: &Tier) -> TierRecord {
    let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    TierRecord {
        sync_interval_ms: ms(tier.sync_interval),
        retention_ms: ms(tier.retention),
        rpo_bound_ms: ms(tier.rpo_bound),
        standby: tier.standby,
    }
}

/// The shortest interval in use.
fn period(config: &WalshipConfig) -> Duration {
    let of_rule = |rule: &DatabaseRule| {
        let of_tier = config.tiers.get(&rule.tier).map(|tier| tier.sync_interval);
        rule.sync_interval.or(of_tier)
    };
    config.databases.iter().filter_map(of_rule).min().unwrap_or(Duration::from_secs(1))
}
