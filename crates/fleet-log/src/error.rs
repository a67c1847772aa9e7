//! Everything that can keep the log from being read or written, in words that say what to do.

use segment::{Epoch, Name, SegmentError, Seq};
use store::{ErrorClass, StoreError};
use thiserror::Error;

/// Why the log could not be read or written.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum LogError {
    /// The store did not answer. Try again where its class says so: nothing was decided.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Another writer owns the log. This one must stop for good.
    #[error(
        "the log belongs to {owner} since epoch {epoch}: another host, or another process with the \
         same node name, writes it"
    )]
    Fenced {
        /// The node that owns the log.
        owner: Name,
        /// Its epoch.
        epoch: Epoch,
    },
    /// The slot was retired while it was being written: the log went on without this writer, which must stop
    /// for good.
    #[error(
        "log object {seq} lies below the boundary {retired}: the log went on without this writer"
    )]
    Superseded {
        /// The slot.
        seq: Seq,
        /// Where the log begins now.
        retired: Seq,
    },
    /// A log object does not follow from its predecessor, or is damaged. Never skipped.
    #[error("log object {seq} is corrupt: {detail}")]
    Corrupt {
        /// The object.
        seq: Seq,
        /// What is wrong with it.
        detail: String,
    },
    /// A log object was written by a newer program.
    #[error("log object {seq}: {detail}")]
    NewerFormat {
        /// The object.
        seq: Seq,
        /// What this program does not know.
        detail: String,
    },
    /// What was asked for lies below the boundary: plan again from a base.
    #[error("log object {seq} is no longer held, the log begins at {retired}")]
    Behind {
        /// What was asked for.
        seq: Seq,
        /// Where the log begins now.
        retired: Seq,
    },
    /// A log object that must be there is not.
    #[error("log object {seq} is missing")]
    Missing {
        /// The object.
        seq: Seq,
    },
    /// The store belongs to another fleet.
    #[error("the store belongs to fleet {found}, not {expected}; check `fleet` and `[store]`")]
    WrongFleet {
        /// The fleet of the configuration.
        expected: Name,
        /// The fleet of the store.
        found: Name,
    },
    /// The store holds something that is not a fleet's log.
    #[error("the store does not hold a usable log: {detail}")]
    NotALog {
        /// What is wrong.
        detail: String,
    },
    /// What a writer built does not fit the slot it was built for; nothing was sent.
    #[error("BUG: the segment built for slot {seq} does not fit it: {detail}")]
    Unfit {
        /// The slot.
        seq: Seq,
        /// What does not fit.
        detail: String,
    },
}

impl LogError {
    /// The exit code of a program that ends with this error.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            LogError::Store(error) => match error.class() {
                ErrorClass::Retry | ErrorClass::Unknown | ErrorClass::Denied => 5,
                ErrorClass::Corrupt => 4,
                ErrorClass::Invalid => 2,
            },
            LogError::Fenced { .. } | LogError::Superseded { .. } => 3,
            LogError::Corrupt { .. }
            | LogError::NewerFormat { .. }
            | LogError::Missing { .. }
            | LogError::NotALog { .. } => 4,
            LogError::WrongFleet { .. } => 2,
            LogError::Behind { .. } | LogError::Unfit { .. } => 1,
        }
    }

    /// Whether the same call may succeed later without anybody's help.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            LogError::Store(error) => {
                matches!(error.class(), ErrorClass::Retry | ErrorClass::Unknown)
            }
            _ => false,
        }
    }

    /// A store that has something else where an object should be, or cannot read it, tells of damage to that object.
    pub(crate) fn of_store(seq: Seq, error: StoreError) -> LogError {
        match error {
            StoreError::Corrupt { cause, .. } => LogError::Corrupt { seq, detail: cause },
            error => LogError::Store(error),
        }
    }

    pub(crate) fn of_segment(seq: Seq, error: &SegmentError) -> LogError {
        let detail = error.to_string();
        if error.is_newer_format() {
            LogError::NewerFormat { seq, detail }
        } else {
            LogError::Corrupt { seq, detail }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_has_its_exit_code() {
        let (seq, detail) = (Seq::FIRST, String::new());
        let (owner, epoch, retired) = (Name::parse("forge").unwrap(), Epoch::FIRST, Seq::FIRST);
        let unreachable = StoreError::unavailable("x", "y");
        for (error, code) in [
            (LogError::Fenced { owner: owner.clone(), epoch }, 3),
            (LogError::Superseded { seq, retired }, 3),
            (LogError::Corrupt { seq, detail: detail.clone() }, 4),
            (LogError::NewerFormat { seq, detail: detail.clone() }, 4),
            (LogError::Missing { seq }, 4),
            (LogError::NotALog { detail: detail.clone() }, 4),
            (LogError::WrongFleet { expected: owner.clone(), found: owner }, 2),
            (LogError::Behind { seq, retired }, 1),
            (LogError::Unfit { seq, detail }, 1),
            (LogError::Store(unreachable), 5),
            (LogError::Store(StoreError::config("x")), 2),
            (LogError::Store(StoreError::ambiguous("x", "y")), 5),
            (LogError::Store(StoreError::Corrupt { what: "x".into(), cause: "y".into() }), 4),
        ] {
            assert_eq!(error.exit_code(), code, "{error}");
        }
    }
}
