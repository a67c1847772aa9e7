//! Carries out what the machines ask for, one request each.
//!
//! Names and bytes are checked here: what a machine is told of an object has passed every SHA-256 in it. An
//! error leaves the machine at the same request.

use crate::LogError;
use crate::boundary;
use crate::facts::{Damage, Facts};
use crate::machine::{Answer, Ask, Found, Machine, Place, Sent};
use segment::{Encoded, FleetId, LOG_PREFIX, ObjectName, Segment, Seq};
use std::sync::Arc;
use store::{ErrorClass, Millis, Put, Reply, Store, StoreError};

/// Names per page of a listing. Stores that give fewer say that there are more; a local folder is read anew for
/// each page, so pages are large.
const PAGE: usize = 50_000;

/// The requests of one machine's run, and what the driver needs of their answers.
pub(crate) struct Io<'a> {
    pub(crate) store: &'a dyn Store,
    pub(crate) fleet: Option<FleetId>,
    /// The sound objects that were read, in the order of reading: all of them, or the last one.
    pub(crate) read: Vec<Segment>,
    pub(crate) keeps_all: bool,
    /// The store's clock at the last answer.
    pub(crate) server: Millis,
    /// How a slot gets its bytes.
    pub(crate) sealing: Sealing<'a>,
    /// The bytes of the slot that is being filled.
    pub(crate) sealed: Option<Arc<Encoded>>,
    /// The last put whose answer was lost.
    pub(crate) lost: Option<StoreError>,
}

/// See [`Io::sealing`].
pub(crate) enum Sealing<'a> {
    /// The machine never seals.
    Never,
    /// By the caller's function.
    By(&'a mut Seal<'a>),
}

/// Builds the bytes for a slot behind the object before it, if that was read.
pub(crate) type Seal<'a> =
    dyn FnMut(&Place, Option<&Segment>) -> Result<Arc<Encoded>, LogError> + 'a;

impl<'a> Io<'a> {
    pub(crate) fn new(store: &'a dyn Store, fleet: Option<FleetId>) -> Io<'a> {
        Io {
            store,
            fleet,
            read: Vec::new(),
            keeps_all: false,
            server: Millis::default(),
            sealing: Sealing::Never,
            sealed: None,
            lost: None,
        }
    }

    /// Runs a machine to its end, or to the first error.
    pub(crate) fn run<M: Machine>(&mut self, machine: &mut M) -> Result<M::End, LogError> {
        loop {
            let answer = self.carry_out(machine.ask())?;
            if let Some(end) = machine.answer(answer) {
                return Ok(end);
            }
        }
    }

    pub(crate) fn carry_out(&mut self, ask: Ask) -> Result<Answer, LogError> {
        match ask {
            Ask::List { after } => self.list(after),
            Ask::Get(seq) => self.get(seq).map(Answer::Got),
            Ask::Boundary => {
                let reply = boundary::read(self.store)?;
                Ok(Answer::Boundary(self.value(reply)))
            }
            Ask::Seal(place) => self.seal(&place),
            Ask::Put(seq) => self.put(seq).map(Answer::Put),
            Ask::Delete(seq) => {
                let reply = self.store.delete(&ObjectName::log(seq))?;
                self.value(reply);
                Ok(Answer::Deleted)
            }
        }
    }

    fn value<T>(&mut self, reply: Reply<T>) -> T {
        self.server = reply.server;
        reply.value
    }

    fn list(&mut self, after: Option<Seq>) -> Result<Answer, LogError> {
        let after = after.map(ObjectName::log);
        let reply = self.store.list(LOG_PREFIX, after.as_ref().map(ObjectName::as_str), PAGE)?;
        let listing = self.value(reply);
        let greatest = listing.entries.iter().filter_map(|entry| entry.name.log_seq()).max();
        Ok(Answer::Listed { greatest, more: listing.more })
    }

    fn get(&mut self, seq: Seq) -> Result<Found, LogError> {
        let reply = match self.store.get(&ObjectName::log(seq)) {
            Ok(reply) => reply,
            Err(StoreError::Corrupt { cause, .. }) => {
                return Ok(Found::Damaged(Damage::new(cause)));
            }
            Err(error) => return Err(error.into()),
        };
        let Some(object) = self.value(reply) else { return Ok(Found::Nothing) };
        let segment = match Segment::decode(object.body) {
            Ok(segment) => segment,
            Err(error) => return Ok(Found::Damaged(Damage::of(&error))),
        };
        Ok(match self.facts(&segment) {
            Err(damage) => Found::Damaged(damage),
            Ok(facts) => {
                if !self.keeps_all {
                    self.read.clear();
                }
                self.read.push(segment);
                Found::Object(facts)
            }
        })
    }

    fn facts(&self, segment: &Segment) -> Result<Facts, Damage> {
        let found = segment.table().header.fleet;
        match self.fleet {
            Some(fleet) if fleet != found => {
                Err(Damage::new(format!("it belongs to fleet {found}")))
            }
            _ => Facts::of(segment.table()),
        }
    }

    fn seal(&mut self, place: &Place) -> Result<Answer, LogError> {
        let Sealing::By(seal) = &mut self.sealing else {
            panic!("BUG: this machine seals nothing")
        };
        let behind = self.read.last().filter(|segment| segment.table().hash == place.previous);
        let encoded = seal(place, behind)?;
        let hash = encoded.hash;
        self.sealed = Some(encoded);
        Ok(Answer::Sealed(hash))
    }

    /// A put that was answered by an error either did not happen, then it is due again, or it may have: then
    /// the slot is read (rule W4). When the slot turns out empty and the put is due again, the error is shown
    /// to the caller first, who pauses.
    fn put(&mut self, seq: Seq) -> Result<Sent, LogError> {
        if let Some(error) = self.lost.take() {
            return Err(error.into());
        }
        let encoded = self.sealed.as_ref().expect("BUG: bytes are sealed before they are sent");
        match self.store.put_if_absent(&ObjectName::log(seq), &encoded.bytes) {
            Ok(reply) => Ok(match self.value(reply) {
                Put::Created => Sent::Created,
                Put::Exists => Sent::Exists,
            }),
            Err(error) if error.class() == ErrorClass::Unknown => {
                self.lost = Some(error);
                Ok(Sent::Unknown)
            }
            Err(error) => Err(error.into()),
        }
    }
}
