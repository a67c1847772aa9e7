//! Doubt: an object of the log that cannot be read may have changed any database.
//!
//! - Invariant F3: a database is never taken for up to date behind such an object. Its doubt ends only by proof, which is a
//!   checksum that the log names after the object: in the database's next section, in a catalogue, in a base that stands
//!   behind it.
//! - Where the proof is another checksum than the file's, the file is rebuilt; until there is a proof it stays readable as
//!   it is.
//!
//! Nothing of a doubt is saved: the saved position stays before the object, so that the next start meets it again.

use std::fmt;

use segment::{Millis, Seq};

use super::{Expected, Link, Stage, Track};

/// What was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Doubt {
    /// The first object that cannot be read.
    pub(crate) first: Seq,
    /// The last one.
    pub(crate) last: Seq,
    /// What the first one held is at least this old, on the store's clock.
    pub(crate) since: Millis,
}

impl Doubt {
    /// About one object, whose successor was sealed at `since`.
    pub(crate) fn of(seq: Seq, since: Millis) -> Self {
        Self { first: seq, last: seq, since }
    }

    /// With what is doubted already.
    pub(crate) fn joined(self, former: Option<Self>) -> Self {
        former.map_or(self, |former| Self { last: self.last, ..former })
    }
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "log object {} cannot be read and may have changed it: as it was before",
            self.first
        )
    }
}

impl<P> Track<P> {
    /// An object was passed that cannot be read. The sections before it are here.
    pub(crate) fn object_lost(&mut self, lost: Doubt) {
        self.doubt = Some(lost.joined(self.doubt));
        self.is_explained = true;
    }

    /// What is in doubt.
    pub(crate) fn doubt(&self) -> Option<Doubt> {
        self.doubt
    }

    /// Whether the section, the first since a doubt arose, shows that nothing is missing before it. Where the file is not
    /// located yet, or is being rebuilt, that shows when the section is to be applied.
    pub(super) fn goes_on_with(&self, link: &Link<P>) -> bool {
        self.stage != Stage::Following || link.pre == self.standing
    }

    /// The log names the database's checksum anew, behind everything that could not be read. True if the file is, or is
    /// being made, something else. Where the log tells nothing, nothing is proven.
    pub(crate) fn proven(&mut self, expected: &Expected, now: Millis) -> bool {
        if !expected.is_told {
            return false;
        }
        let doubt = self.doubt.take();
        let is_rebuilt_in_doubt =
            doubt.is_some() && self.stage == Stage::Stale && self.running_to.is_some();
        if is_rebuilt_in_doubt {
            self.go_stale(now);
        }
        self.check(expected, doubt.map_or(now, |doubt| doubt.since))
    }

    /// A file that is followed to another state than the log's is rebuilt. (true)
    pub(super) fn check(&mut self, expected: &Expected, since: Millis) -> bool {
        let differs = self.stage == Stage::Following && self.standing != expected.checksum;
        if differs {
            self.go_stale(since);
        }
        differs
    }
}
