//! What is encoded is decoded, in whole and in part.

use bytes::Bytes;
use proptest::prelude::*;
use segment::*;

use crate::{oracle, samples};

#[test]
fn samples_come_back() {
    for (name, draft) in samples::all() {
        let encoded = encode(&draft);
        let table = encoded.check().unwrap();
        assert_eq!(table.header, draft.header, "{name}");
        assert_eq!(table.records, draft.records, "{name}");
        assert_eq!(table.hash, encoded.hash, "{name}");
        assert_eq!(Segment::decode(encoded.bytes.into()).unwrap().table(), &table, "{name}");
    }
}

#[test]
fn header_and_table_can_be_read_without_the_pages() {
    let encoded = encode(&samples::log());
    let end = table_end(&encoded.bytes[..HEADER_BYTES]).unwrap() as usize;
    let table = decode_table(&encoded.bytes[..end]).unwrap();
    assert_eq!(table, encoded.check().unwrap());
    let short = decode_table(&encoded.bytes[..end - 1]).unwrap_err();
    assert_eq!(short, SegmentError::Truncated { needed: end as u64, found: end as u64 - 1 });
}

#[test]
fn one_database_can_be_read_by_a_range() {
    let encoded = encode(&samples::log());
    let table = encoded.check().unwrap();
    let last = table.sections.last().unwrap();
    let range = last.body.clone().unwrap().range;
    let pages =
        decode_section(last, &encoded.bytes[range.start as usize..range.end as usize]).unwrap();
    let pages: Vec<_> = pages.map(Result::unwrap).collect();
    assert_eq!(pages, [(PageNo::new(3).unwrap(), samples::text_page("the last one ").into())]);
}

#[test]
fn sections_without_pages_here_have_none_to_give() {
    let segment = Segment::decode(encode(&samples::log()).bytes.into()).unwrap();
    for section in [1, 2, 4] {
        assert_eq!(segment.pages(section).unwrap_err(), SegmentError::NoBody { section });
    }
    assert_eq!(segment.pages(0).unwrap().count(), 3);
}

fn ids() -> impl Strategy<Value = (FleetId, WriterId, SegmentHash)> {
    (any::<[u8; 16]>(), any::<[u8; 16]>(), any::<[u8; 32]>()).prop_map(|(a, b, c)| {
        (FleetId::from_bytes(a), WriterId::from_bytes(b), SegmentHash::from_bytes(c))
    })
}

fn headers() -> impl Strategy<Value = Header> {
    let numbers = (1..=u64::MAX, 1..=u64::MAX, any::<u64>(), any::<u64>(), any::<i64>());
    let rest =
        ("[a-z][A-Za-z0-9_-]{0,127}", any::<u32>(), any::<u32>(), any::<bool>(), any::<bool>());
    (ids(), numbers, rest).prop_map(|((fleet, writer, previous), numbers, rest)| {
        let (epoch, seq, catalogue, stamp, store_offset_ms) = numbers;
        let (node, flush_period_ms, next_flush_in_ms, consistent, positions_wanted) = rest;
        Header {
            kind: SegmentKind::Log,
            fleet,
            node: Name::parse(&node).unwrap(),
            writer,
            epoch: Epoch::new(epoch).unwrap(),
            seq: Seq::new(seq),
            previous,
            stamp: Millis::new(stamp),
            store_offset_ms,
            flush_period_ms,
            next_flush_in_ms,
            catalogue: Seq::new(catalogue),
            consistent,
            positions_wanted,
        }
    })
}

fn sections() -> impl Strategy<Value = (SectionEntry, Option<EncodedBody>)> {
    let numbers =
        (any::<u32>(), any::<u64>(), any::<u64>(), any::<u64>(), any::<u64>(), any::<u64>());
    let pages = prop::collection::btree_map(1_u32..200, any::<u8>(), 0..6);
    let rest = (any::<bool>(), any::<bool>(), any::<bool>(), 0_u32..3);
    (any::<[u8; 8]>(), any::<[u8; 16]>(), numbers, pages, rest).prop_map(
        |(db, life, numbers, pages, rest)| {
            let (class_hours, txid, pre, post, oldest, previous) = numbers;
            let (is_diff, new_incarnation, is_inline, parts) = rest;
            let pages: Vec<_> = pages
                .into_iter()
                .map(|(number, byte)| (number, vec![byte; samples::PAGE_SIZE as usize]))
                .collect();
            let body = (is_inline && !pages.is_empty()).then(|| samples::body(&pages));
            let side = if body.is_some() { vec![] } else { side_parts(parts) };
            let section = SectionEntry {
                db: DbId::from_bytes(db),
                incarnation: Incarnation::from_bytes(life),
                class_hours,
                page_size: PageSize::new(samples::PAGE_SIZE).unwrap(),
                pages_after: 200,
                page_count: if side.is_empty() { 0 } else { 7 },
                first_txid: Txid::new(txid / 2),
                last_txid: Txid::new(txid),
                pre: Checksum::new(pre),
                post: Checksum::new(post),
                oldest_commit: Millis::new(oldest),
                previous_seq: Seq::new(previous),
                is_diff,
                new_incarnation,
                body: None,
                side,
            };
            (section, body)
        },
    )
}

fn side_parts(count: u32) -> Vec<Part> {
    let name = |part| ObjectName::side(Epoch::FIRST, WriterId::from_bytes([3; 16]), 1, part);
    (0..count)
        .map(|part| Part { name: name(part), bytes: 77, sha256: ContentHash::of(b"x") })
        .collect()
}

fn drafts() -> impl Strategy<Value = Draft> {
    let records = prop::sample::subsequence(samples::log().records, 0..=7);
    let sections = prop::collection::vec(sections(), 0..5).prop_map(|mut sections| {
        sections.sort_by_key(|(section, _)| section.db);
        sections.dedup_by_key(|(section, _)| section.db);
        sections
    });
    (headers(), records, sections).prop_map(|(header, records, sections)| Draft {
        header,
        records,
        sections,
    })
}

proptest! {
    #[test]
    fn any_segment_comes_back(draft in drafts()) {
        let encoded = encode(&draft);
        let segment = Segment::decode(Bytes::from(encoded.bytes.clone())).unwrap();
        let table = segment.table();
        prop_assert_eq!(&table.header, &draft.header);
        prop_assert_eq!(&table.records, &draft.records);
        prop_assert_eq!(table.sections.len(), draft.sections.len());
        for (index, (decoded, (section, body))) in table.sections.iter().zip(&draft.sections).enumerate() {
            let mut expected = section.clone();
            expected.body.clone_from(&decoded.body);
            expected.page_count = body.as_ref().map_or(section.page_count, |body| body.page_count);
            prop_assert_eq!(decoded, &expected);
            prop_assert_eq!(decoded.body.as_ref().map(|body| body.sha256), body.as_ref().map(|body| body.sha256));
            if let Some(body) = body {
                prop_assert_eq!(segment.pages(index).unwrap().count(), body.page_count as usize);
            }
        }
        oracle::segment_decode(&encoded.bytes);
    }

    #[test]
    fn the_hash_depends_on_every_page(draft in drafts(), pages in any::<[u8; 512]>()) {
        let mut other = draft.clone();
        let Some((_, Some(body))) = other.sections.iter_mut().find(|(_, body)| body.is_some()) else { return Ok(()) };
        *body = samples::body(&[(1, pages.to_vec())]);
        prop_assert_ne!(encode(&draft).hash, encode(&other).hash);
    }
}
