//! What can go wrong while capturing one database, by what the caller has to do about it.

use crate::sqlite::SqliteError;

/// Errors of capturing one database. None of them concerns the other databases.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CaptureError {
    /// Another connection holds the lock: try again later. When it lasts, the application uses
    /// `locking_mode=EXCLUSIVE`.
    #[error("database is locked: {0}")]
    Locked(SqliteError),
    /// It is not proven that nothing was missed: close everything, attach anew, compare all pages.
    #[error("continuity is not proven: {reason}")]
    Continuity {
        /// What was seen.
        reason: String,
    },
    /// Other files stand at the path than those that are open: close everything and look again.
    #[error("the files were replaced: {what}")]
    Replaced {
        /// Which of them.
        what: &'static str,
    },
    /// The log of the former file would be taken for this one's by whoever opens it.
    #[error(
        "another file was put in its place while the -wal of the former one stayed: with everything closed, remove \
         its -wal and -shm"
    )]
    StaleLog,
    /// This file cannot be replicated as it is.
    #[error("cannot be replicated: {0}")]
    Refused(String),
    /// SQLite failed otherwise.
    #[error(transparent)]
    Sqlite(SqliteError),
    /// The file system failed.
    #[error("{operation}: {source}")]
    Io {
        /// What was attempted.
        operation: &'static str,
        /// The error.
        source: std::io::Error,
    },
    /// The program was told to end.
    #[error("the program is ending")]
    Ending,
    /// The object store failed while a base was uploaded.
    #[error("upload of the base: {0}")]
    Store(#[from] store::StoreError),
}

impl CaptureError {
    /// A [`CaptureError::Continuity`].
    pub fn continuity(reason: impl Into<String>) -> Self {
        Self::Continuity { reason: reason.into() }
    }
}

impl From<SqliteError> for CaptureError {
    fn from(error: SqliteError) -> Self {
        if error.is_busy() {
            Self::Locked(error)
        } else if error.is_not_a_database() {
            Self::Refused(
                "not a database that SQLite can read (encrypted, or another kind of file)".into(),
            )
        } else {
            Self::Sqlite(error)
        }
    }
}
