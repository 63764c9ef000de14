//! What people are told of runs.

use super::*;
use crate::outbox::api::OutboxState;
use crate::pipeline_run::observed::Branch;

const ALL: [&str; 5] = [
    "RunFailed",
    "RunRecovered",
    "RunSucceeded",
    "ReleaseMade",
    "ApprovalNeeded",
];

/// Who is told: a webhook of everything, and a service of PagerDuty.
fn receivers() -> Value {
    json!([
        {"name": "team", "webhook": {"url": "https://hooks.example/x"}, "on": ALL},
        {"name": "oncall", "pagerDuty": {"secretRef": {"name": "pd", "key": "key"}}, "on": ["RunFailed", "RunRecovered"]},
    ])
}

/// With these, and otherwise as it is.
fn told(mut seen: Observed) -> Observed {
    let with = |spec: &PipelineSpec| -> PipelineSpec {
        let mut whole = serde_json::to_value(spec).unwrap();
        whole["notifications"] = receivers();
        serde_json::from_value(whole).unwrap()
    };
    if let Snapshot::Taken(spec) = &seen.snapshot {
        seen.snapshot = Snapshot::Taken(Box::new(with(spec)));
    }
    if let Some(pipeline) = &mut seen.pipeline {
        pipeline.spec = with(&pipeline.spec);
    }
    seen
}

fn failed() -> Observed {
    let seen = told(then(begun()));
    with_job(seen, UNIT, |job| job.over(NOW, 1, tested(12, 1)))
}

/// Key and body of what is sent.
fn sent(plan: &Plan<PipelineRunStatus>) -> Vec<(String, Value)> {
    let message = |action: &Action| match action {
        Action::Fetch { key, request } => {
            let body = request.body.as_deref().unwrap();
            Some((key.clone(), serde_json::from_str(body).unwrap()))
        }
        _ => None,
    };
    plan.actions.iter().filter_map(message).collect()
}

/// Receivers answer until nothing is left to send; the keys of what they got.
fn answered(seen: &mut Observed, code: u16) -> Vec<String> {
    let mut all = Vec::new();
    for _ in 0..20 {
        let plan = plan(seen, NOW);
        let mut outcome = Outcome::default();
        for (key, _) in sent(&plan) {
            let body = Vec::new();
            let reply = Reply { status: code, body };
            outcome.replies.insert(key.clone(), Ok(reply));
            all.push(key);
        }
        seen.status = status(seen, &plan, &outcome, NOW);
    }
    all
}

#[test]
fn a_run_that_fails_is_told_once_to_everybody_who_wants_to_hear_of_it() {
    let mut seen = failed();
    let all = answered(&mut seen, 202);
    assert_eq!(all, ["notify/team/RunFailed", "notify/oncall/RunFailed"]);
    let states = seen.status.notifications.iter();
    assert!(
        states
            .into_iter()
            .all(|entry| entry.state == OutboxState::Sent)
    );
    // The operator starts again.
    assert_eq!(answered(&mut seen, 202), Vec::<String>::new());
}

#[test]
fn what_is_told_is_on_record_before_it_is_sent() {
    let plan = plan(&failed(), NOW);
    let keys = plan.progress.notifications.iter();
    let keys: Vec<&str> = keys.map(|entry| entry.key.as_str()).collect();
    assert_eq!(keys, ["notify/team/RunFailed", "notify/oncall/RunFailed"]);
    assert!(plan.progress.phase.unwrap().is_finished());
    let (_, body) = sent(&plan).remove(0);
    assert_eq!(body["event"], "RunFailed");
    assert_eq!(body["severity"], "Warning");
    assert_eq!(body["ref"], "refs/heads/main");
    assert_eq!(body["commit"], sha('a'));
    assert!(body["message"].as_str().unwrap().contains("unit"), "{body}");
}

#[test]
fn a_run_that_was_over_before_anybody_wanted_to_hear_of_it_is_not_told() {
    let mut seen = then(with_job(then(begun()), UNIT, |job| {
        job.over(NOW, 1, tested(12, 1))
    }));
    assert!(seen.status.phase.unwrap().is_finished());
    seen = told(seen);
    assert_eq!(answered(&mut seen, 202), Vec::<String>::new());
}

/// It has succeeded, and the Release that it makes is there.
fn succeeded(branch: Branch) -> Observed {
    let mut seen = told(built_well());
    seen.branch = branch;
    for _ in 0..10 {
        let plan = plan(&seen, NOW);
        let release = created(&plan)
            .into_iter()
            .find(|made| made.kind == ObjectKind::Release);
        if let Some(release) = release {
            let release = serde_json::from_value(release.body.clone()).unwrap();
            seen.releases.push(std::sync::Arc::new(release));
        }
        if plan.progress.phase == Some(RunPhase::Succeeded) {
            return seen;
        }
        seen = then(seen);
    }
    panic!("{:?}", seen.status);
}

#[test]
fn the_first_that_succeeds_after_a_failure_ends_the_page() {
    let mut seen = succeeded(Branch {
        had_failed: true,
        has_recovered: false,
    });
    let all = answered(&mut seen, 200);
    for key in [
        "notify/team/RunSucceeded",
        "notify/team/RunRecovered",
        "notify/team/ReleaseMade",
        "notify/oncall/RunRecovered",
    ] {
        assert_eq!(all.iter().filter(|sent| *sent == key).count(), 1, "{all:?}");
    }
    assert_eq!(all.len(), 4);
    let mut usual = succeeded(Branch::default());
    let all = answered(&mut usual, 200);
    assert_eq!(all, ["notify/team/RunSucceeded", "notify/team/ReleaseMade"]);
}

#[test]
fn what_is_paged_and_recovered_has_one_key() {
    let key = |seen: &Observed, wanted: &str| {
        let mut seen = seen.clone();
        for _ in 0..10 {
            let plan = plan(&seen, NOW);
            if let Some((_, body)) = sent(&plan).into_iter().find(|(key, _)| key == wanted) {
                return body["dedup_key"].as_str().unwrap().to_owned();
            }
            let mut outcome = Outcome::default();
            for (key, _) in sent(&plan) {
                let reply = Reply {
                    status: 200,
                    body: Vec::new(),
                };
                outcome.replies.insert(key, Ok(reply));
            }
            seen.status = status(&seen, &plan, &outcome, NOW);
        }
        panic!("{wanted} was not sent");
    };
    let failed = key(&failed(), "notify/oncall/RunFailed");
    let good = succeeded(Branch {
        had_failed: true,
        has_recovered: false,
    });
    assert_eq!(failed, key(&good, "notify/oncall/RunRecovered"));
}

#[test]
fn a_page_that_comes_too_late_is_left_out() {
    let mut seen = failed();
    answered(&mut seen, 503);
    seen.branch.has_recovered = true;
    let later = NOW + SignedDuration::from_hours(1);
    let plan = plan(&seen, later);
    let entries = plan.progress.notifications.iter();
    let states: Vec<OutboxState> = entries.map(|entry| entry.state).collect();
    assert_eq!(states, [OutboxState::Pending, OutboxState::Pending]);
    assert_eq!(sent(&plan)[0].0, "notify/team/RunFailed");
    let mut outcome = Outcome::default();
    let reply = Reply {
        status: 200,
        body: Vec::new(),
    };
    outcome
        .replies
        .insert("notify/team/RunFailed".into(), Ok(reply));
    seen.status = status(&seen, &plan, &outcome, later);
    let plan = super::super::plan(&seen, later);
    let page = &plan.progress.notifications[1];
    assert_eq!(page.state, OutboxState::Failed);
    let why = page.last_error.as_deref().unwrap();
    assert!(why.contains("a later run has succeeded"), "{why}");
    assert!(sent(&plan).is_empty());
}

#[test]
fn who_opens_a_pull_request_pages_nobody() {
    for kind in [TriggerKind::PullRequest, TriggerKind::Manual] {
        let mut seen = failed();
        seen.spec.trigger.kind = kind;
        seen.spec.git_ref = "refs/pull/7/head".into();
        assert_eq!(answered(&mut seen, 200), ["notify/team/RunFailed"]);
    }
}

#[test]
fn people_hear_once_that_a_run_waits_for_them() {
    let mut seen = told(a_run());
    seen.spec.trigger.needs_approval = Some(true);
    let all = answered(&mut seen, 200);
    assert_eq!(all, ["notify/team/ApprovalNeeded"]);
}

#[test]
fn a_run_of_a_few_stages_tells_nobody() {
    let mut seen = failed();
    seen.spec.stages = vec!["unit".into()];
    assert_eq!(answered(&mut seen, 200), Vec::<String>::new());
}
