//! Fuzzes with the oracle that the stable tests replay the corpus through.
#![no_main]

#[path = "../../crates/segment/tests/segment/oracle.rs"]
#[allow(dead_code, reason = "the oracle serves two targets")]
mod oracle;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| oracle::object_names(bytes));
