//! What a restore will read and write, and about how long it will take: pure arithmetic over opened images.

use std::collections::BTreeSet;
use std::time::Duration;

use segment::{Name, ObjectName};
use serde::Serialize;

use crate::image::{ImageFacts, Layer};

/// Bytes a second that a restore writes where the store is not the bottleneck: measured with a local folder on two
/// cores (decoding, writing, fsync and the proof of the file).
const BYTES_PER_SECOND: u64 = 250_000_000;

/// The figures of one database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DatabasePlan {
    /// The database.
    pub name: Name,
    /// Objects that are read for it.
    pub objects: usize,
    /// Bytes that are read for it.
    pub read_bytes: u64,
    /// Bytes of the file.
    pub write_bytes: u64,
}

/// The figures of a whole restore.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Plan {
    /// Distinct objects that are read.
    pub objects: usize,
    /// Reads of objects, or of ranges of them.
    pub reads: usize,
    /// Bytes that are read.
    pub read_bytes: u64,
    /// Bytes that are written.
    pub write_bytes: u64,
    /// About how long it takes.
    pub expected_seconds: f64,
    /// Each database by itself.
    pub databases: Vec<DatabasePlan>,
}

/// What one read costs before its first byte comes, and how many run at once.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// The time of one small read.
    pub latency: Duration,
    /// Reads at once.
    pub reads_at_once: u32,
}

/// Adds up what the images need.
#[must_use]
pub fn plan<'a>(
    images: impl IntoIterator<Item = (&'a ImageFacts, &'a [Layer])>,
    pace: Pace,
) -> Plan {
    let mut objects: BTreeSet<&ObjectName> = BTreeSet::new();
    let (mut databases, mut reads) = (Vec::new(), 0);
    for (facts, layers) in images {
        let pieces: Vec<_> = layers.iter().flat_map(|layer| &layer.pieces).collect();
        let own: BTreeSet<&ObjectName> = pieces.iter().map(|piece| &piece.object).collect();
        databases.push(DatabasePlan {
            name: facts.name.clone(),
            objects: own.len(),
            read_bytes: pieces.iter().map(|piece| piece.bytes).fold(0, u64::saturating_add),
            write_bytes: u64::from(facts.pages) * u64::from(facts.page_size.get()),
        });
        reads += pieces.len();
        objects.extend(own);
    }
    let sum =
        |bytes: fn(&DatabasePlan) -> u64| databases.iter().map(bytes).fold(0, u64::saturating_add);
    let (read_bytes, write_bytes) = (sum(|each| each.read_bytes), sum(|each| each.write_bytes));
    let expected_seconds = seconds(reads, read_bytes.max(write_bytes), pace);
    Plan { objects: objects.len(), reads, read_bytes, write_bytes, expected_seconds, databases }
}

#[expect(clippy::cast_precision_loss, reason = "an estimate, shown with one decimal")]
fn seconds(reads: usize, bytes: u64, pace: Pace) -> f64 {
    let waiting = pace.latency.as_secs_f64() * reads as f64 / f64::from(pace.reads_at_once.max(1));
    waiting + bytes as f64 / BYTES_PER_SECOND as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::PageSource;
    use crate::restore::tests::busy_shop;

    #[test]
    fn the_figures_are_those_of_the_objects_and_the_file() {
        let (shop, states) = busy_shop(4);
        let open = |index: usize| {
            let db = shop.databases[index].id;
            PageSource::open(&shop.store, &shop.catalogue, db, shop.last()).unwrap()
        };
        let sources = [open(0), open(1)];
        let pace = Pace { latency: Duration::from_millis(40), reads_at_once: 4 };
        let planned = plan(sources.iter().map(|source| (source.facts(), source.layers())), pace);
        let of =
            |figure: fn(&DatabasePlan) -> u64| planned.databases.iter().map(figure).sum::<u64>();
        assert_eq!(planned.read_bytes, of(|each| each.read_bytes));
        let bytes = |index: usize| {
            let image = &states[3].1[index];
            (image.pages.len() * image.page_size.bytes()) as u64
        };
        assert_eq!(planned.write_bytes, bytes(0) + bytes(1));
        // Both databases share log objects; each is read by ranges, once for each.
        assert!(planned.objects <= planned.databases.iter().map(|each| each.objects).sum());
        assert!(planned.reads >= planned.objects);
        let waits = planned.reads as f64 * 0.010;
        assert!(planned.expected_seconds >= waits && planned.expected_seconds < waits + 1.0);
    }
}
