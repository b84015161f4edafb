#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| minitower_fuzz::bodies::run(data));
