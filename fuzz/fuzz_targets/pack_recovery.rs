#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| checks::pack_recovery::check(data));
