//! Stories of what divides requests: a Service that is switched, routes of people's, several routers at once, and what
//! comes on top of a weight.

use super::*;
use crate::rollout::testing::switched;
use crate::traffic::division::{Division, Match};
use crate::traffic::router::Route;

fn blue_green() -> Value {
    let mut extra = switched();
    extra["strategy"] = json!({"type": "BlueGreen", "blueGreen": {
        "postPromotion": [{"pause": {"for": "5m"}}]}});
    extra
}

fn problems(extra: &Value) -> String {
    let mut raw = json!({
        "selector": {"matchLabels": {"app": "api"}},
        "template": {"metadata": {"labels": {"app": "api"}},
                     "spec": {"containers": [{"name": "web", "image": "api:1"}]}},
    });
    json_patch::merge(&mut raw, extra);
    let raw = serde_json::from_value(raw).unwrap();
    let (_, problems) = crate::rollout::spec::Spec::read(&raw, &Default::default());
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

#[test]
fn several_routers_are_shifted_together() {
    let mut seen = under_way(&two_routers(), 0, 2, 0);
    seen.routes.push(shop(&seen, 0));
    let plan = plan(&seen, NOW);
    let written = plan.actions.iter().filter_map(|action| match action {
        Action::Patch { target, .. } if target.kind == ObjectKind::HttpRoute => {
            Some(target.key.name.as_str())
        }
        _ => None,
    });
    assert_eq!(written.collect::<Vec<_>>(), ["api", "shop"]);
}

#[test]
fn a_router_that_lags_is_brought_along_before_anything_else() {
    let mut seen = under_way(&two_routers(), 0, 2, 10);
    seen.routes.push(shop(&seen, 0));
    let plan = plan(&seen, NOW);
    assert_eq!(plan.progress.progress.change.as_ref().unwrap().step, 0);
    let written: Vec<&str> = plan
        .actions
        .iter()
        .filter_map(|action| match action {
            Action::Patch { target, .. } if target.kind == ObjectKind::HttpRoute => {
                Some(target.key.name.as_str())
            }
            _ => None,
        })
        .collect();
    assert_eq!(written, ["shop"]);
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
    let change = plan.actions.iter().find_map(|action| match action {
        Action::Patch { target, change } if target.kind == ObjectKind::HttpRoute => Some(change),
        _ => None,
    })?;
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
    plan.actions
        .iter()
        .any(|action| matches!(action, Action::Patch { target, .. } if target.key.name == "shop"))
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
