//! What decides whether a stage runs at all, and how runs come to their end.

use super::*;
use crate::pipeline_run::api::{SkipReason, StopKind};
use crate::pipeline_run::observed::{Origin, Tried};

/// How a Job names the login of a Build stage here.
const LOGIN: &str = r#""secretName":"registry""#;

fn script(name: &str, extra: &Value) -> Value {
    let mut stage = json!({"name": name, "type": "Custom", "image": "i", "run": "true"});
    json_patch::merge(&mut stage, extra);
    stage
}

fn over(seen: Observed, job: &str, code: i32) -> Observed {
    let report = tested(1, u32::from(code != 0));
    with_job(seen, job, |known| known.over(NOW, code, report))
}

fn env(plan: &Plan<PipelineRunStatus>, name: &str) -> Option<String> {
    let job = &created(plan)[0].body;
    let env = &job["spec"]["template"]["spec"]["containers"][0]["env"];
    let found = env.as_array()?.iter().find(|env| env["name"] == name)?;
    Some(found["value"].as_str()?.to_owned())
}

#[test]
fn a_stage_whose_condition_does_not_hold_is_skipped_and_keeps_nobody_back() {
    let stages = json!([
        script("a", &json!({})),
        script("b", &json!({"needs": ["a"], "when": "branch == 'release'"})),
        script("c", &json!({"needs": ["b"]})),
    ]);
    let seen = then(running(&stages));
    // Its turn comes first: it may be skipped for another reason.
    assert_eq!(stage(&seen.status, "b").phase, StagePhase::Pending);
    let good = plan(&over(seen.clone(), "api-1-a-1", 0), NOW);
    assert_eq!(
        stage(&good.progress, "b").skipped_because,
        Some(SkipReason::When)
    );
    assert_eq!(names(&good), ["api-1-c-1"]);
    let bad = plan(&over(seen, "api-1-a-1", 1), NOW);
    assert_eq!(
        stage(&bad.progress, "b").skipped_because,
        Some(SkipReason::Needs)
    );
    assert_eq!(
        stage(&bad.progress, "c").skipped_because,
        Some(SkipReason::Needs)
    );
}

#[test]
fn a_condition_that_holds_runs_the_stage() {
    let stages = json!([script(
        "a",
        &json!({"when": "event == 'Push' && branch == 'main'"})
    )]);
    assert_eq!(names(&plan(&running(&stages), NOW)), ["api-1-a-1"]);
}

#[test]
fn what_comes_next_does_not_wait_until_a_job_is_counted_and_the_job_is_left_alone() {
    let stages = json!([
        script("a", &json!({})),
        script("b", &json!({"needs": ["a"]}))
    ]);
    let seen = then(running(&stages));
    let uncounted = |known: Job| Job {
        state: JobState::Active,
        ..known.over(NOW, 0, tested(1, 0))
    };
    let next = plan(&with_job(seen, "api-1-a-1", uncounted), NOW);
    assert_eq!(stage(&next.progress, "a").phase, StagePhase::Succeeded);
    assert_eq!(names(&next), ["api-1-b-1"]);
    let mut actions = next.actions.iter();
    assert!(!actions.any(|action| matches!(action, Action::Delete { .. })));
}

fn with_cleanup() -> Observed {
    running(&json!([
        script("a", &json!({})),
        script("b", &json!({"needs": ["a"]})),
        script("clean", &json!({"always": true})),
        script("tell", &json!({"always": true, "needs": ["clean"]})),
    ]))
}

#[test]
fn what_runs_always_runs_after_all_others_and_knows_how_it_went() {
    let seen = then(with_cleanup());
    let seen = then(over(seen, "api-1-a-1", 0));
    assert_eq!(stage(&seen.status, "clean").phase, StagePhase::Pending);
    let seen = over(seen, "api-1-b-1", 0);
    let cleaning = plan(&seen, NOW);
    assert_eq!(names(&cleaning), ["api-1-clean-1"]);
    assert_eq!(
        env(&cleaning, "SLIPWAY_RUN_RESULT").as_deref(),
        Some("Succeeded")
    );
    let seen = over(then(seen), "api-1-clean-1", 0);
    let seen = over(then(seen), "api-1-tell-1", 0);
    assert_eq!(plan(&seen, NOW).progress.phase, Some(RunPhase::Succeeded));
}

#[test]
fn what_runs_always_runs_after_a_failure_and_its_own_failure_counts() {
    let seen = over(then(with_cleanup()), "api-1-a-1", 1);
    let cleaning = plan(&seen, NOW);
    assert_eq!(names(&cleaning), ["api-1-clean-1"]);
    assert_eq!(
        env(&cleaning, "SLIPWAY_RUN_RESULT").as_deref(),
        Some("Failed")
    );
    // One that failed keeps the next one back as little as any other.
    let seen = over(then(seen), "api-1-clean-1", 1);
    assert_eq!(names(&plan(&seen, NOW)), ["api-1-tell-1"]);
    let seen = over(then(seen), "api-1-tell-1", 0);
    let done = plan(&seen, NOW);
    assert_eq!(done.progress.phase, Some(RunPhase::Failed));
    assert_eq!(done.progress.failure.unwrap().stage.as_deref(), Some("a"));

    let seen = then(over(then(with_cleanup()), "api-1-a-1", 0));
    let seen = then(over(seen, "api-1-b-1", 0));
    let seen = then(over(seen, "api-1-clean-1", 1));
    let done = plan(&over(seen, "api-1-tell-1", 0), NOW);
    assert_eq!(done.progress.phase, Some(RunPhase::Failed));
    assert_eq!(
        done.progress.failure.unwrap().stage.as_deref(),
        Some("clean")
    );
}

#[test]
fn a_cancelled_run_stops_what_runs_and_still_cleans_up() {
    let mut seen = with_job(then(with_cleanup()), "api-1-a-1", Job::running);
    seen.cancelled_by = Some("alice".into());
    let stopping = plan(&seen, NOW);
    assert_eq!(stopping.progress.phase, Some(RunPhase::Running));
    assert_eq!(
        stopping.progress.stopping.as_ref().unwrap().kind,
        StopKind::Cancelled
    );
    assert_eq!(stage(&stopping.progress, "a").phase, StagePhase::Cancelled);
    assert_eq!(
        stage(&stopping.progress, "b").skipped_because,
        Some(SkipReason::Stopped)
    );
    assert!(stopping.why.message.starts_with("being stopped by alice"));
    let deletes = |plan: &Plan<PipelineRunStatus>| {
        let mut actions = plan.actions.iter();
        actions.any(|action| matches!(action, Action::Delete { target, .. } if target.key.name == "api-1-a-1"))
    };
    assert!(deletes(&stopping));
    assert_eq!(
        env(&stopping, "SLIPWAY_RUN_RESULT").as_deref(),
        Some("Cancelled")
    );
    // The Decision may be gone by then.
    let mut seen = then(seen);
    seen.cancelled_by = None;
    assert!(deletes(&plan(&seen, NOW)));
    let seen = then(over(seen, "api-1-clean-1", 0));
    let done = plan(&over(seen, "api-1-tell-1", 0), NOW);
    assert_eq!(done.progress.phase, Some(RunPhase::Cancelled));
}

#[test]
fn a_run_that_makes_its_release_is_not_stopped_any_more() {
    let mut seen = then(built_well());
    let making = plan(&seen, NOW);
    assert!(making.progress.release.is_some());
    seen = then(seen);
    seen.cancelled_by = Some("alice".into());
    let plan = plan(&seen, NOW);
    assert_eq!(plan.progress.stopping, None);
    assert_eq!(created(&plan)[0].kind, ObjectKind::Release);
}

#[test]
fn a_run_that_takes_too_long_is_stopped_and_cleans_up() {
    let mut seen = with_cleanup();
    if let Snapshot::Taken(spec) = &mut seen.snapshot {
        spec.timeout = std::time::Duration::from_mins(20).into();
    }
    let seen = with_job(then(seen), "api-1-a-1", Job::running);
    let until = NOW + SignedDuration::from_mins(20);
    let seen = then(seen);
    assert_eq!(plan(&seen, NOW).wake, Some(until));
    let late = plan(&seen, until);
    assert_eq!(stage(&late.progress, "a").phase, StagePhase::TimedOut);
    assert_eq!(names(&late), ["api-1-clean-1"]);
    assert_eq!(
        late.progress.failure.as_ref().unwrap().kind,
        FailureKind::Timeout
    );
    let seen = then_at(seen, until);
    let seen = then_at(over(seen, "api-1-clean-1", 0), until);
    let done = plan(&over(seen, "api-1-tell-1", 0), until);
    assert_eq!(done.progress.phase, Some(RunPhase::TimedOut));
}

#[test]
fn a_run_can_take_over_what_another_one_has_done() {
    let stages = json!([
        script("a", &json!({})),
        script(
            "b",
            &json!({"matrix": {"axes": {"py": ["1", "2"]}, "failFast": false}})
        ),
        script("clean", &json!({"always": true})),
    ]);
    let first = then(running(&stages));
    let first = over(first, "api-1-a-1", 0);
    let first = over(over(first, "api-1-b-1-1", 0), "api-1-b-2-1", 1);
    let first = then(over(then(first), "api-1-clean-1", 0));
    assert_eq!(first.status.phase, Some(RunPhase::Failed));

    let mut again = running(&stages);
    again.key.name = "api-2".into();
    again.spec.sha = None;
    again.status = PipelineRunStatus::default();
    again.spec.retry_of = Some(crate::pipeline_run::api::RunRef {
        name: "api-1".into(),
    });
    again.origin = Origin::Found(Box::new(Tried {
        name: "api-1".into(),
        spec: first.spec.clone(),
        status: first.status.clone(),
    }));
    let next = plan(&again, NOW);
    assert_eq!(names(&next), ["api-2-b-2-1"]);
    assert_eq!(next.progress.revision, first.status.revision);
    assert_eq!(next.progress.sha, first.status.sha);
    assert_eq!(
        stage(&next.progress, "a").message.as_deref(),
        Some("taken over from api-1")
    );
    let again = then(again);
    let again = then(over(again, "api-2-b-2-1", 0));
    assert_eq!(stage(&again.status, "clean").phase, StagePhase::Running);
    let done = plan(&over(again, "api-2-clean-1", 0), NOW);
    assert_eq!(done.progress.phase, Some(RunPhase::Succeeded));
    assert_eq!(done.progress.tests.unwrap().total, 3);
}

/// A run of a pull request that failed, and the one that somebody started to try it again.
fn retried(pull_request: &Value, stages: &Value) -> Observed {
    let mut first = running(stages);
    let told = json!({
        "kind": "PullRequest", "actor": "github:alice", "name": "pr", "needsApproval": pull_request["fork"], "pullRequest": pull_request,
    });
    first.spec.trigger = serde_json::from_value(told).unwrap();
    first.spec.git_ref = "refs/pull/7/head".into();
    let first = then(first);
    let mut again = first.clone();
    again.key.name = "api-2".into();
    again.status = PipelineRunStatus::default();
    let by_hand = json!({"kind": "Manual", "actor": "bob@example.com"});
    again.spec.trigger = serde_json::from_value(by_hand).unwrap();
    again.spec.retry_of = Some(crate::pipeline_run::api::RunRef {
        name: "api-1".into(),
    });
    again.origin = Origin::Found(Box::new(Tried {
        name: "api-1".into(),
        spec: first.spec.clone(),
        status: PipelineRunStatus {
            phase: Some(RunPhase::Failed),
            sha: Some(sha('a')),
            stages: Vec::new(),
            ..first.status
        },
    }));
    again
}

#[test]
fn a_pull_request_that_is_tried_again_is_what_it_was_and_not_what_somebody_started() {
    let build = json!({"image": "registry.example/api", "pushOn": ["PullRequest"], "pushSecretRef": {"name": "registry"}});
    let stages = json!([
        {"name": "image", "type": "Build", "build": build},
        script("unit", &json!({"when": "event == 'PullRequest' && base == 'main'"})),
    ]);
    let again = retried(
        &json!({"number": 7, "base": "main", "fork": false}),
        &stages,
    );
    let next = plan(&again, NOW);
    assert_eq!(names(&next), ["api-2-image-1", "api-2-unit-1"]);
    let job = created(&next)[0].body.to_string();
    assert!(job.contains("pushes\\\":true"), "it is pushed: {job}");
    assert!(job.contains(LOGIN), "with the login: {job}");
    let origin = next.progress.origin.as_ref().unwrap();
    assert_eq!(origin.actor, "github:alice");

    // And so is one that tries this one again, whoever is still there.
    let mut third = again.clone();
    third.key.name = "api-3".into();
    third.origin = Origin::Found(Box::new(Tried {
        name: "api-2".into(),
        spec: again.spec.clone(),
        status: PipelineRunStatus {
            phase: Some(RunPhase::Failed),
            stages: Vec::new(),
            ..next.progress
        },
    }));
    let mut third = then(third);
    third.origin = Origin::Missing("api-2".into());
    assert_eq!(third.trigger().kind, TriggerKind::PullRequest);
    assert!(third.is_trusted());
}

#[test]
fn a_pull_request_from_elsewhere_gets_no_secrets_by_being_tried_again() {
    let build = json!({"image": "registry.example/api", "pushOn": ["PullRequest"], "pushSecretRef": {"name": "registry"}});
    let stages = json!([{"name": "image", "type": "Build", "build": build}]);
    let again = retried(&json!({"number": 7, "fork": true}), &stages);
    assert!(!again.is_trusted());
    let next = plan(&again, NOW);
    let job = created(&next)[0].body.to_string();
    assert!(
        !job.contains("pushes\\\":true") && !job.contains(LOGIN),
        "{job}"
    );
}

#[test]
fn a_run_that_cannot_be_tried_again_says_why() {
    let said = |change: &dyn Fn(&mut Tried)| {
        let mut seen = begun();
        seen.status = PipelineRunStatus::default();
        let status = PipelineRunStatus {
            phase: Some(RunPhase::Failed),
            revision: Some("api-snapshot".into()),
            sha: Some(sha('a')),
            ..PipelineRunStatus::default()
        };
        let mut tried = Tried {
            name: "api-0".into(),
            spec: seen.spec.clone(),
            status,
        };
        change(&mut tried);
        seen.origin = Origin::Found(Box::new(tried));
        let failure = plan(&seen, NOW).progress.failure;
        failure.and_then(|failure| failure.hint).unwrap_or_default()
    };
    assert_eq!(said(&|_| {}), "");
    assert!(said(&|run| run.status.phase = Some(RunPhase::Running)).contains("is not over yet"));
    assert!(
        said(&|run| run.status.sha = Some(sha('b'))).contains("another Pipeline, ref or commit")
    );
    assert!(said(&|run| run.spec.git_ref = "refs/heads/x".into()).contains("another Pipeline"));
    assert!(said(&|run| run.status.revision = None).contains("ended before it began"));
    let mut seen = begun();
    seen.status = PipelineRunStatus::default();
    seen.origin = Origin::Missing("api-0".into());
    let plan = plan(&seen, NOW);
    assert_eq!(plan.progress.failure.unwrap().kind, FailureKind::Config);
}
