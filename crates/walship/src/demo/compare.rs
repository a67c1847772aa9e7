//! Comparing the two sides of a database, page by page, through SQLite.
//!
//! Two copies are equal if every page has the same hash (bytes that SQLite or the read-only mark change on their own
//! left out, as in the database checksum), SQLite finds nothing wrong with the copy, and the copy has counted every
//! transaction that the writers were told is committed. The last is judged from another side than the pages: two
//! copies may be equal and both lack what an application believes to be safe.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use rusqlite::{Connection, OpenFlags};
use segment::{PageHashes, PageNo, PageSize, page_hash};

use super::application::tally;

/// Threads that compare.
const THREADS: usize = 2;

/// A pair of files that must hold the same.
#[derive(Clone, Debug)]
pub struct Pair<'a> {
    /// The live database.
    pub primary: &'a Path,
    /// Its copy.
    pub copy: &'a Path,
    /// Transactions that its writer has committed.
    pub transactions: u64,
    /// Whether a copy without content must be there as a file of 0 bytes.
    pub copy_must_exist: bool,
}

/// What both sides hold, if it is the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Equal {
    /// Pages.
    pub pages: u64,
    /// Bytes.
    pub bytes: u64,
}

/// Compares all pairs; the answers are in their order. Ends early, with fewer answers, where `proceed` says no.
pub fn compare_all(
    pairs: &[Pair<'_>],
    proceed: &(dyn Fn() -> bool + Sync),
) -> Vec<Result<Equal, String>> {
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::with_capacity(pairs.len()));
    let work = || {
        while proceed()
            && let number = next.fetch_add(1, Ordering::Relaxed)
            && let Some(pair) = pairs.get(number)
        {
            let result = compare(pair);
            results.lock().push((number, result));
        }
    };
    std::thread::scope(|scope| (0..THREADS).for_each(|_| drop(scope.spawn(work))));
    let mut results = results.into_inner();
    results.sort_by_key(|(number, _)| *number);
    results.into_iter().map(|(_, result)| result).collect()
}

/// Compares one pair.
///
/// # Errors
/// What differs, in words.
pub fn compare(pair: &Pair<'_>) -> Result<Equal, String> {
    let primary = Image::of(pair.primary).map_err(|error| format!("the primary: {error}"))?;
    let copy = Image::of(pair.copy).map_err(|error| format!("the copy: {error}"))?;
    match (primary, copy) {
        (None, None) if pair.copy_must_exist && !pair.copy.exists() => {
            Err("the copy should be a file of 0 bytes, but is missing".to_owned())
        }
        (None, None) => Ok(Equal::default()),
        (Some(_), None) => Err("the copy has no content".to_owned()),
        (None, Some(_)) => Err("the copy has content, the primary has none".to_owned()),
        (Some(primary), Some(copy)) => judge(&primary, &copy, pair.transactions),
    }
}

fn judge(primary: &Image, copy: &Image, transactions: u64) -> Result<Equal, String> {
    if let Some(difference) = difference(&primary.hashes, &copy.hashes) {
        return Err(difference);
    }
    let counted = copy.tally.unwrap_or(0);
    if u64::try_from(counted) != Ok(transactions) {
        return Err(format!("{transactions} transactions were committed, the copy has {counted}"));
    }
    match &*copy.integrity {
        "ok" => Ok(Equal {
            pages: u64::from(copy.hashes.page_count()),
            bytes: u64::from(copy.hashes.page_count()) * u64::from(copy.hashes.page_size().get()),
        }),
        found => Err(format!("integrity_check of the copy: {found}")),
    }
}

fn difference(primary: &PageHashes, copy: &PageHashes) -> Option<String> {
    if primary.page_size() != copy.page_size() {
        let sizes = [primary, copy].map(|hashes| hashes.page_size().get());
        return Some(format!("pages of {} bytes, {} in the copy", sizes[0], sizes[1]));
    }
    if primary.page_count() != copy.page_count() {
        return Some(format!("{} pages, {} in the copy", primary.page_count(), copy.page_count()));
    }
    let pairs = primary.iter().zip(copy.iter());
    let differing: Vec<PageNo> =
        pairs.filter(|(primary, copy)| primary != copy).map(|((page, _), _)| page).collect();
    let first = differing.first()?;
    Some(format!("{} pages differ, the first is page {first}", differing.len()))
}

/// What one side holds at one instant.
struct Image {
    hashes: PageHashes,
    tally: Option<i64>,
    integrity: String,
}

impl Image {
    /// Reads a file that may be missing or empty.
    fn of(path: &Path) -> Result<Option<Self>, String> {
        if !path.exists() {
            return Ok(None);
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags).map_err(words)?;
        connection.execute_batch("BEGIN").map_err(words)?;
        let pages: u32 = pragma(&connection, "page_count")?;
        if pages == 0 {
            return Ok(None);
        }
        Ok(Some(Self {
            hashes: hashes(&connection)?,
            tally: tally(&connection).map_err(words)?,
            integrity: pragma(&connection, "integrity_check")?,
        }))
    }
}

fn hashes(connection: &Connection) -> Result<PageHashes, String> {
    let page_size: u32 = pragma(connection, "page_size")?;
    let page_size = PageSize::new(page_size).ok_or("a page size that cannot be")?;
    let mut hashes = PageHashes::new(page_size);
    let mut select =
        connection.prepare("SELECT pgno, data FROM sqlite_dbpage ORDER BY pgno").map_err(words)?;
    let mut rows = select.query([]).map_err(words)?;
    while let Some(row) = rows.next().map_err(words)? {
        let page = PageNo::new(row.get(0).map_err(words)?).ok_or("a page without a number")?;
        let data =
            row.get_ref(1).map_err(words)?.as_blob_or_null().map_err(|error| error.to_string())?;
        hashes.set(page, data.map_or(0, |data| page_hash(page, data)));
    }
    Ok(hashes)
}

fn pragma<T: rusqlite::types::FromSql>(connection: &Connection, name: &str) -> Result<T, String> {
    connection.pragma_query_value(None, name, |row| row.get(0)).map_err(words)
}

fn words(error: rusqlite::Error) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::super::application::Application;
    use super::*;
    use std::path::PathBuf;

    fn pair(folder: &Path) -> (PathBuf, PathBuf) {
        let (primary, copy) = (folder.join("primary.db"), folder.join("copy.db"));
        let mut application = Application::open(&primary, 1).unwrap();
        (0..30).for_each(|_| application.transact().unwrap());
        drop(application);
        std::fs::copy(&primary, &copy).unwrap();
        (primary, copy)
    }

    fn result(primary: &Path, copy: &Path, transactions: u64) -> Result<Equal, String> {
        let pairs = [Pair { primary, copy, transactions, copy_must_exist: true }];
        compare_all(&pairs, &|| true).remove(0)
    }

    #[test]
    fn equal_copies_are_equal_whatever_journal_mode_they_show() {
        let folder = tempfile::tempdir().unwrap();
        let (primary, copy) = pair(folder.path());
        let equal = result(&primary, &copy, 30).unwrap();
        assert!(equal.pages > 5 && equal.bytes == equal.pages * 4_096, "{equal:?}");
        let connection = Connection::open(&copy).unwrap();
        connection.execute_batch("PRAGMA journal_mode = DELETE").unwrap();
        drop(connection);
        assert_eq!(result(&primary, &copy, 30), Ok(equal));
    }

    #[test]
    fn one_row_is_enough_to_differ() {
        let folder = tempfile::tempdir().unwrap();
        let (primary, copy) = pair(folder.path());
        Connection::open(&copy)
            .unwrap()
            .execute("UPDATE account SET balance = 7 WHERE id = 7", [])
            .unwrap();
        let error = result(&primary, &copy, 30).unwrap_err();
        assert!(error.starts_with("1 pages differ, the first is page"), "{error}");
    }

    #[test]
    fn a_transaction_that_nobody_has_is_missed() {
        let folder = tempfile::tempdir().unwrap();
        let (primary, copy) = pair(folder.path());
        let error = result(&primary, &copy, 31).unwrap_err();
        assert_eq!(error, "31 transactions were committed, the copy has 30");
    }

    #[test]
    fn files_without_content_are_compared_too() {
        let folder = tempfile::tempdir().unwrap();
        let (full, other) = pair(folder.path());
        let (missing, empty) = (folder.path().join("missing"), folder.path().join("empty"));
        std::fs::write(&empty, b"").unwrap();
        assert_eq!(result(&missing, &empty, 0), Ok(Equal::default()));
        assert_eq!(result(&empty, &empty, 0), Ok(Equal::default()));
        assert!(result(&missing, &missing, 0).unwrap_err().contains("is missing"));
        assert!(result(&full, &empty, 30).unwrap_err().contains("no content"));
        assert!(result(&empty, &other, 0).unwrap_err().contains("has content"));
    }
}
