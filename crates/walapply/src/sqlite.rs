//! SQLite's calls that applying stands on; the only unsafe code of this crate.
//!
//! Two kinds of connection to a standby database: an [`Applier`] writes pages, a [`Checker`] looks from outside, as any
//! reader does.
//!
//! No file of a database is ever opened by a plain file call here: closing that descriptor would drop the POSIX locks that SQLite
//! holds in this process (sqlite.org/howtocorrupt.html, 2.2).

mod applier;
mod checker;
mod immutable;

use std::ffi::{CStr, c_int};
use std::path::Path;
use std::time::Duration;

use libsqlite3_sys as ffi;
use rusqlite::Connection;

use crate::error::ApplyError;

pub(crate) use applier::Applier;
pub(crate) use checker::Checker;
pub(crate) use immutable::header_in_file;

/// The read-only mark: file-format write version 3, which no SQLite can write (sqlite.org/fileformat2.html, 1.3.3).
pub(crate) const MARK_WRITE_VERSION: u8 = 3;
/// File-format read version 2: WAL.
pub(crate) const WAL_READ_VERSION: u8 = 2;
/// Offset of the write version in page 1; the read version follows it.
pub(crate) const WRITE_VERSION_AT: usize = 18;
/// Offset of the number of pages in page 1.
pub(crate) const SIZE_AT: usize = 28;
/// Offset of the text encoding in page 1: 1 UTF-8, 2 UTF-16le, 3 UTF-16be, 0 not chosen yet.
const ENCODING_AT: usize = 56;

/// The oldest SQLite without the WAL-reset bug is 3.51.3 (sqlite.org/wal.html); the recipe below is proven with this line.
const VERSION_MIN: c_int = 3_051_003;
/// Longest wait of one SQLite call for a lock of another process.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Whether a page 1 carries the read-only mark, and is one of WAL mode.
pub(crate) fn has_mark(page_one: &[u8]) -> bool {
    page_one.get(WRITE_VERSION_AT..WRITE_VERSION_AT + 2)
        == Some(&[MARK_WRITE_VERSION, WAL_READ_VERSION])
}

/// Proves that the SQLite in this program can do what applying needs.
///
/// # Errors
/// [`ApplyError::Library`] names what is missing.
pub(crate) fn assert_library() -> Result<(), ApplyError> {
    // SAFETY: takes no argument and only returns a constant.
    let version = unsafe { ffi::sqlite3_libversion_number() };
    if version < VERSION_MIN || version != ffi::SQLITE_VERSION_NUMBER {
        return Err(ApplyError::Library(format!(
            "version {version}, built for {}",
            ffi::SQLITE_VERSION_NUMBER
        )));
    }
    [c"ENABLE_DBPAGE_VTAB", c"ENABLE_SNAPSHOT"].into_iter().try_for_each(|option| {
        // SAFETY: the argument is a terminated string that the call only reads.
        match unsafe { ffi::sqlite3_compileoption_used(option.as_ptr()) } {
            0 => Err(ApplyError::Library(format!(
                "compile option SQLITE_{} is missing",
                option.to_string_lossy()
            ))),
            _ => Ok(()),
        }
    })
}

/// Text encoding of a database, as its header tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// UTF-8, or not chosen yet.
    Utf8,
    /// UTF-16, little-endian.
    Utf16le,
    /// UTF-16, big-endian.
    Utf16be,
}

impl Encoding {
    /// The encoding that a page 1 declares; garbage counts as UTF-8, which SQLite then refuses by itself.
    pub(crate) fn of_page_one(page: &[u8]) -> Self {
        match page.get(ENCODING_AT..ENCODING_AT + 4) {
            Some([0, 0, 0, 2]) => Self::Utf16le,
            Some([0, 0, 0, 3]) => Self::Utf16be,
            _ => Self::Utf8,
        }
    }

    fn pragma(self) -> &'static str {
        match self {
            Self::Utf8 => "PRAGMA encoding='UTF-8'",
            Self::Utf16le => "PRAGMA encoding='UTF-16le'",
            Self::Utf16be => "PRAGMA encoding='UTF-16be'",
        }
    }
}

fn message(connection: &Connection) -> String {
    // SAFETY: the handle is open; the text stays valid until the next call on it and is copied at once.
    unsafe {
        CStr::from_ptr(ffi::sqlite3_errmsg(connection.handle())).to_string_lossy().into_owned()
    }
}

/// Translates rusqlite's error; a lock held elsewhere becomes [`ApplyError::Busy`].
fn sqlite(path: &Path, action: &'static str) -> impl FnOnce(rusqlite::Error) -> ApplyError {
    let path = path.to_owned();
    move |error| match error {
        rusqlite::Error::SqliteFailure(cause, _)
            if matches!(cause.extended_code & 0xff, ffi::SQLITE_BUSY | ffi::SQLITE_LOCKED) =>
        {
            ApplyError::Busy { path, action }
        }
        rusqlite::Error::SqliteFailure(cause, detail) => ApplyError::Sqlite {
            path,
            action,
            code: cause.extended_code,
            detail: detail.unwrap_or_else(|| cause.to_string()),
        },
        other => {
            ApplyError::Sqlite { path, action, code: ffi::SQLITE_ERROR, detail: other.to_string() }
        }
    }
}

fn utf8(path: &Path) -> Result<&str, ApplyError> {
    path.to_str()
        .ok_or_else(|| ApplyError::Unfit(format!("{}: the path is not UTF-8", path.display())))
}
