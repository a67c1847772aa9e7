//! A running writer: one slot after the other, until another object stands in one.
//!
//! Rule W4 for a writer that has started: a different object in its slot ends it for good. It never reads on
//! and never tries a later slot.

use super::append::{Append, AppendEnd};
use super::{Answer, Ask, Damage, Machine, Place};
use crate::Position;
use crate::rules::Rules;
use segment::{Epoch, Name, SegmentHash, Seq};

/// One append of the owner of the log.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Write {
    position: Position,
    append: Append,
}

/// What an append came to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum WriteEnd {
    /// The object is history; the next slot follows this position.
    Acknowledged {
        /// The object's hash.
        hash: SegmentHash,
        /// The position after it.
        position: Position,
    },
    /// Another writer has the slot: stop for good.
    Fenced {
        /// Its node.
        owner: Name,
        /// Its epoch.
        epoch: Epoch,
    },
    /// The boundary has passed the slot: stop for good.
    Superseded {
        /// Where the log begins now.
        retired: Seq,
    },
    /// Something that is no log object stands in the slot.
    Corrupt(Damage),
}

impl Write {
    /// Fills the slot after `position`, which stands after an object of this writer's epoch.
    ///
    /// # Panics
    /// If nobody owns the log at `position`.
    #[must_use]
    pub fn new(rules: Rules, position: Position) -> Write {
        let epoch = position.epoch.expect("BUG: a writer writes behind its own fence");
        let place = Place { seq: position.next, previous: position.previous, epoch };
        Write { position, append: Append::new(rules, place) }
    }

    /// The slot.
    #[must_use]
    pub fn place(&self) -> Place {
        self.append.place()
    }

    fn ended(&self, end: AppendEnd) -> WriteEnd {
        match end {
            AppendEnd::Acknowledged(hash) => {
                let (next, previous) = (self.position.next.next(), hash);
                let position = Position { next, previous, ..self.position.clone() };
                WriteEnd::Acknowledged { hash, position }
            }
            AppendEnd::Superseded { retired } => WriteEnd::Superseded { retired },
            AppendEnd::Taken(facts) => WriteEnd::Fenced { owner: facts.node, epoch: facts.epoch },
            AppendEnd::Damaged(damage) => WriteEnd::Corrupt(damage),
        }
    }
}

impl Machine for Write {
    type End = WriteEnd;

    fn ask(&self) -> Ask {
        self.append.ask()
    }

    fn answer(&mut self, answer: Answer) -> Option<WriteEnd> {
        let end = self.append.answer(answer)?;
        Some(self.ended(end))
    }
}
