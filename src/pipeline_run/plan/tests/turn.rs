//! Stories of runs that wait: for approval, for their turn; and of those that do less than the whole.

use super::super::super::api::{PullRequest, SkipReason, StopKind};
use super::*;
use crate::pipeline::api::Concurrency;
use crate::pipeline_run::observed::{Answer, Peer};

fn of_fork() -> Observed {
    let mut seen = a_run();
    seen.spec.git_ref = "refs/pull/12/head".into();
    seen.spec.trigger.kind = TriggerKind::PullRequest;
    seen.spec.trigger.needs_approval = Some(true);
    seen.spec.trigger.pull_request = Some(PullRequest {
        number: 12,
        base: Some("main".into()),
        fork: true,
    });
    seen
}

fn limited(policy: &str) -> Observed {
    let mut seen = a_run();
    let rule: Concurrency = serde_json::from_value(json!({"policy": policy})).unwrap();
    seen.pipeline.as_mut().unwrap().spec.concurrency = Some(rule);
    seen
}

fn peer(name: &str, seconds: i64) -> Peer {
    Peer {
        name: name.into(),
        git_ref: "refs/heads/main".into(),
        started_by: NOW + SignedDuration::from_secs(seconds),
        awaits_approval: false,
    }
}

#[test]
fn a_commit_from_elsewhere_waits_for_somebody_to_look_at_it() {
    let mut seen = of_fork();
    let waiting = plan(&seen, NOW);
    assert_eq!(waiting.why.reason, "AwaitingApproval");
    assert!(waiting.why.message.contains(&sha('a')) && waiting.actions.is_empty());
    let limit = NOW + SignedDuration::from_hours(7 * 24);
    assert_eq!(waiting.wake, Some(limit));
    let late = plan(&seen, limit);
    assert_eq!(late.progress.phase, Some(RunPhase::Cancelled));
    assert!(
        late.why.message.contains("nobody approved"),
        "{:?}",
        late.why
    );
    seen.answer = Some(Answer::Rejected("bob".into()));
    let refused = plan(&seen, NOW);
    assert_eq!(refused.progress.phase, Some(RunPhase::Cancelled));
    assert!(refused.why.message.contains("bob"));
    seen.answer = Some(Answer::Approved("alice".into()));
    assert_eq!(
        created(&plan(&seen, NOW))[0].kind,
        ObjectKind::ControllerRevision
    );
}

#[test]
fn a_run_begins_when_its_pipeline_lets_it_in() {
    let mut seen = limited("Queue");
    seen.peers = vec![peer("api-0", -5)];
    seen.pipeline.as_mut().unwrap().admitted = vec!["api-0".into()];
    let waiting = plan(&seen, NOW);
    assert_eq!(waiting.why.reason, "AwaitingTurn");
    assert!(waiting.why.message.contains("api-0"));
    assert_eq!(
        waiting.progress.concurrency_group.as_deref(),
        Some("refs/heads/main")
    );
    assert!(waiting.actions.is_empty());
    // What its Pipeline said before it was listened to is looked at once more, and then it is listened to.
    assert_eq!(waiting.wake, Some(NOW + SignedDuration::from_secs(1)));
    seen.status.concurrency_group = waiting.progress.concurrency_group;
    assert_eq!(plan(&seen, NOW).wake, None);
    seen.pipeline.as_mut().unwrap().admitted = vec!["api-1".into()];
    assert_eq!(created(&plan(&seen, NOW)).len(), 1);
    // Once begun it goes on, whatever its Pipeline says.
    let mut begun = then(begun());
    begun.pipeline.clone_from(&seen.pipeline);
    begun.pipeline.as_mut().unwrap().admitted.clear();
    assert_ne!(plan(&begun, NOW).why.reason, "AwaitingTurn");
}

#[test]
fn a_run_too_many_is_turned_away_where_people_want_that() {
    let mut seen = limited("Reject");
    assert_eq!(
        plan(&seen, NOW).why.reason,
        "AwaitingTurn",
        "nobody is in yet"
    );
    seen.peers = vec![peer("api-0", -5)];
    seen.pipeline.as_mut().unwrap().admitted = vec!["api-0".into()];
    let away = plan(&seen, NOW);
    assert_eq!(away.progress.phase, Some(RunPhase::Cancelled));
    assert_eq!(away.progress.stopping.unwrap().kind, StopKind::Rejected);
}

#[test]
fn a_newer_run_takes_the_place_of_one_that_waits_or_runs() {
    let mut waiting = limited("CancelInProgress");
    waiting.peers = vec![peer("api-2", 1)];
    let away = plan(&waiting, NOW);
    assert_eq!(away.progress.phase, Some(RunPhase::Cancelled));
    assert!(away.why.message.contains("superseded by api-2"));
    let mut running = then(begun());
    running.pipeline.clone_from(&waiting.pipeline);
    running.peers = vec![peer("api-0", -1)];
    assert_eq!(
        plan(&running, NOW).progress.stopping,
        None,
        "that one is older"
    );
    let mut asks = peer("api-3", 2);
    asks.awaits_approval = true;
    running.peers = vec![asks];
    assert_eq!(
        plan(&running, NOW).progress.stopping,
        None,
        "nobody knows whether it will run"
    );
    running.peers = waiting.peers.clone();
    let stopped = plan(&running, NOW);
    let stop = stopped.progress.stopping.clone().unwrap();
    assert_eq!(
        (stop.kind, stop.by.as_deref()),
        (StopKind::Superseded, Some("api-2"))
    );
    let seen = then(then(running));
    assert_eq!(seen.status.phase, Some(RunPhase::Cancelled));
}

#[test]
fn code_of_others_is_run_without_secrets_and_pushes_nothing() {
    let mut seen = of_fork();
    seen.answer = Some(Answer::Approved("alice".into()));
    seen.images.receiver = Some(receiver());
    seen.status.revision = Some("api-snapshot".into());
    let mut spec = serde_json::to_value(spec()).unwrap();
    spec["defaults"]["env"] = json!([{"name": "T", "secretRef": {"name": "registry", "key": "t"}}]);
    seen.snapshot = Snapshot::Taken(Box::new(serde_json::from_value(spec).unwrap()));
    let rendered = |seen: &Observed| created(&plan(seen, NOW))[0].body.to_string();
    let job = rendered(&seen);
    assert!(!job.contains("secretKeyRef"), "{job}");
    assert!(job.contains("SLIPWAY_PULL_REQUEST") && job.contains("SLIPWAY_BASE_BRANCH"));
    // A person who starts a run of it by hand does not vouch for it.
    let mut by_hand = seen.clone();
    by_hand.spec.trigger.kind = TriggerKind::Manual;
    by_hand.spec.trigger.pull_request = None;
    by_hand.spec.trigger.needs_approval = None;
    assert!(!rendered(&by_hand).contains("secretKeyRef"));
    seen.spec.trigger.pull_request.as_mut().unwrap().fork = false;
    seen.secrets = Secrets::Known(
        [(
            "registry".to_owned(),
            Some(Facts {
                is_labelled: true,
                keys: ["t".to_owned()].into(),
            }),
        )]
        .into(),
    );
    assert!(rendered(&seen).contains("secretKeyRef"));
}

#[test]
fn selected_stages_run_with_what_they_need_and_make_no_release() {
    let script = |name: &str, needs: &[&str]| json!({"name": name, "type": "Test", "image": "i", "run": "true", "needs": needs});
    let mut seen = running(&json!([
        script("a", &[]),
        script("b", &["a"]),
        script("c", &["b"]),
        script("d", &["c"]),
    ]));
    seen.spec.trigger.kind = TriggerKind::Manual;
    seen.spec.stages = vec!["b".into()];
    let mut seen = then(seen);
    assert_eq!(names(&plan(&seen, NOW)), ["api-1-a-1"]);
    for name in ["api-1-a-1", "api-1-b-1"] {
        seen = then(with_job(seen, name, |job| job.over(NOW, 0, tested(1, 0))));
    }
    assert_eq!(
        stage(&seen.status, "c").skipped_because,
        Some(SkipReason::NotSelected)
    );
    assert_eq!(
        stage(&seen.status, "d").skipped_because,
        Some(SkipReason::NotSelected)
    );
    assert_eq!(
        (seen.status.phase, seen.status.release),
        (Some(RunPhase::Succeeded), None)
    );
    let mut wrong = running(&json!([script("a", &[])]));
    wrong.spec.stages = vec!["nosuch".into()];
    let failed = plan(&wrong, NOW);
    assert_eq!(failed.progress.failure.unwrap().kind, FailureKind::Config);
}

#[test]
fn a_run_of_a_paused_pipeline_waits_and_one_that_has_begun_goes_on() {
    let mut seen = a_run();
    let pause = Some(crate::pipeline::observed::Pause {
        by: "alice".into(),
        until: None,
    });
    seen.pipeline.as_mut().unwrap().pause.clone_from(&pause);
    let waiting = plan(&seen, NOW);
    assert_eq!((waiting.why.reason, waiting.actions.len()), ("Paused", 0));
    let mut going = begun();
    going.pipeline.as_mut().unwrap().pause = pause;
    assert_eq!(names(&plan(&going, NOW)), [UNIT]);
}
