//! Stories of strategies: blue-green, rolling, stable that goes with the weight, and revisions that are kept.

use super::*;
use crate::check::Outcome;
use crate::model::key::Key;
use crate::model::manifest::Target;
use crate::rollout::api::Failure;
use crate::rollout::observed::Hook;

fn with_strategy(strategy: &Value) -> Value {
    let mut extra = routed();
    extra["strategy"] = strategy.clone();
    extra
}

fn blue_green(more: &Value) -> Value {
    with_strategy(&json!({"type": "BlueGreen", "blueGreen": more}))
}

#[test]
fn blue_green_starts_its_pods_before_any_user_sees_them() {
    let mut extra = blue_green(&json!({}));
    extra["strategy"]["maxSurge"] = "100%".into();
    let v1 = revision("1", &extra);
    let seen = untouched(spec("2", &extra))
        .with_set(&v1, 4)
        .promoted(&v1, NOW);
    let plan = plan(&seen.with_traffic(&v1, &v1, 0), NOW);
    assert_eq!(scaled(&plan, &revision("2", &extra)), Some(4));
    assert_eq!(shifted_to(&plan), None);
    assert_eq!(phase(&plan), Phase::Progressing);
}

#[test]
fn a_preview_of_blue_green_is_as_large_as_it_says_and_full_before_it_takes_over() {
    let mut extra = blue_green(&json!({"previewReplicas": "25%", "promote": {"after": "10m"}}));
    extra["strategy"]["maxSurge"] = 4.into();
    let (v2, preview) = (revision("2", &extra), under_way(&extra, 0, 1, 0));
    let pausing = plan(&preview, NOW);
    assert_eq!((scaled(&pausing, &v2), shifted_to(&pausing)), (None, None));
    assert_eq!(phase(&pausing), Phase::Paused);
    let growing = plan(&under_way(&extra, 1, 1, 0), later(601));
    assert_eq!(
        (scaled(&growing, &v2), shifted_to(&growing)),
        (Some(4), None)
    );
    let switching = plan(&under_way(&extra, 2, 4, 0), later(601));
    assert_eq!(shifted_to(&switching), Some(100));
}

#[test]
fn stable_that_goes_with_the_weight_keeps_its_pods_while_it_comes_back_to_its_service() {
    let mut extra = with_strategy(&json!({"steps": []}));
    extra["strategy"]["stableScale"] = "WithWeight".into();
    let revision = |version: &str| revision(version, &extra);
    let (v1, v2) = (revision("1"), revision("2"));
    // The stable Service selects what is gone.
    let seen = untouched(spec("2", &extra))
        .with_set(&v1, 4)
        .promoted(&v1, NOW)
        .with_set(&v2, 1)
        .with_traffic(&revision("0"), &v1, 0);
    let plan = plan(&seen.remembering(at_step(&v1, &v2, 0, NOW)), NOW);
    assert_eq!((shifted_to(&plan), scaled(&plan, &v1)), (Some(100), None));
}

#[test]
fn no_pods_are_waited_for_where_none_are_to_serve() {
    let mut extra = blue_green(&json!({"previewReplicas": 1}));
    extra["replicas"] = 0.into();
    let (v1, v2) = (revision("1", &extra), revision("2", &extra));
    let seen = untouched(spec("2", &extra))
        .with_set(&v1, 0)
        .promoted(&v1, NOW)
        .with_traffic(&v1, &v2, 0);
    let plan = plan(&seen.remembering(at_step(&v1, &v2, 0, NOW)), NOW);
    assert_eq!(plan.progress.progress.change.unwrap().step, 2);
}

#[test]
fn blue_green_waits_for_a_person_where_it_is_told_to() {
    let extra = blue_green(&json!({"promote": {"mode": "Manual"}}));
    let plan = plan(&under_way(&extra, 0, 4, 0), later(9999));
    assert_eq!(phase(&plan), Phase::Paused);
    assert_eq!(plan.why.reason, "ApproveStep");
    assert!(
        plan.why
            .message
            .contains("a Decision Approve on Rollout api adds one"),
        "{}",
        plan.why.message
    );
    assert_eq!(plan.actions, []);
}

#[test]
fn a_bad_analysis_after_the_switch_goes_back_at_once() {
    let mut extra = blue_green(&json!({"postPromotion": [{"analyse": {"metrics": ["errors"]}}]}));
    extra["analysis"] = json!({"metrics": [{
        "name": "errors", "pass": "value < 0.01", "prometheus": {"address": "http://prom", "query": "errors"},
    }]});
    let mut seen = under_way(&extra, 3, 4, 100);
    seen.status.analysis = vec![Tally {
        name: "errors".into(),
        failed: 1,
        ..Tally::default()
    }];
    let plan = plan(&seen, later(5));
    assert_eq!(shifted_to(&plan), Some(0));
    assert_eq!(phase(&plan), Phase::RollingBack);
    assert_eq!(
        scaled(&plan, &revision("1", &extra)),
        None,
        "stable has had all of its pods all the time"
    );
}

#[test]
fn a_rolling_change_starts_a_batch_when_the_one_before_is_there() {
    let extra = with_strategy(&json!({"type": "Rolling", "rolling": {"batch": 2}, "maxSurge": 2}));
    let (v1, v2) = (revision("1", &extra), revision("2", &extra));
    let first = plan(&under_way(&extra, 0, 0, 0), NOW);
    assert_eq!(scaled(&first, &v2), Some(2));
    let mut starting = under_way(&extra, 0, 2, 0);
    starting.sets[1].available = 1;
    assert_eq!(scaled(&plan(&starting, NOW), &v2), None);
    // Traffic goes with the pods, and stable with the traffic.
    let there = under_way(&extra, 0, 2, 0);
    assert_eq!(shifted_to(&plan(&there, NOW)), Some(50));
    let shifted = plan(&under_way(&extra, 0, 2, 50), NOW);
    assert_eq!(scaled(&shifted, &v1), Some(2));
}

#[test]
fn stable_goes_with_the_weight_only_when_the_data_plane_knows() {
    let mut extra = ten_then_half();
    extra["strategy"]["stableScale"] = "WithWeight".into();
    let v1 = revision("1", &extra);
    let mut seen = under_way(&extra, 2, 2, 50);
    assert_eq!(scaled(&plan(&seen, NOW), &v1), Some(2));
    seen.routes = vec![seen.route_with(50, false)];
    assert_eq!(scaled(&plan(&seen, NOW), &v1), None);
}

#[test]
fn stable_that_has_gone_down_takes_back_what_it_can_and_grows() {
    let mut extra = ten_then_half();
    extra["strategy"]["stableScale"] = "WithWeight".into();
    let (v1, v2) = (revision("1", &extra), revision("2", &extra));
    let failed = |stable, weight| {
        let mut seen = untouched(spec("2", &extra))
            .with_set(&v1, stable)
            .promoted(&v1, NOW)
            .with_set(&v2, 2)
            .with_traffic(&v1, &v2, weight)
            .remembering(at_step(&v1, &v2, 3, NOW));
        let decision = json!({"target": {"kind": "Rollout", "name": "api"}, "action": "Abort", "user": "olga"});
        seen.decisions = vec![super::decision::act("stop", 1, &decision)];
        plan(&seen, later(2))
    };
    let few = failed(2, 50);
    assert_eq!(
        (scaled(&few, &v1), shifted_to(&few)),
        (Some(4), None),
        "two pods cannot take it all"
    );
    assert_eq!(shifted_to(&failed(3, 50)), Some(25));
    assert_eq!(shifted_to(&failed(4, 50)), Some(0));
}

/// v2 is given up when it has both Services already.
#[test]
fn stable_that_has_lost_its_service_takes_back_what_it_can_by_the_other_one() {
    let mut extra = ten_then_half();
    extra["strategy"]["stableScale"] = "WithWeight".into();
    let (v1, v2) = (revision("1", &extra), revision("2", &extra));
    let failed = |stable, weight| {
        let mut status = at_step(&v1, &v2, 3, NOW);
        let progress = status.progress.as_mut().unwrap();
        let change = progress.change.take().unwrap();
        progress.failed = Some(Failure {
            revision: change.revision,
            reason: "AnalysisFailed".into(),
            message: "errors".into(),
            at: NOW,
            promotion: None,
        });
        untouched(spec("2", &extra))
            .with_set(&v1, stable)
            .promoted(&v1, NOW)
            .with_set(&v2, 4)
            .with_traffic(&v2, &v1, weight)
            .remembering(status)
    };
    let back = |stable, weight| shifted_to(&plan(&failed(stable, weight), later(2)));
    assert_eq!(back(1, 0), Some(25), "one pod cannot take it all");
    assert_eq!(back(3, 25), Some(75));
    assert_eq!(back(3, 75), None);
    assert_eq!(back(4, 75), Some(100));
    let dead = failed(1, 0).crashing(&v2);
    assert_eq!(shifted_to(&plan(&dead, later(2))), Some(100));
}

#[test]
fn a_third_version_waits_for_the_pods_of_the_second_that_drain() {
    let mut extra = routed();
    extra["replicas"] = 10.into();
    extra["strategy"] = json!({"maxSurge": "100%"});
    let of = |version| revision(version, &extra);
    let (v1, v2, v3) = (of("1"), of("2"), of("3"));
    let with = |draining| {
        let seen = untouched(spec("3", &extra))
            .with_set(&v1, 10)
            .promoted(&v1, NOW)
            .with_set(&v2, draining)
            .with_traffic(&v1, &v3, 0);
        let seen = seen.remembering(at_step(&v1, &v3, 0, NOW));
        scaled(&plan(&seen, NOW), &v3)
    };
    assert_eq!(with(10), None, "there are twice as many already");
    assert_eq!((with(7), with(0)), (Some(3), Some(10)));
}

#[test]
fn who_waits_for_room_is_not_late() {
    let mut extra = routed();
    extra["strategy"] = json!({"maxSurge": "100%"});
    let of = |version| revision(version, &extra);
    let (v1, v2, v3) = (of("1"), of("2"), of("3"));
    let mut status = at_step(&v1, &v3, 0, NOW);
    let draining = [(v2.to_string(), later(3600))].into();
    status.progress.as_mut().unwrap().draining = draining;
    let seen = untouched(spec("3", &extra))
        .with_set(&v1, 4)
        .promoted(&v1, NOW)
        .with_set(&v2, 4)
        .with_traffic(&v1, &v3, 0)
        .remembering(status);
    let given_up = |seconds| {
        let plan = plan(&seen, later(seconds));
        plan.progress.progress.failed.is_some()
    };
    assert!(!given_up(3590), "there was no room so far");
    assert!(given_up(3600 + 601));
}

#[test]
fn what_drains_does_not_hold_up_a_fix_of_what_is_down() {
    let mut extra = routed();
    extra["strategy"] = json!({"maxSurge": "100%"});
    let of = |version| revision(version, &extra);
    let (v1, v2, v3) = (of("1"), of("2"), of("3"));
    let seen = untouched(spec("3", &extra))
        .with_set(&v1, 4)
        .promoted(&v1, NOW)
        .with_set(&v2, 4)
        .with_traffic(&v1, &v3, 0)
        .crashing(&v1);
    let seen = seen.remembering(at_step(&v1, &v3, 0, NOW));
    assert_eq!(scaled(&plan(&seen, NOW), &v3), Some(4));
}

fn keeping_old() -> Value {
    let mut extra = ten_then_half();
    extra["strategy"]["keepOldFor"] = "10m".into();
    extra
}

/// A version is asked for while version 2 serves, which came after a minute, and version 1 is kept until the eleventh.
fn with_version_1_kept(asked: Spec) -> Observed {
    let extra = keeping_old();
    let (v1, v2) = (revision("1", &extra), revision("2", &extra));
    let seen = untouched(asked)
        .with_set(&v1, 4)
        .promoted(&v1, NOW)
        .with_set(&v2, 4)
        .promoted(&v2, later(60));
    let progress = Progress {
        stable: Some(v2.clone()),
        draining: [(v1.to_string(), later(660))].into(),
        ..Progress::default()
    };
    let status = RolloutStatus {
        progress: Some(progress),
        ..RolloutStatus::default()
    };
    seen.with_traffic(&v2, &v2, 0).remembering(status)
}

#[test]
fn the_revision_before_is_kept_and_gone_back_to_without_steps() {
    let extra = keeping_old();
    let v1 = revision("1", &extra);
    let at = |version, now| plan(&with_version_1_kept(spec(version, &extra)), now);
    let resting = at("2", later(600));
    assert_eq!((resting.actions.len(), resting.wake), (0, Some(later(660))));
    assert_eq!(scaled(&at("2", later(660)), &v1), Some(0));
    let back = at("1", later(600));
    let change = back.progress.progress.change.as_ref().unwrap();
    assert_eq!(change.step, 4, "no step is left");
    assert_eq!(selected(&back, "api-canary"), Some(v1.to_string()));
}

#[test]
fn what_is_kept_is_let_go_when_another_change_begins_or_nobody_keeps_it_any_more() {
    let v1 = revision("1", &keeping_old()).to_string();
    for asked in [spec("3", &keeping_old()), spec("2", &ten_then_half())] {
        let drained = later(100) + asked.drain;
        let seen = with_version_1_kept(asked);
        let first = plan(&seen, later(100));
        assert_eq!(first.progress.progress.draining[&v1], drained);
        assert!(first.wake <= Some(drained), "{:?}", first.wake);
    }
}

#[test]
fn a_revision_of_the_window_is_gone_back_to_without_steps() {
    let mut extra = ten_then_half();
    let at = |extra: &Value| {
        let (v1, v2) = (revision("1", extra), revision("2", extra));
        let seen = untouched(spec("1", extra))
            .with_set(&v1, 0)
            .promoted(&v1, NOW)
            .with_set(&v2, 4)
            .promoted(&v2, later(60))
            .with_traffic(&v2, &v2, 0);
        let progress = Progress {
            stable: Some(v2),
            ..Progress::default()
        };
        let status = RolloutStatus {
            progress: Some(progress),
            ..RolloutStatus::default()
        };
        plan(&seen.remembering(status), later(70))
            .progress
            .progress
            .change
            .unwrap()
            .step
    };
    assert_eq!(at(&extra), 0);
    extra["rollback"] = json!({"window": {"revisions": 1}});
    assert_eq!(at(&extra), 4);
}

#[test]
fn what_needs_two_services_says_so() {
    for (strategy, path) in [
        (json!({"type": "BlueGreen"}), "spec.strategy.type"),
        (json!({"keepOldFor": "1m"}), "spec.strategy.keepOldFor"),
        (
            json!({"steps": [{"scale": {"canary": 1}}]}),
            "spec.strategy.steps[0].scale",
        ),
    ] {
        let raw = json!({
            "selector": {"matchLabels": {"app": "api"}}, "strategy": strategy,
            "template": {"metadata": {"labels": {"app": "api"}},
                "spec": {"containers": [{"name": "web", "image": "api:1"}]}},
        });
        let raw = serde_json::from_value(raw).unwrap();
        let problems = Spec::parse(&raw, &Images::new()).unwrap_err();
        assert_eq!(problems[0].path, path);
        assert!(
            problems[0].problem.contains("spec.traffic"),
            "{}",
            problems[0].problem
        );
    }
}

fn with_hook() -> Value {
    let smoke = json!({"name": "smoke", "job": {"image": "smoke:1", "command": ["smoke", "--quick"]}, "timeout": "1m"});
    blue_green(&json!({"prePromotion": [{"run": smoke}]}))
}

/// The Job that a plan makes.
fn hook(plan: &Plan<Memory>) -> Option<(String, Value)> {
    plan.actions.iter().find_map(|action| match action {
        Action::Create(manifest) if manifest.kind == ObjectKind::Job => {
            Some((manifest.key.name.clone(), manifest.body.clone()))
        }
        _ => None,
    })
}

fn with_outcome(mut seen: Observed, name: &str, outcome: Outcome) -> Observed {
    let target = Target {
        kind: ObjectKind::Job,
        key: Key::new("shop", name),
        uid: "j".into(),
        resource_version: "1".into(),
    };
    seen.hooks.insert(
        name.to_owned(),
        Hook {
            target,
            outcome,
            is_ending: false,
        },
    );
    seen
}

#[test]
fn a_hook_looks_at_green_through_its_own_service_before_it_takes_over() {
    let extra = with_hook();
    let started = plan(&under_way(&extra, 0, 4, 0), NOW);
    let (name, body) = hook(&started).unwrap();
    let container = &body["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(
        (&container["image"], &container["command"][1]),
        (&json!("smoke:1"), &json!("--quick"))
    );
    let told = container["env"].as_array().unwrap();
    assert!(
        told.contains(&json!({"name": "SLIPWAY_CANARY_SERVICE", "value": "api-canary"})),
        "{told:?}"
    );
    assert_eq!(body["spec"]["activeDeadlineSeconds"], 60);
    assert_eq!(
        (phase(&started), started.why.reason),
        (Phase::Analysing, "RunStep")
    );
    let running = plan(
        &with_outcome(under_way(&extra, 1, 4, 0), &name, Outcome::Running),
        later(1),
    );
    assert_eq!((hook(&running), shifted_to(&running)), (None, None));
    let passed = plan(
        &with_outcome(under_way(&extra, 1, 4, 0), &name, Outcome::Passed),
        later(1),
    );
    assert_eq!(shifted_to(&passed), Some(100));
}

#[test]
fn a_hook_that_fails_or_never_ends_gives_the_change_up() {
    let extra = with_hook();
    let (name, _) = hook(&plan(&under_way(&extra, 1, 4, 0), NOW)).unwrap();
    let failed = with_outcome(
        under_way(&extra, 1, 4, 0),
        &name,
        Outcome::Failed("BackoffLimitExceeded: no".into()),
    );
    let failed = plan(&failed, later(1));
    let failure = failed.progress.progress.failed.unwrap();
    assert_eq!(
        (failure.reason.as_str(), failure.message.as_str()),
        ("HookFailed", "hook smoke: BackoffLimitExceeded: no")
    );
    let silent = with_outcome(under_way(&extra, 1, 4, 0), &name, Outcome::Running);
    assert_eq!(plan(&silent, later(119)).progress.progress.failed, None);
    let late = plan(&silent, later(120));
    assert_eq!(late.progress.progress.failed.unwrap().reason, "HookFailed");
}

#[test]
fn a_hook_that_will_never_run_gives_the_change_up_and_is_stopped() {
    let extra = with_hook();
    let (name, _) = hook(&plan(&under_way(&extra, 1, 4, 0), NOW)).unwrap();
    let why = "ImagePull: container check: smoke:9: not found";
    let seen = with_outcome(
        under_way(&extra, 1, 4, 0),
        &name,
        Outcome::Stuck(why.into()),
    );
    let plan = plan(&seen, later(1));
    let failure = plan.progress.progress.failed.unwrap();
    assert_eq!(failure.message, format!("hook smoke: {why}"));
    let stops = |action: &Action| matches!(action, Action::Delete { target, .. } if target.key.name == name);
    assert!(plan.actions.iter().any(stops), "{:?}", plan.actions);
}

#[test]
fn a_hook_that_was_overtaken_is_stopped() {
    let extra = with_hook();
    let seen = with_outcome(
        under_way(&extra, 1, 4, 0),
        "api-smoke-of-before",
        Outcome::Running,
    );
    let plan = plan(&seen, NOW);
    let stopped = |action: &Action| matches!(action, Action::Delete { target, .. } if target.key.name == "api-smoke-of-before");
    assert!(plan.actions.iter().any(stopped));
}

#[test]
fn an_autoscaler_sees_the_pods_that_serve() {
    let extra = ten_then_half();
    let (v1, v2) = (revision("1", &extra), revision("2", &extra));
    let at = |weight| {
        let seen = under_way(&extra, 1, 2, weight);
        let plan = plan(&seen, NOW);
        let nothing = crate::model::action::Outcome::default();
        let status = status::status(&seen, &plan, &nothing, NOW);
        (status.replicas, status.selector.unwrap())
    };
    let of = |revisions: &str| {
        format!("app=api,slipway.dev/rollout=api,slipway.dev/revision in ({revisions})")
    };
    assert_eq!(at(10), (6, of(&format!("{v1},{v2}"))));
    assert_eq!(
        at(0),
        (4, of(v1.as_str())),
        "what has no traffic would make the others look idle"
    );
}
