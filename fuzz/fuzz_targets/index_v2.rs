#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| checks::index_v2::check(data));
