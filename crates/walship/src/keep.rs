//! Saves what makes the next start quick: page hashes and which file was which. All of it may be lost.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use segment::{DbId, FleetId, Seq};

use crate::fleet::Fleet;
use crate::memory::{self, Memory, Remembered};
use crate::seen::{self, Seen};
use crate::shipped::HashCache;

/// How often it is saved while the program runs.
const INTERVAL: Duration = Duration::from_secs(60);

/// See the module's text.
pub struct Keeper {
    fleet: Arc<Fleet>,
    cache: HashCache,
    state_dir: PathBuf,
    fleet_id: FleetId,
    memory: Memory,
    saved: BTreeMap<DbId, Seq>,
    last: Option<Instant>,
}

impl Keeper {
    /// A keeper that has saved nothing yet.
    #[must_use]
    pub fn new(fleet: Arc<Fleet>, cache: HashCache, state_dir: &Path, fleet_id: FleetId) -> Self {
        let memory = Memory::load(&state_dir.join(memory::FILE));
        let state_dir = state_dir.to_owned();
        Self { fleet, cache, state_dir, fleet_id, memory, saved: BTreeMap::new(), last: None }
    }

    /// Saves soon after the start and then once a minute.
    pub fn keep_now_and_then(&mut self, durable: Option<Seq>) {
        if self.last.is_none_or(|last| last.elapsed() >= INTERVAL) && !self.fleet.is_loading() {
            self.keep(durable);
        }
    }

    /// Saves what changed. Errors are logged: the next start is slower then, not wrong.
    pub fn keep(&mut self, durable: Option<Seq>) {
        self.last = Some(Instant::now());
        let seen = durable.map(|durable| Seen { fleet: self.fleet_id, durable });
        let path = self.state_dir.join(seen::FILE);
        if let Some(Err(error)) = seen.map(|seen| seen.save(&path)) {
            tracing::warn!(%error, path = %path.display(), "how far the log was is not saved");
        }
        self.keep_databases();
    }

    fn keep_databases(&mut self) {
        let before = self.memory.clone();
        for member in self.fleet.members() {
            let Some(database) = member.try_database(Duration::from_millis(10)) else { continue };
            let (spec, file) = (database.spec(), database.file());
            self.memory.0.insert(spec.name.clone(), Remembered { path: spec.path.clone(), file });
            let Some(shipped) = database
                .shipped()
                .filter(|shipped| self.saved.get(&member.id) != Some(&shipped.seq))
                .cloned()
            else {
                continue;
            };
            drop(database);
            match self.cache.save(member.id, &shipped) {
                Ok(()) => drop(self.saved.insert(member.id, shipped.seq)),
                Err(error) => {
                    tracing::warn!(%error, "page hashes were not saved: the next start reads them from the store")
                }
            }
        }
        let path = self.state_dir.join(memory::FILE);
        if self.memory != before
            && let Err(error) = self.memory.save(&path)
        {
            tracing::warn!(%error, path = %path.display(), "which file is which was not saved");
        }
    }
}
