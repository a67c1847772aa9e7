//! One slot of the log, filled by one writer.
//!
//! Rule W2: one slot at a time; its bytes are chosen once and sent again unchanged.
//! Rule W3: an own object is acknowledged only after the boundary was read and is not above it; else the own
//! object is deleted and the writer stops.
//! Rule W4: "exists" and a lost answer are resolved by reading the slot: the same hash is ours, nothing means
//! that the same bytes are sent again, anything else is another writer's.
//!
//! Rule D4, creation in one step and only where nothing stands, is the store's part.

use super::{Answer, Ask, Damage, Found, Machine, Place, Sent, mismatch};
use crate::boundary::{Boundary, holds};
use crate::facts::Facts;
use crate::rules::{Rule, Rules};
use segment::{SegmentHash, Seq};

/// See the module's documentation.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Append {
    rules: Rules,
    place: Place,
    state: State,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum State {
    Sealing,
    Sending(SegmentHash),
    ReadingBack(SegmentHash),
    Judging(SegmentHash),
    Deleting { retired: Seq },
}

/// What became of the slot.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum AppendEnd {
    /// The object is history.
    Acknowledged(SegmentHash),
    /// The boundary has passed the slot; the own object was deleted.
    Superseded {
        /// Where the log begins now.
        retired: Seq,
    },
    /// Another object stands in the slot.
    Taken(Facts),
    /// Something stands in the slot that is no log object.
    Damaged(Damage),
}

impl Append {
    /// Fills `place`.
    #[must_use]
    pub fn new(rules: Rules, place: Place) -> Append {
        Append { rules, place, state: State::Sealing }
    }

    /// The slot.
    #[must_use]
    pub fn place(&self) -> Place {
        self.place
    }

    fn sent(&mut self, hash: SegmentHash, sent: Sent) {
        self.state = match sent {
            Sent::Created => State::Judging(hash),
            Sent::Exists if !self.rules.keep(Rule::W4) => State::Judging(hash),
            Sent::Exists | Sent::Unknown => State::ReadingBack(hash),
        };
    }

    fn read_back(&mut self, hash: SegmentHash, found: Found) -> Option<AppendEnd> {
        match found {
            Found::Nothing => {
                let keeps_bytes = self.rules.keep(Rule::W2);
                self.state = if keeps_bytes { State::Sending(hash) } else { State::Sealing };
                None
            }
            Found::Object(facts) if self.is_ours(hash, &facts) => {
                self.state = State::Judging(hash);
                None
            }
            Found::Object(facts) => Some(AppendEnd::Taken(facts)),
            Found::Damaged(damage) => Some(AppendEnd::Damaged(damage)),
        }
    }

    /// Rule D2: the hash covers epoch and writer id; the epoch alone says nothing.
    fn is_ours(&self, hash: SegmentHash, facts: &Facts) -> bool {
        facts.hash == hash || (!self.rules.keep(Rule::D2) && facts.epoch == self.place.epoch)
    }

    fn judge(&mut self, hash: SegmentHash, boundary: Option<Boundary>) -> Option<AppendEnd> {
        match boundary {
            Some(boundary)
                if self.rules.keep(Rule::W3) && !holds(Some(boundary), self.place.seq) =>
            {
                self.state = State::Deleting { retired: boundary.retired };
                None
            }
            _ => Some(AppendEnd::Acknowledged(hash)),
        }
    }
}

impl Machine for Append {
    type End = AppendEnd;

    fn ask(&self) -> Ask {
        match self.state {
            State::Sealing => Ask::Seal(self.place),
            State::Sending(_) => Ask::Put(self.place.seq),
            State::ReadingBack(_) => Ask::Get(self.place.seq),
            State::Judging(_) => Ask::Boundary,
            State::Deleting { .. } => Ask::Delete(self.place.seq),
        }
    }

    fn answer(&mut self, answer: Answer) -> Option<AppendEnd> {
        match (self.state.clone(), answer) {
            (State::Sealing, Answer::Sealed(hash)) => {
                self.state = State::Sending(hash);
                None
            }
            (State::Sending(hash), Answer::Put(sent)) => {
                self.sent(hash, sent);
                None
            }
            (State::ReadingBack(hash), Answer::Got(found)) => self.read_back(hash, found),
            (State::Judging(hash), Answer::Boundary(boundary)) => self.judge(hash, boundary),
            (State::Deleting { retired }, Answer::Deleted) => {
                Some(AppendEnd::Superseded { retired })
            }
            (_, answer) => mismatch(self.ask(), &answer),
        }
    }
}
