//! See `slipway::fuzzing::rendered`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| slipway::fuzzing::rendered(data));
