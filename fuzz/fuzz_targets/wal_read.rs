//! Fuzzes with the oracle that the stable tests replay the corpus through.
#![no_main]

#[path = "../../crates/sqlite-wal/tests/wal/oracle.rs"]
mod oracle;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| oracle::wal_read(bytes));
