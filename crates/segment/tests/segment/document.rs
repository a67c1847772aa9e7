//! FORMAT.md: its worked example is a real segment, and a program written from it alone reads our files.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use segment::*;

use crate::samples;

fn manifest() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The bytes of the dump in the document: `offset  hh hh ..  ; meaning`; what is not shown is zero.
fn example_bytes(document: &str) -> Vec<u8> {
    let (_, example) = document.split_once("## 13. Worked example").unwrap();
    let mut bytes = Vec::new();
    for line in example.lines().filter_map(|line| line.strip_prefix("    ")) {
        let (shown, _) = line.split_once(';').unwrap();
        let mut fields = shown.split_whitespace();
        let offset = usize::from_str_radix(fields.next().unwrap(), 16).unwrap();
        assert!(bytes.len() <= offset, "offset {offset} in the example");
        bytes.resize(offset, 0);
        bytes.extend(fields.map(|byte| u8::from_str_radix(byte, 16).unwrap()));
    }
    bytes
}

#[test]
fn the_worked_example_is_a_segment() {
    let document = fs::read_to_string(manifest().join("FORMAT.md")).unwrap();
    let bytes = example_bytes(&document);
    assert_eq!(bytes, fs::read(manifest().join("tests/fixtures/v1/example.seg")).unwrap());
    let segment = Segment::decode(bytes.into()).unwrap();
    assert_eq!(segment.table().records, samples::example().records);
}

#[test]
fn limits_in_the_document_are_those_of_the_code() {
    let document = fs::read_to_string(manifest().join("FORMAT.md")).unwrap();
    let says = |row: &str| assert!(document.contains(row), "FORMAT.md lacks: {row}");
    let mib = |bytes: u64| bytes >> 20;
    says(&format!("| log object | {} MiB |", mib(LOG_OBJECT_BYTES_MAX)));
    says(&format!("(a rule for writers) | {} MiB |", mib(INLINE_BYTES_MAX)));
    says(&format!("part of a base | {} MiB (", mib(PART_BYTES_MAX)));
    says(&format!(
        "header, table and seal together | {} MiB |",
        mib(TABLE_BYTES_MAX + HEADER_BYTES as u64 + 32)
    ));
    says(&format!("allocates at most {} MiB", mib(DECODE_BYTES_MAX)));
    says(&format!("Format version {FORMAT_VERSION}."));
    assert_eq!(RECORDS_MAX, 65_536);
    says("| control records of a segment | 65,536 |");
}

/// Runs the reader; its output lines.
fn reader(arguments: &[&Path]) -> Result<Vec<String>, String> {
    let script = manifest().join("tests/reader.py");
    let output = Command::new("python3").arg(script).args(arguments).output().unwrap();
    if !output.status.success() {
        return Err(String::from_utf8(output.stderr).unwrap());
    }
    Ok(String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect())
}

/// A folder that is removed when the test ends.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let folder =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        Scratch(folder)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_python_reader_written_from_the_document_lists_a_segment() {
    let lines = reader(&[&manifest().join("tests/fixtures/v1/log.seg")]).unwrap();
    let table =
        decode_table(&fs::read(manifest().join("tests/fixtures/v1/log.seg")).unwrap()).unwrap();
    let has = |text: &str| {
        assert!(lines.iter().any(|line| line.contains(text)), "{text} is not in {lines:#?}")
    };
    has("log object seq 7 epoch 2 node anvil");
    has(&format!("hash {}", table.hash));
    has("record catalogue");
    has("record renamed");
    for section in &table.sections {
        has(&format!("section {} txid 4-5 pages {}", section.db, section.page_count));
    }
    has(
        "in side/00000000000000000001-202122232425262728292a2b2c2d2e2f-00000000000000000009/0000000000.seg",
    );
}

#[test]
fn the_python_reader_extracts_every_page_of_what_is_written_today() {
    let scratch = Scratch::new("reader");
    for (name, draft) in samples::all() {
        let object = scratch.0.join(name).with_extension("seg");
        let pages = scratch.0.join(name);
        let encoded = encode(&draft);
        fs::write(&object, &encoded.bytes).unwrap();
        reader(&[&object, &pages]).unwrap();
        let segment = Segment::decode(encoded.bytes.into()).unwrap();
        for (index, section) in segment.table().sections.iter().enumerate() {
            let Ok(expected) = segment.pages(index) else { continue };
            for page in expected {
                let (pgno, page) = page.unwrap();
                let extracted =
                    fs::read(pages.join(section.db.hex()).join(pgno.to_string())).unwrap();
                assert!(extracted == *page, "{name}: page {pgno} of {}", section.db);
            }
        }
    }
}

#[test]
fn the_python_reader_refuses_damage_and_newer_versions() {
    let scratch = Scratch::new("refuse");
    let object = scratch.0.join("x.seg");
    let bytes = encode(&samples::example()).bytes;
    for (at, reason) in [(8, "format version"), (200, "seal"), (bytes.len() - 1, "body")] {
        let mut damaged = bytes.clone();
        damaged[at] ^= 2;
        fs::write(&object, &damaged).unwrap();
        let refusal = reader(&[&object]).unwrap_err();
        assert!(refusal.contains(reason), "{reason} is not in {refusal}");
    }
}
