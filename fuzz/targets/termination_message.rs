//! See `slipway::fuzzing::termination_message`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| slipway::fuzzing::termination_message(data));
