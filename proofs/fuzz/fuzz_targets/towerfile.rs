#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| minitower_fuzz::towerfile::run(data));
