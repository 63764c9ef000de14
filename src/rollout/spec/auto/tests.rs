//! What each level of risk comes to.

use serde_json::{Value, json};

use super::super::super::testing::{raw, routed};
use super::super::Images;
use super::*;

fn parse(extra: &Value) -> Result<Spec, Vec<Invalid>> {
    Spec::parse(&raw("1", extra), &Images::new())
}

fn auto(strategy: &Value) -> Value {
    let mut extra = routed();
    extra["strategy"] = json!({"type": "Auto"});
    json_patch::merge(&mut extra["strategy"], strategy);
    extra
}

/// The steps of a level, in words.
fn steps(spec: &Spec, level: RiskLevel) -> Vec<String> {
    let steps = spec.at_risk(level).steps;
    steps.iter().map(ToString::to_string).collect()
}

fn analysed() -> Value {
    let prometheus = json!({"address": "http://prom", "query": "q"});
    json!({"interval": "30s", "metrics": [
        {"name": "errors", "pass": "value < 1", "prometheus": prometheus, "minSamples": 4},
        {"name": "latency", "pass": "value < 1", "prometheus": prometheus, "interval": "1m"},
    ]})
}

#[test]
fn every_level_has_a_preset() {
    let spec = parse(&auto(&json!({}))).unwrap();
    assert_eq!(
        steps(&spec, RiskLevel::Low),
        ["scale 4", "scale 4", "setWeight 100"]
    );
    assert_eq!(
        steps(&spec, RiskLevel::Medium),
        ["setWeight 10", "pause 15m", "setWeight 50", "pause 30m"]
    );
    assert_eq!(steps(&spec, RiskLevel::High), [""; 0]);
    let high = spec.at_risk(RiskLevel::High);
    let pod_by_pod = Batch {
        size: 1,
        is_checked: true,
    };
    assert_eq!(
        (high.batch, high.stable_scale),
        (Some(pod_by_pod), StableScale::WithWeight)
    );
    for level in [RiskLevel::Low, RiskLevel::Medium] {
        let spec = spec.at_risk(level);
        assert_eq!((spec.batch, spec.stable_scale), (None, StableScale::Full));
    }
    let by_risk = spec.by_risk.unwrap();
    assert_eq!(by_risk.rules, AutoRules::default());
    assert_eq!(
        by_risk.shapes,
        [Shape::BlueGreen, Shape::Canary, Shape::Rolling]
    );
}

#[test]
fn what_people_say_of_a_type_takes_the_place_of_its_preset() {
    let spec = parse(&auto(&json!({
        "steps": [{"setWeight": {"weight": 25}}],
        "stableScale": "WithWeight",
        "blueGreen": {"previewReplicas": 1, "promote": {"mode": "Manual"}},
        "rolling": {"batch": 2},
    })))
    .unwrap();
    assert_eq!(
        steps(&spec, RiskLevel::Low),
        ["scale 1", "approve by anybody", "scale 4", "setWeight 100"]
    );
    assert_eq!(steps(&spec, RiskLevel::Medium), ["setWeight 25"]);
    assert_eq!(
        spec.at_risk(RiskLevel::Medium).stable_scale,
        StableScale::WithWeight
    );
    assert_eq!(spec.at_risk(RiskLevel::Low).stable_scale, StableScale::Full);
    assert_eq!(spec.at_risk(RiskLevel::High).batch.unwrap().size, 2);
}

#[test]
fn whatever_the_strategy_nothing_takes_over_without_the_verdict_of_every_metric() {
    let mut extra = auto(&json!({}));
    extra["analysis"] = analysed();
    let spec = parse(&extra).unwrap();
    let look = "verdict on errors, latency";
    assert_eq!(
        steps(&spec, RiskLevel::Low),
        ["scale 4", "scale 4", "setWeight 100", look]
    );
    assert_eq!(steps(&spec, RiskLevel::High), ["setWeight 100", look]);
    let medium = steps(&spec, RiskLevel::Medium);
    assert_eq!(medium[3..], ["pause 30m", look]);
    // What a step is about needs no second verdict, and what is only looked at none.
    extra["strategy"]["blueGreen"] =
        json!({"postPromotion": [{"analyse": {"metrics": ["latency"]}}]});
    let own = parse(&extra).unwrap();
    assert_eq!(
        steps(&own, RiskLevel::Low)[3..],
        ["analyse latency", "verdict on errors"]
    );
    extra["analysis"]["metrics"][0]["dryRun"] = true.into();
    let own = parse(&extra).unwrap();
    assert_eq!(steps(&own, RiskLevel::Low)[3..], ["analyse latency"]);
}

#[test]
fn a_verdict_is_waited_for_under_a_weight_at_which_there_is_one() {
    let mut extra = auto(&json!({"steps": [{"setWeight": {"weight": 10}}]}));
    extra["analysis"] = analysed();
    let medium = |extra: &Value| steps(&parse(extra).unwrap(), RiskLevel::Medium).join("; ");
    assert_eq!(medium(&extra), "setWeight 10; verdict on errors, latency");
    extra["analysis"]["startAt"] = json!({"weight": 50});
    assert_eq!(
        medium(&extra),
        "setWeight 10; setWeight 100; verdict on errors, latency"
    );
}

#[test]
fn without_a_router_a_low_risk_goes_pod_by_pod_and_a_blue_green_cannot_be_asked_for() {
    let mut extra = auto(&json!({"auto": {"medium": "Rolling"}}));
    extra["traffic"] = Value::Null;
    let by_risk = parse(&extra).unwrap().by_risk.unwrap();
    assert_eq!(by_risk.shapes, [Shape::Rolling; 3]);
    extra["strategy"]["auto"]["high"] = "BlueGreen".into();
    let problems = parse(&extra).unwrap_err();
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].path, "spec.strategy.auto.high");
    assert!(problems[0].problem.contains("BlueGreen needs spec.traffic"));
}

#[test]
fn signals_that_are_left_out_do_not_count() {
    let signals = json!({
        "majorVersion": "Medium",
        "changedLines": {"high": 500},
        "changedPaths": [{"paths": ["db/**"], "level": "High"}],
        "errorBudgetBelow": {"0.5": "Medium", "0.1": "High"},
    });
    let spec = parse(&auto(&json!({"auto": {"signals": signals}}))).unwrap();
    let rules = AutoRules {
        migrations: None,
        major_version: Some(RiskLevel::Medium),
        configuration: None,
        lines: vec![(500, RiskLevel::High)],
        paths: vec![(vec!["db/**".into()], RiskLevel::High)],
        budget_below: vec![(0.1, RiskLevel::High), (0.5, RiskLevel::Medium)],
        failure_rate: Vec::new(),
    };
    assert_eq!(spec.by_risk.unwrap().rules, rules);
}

#[test]
fn what_is_wrong_is_told_once() {
    let problems = parse(&auto(&json!({
        "steps": [{"analyse": {"metrics": ["nothing"]}}],
        "auto": {"low": "Canary", "signals": {"recentFailureRate": {"30%": "High", "1.5": "High"}}},
    })))
    .unwrap_err();
    let paths: Vec<&str> = problems
        .iter()
        .map(|problem| problem.path.as_str())
        .collect();
    assert_eq!(
        paths,
        [
            "spec.strategy.steps[0].analyse.metrics",
            "spec.strategy.auto.signals.recentFailureRate",
            "spec.strategy.auto.signals.recentFailureRate",
        ]
    );
    assert_eq!(
        problems[1].problem,
        "1.5 must be a share from 0 to 1, such as \"0.25\""
    );
}

#[test]
fn the_strategy_is_no_part_of_the_revision() {
    let by_risk = parse(&auto(&json!({}))).unwrap();
    let canary = parse(&routed()).unwrap();
    assert_eq!(by_risk.revision, canary.revision);
    let low = by_risk.at_risk(RiskLevel::Low);
    assert_eq!((low.revision, low.by_risk), (by_risk.revision, None));
}
