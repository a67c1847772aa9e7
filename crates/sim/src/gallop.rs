//! A starter that looks for the tail by probing names 1, 2, 4, 8, ... and halving: what rule T2 forbids. A
//! slot without an object ends its search, although deletion leaves such slots below the log.

use crate::objects::seq;
use fleet_log::machine::Ask;

#[derive(Clone, Hash)]
pub(crate) struct Gallop {
    /// The greatest name that was found; 0 for none.
    found: u8,
    /// The smallest name that was not.
    missing: Option<u8>,
}

impl Gallop {
    pub(crate) fn new() -> Gallop {
        Gallop { found: 0, missing: None }
    }

    fn probe(&self) -> u8 {
        match self.missing {
            Some(missing) => self.found + (missing - self.found) / 2,
            None => (self.found * 2).max(1),
        }
    }

    pub(crate) fn ask(&self) -> Ask {
        Ask::Get(seq(self.probe()))
    }

    /// The last name of the log, as it seems.
    pub(crate) fn answer(&mut self, is_there: bool) -> Option<u8> {
        let probe = self.probe();
        if is_there {
            self.found = probe;
        } else {
            self.missing = Some(probe);
        }
        self.missing.is_some_and(|missing| missing == self.found + 1).then_some(self.found)
    }
}
