//! Stories of gates: what reports say, what the newest Release had, and what waivers leave out.

use serde_json::json;

use super::*;
use crate::pipeline::api::QuarantineRule;
use crate::pipeline_run::api::{
    Coverage, FailedTest, FindingCategory, FindingSet, ReportSummary, Severity,
};
use crate::pipeline_run::render;
use crate::release::api::Release;
use crate::report::finding::Found;
use crate::report::quarantine::FlakyRun;
use crate::runner::report::StageReport;

/// A run whose Pipeline has these gates, and whose tests left this summary.
fn reported(
    gates: &serde_json::Value,
    summary: ReportSummary,
    previous: Option<Release>,
) -> Observed {
    let mut asked = spec();
    asked.gates = serde_json::from_value(gates["gates"].clone()).unwrap();
    asked.waivers = serde_json::from_value(gates["waivers"].clone()).unwrap_or_default();
    let mut seen = begun();
    seen.snapshot = Snapshot::Taken(Box::new(asked));
    seen.releases = previous.into_iter().map(std::sync::Arc::new).collect();
    let report = StageReport {
        reports: Some(summary),
        ..tested(12, 0)
    };
    let seen = with_job(then(seen), UNIT, |job| job.over(NOW, 0, report));
    with_job(then(seen), IMAGE, |job| job.over(NOW, 0, built('9')))
}

fn covered(covered_lines: u32) -> ReportSummary {
    ReportSummary {
        coverage: Some(Coverage {
            lines: 1000,
            covered_lines,
            ..Coverage::default()
        }),
        ..ReportSummary::default()
    }
}

fn vulnerable(ids: &[&str]) -> ReportSummary {
    let mut set = FindingSet::none(FindingCategory::Vulnerability);
    for id in ids {
        set.push(&Found {
            severity: Some(Severity::High),
            id,
            place: "openssl@3.0.1",
            ..Found::default()
        });
    }
    ReportSummary {
        findings: vec![set.settled()],
        ..ReportSummary::default()
    }
}

/// The Release of a run that passed.
fn release_of(seen: &Observed) -> Release {
    let seen = then(seen.clone());
    let commit = seen.status.commit.clone().unwrap();
    let manifest = render::release((&seen, &spec()), &seen.status, "api-0".into(), &commit);
    let mut release: Release = serde_json::from_value(manifest.body).unwrap();
    release.metadata.name = Some("api-0".into());
    release
}

fn verdicts(seen: &Observed) -> Vec<GateResult> {
    let status = then(seen.clone()).status;
    status.gates.iter().map(|verdict| verdict.result).collect()
}

#[test]
fn coverage_is_held_against_the_newest_release() {
    let gates = json!({"gates": [{"name": "coverage", "coverage": {"maxDrop": 0.5}}]});
    let first = reported(&gates, covered(800), None);
    assert_eq!(verdicts(&first), [GateResult::Passed]);
    let release = release_of(&first);
    assert_eq!(release.spec.evidence.reports[0].stage, "unit");
    let same = reported(&gates, covered(796), Some(release.clone()));
    assert_eq!(verdicts(&same), [GateResult::Passed]);
    let worse = reported(&gates, covered(700), Some(release));
    assert_eq!(verdicts(&worse), [GateResult::Failed]);
    let status = then(worse).status;
    assert_eq!(status.phase, Some(RunPhase::Failed));
    let hint = status.failure.unwrap().hint.unwrap();
    assert!(
        hint.starts_with("gate coverage: 70 % of lines are covered, 80 %"),
        "{hint}"
    );
}

#[test]
fn only_new_vulnerabilities_count_and_the_release_knows_the_old_ones_by_their_marks() {
    let gates =
        json!({"gates": [{"name": "cves", "mode": "Warn", "vulnerabilities": {"newOnly": true}}]});
    let first = reported(&gates, vulnerable(&["CVE-1"]), None);
    assert_eq!(verdicts(&first), [GateResult::Warned]);
    let release = release_of(&first);
    let set = &release.spec.evidence.reports[0].summary.findings[0];
    assert!(set.worst.is_empty() && set.is_all_marked());
    let same = reported(&gates, vulnerable(&["CVE-1"]), Some(release.clone()));
    assert_eq!(verdicts(&same), [GateResult::Passed]);
    let new = reported(&gates, vulnerable(&["CVE-1", "CVE-2"]), Some(release));
    assert_eq!(verdicts(&new), [GateResult::Warned]);
}

#[test]
fn a_waiver_lets_a_run_pass_and_is_part_of_the_evidence() {
    let waiver = json!({"gate": "cves", "id": "CVE-1", "reason": "not reachable", "owner": "alice", "until": "2099-01-01"});
    let gates = json!({"gates": [{"name": "cves", "vulnerabilities": {}}], "waivers": [waiver]});
    let seen = reported(&gates, vulnerable(&["CVE-1"]), None);
    assert_eq!(verdicts(&seen), [GateResult::Passed]);
    let shown = &release_of(&seen).spec.evidence.gates[0].waivers;
    assert_eq!(shown, &["CVE-1 until 2099-01-01, by alice: not reachable"]);
}

#[test]
fn a_report_that_is_missing_fails_the_run() {
    let gates = json!({"gates": [{"name": "coverage", "coverage": {"min": 1}}]});
    let seen = reported(&gates, ReportSummary::default(), None);
    assert_eq!(verdicts(&seen), [GateResult::NoData]);
    assert_eq!(then(seen).status.phase, Some(RunPhase::Failed));
}

#[test]
fn what_was_flaky_before_goes_into_quarantine_when_a_run_begins() {
    let flaky = |hours: i64| FlakyRun {
        git_ref: "refs/heads/main".into(),
        at: NOW - SignedDuration::from_hours(hours),
        tests: ["shop.clock".to_owned()].into(),
    };
    let mut seen = begun();
    seen.flaky = vec![flaky(1), flaky(2)];
    assert!(
        plan(&seen, NOW).progress.quarantine.is_empty(),
        "only where it is asked for"
    );
    if let Snapshot::Taken(spec) = &mut seen.snapshot {
        spec.quarantine = Some(QuarantineRule::default());
    }
    let plan = plan(&seen, NOW);
    assert_eq!(plan.progress.quarantine, ["shop.clock"]);
    let job = created(&plan)[0].body.to_string();
    assert!(job.contains("shop.clock"), "{job}");
}

#[test]
fn a_test_that_fails_in_one_attempt_and_not_in_the_next_is_flaky() {
    let stages = json!([{"name": "unit", "type": "Test", "image": "python", "run": "pytest", "retry": {"app": 1}}]);
    let failing = StageReport {
        failed_tests: vec![FailedTest {
            name: "shop.clock".into(),
            message: None,
        }],
        ..tested(3, 1)
    };
    let seen = with_job(then(running(&stages)), UNIT, |job| {
        job.over(NOW, 1, failing.clone())
    });
    let seen = then(seen);
    assert_eq!(seen.status.suspects.len(), 1);
    let second = "api-1-unit-2";
    let good = then(with_job(seen.clone(), second, |job| {
        job.over(NOW, 0, tested(3, 0))
    }));
    let unit = stage(&good.status, "unit");
    assert_eq!(unit.flaky_tests, ["shop.clock"]);
    assert_eq!(good.status.tests.map(|tests| tests.flaky), Some(1));
    assert!(good.status.suspects.is_empty());
    // One that fails again is broken, and not flaky.
    let bad = then(with_job(seen, second, |job| job.over(NOW, 1, failing)));
    assert!(stage(&bad.status, "unit").flaky_tests.is_empty());
}
