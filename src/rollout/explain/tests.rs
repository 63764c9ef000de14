//! What is said is true: advice is tried out on the planner, and steps are where the status has them.

use jiff::SignedDuration;

use super::testing::{STORIES, Story};
use super::*;
use crate::rollout::api::RolloutSpec;

#[test]
fn every_decision_that_is_advised_has_an_effect() {
    for (name, tell) in STORIES {
        let told = tell();
        for advice in explain(&told.rollout(), &Templates::new(), told.now()).advice {
            let Some(action) = advice.decision else {
                continue;
            };
            let mut story = tell();
            story.world.decide(action, "somebody", &advice.groups);
            let plan = story.look();
            let outcome = plan.progress.last_decision.unwrap();
            assert_eq!(outcome.action, action, "{name}");
            let is_idle = outcome.result.starts_with("no effect")
                || outcome.result.starts_with("not followed");
            assert!(!is_idle, "{name}: {action}: {}", outcome.result);
        }
    }
}

#[test]
fn there_is_advice_for_everything_that_waits() {
    for (name, tell) in STORIES {
        let story = tell();
        let explanation = explain(&story.rollout(), &Templates::new(), story.now());
        assert!(!explanation.advice.is_empty(), "{name}");
        assert!(!explanation.message.is_empty(), "{name}");
    }
}

#[test]
fn steps_are_done_now_or_to_come() {
    use StepState::{Done, Now, ToCome};
    let none = serde_json::json!({});
    let mut story = Story::begun(&none);
    let at_rest = explain(&story.rollout(), &Templates::new(), story.now());
    assert!(
        at_rest
            .steps
            .iter()
            .all(|step| step.state == StepState::ToCome)
            && !at_rest.is_changing
    );
    story.want("2", &none);
    story.until_step(3);
    let states: Vec<StepState> = explain(&story.rollout(), &Templates::new(), story.now())
        .steps
        .iter()
        .map(|step| step.state)
        .collect();
    assert_eq!(states, [Done, Done, Now, ToCome, ToCome, ToCome]);
}

#[test]
fn waiting_for_pods_has_an_end_and_waiting_for_people_has_none() {
    let none = serde_json::json!({});
    let mut story = Story::begun(&none);
    story.want("2", &none);
    story.look();
    let now = story.now();
    let moving = explain(&story.rollout(), &Templates::new(), now);
    assert_eq!(
        moving.given_up_at,
        Some(now + SignedDuration::from_mins(10))
    );
    story.until_step(2);
    let pausing = explain(&story.rollout(), &Templates::new(), now);
    assert_eq!(
        (pausing.given_up_at, pausing.until),
        (None, Some(now + SignedDuration::from_mins(15)))
    );
    story.until_step(3);
    let now = story.now();
    let analysing = explain(&story.rollout(), &Templates::new(), now);
    assert_eq!(
        analysing.given_up_at,
        Some(now + SignedDuration::from_mins(15))
    );
    assert_eq!(analysing.analysis[0].wanted, 3);
}

#[test]
fn the_steps_of_an_auto_are_those_of_its_risk() {
    let auto = serde_json::json!({"strategy": {"type": "Auto", "auto": {"medium": "BlueGreen"}}});
    let mut story = Story::begun(&auto);
    let at_rest = explain(&story.rollout(), &Templates::new(), story.now());
    assert_eq!(at_rest.risk, None);
    assert!(
        at_rest.notes[0].contains("those of risk Medium are shown"),
        "{:?}",
        at_rest.notes
    );
    story.want("2", &auto);
    story.look();
    let mut rollout = story.rollout();
    let begun = explain(&rollout, &Templates::new(), story.now());
    assert_eq!(begun.risk.unwrap().level, RiskLevel::Medium);
    assert_eq!(begun.steps[2].what, "setWeight 100");
    rollout.status.as_mut().unwrap().risk = Some(Risk {
        level: RiskLevel::Low,
        because: Vec::new(),
    });
    rollout.spec.strategy.as_mut().unwrap().auto = None;
    assert_eq!(
        explain(&rollout, &Templates::new(), story.now()).steps[0].what,
        "scale 4"
    );
}

#[test]
fn what_nobody_has_looked_at_says_so() {
    let spec = serde_json::json!({"selector": {"matchLabels": {"a": "b"}}, "template": {}});
    let spec: RolloutSpec = serde_json::from_value(spec).unwrap();
    let explanation = explain(
        &Rollout::new("api", spec),
        &Templates::new(),
        Timestamp::UNIX_EPOCH,
    );
    assert_eq!(explanation.phase, Phase::Pending);
    assert!(explanation.notes[0].contains("is it running"));
    assert!(explanation.advice.is_empty());
}

#[test]
fn a_spec_that_was_changed_since_is_noted() {
    let story = Story::begun(&serde_json::json!({}));
    let mut rollout = story.rollout();
    rollout.metadata.generation = Some(7);
    let explanation = explain(&rollout, &Templates::new(), story.now());
    assert!(
        explanation.notes[0].contains("generation 7"),
        "{:?}",
        explanation.notes
    );
}
