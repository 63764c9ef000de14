//! Stories of people: what they decide is followed once, in order, and says what came of it.

use super::*;
use crate::decision::act::Act;

/// A Decision, made `second` seconds after `NOW`.
pub(super) fn act(name: &str, second: i64, spec: &Value) -> Act {
    Act {
        name: name.into(),
        at: later(second),
        version: 1,
        spec: serde_json::from_value(spec.clone()).unwrap(),
    }
}

pub(super) fn decided(action: &str, more: &Value) -> Act {
    let mut spec =
        json!({"target": {"kind": "Rollout", "name": "api"}, "action": action, "user": "olga"});
    json_patch::merge(&mut spec, more);
    act(&format!("d-{}", action.to_lowercase()), 1, &spec)
}

fn after(mut seen: Observed, acts: &[Act]) -> Plan<Memory> {
    seen.decisions = acts.to_vec();
    plan(&seen, later(2))
}

fn result(plan: &Plan<Memory>) -> &str {
    &plan.progress.last_decision.as_ref().unwrap().result
}

fn step(plan: &Plan<Memory>) -> Option<u32> {
    plan.progress
        .progress
        .change
        .as_ref()
        .map(|change| change.step)
}

/// What the next plan sees.
fn next(mut seen: Observed, plan: &Plan<Memory>, acts: &[Act]) -> Observed {
    seen.status = status::status(&seen, plan, &Outcome::default(), later(2));
    seen.decisions = acts.to_vec();
    seen
}

#[test]
fn a_pause_holds_the_change_until_resume_and_not_the_way_back() {
    let extra = ten_then_half();
    let acts = [decided("Pause", &json!({"reason": "lunch"}))];
    let held = after(under_way(&extra, 1, 1, 10), &acts);
    assert_eq!((phase(&held), held.actions.len()), (Phase::Paused, 0));
    assert!(
        held.why
            .message
            .contains("held by olga: lunch; a Decision Resume ends that"),
        "{}",
        held.why.message
    );
    let seen = next(under_way(&extra, 1, 1, 10), &held, &acts);
    assert_eq!(
        phase(&plan(&seen, later(9999))),
        Phase::Paused,
        "its time does not run out"
    );
    let crashing = next(
        under_way(&extra, 1, 1, 10).crashing(&revision("2", &extra)),
        &held,
        &acts,
    );
    assert_eq!(shifted_to(&plan(&crashing, later(3))), Some(0));
    let resumed = [acts[0].clone(), decided("Resume", &json!({}))];
    let goes_on = plan(
        &next(under_way(&extra, 1, 1, 10), &held, &resumed),
        later(3),
    );
    assert_eq!(goes_on.why.reason, "PauseStep");
}

#[test]
fn a_pause_without_an_end_waits_for_resume() {
    let extra = routed_steps(
        &json!([{"setWeight": {"weight": 25}}, {"pause": {}}, {"setWeight": {"weight": 50}}]),
    );
    let waiting = plan(&under_way(&extra, 1, 1, 25), later(99_999));
    assert_eq!((phase(&waiting), waiting.wake), (Phase::Paused, None));
    let plan = after(
        under_way(&extra, 1, 1, 25),
        &[decided("Resume", &json!({}))],
    );
    assert_eq!(step(&plan), Some(2));
}

#[test]
fn skip_goes_on_by_one_step_once() {
    let extra = ten_then_half();
    let acts = [decided("Skip", &json!({}))];
    let skipped = after(under_way(&extra, 1, 1, 10), &acts);
    assert_eq!(
        (step(&skipped), result(&skipped)),
        (Some(2), "the step is skipped")
    );
    let again = plan(
        &next(under_way(&extra, 1, 1, 10), &skipped, &acts),
        later(3),
    );
    assert_eq!(step(&again), Some(2));
    assert_eq!(again.progress.last_decision, skipped.progress.last_decision);
}

#[test]
fn a_decision_that_arrives_late_is_followed_all_the_same() {
    let extra = ten_then_half();
    let late = decided("Abort", &json!({}));
    let first = act(
        "a",
        30,
        &json!({"target": {"kind": "Rollout", "name": "api"}, "action": "Pause", "user": "olga"}),
    );
    let held = after(under_way(&extra, 1, 1, 10), std::slice::from_ref(&first));
    let plan = plan(
        &next(under_way(&extra, 1, 1, 10), &held, &[late, first]),
        later(31),
    );
    assert_eq!(shifted_to(&plan), Some(0));
}

#[test]
fn however_many_decisions_are_made_at_once_each_is_followed_once() {
    let extra = ten_then_half();
    for count in [21, 150] {
        for apart in [0, 60] {
            let spec = json!({"target": {"kind": "Rollout", "name": "api"}, "action": "Skip", "user": "olga"});
            let acts: Vec<Act> = (0..count)
                .map(|number| act(&format!("d-{number:03}"), number * apart / count, &spec))
                .collect();
            let first = after(under_way(&extra, 1, 1, 10), &acts);
            assert_eq!(step(&first), Some(4), "every step is skipped");
            let last = first.progress.last_decision.as_ref().unwrap();
            assert_eq!(last.name, format!("d-{:03}", count - 1));
            let seen = next(under_way(&extra, 1, 1, 10), &first, &acts);
            let second = plan(&seen, later(70));
            let of = |plan: &Plan<Memory>| {
                let memory = &plan.progress;
                (
                    memory.progress.decided.clone(),
                    memory.last_decision.clone(),
                )
            };
            assert_eq!(of(&first), of(&second), "{count} within {apart} s");
            // Another one is followed all the same.
            let mut acts = acts;
            acts.push(act("later", 70, &spec));
            let third = plan(&next(seen, &second, &acts), later(71));
            assert_eq!(third.progress.last_decision.unwrap().name, "later");
        }
    }
}

#[test]
fn promote_skips_every_step_but_not_the_pods() {
    let extra = ten_then_half();
    let plan = after(
        under_way(&extra, 1, 1, 10),
        &[decided("Promote", &json!({}))],
    );
    assert_eq!(step(&plan), Some(4));
    assert_eq!(
        shifted_to(&plan),
        None,
        "one pod is not enough for everything"
    );
    assert_eq!(phase(&plan), Phase::Promoting);
}

#[test]
fn abort_goes_back_and_retry_tries_again() {
    let extra = ten_then_half();
    let abort = decided("Abort", &json!({"reason": "the shop looks odd"}));
    let aborted = after(under_way(&extra, 2, 2, 50), std::slice::from_ref(&abort));
    assert_eq!(shifted_to(&aborted), Some(0));
    let failed = aborted.progress.progress.failed.as_ref().unwrap();
    assert_eq!(
        (failed.reason.as_str(), failed.message.as_str()),
        ("Aborted", "by olga: the shop looks odd")
    );
    let acts = [
        abort,
        act(
            "retry",
            5,
            &json!({"target": {"kind": "Rollout", "name": "api"}, "action": "Retry", "user": "olga"}),
        ),
    ];
    let again = plan(&next(under_way(&extra, 0, 2, 0), &aborted, &acts), later(6));
    assert_eq!(step(&again), Some(0));
    assert_eq!(again.progress.progress.failed, None);
}

#[test]
fn a_step_waits_for_enough_people_of_the_right_group() {
    let extra = routed_steps(
        &json!([{"approve": {"required": 2, "groups": ["leads"]}}, {"setWeight": {"weight": 50}}]),
    );
    let by = |name: &str, user: &str, groups: &Value| {
        let spec = json!({"target": {"kind": "Rollout", "name": "api"}, "action": "Approve", "user": user, "groups": groups});
        act(name, 1, &spec)
    };
    let (one, two) = (
        by("a", "olga", &json!(["leads"])),
        by("d", "dana", &json!(["leads"])),
    );
    let stranger = by("b", "sam", &json!([]));
    let waiting = after(
        under_way(&extra, 0, 0, 0),
        &[
            one.clone(),
            by("c", "olga", &json!(["leads"])),
            stranger.clone(),
        ],
    );
    assert_eq!((step(&waiting), phase(&waiting)), (Some(0), Phase::Paused));
    assert!(
        waiting.why.message.contains("1 of 2 approvals (olga)"),
        "{}",
        waiting.why.message
    );
    assert!(
        result(&waiting).contains("in the name of leads"),
        "{}",
        result(&waiting)
    );
    let plan = after(under_way(&extra, 0, 0, 0), &[one, stranger, two]);
    assert_eq!(step(&plan), Some(1));
}

#[test]
fn a_rejection_gives_the_change_up() {
    let extra = routed_steps(&json!([{"setWeight": {"weight": 25}}, {"approve": {}}]));
    let plan = after(
        under_way(&extra, 1, 1, 25),
        &[decided("Reject", &json!({}))],
    );
    assert_eq!(
        plan.progress.progress.failed.as_ref().unwrap().reason,
        "Rejected"
    );
    assert_eq!(shifted_to(&plan), Some(0));
}

/// v2 is stable, and v1 was before.
fn promoted_twice(extra: &Value) -> Observed {
    let (v1, v2) = (revision("1", extra), revision("2", extra));
    let progress = Progress {
        stable: Some(v2.clone()),
        ..Progress::default()
    };
    untouched(spec("2", extra))
        .with_set(&v1, 0)
        .promoted(&v1, later(-200))
        .with_set(&v2, 4)
        .promoted(&v2, later(-100))
        .with_traffic(&v2, &v2, 0)
        .remembering(RolloutStatus {
            progress: Some(progress),
            ..RolloutStatus::default()
        })
}

#[test]
fn undo_goes_back_to_the_revision_before_though_the_spec_asks_for_another() {
    let extra = ten_then_half();
    let (v1, v2) = (revision("1", &extra), revision("2", &extra));
    let acts = [decided("Undo", &json!({}))];
    let going = after(promoted_twice(&extra), &acts);
    assert_eq!(result(&going), format!("going back to {v1}"));
    assert_eq!(scaled(&going, &v1), Some(1), "pods first");
    assert_eq!(step(&going), Some(4), "without steps");
    // Once it is stable again, it stays, and says that the spec asks for something else.
    let mut there = next(promoted_twice(&extra), &going, &acts);
    there.sets.clear();
    there.pods.clear();
    let mut there = there
        .with_set(&v1, 4)
        .promoted(&v1, later(50))
        .with_set(&v2, 0)
        .promoted(&v2, later(-100))
        .with_traffic(&v1, &v1, 0);
    there.sets[1].failed = Some("Undone".into());
    let progress = there.status.progress.as_mut().unwrap();
    progress.stable = Some(v1.clone());
    progress.change = None;
    let rests = plan(&there, later(60));
    assert_eq!((phase(&rests), rests.actions.len()), (Phase::RolledBack, 0));
    assert!(
        rests.why.message.contains("Undone: by olga"),
        "{}",
        rests.why.message
    );
    // The same without any memory.
    there.status = RolloutStatus::default();
    let lost = plan(&there, later(60));
    assert_eq!(phase(&lost), Phase::RolledBack);
    assert_eq!(shifted_to(&lost), None);
}

#[test]
fn what_was_undone_serves_on_without_a_blemish_once_there_is_nothing_to_go_back_to() {
    let extra = ten_then_half();
    let acts = [decided("Undo", &json!({}))];
    let going = after(promoted_twice(&extra), &acts);
    let mut seen = next(promoted_twice(&extra), &going, &acts);
    seen.sets.remove(0);
    let stays = plan(&seen, later(60));
    let progress = &stays.progress.progress;
    assert_eq!((&progress.failed, &progress.change), (&None, &None));
    assert_eq!(phase(&stays), Phase::Healthy);
}

#[test]
fn what_was_gone_back_to_and_is_given_up_is_not_tried_again() {
    let extra = ten_then_half();
    let (v1, v2) = (revision("1", &extra), revision("2", &extra));
    let named = decided("Undo", &json!({"revision": v1.as_str()}));
    let both = [named.clone(), decided("Abort", &json!({}))];
    // v2 is stable, or only on its way, beside v3.
    for stable in [&v2, &revision("3", &extra)] {
        let mut before = promoted_twice(&extra).with_set(stable, 4);
        let progress = before.status.progress.as_mut().unwrap();
        progress.stable = Some(stable.clone());
        let going = after(before.clone(), std::slice::from_ref(&named));
        assert_eq!(result(&going), format!("going back to {v1}"));
        let seen = next(before.clone(), &going, &both);
        let ended = plan(&seen, later(3));
        assert_eq!(result(&ended), format!("{v1} is given up"));
        let stays = plan(&next(before, &ended, &both), later(4));
        let progress = &stays.progress.progress;
        assert_eq!(progress.change, None);
        let failed = progress.failed.as_ref().map(|failed| &failed.revision);
        assert_eq!(failed, (*stable != v2).then_some(&v2));
    }
}

#[test]
fn undo_to_a_revision_that_is_not_there_says_which_are() {
    let extra = ten_then_half();
    let plan = after(
        promoted_twice(&extra),
        &[decided("Undo", &json!({"revision": "nonsense"}))],
    );
    let (v1, v2) = (revision("1", &extra), revision("2", &extra));
    assert_eq!(
        result(&plan),
        format!("no effect: no such earlier revision; there are: {v2}, {v1}")
    );
    assert_eq!(phase(&plan), Phase::Healthy);
}

#[test]
fn where_an_environment_says_what_runs_undo_is_its_business() {
    let extra = ten_then_half();
    let mut seen = promoted_twice(&extra);
    seen.environment = Some("production".into());
    let plan = after(seen, &[decided("Undo", &json!({}))]);
    assert!(
        result(&plan).contains("make a Decision Rollback on it"),
        "{}",
        result(&plan)
    );
    assert_eq!(phase(&plan), Phase::Healthy);
}

#[test]
fn what_was_decided_before_the_rollout_was_made_or_has_expired_does_not_count() {
    let extra = ten_then_half();
    let old = act(
        "old",
        -9999,
        &json!({"target": {"kind": "Rollout", "name": "api"}, "action": "Abort", "user": "olga"}),
    );
    let expired = decided("Abort", &json!({"expiresAt": later(2).to_string()}));
    let plan = after(under_way(&extra, 1, 1, 10), &[old, expired]);
    assert_eq!(
        (step(&plan), plan.progress.last_decision.clone()),
        (Some(1), None)
    );
}

#[test]
fn a_pause_survives_the_loss_of_the_status_and_a_skip_is_not_done_twice() {
    let extra = ten_then_half();
    let mut seen = under_way(&extra, 1, 1, 10);
    seen.status = RolloutStatus::default();
    let lost = after(seen.clone(), &[decided("Pause", &json!({}))]);
    assert_eq!(phase(&lost), Phase::Paused);
    let lost = after(seen, &[decided("Skip", &json!({}))]);
    assert_eq!(step(&lost), Some(1));
}
