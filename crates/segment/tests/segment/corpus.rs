//! The inputs that fuzzing starts from and those that once failed, replayed without a fuzzer.

use std::fs;
use std::path::Path;

use crate::oracle;

fn replay(target: &str, oracle: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let mut count = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        oracle(&fs::read(entry.unwrap().path()).unwrap());
        count += 1;
    }
    assert!(count >= 5, "{} holds {count} inputs", folder.display());
}

#[test]
fn segment_decode() {
    replay("segment_decode", oracle::segment_decode);
}

#[test]
fn object_names() {
    replay("object_names", oracle::object_names);
}
