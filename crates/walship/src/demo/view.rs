//! What the fleet looks like at a moment, one row for each tier: from the answers of both programs, from the log, and
//! from what the writers say.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use console::output::{Align, Table, age, bytes, known};
use fleet_log::LogError;
use segment::{DbId, Record, Seq, Table as SegmentTable};
use serde_json::Value;
use store::Store;

use super::fleet::Database;

/// What was put into the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shipped {
    /// Bytes.
    pub bytes: u64,
    /// Objects: of a tier those that hold anything of it, so that one log object counts for several tiers.
    pub objects: u64,
}

/// The log as it grows, read by the headers and tables of its objects.
#[derive(Debug)]
pub struct LogView {
    next: Seq,
    tier_of: BTreeMap<DbId, String>,
    tiers: BTreeMap<String, Shipped>,
    total: Shipped,
}

impl Default for LogView {
    fn default() -> Self {
        Self {
            next: Seq::FIRST,
            tier_of: BTreeMap::new(),
            tiers: BTreeMap::new(),
            total: Shipped::default(),
        }
    }
}

impl LogView {
    /// Reads what has come since the last time.
    ///
    /// # Errors
    /// The log's, but for its end.
    pub fn advance(&mut self, store: &dyn Store) -> Result<(), LogError> {
        loop {
            match fleet_log::table(store, self.next) {
                Ok(table) => self.absorb(&table),
                Err(LogError::Missing { .. }) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    /// All that was shipped.
    #[must_use]
    pub fn total(&self) -> Shipped {
        self.total
    }

    /// What was shipped of a tier.
    #[must_use]
    pub fn of_tier(&self, tier: &str) -> Shipped {
        self.tiers.get(tier).copied().unwrap_or_default()
    }

    fn absorb(&mut self, table: &SegmentTable) {
        self.next = self.next.next();
        self.total.bytes += table.body_offset;
        self.total.objects += 1;
        table.records.iter().for_each(|record| self.absorb_record(record));
        let mut touched = BTreeSet::new();
        for section in &table.sections {
            let inline = section.body.as_ref().map_or(0, |body| body.range.end - body.range.start);
            let side: u64 = section.side.iter().map(|part| part.bytes).sum();
            self.add(section.db, inline + side, section.side.len() as u64);
            touched.extend(self.tier_of.get(&section.db).cloned());
        }
        for tier in touched {
            self.tiers.entry(tier).or_default().objects += 1;
        }
    }

    fn absorb_record(&mut self, record: &Record) {
        match record {
            Record::Announce(announced) => {
                self.tier_of.insert(announced.id, announced.tier.clone());
            }
            Record::Base(base) => self.add(base.db, base.bytes, base.parts.len() as u64),
            _ => {}
        }
    }

    fn add(&mut self, db: DbId, bytes: u64, objects: u64) {
        let of_tier = self.tier_of.get(&db).map(|tier| self.tiers.entry(tier.clone()).or_default());
        for sum in of_tier.into_iter().chain([&mut self.total]) {
            sum.bytes += bytes;
            sum.objects += objects;
        }
    }
}

/// One line of the live table.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row {
    /// The tier.
    pub tier: String,
    /// How many databases it has.
    pub databases: usize,
    /// Transactions that its writers have committed.
    pub transactions: u64,
    /// Age of the oldest commit that is not durable; unknown while the shipper is away.
    pub rpo: Option<Duration>,
    /// Age of the oldest durable commit that the standby lacks; unknown while the follower is away.
    pub lag: Option<Duration>,
    /// Whether the standby has the tier.
    pub is_followed: bool,
    /// What was put into the store for it.
    pub shipped: Shipped,
}

/// The rows of all tiers in the order of the fleet, and their sum.
///
/// `counts` has one number for each database of `fleet`; the answers are those of `status`.
#[must_use]
pub fn rows(
    fleet: &[Database],
    counts: &[u64],
    shipper: Option<&Value>,
    follower: Option<&Value>,
    log: &LogView,
) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for (database, count) in fleet.iter().zip(counts) {
        let at = rows.iter().position(|row| row.tier == database.tier).unwrap_or_else(|| {
            rows.push(new_row(database, log));
            rows.len() - 1
        });
        rows[at].databases += 1;
        rows[at].transactions += count;
    }
    for row in &mut rows {
        row.rpo = oldest(shipper, &row.tier, "rpo_seconds");
        row.lag = oldest(follower, &row.tier, "apply_lag_seconds").filter(|_| row.is_followed);
    }
    rows.push(sum(&rows, log));
    rows
}

fn new_row(database: &Database, log: &LogView) -> Row {
    Row {
        tier: database.tier.clone(),
        is_followed: database.is_followed,
        shipped: log.of_tier(&database.tier),
        ..Row::default()
    }
}

/// The greatest age of a tier's databases; unknown if that of one of them is.
fn oldest(status: Option<&Value>, tier: &str, key: &str) -> Option<Duration> {
    let databases = status?["databases"].as_array()?;
    let ages = databases.iter().filter(|database| database["tier"] == tier);
    let mut seconds = ages.map(|database| database[key].as_f64());
    let greatest = seconds.try_fold(0.0, |greatest: f64, age| age.map(|age| age.max(greatest)))?;
    Duration::try_from_secs_f64(greatest).ok()
}

fn sum(rows: &[Row], log: &LogView) -> Row {
    Row {
        tier: "fleet".to_owned(),
        databases: rows.iter().map(|row| row.databases).sum(),
        transactions: rows.iter().map(|row| row.transactions).sum(),
        rpo: greatest(rows.iter().map(|row| row.rpo)),
        lag: greatest(rows.iter().filter(|row| row.is_followed).map(|row| row.lag)),
        is_followed: true,
        shipped: log.total(),
    }
}

/// Unknown if one of them is.
fn greatest(mut ages: impl Iterator<Item = Option<Duration>>) -> Option<Duration> {
    ages.try_fold(Duration::ZERO, |greatest, age| age.map(|age| age.max(greatest)))
}

/// The table for people.
#[must_use]
pub fn table(rows: &[Row]) -> String {
    use Align::{Left, Right};
    let mut table = Table::new([
        ("TIER", Left),
        ("DATABASES", Right),
        ("TRANSACTIONS", Right),
        ("RPO NOW", Right),
        ("APPLY LAG", Right),
        ("BYTES", Right),
        ("OBJECTS", Right),
    ]);
    for row in rows {
        table.row([
            row.tier.clone(),
            row.databases.to_string(),
            row.transactions.to_string(),
            known(row.rpo, age),
            if row.is_followed { known(row.lag, age) } else { "-".to_owned() },
            bytes(row.shipped.bytes),
            row.shipped.objects.to_string(),
        ]);
    }
    table.to_string()
}

/// The sum in one line, for logs.
#[must_use]
pub fn line(rows: &[Row]) -> String {
    let Some(row) = rows.last() else { return String::new() };
    format!(
        "{} transactions, RPO {}, apply lag {}, {} in {} objects",
        row.transactions,
        known(row.rpo, age),
        known(row.lag, age),
        bytes(row.shipped.bytes),
        row.shipped.objects
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn rows_are_the_tiers_and_their_sum() {
        let fleet = super::super::fleet::fleet(8, false).unwrap();
        let shipper = json!({ "databases": [
            { "tier": "p0-critical", "rpo_seconds": 0.25 },
            { "tier": "p0-critical", "rpo_seconds": 0.5 },
            { "tier": "p2", "rpo_seconds": null },
        ]});
        let follower = json!({ "databases": [{ "tier": "p1", "apply_lag_seconds": 1.5 }] });
        let counts = vec![2; 8];
        let rows = rows(&fleet, &counts, Some(&shipper), Some(&follower), &LogView::default());
        let tiers: Vec<&str> = rows.iter().map(|row| row.tier.as_str()).collect();
        assert_eq!(tiers, ["p0-critical", "p0-financial", "p1", "p2", "fleet"]);
        assert_eq!(rows[0].rpo, Some(Duration::from_millis(500)));
        assert_eq!(rows[3].rpo, None);
        assert_eq!(rows[4].rpo, None, "the fleet's is not known if one is not");
        assert_eq!(rows[4].lag, Some(Duration::from_millis(1_500)));
        assert_eq!((rows[4].databases, rows[4].transactions), (8, 16));
        let text = table(&rows);
        assert!(text.lines().all(|line| line.chars().count() < 80), "{text}");
        assert!(
            line(&rows).starts_with("16 transactions, RPO ?, apply lag 1.5 s"),
            "{}",
            line(&rows)
        );
    }

    #[test]
    fn a_program_that_is_away_makes_its_column_unknown() {
        let fleet = super::super::fleet::fleet(4, false).unwrap();
        let rows = rows(&fleet, &[0; 4], None, None, &LogView::default());
        assert!(rows.iter().all(|row| row.rpo.is_none() && row.lag.is_none()));
        let table = table(&rows);
        let p2 = table.lines().find(|line| line.starts_with("p2")).unwrap();
        assert!(p2.contains('-') && p2.contains('?'), "{p2}");
    }
}
