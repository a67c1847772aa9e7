//! Which log objects are known to survive a power cut (invariant L3), so that a follower that asks every
//! second, or reads ten thousand objects in a row, does not pay for a sync each time.
//!
//! One sync of the folder covers every name that stood in it before the sync began. So when an object is
//! read that is not known to be durable, its successors are probed first, up to a bound, and one sync then
//! vouches for all that were there: at the tail that is one probe and one sync per new object, in a long
//! catch-up one sync for 256 objects. Asking for what is not there yet costs nothing.
//!
//! A name that was deleted and filled again inside the known range is not vouched for; that is harmless,
//! because a log object is deleted only below the boundary, where readers accept nothing, and our own
//! deletions forget the range.

use super::disk::Disk;
use super::errors;
use crate::StoreError;
use parking_lot::Mutex;
use segment::{ObjectName, Seq};
use std::ops::RangeInclusive;

/// How many successors one sync may vouch for.
const PROBES_MAX: u32 = 256;
const LOG_FOLDER: &str = "log";

#[derive(Default)]
pub(super) struct DurableLog {
    known: Mutex<Option<RangeInclusive<Seq>>>,
}

impl DurableLog {
    /// Returns once the name of a log object that was just seen is known to be durable; other objects are
    /// made durable by their writer before anything refers to them.
    pub(super) fn ensure(&self, disk: &dyn Disk, name: &ObjectName) -> Result<(), StoreError> {
        let Some(seq) = name.log_seq() else { return Ok(()) };
        if self.knows(seq) {
            return Ok(());
        }
        let last = last_of_run(disk, seq);
        let sync = |folder| disk.sync_folder(folder).map_err(|error| errors::on_read(name, error));
        sync(LOG_FOLDER)?;
        if self.known.lock().is_none() {
            // The folder's own name may be as young as its first object.
            sync("")?;
        }
        self.remember(seq, last);
        Ok(())
    }

    /// Called after a deletion.
    pub(super) fn forget(&self) {
        *self.known.lock() = None;
    }

    fn knows(&self, seq: Seq) -> bool {
        self.known.lock().as_ref().is_some_and(|known| known.contains(&seq))
    }

    /// Joins the run to the known range where it continues it, else replaces it.
    fn remember(&self, first: Seq, last: Seq) {
        let mut known = self.known.lock();
        let joined = match known.as_ref() {
            Some(range) if range.contains(&first) || range.end().next() == first => {
                *range.start()..=last.max(*range.end())
            }
            _ => first..=last,
        };
        *known = Some(joined);
    }
}

/// The last log object of the unbroken run that begins at `seq`.
fn last_of_run(disk: &dyn Disk, seq: Seq) -> Seq {
    let mut last = seq;
    for _ in 0..PROBES_MAX {
        if disk.stat(ObjectName::log(last.next()).as_str()).is_err() {
            break;
        }
        last = last.next();
    }
    last
}
