//! Stories of a stage that waits for the preview of its pull request.

use super::super::super::api::{PullRequest, SkipReason};
use super::*;
use crate::environment::api::PreviewStatus;
use crate::pipeline_run::observed::PreviewSaid;

/// A run of a pull request whose one stage waits for its preview in Environment review, and has begun to.
fn waiting() -> Observed {
    let mut seen = of_pull_request();
    let spec = &mut seen.pipeline.as_mut().unwrap().spec;
    let stage = json!({
        "name": "shown", "type": "Preview", "preview": {"environment": "review"}, "timeout": "10m",
    });
    spec.stages = vec![serde_json::from_value(stage).unwrap()];
    spec.gates = Vec::new();
    seen.snapshot = Snapshot::Taken(Box::new(spec.clone()));
    seen.status.revision = Some("api-snapshot".into());
    seen.previews.insert("review".into(), PreviewSaid::Nothing);
    seen.status = plan(&seen, NOW).progress;
    seen
}

fn of_pull_request() -> Observed {
    let mut seen = a_run();
    seen.spec.git_ref = "refs/pull/12/head".into();
    seen.spec.trigger.kind = TriggerKind::PullRequest;
    seen.spec.trigger.pull_request = Some(PullRequest {
        number: 12,
        base: None,
        fork: false,
    });
    seen
}

fn says(seen: &mut Observed, phase: &str, run: &str) {
    let status = json!({
        "number": 12, "phase": phase, "namespace": "shop-review-pr-12", "url": "https://pr-12.example", "run": run,
        "message": "says why",
    });
    let status: PreviewStatus = serde_json::from_value(status).unwrap();
    let said = PreviewSaid::Status(Box::new(status));
    seen.previews.insert("review".into(), said);
}

#[test]
fn it_waits_without_a_pod_until_the_preview_answers_with_its_commit() {
    let mut seen = waiting();
    let plan_now = plan(&seen, NOW);
    let stage = &plan_now.progress.stages[0];
    assert_eq!(
        (stage.phase, stage.job.as_ref()),
        (StagePhase::Running, None)
    );
    assert!(
        created(&plan_now)
            .iter()
            .all(|made| made.kind != ObjectKind::Job)
    );
    for (phase, run) in [
        ("Updating", "api-1"),
        ("Ready", "api-0"),
        ("Failed", "api-0"),
        ("Queued", "api-1"),
    ] {
        says(&mut seen, phase, run);
        let next = plan(&seen, NOW).progress;
        assert_eq!(next.stages[0].phase, StagePhase::Running, "{phase} {run}");
    }
    says(&mut seen, "Ready", "api-1");
    let next = plan(&seen, NOW).progress;
    assert_eq!(next.stages[0].phase, StagePhase::Succeeded);
    let preview = next.preview.unwrap();
    assert_eq!(preview.url.as_deref(), Some("https://pr-12.example"));
}

#[test]
fn a_preview_that_cannot_be_fails_the_stage_with_its_reason() {
    let mut seen = waiting();
    says(&mut seen, "Refused", "api-1");
    let failed = plan(&seen, NOW);
    assert_eq!(failed.progress.stages[0].phase, StagePhase::Failed);
    let failure = failed.progress.failure.unwrap();
    assert_eq!(failure.kind, FailureKind::Preview);
    assert!(failure.hint.unwrap().contains("says why"));

    seen.previews.insert("review".into(), PreviewSaid::Missing);
    let missing = plan(&seen, NOW).progress.failure.unwrap();
    assert_eq!(missing.kind, FailureKind::Config);

    says(&mut seen, "Queued", "api-1");
    let late = plan(&seen, NOW + SignedDuration::from_mins(10)).progress;
    assert_eq!(late.stages[0].phase, StagePhase::TimedOut);
}

#[test]
fn a_pull_request_without_the_label_has_none_and_its_run_goes_on() {
    let mut seen = waiting();
    says(&mut seen, "Skipped", "api-0");
    let next = plan(&seen, NOW).progress;
    assert_eq!(next.stages[0].phase, StagePhase::Running, "of another run");
    says(&mut seen, "Skipped", "api-1");
    let next = plan(&seen, NOW).progress;
    let stage = &next.stages[0];
    assert_eq!(stage.phase, StagePhase::Skipped);
    assert_eq!(stage.skipped_because, Some(SkipReason::Nothing));
    assert!(stage.message.as_ref().unwrap().contains("says why"));
    assert_eq!(next.preview, None);
}

#[test]
fn a_run_of_a_pull_request_that_people_started_fails_and_says_that_it_has_none() {
    let mut seen = waiting();
    seen.spec.trigger.kind = TriggerKind::Manual;
    seen.spec.trigger.pull_request = None;
    seen.status = PipelineRunStatus::default();
    seen.status.revision = Some("api-snapshot".into());
    let begun = plan(&seen, NOW);
    assert_eq!(begun.wake, Some(NOW));
    seen.status = begun.progress;
    let failed = plan(&seen, NOW).progress;
    assert_eq!(failed.stages[0].phase, StagePhase::Failed);
    let failure = failed.failure.unwrap();
    assert_eq!(failure.kind, FailureKind::Preview);
    assert!(failure.hint.unwrap().contains("started by hand"));
}

#[test]
fn a_run_of_a_branch_has_none_and_goes_on() {
    let mut seen = waiting();
    let branch = a_run();
    seen.spec = branch.spec;
    seen.status = PipelineRunStatus::default();
    seen.status.revision = Some("api-snapshot".into());
    let next = plan(&seen, NOW).progress;
    assert_eq!(next.stages[0].skipped_because, Some(SkipReason::Nothing));
}
