//! What gates make of what their checks found.

use super::testing::{NOW, stage, waiver};
use super::*;
use crate::pipeline::api::{ResultGate, TestsGate};
use crate::pipeline_run::api::{StagePhase, StageStatus, TestCounts};

fn gate(mode: GateMode) -> Gate {
    Gate {
        name: "tests".into(),
        mode: Some(mode),
        tests: Some(TestsGate::default()),
        ..Gate::default()
    }
}

fn tested(total: u32, failed: u32) -> Vec<StageStatus> {
    let tests = TestCounts {
        total,
        passed: total - failed,
        failed,
        ..TestCounts::default()
    };
    vec![stage("unit", Some(tests))]
}

fn verdict(gate: &Gate, stages: &[StageStatus], waivers: &[Waiver]) -> GateVerdict {
    let evidence = Evidence {
        stages,
        made: &[],
        baseline: None,
    };
    judge(gate, waivers, &evidence.scope(&gate.from), NOW)
}

#[test]
fn a_gate_that_holds_passes_in_either_mode() {
    for mode in [GateMode::Enforce, GateMode::Warn] {
        let verdict = verdict(&gate(mode), &tested(3, 0), &[]);
        assert_eq!(verdict.result, GateResult::Passed);
        assert!(!blocks(&verdict));
    }
}

#[test]
fn a_gate_that_does_not_hold_blocks_or_warns() {
    let enforced = verdict(&gate(GateMode::Enforce), &tested(3, 1), &[]);
    assert_eq!(enforced.result, GateResult::Failed);
    assert!(blocks(&enforced));
    let warned = verdict(&gate(GateMode::Warn), &tested(3, 1), &[]);
    assert_eq!(warned.result, GateResult::Warned);
    assert!(!blocks(&warned));
}

#[test]
fn no_data_is_not_success() {
    let enforced = verdict(&gate(GateMode::Enforce), &[], &[]);
    assert_eq!(enforced.result, GateResult::NoData);
    assert!(blocks(&enforced));
    let warned = verdict(&gate(GateMode::Warn), &[], &[]);
    assert_eq!(warned.result, GateResult::Warned);
    let empty = Gate {
        tests: None,
        ..gate(GateMode::Enforce)
    };
    assert!(blocks(&verdict(&empty, &tested(3, 0), &[])));
}

#[test]
fn a_waiver_of_the_whole_gate_is_shown_and_ends() {
    let gate = gate(GateMode::Enforce);
    let waived = verdict(&gate, &tested(3, 1), &[waiver("tests", "2099-01-01")]);
    assert_eq!(waived.result, GateResult::Waived);
    assert!(!blocks(&waived));
    assert_eq!(waived.waivers.len(), 1);
    assert!(waived.message.is_some(), "what is waived is still told");
    let over = verdict(&gate, &tested(3, 1), &[waiver("tests", "2020-01-01")]);
    assert_eq!(over.result, GateResult::Failed);
    assert!(over.message.unwrap().contains("ended on 2020-01-01"));
    // What holds needs none.
    let good = verdict(&gate, &tested(3, 0), &[waiver("tests", "2099-01-01")]);
    assert_eq!((good.result, good.waivers.len()), (GateResult::Passed, 0));
}

#[test]
fn a_gate_judges_the_stages_that_it_names() {
    let mut stages = tested(3, 1);
    let tests = TestCounts {
        total: 5,
        passed: 5,
        ..TestCounts::default()
    };
    stages.push(stage("integration", Some(tests)));
    let from = |names: &[&str]| Gate {
        from: names.iter().map(|name| (*name).to_owned()).collect(),
        ..gate(GateMode::Enforce)
    };
    let of = |gate: &Gate| verdict(gate, &stages, &[]);
    assert_eq!(of(&from(&["integration"])).result, GateResult::Passed);
    assert_eq!(of(&from(&["unit"])).result, GateResult::Failed);
    let all = of(&from(&[]));
    assert_eq!(all.measured.as_deref(), Some("1 of 8 tests failed"));
}

#[test]
fn a_stage_that_was_left_out_has_no_result() {
    let gate = Gate {
        name: "ran".into(),
        result: Some(ResultGate {}),
        ..Gate::default()
    };
    let mut stages = tested(1, 0);
    assert_eq!(verdict(&gate, &stages, &[]).result, GateResult::Passed);
    let skipped = StageStatus {
        phase: StagePhase::Skipped,
        ..stage("slow", None)
    };
    stages.push(skipped);
    let failed = verdict(&gate, &stages, &[]);
    assert_eq!(failed.result, GateResult::Failed);
    assert_eq!(
        failed.message.as_deref(),
        Some("1 of 2 stages succeeded: slow Skipped")
    );
    // What comes later has not failed.
    stages[1].phase = StagePhase::Pending;
    assert_eq!(verdict(&gate, &stages, &[]).result, GateResult::Passed);
    assert_eq!(verdict(&gate, &[], &[]).result, GateResult::NoData);
}
