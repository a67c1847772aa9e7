//! Test support: real SQLite databases that are changed at random, and the pages they consist of.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::Connection;
use segment::{Checksum, Name, PageHashes, PageNo, PageSize, page_hash};
use store::clock::SystemClock;

use crate::error::ApplyError;
use crate::heal::Place;
use crate::replica::{Sink, Target, files};

/// A small deterministic generator (xorshift64*), so that a printed seed repeats a run.
#[derive(Clone, Debug)]
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        (self.next() >> 11) % bound
    }
}

/// How much a long test does: `WALSHIP_TEST_SCALE` (default 1; the long form is 20 and more).
#[expect(clippy::disallowed_methods, reason = "the one parameter of long tests")]
pub(crate) fn scale() -> u64 {
    std::env::var("WALSHIP_TEST_SCALE").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

/// All pages of a database at one instant, normalised as capture ships them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Image {
    pub(crate) page_size: PageSize,
    pub(crate) pages: Vec<Vec<u8>>,
}

impl Image {
    pub(crate) fn of(path: &Path) -> Self {
        let connection = Connection::open(path).unwrap();
        connection.execute_batch("PRAGMA writable_schema=ON; BEGIN").unwrap();
        let mut statement = connection.prepare("SELECT data FROM temp.sqlite_dbpage").unwrap();
        let pages: Vec<Vec<u8>> =
            statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        drop(statement);
        Self::normalised(pages)
    }

    fn normalised(mut pages: Vec<Vec<u8>>) -> Self {
        let page_size = PageSize::new(pages[0].len() as u32).unwrap();
        let count = (pages.len() as u32).to_be_bytes();
        pages[0][28..32].copy_from_slice(&count);
        pages[0].copy_within(24..28, 92);
        Self { page_size, pages }
    }

    pub(crate) fn hashes(&self) -> PageHashes {
        let mut hashes = PageHashes::new(self.page_size);
        self.numbered().for_each(|(page, image)| hashes.set(page, page_hash(page, image)));
        hashes
    }

    pub(crate) fn checksum(&self) -> Checksum {
        self.hashes().checksum()
    }

    pub(crate) fn numbered(&self) -> impl Iterator<Item = (PageNo, &[u8])> {
        (1..).map_while(PageNo::new).zip(self.pages.iter().map(Vec::as_slice))
    }

    /// Pages that are new or different in comparison with `former`.
    pub(crate) fn changes_since(&self, former: &Self) -> Vec<(PageNo, Vec<u8>)> {
        let lock = self.page_size.lock_page();
        let is_new = |(page, image): &(PageNo, &[u8])| {
            former.page_size != self.page_size
                || former.pages.get(page.get() as usize - 1).is_none_or(|old| old != image)
        };
        self.numbered()
            .filter(is_new)
            .filter(|(page, _)| *page != lock)
            .map(|(page, image)| (page, image.to_vec()))
            .collect()
    }

    pub(crate) fn target(&self, before: Option<Checksum>, label: &str) -> Target {
        Target {
            before,
            after: self.checksum(),
            pages: self.pages.len() as u32,
            label: label.to_owned(),
            keeps_overwritten: false,
        }
    }
}

/// Hands a list of pages to a sink, the last one first.
pub(crate) fn give(pages: &[(PageNo, Vec<u8>)], sink: &mut Sink<'_>) -> Result<(), ApplyError> {
    pages.iter().rev().try_for_each(|(page, image)| sink(*page, image))
}

/// A database that an application would have, changed at random.
pub(crate) struct Source {
    pub(crate) path: PathBuf,
    pub(crate) connection: Connection,
    pub(crate) rng: Rng,
    step: u64,
}

impl Source {
    pub(crate) fn create(path: &Path, page_size: u32, encoding: &str, seed: u64) -> Self {
        let connection = Connection::open(path).unwrap();
        let schema = format!(
            "PRAGMA page_size={page_size}; PRAGMA encoding='{encoding}'; PRAGMA auto_vacuum=2; PRAGMA journal_mode=WAL; \
             PRAGMA synchronous=OFF; PRAGMA wal_autocheckpoint=300; \
             CREATE TABLE data(id INTEGER PRIMARY KEY, v INTEGER, b BLOB, t TEXT, g AS (v*2) STORED, h AS (v+1)); \
             CREATE INDEX data_v ON data(v); CREATE INDEX data_g ON data(g) WHERE v > 100; \
             CREATE TABLE invariant(n INTEGER, rows INTEGER, total INTEGER); INSERT INTO invariant VALUES(0, 0, 0);"
        );
        connection.execute_batch(&schema).unwrap();
        Self { path: path.to_owned(), connection, rng: Rng::new(seed), step: 0 }
    }

    /// One change of any kind; statements that make no sense at the moment are replaced by another try.
    pub(crate) fn mutate(&mut self) {
        self.step += 1;
        for _ in 0..200 {
            let statement = self.statement();
            match self.connection.execute_batch(&statement) {
                Ok(()) => return,
                Err(_) if self.connection.is_autocommit() => {}
                Err(_) => self.connection.execute_batch("ROLLBACK").unwrap(),
            }
        }
        panic!("no statement fits");
    }

    /// Some rows in one commit.
    pub(crate) fn insert(&mut self, rows: u64) {
        self.step += 1;
        let inner = format!(
            "INSERT INTO data(v, b, t) WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM s WHERE i<{rows}) \
             SELECT abs(random())%10000, randomblob(100), 'row' FROM s"
        );
        self.connection.execute_batch(&self.committed(&inner)).unwrap();
    }

    /// One row of many bytes in one commit.
    pub(crate) fn grow(&mut self, bytes: u64) {
        self.step += 1;
        let inner =
            format!("INSERT INTO data(v, b, t) VALUES({}, randomblob({bytes}), 'big')", self.step);
        self.connection.execute_batch(&self.committed(&inner)).unwrap();
    }

    /// The number in the invariant's row: the last step that changed it.
    pub(crate) fn steps(&self) -> u64 {
        let steps: u32 =
            self.connection.query_row("SELECT n FROM invariant", [], |row| row.get(0)).unwrap();
        steps.into()
    }

    fn committed(&self, inner: &str) -> String {
        format!(
            "BEGIN; {inner}; UPDATE invariant SET n={}, rows=(SELECT count(*) FROM data), \
             total=(SELECT coalesce(sum(v+length(b)), 0) FROM data); COMMIT",
            self.step
        )
    }

    fn statement(&mut self) -> String {
        let choice = self.rng.below(100);
        match choice {
            0..=1 => "VACUUM".into(),
            2..=3 => format!("PRAGMA auto_vacuum={}; VACUUM", self.rng.below(3)),
            4..=6 => format!(
                "PRAGMA auto_vacuum={}; PRAGMA user_version={}",
                1 + self.rng.below(2),
                self.step
            ),
            7..=10 => format!("PRAGMA incremental_vacuum({})", self.rng.below(200)),
            11 => "PRAGMA journal_mode=DELETE; PRAGMA user_version=7".into(),
            12..=13 => "PRAGMA journal_mode=WAL; PRAGMA user_version=8".into(),
            14..=15 => "PRAGMA wal_checkpoint(TRUNCATE); PRAGMA user_version=9".into(),
            _ => {
                let inner = self.transaction(choice);
                self.committed(&inner)
            }
        }
    }

    fn transaction(&mut self, choice: u64) -> String {
        const SERIES: &str =
            "WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM s WHERE i<";
        let (table, step) = (self.rng.below(12), self.step);
        match choice {
            16..=20 => format!(
                "CREATE TABLE t{table}(a INTEGER PRIMARY KEY, b, c); INSERT INTO t{table}(b, c) {SERIES}{}) SELECT randomblob(50), i FROM s",
                1 + self.rng.below(300)
            ),
            21..=26 => format!("DROP TABLE t{table}"),
            27..=29 => format!("CREATE INDEX t{table}_i{step} ON t{table}(c, b)"),
            30..=31 => format!(
                "ALTER TABLE t{table} ADD COLUMN n{step} TEXT DEFAULT 'q'; UPDATE t{table} SET n{step}=hex(randomblob(30)) WHERE a%7=0"
            ),
            32..=33 => format!(
                "CREATE TABLE w{table}(k TEXT PRIMARY KEY, v BLOB) WITHOUT ROWID; INSERT INTO w{table} {SERIES}200) SELECT hex(randomblob(20)), zeroblob(i) FROM s"
            ),
            34..=35 => format!("DROP TABLE w{table}"),
            36..=37 => format!(
                "CREATE VIRTUAL TABLE IF NOT EXISTS ft USING fts5(x); INSERT INTO ft {SERIES}100) SELECT hex(randomblob(8))||' hello '||i FROM s"
            ),
            38 => "DROP TABLE ft".into(),
            39 => "CREATE VIRTUAL TABLE IF NOT EXISTS rt USING rtree(id, a, b); INSERT INTO rt(a, b) SELECT v%1000, v%1000+5 FROM data LIMIT 50".into(),
            40..=41 => format!("INSERT INTO data(v, b, t) VALUES({step}, randomblob({}), 'big')", 50_000 + self.rng.below(400_000)),
            42..=45 => "DELETE FROM data WHERE length(b)>20000".into(),
            46 => "DELETE FROM data WHERE id%10<>0; DROP TABLE IF EXISTS t1; DROP TABLE IF EXISTS t2; DROP TABLE IF EXISTS t3".into(),
            47 => format!("CREATE VIEW IF NOT EXISTS vw{table} AS SELECT a, b FROM t{table}; CREATE TRIGGER tr{step} AFTER INSERT ON t{table} BEGIN SELECT 1; END"),
            48 => "REINDEX; ANALYZE".into(),
            49 => format!("ALTER TABLE t{table} RENAME TO t{}", self.rng.below(12)),
            50..=60 => format!(
                "UPDATE data SET v=v+{}, b=randomblob(length(b)) WHERE id%{}={} AND length(b)<20000",
                self.rng.below(100), 5 + self.rng.below(20), self.rng.below(5)
            ),
            61..=70 => format!("DELETE FROM data WHERE id%{}={}", 9 + self.rng.below(20), self.rng.below(9)),
            _ => format!(
                "INSERT INTO data(v, b, t) {SERIES}{}) SELECT abs(random())%10000, randomblob(abs(random())%{}), hex(randomblob(20)) FROM s",
                1 + self.rng.below(60), 10 + self.rng.below(2_000)
            ),
        }
    }

    pub(crate) fn image(&self) -> Image {
        Image::of(&self.path)
    }
}

/// `integrity_check` on a fresh connection: a warm one reports false mismatches for FTS5.
pub(crate) fn integrity(path: &Path) -> String {
    let connection = Connection::open(path).unwrap();
    connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap()
}

/// The place of a database in `folder`, with a folder of its own for what is remembered.
pub(crate) fn place(folder: &Path, name: Name) -> Place {
    let state_dir = folder.join("state");
    std::fs::create_dir_all(state_dir.join("replicas")).unwrap();
    let path = files::database(folder, &name);
    Place { name, path, formers: Vec::new(), state_dir, clock: Arc::new(SystemClock) }
}
