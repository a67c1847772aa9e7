//! How fast pages pass through hashing, encoding and decoding on one core: `cargo bench -p segment`.

use std::hint::black_box;
use std::time::{Duration, Instant};

use segment::*;

const PAGE_BYTES: usize = 4096;
const PAGES: u32 = 256;

fn noise(seed: &mut u64) -> u8 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*seed >> 56) as u8
}

/// A page like one of a table: records with a counter, words and some random bytes, and free space in the middle.
fn table_page(number: u32) -> Vec<u8> {
    let mut seed = u64::from(number) + 1;
    let mut page = vec![13, 0, 0, 0, 40, 3, 0, 0];
    page.resize(700, 0);
    for row in 0.. {
        if page.len() >= PAGE_BYTES {
            break;
        }
        page.extend(format!("{}:status=delivered;user=", number * 40 + row).bytes());
        page.extend((0..12).map(|_| b'a' + noise(&mut seed) % 26));
        page.extend((0..16).map(|_| noise(&mut seed)));
    }
    page.truncate(PAGE_BYTES);
    page
}

fn noise_page(number: u32) -> Vec<u8> {
    let mut seed = u64::from(number) + 1;
    (0..PAGE_BYTES).map(|_| noise(&mut seed)).collect()
}

/// Runs `work` over `bytes` bytes until a second has gone by, and prints the best rate.
fn measure(what: &str, bytes: usize, mut work: impl FnMut()) {
    let (begin, mut best) = (Instant::now(), Duration::MAX);
    while begin.elapsed() < Duration::from_secs(1) {
        let start = Instant::now();
        work();
        best = best.min(start.elapsed());
    }
    println!("{what:<40} {:>8.0} MB/s", bytes as f64 / best.as_secs_f64() / 1e6);
}

/// A way to make the page of a number, and its name.
type Kind = (&'static str, fn(u32) -> Vec<u8>);

fn main() {
    let page_size = PageSize::new(PAGE_BYTES as u32).expect("4096 is a page size");
    let kinds: [Kind; 3] =
        [("table", table_page), ("noise", noise_page), ("zero", |_| vec![0; PAGE_BYTES])];
    for (kind, page) in kinds {
        let pages: Vec<(PageNo, Vec<u8>)> =
            (1..=PAGES).filter_map(PageNo::new).map(|pgno| (pgno, page(pgno.get()))).collect();
        let bytes = pages.len() * PAGE_BYTES;
        measure(&format!("page_hash, {kind} pages"), bytes, || {
            black_box(pages.iter().fold(0, |sum, (pgno, page)| sum ^ page_hash(*pgno, page)));
        });
        let encode = || encode_body(page_size, pages.iter().map(|(pgno, page)| (*pgno, &page[..])));
        measure(&format!("encode_body, {kind} pages"), bytes, || drop(black_box(encode())));
        let body = encode();
        println!(
            "{:<40} {:>8.2}",
            format!("ratio, {kind} pages"),
            bytes as f64 / body.bytes.len() as f64
        );
        let shape = BodyShape { page_size, pages_after: PAGES, page_count: body.page_count };
        let mut buffer = Vec::new();
        measure(&format!("decode_body, {kind} pages"), bytes, || {
            let mut pages = decode_body(shape, &body.bytes).expect("own bytes are valid");
            while let Some(page) = pages.next_into(&mut buffer).expect("own bytes are valid") {
                black_box(page);
            }
        });
    }
    let bytes = vec![7; 1 << 23];
    measure("SHA-256", bytes.len(), || drop(black_box(ContentHash::of(&bytes).hex())));
}
