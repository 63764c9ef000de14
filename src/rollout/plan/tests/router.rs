//! Stories of what divides requests: a Service that is switched, routes of people's, several routers at once, and what
//! comes on top of a weight.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

use super::*;
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
    let (_, change) =
        patches(plan).find(|(target, _)| target.kind == ObjectKind::HttpRoute)?;
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
fn written_by(mut route: Route, manager: &str) -> Route {
    let mut live = route.live.as_ref().clone();
    let entry = json!([{"manager": manager, "operation": "Update", "fieldsType": "FieldsV1",
                        "fieldsV1": {"f:spec": {"f:rules": {}}}, "time": NOW.to_string()}]);
    live.metadata.managed_fields = serde_json::from_value(entry).unwrap();
    route.live = live.into();
    route
}

/// After some time, with the weights of `shop` where a tool has put them.
fn taken_back(status: RolloutStatus) -> Observed {
    let mut seen = under_way(&two_routers(), 0, 2, 10);
    seen.routes
        .push(written_by(shop(&seen, 0), "argocd-controller"));
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
    seen.routes.push(written_by(shop(&seen, 0), "kubectl"));
    let first = plan(&seen, NOW);
    assert!(writes_shop(&first));
    let seen = taken_back(remembered(&seen, &first));
    let second = plan(&seen, NOW);
    assert!(writes_shop(&second));
    let mut seen = taken_back(remembered(&seen, &second));
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
    seen.routes[1] = written_by(shop(&seen, 10), "argocd-controller");
    assert!(writes_shop(&plan(&seen, later(2))));
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
    let [stable, canary] = selected.map(|revision| {
        let labels = json!({"app": "api", "slipway.dev/revision": revision});
        json!({"labels": labels})
    });
    let mut subsets = [stable, canary];
    subsets[0]["name"] = "stable".into();
    subsets[1]["name"] = "canary".into();
    let to = |subset: &str, weight: u8| json!({"destination": {"host": "api", "subset": subset}, "weight": weight});
    let service = json!({"spec": {"http": [{"route": [to("stable", 100), to("canary", 0)]}]}});
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
