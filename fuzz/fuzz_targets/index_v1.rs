#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| checks::index_v1::check(data));
