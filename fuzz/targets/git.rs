//! See `slipway::fuzzing::git`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| slipway::fuzzing::git(data));
