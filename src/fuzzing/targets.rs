//! The targets of fuzz/: only `make fuzz` builds them with libFuzzer, and what could not be built there is found here. No I/O.

/// As libFuzzer has it: a target is a function of any bytes.
#[macro_export]
macro_rules! fuzz_target {
    (|$data:ident: &[u8]| $body:expr) => {
        pub(super) fn target($data: &[u8]) {
            $body
        }
    };
}

#[expect(unused_attributes, reason = "each is the root of a program there")]
#[path = "../../fuzz/targets/definition.rs"]
mod definition;
#[expect(unused_attributes, reason = "each is the root of a program there")]
#[path = "../../fuzz/targets/delivery.rs"]
mod delivery;
#[expect(unused_attributes, reason = "each is the root of a program there")]
#[path = "../../fuzz/targets/git.rs"]
mod git;
#[expect(unused_attributes, reason = "each is the root of a program there")]
#[path = "../../fuzz/targets/output.rs"]
mod output;
#[expect(unused_attributes, reason = "each is the root of a program there")]
#[path = "../../fuzz/targets/rendered.rs"]
mod rendered;
#[expect(unused_attributes, reason = "each is the root of a program there")]
#[path = "../../fuzz/targets/report.rs"]
mod report;
#[expect(unused_attributes, reason = "each is the root of a program there")]
#[path = "../../fuzz/targets/termination_message.rs"]
mod termination_message;

#[test]
fn every_target_takes_any_bytes() {
    for target in [
        definition::target,
        delivery::target,
        git::target,
        output::target,
        rendered::target,
        report::target,
        termination_message::target,
    ] {
        target(b"");
        target(&[0; 64]);
    }
}
