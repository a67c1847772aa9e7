//! Decoding allocates no more than it says, whatever the bytes are: the worst documents that fit the limits are built,
//! and an allocator counts.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use segment::*;

struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

fn grow(bytes: usize) {
    PEAK.fetch_max(NOW.fetch_add(bytes, Ordering::Relaxed) + bytes, Ordering::Relaxed);
}

// SAFETY: every call is passed on unchanged to the system's allocator; counting touches no memory of the caller.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grow(layout.size());
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Ordering::Relaxed);
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        // Old and new memory exist together for a moment.
        grow(bytes);
        NOW.fetch_sub(layout.size(), Ordering::Relaxed);
        unsafe { System.realloc(memory, layout, bytes) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The most bytes that were allocated at once while `work` ran, above what was allocated before.
fn peak<T>(work: impl FnOnce() -> T) -> (T, u64) {
    let before = NOW.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    let result = work();
    (result, (PEAK.load(Ordering::Relaxed) - before) as u64)
}

/// A heartbeat whose table is the given bytes.
fn sealed(table: &[u8]) -> Vec<u8> {
    let mut bytes = b"WALSHIP\n\x01\0\x01\0".to_vec();
    bytes.extend((table.len() as u32).to_le_bytes());
    bytes.extend([0; 8]);
    bytes.extend([1, 0, 0, 0, 0, 0, 0, 0]);
    bytes.resize(96, 0);
    bytes.push(1);
    bytes.resize(136, 0);
    bytes.extend(b"\x01n");
    bytes.resize(HEADER_BYTES, 0);
    bytes.extend(table);
    let seal = ContentHash::of(&bytes);
    bytes.extend(seal.as_bytes());
    bytes
}

fn with_records(json: &str) -> Vec<u8> {
    let mut table = (json.len() as u32).to_le_bytes().to_vec();
    table.extend(json.as_bytes());
    table.extend([0; 4]);
    sealed(&table)
}

/// As many of `item` as fit between `before` and `after` into the largest table.
fn filled(before: &str, item: impl Fn(u64) -> String, after: &str) -> String {
    let mut json = before.to_owned();
    for index in 0.. {
        let next = item(index);
        if json.len() + next.len() + after.len() + 9 > TABLE_BYTES_MAX as usize {
            break;
        }
        json.push_str(if index == 0 { "" } else { "," });
        json.push_str(&next);
    }
    json + after
}

fn entry(index: u64) -> String {
    format!(
        concat!(
            r#"{{"id":"{:016x}","name":"a","tier":"","class_hours":0,"state":"live","#,
            r#""pages":0,"txid":0,"checksum":"0000000000000000"}}"#
        ),
        index
    )
}

fn part(_: u64) -> String {
    format!(r#"{{"name":"pin/a","bytes":0,"sha256":"{}"}}"#, "0".repeat(64))
}

fn sections() -> Vec<u8> {
    let count = (TABLE_BYTES_MAX - 10) / 136;
    let mut table = b"\x02\0\0\0[]".to_vec();
    table.extend((count as u32).to_le_bytes());
    for index in 0..count {
        let mut section = index.to_le_bytes().to_vec();
        section.resize(28, 0);
        section.extend(512_u32.to_le_bytes());
        section.resize(136, 0);
        table.extend(section);
    }
    sealed(&table)
}

fn side_parts() -> Vec<u8> {
    let count = (TABLE_BYTES_MAX - 10 - 136) / 47;
    let mut section = vec![0; 28];
    section.extend(512_u32.to_le_bytes());
    section.extend([1, 0, 0, 0, 1, 0, 0, 0]);
    section.resize(132, 0);
    section.extend((count as u32).to_le_bytes());
    for _ in 0..count {
        section.extend(b"\x05\0pin/a");
        section.resize(section.len() + 40, 0);
    }
    sealed(&[&b"\x02\0\0\0[]\x01\0\0\0"[..], &section].concat())
}

/// One test, because the counters are shared by the whole process.
#[test]
fn the_worst_tables_stay_within_the_bound() {
    let base = concat!(
        r#"[{"base":{"db":"0000000000000000","incarnation":"00000000000000000000000000000000","at":null,"#,
        r#""checksum":"0000000000000000","page_size":512,"pages":1,"bytes":0,"parts":["#
    );
    let tier = |index: u64| {
        let figures = r#"{"sync_interval_ms":0,"retention_ms":0,"rpo_bound_ms":0,"standby":true}"#;
        format!(r#""{index}":{figures}"#)
    };
    let worst = [
        (
            "databases",
            with_records(&filled(r#"[{"catalogue":{"tiers":{},"databases":["#, entry, "]}}]")),
        ),
        (
            "tiers",
            with_records(&filled(r#"[{"catalogue":{"tiers":{"#, tier, r#"},"databases":[]}}]"#)),
        ),
        ("parts", with_records(&filled(base, part, "]}}]"))),
        (
            "records",
            with_records(&format!("[{}]", vec![r#"{"handover":{}}"#; RECORDS_MAX].join(","))),
        ),
        ("sections", sections()),
        ("side parts", side_parts()),
    ];
    for (what, bytes) in worst {
        let (table, bytes_at_once) = peak(|| decode_table(&bytes));
        assert!(table.is_ok(), "{what}: {}", table.unwrap_err());
        assert!(bytes_at_once <= DECODE_BYTES_MAX, "{what} took {bytes_at_once} bytes");
        println!("{what}: {} bytes of table, {bytes_at_once} bytes at once", bytes.len());
    }
    let too_many = with_records(&filled("[", |_| r#"{"handover":{}}"#.to_owned(), "]"));
    let (refused, bytes_at_once) = peak(|| decode_table(&too_many));
    assert!(matches!(refused, Err(SegmentError::TooLarge { .. })));
    assert!(bytes_at_once < 1 << 16, "refusing too many records took {bytes_at_once} bytes");
}
