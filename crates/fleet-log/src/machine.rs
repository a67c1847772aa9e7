//! The log's rules as pure state machines.
//!
//! A [`Machine`] asks for one request ([`Ask`]) and is told its outcome ([`Answer`]); after each answer it
//! either asks again or has reached its outcome. It knows no clock, no store and no bytes: a log object is its
//! [`Facts`], and what is sent is known by its hash. So the programs and the explorer of crate `sim` run the
//! same code.
//!
//! Asking twice without an answer asks the same: when a request fails in a way that decides nothing, the
//! driver pauses and carries it out again, or gives up and keeps the machine.

mod append;
mod find_tail;
mod follow;
mod start;
mod write;

pub use crate::boundary::Boundary;
pub use crate::facts::{Damage, Facts};
pub use append::{Append, AppendEnd};
pub use find_tail::{FindTail, TailEnd};
pub use follow::{Follow, FollowEnd};
pub use start::{Intent, Start, StartEnd};
pub use write::{Write, WriteEnd};

use segment::{Epoch, SegmentHash, Seq};

/// A machine that carries out some of the log's rules.
pub trait Machine {
    /// What it comes to.
    type End;

    /// The request that is due.
    fn ask(&self) -> Ask;

    /// Takes the outcome of that request; `Some` when the machine has come to its end.
    ///
    /// # Panics
    /// If the answer is not one to what was asked: a mistake of the driver.
    fn answer(&mut self, answer: Answer) -> Option<Self::End>;
}

/// A request that a machine wants carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ask {
    /// One page of the listing of log objects above `after`.
    List {
        /// The last name seen.
        after: Option<Seq>,
    },
    /// The log object with this number.
    Get(Seq),
    /// The boundary.
    Boundary,
    /// The bytes for a slot, without any request.
    Seal(Place),
    /// Those bytes into the slot, if it is empty.
    Put(Seq),
    /// Removal of the log object with this number.
    Delete(Seq),
}

/// What came of an [`Ask`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    /// Of [`Ask::List`].
    Listed {
        /// The greatest name of the page.
        greatest: Option<Seq>,
        /// There are more pages.
        more: bool,
    },
    /// Of [`Ask::Get`].
    Got(Found),
    /// Of [`Ask::Boundary`].
    Boundary(Option<Boundary>),
    /// Of [`Ask::Seal`]: the hash of the bytes chosen.
    Sealed(SegmentHash),
    /// Of [`Ask::Put`].
    Put(Sent),
    /// Of [`Ask::Delete`].
    Deleted,
}

/// What stands in a slot.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Found {
    /// Nothing.
    Nothing,
    /// A log object whose own hashes are right.
    Object(Facts),
    /// Something else.
    Damaged(Damage),
}

/// What a put into a slot came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sent {
    /// It created the object.
    Created,
    /// An object stands there, perhaps this one.
    Exists,
    /// The answer was lost: it may have created the object, or may still.
    Unknown,
}

/// A slot of the log and what whatever fills it must say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// The number.
    pub seq: Seq,
    /// The hash of the object before.
    pub previous: SegmentHash,
    /// The epoch.
    pub epoch: Epoch,
}

/// For answers that do not belong to what was asked.
fn mismatch(ask: Ask, answer: &Answer) -> ! {
    panic!("BUG: {answer:?} is no answer to {ask:?}")
}
