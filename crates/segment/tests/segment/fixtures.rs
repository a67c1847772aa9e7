//! Files of every format version, kept for ever: yesterday's bytes are read by today's program.

use std::fs;
use std::path::{Path, PathBuf};

use segment::*;

use crate::samples;

fn fixture(name: &str) -> Vec<u8> {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/v1").join(name);
    fs::read(path.with_extension("seg")).unwrap()
}

/// The draft with the bodies of the fixture: a later LZ4 may compress otherwise.
fn with_stored_bodies(mut draft: Draft, stored: &Segment) -> Draft {
    for ((_, body), section) in draft.sections.iter_mut().zip(&stored.table().sections) {
        if let (Some(body), Some(inline)) = (body, &section.body) {
            body.bytes =
                stored.bytes()[inline.range.start as usize..inline.range.end as usize].to_vec();
            body.sha256 = inline.sha256;
        }
    }
    draft
}

#[test]
fn version_1_is_read_for_ever() {
    for (name, draft) in samples::all() {
        let segment = Segment::decode(fixture(name).into()).unwrap();
        assert_eq!(segment.table().header, draft.header, "{name}");
        let expected = Segment::decode(encode(&draft).bytes.into()).unwrap();
        for index in 0..draft.sections.len() {
            let pages = |segment: &Segment| {
                segment.pages(index).map(|pages| pages.map(Result::unwrap).count())
            };
            assert_eq!(pages(&segment), pages(&expected), "{name} section {index}");
        }
    }
}

#[test]
fn pages_of_version_1_are_these() {
    let segment = Segment::decode(fixture("base").into()).unwrap();
    let pages: Vec<_> = segment
        .pages(0)
        .unwrap()
        .map(Result::unwrap)
        .map(|(pgno, page)| (pgno.get(), page.into_owned()))
        .collect();
    assert_eq!(pages, samples::base_pages());
    assert_eq!(segment.table().sections[0].post, samples::base_checksum());
}

#[test]
fn version_1_is_still_written_like_this() {
    for (name, draft) in samples::all().into_iter().filter(|(name, _)| *name != "log") {
        let bytes = fixture(name);
        let stored = Segment::decode(bytes.clone().into()).unwrap();
        assert!(
            encode(&with_stored_bodies(draft, &stored)).bytes == bytes,
            "{name} is written otherwise"
        );
    }
}

#[test]
fn records_of_version_1_are_these() {
    let stored = Segment::decode(fixture("log").into()).unwrap();
    let records = stored.table().records.clone();
    let types: Vec<String> =
        records.iter().map(|record| serde_json::to_value(record).unwrap()).map(first_key).collect();
    assert_eq!(types, ["catalogue", "fence", "announce", "base", "retired", "renamed", "handover"]);
    // The base's length and hash depend on the compressor of the day; the fixture's own parts are the truth.
    let base = Segment::decode(fixture("base").into()).unwrap();
    let Record::Base(record) = &records[3] else { panic!("{:?}", records[3]) };
    assert_eq!(record.parts[0].sha256, ContentHash::of(base.bytes()));
    assert_eq!(record.parts[0].bytes, base.bytes().len() as u64);
    assert_eq!(stored.table().sections[1].side[0].sha256, ContentHash::of(&fixture("side")));
}

fn first_key(record: serde_json::Value) -> String {
    record.as_object().unwrap().keys().next().unwrap().clone()
}
