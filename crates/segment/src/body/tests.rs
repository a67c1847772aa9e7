use proptest::prelude::*;

use super::encode::is_zero;
use super::table::Encoding;
use super::*;
use crate::checksum::page_hash;
use crate::ids::{ContentHash, PageSize};

fn page_no(number: u32) -> PageNo {
    PageNo::new(number).unwrap()
}

fn size(bytes: u32) -> PageSize {
    PageSize::new(bytes).unwrap()
}

fn encoded(page_size: PageSize, pages: &[(u32, Vec<u8>)]) -> EncodedBody {
    encode_body(page_size, pages.iter().map(|(number, page)| (page_no(*number), &page[..])))
}

fn shape(page_size: PageSize, page_count: u32) -> BodyShape {
    BodyShape { page_size, pages_after: 1 << 31, page_count }
}

/// Bytes that do not compress.
fn noise(length: usize, mut seed: u64) -> Vec<u8> {
    let mut next = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 56) as u8
    };
    (0..length).map(|_| next()).collect()
}

#[test]
fn each_page_takes_its_shortest_encoding() {
    let pages = [(1, noise(512, 1)), (2, vec![0; 512]), (9, vec![7; 512])];
    let body = encoded(size(512), &pages);
    let entries =
        page_table(shape(size(512), 3), body.bytes.len() as u64, &body.bytes[..48]).unwrap();
    let of_entries = |field: fn(&PageEntry) -> u64| entries.iter().map(field).collect::<Vec<_>>();
    assert_eq!(of_entries(|entry| entry.pgno.get().into()), [1, 2, 9]);
    let encodings: Vec<Encoding> = entries.iter().map(|entry| entry.encoding).collect();
    assert_eq!(encodings, [Encoding::Raw, Encoding::Zero, Encoding::Lz4]);
    assert_eq!(of_entries(|entry| entry.range.start), [48, 560, 560]);
    assert_eq!(of_entries(|entry| entry.range.end)[..2], [560, 560]);
    assert!(body.bytes.len() < 600);
    for (entry, (number, page)) in entries.iter().zip(&pages) {
        assert_eq!(entry.hash, page_hash(page_no(*number), page));
    }
    assert_eq!(body.sha256, ContentHash::of(&body.bytes));
}

#[test]
fn only_a_page_of_zeros_is_zero() {
    assert!(is_zero(&[0; 512]));
    for at in [0, 1, 255, 511] {
        let mut page = [0; 512];
        page[at] = 1;
        assert!(!is_zero(&page), "byte {at}");
    }
    assert!(!is_zero(&[5; 512]));
}

const RAW: u8 = 0;
const ZERO: u8 = 1;
const LZ4: u8 = 2;

/// A body with one page whose entry is as given; its hash is that of a page of 512 sevens.
fn crafted(number: u32, encoding: u8, stored: &[u8]) -> Vec<u8> {
    let mut bytes = number.to_le_bytes().to_vec();
    bytes.extend((u32::from(encoding) << 24 | stored.len() as u32).to_le_bytes());
    bytes.extend(page_hash(page_no(number.max(1)), &[7; 512]).to_le_bytes());
    bytes.extend(stored);
    bytes
}

fn refusal(shape: BodyShape, bytes: &[u8]) -> String {
    decode_body(shape, bytes).map(|_| ()).unwrap_err().to_string()
}

#[test]
fn entries_outside_the_rules_are_refused_before_any_page() {
    let page = vec![1; 512];
    let one = |number, encoding, stored: &[u8]| {
        refusal(shape(size(512), 1), &crafted(number, encoding, stored))
    };
    assert!(one(0, RAW, &page).contains("page 0"));
    assert!(one(1, RAW, &page[1..]).contains("length does not fit"));
    assert!(one(1, ZERO, &[0]).contains("length does not fit"));
    assert!(one(1, LZ4, &page).contains("length does not fit"));
    assert!(one(1, LZ4, &[]).contains("length does not fit"));
    assert!(one(1, 3, &page[1..]).contains("page encoding 3"));
    assert!(one(2_097_153, RAW, &page).contains("lock page"));
    assert!(one((1 << 31) + 1, RAW, &page).contains("beyond the database"));
}

#[test]
fn order_and_lengths_of_the_table_are_checked() {
    let page_size = size(512);
    let body = encoded(page_size, &[(1, noise(512, 1)), (2, noise(512, 2))]).bytes;
    let mut repeated = body.clone();
    repeated[16] = 1;
    assert!(refusal(shape(page_size, 2), &repeated).contains("out of order"));
    assert!(refusal(shape(page_size, 2), &body[..body.len() - 1]).contains("do not add up"));
    assert!(refusal(shape(page_size, 2), &[&body[..], &[0]].concat()).contains("do not add up"));
    assert!(refusal(shape(page_size, u32::MAX), &body).contains("cut short"));
}

#[test]
fn an_unknown_encoding_asks_for_an_upgrade() {
    let error = decode_body(shape(size(512), 1), &crafted(1, 9, &[1])).map(|_| ()).unwrap_err();
    assert!(error.is_newer_format());
}

#[test]
fn a_block_that_does_not_decode_to_one_page_is_an_error_and_the_end() {
    let two_pages = lz4_flex::block::compress(&[7; 1024]);
    let half_a_page = lz4_flex::block::compress(&[7; 256]);
    for stored in [&two_pages[..], &half_a_page, &[0xff; 100], &[0x1f, 1, 0, 0]] {
        let bytes = crafted(1, LZ4, stored);
        let mut pages = decode_body(shape(size(512), 1), &bytes).unwrap();
        assert!(matches!(pages.clone().next(), Some(Err(SegmentError::Page { .. }))));
        let mut buffer = Vec::new();
        assert!(pages.next_into(&mut buffer).is_err());
        assert_eq!(pages.next_into(&mut buffer), Ok(None));
        assert!(buffer.len() <= 512);
    }
}

#[test]
fn a_page_that_does_not_have_its_hash_is_an_error() {
    let seven = lz4_flex::block::compress(&[7; 512]);
    let eight = lz4_flex::block::compress(&[8; 512]);
    let decoded = |encoding, stored: &[u8]| {
        let bytes = crafted(3, encoding, stored);
        let page = decode_body(shape(size(512), 1), &bytes).unwrap().next().unwrap();
        page.map(|(_, page)| page.into_owned())
    };
    assert_eq!(decoded(RAW, &[7; 512]).unwrap(), [7; 512]);
    assert_eq!(decoded(LZ4, &seven).unwrap(), [7; 512]);
    for (encoding, stored) in [(RAW, &[8; 512][..]), (LZ4, &eight), (ZERO, &[])] {
        let error = decoded(encoding, stored).unwrap_err();
        assert!(error.to_string().contains("page 3: not the page of its hash"), "{error}");
    }
}

#[test]
fn the_table_alone_says_where_each_page_stands() {
    let pages = [(2, noise(1024, 1)), (3, vec![0; 1024]), (7, vec![7; 1024])];
    let body = encoded(size(1024), &pages);
    let shape = shape(size(1024), 3);
    let table = &body.bytes[..shape.table_bytes() as usize];
    let entries = page_table(shape, body.bytes.len() as u64, table).unwrap();
    for (entry, (number, page)) in entries.iter().zip(&pages) {
        let stored = &body.bytes[entry.range.start as usize..entry.range.end as usize];
        assert_eq!((entry.pgno.get(), &*entry.decode(stored).unwrap()), (*number, &page[..]));
        assert!(entry.decode(&body.bytes).is_err());
    }
    assert!(page_table(shape, body.bytes.len() as u64, &table[1..]).is_err());
    assert!(page_table(shape, body.bytes.len() as u64 + 1, table).is_err());
}

#[test]
#[should_panic(expected = "BUG: page 1 comes after")]
fn pages_out_of_order_are_a_bug_of_the_writer() {
    encoded(size(512), &[(1, vec![0; 512]), (1, vec![0; 512])]);
}

fn page_of(page_size: usize) -> impl Strategy<Value = Vec<u8>> {
    let mixed = (any::<u64>(), 0..=page_size).prop_map(move |(seed, cut)| {
        let mut page = noise(cut, seed);
        page.resize(page_size, seed as u8);
        page
    });
    prop_oneof![1 => Just(vec![0; page_size]), 4 => mixed]
}

fn pages() -> impl Strategy<Value = (PageSize, Vec<(u32, Vec<u8>)>)> {
    (9_u32..=16).prop_flat_map(|shift| {
        let page_size = size(1 << shift);
        let pages = prop::collection::btree_map(1_u32..10_000, page_of(page_size.bytes()), 0..12);
        (Just(page_size), pages.prop_map(|pages| pages.into_iter().collect()))
    })
}

proptest! {
    #[test]
    fn pages_come_back_as_they_went((page_size, pages) in pages()) {
        let body = encoded(page_size, &pages);
        prop_assert_eq!(body.page_count as usize, pages.len());
        let decoded = decode_body(shape(page_size, body.page_count), &body.bytes).unwrap();
        let owned: Vec<(u32, Vec<u8>)> = decoded.clone()
            .map(|page| page.map(|(pgno, page)| (pgno.get(), page.into_owned())).unwrap())
            .collect();
        prop_assert_eq!(&owned, &pages);
        let (mut lending, mut buffer) = (decoded, Vec::new());
        for (number, page) in &pages {
            let (pgno, content) = lending.next_into(&mut buffer).unwrap().unwrap();
            prop_assert_eq!((pgno.get(), content), (*number, &page[..]));
        }
        prop_assert_eq!(lending.next_into(&mut buffer), Ok(None));
    }

    #[test]
    fn any_bytes_decode_to_pages_within_the_rules_or_not_at_all(
        shift in 9_u32..=12, pages_after: u32, page_count in 0_u32..4, bytes in prop::collection::vec(any::<u8>(), 0..600)
    ) {
        let shape = BodyShape { page_size: size(1 << shift), pages_after, page_count };
        if let Ok(pages) = decode_body(shape, &bytes) {
            for page in pages.flatten() {
                prop_assert!(page.0.get() <= pages_after && page.1.len() == shape.page_size.bytes());
            }
        }
    }
}
