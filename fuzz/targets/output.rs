//! See `slipway::fuzzing::output`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| slipway::fuzzing::output(data));
