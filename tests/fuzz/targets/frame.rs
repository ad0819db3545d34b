//! Any frame, through both gates, the engine and the lease file.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| xdhcpd_tests::fuzzed::frame(bytes));
