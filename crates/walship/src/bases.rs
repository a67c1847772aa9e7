//! The thread that makes bases, one at a time and the smallest first: a fleet's first upload gives its
//! small databases a base within moments, and needs the memory and the spool of one.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use store::Store;

use crate::base::{Author, Spooled, Subject};
use crate::error::CaptureError;
use crate::fleet::Fleet;
use crate::member::Member;
use crate::ownership::Owned;

/// Longest wait for the news that a base is wanted.
const LISTEN_MAX: Duration = Duration::from_secs(10);
/// How long a database is waited for that another thread is looking at. Who works on it longer than that
/// tells afterwards what it wants.
const GLANCE_MAX: Duration = Duration::from_millis(10);
/// Pause after the store did not take a part.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// Numbers for the objects of this start of the program: base parts and side objects.
#[derive(Debug, Default)]
pub struct Numbers(AtomicU64);

impl Numbers {
    /// The next number.
    pub fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

/// What making bases needs.
pub struct BaseMaker {
    fleet: Arc<Fleet>,
    store: Arc<dyn Store>,
    author: Author,
    spool: PathBuf,
    numbers: Arc<Numbers>,
}

impl BaseMaker {
    /// Makes bases of `fleet` for the log that is `owned`, with copies on their way in `spool`.
    #[must_use]
    pub fn new(fleet: &Arc<Fleet>, owned: &Owned, spool: PathBuf, numbers: &Arc<Numbers>) -> Self {
        Self {
            fleet: Arc::clone(fleet),
            store: Arc::clone(&owned.store),
            author: owned.author.clone(),
            spool,
            numbers: Arc::clone(numbers),
        }
    }

    /// Makes bases until `stop`. Whoever sets it rings the bell for bases.
    pub fn run(&self, stop: &AtomicBool) {
        while !stop.load(Ordering::Relaxed) {
            let bell = &self.fleet.news().bases_wanted;
            if bell.wait(LISTEN_MAX)
                && let Some(member) = self.smallest()
            {
                // There may be more than this one.
                bell.ring();
                self.make(&member, stop);
            }
        }
    }

    fn smallest(&self) -> Option<Arc<Member>> {
        let wants = |member: &Arc<Member>| {
            member
                .try_database(GLANCE_MAX)
                .filter(|database| database.wants_base())
                .map(|database| database.size())
        };
        self.fleet
            .members()
            .into_iter()
            .filter_map(|member| wants(&member).map(|size| (size, member)))
            .min_by_key(|(size, _)| *size)
            .map(|(_, member)| member)
    }

    fn make(&self, member: &Member, stop: &AtomicBool) {
        let Some((mut spooled, name)) = self.copy(member, stop) else { return };
        let record = loop {
            match spooled.upload(&*self.store, || self.numbers.next(), stop) {
                Ok(record) => break Some(record),
                Err(error) if stop.load(Ordering::Relaxed) => {
                    tracing::warn!(db = %name, %error, "the base was not uploaded");
                    break None;
                }
                Err(error) => {
                    tracing::warn!(db = %name, %error, "the base was not uploaded, trying again");
                    std::thread::sleep(RETRY_INTERVAL);
                }
            }
        };
        if let Some(record) = &record {
            tracing::info!(db = %name, bytes = record.bytes, pages = record.pages, "base uploaded");
        }
        member.finish_base(record);
    }

    fn copy(&self, member: &Member, stop: &AtomicBool) -> Option<(Spooled, segment::Name)> {
        let (pinned, subject) = {
            let mut database = member
                .try_database(Duration::from_secs(1))
                .filter(|database| database.wants_base())?;
            let pinned = database.pin(&|| self.fleet.now())?;
            let spec = database.spec();
            let incarnation = database.incarnation()?;
            let txid = pinned.txid();
            (
                pinned,
                Subject {
                    db: spec.id,
                    name: spec.name.clone(),
                    incarnation,
                    class_hours: spec.class_hours,
                    txid,
                },
            )
        };
        let name = subject.name.clone();
        match Spooled::copy(&pinned, subject, &self.author, &self.spool, stop) {
            Ok(spooled) => return Some((spooled, name)),
            Err(CaptureError::Ending) => {}
            Err(error) => {
                tracing::warn!(db = %name, %error, "the base was not copied");
                std::thread::sleep(RETRY_INTERVAL);
            }
        }
        member.finish_base(None);
        None
    }
}
