//! What can go wrong in a store, sorted by what the caller does next.
//!
//! Texts name the object and the cause, and never hold secrets: a backend strips queries and signatures
//! from addresses before it builds one of these.

use segment::Millis;
use thiserror::Error;

/// Why a store did not answer.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreError {
    /// The request never reached the store; nothing can have happened.
    #[error("the store cannot be reached for {what}: {cause}")]
    Unavailable {
        /// The object or the operation.
        what: String,
        /// The cause in the system's words.
        cause: String,
    },
    /// The store asks for patience; nothing happened.
    #[error("the store is throttling {what}")]
    Throttled {
        /// The object or the operation.
        what: String,
        /// How long to wait at least, where the store said so.
        retry_after: Option<Millis>,
    },
    /// A write was sent and its answer is unknown: it may have happened, or may still.
    #[error("the answer for {what} was lost, it may have been written: {cause}")]
    Ambiguous {
        /// The object.
        what: String,
        /// The cause in the system's words.
        cause: String,
    },
    /// A read failed, or the store failed before a write took effect. Another try may succeed.
    #[error("the store failed for {what}: {cause}")]
    Transient {
        /// The object or the operation.
        what: String,
        /// The cause in the system's words.
        cause: String,
    },
    /// The credentials are not, or no longer, accepted.
    #[error("the store does not accept the credentials: {cause}")]
    Auth {
        /// The cause in the store's words.
        cause: String,
    },
    /// The credentials are fine but do not allow this.
    #[error("the store does not permit {what}: {cause}")]
    Forbidden {
        /// The object or the operation.
        what: String,
        /// The cause in the store's words.
        cause: String,
    },
    /// What came back cannot be what was stored.
    #[error("the store returned damaged data for {what}: {cause}")]
    Corrupt {
        /// The object.
        what: String,
        /// How that is known.
        cause: String,
    },
    /// The settings cannot work, whatever is tried.
    #[error("the store's settings: {cause}")]
    Config {
        /// What to change.
        cause: String,
    },
}

/// What a caller does about a [`StoreError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// Nothing happened; try again after a pause.
    Retry,
    /// It may have happened; read back and compare.
    Unknown,
    /// Credentials or rights; a person must look, slow retries are fine.
    Denied,
    /// Damaged data; try a few times, then report.
    Corrupt,
    /// Settings; report with the hint and stop.
    Invalid,
}

impl StoreError {
    /// What to do next.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        match self {
            StoreError::Unavailable { .. }
            | StoreError::Throttled { .. }
            | StoreError::Transient { .. } => ErrorClass::Retry,
            StoreError::Ambiguous { .. } => ErrorClass::Unknown,
            StoreError::Auth { .. } | StoreError::Forbidden { .. } => ErrorClass::Denied,
            StoreError::Corrupt { .. } => ErrorClass::Corrupt,
            StoreError::Config { .. } => ErrorClass::Invalid,
        }
    }

    /// How long the store asked to wait, where it did.
    #[must_use]
    pub fn retry_after(&self) -> Option<Millis> {
        match self {
            StoreError::Throttled { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// A request that was never sent.
    pub fn unavailable(what: impl ToString, cause: impl ToString) -> StoreError {
        StoreError::Unavailable { what: what.to_string(), cause: cause.to_string() }
    }

    /// A write whose outcome is unknown.
    pub fn ambiguous(what: impl ToString, cause: impl ToString) -> StoreError {
        StoreError::Ambiguous { what: what.to_string(), cause: cause.to_string() }
    }

    /// A failure that another try may not meet.
    pub fn transient(what: impl ToString, cause: impl ToString) -> StoreError {
        StoreError::Transient { what: what.to_string(), cause: cause.to_string() }
    }

    /// Settings that cannot work.
    pub fn config(cause: impl ToString) -> StoreError {
        StoreError::Config { cause: cause.to_string() }
    }
}
