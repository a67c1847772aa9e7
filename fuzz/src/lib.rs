//! What the fuzz targets and the seeds share with the stable tests: the oracles that judge any bytes whatever, and the
//! samples that fuzzing starts from.
//!
//! The tests that replay the corpus use the very same files, so what fuzzing finds fails there too.

#[path = "../../crates/segment/tests/segment/samples.rs"]
mod samples;
#[path = "../../crates/segment/tests/segment/oracle.rs"]
mod segment_oracle;
#[path = "../../crates/sqlite-wal/tests/wal/oracle.rs"]
mod wal_oracle;
#[path = "../../crates/sqlite-wal/tests/wal/samples.rs"]
mod wal_samples;

/// Any bytes as an object of a store.
pub fn segment_decode(bytes: &[u8]) {
    segment_oracle::segment_decode(bytes);
}

/// Any bytes as the name of an object or a database.
pub fn object_names(bytes: &[u8]) {
    segment_oracle::object_names(bytes);
}

/// Any bytes as a `-wal` file.
pub fn wal_read(bytes: &[u8]) {
    wal_oracle::wal_read(bytes);
}

/// Where the number of the format's version stands.
const VERSION_AT: usize = 8;

/// Objects with their names: of every kind, and the same as if of the next version of the format.
pub fn segments() -> Vec<(String, Vec<u8>)> {
    let of_both_versions = |(name, draft): (&str, segment::Draft)| {
        let bytes = segment::encode(&draft).bytes;
        let mut newer = bytes.clone();
        newer[VERSION_AT] = 2;
        [(name.to_owned(), bytes), (format!("{name}-of-version-2"), newer)]
    };
    samples::all().into_iter().flat_map(of_both_versions).collect()
}

/// `-wal` files with their names.
pub fn wals() -> Vec<(String, Vec<u8>)> {
    wal_samples::all()
}
