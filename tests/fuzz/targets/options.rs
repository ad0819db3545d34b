//! Any options, in a frame that is else in order.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| xdhcpd_tests::fuzzed::options(bytes));
