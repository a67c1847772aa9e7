//! Finding the end of the log without any local state.
//!
//! Rule T1: start at the greatest name of a listing, read it, accept it by R1, walk on by R1 and R2 to the
//! tail by R3. If the start has vanished, begin again.
//! Rule T2: only listings and the walk find the tail; objects are never probed by guessed names, because a
//! slot without an object proves nothing by itself.
//! Rule T3: the log is empty only if the listing is, then the first name is not there, and THEN the boundary
//! is absent. A boundary without objects is refused: somebody removed what must not be removed.

use super::{Answer, Ask, Damage, Found, Machine, follow, mismatch};
use crate::boundary::holds;
use crate::facts::Facts;
use crate::rules::{Rule, Rules};
use crate::{End, Position};
use follow::{Follow, FollowEnd};
use segment::Seq;

/// How many objects of the walk share one read of the boundary.
const BATCH_MAX: u32 = 16;

/// See the module's documentation.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FindTail {
    rules: Rules,
    state: State,
    /// The listing was empty and the boundary was not, once before.
    was_bare: bool,
    /// The last start that the boundary had passed.
    passed: Option<Seq>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum State {
    Listing {
        greatest: Option<Seq>,
    },
    Reading {
        start: Seq,
        listed: bool,
    },
    /// The boundary is read after the start was.
    Judging {
        start: Seq,
        found: Found,
    },
    Walking(Follow),
}

/// What the search came to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TailEnd {
    /// There is no log yet.
    Empty,
    /// The log ends before this position.
    At(Position),
    /// There is a boundary, but no object after it.
    BoundaryWithoutObjects,
    /// An object on the way is held and does not fit.
    Corrupt {
        /// The object.
        seq: Seq,
        /// What is wrong with it.
        damage: Damage,
    },
}

impl FindTail {
    /// A new search.
    #[must_use]
    pub fn new(rules: Rules) -> FindTail {
        FindTail { rules, state: State::Listing { greatest: None }, was_bare: false, passed: None }
    }

    fn begin_again(&mut self) -> Option<TailEnd> {
        self.state = State::Listing { greatest: None };
        None
    }

    fn listed(&mut self, greatest: Option<Seq>, more: bool) -> Option<TailEnd> {
        let State::Listing { greatest: before } = self.state else {
            unreachable!("BUG: not listing")
        };
        let greatest = greatest.max(before);
        self.state = match greatest {
            _ if more => State::Listing { greatest },
            Some(start) => State::Reading { start, listed: true },
            None if !self.rules.keep(Rule::T3) => return Some(TailEnd::Empty),
            None => State::Reading { start: Seq::FIRST, listed: false },
        };
        None
    }

    fn read(&mut self, start: Seq, listed: bool, found: Found) -> Option<TailEnd> {
        if listed && found == Found::Nothing {
            // Rule T1; and by R3 a name that was only listed is never the tail.
            return self.begin_again();
        }
        if let Found::Object(facts) = &found
            && !self.rules.keep(Rule::T1)
        {
            return self.walk_from(&facts.clone());
        }
        self.state = State::Judging { start, found };
        None
    }

    fn judge(
        &mut self,
        start: Seq,
        found: Found,
        boundary: Option<super::Boundary>,
    ) -> Option<TailEnd> {
        if found == Found::Nothing {
            return self.judge_bare(boundary);
        }
        if !holds(boundary, start) {
            return self.judge_passed(start);
        }
        match found {
            Found::Object(facts) if facts.seq == start => self.walk_from(&facts),
            Found::Object(facts) => {
                let damage = Damage::new(format!("it says that it is number {}", facts.seq));
                Some(TailEnd::Corrupt { seq: start, damage })
            }
            Found::Damaged(damage) => Some(TailEnd::Corrupt { seq: start, damage }),
            Found::Nothing => unreachable!("BUG: judged above"),
        }
    }

    /// Rule T3, its last step. Somebody may have filled and retired the log since the listing, so a boundary
    /// is an objection only when it is met twice.
    fn judge_bare(&mut self, boundary: Option<super::Boundary>) -> Option<TailEnd> {
        match boundary {
            None => Some(TailEnd::Empty),
            Some(_) if self.was_bare => Some(TailEnd::BoundaryWithoutObjects),
            Some(_) => {
                self.was_bare = true;
                self.begin_again()
            }
        }
    }

    /// The last object is never deleted. So a listing that begins after the boundary was seen to pass `start`
    /// shows a later one, or there is none.
    fn judge_passed(&mut self, start: Seq) -> Option<TailEnd> {
        if self.passed.is_some_and(|passed| start <= passed) {
            return Some(TailEnd::BoundaryWithoutObjects);
        }
        self.passed = Some(start);
        self.begin_again()
    }

    fn walk_from(&mut self, facts: &Facts) -> Option<TailEnd> {
        let follow = Follow::new(self.rules, Position::after(facts), BATCH_MAX);
        self.state = State::Walking(follow);
        None
    }

    fn walked(&mut self, end: FollowEnd, position: Position) -> Option<TailEnd> {
        match end {
            FollowEnd::Accepted { end: End::Tail, .. } => Some(TailEnd::At(position)),
            FollowEnd::Accepted { end: End::More, .. } => None,
            FollowEnd::Behind { .. } => self.begin_again(),
            FollowEnd::Corrupt { seq, damage } => Some(TailEnd::Corrupt { seq, damage }),
        }
    }
}

impl Machine for FindTail {
    type End = TailEnd;

    fn ask(&self) -> Ask {
        match &self.state {
            State::Listing { greatest } => Ask::List { after: *greatest },
            State::Reading { start, .. } => Ask::Get(*start),
            State::Judging { .. } => Ask::Boundary,
            State::Walking(follow) => follow.ask(),
        }
    }

    fn answer(&mut self, answer: Answer) -> Option<TailEnd> {
        match (&mut self.state, answer) {
            (State::Listing { .. }, Answer::Listed { greatest, more }) => {
                self.listed(greatest, more)
            }
            (State::Reading { start, listed }, Answer::Got(found)) => {
                let (start, listed) = (*start, *listed);
                self.read(start, listed, found)
            }
            (State::Judging { start, found }, Answer::Boundary(boundary)) => {
                let (start, found) = (*start, found.clone());
                self.judge(start, found, boundary)
            }
            (State::Walking(follow), answer) => {
                let end = follow.answer(answer)?;
                let position = follow.position().clone();
                self.walked(end, position)
            }
            (_, answer) => mismatch(self.ask(), &answer),
        }
    }
}
