//! Any lease file.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| xdhcpd_tests::fuzzed::journal(bytes));
