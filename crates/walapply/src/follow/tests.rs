//! A follower against real stores that hold real databases.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::thread::JoinHandle;

use console::config;
use rusqlite::Connection;
use segment::{DatabaseState, DbId, Seq};
use store::clock::{Clock, SystemClock};
use tempfile::TempDir;

use super::*;
use crate::image::testing::Shop;
use crate::testing::{Image, integrity};

mod damage;
mod files;
mod killed;
mod ordinary;

/// How long a test waits for something that should happen within milliseconds.
const PATIENCE: Duration = Duration::from_secs(30);

/// A folder with a configuration, and what a follower makes in it.
struct Standby {
    folder: TempDir,
    config: WalapplyConfig,
}

impl Standby {
    fn of(shop: &Shop) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("walapply.toml");
        std::fs::write(&path, configuration(folder.path(), &shop.store_path())).unwrap();
        let config = config::load(&path).unwrap();
        Self { folder, config }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("databases").join(format!("{name}.db"))
    }

    fn state_dir(&self) -> PathBuf {
        self.config.state_dir.clone()
    }

    fn once(&self, shop: &Shop) -> Result<FollowSnapshot, Failure> {
        self.once_with(Arc::clone(&shop.store))
    }

    fn once_with(&self, store: Arc<dyn Store>) -> Result<FollowSnapshot, Failure> {
        Ok(self.state_after(store)?.snapshot(SystemClock.now()))
    }

    fn state_after(&self, store: Arc<dyn Store>) -> Result<Arc<FollowState>, Failure> {
        let state = Arc::new(FollowState::default());
        let stop = Arc::new(AtomicBool::new(false));
        follow(&self.config, store, FollowOptions { once: true }, stop, Arc::clone(&state))?;
        Ok(state)
    }

    fn start(&self, shop: &Shop) -> Running {
        self.start_with(Arc::clone(&shop.store))
    }

    fn start_with(&self, store: Arc<dyn Store>) -> Running {
        let (state, stop) = (Arc::new(FollowState::default()), Arc::new(AtomicBool::new(false)));
        let (config, shared, flag) = (self.config.clone(), Arc::clone(&state), Arc::clone(&stop));
        let thread =
            thread::spawn(move || follow(&config, store, FollowOptions::default(), flag, shared));
        Running { state, stop, thread: Some(thread) }
    }

    /// Every database of a followed tier is what was shipped, byte for byte, and sound.
    fn assert_equals(&self, shop: &Shop) {
        for tracked in &shop.databases {
            let Some(shipped) = &tracked.shipped else { continue };
            let path = self.path(tracked.name.as_str());
            if path.exists() {
                assert_eq!(Image::of(&path).hashes(), shipped.hashes(), "{}", tracked.name);
                assert_eq!(integrity(&path), "ok", "{}", tracked.name);
            }
        }
    }
}

fn configuration(folder: &Path, store: &Path) -> String {
    format!(
        "fleet = \"anvil\"\nstate_dir = \"{0}/state\"\n[store]\nkind = \"local\"\npath = \"{1}\"\n\
         [standby]\ndir = \"{0}/databases\"\npoll_interval = \"10ms\"\nidle_poll_interval = \"40ms\"\n\
         quiet_after = \"36500d\"\n",
        folder.display(),
        store.display()
    )
}

/// A follower on a thread of its own.
struct Running {
    state: Arc<FollowState>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<(), Failure>>>,
}

impl Running {
    fn snapshot(&self) -> FollowSnapshot {
        self.state.snapshot(SystemClock.now())
    }

    /// Waits for a state.
    fn until(&self, what: &str, is_so: impl Fn(&FollowSnapshot) -> bool) -> FollowSnapshot {
        let began = Instant::now();
        loop {
            let snapshot = self.snapshot();
            if is_so(&snapshot) {
                return snapshot;
            }
            assert!(began.elapsed() < PATIENCE, "not {what}: {snapshot:#?}");
            thread::sleep(Duration::from_millis(2));
        }
    }

    fn until_applied(&self, seq: Seq) -> FollowSnapshot {
        self.until(&format!("applied {seq}"), |snapshot| snapshot.applied >= Some(seq))
    }

    fn until_condition(&self, name: &str, condition: Condition) -> DatabaseStatus {
        let snapshot = self.until(&format!("{name} {condition:?}"), |snapshot| {
            status(snapshot, name).is_some_and(|database| database.state == condition)
        });
        status(&snapshot, name).unwrap().clone()
    }

    fn stop(mut self) -> Result<(), Failure> {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.take().unwrap().join().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
    }
}

fn status<'a>(snapshot: &'a FollowSnapshot, name: &str) -> Option<&'a DatabaseStatus> {
    snapshot.databases.iter().find(|database| database.name.as_str() == name)
}

/// A shop with two databases that were shipped, in a tier that is followed.
fn shop() -> Shop {
    let mut shop = Shop::open();
    shop.create("ledger", "p0", 4096);
    shop.create("notes", "p0", 1024);
    shop.flush();
    shop
}

/// Changes every database and ships it.
fn change(shop: &mut Shop) -> Seq {
    shop.databases.iter_mut().for_each(|tracked| tracked.source.mutate());
    shop.flush()
}
