//! Stories of strategy `Auto`: the risk of a change says which steps it gets, and that is settled when it begins.

use super::*;
use crate::rollout::api::{Ending, Risk, RiskLevel};

/// Only versions and failures count, so that a low risk can be earned.
fn auto() -> Value {
    let mut extra = routed();
    extra["strategy"] = json!({
        "type": "Auto",
        "maxSurge": "100%",
        "auto": {"signals": {"majorVersion": "High", "recentFailureRate": {"0.3": "High"}}},
    });
    extra
}

fn ending(result: EndingResult) -> Ending {
    Ending {
        revision: "earlier".into(),
        result,
        reason: String::new(),
        started_at: NOW,
        finished_at: NOW,
        peak_weight: 100,
    }
}

/// A version is stable and another one is wanted; the last changes ended like this.
fn asked(extra: &Value, versions: [&str; 2], history: &[EndingResult]) -> Observed {
    let [before, wanted] = versions;
    let stable = revision(before, extra);
    let mut seen = untouched(spec(wanted, extra))
        .with_set(&stable, 4)
        .promoted(&stable, NOW)
        .with_traffic(&stable, &stable, 0);
    seen.sets[0].images = [("web".to_owned(), format!("api:{before}"))].into();
    let progress = Progress {
        stable: Some(stable),
        ..Progress::default()
    };
    seen.remembering(RolloutStatus {
        observed_generation: 1,
        history: history.iter().copied().map(ending).collect(),
        progress: Some(progress),
        ..RolloutStatus::default()
    })
}

/// What the next look sees when nothing but the status has changed.
fn written(seen: &Observed, plan: &Plan<Memory>) -> RolloutStatus {
    status::status(seen, plan, &Outcome::default(), NOW)
}

fn risk(plan: &Plan<Memory>) -> (RiskLevel, Vec<String>) {
    let Risk { level, because } = plan.progress.risk.clone().unwrap();
    (level, because)
}

const WELL: &[EndingResult] = &[EndingResult::Promoted; 4];
const BADLY: &[EndingResult] = &[EndingResult::RolledBack; 4];

#[test]
fn a_low_risk_is_a_blue_green() {
    let seen = asked(&auto(), ["1.0.0", "1.0.1"], WELL);
    let plan = plan(&seen, NOW);
    let because = ["patch version", "recentFailureRate 0"].map(str::to_owned);
    assert_eq!(risk(&plan), (RiskLevel::Low, because.to_vec()));
    assert_eq!(scaled(&plan, &revision("1.0.1", &auto())), Some(4));
    assert_eq!(plan.progress.shown.step.as_ref().unwrap().of, 3);
}

#[test]
fn a_medium_risk_is_a_canary() {
    let seen = asked(&auto(), ["1.0.0", "next"], WELL);
    let plan = plan(&seen, NOW);
    let because = vec!["unknown: majorVersion".to_owned()];
    assert_eq!(risk(&plan), (RiskLevel::Medium, because));
    assert_eq!(scaled(&plan, &revision("next", &auto())), Some(1));
    assert_eq!(plan.progress.shown.step.as_ref().unwrap().of, 4);
}

#[test]
fn a_canary_by_risk_has_ten_and_fifty_percent_and_its_pauses() {
    let extra = auto();
    let of = |step, canary, weight, seconds| {
        let mut seen = under_way(&extra, step, canary, weight);
        seen.status.risk = Some(Risk {
            level: RiskLevel::Medium,
            because: Vec::new(),
        });
        plan(&seen, later(seconds))
    };
    assert_eq!(shifted_to(&of(0, 1, 0, 1)), Some(10));
    let pausing = of(1, 1, 10, 899);
    assert_eq!(
        (phase(&pausing), shifted_to(&pausing)),
        (Phase::Paused, None)
    );
    assert_eq!(scaled(&of(1, 1, 10, 900), &revision("2", &extra)), Some(2));
    assert_eq!(shifted_to(&of(2, 2, 10, 900)), Some(50));
    assert_eq!(phase(&of(3, 2, 50, 1799)), Phase::Paused);
    assert_eq!(shifted_to(&of(4, 4, 50, 1800)), Some(100));
}

#[test]
fn a_high_risk_goes_pod_by_pod() {
    let seen = asked(&auto(), ["1.0.0", "2.0.0"], WELL);
    let plan = plan(&seen, NOW);
    assert_eq!(
        risk(&plan),
        (RiskLevel::High, vec!["major version".to_owned()])
    );
    let one = scaled(&plan, &revision("2.0.0", &auto()));
    assert_eq!(one, Some(1));
    assert_eq!(plan.progress.shown.step, None);
}

#[test]
fn changes_that_went_back_make_the_next_one_risky() {
    let plan = plan(&asked(&auto(), ["1.0.0", "1.0.1"], BADLY), NOW);
    let because = vec!["recentFailureRate 1".to_owned()];
    assert_eq!(risk(&plan), (RiskLevel::High, because));
}

#[test]
fn commits_that_say_that_they_break_something_are_believed() {
    let mut seen = asked(&auto(), ["1.0.0", "1.0.1"], WELL);
    seen.risk = seen.risk.with_subjects(["feat!: other words"].into_iter());
    assert_eq!(risk(&plan(&seen, NOW)).0, RiskLevel::High);
}

#[test]
fn the_risk_of_a_change_is_settled_when_it_begins() {
    let mut seen = asked(&auto(), ["1.0.0", "1.0.1"], WELL);
    let begun = plan(&seen, NOW);
    seen.status = written(&seen, &begun);
    assert_eq!(seen.status.risk, begun.progress.risk);
    // All that is known is another thing now.
    seen.status.history = BADLY.iter().copied().map(ending).collect();
    seen.risk = seen.risk.with_subjects(["feat!: other words"].into_iter());
    seen.sets[0].images.clear();
    let goes_on = plan(&seen, later(60));
    assert_eq!(risk(&goes_on), risk(&begun));
    assert_eq!(goes_on.progress.shown.step, begun.progress.shown.step);
    // Only where nothing is remembered it is assessed again.
    seen.status.risk = None;
    assert_eq!(risk(&plan(&seen, later(60))).0, RiskLevel::High);
}

#[test]
fn the_next_change_is_assessed_anew() {
    let mut seen = asked(&auto(), ["1.0.0", "1.0.1"], WELL);
    let begun = plan(&seen, NOW);
    seen.status = written(&seen, &begun);
    seen.wanted = Wanted::Spec(spec("2.0.0", &auto()).into());
    let superseding = plan(&seen, later(60));
    assert_eq!(risk(&superseding).0, RiskLevel::High);
    let change = superseding.progress.progress.change.as_ref().unwrap();
    assert_eq!(change.revision, revision("2.0.0", &auto()));
    assert_eq!(
        superseding.progress.history[0].result,
        EndingResult::Superseded
    );
}

#[test]
fn stable_that_has_gone_down_with_a_risky_change_is_not_overrun_on_the_way_back() {
    let extra = auto();
    let (v1, v2) = (revision("1", &extra), revision("2", &extra));
    let mut seen = untouched(spec("2", &extra))
        .with_set(&v1, 2)
        .promoted(&v1, NOW)
        .with_set(&v2, 2)
        .with_traffic(&v1, &v2, 50)
        .remembering(at_step(&v1, &v2, 0, NOW));
    seen.status.risk = Some(Risk {
        level: RiskLevel::High,
        because: Vec::new(),
    });
    let abort =
        json!({"target": {"kind": "Rollout", "name": "api"}, "action": "Abort", "user": "olga"});
    seen.decisions = vec![super::decision::act("stop", 1, &abort)];
    let back = plan(&seen, later(2));
    assert_eq!(phase(&back), Phase::RollingBack);
    assert_eq!((scaled(&back, &v1), shifted_to(&back)), (Some(4), None));
    assert_eq!(
        risk(&back).0,
        RiskLevel::High,
        "it is remembered on the way back"
    );
}

#[test]
fn another_strategy_has_no_risk() {
    let mut seen = under_way(&ten_then_half(), 1, 1, 10);
    seen.status.risk = Some(Risk {
        level: RiskLevel::High,
        because: Vec::new(),
    });
    let plan = plan(&seen, NOW);
    assert_eq!(plan.progress.risk, None);
    assert_eq!(written(&seen, &plan).risk, None);
}

#[test]
fn a_revision_that_was_stable_comes_back_without_steps_whatever_its_risk() {
    let mut extra = auto();
    extra["rollback"] = json!({"window": {"revisions": 1}});
    let old = revision("1.0.0", &extra);
    let seen = asked(&extra, ["2.0.0", "1.0.0"], WELL)
        .with_set(&old, 0)
        .promoted(&old, later(-60));
    let plan = plan(&seen, NOW);
    assert_eq!(risk(&plan).0, RiskLevel::High);
    let change = plan.progress.progress.change.as_ref().unwrap();
    assert_eq!(change.step, 0, "a high risk has no steps to leave out");
    assert_eq!(phase(&plan), Phase::Promoting);
}
