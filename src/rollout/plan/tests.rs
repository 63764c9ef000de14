//! Stories: what a person would tell about a Rollout, one behaviour each.

mod adopt;
mod analysis;
mod auto;
mod config;
mod decision;
mod down;
mod edge;
mod failure;
mod pods;
mod restart;
mod router;
mod scenario;
mod silence;
mod size;
mod strategy;
mod template;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::api::{
    Change, EndingResult, FailureReason, Phase, Progress, RolloutStatus, Tally,
};
use super::super::observed::{Deletion, Observed, Wanted};
use super::super::spec::{Images, Spec};
use super::super::status;
use super::super::testing::{NOW, later, revision, routed, routed_steps, spec, untouched};
use super::{Memory, plan};
use crate::model::action::{Action, Outcome, Reply};
use crate::model::manifest::Target;
use crate::model::object::ObjectKind;
use crate::model::plan::Plan;
use crate::model::revision::Revision;
use crate::traffic::Side;

fn ten_then_half() -> Value {
    routed_steps(&json!([
        {"setWeight": {"weight": 10}}, {"pause": {"for": "15m"}},
        {"setWeight": {"weight": 50}}, {"pause": {"for": "30m"}},
    ]))
}

/// v1 is stable and v2 is wanted, at `step`, with `canary` pods and `weight`.
fn under_way(extra: &Value, step: u32, canary: i32, weight: u8) -> Observed {
    let (v1, v2) = (revision("1", extra), revision("2", extra));
    untouched(spec("2", extra))
        .with_set(&v1, 4)
        .promoted(&v1, NOW)
        .with_set(&v2, canary)
        .with_traffic(&v1, &v2, weight)
        .remembering(at_step(&v1, &v2, step, NOW))
}

fn at_step(stable: &Revision, wanted: &Revision, step: u32, since: Timestamp) -> RolloutStatus {
    let change = Change {
        revision: wanted.clone(),
        started_at: since,
        step,
        step_started_at: since,
        ready: 0,
        progressed_at: since,
        peak_weight: 0,
        unmade_since: None,
        measuring_since: None,
        trail: String::new(),
        held: false,
        approvals: Vec::new(),
        stuck: None,
        overruled: Vec::new(),
        retries: 0,
    };
    let progress = Progress {
        stable: Some(stable.clone()),
        change: Some(change),
        ..Progress::default()
    };
    RolloutStatus {
        observed_generation: 1,
        progress: Some(progress),
        ..RolloutStatus::default()
    }
}

/// The objects that a plan patches, each with the change.
fn patches(plan: &Plan<Memory>) -> impl Iterator<Item = (&Target, &Value)> {
    plan.actions.iter().flat_map(Action::patches)
}

/// The weight that a plan writes to the route.
fn shifted_to(plan: &Plan<Memory>) -> Option<u64> {
    let (_, route) = patches(plan).find(|(target, _)| target.kind == ObjectKind::HttpRoute)?;
    route
        .pointer("/spec/rules/0/backendRefs/1/weight")?
        .as_u64()
}

/// The number of pods that a plan gives to a revision.
fn scaled(plan: &Plan<Memory>, revision: &Revision) -> Option<i64> {
    plan.actions.iter().find_map(|action| {
        let (name, body) = match action {
            Action::Patch { target, change } => (&target.key.name, change),
            Action::Create(manifest) => (&manifest.key.name, &manifest.body),
            _ => return None,
        };
        let of_revision = name.ends_with(revision.as_str());
        if of_revision {
            body.pointer("/spec/replicas")?.as_i64()
        } else {
            None
        }
    })
}

fn selected(plan: &Plan<Memory>, service: &str) -> Option<String> {
    plan.actions.iter().find_map(|action| match action {
        Action::Patch { target, change } if target.key.name == service => {
            let selector = change.pointer("/spec/selector")?;
            Some(selector["slipway.dev/revision"].as_str()?.to_owned())
        }
        _ => None,
    })
}

fn phase(plan: &Plan<Memory>) -> Phase {
    plan.progress.shown.phase
}

#[test]
fn the_first_revision_starts_at_full_size_with_services_and_route() {
    let plan = plan(&untouched(spec("1", &routed())), NOW);
    let created: Vec<&str> = plan
        .actions
        .iter()
        .map(|action| match action {
            Action::Create(manifest) => manifest.kind.kind(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(created, ["Service", "Service", "HTTPRoute", "ReplicaSet"]);
    assert_eq!(scaled(&plan, &revision("1", &routed())), Some(4));
    assert_eq!(phase(&plan), Phase::Progressing);
}

#[test]
fn at_rest_nothing_is_done() {
    let extra = routed();
    let v1 = revision("1", &extra);
    let seen = untouched(spec("1", &extra))
        .with_set(&v1, 4)
        .promoted(&v1, NOW);
    let seen = seen.with_traffic(&v1, &v1, 0);
    let plan = plan(&seen, NOW);
    assert_eq!(plan.actions, []);
    assert_eq!(plan.wake, None);
    assert_eq!(phase(&plan), Phase::Healthy);
}

#[test]
fn a_new_revision_gets_the_pods_of_its_first_weight() {
    let extra = ten_then_half();
    let v1 = revision("1", &extra);
    let seen = untouched(spec("2", &extra))
        .with_set(&v1, 4)
        .promoted(&v1, NOW);
    let plan = plan(&seen.with_traffic(&v1, &v1, 0), NOW);
    assert_eq!(scaled(&plan, &revision("2", &extra)), Some(1));
    assert_eq!(
        selected(&plan, "api-canary"),
        Some(revision("2", &extra).to_string())
    );
    assert_eq!(shifted_to(&plan), None);
}

#[test]
fn weight_waits_for_pods_that_answer_behind_their_service() {
    let extra = ten_then_half();
    let mut seen = under_way(&extra, 0, 1, 0);
    assert_eq!(shifted_to(&plan(&seen, NOW)), Some(10));
    seen.service_mut(Side::Canary).ready.clear();
    assert_eq!(shifted_to(&plan(&seen, NOW)), None);
}

#[test]
fn what_a_weight_waits_for_is_said_with_the_pods_and_the_time() {
    let mut seen = under_way(&ten_then_half(), 2, 2, 10);
    seen.service_mut(Side::Canary).ready.pop_first();
    let waiting = plan(&seen, NOW);
    let v2 = revision("2", &ten_then_half());
    let pods = format!("1 of 2 pods of {v2} answer behind their Service");
    let until = "without progress until 08:10:00Z it is given up";
    assert_eq!(
        waiting.why.message,
        format!("step 3/4: 50 % to canary, waiting for the shift: {pods}; {until}")
    );
}

#[test]
fn a_pod_of_another_revision_behind_the_service_proves_nothing() {
    let extra = ten_then_half();
    let mut seen = under_way(&extra, 0, 1, 0);
    let v1 = revision("1", &extra);
    seen.service_mut(Side::Canary).ready = [format!("{v1}-0")].into();
    assert_eq!(shifted_to(&plan(&seen, NOW)), None);
}

#[test]
fn a_step_is_over_only_when_the_data_plane_says_so() {
    let extra = ten_then_half();
    let mut seen = under_way(&extra, 0, 1, 10);
    seen.routes = vec![seen.route_with(10, false)];
    let waiting = plan(&seen, NOW);
    assert_eq!(waiting.progress.progress.change.as_ref().unwrap().step, 0);
    seen.routes = vec![seen.route_with(10, true)];
    let done = plan(&seen, NOW);
    assert_eq!(done.progress.progress.change.as_ref().unwrap().step, 1);
    assert_eq!(done.wake, Some(later(15 * 60)));
}

#[test]
fn a_pause_says_until_when_and_ends_then() {
    let extra = ten_then_half();
    let seen = under_way(&extra, 1, 1, 10);
    let waiting = plan(&seen, later(60));
    assert_eq!(phase(&waiting), Phase::Paused);
    assert_eq!(waiting.actions, []);
    assert!(
        waiting.why.message.contains("until"),
        "{}",
        waiting.why.message
    );
    let over = plan(&seen, later(15 * 60));
    assert_eq!(over.progress.progress.change.as_ref().unwrap().step, 2);
    assert_eq!(scaled(&over, &revision("2", &extra)), Some(2));
}

#[test]
fn a_crashing_canary_is_given_up_at_once() {
    let extra = ten_then_half();
    let v2 = revision("2", &extra);
    let plan = plan(&under_way(&extra, 1, 1, 10).crashing(&v2), NOW);
    assert_eq!(shifted_to(&plan), Some(0));
    assert_eq!(phase(&plan), Phase::RollingBack);
    assert_eq!(plan.progress.history[0].result, EndingResult::RolledBack);
    assert!(
        plan.why.message.contains("CrashLoop"),
        "{}",
        plan.why.message
    );
}

#[test]
fn the_way_back_needs_one_stable_pod_and_no_healthy_canary() {
    let extra = ten_then_half();
    let (v1, v2) = (revision("1", &extra), revision("2", &extra));
    let mut seen = under_way(&extra, 3, 2, 50).crashing(&v2);
    seen.service_mut(Side::Stable).ready = [format!("{v1}-0")].into();
    assert_eq!(shifted_to(&plan(&seen, NOW)), Some(0));
    seen.service_mut(Side::Stable).ready.clear();
    assert_eq!(shifted_to(&plan(&seen, NOW)), None);
}

#[test]
fn what_was_given_up_is_not_tried_again_until_another_revision_is_asked_for() {
    let extra = ten_then_half();
    let (v1, v2) = (revision("1", &extra), revision("2", &extra));
    let failed = plan(&under_way(&extra, 1, 1, 10).crashing(&v2), NOW);
    let after_edit = |version: &str, edit: &Value| {
        let mut edited = extra.clone();
        json_patch::merge(&mut edited, edit);
        let seen = untouched(spec(version, &edited))
            .with_set(&v1, 4)
            .promoted(&v1, NOW);
        let seen = seen.with_set(&v2, 0).with_traffic(&v1, &v1, 0);
        let memory = status::status(&seen, &failed, &Outcome::default(), NOW);
        plan(&seen.remembering(memory), later(3600))
    };
    let after = |version: &str| after_edit(version, &json!({}));
    assert_eq!(phase(&after("2")), Phase::RolledBack);
    assert_eq!(scaled(&after("2"), &v2), None);
    // Autoscalers and other tools edit the rest.
    for edit in [
        json!({"replicas": 5}),
        json!({"strategy": {"steps": [{"setWeight": {"weight": 50}}]}}),
        json!({"progressDeadlineSeconds": 60}),
    ] {
        assert_eq!(phase(&after_edit("2", &edit)), Phase::RolledBack, "{edit}");
    }
    assert_eq!(scaled(&after("3"), &revision("3", &extra)), Some(1));
}

#[test]
fn what_was_given_up_is_tried_again_for_another_promotion_only() {
    let extra = ten_then_half();
    let (v1, v2) = (revision("1", &extra), revision("2", &extra));
    // The second one failed while its Environment was away.
    for failed_for in [Some("production-2-1"), None] {
        let mut seen = under_way(&extra, 1, 1, 10).crashing(&v2);
        seen.promotion = failed_for.map(str::to_owned);
        let mut last = plan(&seen, NOW);
        for (promotion, expected) in [
            (None, Phase::RolledBack),
            (Some("production-2-1"), Phase::RolledBack),
            (Some("production-2-1"), Phase::RolledBack),
            (None, Phase::RolledBack),
            (Some("production-2-2"), Phase::Progressing),
        ] {
            let mut seen = untouched(spec("2", &extra))
                .with_set(&v1, 4)
                .promoted(&v1, NOW)
                .with_set(&v2, 0)
                .with_traffic(&v1, &v1, 0);
            seen.promotion = promotion.map(str::to_owned);
            let memory = status::status(&seen, &last, &Outcome::default(), NOW);
            last = plan(&seen.remembering(memory), later(60));
            assert_eq!(phase(&last), expected, "{failed_for:?} {promotion:?}");
        }
    }
}

#[test]
fn a_failure_survives_the_loss_of_the_status() {
    let extra = ten_then_half();
    let (v1, v2) = (revision("1", &extra), revision("2", &extra));
    let mut seen = untouched(spec("2", &extra))
        .with_set(&v1, 4)
        .promoted(&v1, NOW);
    seen = seen.with_set(&v2, 0).with_traffic(&v1, &v1, 0);
    seen.sets[1].failed = Some("AnalysisFailed".into());
    assert_eq!(phase(&plan(&seen, NOW)), Phase::RolledBack);
}

#[test]
fn a_canary_whose_status_was_lost_goes_on_where_it_was() {
    let extra = ten_then_half();
    let mut seen = under_way(&extra, 0, 2, 50);
    seen.status = RolloutStatus {
        observed_generation: -1,
        ..RolloutStatus::default()
    };
    let plan = plan(&seen, NOW);
    assert_eq!(plan.progress.progress.stable, Some(revision("1", &extra)));
    assert_eq!(shifted_to(&plan), None);
    assert_eq!(plan.progress.progress.change.as_ref().unwrap().step, 3);
}

#[test]
fn all_of_the_traffic_comes_before_the_swap_and_the_swap_before_the_weight_goes_back() {
    let extra = ten_then_half();
    let (v1, v2) = (revision("1", &extra), revision("2", &extra));
    let last = plan(&under_way(&extra, 4, 4, 50), NOW);
    assert_eq!(shifted_to(&last), Some(100));
    let swap = plan(&under_way(&extra, 4, 4, 100), NOW);
    assert_eq!(selected(&swap, "api-stable"), Some(v2.to_string()));
    assert_eq!(shifted_to(&swap), None);
    let back = plan(
        &under_way(&extra, 4, 4, 100).with_traffic(&v2, &v2, 100),
        NOW,
    );
    assert_eq!(shifted_to(&back), Some(0));
    let done = plan(&under_way(&extra, 4, 4, 0).with_traffic(&v2, &v2, 0), NOW);
    assert_eq!(done.progress.progress.stable, Some(v2));
    assert_eq!(done.progress.history[0].result, EndingResult::Promoted);
    assert_eq!(scaled(&done, &v1), None, "the old revision drains first");
    assert_eq!(done.progress.progress.draining[v1.as_str()], later(10));
    assert_eq!(done.wake, Some(later(10)));
}

#[test]
fn an_old_revision_goes_when_its_drain_time_is_over() {
    let extra = routed();
    let (v1, v2) = (revision("1", &extra), revision("2", &extra));
    let seen = untouched(spec("2", &extra))
        .with_set(&v1, 4)
        .with_set(&v2, 4);
    let seen = seen.promoted(&v2, NOW).with_traffic(&v2, &v2, 0);
    let mut progress = Progress {
        stable: Some(v2),
        ..Progress::default()
    };
    progress.draining.insert(v1.to_string(), later(10));
    let memory = RolloutStatus {
        progress: Some(progress),
        ..RolloutStatus::default()
    };
    let seen = seen.remembering(memory);
    assert_eq!(scaled(&plan(&seen, later(9)), &v1), None);
    assert_eq!(scaled(&plan(&seen, later(10)), &v1), Some(0));
}

#[test]
fn a_superseded_revision_gives_its_weight_back_before_the_next_one_starts() {
    let extra = ten_then_half();
    let (v1, v2) = (revision("1", &extra), revision("2", &extra));
    let seen = untouched(spec("3", &extra))
        .with_set(&v1, 4)
        .promoted(&v1, NOW);
    let seen = seen.with_set(&v2, 1).with_traffic(&v1, &v2, 10);
    let plan = plan(&seen.remembering(at_step(&v1, &v2, 1, NOW)), NOW);
    assert_eq!(shifted_to(&plan), Some(0));
    assert_eq!(selected(&plan, "api-canary"), None);
    assert_eq!(scaled(&plan, &v2), None);
    assert_eq!(plan.progress.history[0].result, EndingResult::Superseded);
}

#[test]
fn spec_paused_holds_everything_but_the_way_back() {
    let mut extra = ten_then_half();
    let v2 = revision("2", &extra);
    extra["paused"] = true.into();
    let held = plan(&under_way(&extra, 0, 1, 0), NOW);
    assert_eq!(shifted_to(&held), None);
    assert_eq!(phase(&held), Phase::Paused);
    let failing = plan(&under_way(&extra, 1, 1, 10).crashing(&v2), NOW);
    assert_eq!(shifted_to(&failing), Some(0));
}

#[test]
fn no_pods_in_time_is_a_failure() {
    let mut extra = ten_then_half();
    extra["progressDeadlineSeconds"] = 60.into();
    let mut seen = under_way(&extra, 0, 1, 0);
    let v2 = revision("2", &extra);
    seen.pods
        .iter_mut()
        .filter(|pod| pod.revision == v2)
        .for_each(|pod| pod.is_ready = false);
    assert_eq!(plan(&seen, later(59)).wake, Some(later(60)));
    let over = plan(&seen, later(60));
    assert!(over.progress.progress.failed.is_some());
    assert!(
        over.why.message.contains("ProgressDeadline"),
        "{}",
        over.why.message
    );
}

fn analysed() -> Value {
    let mut extra = routed_steps(&json!([
        {"setWeight": {"weight": 10}}, {"analyse": {"metrics": ["errors"], "for": "60s"}},
    ]));
    extra["analysis"] = json!({"interval": "10s", "metrics": [{
        "name": "errors", "pass": "value < 0.01", "minSamples": 2,
        "prometheus": {"address": "http://prom", "query": "rate(errors{pod=~\"{{canary.pods}}\"})"},
    }]});
    extra
}

fn measuring(samples: &Tally) -> Observed {
    let extra = analysed();
    let mut seen = under_way(&extra, 1, 1, 10);
    let progress = seen.status.progress.as_mut().unwrap();
    progress.change.as_mut().unwrap().measuring_since = Some(NOW);
    seen.status.analysis = vec![Tally {
        name: "errors".into(),
        ..samples.clone()
    }];
    seen
}

fn fetched(plan: &Plan<Memory>) -> Vec<&str> {
    let keys = plan.actions.iter().filter_map(|action| match action {
        Action::Fetch { key, .. } => Some(key.as_str()),
        _ => None,
    });
    keys.collect()
}

#[test]
fn a_metric_is_measured_when_it_is_due_and_only_of_the_canarys_pods() {
    let seen = measuring(&Tally {
        at: Some(NOW),
        passed: 1,
        taken: 7,
        ..Tally::default()
    });
    let early = plan(&seen, later(9));
    assert_eq!((fetched(&early), early.wake), (vec![], Some(later(10))));
    let due = plan(&seen, later(10));
    let v2 = revision("2", &analysed());
    assert_eq!(fetched(&due), [format!("{v2}/1/errors/7")]);
    let Some(Action::Fetch { request, .. }) = due.actions.last() else {
        panic!("{due:?}")
    };
    assert!(request.body.as_ref().unwrap().contains(v2.as_str()));
}

#[test]
fn a_sample_is_counted_in_status_before_it_is_acted_on() {
    let seen = measuring(&Tally::default());
    let due = plan(&seen, later(10));
    let body = json!({"status": "success", "data": {"resultType": "scalar", "result": [0, "0.5"]}});
    let reply = Reply {
        status: 200,
        body: body.to_string().into_bytes(),
    };
    let key = fetched(&due)[0].to_owned();
    let outcome = Outcome {
        replies: [(key, Ok(reply))].into(),
        ..Outcome::default()
    };
    let written = status::status(&seen, &due, &outcome, later(10));
    assert_eq!((written.analysis[0].failed, shifted_to(&due)), (1, None));
    let next = plan(&seen.remembering(written), later(10));
    assert_eq!(shifted_to(&next), Some(0));
    assert!(
        next.why.message.contains("AnalysisFailed"),
        "{}",
        next.why.message
    );
}

#[test]
fn an_analysis_ends_with_enough_good_samples_and_not_before_its_time() {
    let good = Tally {
        passed: 2,
        at: Some(later(60)),
        ..Tally::default()
    };
    let step = |seen: &Observed, at| plan(seen, at).progress.progress.change.unwrap().step;
    assert_eq!(step(&measuring(&good), later(59)), 1);
    assert_eq!(step(&measuring(&good), later(60)), 2);
    let few = Tally {
        passed: 1,
        at: Some(later(60)),
        ..Tally::default()
    };
    assert_eq!(step(&measuring(&few), later(60)), 1);
}

#[test]
fn an_analysis_without_data_fails_in_the_end() {
    let none = Tally {
        no_data: 9,
        at: Some(later(659)),
        ..Tally::default()
    };
    let waiting = plan(&measuring(&none), later(659));
    assert_eq!(phase(&waiting), Phase::Analysing);
    let over = plan(&measuring(&none), later(660));
    assert_eq!(over.progress.progress.failed.unwrap().reason, "NoVerdict");
}

/// Takes the owner off the stable ReplicaSet, the Services and the route.
fn orphaned(mut seen: Observed) -> Observed {
    seen.sets[0].is_owned = false;
    seen.services
        .iter_mut()
        .flatten()
        .for_each(|service| service.is_owned = false);
    let mut live = seen.routes[0].live.as_ref().clone();
    live.metadata.owner_references = None;
    seen.routes[0].live = live.into();
    seen
}

#[test]
fn orphaning_goes_back_to_stable_and_takes_the_owner_off() {
    let extra = ten_then_half();
    let v1 = revision("1", &extra);
    let mut seen = under_way(&extra, 1, 1, 10);
    seen.deletion = Some(Deletion::Orphan);
    let first = plan(&seen, NOW);
    assert_eq!(shifted_to(&first), Some(0));
    assert!(!first.finished);
    let seen = seen.with_traffic(&v1, &v1, 0);
    let second = plan(&seen, NOW);
    let disowned = second.actions.iter().filter(|action| {
        matches!(action, Action::Patch { change, .. }
            if change.pointer("/metadata/ownerReferences") == Some(&Value::Null))
    });
    assert_eq!(
        disowned.count(),
        4,
        "ReplicaSet, two Services and the route"
    );
    let mut seen = orphaned(seen);
    let mut memory = at_step(&v1, &v1, 0, NOW);
    memory.progress.as_mut().unwrap().change = None;
    seen.sets[1].replicas = 0;
    let last = plan(&seen.remembering(memory), NOW);
    assert!(last.finished, "{last:#?}");
}

#[test]
fn a_rollout_that_leaves_its_pods_stays_until_the_canary_has_drained() {
    let extra = ten_then_half();
    let v1 = revision("1", &extra);
    let seen = orphaned(under_way(&extra, 1, 1, 10).with_traffic(&v1, &v1, 0));
    let mut seen = Observed {
        deletion: Some(Deletion::Orphan),
        ..seen
    };
    let draining = plan(&seen, NOW);
    assert_eq!(
        (draining.actions.len(), draining.wake),
        (0, Some(later(10)))
    );
    assert!(
        !draining.finished,
        "its owner gone, the canary would end at once"
    );
    let outcome = Outcome::default();
    seen.status = status::status(&seen, &draining, &outcome, NOW);
    assert_eq!(
        scaled(&plan(&seen, later(10)), &revision("2", &extra)),
        Some(0)
    );
}

#[test]
fn a_rollout_that_goes_makes_nothing_new() {
    let mut seen = untouched(spec("1", &routed()));
    seen.deletion = Some(Deletion::Orphan);
    let plan = plan(&seen, NOW);
    assert_eq!(
        (plan.actions.len(), plan.finished),
        (0, true),
        "its namespace may be going too"
    );
}

#[test]
fn an_impossible_spec_does_not_turn_leaving_into_deleting() {
    let extra = ten_then_half();
    let mut seen = under_way(&extra, 1, 1, 10);
    seen.wanted = Wanted::Invalid(Vec::new(), None);
    seen.deletion = Some(Deletion::Orphan);
    let first = plan(&seen, NOW);
    assert_eq!(
        (first.actions.len(), first.finished),
        (5, false),
        "two ReplicaSets and traffic"
    );
    let mut seen = orphaned(seen);
    seen.sets[1].is_owned = false;
    assert!(plan(&seen, NOW).finished);
}

#[test]
fn what_was_left_without_an_owner_is_adopted_again() {
    let extra = routed();
    let v1 = revision("1", &extra);
    let seen = untouched(spec("1", &extra))
        .with_set(&v1, 4)
        .promoted(&v1, NOW);
    let mut seen = orphaned(seen.with_traffic(&v1, &v1, 0));
    let adopted = |plan: &Plan<Memory>| {
        let owners = plan.actions.iter().filter_map(|action| match action {
            Action::Patch { change, .. } => change.pointer("/metadata/ownerReferences/0/uid"),
            _ => None,
        });
        owners.count()
    };
    assert_eq!(
        adopted(&plan(&seen, NOW)),
        4,
        "ReplicaSet, two Services and the route"
    );
    seen.deletion = Some(Deletion::Orphan);
    assert_eq!(adopted(&plan(&seen, NOW)), 0);
}

mod without_router {
    use super::*;

    fn half() -> Value {
        json!({"strategy": {"maxSurge": 1, "steps": [{"setWeight": {"weight": 50}}, {"pause": {"for": "60s"}}]}})
    }

    #[test]
    fn pods_are_added_before_pods_are_taken_away() {
        let extra = half();
        let (v1, v2) = (revision("1", &extra), revision("2", &extra));
        let seen = untouched(spec("2", &extra))
            .with_set(&v1, 4)
            .promoted(&v1, NOW);
        let first = plan(&seen, NOW);
        assert_eq!((scaled(&first, &v2), scaled(&first, &v1)), (Some(1), None));
        let memory = at_step(&v1, &v2, 0, NOW);
        let seen = seen.with_set(&v2, 1).remembering(memory.clone());
        let second = plan(&seen, NOW);
        assert_eq!(
            (scaled(&second, &v2), scaled(&second, &v1)),
            (None, Some(3))
        );
    }

    #[test]
    fn a_crashing_canary_goes_and_stable_comes_back() {
        let extra = half();
        let (v1, v2) = (revision("1", &extra), revision("2", &extra));
        let seen = untouched(spec("2", &extra))
            .with_set(&v1, 2)
            .promoted(&v1, NOW);
        let seen = seen.with_set(&v2, 2).crashing(&v2);
        let plan = plan(&seen.remembering(at_step(&v1, &v2, 1, NOW)), NOW);
        assert_eq!(scaled(&plan, &v1), Some(3), "one more, within the surge");
        assert_eq!(
            scaled(&plan, &v2),
            Some(0),
            "pods that are not available cost nothing"
        );
    }

    #[test]
    fn a_weight_is_reached_with_the_pods_that_come_closest_to_it() {
        let extra = json!({"replicas": 3, "strategy": {"maxSurge": 1, "steps": [
            {"setWeight": {"weight": 34}}, {"pause": {"for": "60s"}}]}});
        let (v1, v2) = (revision("1", &extra), revision("2", &extra));
        let seen = untouched(spec("2", &extra))
            .with_set(&v1, 2)
            .promoted(&v1, NOW);
        let seen = seen.with_set(&v2, 1).remembering(at_step(&v1, &v2, 0, NOW));
        assert_eq!(phase(&plan(&seen, NOW)), Phase::Paused);
    }

    #[test]
    fn the_new_revision_is_stable_when_nothing_else_is_left() {
        let extra = half();
        let (v1, v2) = (revision("1", &extra), revision("2", &extra));
        let seen = untouched(spec("2", &extra))
            .with_set(&v1, 0)
            .promoted(&v1, NOW);
        let seen = seen.with_set(&v2, 4).remembering(at_step(&v1, &v2, 2, NOW));
        assert_eq!(plan(&seen, NOW).progress.progress.stable, Some(v2));
    }
}
