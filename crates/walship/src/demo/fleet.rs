//! The reference fleet: which databases the demo makes, how large, and how often each is written.
//!
//! The table is the project's own `config/fleet.csv`, compiled in, so that the program needs no file beside it.

use std::collections::BTreeMap;
use std::time::Duration;

use segment::Name;

const TABLE: &str = include_str!("../../../../config/fleet.csv");
/// Databases up to this size keep it in the small fleet.
const SMALL_BYTES: u64 = 64 << 10;
/// What lies above shrinks to this share: the fleet of 1 GB becomes one of about 20 MB.
const SHRINK: u64 = 64;
/// More would need more descriptors than systems usually grant.
pub const DATABASES_MAX: usize = 2_000;

/// What stands in a database when the demo begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// No file: the application makes it with its first transaction.
    Missing,
    /// A file of 0 bytes, likewise.
    Empty,
    /// A small database whose content stands in its WAL only.
    WalOnly,
    /// A database of about this many bytes.
    Bytes(u64),
}

/// One database of the fleet.
#[derive(Clone, Debug, PartialEq)]
pub struct Database {
    /// Its name; its file is `NAME.db`.
    pub name: Name,
    /// Its tier.
    pub tier: String,
    /// What it holds at first.
    pub content: Content,
    /// How often its changes are flushed.
    pub sync_interval: String,
    /// Whether the standby follows it.
    pub is_followed: bool,
    /// Transactions a second under the fleet's stress load.
    pub rate: f64,
}

impl Database {
    /// The time between two transactions.
    #[must_use]
    pub fn period(&self) -> Duration {
        Duration::from_secs_f64(1.0 / self.rate)
    }

    /// The name of its file.
    #[must_use]
    pub fn file_name(&self) -> String {
        format!("{}.db", self.name)
    }
}

/// The first `count` databases of a fleet in which every tier has its share; past the end of the table its rows come
/// again under other names.
///
/// # Errors
/// What is wrong with the table.
pub fn fleet(count: usize, full: bool) -> Result<Vec<Database>, String> {
    let table = parse(TABLE)?;
    let mut chosen = spread(&table, count.min(table.len()));
    for number in chosen.len()..count {
        chosen.push(again(&table[number % table.len()], number / table.len() + 1)?);
    }
    if !full {
        chosen.iter_mut().for_each(|database| database.content = smaller(database.content));
    }
    Ok(chosen)
}

/// How many databases the reference fleet has.
///
/// # Errors
/// What is wrong with the table.
pub fn reference_count() -> Result<usize, String> {
    parse(TABLE).map(|table| table.len())
}

fn again(database: &Database, number: usize) -> Result<Database, String> {
    let name = format!("{}-{number}", database.name);
    let name = Name::parse(&name).map_err(|error| error.to_string())?;
    Ok(Database { name, ..database.clone() })
}

fn smaller(content: Content) -> Content {
    match content {
        Content::Bytes(bytes) if bytes > SMALL_BYTES => {
            Content::Bytes(SMALL_BYTES + (bytes - SMALL_BYTES) / SHRINK)
        }
        other => other,
    }
}

/// Takes `count` rows so that every tier gives the same share of its own, at least one where there is room.
fn spread(table: &[Database], count: usize) -> Vec<Database> {
    let mut sizes: BTreeMap<&str, usize> = BTreeMap::new();
    let ranks: Vec<usize> = table.iter().map(|row| next_rank(&mut sizes, &row.tier)).collect();
    let mut order: Vec<usize> = (0..table.len()).collect();
    // rank / size of the tier, compared without fractions; the sort is stable, so that ties keep the table's order.
    order.sort_by_key(|&index| ranks[index] * 10_000 / sizes[table[index].tier.as_str()]);
    order.truncate(count);
    order.sort_unstable();
    order.into_iter().map(|index| table[index].clone()).collect()
}

fn next_rank<'a>(sizes: &mut BTreeMap<&'a str, usize>, tier: &'a str) -> usize {
    let size = sizes.entry(tier).or_default();
    *size += 1;
    *size - 1
}

fn parse(text: &str) -> Result<Vec<Database>, String> {
    let rows = text.lines().enumerate().skip(1).filter(|(_, line)| !line.trim().is_empty());
    rows.map(|(number, line)| {
        row(line, number).map_err(|what| format!("line {}: {what}: {line}", number + 1))
    })
    .collect()
}

/// `name,tier,bytes,writes,retention,sync_interval,standby,tx_per_second_plan,tx_per_second_stress`
fn row(line: &str, number: usize) -> Result<Database, String> {
    let cells: Vec<&str> = line.trim().split(',').collect();
    let [name, tier, bytes, _, _, sync_interval, standby, _, rate] = cells[..] else {
        return Err("not nine cells".to_owned());
    };
    Ok(Database {
        name: Name::parse(name).map_err(|error| error.to_string())?,
        tier: tier.to_owned(),
        content: content(bytes, number)?,
        sync_interval: sync_interval.to_owned(),
        is_followed: standby == "yes",
        rate: rate.parse().ok().filter(|rate: &f64| *rate > 0.0).ok_or("no rate")?,
    })
}

/// `0` stands for a file that is missing or empty: both occur, by the number of the row.
fn content(bytes: &str, number: usize) -> Result<Content, String> {
    match bytes {
        "wal-only" => Ok(Content::WalOnly),
        "0" if number.is_multiple_of(2) => Ok(Content::Missing),
        "0" => Ok(Content::Empty),
        bytes => bytes.parse().map(Content::Bytes).map_err(|_| "no size".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn tiers(fleet: &[Database]) -> BTreeSet<&str> {
        fleet.iter().map(|database| database.tier.as_str()).collect()
    }

    fn bytes(fleet: &[Database]) -> u64 {
        let sizes = fleet.iter().map(|database| match database.content {
            Content::Bytes(bytes) => bytes,
            _ => 0,
        });
        sizes.sum()
    }

    #[test]
    fn the_reference_fleet_is_whole() {
        let full = fleet(reference_count().unwrap(), true).unwrap();
        assert_eq!(full.len(), 69);
        assert_eq!(tiers(&full).len(), 4);
        assert!((1.0e9..1.1e9).contains(&(bytes(&full) as f64)), "{}", bytes(&full));
        let rate: f64 = full.iter().map(|database| database.rate).sum();
        assert!((90.0..105.0).contains(&rate), "{rate}");
        for content in [Content::Missing, Content::Empty, Content::WalOnly] {
            assert!(full.iter().any(|database| database.content == content), "{content:?}");
        }
        assert_eq!(full.iter().filter(|database| !database.is_followed).count(), 10);
    }

    #[test]
    fn the_small_fleet_has_small_files() {
        let small = fleet(69, false).unwrap();
        assert!(bytes(&small) < 32 << 20, "{}", bytes(&small));
        let tiny = small.iter().find(|database| database.name.as_str() == "tasks").unwrap();
        assert_eq!(tiny.content, Content::Bytes(4_096));
    }

    #[test]
    fn few_databases_are_of_every_tier_and_many_have_names_of_their_own() {
        for count in [4, 6, 20] {
            let few = fleet(count, false).unwrap();
            assert_eq!((few.len(), tiers(&few).len()), (count, 4));
        }
        let many = fleet(200, false).unwrap();
        let names: BTreeSet<String> = many.iter().map(|database| database.name.key()).collect();
        assert_eq!(names.len(), 200);
        assert!(names.contains("mission-control-3"), "{names:?}");
    }

    #[test]
    fn a_broken_row_is_named() {
        let error = parse("head\nx,p1,many,low,1h,1s,yes,1,1\n").unwrap_err();
        assert!(error.starts_with("line 2: no size"), "{error}");
        assert!(parse("head\nx,p1,0,low,1h,1s,yes,1,0\n").is_err());
        assert!(parse("head\nx,p1\n").is_err());
    }
}
