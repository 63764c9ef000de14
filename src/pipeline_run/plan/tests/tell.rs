//! What the provider of the repository is told.

use super::*;
use crate::model::action::{Errand, Request};
use crate::model::kept::Kept;
use crate::outbox::api::OutboxState;
use crate::pipeline_run::testing::commit;
use crate::provider::api::ProviderType;
use crate::provider::testing::provider;

/// The snapshot is there, and names a provider.
fn hosted(change: &Value) -> Observed {
    let mut whole = serde_json::to_value(spec()).unwrap();
    whole["source"]["git"]["provider"] = provider(ProviderType::Gitea);
    json_patch::merge(&mut whole, change);
    let mut seen = begun();
    let spec = serde_json::from_value(whole).unwrap();
    seen.snapshot = Snapshot::Taken(Box::new(spec));
    seen
}

/// Its first stage runs.
fn at_work(change: &Value) -> Observed {
    with_job(then(hosted(change)), UNIT, Job::running)
}

/// The same of pull request 7.
fn of_pull(change: &Value) -> Observed {
    let mut seen = at_work(change);
    seen.spec.git_ref = "refs/pull/7/head".into();
    then(seen)
}

/// What a request keeps up to date.
fn kept(request: &Request) -> &Kept {
    match request.errand.as_deref() {
        Some(Errand::Kept(kept)) => kept,
        other => panic!("{other:?}"),
    }
}

/// The comment that is sent: its text, and whether it is made where it is not there.
fn comment(plan: &Plan<PipelineRunStatus>) -> Option<(String, bool)> {
    plan.actions.iter().find_map(|action| match action {
        Action::Fetch { key, request } if key == "comment" => {
            let kept = kept(request);
            let body = kept.change.body.as_deref().unwrap();
            let body: Value = serde_json::from_str(body).unwrap();
            let text = body["body"].as_str().unwrap().to_owned();
            Some((text, kept.make.is_some()))
        }
        _ => None,
    })
}

/// The request for this key.
fn sent(plan: &Plan<PipelineRunStatus>, wanted: &str) -> Option<Request> {
    plan.actions.iter().find_map(|action| match action {
        Action::Fetch { key, request } if key == wanted => Some(request.clone()),
        _ => None,
    })
}

/// Context, state and description of every message.
fn messages(plan: &Plan<PipelineRunStatus>) -> Vec<(String, String, String)> {
    let message = |action: &Action| match action {
        Action::Fetch { key, request } if key.starts_with("status") => {
            assert_eq!(request.method, "POST");
            let body = request.body.as_deref().unwrap();
            let body: Value = serde_json::from_str(body).unwrap();
            let text = |name: &str| body[name].as_str().unwrap().to_owned();
            Some((text("context"), text("state"), text("description")))
        }
        _ => None,
    };
    plan.actions.iter().filter_map(message).collect()
}

/// The provider answers each message.
fn answered(mut seen: Observed, code: u16, now: Timestamp) -> Observed {
    let plan = plan(&seen, now);
    let mut outcome = Outcome::default();
    for action in &plan.actions {
        if let Action::Fetch { key, .. } = action {
            let body = b"{}".to_vec();
            let reply = Reply { status: code, body };
            outcome.replies.insert(key.clone(), Ok(reply));
        }
    }
    seen.status = status(&seen, &plan, &outcome, now);
    seen
}

fn is(context: &str, state: &str, description: &str) -> (String, String, String) {
    (context.into(), state.into(), description.into())
}

#[test]
fn the_commit_gets_a_status_of_the_run_and_one_of_each_stage() {
    let seen = at_work(&json!({}));
    let first = plan(&seen, NOW);
    let pending = |context: &str| is(context, "pending", "in progress");
    let all = ["slipway/api", "slipway/api/unit", "slipway/api/image"].map(pending);
    assert_eq!(messages(&first), all);
    let url = first.actions.iter().find_map(|action| match action {
        Action::Fetch { request, .. } => Some(request.url.clone()),
        _ => None,
    });
    let at = format!(
        "https://git.example/api/v1/repos/shop/api/statuses/{}",
        sha('a')
    );
    assert_eq!(url, Some(at));
    let seen = answered(seen, 201, NOW);
    assert!(messages(&plan(&seen, NOW)).is_empty(), "each is told once");
    // The stage is over: that is news, and of nothing else.
    let seen = with_job(seen, UNIT, |job| job.over(NOW, 0, tested(12, 0)));
    let seen = with_job(then(seen), IMAGE, Job::running);
    let passed = is("slipway/api/unit", "success", "12 of 12 tests passed");
    assert_eq!(messages(&plan(&seen, NOW)), [passed]);
}

#[test]
fn what_became_of_a_run_is_told_after_its_end_until_the_provider_has_it() {
    let seen = answered(at_work(&json!({})), 201, NOW);
    let seen = with_job(seen, UNIT, |job| job.over(NOW, 1, tested(12, 2)));
    let seen = then(seen);
    assert_eq!(seen.status.phase, Some(RunPhase::Failed));
    let told = messages(&plan(&seen, NOW));
    let states: Vec<&str> = told.iter().map(|(_, state, _)| state.as_str()).collect();
    assert_eq!(states, ["failure", "failure", "error"], "{told:?}");
    assert!(told[0].2.starts_with("stage unit: "), "{told:?}");
    let seen = answered(seen, 503, NOW);
    let entry = &seen.status.outbox[0];
    assert_eq!((entry.state, entry.attempts), (OutboxState::Pending, 1));
    assert!(entry.last_error.as_deref().unwrap().contains("503"));
    let waiting = plan(&seen, NOW);
    assert!(messages(&waiting).is_empty());
    let later = waiting.wake.unwrap();
    let seen = answered(seen, 201, later);
    let sent = |entry: &crate::outbox::api::OutboxEntry| entry.state == OutboxState::Sent;
    assert!(seen.status.outbox.iter().all(sent));
    assert_eq!(plan(&seen, later).wake, None);
}

#[test]
fn a_process_that_dies_before_the_answer_tells_the_same_again() {
    let seen = then(at_work(&json!({})));
    let again = plan(&seen, NOW);
    assert_eq!(messages(&again).len(), 3);
    assert_eq!(again.actions, plan(&then(seen), NOW).actions);
}

#[test]
fn who_is_told_less_is_told_less() {
    let of = |what: &str| {
        let seen = at_work(&json!({"report": {"commitStatus": what}}));
        messages(&plan(&seen, NOW)).len()
    };
    assert_eq!((of("Stages"), of("Run"), of("Off")), (3, 1, 0));
    let nobody = at_work(&json!({"source": {"git": {"provider": null}}}));
    assert!(messages(&plan(&nobody, NOW)).is_empty());
    assert!(nobody.status.outbox.is_empty());
}

#[test]
fn a_run_of_a_few_stages_says_nothing_of_the_commit() {
    let mut seen = at_work(&json!({}));
    seen.status.outbox.clear();
    seen.spec.trigger.kind = TriggerKind::Manual;
    seen.spec.stages = vec!["unit".into()];
    let seen = with_job(seen, UNIT, |job| job.over(NOW, 0, tested(12, 0)));
    let told = plan(&seen, NOW);
    assert!(messages(&told).is_empty() && told.progress.outbox.is_empty());
    assert!(messages(&plan(&then(seen), NOW)).is_empty());
}

#[test]
fn without_certificates_to_check_it_against_nobody_is_asked() {
    let mut seen = at_work(&json!({}));
    seen.authorities = crate::pipeline::observed::Authorities::Missing("no ConfigMap".into());
    let plan = plan(&seen, NOW);
    assert!(messages(&plan).is_empty());
    assert!(plan.wake.is_some());
}

#[test]
fn what_had_nothing_to_do_keeps_nobody_from_merging() {
    let change = json!({"stages": [
        {"name": "unit", "type": "Test", "image": "i", "run": "true"},
        {"name": "extra", "type": "Custom", "image": "i", "run": "true", "when": "branch == 'never'"},
    ], "gates": []});
    let seen = with_job(then(hosted(&change)), UNIT, Job::running);
    let told = messages(&plan(&seen, NOW));
    let extra = told
        .iter()
        .find(|(context, ..)| context.ends_with("/extra"));
    let expected = is("slipway/api/extra", "success", "there was nothing to do");
    assert_eq!(extra, Some(&expected));
}

#[test]
fn the_newest_run_of_a_pull_request_keeps_its_comment_up_to_date() {
    let seen = of_pull(&json!({}));
    let first = plan(&seen, NOW);
    let (text, is_made) = comment(&first).unwrap();
    assert!(is_made && text.contains("in progress"), "{text}");
    let kept = kept(&sent(&first, "comment").unwrap()).clone();
    assert!(text.starts_with(&kept.marker));
    let at = "https://git.example/api/v1/repos/shop/api/issues/7/comments";
    assert_eq!(kept.make.unwrap().url, at);
    let seen = answered(seen, 200, NOW);
    assert_eq!(comment(&plan(&seen, NOW)), None, "it is told once");
    let seen = with_job(seen, UNIT, |job| job.over(NOW, 1, tested(12, 2)));
    let seen = then(seen);
    assert_eq!(seen.status.phase, Some(RunPhase::Failed));
    let (text, _) = comment(&plan(&seen, NOW)).unwrap();
    assert!(text.contains("api: failed"), "{text}");
    // A newer run has the word, whatever has not arrived yet.
    let mut outrun = seen.clone();
    outrun.is_outrun = true;
    let silent = plan(&outrun, NOW);
    assert_eq!(comment(&silent), None);
    let mut outbox = silent.progress.outbox.iter();
    assert!(!outbox.any(|entry| entry.key == "comment"));
    let mut late = then(outrun);
    late.is_outrun = false;
    assert_eq!(
        comment(&plan(&late, NOW)),
        None,
        "a run that is over begins nothing"
    );
}

#[test]
fn a_run_that_is_over_has_no_news_of_what_came_after_it() {
    let mut seen = of_pull(&json!({}));
    seen.status.commit = Some(commit('a'));
    seen.status.changes = vec![commit('b'), commit('c')];
    for (at, said) in seen
        .status
        .changes
        .iter_mut()
        .zip(["feat: one", "feat: two"])
    {
        at.subject = said.into();
    }
    let seen = answered(seen, 200, NOW);
    let seen = with_job(seen, UNIT, |job| job.over(NOW, 1, tested(12, 2)));
    let mut seen = answered(then(seen), 200, NOW);
    assert!(seen.status.phase.unwrap().is_finished());
    assert_eq!(comment(&plan(&seen, NOW)), None);
    let text = crate::pipeline_run::comment::body;
    let Snapshot::Taken(spec) = seen.snapshot.clone() else {
        panic!("there is no snapshot");
    };
    let before = text(&seen, &spec, &seen.status);
    let release = json!({
        "apiVersion": "slipway.dev/v1alpha1", "kind": "Release", "metadata": {"name": "api-1"},
        "spec": {
            "pipeline": "api", "version": "1.2.3", "ref": "refs/heads/main", "commit": commit('c'), "changes": [], "images": [],
            "evidence": {"run": "api-1"},
        },
    });
    let release = serde_json::from_value(release).unwrap();
    seen.releases.push(std::sync::Arc::new(release));
    assert_ne!(text(&seen, &spec, &seen.status), before);
    let after = plan(&seen, NOW);
    assert_eq!(comment(&after), None);
    assert_eq!(after.progress.outbox, seen.status.outbox);
}

#[test]
fn a_comment_may_be_for_failures_only_or_for_none() {
    let of = |on: &str, failed: u32| {
        let seen = of_pull(&json!({"report": {"comment": on}, "gates": [], "stages": [
            {"name": "unit", "type": "Test", "image": "i", "run": "true"}]}));
        let running = comment(&plan(&seen, NOW)).is_some();
        let code = i32::from(failed > 0);
        let seen = with_job(seen, UNIT, |job| job.over(NOW, code, tested(12, failed)));
        let is_made = comment(&plan(&then(seen), NOW)).map(|(_, is_made)| is_made);
        (running, is_made)
    };
    assert_eq!(of("Always", 0), (true, Some(true)));
    assert_eq!(of("OnFailure", 2), (false, Some(true)));
    assert_eq!(
        of("OnFailure", 0),
        (false, Some(false)),
        "an old one is brought up to date"
    );
    assert_eq!(of("Never", 2), (false, None));
    let push = plan(&at_work(&json!({})), NOW);
    assert_eq!(comment(&push), None, "a push has nowhere to leave one");
}

#[test]
fn code_of_others_gets_a_comment_and_no_token() {
    let mut seen = of_pull(&json!({}));
    seen.spec.trigger.kind = TriggerKind::PullRequest;
    seen.spec.trigger.pull_request =
        serde_json::from_value(json!({"number": 7, "fork": true})).unwrap();
    assert!(!seen.is_trusted());
    let plan = plan(&seen, NOW);
    assert!(comment(&plan).is_some());
    let jobs = plan
        .actions
        .iter()
        .filter(|action| matches!(action, Action::Create(_)));
    for job in jobs {
        assert!(
            !serde_json::to_string(job)
                .unwrap()
                .contains("tokenSecretRef")
        );
    }
}

#[test]
fn what_was_found_goes_to_code_scanning_when_the_run_is_over() {
    let found = json!({"findings": [{"category": "Code", "total": {"high": 1}, "marks": "", "worst": [
        {"severity": "High", "id": "E501", "at": "a.py:3", "text": "too long"}]}]});
    let run = |is_asked: bool| {
        let change = json!({"report": {"codeScanning": is_asked, "comment": "Never"},
            "source": {"git": {"provider": {"type": "GitHub"}}}});
        let mut report = tested(12, 2);
        report.reports = serde_json::from_value(found.clone()).unwrap();
        let seen = of_pull(&change);
        assert_eq!(
            sent(&plan(&seen, NOW), "findings"),
            None,
            "not while it goes on"
        );
        let seen = with_job(seen, UNIT, |job| job.over(NOW, 1, report));
        sent(&plan(&then(seen), NOW), "findings")
    };
    let request = run(true).unwrap();
    assert!(
        request.url.ends_with("/code-scanning/sarifs"),
        "{}",
        request.url
    );
    assert!(request.body.unwrap().contains("refs/pull/7/head"));
    assert_eq!(run(false), None);
}
