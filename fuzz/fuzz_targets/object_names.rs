//! Fuzzes with the oracle that the stable tests replay the corpus through.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| walship_fuzz::object_names(bytes));
