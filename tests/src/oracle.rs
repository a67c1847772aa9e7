//! The oracle: do two files hold the same database? It asks SQLite in Python and shares no code with the programs.

use std::path::Path;
use std::process::Output;

use segment::{Checksum, PageHashes, PageNo, PageSize, page_hash};

use crate::programs::python;

/// Both are sound, and all pages are equal but for the bytes that SQLite changes by itself.
///
/// # Panics
/// With what differs.
pub fn assert_equal(source: &Path, copy: &Path) {
    fail_on(compare(source, copy, "compare"), source, copy);
}

/// All pages are equal, whether or not SQLite finds the databases sound: for tests that damage them.
///
/// # Panics
/// With what differs.
pub fn assert_same_pages(source: &Path, copy: &Path) {
    fail_on(compare(source, copy, "compare-damaged"), source, copy);
}

fn fail_on(comparison: Result<(), String>, source: &Path, copy: &Path) {
    if let Err(difference) = comparison {
        panic!("{} and {} differ:\n{difference}", source.display(), copy.display());
    }
}

fn compare(source: &Path, copy: &Path, how: &str) -> Result<(), String> {
    let output = run(how, source, copy);
    if output.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

/// The database checksum of what readers of `source` see now.
#[must_use]
pub fn checksum(source: &Path, image: &Path) -> Checksum {
    let output = run("dump", source, image);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let bytes = std::fs::read(image).expect("the image");
    let size = page_size(&bytes);
    let mut hashes = PageHashes::new(size);
    for (number, page) in (1..).zip(bytes.chunks(size.bytes())) {
        let pgno = PageNo::new(number).expect("not 0");
        hashes.set(pgno, page_hash(pgno, page));
    }
    hashes.checksum()
}

fn page_size(image: &[u8]) -> PageSize {
    let field = u32::from(u16::from_be_bytes([image[16], image[17]]));
    PageSize::new(if field == 1 { 65_536 } else { field }).expect("a page size")
}

fn run(command: &str, one: &Path, other: &Path) -> Output {
    python("oracle.py").arg(command).arg(one).arg(other).output().expect("python3 runs")
}
