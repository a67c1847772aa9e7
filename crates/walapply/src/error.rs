//! Everything that can go wrong on the standby's side, in one type.
//!
//! A variant tells its caller what to do: wait and try again, rebuild the database, or stop. [`ApplyError::remedy`]
//! gives that answer in one word, so that no caller has to look into SQLite's numbers.

use std::path::PathBuf;

use console::ExitCode;
use segment::{Checksum, Seq};
use store::StoreError;

/// An error of the standby's side.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApplyError {
    /// The SQLite in this program lacks something that applying stands on.
    #[error(
        "this program's SQLite cannot apply: {0}; build it from a clone of the repository, whose .cargo/config.toml sets LIBSQLITE3_FLAGS"
    )]
    Library(String),
    /// SQLite refused a call.
    #[error("{path}: {action}: {detail} (SQLite code {code})")]
    Sqlite {
        /// The database file.
        path: PathBuf,
        /// What was being done.
        action: &'static str,
        /// SQLite's extended result code.
        code: i32,
        /// SQLite's own text.
        detail: String,
    },
    /// Another process holds a lock that we need.
    #[error("{path}: {action}: another process holds the lock")]
    Busy {
        /// The database file.
        path: PathBuf,
        /// What was being done.
        action: &'static str,
    },
    /// A file could not be read or written.
    #[error("{path}: {action}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What was being done.
        action: &'static str,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The path is a symbolic link, a folder or a device.
    #[error(
        "{0}: not a regular file; refusing to follow it: remove the link or whatever else stands at this path"
    )]
    NotAFile(PathBuf),
    /// Content that this standby has not made stands where a database of it belongs.
    #[error(
        "{0}: not this standby's file, so it is left as it is and the database is not followed: move it away, with its \
         -wal, and the standby's copy is made here; or give the standby another dir"
    )]
    NotOurs(PathBuf),
    /// The content of a database is not what the log says it is.
    #[error("{path}: checksum {actual} {when}, the log says {expected}")]
    Checksum {
        /// The database file.
        path: PathBuf,
        /// Before or after which log object.
        when: String,
        /// What the log says.
        expected: Checksum,
        /// What the pages say.
        actual: Checksum,
    },
    /// Pages of the standby's file were changed by somebody else.
    #[error("{path}: {pages} pages were changed behind the standby's back")]
    Tampered {
        /// The database file.
        path: PathBuf,
        /// How many pages differ from what was applied.
        pages: usize,
    },
    /// The file at the path is no longer the file that was opened.
    #[error("{0}: the file was replaced or removed")]
    Moved(PathBuf),
    /// Bytes from the store do not verify or do not fit together.
    #[error("{what}: {detail}")]
    Corrupt {
        /// The object or the section.
        what: String,
        /// What is wrong with it.
        detail: String,
    },
    /// The store lacks something that is needed.
    #[error("{0} is not in the store")]
    Missing(String),
    /// The log's own error.
    #[error(transparent)]
    Log(#[from] fleet_log::LogError),
    /// The store's own error.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The asked-for state is not in the log.
    #[error("no restore point: {0}")]
    NoSuchPoint(String),
    /// The standby's folder or state is in use, or cannot hold what it must.
    #[error("{0}")]
    Unfit(String),
    /// The command line asks for something that cannot be meant.
    #[error("{0}")]
    Usage(String),
    /// A signal ended the work early.
    #[error("interrupted; nothing was put in place")]
    Interrupted,
    /// A restored file cannot be put in place.
    #[error(transparent)]
    Target(#[from] crate::restore::TargetError),
    /// The log moved while it was being read, past the point that was asked for.
    #[error("seq {0} has left the log")]
    Gone(Seq),
}

/// What a caller does about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// The same again later: a lock, a full disk, a store that does not answer.
    Wait,
    /// The local file is not what it should be: rebuild it by difference.
    Rebuild,
    /// The stored objects are damaged or missing: nothing local helps until there is a newer base.
    Distrust,
    /// What is there is somebody else's: left alone until it is gone.
    Leave,
    /// Nothing will help: the program or its settings are wrong.
    Stop,
}

impl ApplyError {
    /// A file error at `path`.
    pub(crate) fn file(
        path: impl Into<PathBuf>,
        action: &'static str,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, action, source }
    }

    /// What the caller does about it.
    #[must_use]
    pub fn remedy(&self) -> Remedy {
        match self {
            Self::Library(_) | Self::NoSuchPoint(_) | Self::Unfit(_) => Remedy::Stop,
            Self::Usage(_) | Self::Interrupted | Self::Target(_) => Remedy::Stop,
            Self::Busy { .. } | Self::File { .. } | Self::Gone(_) => Remedy::Wait,
            Self::Sqlite { code, .. } => sqlite_remedy(*code),
            Self::NotAFile(_) => Remedy::Wait,
            Self::NotOurs(_) => Remedy::Leave,
            Self::Checksum { .. } | Self::Tampered { .. } | Self::Moved(_) => Remedy::Rebuild,
            Self::Corrupt { .. } | Self::Missing(_) => Remedy::Distrust,
            Self::Log(error) => class_remedy(ExitCode::from_number(error.exit_code())),
            Self::Store(error) => class_remedy(error.class().into()),
        }
    }

    /// Whether the file itself is no database that SQLite can read.
    pub(crate) fn is_broken_file(&self) -> bool {
        match self {
            Self::Sqlite { code, .. } => sqlite_remedy(*code) == Remedy::Rebuild,
            Self::Corrupt { .. } => true,
            _ => false,
        }
    }

    /// The exit code of a command that ends with this error.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Corrupt { .. } | Self::Missing(_) => ExitCode::Corrupt,
            Self::Usage(_) => ExitCode::Usage,
            Self::Log(error) => ExitCode::from_number(error.exit_code()),
            Self::Store(error) => error.class().into(),
            _ => ExitCode::Failed,
        }
    }
}

/// A broken file is rebuilt; everything else that SQLite reports (disk full, I/O error, no descriptor) may pass.
fn sqlite_remedy(code: i32) -> Remedy {
    match code & 0xff {
        libsqlite3_sys::SQLITE_CORRUPT
        | libsqlite3_sys::SQLITE_NOTADB
        | libsqlite3_sys::SQLITE_ERROR => Remedy::Rebuild,
        _ => Remedy::Wait,
    }
}

fn class_remedy(exit: ExitCode) -> Remedy {
    match exit {
        ExitCode::Corrupt => Remedy::Distrust,
        _ => Remedy::Wait,
    }
}
