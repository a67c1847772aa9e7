//! Where a reader stands in the log (rule D1): after a log object, never inside one.

use crate::LogError;
use crate::facts::{Damage, Facts};
use crate::rules::{Rule, Rules};
use segment::{Epoch, Name, SegmentHash, Seq, Table, WriterId};
use serde::{Deserialize, Serialize};

/// A position: the next number, and all that the next object must fit.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Position {
    /// The number of the next log object.
    pub next: Seq,
    /// The hash of the last one; zero before the first.
    pub previous: SegmentHash,
    /// The epoch that is current; `None` before the first fence.
    pub epoch: Option<Epoch>,
    /// The node that owns the log.
    pub owner: Option<Name>,
    /// Its writer id.
    pub writer: Option<WriterId>,
}

impl Position {
    /// Before the first log object.
    pub const START: Position = Position {
        next: Seq::FIRST,
        previous: SegmentHash::ZERO,
        epoch: None,
        owner: None,
        writer: None,
    };

    /// The number of the last log object; `None` before the first.
    #[must_use]
    pub fn last(&self) -> Option<Seq> {
        self.next.previous()
    }

    /// The epoch of the next fence.
    #[must_use]
    pub fn next_epoch(&self) -> Epoch {
        self.epoch.map_or(Epoch::FIRST, Epoch::next)
    }

    /// The position after `table`, if it is the log object that comes next (rule R2).
    ///
    /// # Errors
    /// [`LogError::Corrupt`] with what does not fit.
    pub fn accept(&self, table: &Table) -> Result<Position, LogError> {
        let accepted = Facts::of(table).and_then(|facts| self.accept_facts(&facts, Rules::ALL));
        accepted.map_err(|damage| LogError::Corrupt { seq: self.next, detail: damage.detail })
    }

    /// Rule R2.
    pub(crate) fn accept_facts(&self, facts: &Facts, rules: Rules) -> Result<Position, Damage> {
        if rules.keep(Rule::R2) {
            self.check_number_and_link(facts)?;
            self.check_owner(facts, rules)?;
        }
        Ok(Position::after(facts))
    }

    /// The position after an object that was verified by other means.
    pub(crate) fn after(facts: &Facts) -> Position {
        Position {
            next: facts.seq.next(),
            previous: facts.hash,
            epoch: Some(facts.epoch),
            owner: Some(facts.node.clone()),
            writer: Some(facts.writer),
        }
    }

    fn check_number_and_link(&self, facts: &Facts) -> Result<(), Damage> {
        if facts.seq != self.next {
            return Err(Damage::new(format!("it says that it is number {}", facts.seq)));
        }
        if facts.previous != self.previous {
            return Err(Damage::new(format!(
                "it follows an object with hash {}, but the one before it has {}",
                facts.previous, self.previous
            )));
        }
        Ok(())
    }

    /// A fence begins the next epoch; everything else is of the current one, by the writer that began it.
    fn check_owner(&self, facts: &Facts, rules: Rules) -> Result<(), Damage> {
        if facts.is_fence {
            let expected = self.next_epoch();
            let fits = facts.epoch == expected;
            return if fits { Ok(()) } else { Err(wrong_epoch(facts, expected)) };
        }
        let Some(epoch) = self.epoch else {
            return Err(Damage::new("it is the first object of a log and not a fence"));
        };
        if facts.epoch != epoch {
            return Err(wrong_epoch(facts, epoch));
        }
        // Rule D2: the epoch alone does not say whose it is.
        let is_owners =
            Some(facts.writer) == self.writer && Some(&facts.node) == self.owner.as_ref();
        if rules.keep(Rule::D2) && !is_owners {
            return Err(Damage::new(format!(
                "it was written by {} ({}), who does not hold epoch {epoch}",
                facts.node, facts.writer
            )));
        }
        Ok(())
    }
}

fn wrong_epoch(facts: &Facts, expected: Epoch) -> Damage {
    Damage::new(format!("it is of epoch {}, where epoch {expected} is due", facts.epoch))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fence() -> Facts {
        Facts {
            seq: Seq::FIRST,
            hash: SegmentHash::from_bytes([1; 32]),
            previous: SegmentHash::ZERO,
            epoch: Epoch::FIRST,
            writer: WriterId::from_bytes([1; 16]),
            node: Name::parse("anvil").unwrap(),
            is_fence: true,
        }
    }

    fn data() -> Facts {
        let hash = SegmentHash::from_bytes([2; 32]);
        Facts { seq: Seq::FIRST.next(), hash, previous: fence().hash, is_fence: false, ..fence() }
    }

    #[test]
    fn a_log_begins_with_a_fence_of_the_first_epoch() {
        let accepts = |facts: &Facts| Position::START.accept_facts(facts, Rules::ALL).is_ok();
        assert!(accepts(&fence()));
        assert!(!accepts(&Facts { is_fence: false, ..fence() }));
        assert!(!accepts(&Facts { epoch: Epoch::FIRST.next(), ..fence() }));
        assert!(!accepts(&Facts { seq: Seq::FIRST.next(), ..fence() }));
        assert!(!accepts(&Facts { previous: fence().hash, ..fence() }));
    }

    #[test]
    fn whatever_does_not_follow_is_refused() {
        let position = Position::after(&fence());
        let accepts = |facts: &Facts| position.accept_facts(facts, Rules::ALL).is_ok();
        assert!(accepts(&data()));
        assert!(!accepts(&Facts { seq: Seq::FIRST, ..data() }));
        assert!(!accepts(&Facts { previous: SegmentHash::ZERO, ..data() }));
        assert!(!accepts(&Facts { epoch: Epoch::FIRST.next(), ..data() }));
        assert!(!accepts(&Facts { writer: WriterId::from_bytes([2; 16]), ..data() }));
        assert!(!accepts(&Facts { node: Name::parse("forge").unwrap(), ..data() }));
    }

    #[test]
    fn a_fence_raises_the_epoch_by_one_whoever_it_is_of() {
        let position = Position::after(&fence());
        let forge = Facts {
            is_fence: true,
            node: Name::parse("forge").unwrap(),
            writer: WriterId::from_bytes([2; 16]),
            ..data()
        };
        let accept = |epoch| position.accept_facts(&Facts { epoch, ..forge.clone() }, Rules::ALL);
        let second = Epoch::FIRST.next();
        let after = accept(second).unwrap();
        assert_eq!((after.epoch, after.owner), (Some(second), Some(forge.node.clone())));
        assert!(accept(Epoch::FIRST).is_err());
        assert!(accept(second.next()).is_err());
    }
}
