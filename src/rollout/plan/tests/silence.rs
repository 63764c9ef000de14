//! Stories of routers of which one reports nothing: what had weight is not pointed elsewhere before the drain time is over.

use super::*;
use crate::rollout::api::Unreported;
use crate::traffic::router::Route;
use crate::traffic::testing::object;

/// A generated route whose Gateway reports, and a TraefikService of people's.
fn with_edge(strategy: &Value) -> Value {
    let mut extra = routed();
    extra["strategy"] = strategy.clone();
    extra["traffic"]["allowForeign"] = true.into();
    extra["traffic"]["traefik"] = json!({"services": ["edge"]});
    extra
}

fn half() -> Value {
    with_edge(&json!({"steps": [{"setWeight": {"weight": 50}}, {"pause": {}}]}))
}

fn edge(weight: u8) -> Route {
    let service = |name: &str, weight: u8| json!({"name": name, "port": 80, "weight": weight});
    let services = [
        service("api-stable", 100 - weight),
        service("api-canary", weight),
    ];
    let spec = json!({"spec": {"weighted": {"services": services}}});
    object(ObjectKind::TraefikService, "edge", &spec)
}

/// Remembers the weight that was seen, and until when it may not be known.
fn silent(mut seen: Observed, weight: u8, until: Timestamp) -> Observed {
    let progress = seen.status.progress.as_mut().unwrap();
    progress.unreported = Some(Unreported {
        weight,
        added: false,
        until,
    });
    seen
}

/// Version 3 is wanted; version 2 has given its weight back, and the canary Service still selects it.
fn superseded() -> Observed {
    let extra = half();
    let (v1, v2) = (revision("1", &extra), revision("2", &extra));
    let mut seen = untouched(spec("3", &extra))
        .with_set(&v1, 4)
        .promoted(&v1, NOW)
        .with_set(&v2, 2)
        .with_traffic(&v1, &v2, 0)
        .remembering(at_step(&v1, &v2, 1, NOW));
    seen.routes.push(edge(0));
    seen
}

fn unreported(plan: &Plan<Memory>) -> Option<(u8, Timestamp)> {
    let unreported = plan.progress.progress.unreported.as_ref()?;
    Some((unreported.weight, unreported.until))
}

#[test]
fn the_canary_service_is_pointed_elsewhere_when_its_weight_has_been_gone_for_the_drain_time() {
    let v3 = revision("3", &half()).to_string();
    let seen = silent(superseded(), 50, later(-100));
    let first = plan(&seen, NOW);
    assert_eq!(selected(&first, "api-canary"), None);
    assert_eq!(unreported(&first), Some((0, later(10))));
    assert_eq!(first.wake, Some(later(10)));
    let seen = silent(superseded(), 0, later(10));
    assert_eq!(selected(&plan(&seen, later(9)), "api-canary"), None);
    let over = plan(&seen, later(10));
    assert_eq!(selected(&over, "api-canary"), Some(v3));
}

#[test]
fn a_status_that_is_lost_costs_the_time_once_and_a_clock_that_went_back_no_more_than_that() {
    assert_eq!(unreported(&plan(&superseded(), NOW)), Some((0, later(10))));
    let seen = silent(superseded(), 0, later(1000));
    assert_eq!(unreported(&plan(&seen, NOW)), Some((0, later(10))));
}

#[test]
fn the_stable_service_is_pointed_elsewhere_when_the_canary_has_had_everything_for_that_time() {
    let extra = half();
    let v2 = revision("2", &extra).to_string();
    let mut seen = under_way(&extra, 2, 4, 100);
    seen.routes.push(edge(100));
    let early = plan(&silent(seen.clone(), 100, later(5)), NOW);
    assert_eq!(
        (selected(&early, "api-stable"), early.wake),
        (None, Some(later(5)))
    );
    let late = plan(&silent(seen, 100, later(5)), later(5));
    assert_eq!(selected(&late, "api-stable"), Some(v2));
}

#[test]
fn no_weight_waits_for_it_on_the_way_back() {
    let extra = half();
    let mut seen = under_way(&extra, 1, 2, 50).crashing(&revision("2", &extra));
    seen.routes.push(edge(50));
    let back = plan(&silent(seen, 50, later(9)), NOW);
    assert_eq!(shifted_to(&back), Some(0));
    let mut written = patches(&back).map(|(target, _)| target.kind);
    assert!(written.any(|kind| kind == ObjectKind::TraefikService));
}

#[test]
fn stable_that_goes_with_the_weight_keeps_its_pods_for_that_time() {
    let strategy = json!({"stableScale": "WithWeight", "steps": [
        {"setWeight": {"weight": 50}}, {"pause": {}}]});
    let extra = with_edge(&strategy);
    let v1 = revision("1", &extra);
    let mut seen = under_way(&extra, 1, 2, 50);
    seen.routes.push(edge(50));
    let early = plan(&silent(seen.clone(), 50, later(5)), NOW);
    assert_eq!((scaled(&early, &v1), early.wake), (None, Some(later(5))));
    assert_eq!(
        scaled(&plan(&silent(seen, 50, later(5)), later(5)), &v1),
        Some(2)
    );
}

#[test]
fn where_every_router_reports_nothing_is_remembered() {
    let plan = plan(&under_way(&ten_then_half(), 1, 1, 10), NOW);
    assert_eq!(unreported(&plan), None);
}

#[test]
fn an_istio_that_reports_is_believed_at_once() {
    let mut extra = half();
    extra["traffic"]["traefik"] = Value::Null;
    extra["traffic"]["istio"] = json!({"virtualServices": [{"name": "shop"}]});
    let to = |host: &str, weight: u8| json!({"destination": {"host": host}, "weight": weight});
    let http = json!({"spec": {"http": [{"route": [to("api-stable", 50), to("api-canary", 50)]}]}});
    let mut told = http.clone();
    let condition = json!({"type": "Reconciled", "status": "True", "observedGeneration": 3});
    told["status"] = json!({"conditions": [condition]});
    let noted = |mesh: &Value| {
        let mut seen = under_way(&extra, 1, 2, 50);
        let kind = ObjectKind::VirtualService;
        seen.routes.push(object(kind, "shop", mesh));
        unreported(&plan(&seen, NOW))
    };
    assert_eq!(noted(&http), Some((50, later(10))));
    assert_eq!(noted(&told), None);
}
