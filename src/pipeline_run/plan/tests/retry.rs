//! Attempts that are replaced, and those that are not.

use super::*;
use crate::pipeline_run::observed::Retry;
use crate::runner::report::StageReport;

fn unit(extra: &Value) -> Observed {
    let mut stage = json!({"name": "unit", "type": "Test", "image": "i", "run": "true"});
    json_patch::merge(&mut stage, extra);
    then(running(&json!([stage])))
}

fn unit_status(plan: &Plan<PipelineRunStatus>) -> &StageStatus {
    stage(&plan.progress, "unit")
}

#[test]
fn a_lost_attempt_is_replaced_by_another_job_after_a_while_and_counted() {
    let seen = with_job(unit(&json!({})), UNIT, |job| job.evicted(NOW));
    let first = plan(&seen, NOW);
    assert!(names(&first).is_empty());
    assert_eq!(first.wake, Some(NOW + SignedDuration::from_secs(5)));
    let known = unit_status(&first);
    assert_eq!((known.attempt, known.infra_retries), (Some(2), 1));
    assert!(
        known
            .message
            .as_ref()
            .unwrap()
            .contains("attempt 1 was lost")
    );
    assert_eq!(known.job.as_deref(), Some("api-1-unit-2"));

    let later = NOW + SignedDuration::from_secs(5);
    let seen = then(seen);
    assert!(names(&plan(&seen, later - SignedDuration::from_secs(1))).is_empty());
    assert_eq!(names(&plan(&seen, later)), ["api-1-unit-2"]);
    let seen = with_job(then_at(seen, later), "api-1-unit-2", |job| {
        job.over(later, 0, tested(3, 0))
    });
    let done = plan(&seen, later);
    assert_eq!(done.progress.phase, Some(RunPhase::Succeeded));
    assert_eq!(unit_status(&done).tests.unwrap().total, 3);
}

#[test]
fn an_attempt_whose_node_is_gone_is_replaced_and_not_waited_for_for_hours() {
    let gone = |job: Job| job.running().with_pod(|pod| pod.leaving_at = Some(NOW));
    let seen = with_job(unit(&json!({})), UNIT, gone);
    let waits = plan(&seen, NOW);
    let until = NOW + SignedDuration::from_mins(1);
    assert_eq!((waits.wake, waits.actions.len()), (Some(until), 0));
    let lost = plan(&seen, until);
    assert_eq!(unit_status(&lost).attempt, Some(2));
    // Where the node comes back, it is told to end what nobody waits for any more.
    assert!(matches!(lost.actions.as_slice(), [Action::Delete { .. }]));
}

#[test]
fn a_stage_that_is_lost_again_and_again_fails_in_the_end() {
    let mut seen = unit(&json!({"retry": {"infra": 2}}));
    let mut now = NOW;
    for attempt in 1..=3 {
        let job = format!("api-1-unit-{attempt}");
        seen = then_at(with_job(seen, &job, |job| job.evicted(now)), now);
        now += SignedDuration::from_mins(10);
        seen = then_at(seen, now);
    }
    assert_eq!(seen.status.phase, Some(RunPhase::Failed));
    let failure = seen.status.failure.unwrap();
    assert_eq!(failure.kind, FailureKind::Evicted);
    assert!(failure.hint.unwrap().ends_with("(attempt 3)"));
}

#[test]
fn a_failed_attempt_is_replaced_only_where_that_is_asked_for() {
    let failed = |extra: &Value| with_job(unit(extra), UNIT, |job| job.over(NOW, 1, tested(5, 1)));
    assert_eq!(
        plan(&failed(&json!({})), NOW).progress.phase,
        Some(RunPhase::Failed)
    );

    let seen = failed(&json!({"retry": {"app": 1}}));
    let again = plan(&seen, NOW);
    assert_eq!(names(&again), ["api-1-unit-2"]);
    assert_eq!(
        (
            unit_status(&again).infra_retries,
            unit_status(&again).app_retries
        ),
        (0, 1)
    );
    assert_eq!(again.progress.failure, None);
    let seen = then(seen);
    let good = with_job(seen.clone(), "api-1-unit-2", |job| {
        job.over(NOW, 0, tested(5, 0))
    });
    let done = plan(&good, NOW);
    assert_eq!(done.progress.phase, Some(RunPhase::Succeeded));
    assert_eq!(unit_status(&done).tests.unwrap().failed, 0);
    let bad = with_job(seen, "api-1-unit-2", |job| job.over(NOW, 1, tested(5, 1)));
    assert_eq!(plan(&bad, NOW).progress.phase, Some(RunPhase::Failed));
}

#[test]
fn lost_and_failed_attempts_are_counted_apart() {
    let seen = unit(&json!({"retry": {"infra": 1, "app": 1}}));
    let seen = then(with_job(seen, UNIT, |job| job.evicted(NOW)));
    let later = NOW + SignedDuration::from_secs(5);
    let seen = then_at(seen, later);
    let seen = with_job(seen, "api-1-unit-2", |job| job.over(later, 1, tested(5, 1)));
    let seen = then_at(seen, later);
    let known = stage(&seen.status, "unit");
    assert_eq!((known.infra_retries, known.app_retries), (1, 1));
    assert_eq!(known.attempt, Some(3));
}

#[test]
fn a_script_that_says_so_is_tried_again() {
    let busy = StageReport {
        failure: Some(FailureKind::Test),
        exit_code: Some(75),
        ..StageReport::default()
    };
    let seen = with_job(unit(&json!({})), UNIT, |job| job.over(NOW, 75, busy));
    assert_eq!(unit_status(&plan(&seen, NOW)).infra_retries, 1);
}

#[test]
fn what_is_done_at_most_once_is_never_tried_again() {
    let seen = unit(&json!({"type": "Migrate"}));
    let lost = with_job(seen, UNIT, |job| job.evicted(NOW));
    let plan = plan(&lost, NOW);
    assert_eq!(plan.progress.phase, Some(RunPhase::Failed));
    assert!(names(&plan).is_empty());
}

#[test]
fn what_is_done_at_most_once_waits_for_an_operator_that_takes_claims() {
    let once = json!({"name": "unit", "type": "Migrate", "image": "i", "run": "true"});
    let mut seen = running(&json!([once]));
    seen.images.receiver = None;
    let plan = plan(&seen, NOW);
    assert_eq!(plan.why.reason, "NoReceiver");
    assert!(plan.actions.is_empty() && plan.wake.is_some());
}

#[test]
fn a_stuck_attempt_that_is_replaced_is_taken_away() {
    let seen = unit(&json!({"pendingTimeout": "1m"}));
    let seen = with_job(seen, UNIT, |job| job);
    let plan = plan(&seen, NOW + SignedDuration::from_mins(1));
    assert_eq!(plan.progress.phase, Some(RunPhase::Failed));
    assert!(matches!(plan.actions.as_slice(), [Action::Delete { .. }]));
}

#[test]
fn the_commit_is_told_by_one_job_at_a_time() {
    let two = json!([
        {"name": "a", "type": "Test", "image": "i", "run": "true"},
        {"name": "b", "type": "Lint", "image": "i", "run": "true"},
    ]);
    let reports = |plan: &Plan<PipelineRunStatus>| -> Vec<bool> {
        let created = created(plan);
        let told = created
            .iter()
            .map(|job| job.body.to_string().contains("\\\"changes\\\":true"));
        told.collect()
    };
    let first = plan(&running(&two), NOW);
    assert_eq!(reports(&first), [true, false]);
    let seen = then(running(&two));
    assert_eq!(seen.status.commit_from.as_deref(), Some("a"));
    // Those that were announced and not made are made as they were announced.
    assert_eq!(reports(&plan(&seen, NOW)), [true, false]);
    // One that is lost before it told anything is followed by another one that does.
    let lost = with_job(seen, "api-1-a-1", |job| {
        job.evicted(NOW).with_pod(|pod| pod.ended.clear())
    });
    let lost = then(with_job(lost, "api-1-b-1", Job::running));
    let again = plan(&lost, NOW + SignedDuration::from_secs(5));
    assert_eq!(
        (names(&again), reports(&again)),
        (vec!["api-1-a-2"], vec![true])
    );
}

fn decided(name: &str, is_made: bool) -> Retry {
    Retry {
        decision: name.into(),
        user: "alice@example.com".into(),
        is_made,
    }
}

#[test]
fn a_decision_makes_one_run_once_the_other_is_over() {
    let mut seen = unit(&json!({}));
    seen.retries = vec![decided("again-1", false)];
    assert!(names(&plan(&seen, NOW)).iter().all(|name| *name == UNIT));

    let seen = with_job(then(seen), UNIT, |job| job.over(NOW, 1, tested(3, 1)));
    let mut seen = then(seen);
    assert_eq!(seen.status.phase, Some(RunPhase::Failed));
    let first = plan(&seen, NOW);
    let made = created(&first);
    assert_eq!((made.len(), made[0].kind), (1, ObjectKind::PipelineRun));
    let spec = &made[0].body["spec"];
    assert_eq!(spec["retryOf"]["name"], "api-1");
    assert_eq!(
        spec["trigger"],
        json!({"kind": "Manual", "actor": "alice@example.com"})
    );
    assert_eq!(first.progress.retries, [""; 0]);

    // It is noted once it is there, and does not come back when it is gone.
    seen.retries = vec![decided("again-1", true)];
    let noted = plan(&seen, NOW);
    assert_eq!(
        (noted.actions.len(), noted.progress.retries.as_slice()),
        (0, ["again-1".to_owned()].as_slice())
    );
    let mut seen = then(seen);
    seen.retries = vec![decided("again-1", false), decided("again-2", false)];
    let second = plan(&seen, NOW);
    assert_eq!(created(&second).len(), 1);
    assert_ne!(created(&second)[0].key, made[0].key);
}

#[test]
fn a_run_is_tried_again_only_so_often() {
    let seen = with_job(unit(&json!({})), UNIT, |job| job.over(NOW, 1, tested(3, 1)));
    let mut seen = then(seen);
    seen.retries = (0..12)
        .map(|at| decided(&format!("again-{at:02}"), false))
        .collect();
    assert_eq!(created(&plan(&seen, NOW)).len(), 8);
}
