#![no_main]

#[path = "../laws/mod.rs"]
#[allow(dead_code, reason = "each fuzzer holds one law")]
mod laws;

libfuzzer_sys::fuzz_target!(|data: &[u8]| laws::connection::hold(data));
