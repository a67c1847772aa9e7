//! The reader's rules: read what comes next, and know the tail when it is reached.
//!
//! Rule R1: a batch of objects is read first, the boundary AFTERWARDS; only then are they accepted.
//! Rule R2: each must follow from its predecessor.
//! Rule R3: a slot without an object is the tail only if the boundary, read after it, is not above it.
//!
//! One read of the boundary serves the whole batch and the empty slot behind it. Nothing that was read counts
//! before that. What does not fit is called corrupt only if the boundary still holds it: below the boundary
//! anything may stand.

use super::{Answer, Ask, Damage, Found, Machine, mismatch};
use crate::boundary::holds;
use crate::facts::Facts;
use crate::rules::{Rule, Rules};
use crate::{End, Position};
use segment::Seq;

/// A reader of the log; one `answer` after another, it can be driven through any number of batches.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Follow {
    rules: Rules,
    /// After the last object that was accepted.
    position: Position,
    /// After the last object that was read.
    head: Position,
    taken: u32,
    batch_max: u32,
    state: State,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum State {
    Reading,
    /// The boundary is read; why the reading stopped.
    Judging(Stop),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Stop {
    Full,
    Nothing,
    Misfit(Damage),
}

/// What a batch came to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum FollowEnd {
    /// This many objects were accepted, the position stands after them.
    Accepted {
        /// How many.
        count: u32,
        /// What comes next.
        end: End,
    },
    /// The boundary has passed the position: heal from a base.
    Behind {
        /// Where the log begins now.
        retired: Seq,
    },
    /// The next object is held and does not fit. Never skipped.
    Corrupt {
        /// The object.
        seq: Seq,
        /// What is wrong with it.
        damage: Damage,
    },
}

impl Follow {
    /// A reader at `position` that reads at most `batch_max` objects (at least one) for one boundary.
    #[must_use]
    pub fn new(rules: Rules, position: Position, batch_max: u32) -> Follow {
        let head = position.clone();
        Follow {
            rules,
            position,
            head,
            taken: 0,
            batch_max: batch_max.max(1),
            state: State::Reading,
        }
    }

    /// After the last object that was accepted.
    #[must_use]
    pub fn position(&self) -> &Position {
        &self.position
    }

    /// Ends the reading of this batch early, if anything was read.
    pub fn close_batch(&mut self) {
        if self.taken > 0 && self.state == State::Reading {
            self.state = State::Judging(Stop::Full);
        }
    }

    fn read(&mut self, found: Found) -> Option<FollowEnd> {
        match found {
            Found::Nothing => self.stop(Stop::Nothing),
            Found::Damaged(damage) => self.stop(Stop::Misfit(damage)),
            Found::Object(facts) => self.take(&facts),
        }
    }

    fn take(&mut self, facts: &Facts) -> Option<FollowEnd> {
        match self.head.accept_facts(facts, self.rules) {
            Err(damage) => self.stop(Stop::Misfit(damage)),
            Ok(head) => {
                self.head = head;
                self.taken += 1;
                if self.taken < self.batch_max { None } else { self.stop(Stop::Full) }
            }
        }
    }

    fn stop(&mut self, stop: Stop) -> Option<FollowEnd> {
        let for_what_was_read =
            self.rules.keep(Rule::R1) && (self.taken > 0 || stop != Stop::Nothing);
        let for_the_tail = self.rules.keep(Rule::R3) && stop == Stop::Nothing;
        if for_what_was_read || for_the_tail {
            self.state = State::Judging(stop);
            return None;
        }
        Some(self.conclude(stop))
    }

    /// Rules R1 and R3, after the boundary was read and holds everything that is judged here.
    fn conclude(&mut self, stop: Stop) -> FollowEnd {
        let count = std::mem::take(&mut self.taken);
        self.position = self.head.clone();
        self.state = State::Reading;
        match stop {
            // What follows accepted objects and does not fit is judged when it is the first of its batch.
            Stop::Misfit(damage) if count == 0 => {
                FollowEnd::Corrupt { seq: self.position.next, damage }
            }
            Stop::Full | Stop::Misfit(_) => FollowEnd::Accepted { count, end: End::More },
            Stop::Nothing => FollowEnd::Accepted { count, end: End::Tail },
        }
    }

    fn give_up(&mut self, retired: Seq) -> FollowEnd {
        self.taken = 0;
        self.head = self.position.clone();
        self.state = State::Reading;
        FollowEnd::Behind { retired }
    }
}

impl Machine for Follow {
    type End = FollowEnd;

    fn ask(&self) -> Ask {
        match self.state {
            State::Reading => Ask::Get(self.head.next),
            State::Judging(_) => Ask::Boundary,
        }
    }

    fn answer(&mut self, answer: Answer) -> Option<FollowEnd> {
        match (&self.state, answer) {
            (State::Reading, Answer::Got(found)) => self.read(found),
            (State::Judging(stop), Answer::Boundary(boundary)) => {
                let stop = stop.clone();
                match boundary {
                    // The boundary only grows: what it holds first, it holds throughout the batch.
                    Some(boundary) if !holds(Some(boundary), self.position.next) => {
                        Some(self.give_up(boundary.retired))
                    }
                    _ => Some(self.conclude(stop)),
                }
            }
            (_, answer) => mismatch(self.ask(), &answer),
        }
    }
}
