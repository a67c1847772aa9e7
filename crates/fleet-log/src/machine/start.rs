//! How a writer begins to own the log: by a fence at the tail.
//!
//! Rule W1: starting goes on only where the log is this node's own, or nobody's. Another owner is named and
//! left alone; only a promotion changes the owner.
//! Rule W4 for a starter: a different object in the slot goes through R1 and R2 like any other, and the fence
//! is made anew behind it, with the epoch that is then due.
//! Rule P1: a promoter remembers whom it deposes. Rule P2: a new fence of the deposed node changes nothing,
//! one of any other node has won. Rule P3: success is never concluded without W3; where the boundary has
//! passed the fence, a promoter heals and tries again, a starter stops.

use super::append::{Append, AppendEnd};
use super::find_tail::{FindTail, TailEnd};
use super::follow::{Follow, FollowEnd};
use super::{Answer, Ask, Damage, Machine, Place};
use crate::rules::{Rule, Rules};
use crate::{End, Position};
use segment::{Epoch, Name, SegmentHash, Seq, WriterId};

/// Why a writer takes the log.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Intent {
    /// The owner's own node continues, or a log begins.
    Start,
    /// Another node becomes the owner.
    Promote {
        /// The owner that was known when the promotion was asked for.
        deposed: Name,
    },
}

/// See the module's documentation.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Start {
    rules: Rules,
    node: Name,
    writer: WriterId,
    intent: Intent,
    state: State,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum State {
    Finding(FindTail),
    Fencing {
        behind: Position,
        append: Append,
    },
    /// Another object took the slot of the fence.
    Walking(Follow),
}

/// What starting came to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum StartEnd {
    /// The fence is history; the first slot of the new epoch follows this position.
    Started(Position),
    /// The log belongs to another node.
    Fenced {
        /// That node.
        owner: Name,
        /// Its epoch.
        epoch: Epoch,
    },
    /// The boundary has passed the slot of the fence.
    Superseded {
        /// The slot.
        seq: Seq,
        /// Where the log begins now.
        retired: Seq,
    },
    /// There is a boundary, but nothing that it bounds.
    BoundaryWithoutObjects,
    /// An object on the way is held and does not fit.
    Corrupt {
        /// The object.
        seq: Seq,
        /// What is wrong with it.
        damage: Damage,
    },
}

impl Start {
    /// The start of `writer` on `node`.
    #[must_use]
    pub fn new(rules: Rules, node: Name, writer: WriterId, intent: Intent) -> Start {
        Start { rules, node, writer, intent, state: State::Finding(FindTail::new(rules)) }
    }

    fn found(&mut self, end: TailEnd) -> Option<StartEnd> {
        match end {
            TailEnd::Empty => self.fence_behind(Position::START),
            TailEnd::At(position) => self.fence_behind(position),
            TailEnd::BoundaryWithoutObjects => Some(StartEnd::BoundaryWithoutObjects),
            TailEnd::Corrupt { seq, damage } => Some(StartEnd::Corrupt { seq, damage }),
        }
    }

    /// At the tail: go on or leave it to the owner.
    fn fence_behind(&mut self, behind: Position) -> Option<StartEnd> {
        if let (Some(owner), Some(epoch)) = (&behind.owner, behind.epoch)
            && !self.may_succeed(owner)
        {
            return Some(StartEnd::Fenced { owner: owner.clone(), epoch });
        }
        let place =
            Place { seq: behind.next, previous: behind.previous, epoch: behind.next_epoch() };
        let append = Append::new(self.rules, place);
        self.state = State::Fencing { behind, append };
        None
    }

    /// Rules W1, P1 and P2.
    fn may_succeed(&self, owner: &Name) -> bool {
        match &self.intent {
            Intent::Start => *owner == self.node || !self.rules.keep(Rule::W1),
            Intent::Promote { deposed } => owner == deposed || !self.rules.keep(Rule::P2),
        }
    }

    fn fenced(&mut self, behind: Position, end: AppendEnd) -> Option<StartEnd> {
        match end {
            AppendEnd::Acknowledged(hash) => Some(StartEnd::Started(self.position(&behind, hash))),
            // Rule W4: read what stands there as any reader would.
            AppendEnd::Taken(_) | AppendEnd::Damaged(_) => {
                self.state = State::Walking(Follow::new(self.rules, behind, 1));
                None
            }
            AppendEnd::Superseded { retired } => match self.intent {
                Intent::Start => Some(StartEnd::Superseded { seq: behind.next, retired }),
                Intent::Promote { .. } => self.find_again(),
            },
        }
    }

    fn position(&self, behind: &Position, hash: SegmentHash) -> Position {
        Position {
            next: behind.next.next(),
            previous: hash,
            epoch: Some(behind.next_epoch()),
            owner: Some(self.node.clone()),
            writer: Some(self.writer),
        }
    }

    fn walked(&mut self, end: FollowEnd, position: Position) -> Option<StartEnd> {
        match end {
            FollowEnd::Accepted { end: End::Tail, .. } => self.fence_behind(position),
            FollowEnd::Accepted { end: End::More, .. } => None,
            FollowEnd::Behind { .. } => self.find_again(),
            FollowEnd::Corrupt { seq, damage } => Some(StartEnd::Corrupt { seq, damage }),
        }
    }

    fn find_again(&mut self) -> Option<StartEnd> {
        self.state = State::Finding(FindTail::new(self.rules));
        None
    }
}

impl Machine for Start {
    type End = StartEnd;

    fn ask(&self) -> Ask {
        match &self.state {
            State::Finding(find) => find.ask(),
            State::Fencing { append, .. } => append.ask(),
            State::Walking(follow) => follow.ask(),
        }
    }

    fn answer(&mut self, answer: Answer) -> Option<StartEnd> {
        match &mut self.state {
            State::Finding(find) => {
                let end = find.answer(answer)?;
                self.found(end)
            }
            State::Fencing { behind, append } => {
                let end = append.answer(answer)?;
                let behind = behind.clone();
                self.fenced(behind, end)
            }
            State::Walking(follow) => {
                let end = follow.answer(answer)?;
                let position = follow.position().clone();
                self.walked(end, position)
            }
        }
    }
}
