#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| checks::format_blob::check(data));
