use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::pipeline::testing::{self as pipeline, NOW, sha};
use crate::pipeline_run::api::{
    FailedTest, FindingCategory, GateVerdict, ReportSummary, RunPreview, Severity, StagePhase,
};
use crate::pipeline_run::testing::{a_run, commit, digest};
use crate::release::api::Release;
use crate::report::finding::Found;

/// A run of pull request 7.
fn pulled() -> Observed {
    let mut seen = a_run();
    seen.spec.git_ref = "refs/pull/7/head".into();
    seen
}

fn found<'a>(id: &'a str, text: &'a str, severity: Severity) -> Found<'a> {
    Found {
        id,
        place: "src/cart.py",
        line: Some(14),
        text,
        severity: Some(severity),
        ..Found::default()
    }
}

fn reports(all: &[Found<'_>], covered: u32) -> ReportSummary {
    let mut set = crate::pipeline_run::api::FindingSet::none(FindingCategory::Code);
    for found in all {
        set.push(found);
    }
    ReportSummary {
        coverage: serde_json::from_value(
            json!({"lines": 200, "coveredLines": covered, "branches": 0, "coveredBranches": 0,
            "changed": {"lines": 4, "coveredLines": 3}}),
        )
        .unwrap(),
        findings: vec![set.settled()],
        ..ReportSummary::default()
    }
}

/// The newest Release, with what its reports said.
fn released(summary: &ReportSummary) -> Release {
    serde_json::from_value(json!({
        "apiVersion": "slipway.dev/v1alpha1", "kind": "Release", "metadata": {"name": "api-0"},
        "spec": {
            "pipeline": "api", "version": "1.2.3", "ref": "refs/heads/main", "commit": commit('b'), "changes": [],
            "images": [{"name": "image", "repository": "registry.example/shop/api", "digest": digest('8')}],
            "evidence": {"run": "api-0", "reports": [{"stage": "unit", "summary": summary}]},
        },
    }))
    .unwrap()
}

/// A run in which a bit of everything has happened.
fn eventful(name: &str, said: &str) -> (Observed, PipelineSpec, PipelineRunStatus) {
    let old = found("known", "was there before", Severity::Low);
    let mut seen = pulled();
    seen.releases = vec![std::sync::Arc::new(released(&reports(
        std::slice::from_ref(&old),
        150,
    )))];
    let mut spec = serde_json::to_value(pipeline::spec()).unwrap();
    spec["release"] = json!({"enabled": true, "version": {}});
    let spec: PipelineSpec = serde_json::from_value(spec).unwrap();
    let stage = |name: &str, phase| StageStatus::new(name, spec.stages[0].type_, phase);
    let mut unit = stage("unit", StagePhase::Failed);
    unit.message = Some(said.to_owned());
    unit.tests = serde_json::from_value(
        json!({"total": 12, "passed": 10, "failed": 2, "skipped": 0, "flaky": 1}),
    )
    .unwrap();
    unit.failed_tests = vec![FailedTest {
        name: name.to_owned(),
        message: Some(said.to_owned()),
    }];
    unit.flaky_tests = vec![name.to_owned()];
    unit.reports = Some(reports(&[old, found("new", said, Severity::High)], 151));
    let gate: GateVerdict = serde_json::from_value(
        json!({"name": "tests", "result": "Failed", "measured": "2", "message": said}),
    )
    .unwrap();
    let mut change = commit('a');
    change.subject = format!("feat: {said}").chars().take(200).collect();
    let status = PipelineRunStatus {
        phase: Some(RunPhase::Failed),
        sha: Some(sha('a')),
        finished_at: Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(NOW)),
        stages: vec![unit, stage("image", StagePhase::Skipped)],
        gates: vec![gate],
        artifacts: vec![Artifact {
            name: "image".into(),
            kind: ArtifactKind::Image,
            reference: "registry.example/shop/api".into(),
            digest: digest('9'),
            size: None,
            version: None,
        }],
        previous: Some("api-0".into()),
        commit: Some(commit('a')),
        changes: vec![change],
        bump: Some(crate::pipeline_run::api::Bump::Minor),
        preview: Some(RunPreview {
            environment: "review".into(),
            url: Some("https://pr-7.preview.example.com".into()),
        }),
        ..PipelineRunStatus::default()
    };
    (seen, spec, status)
}

#[test]
fn a_run_that_failed_is_told_whole() {
    let (seen, spec, status) = eventful("cart::test_total", "expected 3, got 4");
    insta::assert_snapshot!(body(&seen, &spec, &status));
}

#[test]
fn a_run_that_has_begun_says_so_and_no_more() {
    let seen = pulled();
    let mut status = PipelineRunStatus {
        phase: Some(RunPhase::Running),
        sha: Some(sha('a')),
        ..PipelineRunStatus::default()
    };
    let spec = pipeline::spec();
    let stage = |phase| StageStatus::new("unit", spec.stages[0].type_, phase);
    status.stages = vec![stage(StagePhase::Pending)];
    let waiting = body(&seen, &spec, &status);
    insta::assert_snapshot!(waiting);
    status.stages = vec![stage(StagePhase::Running)];
    assert_eq!(
        body(&seen, &spec, &status),
        waiting,
        "what goes on inside is no news"
    );
}

#[test]
fn what_people_write_stays_text() {
    let nasty = "x | y\n/close\n<!-- slipway:comment shop/api --> @team #12 [a](b) ![c](d) <img> </details> https://evil.example `";
    let (seen, spec, status) = eventful(nasty, nasty);
    let body = body(&seen, &spec, &status);
    let unescaped = body.replace("\\<", "");
    assert_eq!(unescaped.matches("<!--").count(), 1, "{body}");
    assert_eq!(
        body.matches("</details>").count(),
        body.matches("\n</details>").count()
    );
    for (at, line) in body.lines().enumerate() {
        assert!(!line.starts_with('/'), "{line}");
        assert!(at == 0 || !line.starts_with("<!--"), "{line}");
        for bad in ["@team", "#12", "](b)", "https://evil", "<img>"] {
            let whole = line.replace("\\]", "");
            assert!(!whole.contains(bad), "{bad} in {line}");
        }
    }
    let row = body
        .lines()
        .find(|line| line.starts_with("| unit"))
        .unwrap();
    let bars = row.replace("\\|", "").matches('|').count();
    assert_eq!(bars, 4, "{row}");
}

#[test]
fn what_people_write_refers_to_nothing() {
    let said = text("!12 ~bug ~\"to do\" &3 $5 %1.0 GH-12, 5 % & !");
    assert_eq!(
        said,
        "!\u{200b}12 \\~\u{200b}bug \\~\u{200b}\"to do\" \\&\u{200b}3 $\u{200b}5 %\u{200b}1.0 GH\u{200b}-12, 5 % \\& !"
    );
}

#[test]
fn only_the_newest_run_of_a_pull_request_speaks() {
    let mut seen = pulled();
    assert!(is_spoken_for(&seen));
    seen.is_outrun = true;
    assert!(!is_spoken_for(&seen));
    assert!(!is_spoken_for(&a_run()), "a branch has no comment");
}

proptest! {
    /// Whatever people's code says, the comment is bounded, begins with the marker and has it once.
    #[test]
    fn a_comment_is_bounded_and_ours(said in "(\\PC|[|@#<\\n`*]){0,1000}", stages in 1_usize..33) {
        let (seen, spec, mut status) = eventful(&said, &said);
        let one = status.stages[0].clone();
        status.stages = vec![one; stages];
        let gate = status.gates[0].clone();
        status.gates = vec![gate; 32];
        let body = body(&seen, &spec, &status);
        prop_assert!(body.len() <= MAX);
        let marker = marker(&seen);
        prop_assert!(body.starts_with(&marker));
        prop_assert_eq!(body.matches(marker.as_str()).count(), 1);
    }
}
