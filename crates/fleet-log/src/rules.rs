//! The rules that the machines keep, by label, so that a test can switch one off and watch what breaks.
//!
//! Programs always run with [`Rules::ALL`]; only the feature `broken-rules` can make anything else.

/// A rule that a machine enforces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rule {
    /// The identity of an owner is its epoch and writer id, never the epoch alone.
    D2,
    /// What was read is accepted only after the boundary was read too.
    R1,
    /// Every object follows from its predecessor: number, hash, epoch, writer.
    R2,
    /// A slot without an object is the tail only if the boundary, read afterwards, does not lie above it.
    R3,
    /// The walk to the tail starts at an object that was itself accepted.
    T1,
    /// The log is empty only if a listing, the first name and the boundary say so, in this order.
    T3,
    /// Starting never takes the log over from another node.
    W1,
    /// The bytes of a slot are chosen once.
    W2,
    /// An own object is acknowledged only after the boundary was read.
    W3,
    /// "Exists" is resolved by reading the slot.
    W4,
    /// A promoter goes on only against the owner it was told to depose.
    P2,
}

/// The rules that are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rules(u16);

impl Rules {
    /// All of them.
    pub const ALL: Rules = Rules(u16::MAX);

    /// All but one.
    #[cfg(feature = "broken-rules")]
    #[must_use]
    pub fn without(self, rule: Rule) -> Rules {
        Rules(self.0 & !(1 << rule as u16))
    }

    pub(crate) fn keep(self, rule: Rule) -> bool {
        self.0 & (1 << rule as u16) != 0
    }
}
