//! Who waits for what comes before, and for how long.

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::*;
use crate::rollout::explain::testing::story;

fn object<K: DeserializeOwned>(kind: &str, name: &str, spec: &Value, status: &Value) -> K {
    let object = json!({
        "apiVersion": "slipway.dev/v1alpha1", "kind": kind,
        "metadata": {"name": name, "namespace": "shop", "generation": 1}, "spec": spec, "status": status,
    });
    serde_json::from_value(object).unwrap()
}

/// Releases that run, or are wanted.
fn deployed(release: &str) -> Value {
    json!([{"pipeline": "shop", "release": release, "promotion": "p", "images": [], "since": "2026-11-26T10:00:00Z"}])
}

/// An Environment in which `runs` runs, and `wanted` is wanted.
fn environment(name: &str, from: &Value, phase: &str, (runs, wanted): (&str, &str)) -> Environment {
    let spec = json!({"tier": "Staging", "promotion": {"from": from}});
    let mut status =
        json!({"observedGeneration": 1, "phase": phase, "message": format!("{runs} runs")});
    if !runs.is_empty() {
        status["current"] = deployed(runs);
    }
    if !wanted.is_empty() {
        status["desired"] = deployed(wanted);
    }
    object("Environment", name, &spec, &status)
}

fn staging(phase: &str, wanted: &str) -> Environment {
    let from = json!({"pipelines": ["shop"]});
    environment("staging", &from, phase, ("shop-1", wanted))
}

fn production() -> Environment {
    let from = json!({"environments": ["staging"]});
    environment("production", &from, "Steady", ("shop-1", "shop-1"))
}

fn failed(mut environment: Environment) -> Environment {
    let condition = json!({
        "type": "LastPromotion", "status": "False", "reason": "SmokeFailed", "message": "shop-1: no",
        "lastTransitionTime": "2026-11-26T10:00:00Z",
    });
    let status = environment.status.as_mut().unwrap();
    status.conditions = vec![serde_json::from_value(condition).unwrap()];
    environment
}

fn run(git_ref: &str, phase: &str, more: &Value) -> PipelineRun {
    let mut spec = json!({"pipelineRef": {"name": "shop"}, "ref": git_ref, "trigger": {"kind": "Push", "actor": "slipway"}});
    for (field, value) in more.as_object().unwrap() {
        spec[field] = value.clone();
    }
    object("PipelineRun", "shop-2", &spec, &json!({"phase": phase}))
}

fn way(environments: Vec<Environment>, runs: Vec<PipelineRun>) -> Way {
    let spec = json!({"source": {"git": {"url": "https://git.example/shop.git"}}, "stages": []});
    Way {
        environments,
        pipelines: vec![object("Pipeline", "shop", &spec, &json!({}))],
        runs,
        ..Way::default()
    }
}

#[test]
fn production_is_under_way_while_a_newer_release_is_on_its_way_in_staging() {
    let at = |phase: &str, wanted: &str| {
        let line = way(vec![staging(phase, wanted)], vec![]).of_environment(&production());
        (line.standing, line.message)
    };
    for phase in ["Promoting", "Verifying"] {
        let (standing, message) = at(phase, "shop-2");
        assert_eq!(standing, Standing::Underway, "{phase}");
        let told =
            format!("shop-1 runs; on its way: shop-2 in Environment staging, which is {phase}");
        assert_eq!(message, told);
    }
    // Of a migration it is not always known yet what comes.
    assert_eq!(at("Migrating", "shop-1").0, Standing::Underway);
    for (phase, wanted) in [
        // Nothing new, or nothing that comes by itself.
        ("Steady", "shop-1"),
        ("Held", "shop-2"),
        ("RollingBack", "shop-2"),
    ] {
        let (standing, message) = at(phase, wanted);
        assert_eq!(
            (standing, message.as_str()),
            (Standing::Well, "shop-1 runs"),
            "{phase}"
        );
    }
}

#[test]
fn what_production_has_already_is_not_waited_for() {
    let from = json!({"environments": ["staging"]});
    let production = environment("production", &from, "Steady", ("shop-2", "shop-2"));
    let way = way(vec![staging("Verifying", "shop-2")], vec![]);
    assert_eq!(way.coming(&production), None);
    assert_eq!(way.of_environment(&production).standing, Standing::Well);
}

#[test]
fn a_run_that_may_make_a_release_counts_for_every_environment_behind_it() {
    let none = json!({});
    let coming = |run: PipelineRun| {
        let way = way(vec![staging("Steady", "shop-1"), production()], vec![run]);
        let all = [staging("Steady", "shop-1"), production()];
        all.map(|one| way.coming(&one).is_some())
    };
    assert_eq!(coming(run("refs/heads/main", "Running", &none)), [true; 2]);
    assert_eq!(coming(run("refs/heads/main", "Queued", &none)), [true; 2]);
    for other in [
        run("refs/heads/main", "Failed", &none),
        run("refs/heads/topic", "Running", &none),
        run("refs/heads/main", "Running", &json!({"stages": ["unit"]})),
        run(
            "refs/heads/main",
            "Running",
            &json!({"pipelineRef": {"name": "other"}}),
        ),
        run(
            "refs/heads/main",
            "Queued",
            &json!({"trigger": {"kind": "PullRequest", "actor": "slipway", "needsApproval": true}}),
        ),
    ] {
        assert_eq!(coming(other.clone()), [false; 2], "{:?}", other.spec);
    }
}

#[test]
fn who_decides_by_hand_waits_for_nothing_and_circles_end() {
    let running = || run("refs/heads/main", "Running", &json!({}));
    let mut by_hand = production();
    by_hand.spec.promotion.mode = PromotionMode::Manual;
    let of_way = way(vec![staging("Promoting", "shop-2")], vec![running()]);
    assert_eq!(of_way.coming(&by_hand), None);
    let circle = |name: &str, source: &str| {
        let from = json!({"environments": [source]});
        environment(name, &from, "Steady", ("shop-1", "shop-1"))
    };
    let all = vec![circle("a", "b"), circle("b", "a")];
    assert_eq!(way(all, vec![running()]).coming(&circle("a", "b")), None);
}

#[test]
fn one_that_failed_is_bad_until_somebody_waits_for_the_next() {
    let mut way = way(vec![staging("Promoting", "shop-2")], vec![]);
    let line = way.of_environment(&failed(production()));
    assert_eq!(line.standing, Standing::Bad);
    assert!(
        line.message
            .contains("SmokeFailed: shop-1: no; on its way: shop-2"),
        "{line:?}"
    );
    way.is_awaited = true;
    let line = way.of_environment(&failed(production()));
    assert_eq!(line.standing, Standing::Underway);
    way.environments.clear();
    let line = way.of_environment(&failed(production()));
    assert_eq!(line.standing, Standing::Bad);
}

#[test]
fn a_rollout_without_a_release_has_nothing_to_do_unless_one_comes() {
    let mut rollout = story("is over").rollout();
    let mut status = rollout.status.clone().unwrap();
    for condition in &mut status.conditions {
        if condition.type_ == "Ready" {
            condition.reason = "NoRelease".to_owned();
        }
    }
    status.phase = Some(crate::rollout::api::Phase::Pending);
    rollout.metadata.namespace = Some("shop".to_owned());
    rollout.metadata.generation = Some(status.observed_generation);
    rollout.status = Some(status);
    let release = json!({"environment": {"name": "production"}, "images": {"web": "shop"}});
    rollout.spec.release = Some(serde_json::from_value(release).unwrap());

    let from = json!({"environments": ["staging"]});
    let empty = || environment("production", &from, "Steady", ("", ""));
    let asks = || {
        let mut asks = environment("production", &from, "Pending", ("", ""));
        let candidate =
            json!({"release": "shop-2", "gates": [{"name": "approvals", "state": "Waiting"}]});
        let status = asks.status.as_mut().unwrap();
        status.candidate = Some(serde_json::from_value(candidate).unwrap());
        asks
    };
    let stands =
        |environments: Vec<Environment>| way(environments, vec![]).of_rollout(&rollout).standing;
    assert_eq!(stands(vec![empty()]), Standing::Well);
    assert_eq!(
        stands(vec![staging("Steady", "shop-1"), asks()]),
        Standing::Well
    );
    assert_eq!(
        stands(vec![staging("Promoting", "shop-2"), empty()]),
        Standing::Underway
    );
    assert_eq!(stands(vec![]), Standing::Well);
}
