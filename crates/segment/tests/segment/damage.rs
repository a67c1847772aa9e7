//! Damaged, hostile and newer bytes: refused, each with its own reason.

use bytes::Bytes;
use proptest::prelude::*;
use segment::*;

use crate::{oracle, samples};

/// The bytes with a seal that fits them again.
fn seal(mut bytes: Vec<u8>) -> Vec<u8> {
    let length = u32::from_le_bytes(bytes[12..16].try_into().unwrap()) as usize;
    let end = HEADER_BYTES + length;
    let hash = ContentHash::of(&bytes[..end]);
    bytes[end..end + 32].copy_from_slice(hash.as_bytes());
    bytes
}

/// The refusal of a segment that was changed and sealed again, so that only the change speaks.
fn refusal(draft: &Draft, change: impl FnOnce(&mut Vec<u8>)) -> SegmentError {
    let mut bytes = encode(draft).bytes;
    change(&mut bytes);
    Segment::decode(seal(bytes).into()).unwrap_err()
}

#[test]
fn every_single_bit_flip_is_seen() {
    for (name, draft) in samples::all() {
        let bytes = encode(&draft).bytes;
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Segment::decode(flipped.into()).is_err(), "{name}: bit {bit} may be flipped");
        }
    }
}

#[test]
fn every_cut_and_every_addition_is_seen() {
    for (name, draft) in samples::all() {
        let bytes = Bytes::from(encode(&draft).bytes);
        for length in 0..bytes.len() {
            let error = Segment::decode(bytes.slice(..length)).unwrap_err();
            assert!(
                matches!(error, SegmentError::Truncated { .. }),
                "{name} cut to {length}: {error}"
            );
        }
        let longer = Bytes::from([&bytes[..], &[0]].concat());
        assert!(
            matches!(Segment::decode(longer), Err(SegmentError::TrailingBytes { .. })),
            "{name}"
        );
    }
}

#[test]
fn a_change_that_is_sealed_again_has_another_hash() {
    let draft = samples::log();
    let encoded = encode(&draft);
    let table_bits = HEADER_BYTES * 8..encoded.check().unwrap().body_offset as usize * 8 - 32 * 8;
    for bit in table_bits.step_by(7) {
        let mut bytes = encoded.bytes.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        if let Ok(table) = decode_table(&seal(bytes)) {
            assert_ne!(table.hash, encoded.hash);
        }
    }
}

#[test]
fn a_newer_version_is_refused_by_its_own_message_before_anything_else() {
    let mut bytes = encode(&samples::log()).bytes;
    bytes[8] = 2;
    bytes[10..].fill(0xff);
    let error = Segment::decode(bytes.clone().into()).unwrap_err();
    assert_eq!(error, SegmentError::NewerFormat { version: 2 });
    assert!(error.is_newer_format());
    assert_eq!(
        error.to_string(),
        "the segment has format version 2, this program reads up to version 1: \
         upgrade this program (standbys are upgraded before primaries)"
    );
    assert_eq!(table_end(&bytes), Err(error.clone()));
    assert_eq!(decode_table(&bytes[..10]), Err(error));
}

#[test]
fn newer_kinds_flags_and_records_are_told_from_damage() {
    let draft = samples::heartbeat();
    let kind = refusal(&draft, |bytes| bytes[10] = 4);
    let flags = refusal(&draft, |bytes| bytes[11] |= 0x80);
    let section_flags =
        refusal(&samples::side(), |bytes| bytes[HEADER_BYTES + 4 + 2 + 4 + 128] |= 4);
    let record = refusal(&samples::example(), |bytes| {
        let at = bytes.windows(9).position(|window| window == b"\"renamed\"").unwrap();
        bytes[at..at + 9].copy_from_slice(b"\"merging\"");
    });
    for error in [kind, flags, section_flags, record] {
        assert!(
            error.is_newer_format() && error.to_string().contains("upgrade this program"),
            "{error}"
        );
    }
}

#[test]
fn other_files_are_not_segments() {
    for bytes in
        [&b"SQLite format 3\0"[..], &[0x37, 0x7f, 0x06, 0x82], b"W", b"WALSHIP\r\n", &[0; 4096]]
    {
        let error = Segment::decode(Bytes::copy_from_slice(bytes)).unwrap_err();
        let is_beginning = b"WALSHIP\n".starts_with(bytes);
        assert_eq!(matches!(error, SegmentError::Truncated { .. }), is_beginning, "{error}");
        assert_eq!(error == SegmentError::NotASegment, !is_beginning, "{error}");
    }
}

#[test]
fn header_fields_outside_the_rules_are_refused() {
    let log = samples::heartbeat();
    let reason = |draft: &Draft, at: usize, value: &[u8]| {
        refusal(draft, |bytes| bytes[at..at + value.len()].copy_from_slice(value)).to_string()
    };
    assert!(reason(&log, 8, &[0, 0]).contains("format version 0"));
    assert!(reason(&log, 24, &[0; 8]).contains("epoch 0 at byte 24"));
    assert!(reason(&log, 96, &[0; 8]).contains("seq does not fit"));
    assert!(reason(&samples::base(), 96, &[1]).contains("seq does not fit"));
    assert!(reason(&log, 136, &[0]).contains("not a name"));
    assert!(reason(&log, 136, &[129]).contains("longer than its field"));
    assert!(reason(&log, 137, b"../x").contains("not a name"));
    assert!(reason(&log, 142, &[1]).contains("reserved"));
    assert!(reason(&log, 287, &[1]).contains("reserved"));
}

#[test]
fn lengths_beyond_the_limits_are_refused_before_they_are_believed() {
    let set = |at: usize, value: &[u8]| {
        let mut bytes = encode(&samples::heartbeat()).bytes;
        bytes[at..at + value.len()].copy_from_slice(value);
        table_end(&bytes).unwrap_err()
    };
    assert!(matches!(set(12, &[0xff; 4]), SegmentError::TooLarge { what: "table", .. }));
    assert!(matches!(set(16, &[0xff; 8]), SegmentError::TooLarge { what: "object", .. }));
    let sections =
        refusal(&samples::heartbeat(), |bytes| bytes[HEADER_BYTES + 6..][..4].fill(0xff));
    assert!(matches!(sections, SegmentError::TooLarge { what: "number of sections", .. }));
    let parts = refusal(&samples::side(), |bytes| bytes[HEADER_BYTES + 10 + 132..][..4].fill(0xff));
    assert!(matches!(parts, SegmentError::TooLarge { what: "number of parts", .. }));
}

#[test]
fn sections_that_contradict_themselves_are_refused() {
    let reason = |change: fn(&mut Draft)| {
        let mut draft = samples::log();
        change(&mut draft);
        encode(&draft).check().unwrap_err().to_string()
    };
    assert!(reason(|draft| draft.sections[1].0.page_count = 0).contains("page count"));
    assert!(reason(|draft| draft.sections[2].0.page_count = 1).contains("page count"));
    assert!(
        reason(|draft| draft.sections[0].0.side = draft.sections[1].0.side.clone())
            .contains("two places")
    );
    assert!(
        reason(|draft| draft.sections[0].0.pages_after = 2)
            .contains("more pages than its database")
    );
    assert!(
        reason(|draft| draft.sections[0].0.last_txid = Txid::NONE)
            .contains("ends before it begins")
    );
    assert!(
        reason(|draft| draft.sections[3].0.db = draft.sections[0].0.db)
            .contains("two sections of one")
    );
    assert!(reason(|draft| draft.header.kind = SegmentKind::Side).contains("seq does not fit"));
}

#[test]
fn parts_hold_one_section_and_nothing_else() {
    let other = |change: fn(&mut Draft)| {
        let mut draft = samples::side();
        change(&mut draft);
        encode(&draft).check().unwrap_err().to_string()
    };
    let reason = "other contents than one section";
    assert!(other(|draft| draft.sections.clear()).contains(reason));
    assert!(other(|draft| draft.records.push(Record::Handover {})).contains(reason));
    assert!(other(|draft| draft.sections[0].1 = None).contains(reason));
}

#[test]
fn a_body_that_does_not_reach_the_end_leaves_a_gap() {
    let error = refusal(&samples::base(), |bytes| {
        bytes.push(0);
        let body = u64::from_le_bytes(bytes[16..24].try_into().unwrap()) + 1;
        bytes[16..24].copy_from_slice(&body.to_le_bytes());
    });
    assert!(error.to_string().contains("do not fill the object"), "{error}");
}

#[test]
fn a_draft_that_is_too_large_fails_its_own_check() {
    let mut draft = samples::heartbeat();
    draft.records = vec![Record::Handover {}; RECORDS_MAX + 1];
    assert!(matches!(
        encode(&draft).check(),
        Err(SegmentError::TooLarge { what: "number of records", .. })
    ));
}

#[test]
fn a_damaged_body_is_named() {
    let draft = samples::log();
    let mut bytes = encode(&draft).bytes;
    *bytes.last_mut().unwrap() ^= 1;
    let error = Segment::decode(bytes.into()).unwrap_err();
    assert_eq!(error, SegmentError::BodyHash { section: 3 });
}

proptest! {
    #[test]
    fn several_changes_anywhere_never_panic(
        sample in 0_usize..5, changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)
    ) {
        let mut bytes = encode(&samples::all().swap_remove(sample).1).bytes;
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        oracle::segment_decode(&bytes);
    }

    #[test]
    fn any_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        oracle::segment_decode(&bytes);
        oracle::segment_decode(&[b"WALSHIP\n\x01\0\x01\0", &bytes[..]].concat());
    }
}
