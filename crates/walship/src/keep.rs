//! Saves what makes the next start quick: page hashes and which file was which. All of it may be lost.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use segment::{DbId, Seq};

use crate::fleet::Fleet;
use crate::memory::{Memory, Remembered};
use crate::shipped::HashCache;

/// How often it is saved while the program runs.
const INTERVAL: Duration = Duration::from_secs(60);

/// See the module's text.
pub struct Keeper {
    fleet: Arc<Fleet>,
    cache: HashCache,
    files: PathBuf,
    memory: Memory,
    saved: BTreeMap<DbId, Seq>,
    last: Instant,
}

impl Keeper {
    /// A keeper that has saved nothing yet.
    #[must_use]
    pub fn new(fleet: Arc<Fleet>, cache: HashCache, files: PathBuf) -> Self {
        let memory = Memory::load(&files);
        Self { fleet, cache, files, memory, saved: BTreeMap::new(), last: Instant::now() }
    }

    /// Saves once a minute.
    pub fn keep_now_and_then(&mut self) {
        if self.last.elapsed() >= INTERVAL {
            self.keep();
        }
    }

    /// Saves what changed. Errors are logged: the next start is slower then, not wrong.
    pub fn keep(&mut self) {
        self.last = Instant::now();
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
        if self.memory != before
            && let Err(error) = self.memory.save(&self.files)
        {
            tracing::warn!(%error, path = %self.files.display(), "which file is which was not saved");
        }
    }
}
