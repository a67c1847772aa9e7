//! Looking at a database file as if nobody could change it: without locks, `-wal`, `-shm` and journal, whatever stands in them
//! (sqlite.org/uri.html). Changes nothing, and no descriptor that it closes drops locks of other connections of this process.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::{sqlite, utf8};
use crate::error::ApplyError;

/// The first 100 bytes of the file itself.
pub(crate) fn header_in_file(path: &Path) -> Result<Vec<u8>, ApplyError> {
    let sql = "SELECT substr(data, 1, 100) FROM temp.sqlite_dbpage WHERE pgno=1";
    let read = open_immutable(path)?.query_row(sql, [], |row| row.get(0));
    read.map_err(sqlite(path, "reading page 1"))
}

/// Opens a file that nobody changes.
pub(super) fn open_immutable(path: &Path) -> Result<Connection, ApplyError> {
    let uri = format!("file:{}?immutable=1", escaped(utf8(path)?));
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_NOFOLLOW
        | OpenFlags::SQLITE_OPEN_URI;
    Connection::open_with_flags(uri, flags).map_err(sqlite(path, "opening"))
}

/// A path as SQLite's URIs want it: everything that might mean something else there as hex digits.
fn escaped(path: &str) -> String {
    path.bytes().fold(String::with_capacity(path.len()), |mut uri, byte| {
        match byte {
            b'/' | b'.' | b'-' | b'_' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => {
                uri.push(char::from(byte));
            }
            _ => uri += &format!("%{byte:02X}"),
        }
        uri
    })
}
