//! What leaves a database for the log, and what came back: which state is durable.
//!
//! Changes that were sealed one by one leave one by one, so that a base can stand between two of them; what is
//! captured after the last of these merges until it is taken.

use segment::{BaseRecord, Incarnation, Millis, PageHashes, PageNo, Seq, Txid};

use super::{Database, State};
use crate::attached::Attached;
use crate::compare::Known;
use crate::pending::Change;

/// A change on its way into a segment.
#[derive(Debug)]
pub struct Outgoing {
    /// The change.
    pub change: Change,
    /// The base that the first change of an incarnation stands on, and the hashes of its pages.
    pub base: Option<(BaseRecord, PageHashes)>,
}

/// What became durable.
#[derive(Debug, Clone)]
pub struct Acknowledged {
    /// The log object that holds it.
    pub seq: Seq,
    /// The life of the file.
    pub incarnation: Incarnation,
    /// Hashes of its pages.
    pub hashes: Vec<(PageNo, u64)>,
    /// Pages after it.
    pub pages_after: u32,
    /// Its last commit.
    pub txid: Txid,
    /// Bytes of pages it held.
    pub bytes: u64,
}

/// The state that the log holds.
#[derive(Debug, Clone)]
pub struct Shipped {
    /// Incarnation, commits, page hashes.
    pub known: Known,
    /// The log object that changed it last.
    pub seq: Seq,
    /// Bytes of pages shipped since the newest base.
    pub bytes_since_base: u64,
    /// Log objects that touched it since the newest base.
    pub objects_since_base: u32,
}

impl Database {
    /// When the oldest commit that no segment holds was noticed; segments on their way do not count here.
    #[must_use]
    pub fn dirty_since(&self) -> Option<Millis> {
        let sealed = self.sealed.front().map(|outgoing| outgoing.change.oldest_commit);
        let first_base = self.first_base_is_ready().then_some(Millis::new(0));
        sealed.or(first_base).or_else(|| {
            self.attached().filter(|a| !a.needs_first_base()).and_then(Attached::dirty_since)
        })
    }

    /// When the oldest commit that no segment holds was noticed, also while the first base is on its way.
    #[must_use]
    pub fn uncaptured_since(&self) -> Option<Millis> {
        self.sealed
            .front()
            .map(|outgoing| outgoing.change.oldest_commit)
            .or_else(|| self.attached().and_then(Attached::dirty_since))
    }

    /// True if more than one flush is needed for what is captured.
    #[must_use]
    pub fn has_backlog(&self) -> bool {
        !self.sealed.is_empty() || self.first_base_is_ready()
    }

    /// True if the log holds this state of the database, or a later one.
    #[must_use]
    pub fn has_shipped(&self, (incarnation, txid): (Incarnation, Txid)) -> bool {
        let is_held = |shipped: &Shipped| {
            shipped.known.incarnation == incarnation && shipped.known.txid >= txid
        };
        self.sealed.is_empty() && self.shipped.as_ref().is_some_and(is_held)
    }

    /// Takes the next change to ship of a database that needs no first base.
    pub fn take_captured(&mut self) -> Option<Outgoing> {
        if self.is_basing() && self.sealed.is_empty() {
            return None;
        }
        self.take_outgoing(Millis::new(0))
    }

    /// Takes the next change to ship.
    pub fn take_outgoing(&mut self, now: Millis) -> Option<Outgoing> {
        if let Some(outgoing) = self.sealed.pop_front() {
            return Some(outgoing);
        }
        let State::Attached(attached) = &mut self.state else { return None };
        if !attached.needs_first_base() {
            return attached.seal(now).map(|change| Outgoing { change, base: None });
        }
        let base = self.base.take_first()?;
        self.is_base_asked_for = false;
        attached.seal(now).map(|change| Outgoing { change, base: Some(base) })
    }

    /// Notes that a change became durable.
    pub fn acknowledge(&mut self, ack: &Acknowledged, base_pages: Option<PageHashes>) {
        let shipped = match (&mut self.shipped, base_pages) {
            (Some(shipped), None) if shipped.known.incarnation == ack.incarnation => shipped,
            (slot, Some(hashes)) => slot.insert(Shipped {
                known: Known { incarnation: ack.incarnation, txid: ack.txid, hashes },
                seq: ack.seq,
                bytes_since_base: 0,
                objects_since_base: 0,
            }),
            _ => return,
        };
        shipped.known.hashes.resize(ack.pages_after);
        for (pgno, hash) in &ack.hashes {
            shipped.known.hashes.set(*pgno, *hash);
        }
        shipped.known.txid = ack.txid;
        shipped.seq = ack.seq;
        shipped.bytes_since_base += ack.bytes;
        shipped.objects_since_base += 1;
        self.base.compare(shipped);
    }
}
