//! What gates make of what their checks found.

use super::testing::{NOW, stage, waiver};
use super::*;
use crate::pipeline::api::{ReportFormat, ResultGate, TestsGate, VulnerabilitiesGate};
use crate::pipeline_run::api::{
    FindingCategory, FindingSet, ReportSummary, StagePhase, StageStatus, TestCounts,
};

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

/// A stage that has left no file for these reports.
fn lacking(name: &str, missing: &[(ReportFormat, &str)], reports: ReportSummary) -> StageStatus {
    let mut reports = reports;
    for (format, glob) in missing {
        crate::report::missing::note(&mut reports, *format, glob);
    }
    StageStatus {
        reports: Some(reports),
        ..stage(name, None)
    }
}

fn clean(category: FindingCategory) -> ReportSummary {
    ReportSummary {
        findings: vec![FindingSet::none(category)],
        ..ReportSummary::default()
    }
}

#[test]
fn half_of_the_evidence_is_none() {
    let cves = |mode| Gate {
        name: "cves".into(),
        mode: Some(mode),
        vulnerabilities: Some(VulnerabilitiesGate::default()),
        ..Gate::default()
    };
    let missing = [(ReportFormat::NpmAudit, "npm-audit.json")];
    let stages = [lacking(
        "dependencies",
        &missing,
        clean(FindingCategory::Vulnerability),
    )];
    let found = verdict(&cves(GateMode::Enforce), &stages, &[]);
    assert_eq!(found.result, GateResult::NoData);
    assert_eq!(
        found.message.as_deref(),
        Some(
            "stage dependencies has left no file npm-audit.json (reports.npmAudit); write it, or list it in reports.optional of the stage"
        )
    );
    let warned = verdict(&cves(GateMode::Warn), &stages, &[]);
    assert_eq!(warned.result, GateResult::Warned);
    let waived = verdict(
        &cves(GateMode::Enforce),
        &stages,
        &[waiver("cves", "2099-01-01")],
    );
    assert_eq!(waived.result, GateResult::Waived);
    // It is about what it judges, and about the stages that it names.
    let other = [lacking(
        "dependencies",
        &[
            (ReportFormat::Junit, "junit.xml"),
            (ReportFormat::Gitleaks, "leaks.json"),
        ],
        clean(FindingCategory::Vulnerability),
    )];
    assert_eq!(
        verdict(&cves(GateMode::Enforce), &other, &[]).result,
        GateResult::Passed
    );
    let mut two = stages.to_vec();
    two.push(lacking("image", &[], clean(FindingCategory::Vulnerability)));
    let from = Gate {
        from: vec!["image".into()],
        ..cves(GateMode::Enforce)
    };
    assert_eq!(verdict(&from, &two, &[]).result, GateResult::Passed);
    assert_eq!(
        verdict(&cves(GateMode::Enforce), &two, &[]).result,
        GateResult::NoData
    );
}

#[test]
fn what_is_bad_is_told_before_what_is_missing() {
    let missing = [(ReportFormat::Junit, "junit.xml")];
    let mut stages = vec![lacking("unit", &missing, ReportSummary::default())];
    assert_eq!(
        verdict(&gate(GateMode::Enforce), &stages, &[]).result,
        GateResult::NoData
    );
    // Of three cells one has left none.
    stages[0].tests = tested(20, 0)[0].tests;
    assert_eq!(
        verdict(&gate(GateMode::Enforce), &stages, &[]).result,
        GateResult::NoData
    );
    stages[0].tests = tested(20, 1)[0].tests;
    assert_eq!(
        verdict(&gate(GateMode::Enforce), &stages, &[]).result,
        GateResult::Failed
    );
}

#[test]
fn a_condition_judges_what_it_names() {
    let with = |condition: &str| Gate {
        name: "all".into(),
        cel: Some(condition.into()),
        ..Gate::default()
    };
    let missing = [(ReportFormat::Sarif, "semgrep.sarif")];
    let mut stages = vec![lacking("lint", &missing, clean(FindingCategory::Code))];
    stages[0].tests = tested(3, 0)[0].tests;
    let of = |condition: &str| verdict(&with(condition), &stages, &[]).result;
    assert_eq!(of("findings.total == 0"), GateResult::NoData);
    assert_eq!(of("tests.failed == 0"), GateResult::Passed);
}
