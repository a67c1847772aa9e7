//! An application with invariants that hold at every commit, and readers that judge any copy of its database by them.
//!
//! At every commit: the accounts of a bank add up to the same sum, all 160 rows of a wide update have the same number,
//! and that number is the count of commits. So a reader of a copy sees by itself whether a state is whole, whether it
//! goes backwards, and whether it stands still.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::sqlites::Sqlite;
use crate::talk::Talk;

/// How a reader reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// Every read on a connection of its own.
    Fresh,
    /// All reads on one connection with a cache that holds all pages.
    Warm,
    /// Transactions that stay open for a second and must not see anything change meanwhile.
    Long,
}

impl Reading {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Fresh, Self::Warm, Self::Long];

    fn word(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Warm => "warm",
            Self::Long => "long",
        }
    }
}

/// A process of `ledger.py`: a writer or a reader. Dropping it kills it.
#[derive(Debug)]
pub struct Ledger {
    talk: Talk,
    /// Its report, where it came as the answer to something else.
    told: Option<String>,
}

impl Ledger {
    /// Starts a writer and waits until the database has its schema. `options` are those of `ledger.py`.
    #[must_use]
    pub fn write(database: &Path, options: &Value) -> Self {
        let mut ledger = Self::start("write", database, options);
        assert_eq!(ledger.talk.hear(), "ready", "the writer of {}", database.display());
        ledger
    }

    /// Writes so many commits and returns the count of all commits of the database.
    pub fn commit(database: &Path, commits: u64) -> u64 {
        let report = Self::write(database, &json!({"commits": commits})).finish();
        report["commits"].as_u64().expect("a number")
    }

    /// Starts a reader. It waits for the database if it is not there yet.
    #[must_use]
    pub fn read(database: &Path, reading: Reading) -> Self {
        Self::read_with(database, reading, Duration::from_secs(1))
    }

    /// Starts a reader whose long transactions stay open for `hold`.
    #[must_use]
    pub fn read_with(database: &Path, reading: Reading, hold: Duration) -> Self {
        let options = json!({"kind": reading.word(), "hold": hold.as_secs_f64()});
        Self::start("read", database, &options)
    }

    /// Starts a reader with another SQLite than Python's own. It pauses between reads: many are to run side by side.
    #[must_use]
    pub fn read_by(sqlite: &Sqlite, database: &Path, reading: Reading) -> Self {
        let options = json!({"kind": reading.word(), "sqlite": sqlite.word(), "pause": 0.005});
        Self::start("read", database, &options)
    }

    fn start(role: &str, database: &Path, options: &Value) -> Self {
        let options = options.to_string();
        let arguments = [role.as_ref(), database.as_ref(), options.as_ref()];
        Self { talk: Talk::start("ledger.py", &arguments), told: None }
    }

    /// Waits until the reader has seen this many commits; false when it ended before, by what its report tells.
    pub fn sees(&mut self, commits: u64) -> bool {
        self.talk.say(&commits.to_string());
        let answer = self.talk.hear();
        let is_seen = answer == format!("seen {commits}");
        self.told = (!is_seen).then_some(answer);
        is_seen
    }

    /// Ends it in order, and returns its report.
    pub fn stop(mut self) -> Value {
        self.talk.hang_up();
        self.finish()
    }

    /// Waits for the end of a writer that ends by itself, and returns its report.
    pub fn finish(mut self) -> Value {
        self.report()
    }

    /// The report of one that ends, or has ended, by itself.
    pub fn report(&mut self) -> Value {
        loop {
            let line = self.told.take().unwrap_or_else(|| self.talk.hear());
            assert!(!line.is_empty(), "it ended without a report: {}", self.talk.end());
            if let Ok(report @ Value::Object(_)) = serde_json::from_str(&line) {
                return report;
            }
        }
    }

    /// kill -9.
    pub fn kill(self) {
        self.talk.kill();
    }
}
