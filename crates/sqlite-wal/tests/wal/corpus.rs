//! The inputs that fuzzing starts from and those that once failed, replayed without a fuzzer.

use std::fs;
use std::path::Path;

use crate::oracle;

#[test]
fn wal_read() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/wal_read");
    let mut count = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        oracle::wal_read(&fs::read(entry.unwrap().path()).unwrap());
        count += 1;
    }
    assert!(count >= 5, "{} holds {count} inputs", folder.display());
}
