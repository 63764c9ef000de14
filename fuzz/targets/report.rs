//! See `slipway::fuzzing::report`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| slipway::fuzzing::report(data));
