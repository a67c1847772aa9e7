//! The application of the demo: the schema of its databases, what fills them, and its transactions.
//!
//! What must always hold, so that a reader of any copy can judge it by itself:
//! - the balances add up to [`BALANCE_TOTAL`] at every commit;
//! - `tally` counts the transactions, inside each of them.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, Transaction, TransactionBehavior};
use segment::Millis;

use super::fleet::Content;
use super::random::Random;

const ACCOUNTS: i64 = 50;
const BALANCE: i64 = 1_000;
/// What the balances of a database add up to.
pub const BALANCE_TOTAL: i64 = ACCOUNTS * BALANCE;
/// Random bytes of an item; they are written as twice as many hexadecimal digits, which compress as text does.
const ITEM_BYTES: i64 = 660;
/// Bytes that an item takes in the file, with its row and index entry.
const ITEM_BYTES_STORED: u64 = 1_380;
/// Items added by one statement while a database is filled: the longest time without a look at the stop flag.
const CHUNK_ITEMS: u32 = 8_192;
/// Items of a small database that stands in its WAL.
const WAL_ONLY_ITEMS: u32 = 16;
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS account(id INTEGER PRIMARY KEY, balance INTEGER NOT NULL);
    CREATE TABLE IF NOT EXISTS item(id INTEGER PRIMARY KEY, changes INTEGER NOT NULL, body TEXT NOT NULL);
    CREATE INDEX IF NOT EXISTS item_changes ON item(changes);
    CREATE TABLE IF NOT EXISTS tally(transactions INTEGER NOT NULL);
    CREATE TABLE IF NOT EXISTS probe(id INTEGER PRIMARY KEY, committed_ms INTEGER NOT NULL);";

/// One database as its application has it open.
pub struct Application {
    connection: Connection,
    random: Random,
}

impl Application {
    /// Opens the database; one that is missing or empty gets its schema.
    ///
    /// # Errors
    /// SQLite's.
    pub fn open(path: &Path, seed: u64) -> rusqlite::Result<Self> {
        let connection = Connection::open(path)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;")?;
        let mut application = Self { connection, random: Random::new(seed) };
        if !application.has_schema()? {
            application.write_schema()?;
        }
        Ok(application)
    }

    fn has_schema(&self) -> rusqlite::Result<bool> {
        self.connection.table_exists(None, "tally")
    }

    fn write_schema(&mut self) -> rusqlite::Result<()> {
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(SCHEMA)?;
        transaction.execute_batch(&format!(
            "INSERT INTO tally VALUES (0);
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ACCOUNTS})
             INSERT INTO account SELECT i, {BALANCE} FROM n;"
        ))?;
        add_items(&transaction, 4)?;
        transaction.commit()
    }

    /// One transaction: mostly small changes to a few pages, as applications make them.
    ///
    /// # Errors
    /// SQLite's.
    pub fn transact(&mut self) -> rusqlite::Result<()> {
        let random = &mut self.random;
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        match random.below(10) {
            0..4 => transfer(&transaction, random)?,
            4..7 => add_items(&transaction, 1)?,
            7..9 => change_item(&transaction, random)?,
            _ => delete_item(&transaction, random)?,
        }
        transaction.execute("UPDATE tally SET transactions = transactions + 1", [])?;
        transaction.commit()
    }

    /// Commits a row that says when.
    ///
    /// # Errors
    /// SQLite's.
    pub fn probe(&mut self, now: Millis) -> rusqlite::Result<()> {
        let mut insert =
            self.connection.prepare_cached("INSERT INTO probe(committed_ms) VALUES (?)")?;
        insert.execute([i64::try_from(now.get()).unwrap_or(i64::MAX)])?;
        Ok(())
    }
}

/// Money moves between two accounts: one of two updates without the other would show.
fn transfer(transaction: &Transaction<'_>, random: &mut Random) -> rusqlite::Result<()> {
    let amount = random.below(20);
    let mut update =
        transaction.prepare_cached("UPDATE account SET balance = balance + ? WHERE id = ?")?;
    for change in [-amount, amount] {
        update.execute([change, 1 + random.below(ACCOUNTS)])?;
    }
    Ok(())
}

fn add_items(connection: &Connection, count: u32) -> rusqlite::Result<()> {
    let mut insert = connection.prepare_cached(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
         INSERT INTO item(changes, body) SELECT 0, hex(randomblob(?2)) FROM n",
    )?;
    insert.execute([i64::from(count), ITEM_BYTES])?;
    Ok(())
}

fn change_item(transaction: &Transaction<'_>, random: &mut Random) -> rusqlite::Result<()> {
    let mut update = transaction.prepare_cached(
        "UPDATE item SET changes = changes + 1, body = hex(randomblob(?2))
         WHERE id = (SELECT id FROM item WHERE id >= ?1 ORDER BY id LIMIT 1)",
    )?;
    update.execute([some_item(transaction, random)?, ITEM_BYTES])?;
    Ok(())
}

fn delete_item(transaction: &Transaction<'_>, random: &mut Random) -> rusqlite::Result<()> {
    let mut delete = transaction.prepare_cached(
        "DELETE FROM item WHERE id = (SELECT id FROM item WHERE id >= ?1 ORDER BY id LIMIT 1)",
    )?;
    delete.execute([some_item(transaction, random)?])?;
    Ok(())
}

fn some_item(transaction: &Transaction<'_>, random: &mut Random) -> rusqlite::Result<i64> {
    let mut last = transaction.prepare_cached("SELECT coalesce(max(id), 0) FROM item")?;
    let last: i64 = last.query_row([], |row| row.get(0))?;
    Ok(1 + random.below(last.max(1)))
}

/// Makes the file of a database as it stands before the demo. `proceed` is asked now and then.
///
/// # Errors
/// SQLite's, or the file system's, in words.
pub fn make(path: &Path, content: Content, proceed: &dyn Fn() -> bool) -> Result<(), String> {
    let made = match content {
        Content::Missing => Ok(()),
        Content::Empty => {
            return File::create_new(path).map(drop).map_err(|error| error.to_string());
        }
        Content::WalOnly => make_in_wal(path),
        Content::Bytes(bytes) => make_in_file(path, bytes, proceed),
    };
    made.map_err(|error| error.to_string())
}

/// Without a checkpoint at the end, as an application leaves it that was killed, or still runs.
fn make_in_wal(path: &Path) -> rusqlite::Result<()> {
    let application = Application::open(path, 0)?;
    application.connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    add_items(&application.connection, WAL_ONLY_ITEMS)
}

/// No journal and no fsync while nobody else has the file; WAL only at the end.
fn make_in_file(path: &Path, bytes: u64, proceed: &dyn Fn() -> bool) -> rusqlite::Result<()> {
    let connection = Connection::open(path)?;
    connection.execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;")?;
    let mut application = Application { connection, random: Random::new(0) };
    application.write_schema()?;
    let connection = &application.connection;
    while proceed() {
        let missing = bytes.saturating_sub(size(connection)?);
        if missing == 0 {
            break;
        }
        let items = u32::try_from(missing / ITEM_BYTES_STORED).unwrap_or(CHUNK_ITEMS);
        add_items(connection, items.clamp(1, CHUNK_ITEMS))?;
    }
    connection.execute_batch("PRAGMA journal_mode = WAL;")
}

fn size(connection: &Connection) -> rusqlite::Result<u64> {
    let pragma = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, u32>(0));
    Ok(u64::from(pragma("page_count")?) * u64::from(pragma("page_size")?))
}

/// What the tally of a copy says; `None` where there is no such table yet.
///
/// # Errors
/// SQLite's.
pub fn tally(connection: &Connection) -> rusqlite::Result<Option<i64>> {
    if !connection.table_exists(None, "tally")? {
        return Ok(None);
    }
    number(connection, "SELECT transactions FROM tally").map(Some)
}

/// What the balances of a copy add up to; `None` where there is no such table yet.
///
/// # Errors
/// SQLite's.
pub fn balance_total(connection: &Connection) -> rusqlite::Result<Option<i64>> {
    if !connection.table_exists(None, "account")? {
        return Ok(None);
    }
    number(connection, "SELECT sum(balance) FROM account").map(Some)
}

fn number(connection: &Connection, query: &str) -> rusqlite::Result<i64> {
    connection.query_row(query, [], |row| row.get(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn always() -> bool {
        true
    }

    #[test]
    fn every_transaction_keeps_the_sum_and_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        let mut application = Application::open(&path, 7).unwrap();
        for _ in 0..200 {
            application.transact().unwrap();
        }
        let reader = Connection::open(&path).unwrap();
        assert_eq!(balance_total(&reader).unwrap(), Some(BALANCE_TOTAL));
        assert_eq!(tally(&reader).unwrap(), Some(200));
        let moved: i64 = reader
            .query_row("SELECT count(*) FROM account WHERE balance <> 1000", [], |row| row.get(0))
            .unwrap();
        assert!(moved > 10, "{moved} accounts were touched");
    }

    #[test]
    fn databases_are_made_as_the_fleet_says() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        make(&path("missing"), Content::Missing, &always).unwrap();
        assert!(!path("missing").exists());
        make(&path("empty"), Content::Empty, &always).unwrap();
        assert_eq!(path("empty").metadata().unwrap().len(), 0);
        make(&path("wal"), Content::WalOnly, &always).unwrap();
        let in_wal = path("wal-wal").metadata().unwrap().len();
        assert!(in_wal > path("wal").metadata().unwrap().len(), "{in_wal} bytes in the WAL");
        make(&path("full"), Content::Bytes(3 << 20), &always).unwrap();
        let made = path("full").metadata().unwrap().len();
        assert!((3 << 20..7 << 19).contains(&made), "{made}");
        let reader = Connection::open(path("full")).unwrap();
        let mode: String =
            reader.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
        assert_eq!(mode, "wal");
        assert_eq!(balance_total(&reader).unwrap(), Some(BALANCE_TOTAL));
    }

    #[test]
    fn a_copy_without_tables_has_nothing_to_say() {
        let nothing = Connection::open_in_memory().unwrap();
        assert_eq!((tally(&nothing).unwrap(), balance_total(&nothing).unwrap()), (None, None));
    }
}
