//! Stories of analyses: what is measured when, what decides, and what people are told.

use super::*;
use crate::rollout::spec::Around;

fn metric(name: &str, more: &Value) -> Value {
    let mut metric = json!({
        "name": name, "pass": "value < 0.01", "minSamples": 2,
        "prometheus": {"address": "http://prom", "query": name},
    });
    json_patch::merge(&mut metric, more);
    metric
}

/// 10 % for an hour, with these metrics in the background.
fn watched(metrics: &[Value]) -> Value {
    let mut extra = routed_steps(&json!([
        {"setWeight": {"weight": 10}}, {"pause": {"for": "1h"}},
    ]));
    extra["analysis"] = json!({"interval": "10s", "metrics": metrics});
    extra
}

/// In the pause, with these counts.
fn pausing(extra: &Value, tallies: &[Tally]) -> Observed {
    let mut seen = under_way(extra, 1, 1, 10);
    let progress = seen.status.progress.as_mut().unwrap();
    progress.change.as_mut().unwrap().measuring_since = Some(NOW);
    seen.status.analysis = tallies.to_vec();
    seen
}

fn tally(name: &str, passed: u32, failed: u32) -> Tally {
    Tally {
        passed,
        failed,
        taken: passed + failed,
        at: Some(NOW),
        ..Tally::of(name)
    }
}

/// What is on record after these answers.
fn answered(seen: &Observed, plan: &Plan<Memory>, value: Option<&str>, second: i64) -> Observed {
    let reply = |value: &str| {
        let body =
            json!({"status": "success", "data": {"resultType": "scalar", "result": [0, value]}});
        Reply {
            status: 200,
            body: body.to_string().into_bytes(),
        }
    };
    let keys = fetched(plan).into_iter();
    let answer = value.map(reply).ok_or_else(|| "refused".to_owned());
    let outcome = Outcome {
        replies: keys.map(|key| (key.to_owned(), answer.clone())).collect(),
        ..Outcome::default()
    };
    let status = status::status(seen, plan, &outcome, later(second));
    seen.clone().remembering(status)
}

#[test]
fn what_is_measured_in_a_pause_is_told_with_how_many_of_how_many_and_until_when() {
    let extra = watched(&[
        metric("errors", &json!({"failureLimit": 2})),
        metric("latency", &json!({"dryRun": true})),
    ]);
    let plan = plan(&pausing(&extra, &[tally("errors", 1, 1)]), later(5));
    assert_eq!(plan.why.reason, "PauseStep");
    assert_eq!(
        plan.why.message,
        "step 2/3: 10 % to canary, pausing until 09:00:00Z; measured: errors 1/2 passed, 1 bad (2 forgiven); latency 0/2 \
         passed, dry run"
    );
}

#[test]
fn what_is_only_looked_at_decides_nothing() {
    let extra = watched(&[metric("looked-at", &json!({"dryRun": true}))]);
    let bad = pausing(&extra, &[tally("looked-at", 0, 9)]);
    let going_on = plan(&bad, later(10));
    assert_eq!(going_on.why.reason, "PauseStep");
    assert_eq!(fetched(&going_on).len(), 1, "it is measured");
    // Nor does a step wait for it.
    let mut extra = extra.clone();
    extra["strategy"]["steps"][1] = json!({"analyse": {"metrics": ["looked-at"], "for": "1m"}});
    let step = plan(&pausing(&extra, &[]), later(60));
    assert_eq!(step.progress.progress.change.unwrap().step, 2);
}

#[test]
fn a_metric_that_is_settled_is_not_measured_again() {
    let extra = watched(&[metric("errors", &json!({"successLimit": 3}))]);
    let with = |successes| Tally {
        successes,
        ..tally("errors", 5, 0)
    };
    assert_eq!(
        fetched(&plan(&pausing(&extra, &[with(2)]), later(10))).len(),
        1
    );
    assert_eq!(
        fetched(&plan(&pausing(&extra, &[with(3)]), later(10))),
        [""; 0]
    );
}

#[test]
fn a_sample_has_a_number_of_its_own_also_after_an_error_and_a_lost_one_is_taken_again() {
    let extra = watched(&[metric("errors", &json!({}))]);
    let v2 = revision("2", &extra);
    let key = |number: u32| format!("{v2}/1/errors/{number}");
    let seen = pausing(&extra, &[]);
    let first = plan(&seen, later(10));
    assert_eq!(fetched(&first), [key(0)]);
    // Whoever died before the write asks again.
    assert_eq!(fetched(&plan(&seen, later(11))), [key(0)]);
    let seen = answered(&seen, &first, None, 11);
    let tally = &seen.status.analysis[0];
    assert_eq!((tally.errors, tally.taken, tally.passed), (1, 1, 0));
    let second = plan(&seen, later(21));
    assert_eq!(fetched(&second), [key(1)]);
    let seen = answered(&seen, &second, Some("0.0"), 21);
    assert_eq!(fetched(&plan(&seen, later(31))), [key(2)]);
    // What is counted is counted once.
    let again = status::status(
        &seen,
        &plan(&seen, later(22)),
        &Outcome::default(),
        later(22),
    );
    assert_eq!(again.analysis, seen.status.analysis);
}

#[test]
fn counts_that_begin_afresh_go_on_with_the_numbers_of_samples() {
    let mut extra = watched(&[metric("errors", &json!({}))]);
    extra["strategy"]["steps"] = json!([
        {"setWeight": {"weight": 10}}, {"pause": {"for": "1s"}},
        {"analyse": {"metrics": ["errors"], "for": "1m"}},
    ]);
    let seen = pausing(&extra, &[tally("errors", 5, 0)]);
    let entered = plan(&seen, later(2));
    let afresh = &entered.progress.tallies[0];
    assert_eq!((afresh.passed, afresh.taken), (0, 5));
}

#[test]
fn nothing_takes_over_before_what_is_measured_in_the_background_is_good() {
    let mut extra = watched(&[
        metric("errors", &json!({})),
        metric("looked-at", &json!({"dryRun": true})),
    ]);
    extra["strategy"]["steps"] = json!([{"setWeight": {"weight": 10}}]);
    let with_all_pods = |tallies: &[Tally]| {
        let mut seen = under_way(&extra, 1, 4, 10);
        seen.status.analysis = tallies.to_vec();
        seen
    };
    let step = |tallies: &[Tally], second| {
        let plan = plan(&with_all_pods(tallies), later(second));
        (
            plan.progress.progress.change.as_ref().map(|of| of.step),
            shifted_to(&plan),
        )
    };
    assert_eq!(step(&[tally("errors", 1, 0)], 5), (Some(1), None));
    assert_eq!(step(&[tally("errors", 2, 0)], 5), (Some(2), Some(100)));
    // Without data it ends, and not well.
    assert_eq!(step(&[], 600), (None, Some(0)));
    let waiting = plan(&with_all_pods(&[]), later(5)).why;
    assert_eq!(
        waiting.message,
        "step 2/2: 10 % to canary, analysing (errors 0/2 passed); without a verdict until 08:10:00Z it fails"
    );
}

#[test]
fn before_the_promotion_a_bad_metric_keeps_every_user_away() {
    let mut extra = routed();
    extra["strategy"] = json!({"type": "BlueGreen", "blueGreen": {
        "prePromotion": [{"analyse": {"metrics": ["smoke"]}}],
    }});
    extra["analysis"] = json!({"metrics": [metric("smoke", &json!({}))]});
    let seen = |tallies: &[Tally]| {
        let mut seen = under_way(&extra, 1, 4, 0);
        seen.status.analysis = tallies.to_vec();
        seen
    };
    let measuring = plan(&seen(&[]), later(30));
    assert_eq!(phase(&measuring), Phase::Analysing);
    let bad = plan(&seen(&[tally("smoke", 0, 1)]), later(31));
    assert_eq!(
        bad.progress.progress.failed.as_ref().unwrap().reason,
        "AnalysisFailed"
    );
    assert_eq!(
        (shifted_to(&bad), bad.progress.history[0].peak_weight),
        (None, 0)
    );
    let good = plan(&seen(&[tally("smoke", 2, 0)]), later(31));
    assert_eq!(shifted_to(&good), Some(100));
}

#[test]
fn without_a_template_that_it_names_a_change_is_held_and_its_own_metrics_still_send_it_back() {
    let mut extra = watched(&[metric("errors", &json!({}))]);
    extra["analysis"]["templates"] = json!([{"name": "rules"}]);
    let raw = super::super::super::testing::raw("2", &extra);
    let (spec, problems) = Spec::read_with(&raw, &Images::new(), &Around::default());
    let revision = spec.revision.clone();
    let mut known = extra.clone();
    known["analysis"]["templates"] = Value::Null;
    let mut seen = pausing(&known, &[tally("errors", 2, 0)]);
    seen.wanted = Wanted::Invalid(problems, Some(Box::new(spec.holding(revision))));
    // Long after the pause.
    let held = plan(&seen, later(7200));
    assert_eq!((held.why.reason, shifted_to(&held)), ("InvalidSpec", None));
    let words = "there is no AnalysisTemplate rules; create it in this namespace";
    assert!(held.why.message.contains(words), "{}", held.why.message);
    assert!(
        held.why.message.contains("meanwhile: "),
        "{}",
        held.why.message
    );
    seen.status.analysis = vec![tally("errors", 2, 1)];
    let back = plan(&seen, later(7200));
    assert_eq!(
        (phase(&back), shifted_to(&back)),
        (Phase::RollingBack, Some(0))
    );
}

#[test]
fn a_job_that_measures_is_told_which_revision_it_is_about() {
    let smoke = json!({"name": "smoke", "job": {
        "image": "smoke:1", "command": ["smoke", "--revision={{canary.revision}}"],
    }});
    let extra = watched(&[smoke]);
    let made = plan(&pausing(&extra, &[]), later(10));
    let job = made.actions.iter().find_map(|action| match action {
        Action::Create(manifest) if manifest.kind == ObjectKind::Job => Some(&manifest.body),
        _ => None,
    });
    let command = &job.unwrap()["spec"]["template"]["spec"]["containers"][0]["command"];
    let revision = format!("--revision={}", revision("2", &extra));
    assert_eq!(*command, json!(["smoke", revision]));
}
