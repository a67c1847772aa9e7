//! The next base of a database: when one is due, the state it is copied from, and where it stands in the log.
//!
//! A base holds a captured state. What was captured up to it is sealed when the state is pinned, so some log object
//! ends in exactly that state; the record of the base names this object and is written after it. The first base of
//! an incarnation is named by the incarnation's first change instead.

use std::sync::Arc;

use segment::{BaseRecord, Incarnation, PageHashes, Seq, Txid};

use super::{Database, Now, Outgoing, Shipped, State};
use crate::attached::Attached;
use crate::pinned::Pinned;

/// Where the next base stands.
#[derive(Debug)]
pub(super) enum NextBase {
    Idle,
    Copying(Copied),
    Ready(BaseRecord, Copied),
}

/// A captured state of which a base is made.
#[derive(Debug)]
pub(super) struct Copied {
    incarnation: Incarnation,
    txid: Txid,
    hashes: PageHashes,
    /// The log object that ends in this state, once it is durable.
    at: Option<Seq>,
}

impl Copied {
    /// Notes that the log holds `shipped`. The same pages may come back with a later commit, which is another
    /// position: the commit counts, not only what the pages hold.
    fn compare(&mut self, shipped: &Shipped) {
        let known = &shipped.known;
        if known.txid == self.txid && known.hashes.checksum() == self.hashes.checksum() {
            self.at.get_or_insert(shipped.seq);
        }
    }

    /// True if no log object will ever end in this state.
    fn is_passed(&self, shipped: &Shipped) -> bool {
        let known = &shipped.known;
        self.at.is_none() && known.incarnation == self.incarnation && known.txid > self.txid
    }
}

impl NextBase {
    /// The base that the first change of an incarnation stands on.
    pub(super) fn take_first(&mut self) -> Option<(BaseRecord, PageHashes)> {
        match std::mem::replace(self, Self::Idle) {
            Self::Ready(record, copied) => Some((record, copied.hashes)),
            other => {
                *self = other;
                None
            }
        }
    }

    /// Notes that the log holds `shipped`.
    pub(super) fn compare(&mut self, shipped: &Shipped) {
        if let Self::Copying(copied) | Self::Ready(_, copied) = self {
            copied.compare(shipped);
        }
        if let Self::Ready(record, copied) = self
            && copied.is_passed(shipped)
        {
            tracing::warn!(db = %record.db, "no log object ends where a base was copied: another one is made");
            *self = Self::Idle;
        }
    }
}

impl Database {
    /// True while the first base of the file is on its way.
    #[must_use]
    pub fn is_basing(&self) -> bool {
        self.attached().is_some_and(Attached::needs_first_base)
    }

    /// True if a base is wanted, in the making, or not named yet.
    #[must_use]
    pub fn is_base_on_its_way(&self) -> bool {
        !matches!(self.base, NextBase::Idle) || self.wants_base()
    }

    /// True if a later base waits to be named.
    #[must_use]
    pub fn has_base_record(&self) -> bool {
        matches!(self.base, NextBase::Ready(_, Copied { at: Some(_), .. })) && !self.is_basing()
    }

    pub(super) fn first_base_is_ready(&self) -> bool {
        matches!(self.base, NextBase::Ready(..)) && self.is_basing()
    }

    /// True if a base is needed and none is on its way.
    #[must_use]
    pub fn wants_base(&self) -> bool {
        matches!(self.base, NextBase::Idle)
            && self
                .attached()
                .is_some_and(|attached| attached.needs_first_base() || self.is_base_due())
    }

    fn is_base_due(&self) -> bool {
        let size = self.size().map_or(0, |(_, bytes, _)| bytes);
        let is_due = |s: &Shipped| {
            self.is_base_asked_for
                || tiering::base_due(s.bytes_since_base, u64::from(s.objects_since_base), size)
        };
        self.sealed.is_empty() && self.shipped.as_ref().is_some_and(is_due)
    }

    /// Asks for a new base, whether one is due or not. It is kept in mind until a base is named.
    pub fn ask_for_base(&mut self) {
        self.is_base_asked_for = true;
    }

    /// Pins the state that the next base is copied from. What was captured so far is sealed, so that the
    /// base stands between two changes.
    ///
    /// # Errors
    /// When the state cannot be pinned right now; the database has dealt with the error already.
    pub fn pin(&mut self, clock: &dyn Fn() -> Now) -> Option<Pinned> {
        let State::Attached(attached) = &mut self.state else { return None };
        let sealed = if attached.needs_first_base() {
            None
        } else {
            attached.hand_over(clock()).map(|()| attached.seal(clock().1)).transpose()
        };
        let pinned = match sealed.transpose() {
            Err(error) => Err(error),
            Ok(change) => {
                self.sealed.extend(change.map(|change| Outgoing { change, base: None }));
                attached.pin(clock())
            }
        };
        match pinned {
            Ok(pinned) => {
                self.pins = Arc::downgrade(&pinned.alive);
                let mut copied = Copied {
                    incarnation: attached.incarnation(),
                    txid: pinned.txid(),
                    hashes: pinned.hashes().clone(),
                    at: None,
                };
                self.shipped.iter().for_each(|shipped| copied.compare(shipped));
                self.base = NextBase::Copying(copied);
                Some(pinned)
            }
            Err(error) => {
                self.fail(error, clock());
                None
            }
        }
    }

    /// The base is in the store (`Some`), or could not be made.
    pub fn finish_base(&mut self, record: Option<BaseRecord>) {
        let before = std::mem::replace(&mut self.base, NextBase::Idle);
        if let (NextBase::Copying(copied), Some(record)) = (before, record)
            && copied.incarnation == record.incarnation
            && copied.hashes.checksum() == record.checksum
        {
            self.base = NextBase::Ready(record, copied);
            self.shipped.iter().for_each(|shipped| self.base.compare(shipped));
        }
    }

    /// Takes the record of a later base once the change it stands after is durable.
    pub fn take_base_record(&mut self) -> Option<BaseRecord> {
        if !self.has_base_record() {
            return None;
        }
        let NextBase::Ready(record, Copied { at, .. }) =
            std::mem::replace(&mut self.base, NextBase::Idle)
        else {
            return None;
        };
        self.is_base_asked_for = false;
        if let Some(shipped) = &mut self.shipped {
            shipped.bytes_since_base = 0;
            shipped.objects_since_base = 0;
        }
        Some(BaseRecord { at, ..record })
    }

    /// The life of the file that is attached.
    #[must_use]
    pub fn incarnation(&self) -> Option<Incarnation> {
        self.attached().map(Attached::incarnation)
    }
}
