//! Stories of what divides requests: a Service that is switched, routes of people's, several routers at once, and what
//! comes on top of a weight.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

use super::*;
use crate::rollout::api::{Taken, Unreported};
use crate::rollout::observed::ForeignService;
use crate::rollout::testing::{raw, switched};
use crate::traffic::division::{Division, Match};
use crate::traffic::router::Route;
use crate::traffic::testing::object;

fn blue_green() -> Value {
    let mut extra = switched();
    extra["strategy"] = json!({"type": "BlueGreen", "blueGreen": {
        "postPromotion": [{"pause": {"for": "5m"}}]}});
    extra
}

fn problems(extra: &Value) -> String {
    let (_, problems) = Spec::read(&raw("1", extra), &Images::new());
    let lines = problems
        .iter()
        .map(|p| format!("{}: {}", p.path, p.problem));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn a_service_is_switched_once_all_pods_of_the_preview_answer() {
    let (extra, v2) = (blue_green(), revision("2", &blue_green()));
    let early = plan(&under_way(&extra, 2, 3, 0), NOW);
    assert_eq!(selected(&early, "api-stable"), None);
    let ready = plan(&under_way(&extra, 2, 4, 0), NOW);
    assert_eq!(selected(&ready, "api-stable"), Some(v2.to_string()));
}

#[test]
fn what_was_switched_back_needs_nothing_but_pods_that_are_ready() {
    let extra = blue_green();
    let v1 = revision("1", &extra);
    let mut seen = under_way(&extra, 3, 4, 100);
    seen.decisions.push(decision::decided("Abort", &json!({})));
    let back = plan(&seen, later(2));
    assert_eq!(selected(&back, "api-stable"), Some(v1.to_string()));
    assert_eq!(phase(&back), Phase::RollingBack);
}

#[test]
fn a_switch_is_over_without_another_move() {
    let (extra, v2) = (blue_green(), revision("2", &blue_green()));
    let pausing = plan(&under_way(&extra, 3, 4, 100), NOW);
    assert_eq!(
        pausing.progress.progress.stable,
        Some(revision("1", &extra))
    );
    let over = plan(&under_way(&extra, 3, 4, 100), later(301));
    assert_eq!(over.progress.progress.stable, Some(v2));
    assert_eq!(selected(&over, "api-stable"), None);
}

#[test]
fn a_service_that_is_switched_has_no_part_of_the_requests() {
    let mut extra = switched();
    extra["strategy"] = json!({"steps": [{"setWeight": {"weight": 10}}]});
    let text = problems(&extra);
    assert!(text.contains("steps[0].setWeight"), "{text}");
    extra["strategy"] = json!({"type": "Rolling"});
    assert!(problems(&extra).contains("need a router"));
    extra["strategy"] = json!({"steps": [{"mirror": {"percent": 10}}]});
    assert!(problems(&extra).contains("divides requests"));
}

/// A generated route and one of people's.
fn two_routers() -> Value {
    let mut extra = analysed();
    extra["traffic"]["allowForeign"] = true.into();
    extra["traffic"]["gatewayAPI"]["httpRoutes"] = json!([{"name": "shop"}]);
    extra
}

/// The route of people's, dividing like the generated one that is there.
fn shop(seen: &Observed, weight: u8) -> Route {
    let mut shop = seen.route_with(weight, true);
    shop.target.key.name = "shop".into();
    shop
}

/// Names of the HTTPRoutes that a plan writes.
fn routes_written(plan: &Plan<Memory>) -> Vec<&str> {
    let routes = patches(plan).filter(|(target, _)| target.kind == ObjectKind::HttpRoute);
    routes.map(|(target, _)| target.key.name.as_str()).collect()
}

#[test]
fn several_routers_are_shifted_together() {
    let mut seen = under_way(&two_routers(), 0, 2, 0);
    seen.routes.push(shop(&seen, 0));
    let plan = plan(&seen, NOW);
    assert_eq!(routes_written(&plan), ["api", "shop"]);
}

#[test]
fn a_router_that_lags_is_brought_along_before_anything_else() {
    let mut seen = under_way(&two_routers(), 0, 2, 10);
    seen.routes.push(shop(&seen, 0));
    let plan = plan(&seen, NOW);
    assert_eq!(plan.progress.progress.change.as_ref().unwrap().step, 0);
    assert_eq!(routes_written(&plan), ["shop"]);
}

#[test]
fn a_weight_that_somebody_writes_into_one_router_is_not_carried_to_another() {
    let extra = two_routers();
    let mut seen = under_way(&extra, 0, 2, 10);
    seen.routes.push(shop(&seen, 50));
    assert_eq!(routes_written(&plan(&seen, NOW)), ["shop"]);
}

/// What a plan does to each of several objects, whatever becomes of the others.
fn each(plan: &Plan<Memory>) -> Vec<&str> {
    let all = plan.actions.iter().filter_map(|action| match action {
        Action::PatchEach(changes) => Some(changes),
        _ => None,
    });
    let targets = all.flatten().map(|(target, _)| target);
    targets.map(|target| target.key.name.as_str()).collect()
}

#[test]
fn on_the_way_back_no_router_waits_for_what_another_says() {
    let mut seen = under_way(&two_routers(), 0, 2, 10);
    seen.routes.push(shop(&seen, 10));
    seen.decisions.push(decision::decided("Abort", &json!({})));
    let back = plan(&seen, later(2));
    assert_eq!(each(&back), ["api", "shop"]);
    assert_eq!(shifted_to(&back), Some(0));
    // Forth, the second is raised only where the first was.
    seen.decisions.clear();
    seen.routes = vec![seen.route_with(0, true), shop(&seen, 0)];
    let forth = plan(&seen, NOW);
    assert!(each(&forth).is_empty());
    assert_eq!(routes_written(&forth), ["api", "shop"]);
}

#[test]
fn a_router_is_not_raised_to_where_somebody_put_another_without_pods_for_it() {
    let mut extra = routed_steps(&json!([{"setWeight": {"weight": 50}}, {"pause": {}}]));
    extra["traffic"]["allowForeign"] = true.into();
    extra["traffic"]["gatewayAPI"]["httpRoutes"] = json!([{"name": "shop"}]);
    let mut seen = under_way(&extra, 0, 1, 10);
    seen.routes.push(shop(&seen, 50));
    assert_eq!(routes_written(&plan(&seen, NOW)), [""; 0]);
    let mut ready = under_way(&extra, 0, 2, 10);
    ready.routes.push(shop(&ready, 50));
    assert_eq!(routes_written(&plan(&ready, NOW)), ["api"]);
}

#[test]
fn a_router_that_somebody_raised_too_far_comes_down_whatever_another_waits_for() {
    let mut extra = routed_steps(&json!([{"setWeight": {"weight": 50}}, {"pause": {}}]));
    extra["traffic"]["allowForeign"] = true.into();
    extra["traffic"]["gatewayAPI"]["httpRoutes"] = json!([{"name": "shop"}]);
    let mut seen = under_way(&extra, 0, 1, 10);
    seen.routes.push(shop(&seen, 90));
    let plan = plan(&seen, NOW);
    assert_eq!(routes_written(&plan), ["shop"]);
    assert_eq!(shifted_to(&plan), Some(50));
}

#[test]
fn a_route_of_peoples_that_is_not_there_is_told_of() {
    let extra = two_routers();
    let plan = plan(&under_way(&extra, 0, 2, 0), NOW);
    assert_eq!(shifted_to(&plan), None);
    let message = &plan.why.message;
    assert!(message.contains("there is no HTTPRoute shop"), "{message}");
}

fn canary_rule(plan: &Plan<Memory>) -> Option<Value> {
    let (_, change) = patches(plan).find(|(target, _)| target.kind == ObjectKind::HttpRoute)?;
    change.pointer("/spec/rules/0/matches/0/headers/0").cloned()
}

#[test]
fn a_route_step_waits_for_one_pod_and_ends_with_the_change() {
    let mut extra = routed();
    extra["strategy"] = json!({"steps": [
        {"route": {"headers": [{"name": "X-Canary", "value": "yes"}]}}, {"pause": {}}]});
    let none = plan(&under_way(&extra, 0, 0, 0), NOW);
    assert_eq!(canary_rule(&none), None);
    let one = plan(&under_way(&extra, 0, 1, 0), NOW);
    assert_eq!(canary_rule(&one).unwrap()["name"], "x-canary");
    let mut routed = under_way(&extra, 1, 1, 0);
    let route = vec![Match::Header {
        name: "x-canary".into(),
        value: "yes".into(),
    }];
    let division = Division {
        route,
        ..Division::NONE
    };
    routed.routes = vec![routed.route_dividing(&division, true)];
    assert_eq!(plan(&routed, NOW).actions, []);
    routed
        .decisions
        .push(decision::decided("Abort", &json!({})));
    let back = plan(&routed, later(2));
    assert_eq!(shifted_to(&back), Some(0));
    assert_eq!(selected(&back, "api-canary"), None);
}

/// The same route, last written by somebody.
fn written_by(mut route: Route, manager: &str, after: i64) -> Route {
    let mut live = route.live.as_ref().clone();
    let entry = json!([{"manager": manager, "operation": "Update", "fieldsType": "FieldsV1",
                        "fieldsV1": {"f:spec": {"f:rules": {}}}, "time": later(after).to_string()}]);
    live.metadata.managed_fields = serde_json::from_value(entry).unwrap();
    route.live = live.into();
    route
}

/// After some time, with the weights of `shop` where a tool has put them.
fn taken_back(status: RolloutStatus, after: i64) -> Observed {
    let mut seen = under_way(&two_routers(), 0, 2, 10);
    seen.routes
        .push(written_by(shop(&seen, 0), "argocd-controller", after));
    seen.remembering(status)
}

fn remembered(seen: &Observed, plan: &Plan<Memory>) -> RolloutStatus {
    status::status(seen, plan, &Outcome::default(), NOW)
}

fn writes_shop(plan: &Plan<Memory>) -> bool {
    patches(plan).any(|(target, _)| target.key.name == "shop")
}

#[test]
fn a_tool_that_takes_weights_back_is_not_fought_for_long() {
    let mut seen = under_way(&two_routers(), 0, 2, 0);
    seen.routes.push(written_by(shop(&seen, 0), "kubectl", 0));
    let first = plan(&seen, NOW);
    assert!(writes_shop(&first));
    let seen = taken_back(remembered(&seen, &first), 1);
    let second = plan(&seen, NOW);
    assert!(writes_shop(&second));
    // Our answer was lost: that is not another one.
    let seen = taken_back(remembered(&seen, &second), 1);
    let again = plan(&seen, NOW);
    assert!(writes_shop(&again));
    let mut seen = taken_back(remembered(&seen, &again), 2);
    let third = plan(&seen, NOW);
    assert!(!writes_shop(&third));
    assert_eq!(third.why.reason, "FieldContested");
    assert!(third.why.message.contains("argocd-controller"));
    let held = remembered(&seen, &third);
    let stalled = held.conditions.iter().find(|c| c.type_ == "Stalled");
    assert_eq!(stalled.unwrap().reason, "FieldContested");
    seen = seen.remembering(held);
    let mut settled = seen.clone();
    settled.decisions = vec![decision::decided("Resume", &json!({}))];
    assert!(writes_shop(&plan(&settled, later(2))));
    // The way back is no matter of dispute.
    seen.decisions = vec![decision::decided("Abort", &json!({}))];
    seen.routes[1] = written_by(shop(&seen, 10), "argocd-controller", 3);
    assert!(writes_shop(&plan(&seen, later(2))));
}

/// v2 is to have a tenth, and a tool writes nothing into the generated route.
fn meddled_route(status: Option<RolloutStatus>, weight: u8, after: i64) -> Observed {
    let mut seen = under_way(&ten_then_half(), 0, 2, weight);
    seen.routes[0] = written_by(seen.routes[0].clone(), "tool", after);
    seen.status = status.unwrap_or(seen.status);
    seen
}

#[test]
fn a_tool_that_writes_into_a_generated_route_is_not_fought_for_long_and_holds_no_way_back_up() {
    let seen = meddled_route(None, 0, 1);
    let first = plan(&seen, NOW);
    assert_eq!(shifted_to(&first), Some(10));
    let status = remembered(&seen, &first);
    // Our answer was lost: that is not another one.
    let seen = meddled_route(Some(status), 0, 1);
    let again = plan(&seen, NOW);
    assert_eq!(shifted_to(&again), Some(10));
    let seen = meddled_route(Some(remembered(&seen, &again)), 0, 2);
    let held = plan(&seen, NOW);
    assert_eq!(
        (shifted_to(&held), held.why.reason),
        (None, "FieldContested")
    );
    let words = &held.why.message;
    assert!(
        words.contains("tool has taken back what was written into HTTPRoute api"),
        "{words}"
    );
    let status = remembered(&seen, &held);
    let stalled = status.conditions.iter().find(|c| c.type_ == "Stalled");
    assert_eq!(stalled.unwrap().reason, "FieldContested");
    let mut resumed = meddled_route(Some(status.clone()), 0, 2);
    resumed.decisions = vec![decision::decided("Resume", &json!({}))];
    assert_eq!(shifted_to(&plan(&resumed, later(2))), Some(10));
    let mut aborted = meddled_route(Some(status), 10, 3);
    aborted.decisions = vec![decision::decided("Abort", &json!({}))];
    assert_eq!(shifted_to(&plan(&aborted, later(2))), Some(0));
}

#[test]
fn who_writes_other_fields_of_a_generated_route_takes_nothing_back() {
    let mut seen = meddled_route(None, 0, 1);
    for after in 1..5 {
        let mut live = seen.routes[0].live.as_ref().clone();
        let managers = live.metadata.managed_fields.as_mut().unwrap();
        let ours = json!({"manager": "slipway", "operation": "Update", "fieldsType": "FieldsV1",
                          "fieldsV1": {"f:spec": {"f:rules": {}}}});
        managers.push(serde_json::from_value(ours).unwrap());
        seen.routes[0].live = live.into();
        let shifted = plan(&seen, later(after));
        assert_eq!(shifted_to(&shifted), Some(10));
        seen = meddled_route(Some(remembered(&seen, &shifted)), 0, after);
    }
}

/// v1 serves, and somebody has written the selector of its Service.
fn meddled_service(status: Option<RolloutStatus>, after: i64) -> Observed {
    let v1 = revision("1", &routed());
    let mut seen = untouched(spec("1", &routed()))
        .with_set(&v1, 4)
        .promoted(&v1, NOW)
        .with_traffic(&v1, &v1, 0)
        .remembering(status.unwrap_or_default());
    let service = seen.service_mut(Side::Stable);
    service.revision = None;
    service.taken = Some(Taken {
        by: "kubectl-edit".into(),
        at: Some(later(after)),
    });
    seen
}

#[test]
fn a_service_of_ours_that_somebody_writes_into_is_put_right_and_not_again_and_again() {
    let v1 = revision("1", &routed()).to_string();
    let mut status = None;
    for (after, is_written) in [(0, true), (10, false), (3600, false)] {
        let seen = meddled_service(status.clone(), after);
        let plan = plan(&seen, later(after));
        let is = selected(&plan, "api-stable") == Some(v1.clone());
        assert_eq!(is, is_written, "{after}: {}", plan.why.message);
        let reason = plan.why.reason;
        assert_eq!(reason == "FieldContested", !is_written, "{after}: {reason}");
        if is_written {
            status = Some(remembered(&seen, &plan));
        }
    }
    // Where nobody answers behind it, it is put right all the same, and told.
    let mut seen = meddled_service(status.clone(), 20);
    seen.service_mut(Side::Stable).ready.clear();
    let told = plan(&seen, later(20));
    assert_eq!(selected(&told, "api-stable"), Some(v1.clone()));
    let words = &told.why.message;
    assert!(
        words.contains("kubectl-edit takes back again and again"),
        "{words}"
    );
    // A person who does so now and then is no tool.
    for hours in 1..4 {
        let after = hours * 3602;
        let seen = meddled_service(status, after);
        let plan = plan(&seen, later(after));
        assert_eq!(selected(&plan, "api-stable"), Some(v1.clone()), "{after}");
        status = Some(remembered(&seen, &plan));
    }
}

#[test]
fn routes_of_peoples_are_put_back_before_the_rollout_goes() {
    let mut seen = under_way(&two_routers(), 0, 2, 10);
    seen.routes.push(shop(&seen, 10));
    seen.deletion = Some(crate::rollout::observed::Deletion::Delete);
    seen.deleted_at = Some(NOW);
    let going = plan(&seen, NOW);
    assert!(writes_shop(&going) && !going.finished);
    assert_eq!(going.actions.len(), 1);
    seen.routes[1] = shop(&seen, 0);
    assert!(plan(&seen, NOW).finished);
    seen.routes[1] = shop(&seen, 10);
    assert!(plan(&seen, later(61)).finished);
}

/// After a plan of a spec that names the route of people's, a spec that does not.
fn without_shop(weight: u8, step: u32, canary: i32) -> Observed {
    let mut before = under_way(&two_routers(), step, canary, weight);
    before.routes.push(shop(&before, weight));
    let named = plan(&before, NOW);
    let status = remembered(&before, &named);
    let progress = status.progress.as_ref().unwrap();
    assert!(progress.foreign.contains_key("HTTPRoute shop"));
    let mut seen = under_way(&analysed(), step, canary, weight).remembering(status);
    seen.left.push(shop(&before, weight));
    seen
}

#[test]
fn a_route_that_leaves_the_spec_is_put_back_and_then_forgotten() {
    let mut seen = without_shop(10, 0, 2);
    let leaving = plan(&seen, NOW);
    assert_eq!(each(&leaving), ["shop"]);
    let status = remembered(&seen, &leaving);
    let foreign = &status.progress.as_ref().unwrap().foreign;
    assert!(foreign.contains_key("HTTPRoute shop"), "until it is back");
    seen.left = vec![shop(&seen, 0)];
    let seen = seen.remembering(status);
    let back = plan(&seen, NOW);
    assert!(!writes_shop(&back));
    assert!(back.progress.progress.foreign.is_empty());
}

#[test]
fn a_route_that_left_the_spec_is_put_back_when_the_rollout_goes_too() {
    let mut seen = without_shop(10, 0, 2);
    seen.deletion = Some(Deletion::Delete);
    seen.deleted_at = Some(NOW);
    assert!(writes_shop(&plan(&seen, NOW)));
}

#[test]
fn a_route_that_leaves_waits_for_the_pods_that_take_it_back() {
    let mut seen = without_shop(10, 0, 2);
    seen.service_mut(Side::Stable).ready.pop_first();
    let early = plan(&seen, NOW);
    assert!(!writes_shop(&early));
    // Not when the change was given up.
    seen.decisions.push(decision::decided("Abort", &json!({})));
    assert!(writes_shop(&plan(&seen, later(2))));
}

/// A generated route, and a VirtualService with subsets.
fn meshed(steps: &Value) -> Value {
    let mut extra = routed();
    extra["strategy"] = json!({"steps": steps});
    extra["traffic"]["allowForeign"] = true.into();
    extra["traffic"]["istio"] = json!({
        "virtualServices": [{"name": "shop"}, {"name": "shop-inside"}],
        "destinationRule": {"name": "api", "stableSubset": "stable", "canarySubset": "canary"},
    });
    extra
}

fn half() -> Value {
    meshed(&json!([{"setWeight": {"weight": 50}}]))
}

/// Both VirtualServices, all to stable, and a DestinationRule whose subsets select these.
fn mesh(selected: [Option<&Revision>; 2]) -> Vec<Route> {
    mesh_at(selected, 0)
}

/// The same with this share on the canary.
fn mesh_at(selected: [Option<&Revision>; 2], percent: u8) -> Vec<Route> {
    let [stable, canary] = selected.map(|revision| {
        let labels = json!({"app": "api", "slipway.dev/revision": revision});
        json!({"labels": labels})
    });
    let mut subsets = [stable, canary];
    subsets[0]["name"] = "stable".into();
    subsets[1]["name"] = "canary".into();
    let to = |subset: &str, weight: u8| json!({"destination": {"host": "api", "subset": subset}, "weight": weight});
    let service = json!({"spec": {"http": [{"route": [to("stable", 100 - percent), to("canary", percent)]}]}});
    vec![
        object(ObjectKind::VirtualService, "shop", &service),
        object(ObjectKind::VirtualService, "shop-inside", &service),
        object(
            ObjectKind::DestinationRule,
            "api",
            &json!({"spec": {"host": "api", "subsets": subsets}}),
        ),
    ]
}

/// What plans make the subsets select: once, however many routers have them.
fn labelled(plan: &Plan<Memory>) -> Option<[Option<String>; 2]> {
    let rules = patches(plan).filter(|(target, _)| target.kind == ObjectKind::DestinationRule);
    let mut changes = rules.map(|(_, change)| change);
    let change = changes.next()?;
    assert_eq!(changes.next(), None);
    Some([0, 1].map(|index| {
        let subset = &change["spec"]["subsets"][index];
        let label = subset["labels"]["slipway.dev/revision"].as_str();
        label.map(str::to_owned)
    }))
}

#[test]
fn a_subset_goes_with_its_service() {
    let extra = half();
    let (v1, v2) = (revision("1", &extra), revision("2", &extra));
    let mut seen = under_way(&extra, 0, 2, 0);
    seen.service_mut(Side::Canary).revision = Some(v1.clone());
    seen.routes.extend(mesh([Some(&v1), Some(&v1)]));
    seen.status.progress.as_mut().unwrap().unreported = Some(Unreported {
        until: NOW,
        ..Unreported::default()
    });
    let plan = plan(&seen, NOW);
    assert_eq!(selected(&plan, "api-canary"), Some(v2.to_string()));
    let both = [Some(v1.to_string()), Some(v2.to_string())];
    assert_eq!(labelled(&plan), Some(both));
    assert_eq!(shifted_to(&plan), None);
}

#[test]
fn a_subset_that_lags_is_brought_along_before_it_gets_weight() {
    let extra = half();
    let (v1, v2) = (revision("1", &extra), revision("2", &extra));
    let mut seen = under_way(&extra, 0, 2, 0);
    seen.routes.extend(mesh([Some(&v1), Some(&v1)]));
    let lagging = plan(&seen, NOW);
    let both = [Some(v1.to_string()), Some(v2.to_string())];
    assert_eq!(labelled(&lagging), Some(both));
    assert_eq!(shifted_to(&lagging), None);
    seen.routes.truncate(1);
    seen.routes.extend(mesh([Some(&v1), Some(&v2)]));
    let along = plan(&seen, NOW);
    assert_eq!(labelled(&along), None);
    assert_eq!(shifted_to(&along), Some(50));
}

#[test]
fn an_abort_gives_the_subset_of_a_stable_that_went_down_what_it_can_take() {
    let mut extra = half();
    extra["strategy"]["stableScale"] = "WithWeight".into();
    let (v1, v2) = (revision("1", &extra), revision("2", &extra));
    // Three of four pods of stable are gone: the one that is left takes a quarter until they are back.
    let mut seen = scenario::shared(&extra, [1, 4], 100);
    seen.routes.extend(mesh_at([Some(&v1), Some(&v2)], 100));
    let back = scenario::aborted(seen);
    let of_mesh = patches(&back).filter(|(target, _)| target.kind == ObjectKind::VirtualService);
    let weights: Vec<Option<u64>> = of_mesh
        .map(|(_, change)| change.pointer("/spec/http/0/route/1/weight")?.as_u64())
        .collect();
    assert_eq!(weights, [Some(75), Some(75)]);
    assert_eq!(shifted_to(&back), Some(75), "every router alike");
    assert_eq!(labelled(&back), None, "subsets that have weight stay");
    assert_eq!((scaled(&back, &v1), scaled(&back, &v2)), (Some(4), None));
}

#[test]
fn a_subset_that_never_was_ours_is_taken_once_our_pods_answer() {
    let extra = half();
    let v1 = revision("1", &extra);
    let mut seen = untouched(spec("1", &extra))
        .with_set(&v1, 4)
        .with_traffic(&v1, &v1, 0);
    seen.routes.extend(mesh([None, None]));
    let ready = plan(&seen, NOW);
    assert_eq!(labelled(&ready), Some([Some(v1.to_string()), None]));
    seen.service_mut(Side::Stable).ready.pop_first();
    let early = plan(&seen, NOW);
    assert_eq!(labelled(&early), None);
    assert!(
        early.why.message.contains("3 of 4 pods"),
        "{}",
        early.why.message
    );
}

#[test]
fn subsets_that_leave_the_spec_select_what_they_did_once_nothing_leads_to_one_side_only() {
    let v1 = revision("1", &half());
    let mut before = untouched(spec("1", &half()))
        .with_set(&v1, 4)
        .with_traffic(&v1, &v1, 0);
    before.routes.extend(mesh([Some(&v1), Some(&v1)]));
    let named = plan(&before, NOW);
    let status = remembered(&before, &named);
    let mut seen = untouched(spec("1", &routed()))
        .with_set(&v1, 4)
        .with_traffic(&v1, &v1, 0)
        .remembering(status);
    seen.left = before.routes.split_off(1);
    let leaving = plan(&seen, NOW);
    assert_eq!(labelled(&leaving), Some([None, None]));
}

#[test]
fn what_people_have_on_a_route_may_be_in_the_way_of_a_step() {
    let extra = meshed(&json!([{"mirror": {"percent": 50}}, {"pause": {}}]));
    let (v1, v2) = (revision("1", &extra), revision("2", &extra));
    let mut seen = under_way(&extra, 0, 2, 0);
    seen.routes.extend(mesh([Some(&v1), Some(&v2)]));
    let free = plan(&seen, NOW);
    assert!(shifted_to(&free).is_some());
    let mut own = seen.routes[1].live.as_ref().clone();
    own.data["spec"]["http"][0]["mirror"] = json!({"host": "audit"});
    seen.routes[1].live = own.into();
    let barred = plan(&seen, NOW);
    assert_eq!(shifted_to(&barred), None);
    let message = &barred.why.message;
    assert!(message.contains("a mirror of its own"), "{message}");
}

#[test]
fn an_owner_of_peoples_objects_stays_who_it_is() {
    let extra = half();
    let v1 = revision("1", &extra);
    let mut seen = under_way(&extra, 0, 2, 0);
    seen.routes.extend(mesh([Some(&v1), Some(&v1)]));
    for route in &mut seen.routes[1..] {
        let mut live = route.live.as_ref().clone();
        live.metadata.owner_references = Some(vec![OwnerReference {
            api_version: "apps.example/v1".into(),
            controller: Some(true),
            ..OwnerReference::default()
        }]);
        route.live = live.into();
    }
    let owned: Vec<&str> = seen
        .owned_routes()
        .map(|target| target.key.name.as_str())
        .collect();
    assert_eq!(owned, ["api"]);
}

#[test]
fn the_ingress_of_the_canary_is_made_without_weight_before_anything_else() {
    let mut extra = routed();
    extra["traffic"]["nginx"] = json!({"ingresses": ["shop"]});
    let v1 = revision("1", &extra);
    let mut seen = untouched(spec("1", &extra))
        .with_set(&v1, 4)
        .with_traffic(&v1, &v1, 0);
    let missing = plan(&seen, NOW);
    let message = &missing.why.message;
    assert!(message.contains("there is no Ingress shop"), "{message}");
    let backend = json!({"service": {"name": "api-stable", "port": {"number": 80}}});
    let theirs = json!({"spec": {"defaultBackend": backend}});
    seen.routes
        .push(object(ObjectKind::Ingress, "shop", &theirs));
    let plan = plan(&seen, NOW);
    let made = plan.actions.iter().find_map(|action| match action {
        Action::Create(made) if made.kind == ObjectKind::Ingress => Some(&made.body),
        _ => None,
    });
    let metadata = &made.unwrap()["metadata"];
    assert_eq!(metadata["name"], "shop-api-canary");
    assert_eq!(
        metadata["annotations"]["nginx.ingress.kubernetes.io/canary-weight"],
        "0"
    );
    assert_eq!(metadata["labels"]["slipway.dev/rollout"], "api");
    let is_theirs = |action: &&Action| matches!(action, Action::Patch { target, .. } if target.key.name == "shop");
    assert_eq!(plan.actions.iter().find(is_theirs), None);
}

/// The stable Service is one of people's, beside a generated route.
fn of_peoples() -> Value {
    let mut extra = analysed();
    extra["traffic"]["allowForeign"] = true.into();
    extra["traffic"]["services"] = json!({"stable": "shop"});
    extra
}

/// Their Service, which selects every pod of the Rollout or one revision of them.
fn theirs(seen: &mut Observed, revision: Option<&Revision>) {
    let pods = seen.pods.iter().filter(|pod| {
        let is_selected = revision.is_none_or(|revision| pod.revision == *revision);
        is_selected && pod.is_ready
    });
    let ready = pods.map(|pod| pod.uid.clone()).collect();
    let service = seen.service_mut(Side::Stable);
    service.foreign = Some(ForeignService::default());
    service.revision = revision.cloned();
    service.is_owned = false;
    service.ready = ready;
}

/// The same as it is remembered.
fn their_object(revision: Option<&Revision>) -> Route {
    let selector = json!({"app": "api", "slipway.dev/revision": revision});
    object(
        ObjectKind::Service,
        "shop",
        &json!({"spec": {"selector": selector}}),
    )
}

/// v1 serves, behind a Service of people's.
fn serving(revision: Option<&Revision>) -> Observed {
    let v1 = revision_of(&of_peoples());
    let mut seen = untouched(spec("1", &of_peoples()))
        .with_set(&v1, 4)
        .promoted(&v1, NOW)
        .with_traffic(&v1, &v1, 0);
    theirs(&mut seen, revision);
    seen
}

fn revision_of(extra: &Value) -> Revision {
    revision("1", extra)
}

/// What a plan writes into the selector of their Service.
fn narrowed(plan: &Plan<Memory>) -> Option<Value> {
    let (_, change) = patches(plan).find(|(target, _)| target.key.name == "shop")?;
    Some(change.clone())
}

fn narrowing(revision: Option<&Revision>) -> Value {
    json!({"spec": {"selector": {"slipway.dev/revision": revision}}})
}

#[test]
fn a_service_of_peoples_is_narrowed_once_the_pods_of_stable_answer_behind_it() {
    let v1 = revision_of(&of_peoples());
    let mut seen = serving(None);
    let ready = plan(&seen, NOW);
    assert_eq!(narrowed(&ready), Some(narrowing(Some(&v1))));
    let progress = &ready.progress.progress;
    assert!(progress.foreign.contains_key("Service shop"));
    seen.service_mut(Side::Stable).ready.pop_first();
    let early = plan(&seen, NOW);
    assert_eq!(narrowed(&early), None);
    assert_eq!(early.why.reason, "TakingOver");
    let message = &early.why.message;
    assert!(message.contains("3 of 4 pods"), "{message}");
}

#[test]
fn of_a_service_of_peoples_nothing_else_is_written() {
    let v1 = revision_of(&of_peoples());
    let seen = serving(Some(&v1));
    assert_eq!(narrowed(&plan(&seen, NOW)), None);
    let owned: Vec<&str> = seen
        .owned_traffic()
        .map(|target| target.key.name.as_str())
        .collect();
    assert!(!owned.contains(&"shop"), "{owned:?}");
}

#[test]
fn a_service_of_peoples_is_narrowed_to_what_takes_the_place_of_a_stable_that_is_down() {
    let extra = of_peoples();
    let (v1, v2) = (revision_of(&extra), revision("2", &extra));
    let mut seen = under_way(&extra, 0, 4, 10).crashing(&v1);
    theirs(&mut seen, None);
    seen.status.progress.as_mut().unwrap().down_since = Some(NOW);
    assert_eq!(narrowed(&plan(&seen, later(29))), None);
    assert_eq!(
        narrowed(&plan(&seen, later(30))),
        Some(narrowing(Some(&v2)))
    );
}

/// A Service that is wide selects pods of all revisions, so none of them go before it is narrowed.
#[test]
fn pods_that_a_service_of_peoples_waits_for_wait_for_no_others_to_go() {
    let mut extra = of_peoples();
    extra["strategy"]["stableScale"] = "WithWeight".into();
    let (v1, v2, older) = (
        revision_of(&extra),
        revision("2", &extra),
        revision("3", &extra),
    );
    let mut seen = under_way(&extra, 0, 1, 0).with_set(&older, 4);
    seen.sets.retain(|set| set.revision != v1);
    seen.pods.retain(|pod| pod.revision != v1);
    theirs(&mut seen, None);
    seen.status.progress.as_mut().unwrap().down_since = Some(NOW);
    let waiting = plan(&seen, later(30));
    assert_eq!(narrowed(&waiting), None, "one pod is not enough");
    assert_eq!(scaled(&waiting, &older), None);
    assert_eq!(scaled(&waiting, &v2), Some(2));
}

#[test]
fn a_service_that_somebody_widens_in_the_middle_needs_one_pod_to_be_narrowed_again() {
    let extra = of_peoples();
    let v1 = revision_of(&extra);
    let mut seen = under_way(&extra, 0, 2, 10);
    theirs(&mut seen, None);
    let pods: Vec<String> = seen
        .pods
        .iter()
        .filter(|pod| pod.revision == v1)
        .map(|pod| pod.uid.clone())
        .collect();
    for uid in &pods[1..] {
        seen.service_mut(Side::Stable).ready.remove(uid);
    }
    assert_eq!(narrowed(&plan(&seen, NOW)), None, "it never was narrow");
    let driven = [("Service shop".to_owned(), 0)].into();
    let progress = seen.status.progress.as_mut().unwrap();
    progress.driven = driven;
    assert_eq!(narrowed(&plan(&seen, NOW)), Some(narrowing(Some(&v1))));
}

#[test]
fn a_service_that_a_tool_widens_is_not_fought_for_long_and_holds_no_way_back_up() {
    let extra = of_peoples();
    let mut seen = under_way(&extra, 0, 2, 10);
    theirs(&mut seen, None);
    let foreign = seen.service_mut(Side::Stable).foreign.as_mut();
    foreign.unwrap().taken = Some(Taken {
        by: "flux".into(),
        at: Some(NOW),
    });
    let progress = seen.status.progress.as_mut().unwrap();
    progress.driven = [("Service shop".to_owned(), 1)].into();
    let held = plan(&seen, NOW);
    assert_eq!(narrowed(&held), None);
    assert_eq!(held.why.reason, "FieldContested");
    assert!(held.why.message.contains("flux"), "{}", held.why.message);
    seen.decisions.push(decision::decided("Abort", &json!({})));
    assert_eq!(shifted_to(&plan(&seen, later(2))), Some(0));
}

#[test]
fn a_service_that_is_not_ours_to_write_stalls_and_says_so() {
    let v1 = revision_of(&of_peoples());
    let mut seen = serving(Some(&v1));
    let foreign = ForeignService {
        obstacle: Some("Service shop is there".into()),
        is_barred: true,
        ..ForeignService::default()
    };
    seen.service_mut(Side::Stable).foreign = Some(foreign);
    let stalled = plan(&seen, NOW);
    assert_eq!(stalled.why.reason, "ForeignService");
    assert_eq!(patches(&stalled).count(), 0);
    // Whether it is gone is found out by trying.
    let is_made = |action: &Action| matches!(action, Action::Create(made) if made.kind == ObjectKind::Service);
    assert!(stalled.actions.iter().any(is_made));
    let status = remembered(&seen, &stalled);
    let mut conditions = status.conditions.iter();
    assert!(conditions.any(|condition| condition.type_ == "Stalled"));
    assert!(status.progress.unwrap().foreign.is_empty());
}

#[test]
fn a_service_that_another_rollout_drives_is_left_to_it() {
    let v1 = revision_of(&of_peoples());
    let mut seen = serving(Some(&v1));
    let status = remembered(&seen, &plan(&seen, NOW));
    seen = seen.remembering(status);
    seen.left.push(their_object(Some(&v1)));
    let foreign = ForeignService {
        obstacle: Some("Service shop is driven by Rollout web".into()),
        is_barred: true,
        rival: Some("web".into()),
        ..ForeignService::default()
    };
    seen.service_mut(Side::Stable).foreign = Some(foreign);
    let stalled = plan(&seen, NOW);
    assert_eq!(stalled.why.reason, "ForeignService");
    assert!(stalled.actions.is_empty(), "{:?}", stalled.actions);
    assert_eq!(stalled.wake, Some(later(30)));
    let status = remembered(&seen, &stalled);
    assert!(status.progress.unwrap().foreign.is_empty());
}

#[test]
fn a_service_of_peoples_that_is_gone_is_not_made_anew() {
    let v1 = revision_of(&of_peoples());
    let mut seen = serving(Some(&v1));
    let status = remembered(&seen, &plan(&seen, NOW));
    seen = seen.remembering(status);
    seen.services[0] = None;
    let gone = plan(&seen, NOW);
    assert_eq!(gone.why.reason, "ForeignService");
    assert!(gone.actions.is_empty(), "{:?}", gone.actions);
}

#[test]
fn a_service_that_leaves_the_spec_selects_again_what_it_did() {
    let v1 = revision_of(&of_peoples());
    let before = serving(Some(&v1));
    let status = remembered(&before, &plan(&before, NOW));
    let mut seen = untouched(spec("1", &analysed()))
        .with_set(&v1, 4)
        .promoted(&v1, NOW)
        .with_traffic(&v1, &v1, 0)
        .remembering(status);
    seen.left.push(their_object(Some(&v1)));
    let leaving = plan(&seen, NOW);
    assert_eq!(narrowed(&leaving), Some(narrowing(None)));
    let status = remembered(&seen, &leaving);
    let mut seen = seen.remembering(status);
    let mut wide = their_object(None).live.as_ref().clone();
    wide.data["spec"]["selector"] = json!({"app": "api"});
    seen.left[0].live = wide.into();
    let back = plan(&seen, NOW);
    assert_eq!(narrowed(&back), None);
    assert!(back.progress.progress.foreign.is_empty());
}

#[test]
fn a_rollout_that_leaves_its_pods_gives_the_service_back_last() {
    let v1 = revision_of(&of_peoples());
    let mut seen = serving(Some(&v1));
    let status = remembered(&seen, &plan(&seen, NOW));
    seen = seen.remembering(status);
    seen.left.push(their_object(Some(&v1)));
    seen.deletion = Some(Deletion::Orphan);
    seen.deleted_at = Some(NOW);
    let leaving = plan(&seen, NOW);
    assert_eq!(narrowed(&leaving), Some(narrowing(None)));
    for set in &mut seen.sets {
        set.is_owned = false;
    }
    for service in seen.services.iter_mut().flatten() {
        service.is_owned = false;
    }
    let mut route = seen.routes[0].live.as_ref().clone();
    route.metadata.owner_references = None;
    seen.routes[0].live = route.into();
    theirs(&mut seen, None);
    let mut wide = their_object(None).live.as_ref().clone();
    wide.data["spec"]["selector"] = json!({"app": "api"});
    seen.left[0].live = wide.into();
    let gone = plan(&seen, NOW);
    assert_eq!(narrowed(&gone), None);
    assert!(gone.finished, "{:?}", gone.actions);
}
