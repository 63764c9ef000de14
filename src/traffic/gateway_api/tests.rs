use super::super::testing::{apply, backends, everything, object, scene, weight};
use super::*;
use crate::model::weight::Weight;

fn generated() -> Generated {
    Generated {
        kind: ObjectKind::HttpRoute,
        parent_refs: vec![json!({"name": "web"})],
        hostnames: vec!["shop.test".into()],
        matches: Vec::new(),
        persistence: None,
    }
}

/// A GRPCRoute for one method.
fn of_grpc() -> Generated {
    Generated {
        kind: ObjectKind::GrpcRoute,
        matches: vec![json!({"method": {"service": "shop.Cart", "method": "Add"}})],
        ..generated()
    }
}

fn rendered(generated: &Generated, division: &Division) -> Value {
    generated.rendered(&scene(&backends(), &[]), division)
}

fn live(value: &Value) -> DynamicObject {
    route(value).live.as_ref().clone()
}

fn route(value: &Value) -> Route {
    object(ObjectKind::HttpRoute, "api", value)
}

fn read(route: Route) -> Result<Reading, String> {
    generated().read(&scene(&backends(), &[route]))
}

fn read_division(value: &Value) -> Division {
    read(route(value)).unwrap().division
}

/// The live route after a shift.
fn shifted(value: &Value, division: &Division) -> Value {
    let backends = backends();
    let patch = divided(&route(value), &scene(&backends, &[]), division);
    apply(value, &patch)
}

fn reported(generation: i64, status: &str) -> DynamicObject {
    let condition = |type_| {
        json!({"type": type_, "status": status, "observedGeneration": generation,
               "reason": "BackendNotFound", "message": "no such Service"})
    };
    live(
        &json!({"status": {"parents": [{"parentRef": {"name": "web"},
        "conditions": [condition("Accepted"), condition("ResolvedRefs")]}]}}),
    )
}

#[test]
fn a_route_divides_between_the_two_services() {
    insta::assert_json_snapshot!(rendered(&generated(), &Division::of(weight(10))));
}

#[test]
fn what_comes_on_top_is_a_rule_before_and_a_filter() {
    let persistence = json!({"type": "Cookie", "sessionName": "rev"});
    let generated = Generated {
        persistence: Some(persistence),
        ..generated()
    };
    insta::assert_json_snapshot!(rendered(&generated, &everything()));
}

#[test]
fn a_division_is_read_back_as_it_was_written() {
    for division in [Division::NONE, Division::of(weight(37)), everything()] {
        assert_eq!(read_division(&rendered(&generated(), &division)), division);
    }
}

#[test]
fn what_was_on_top_goes_in_the_patch_that_moves_the_weight() {
    let live = rendered(&generated(), &everything());
    let back = shifted(&live, &Division::NONE);
    assert_eq!(
        back["spec"],
        rendered(&generated(), &Division::NONE)["spec"]
    );
}

#[test]
fn of_a_route_of_peoples_the_rules_between_both_services_are_driven_and_no_others() {
    let pair = json!([{"name": "api-stable", "port": 80, "weight": 100},
                      {"name": "api-canary", "port": 80, "weight": 0}]);
    let rule = |path: &str, refs: &Value| {
        json!({"name": path, "backendRefs": refs, "timeouts": {"request": "5s"},
               "filters": [{"type": "URLRewrite"}],
               "matches": [{"path": {"type": "PathPrefix", "value": path}}]})
    };
    let other = rule("/other", &json!([{"name": "other", "port": 80}]));
    let before = json!({"spec": {"rules": [rule("/a", &pair), other, rule("/b", &pair)]}});
    let after = shifted(&before, &everything());
    insta::assert_json_snapshot!(after["spec"]["rules"]);
    assert_eq!(read_division(&after), everything());
    assert_eq!(shifted(&after, &Division::NONE), before);
}

#[test]
fn rules_that_differ_are_told() {
    let refs = |weight: u8| {
        json!({"backendRefs": [{"name": "api-stable", "weight": 100 - weight},
                               {"name": "api-canary", "weight": weight}]})
    };
    let reading = read(route(&json!({"spec": {"rules": [refs(10), refs(30)]}}))).unwrap();
    assert!(!reading.is_even);
    assert_eq!(reading.division.weight, weight(30));
}

#[test]
fn weights_of_another_scale_are_shares_all_the_same() {
    let refs = json!([{"name": "api-stable", "weight": 3}, {"name": "api-canary"}]);
    let division = read_division(&json!({"spec": {"rules": [{"backendRefs": refs}]}}));
    assert_eq!(division, Division::of(weight(25)));
}

#[test]
fn a_route_to_other_services_says_what_it_lacks() {
    let refs = json!([{"name": "other"}]);
    let problem = read(route(&json!({"spec": {"rules": [{"backendRefs": refs}]}}))).unwrap_err();
    assert!(
        problem.contains("leads to both api-stable and api-canary"),
        "{problem}"
    );
}

#[test]
fn a_session_lasts_as_long_as_it_says() {
    let affinity = |max_age: Option<&str>| {
        let raw = json!({"cookie": "rev", "maxAge": max_age});
        persistence(&serde_json::from_value(raw).unwrap())
    };
    assert_eq!(
        affinity(None),
        json!({"type": "Cookie", "sessionName": "rev"})
    );
    let lasting = affinity(Some("25h30m"));
    assert_eq!(lasting["absoluteTimeout"], "25h30m");
    assert_eq!(lasting["cookieConfig"]["lifetimeType"], "Permanent");
}

#[test]
fn a_server_that_drops_sessions_is_told_of_and_not_fought() {
    let with = Generated {
        persistence: Some(json!({"type": "Cookie", "sessionName": "rev"})),
        ..generated()
    };
    let wanted = rendered(&with, &Division::NONE);
    let mut live = wanted.clone();
    let rule = live["spec"]["rules"][0].as_object_mut().unwrap();
    rule.remove("sessionPersistence");
    assert!(is_as_wanted(&route(&live), &wanted));
    let problem = with.acknowledged(&route(&live)).unwrap_err();
    assert!(problem.contains("experimental channel"), "{problem}");
    let without = rendered(&generated(), &Division::NONE);
    assert!(!is_as_wanted(&route(&live), &without));
    assert!(!is_as_wanted(&route(&without), &wanted));
}

#[test]
fn defaults_of_the_server_are_no_difference() {
    let wanted = rendered(&generated(), &Division::NONE);
    let mut live = wanted.clone();
    live["spec"]["rules"][0]["matches"] = json!([{"path": {"type": "PathPrefix", "value": "/"}}]);
    assert!(is_as_wanted(&route(&live), &wanted));
    live["spec"]["rules"][0]["backendRefs"][0]["weight"] = 50.into();
    assert!(!is_as_wanted(&route(&live), &wanted));
}

#[test]
fn what_is_taken_out_of_the_spec_is_taken_out_of_the_route() {
    let with = |matches: Vec<Value>| Generated {
        matches,
        ..generated()
    };
    let before = with(vec![json!({"path": {"value": "/api"}, "method": "GET"})]);
    let live = route(&rendered(&before, &Division::NONE));
    let is_as_wanted = |other: &Generated| is_as_wanted(&live, &rendered(other, &Division::NONE));
    assert!(is_as_wanted(&before));
    assert!(!is_as_wanted(&with(vec![
        json!({"path": {"value": "/api"}})
    ])));
    assert!(!is_as_wanted(&with(Vec::new())));
    let everywhere = Generated {
        hostnames: Vec::new(),
        ..before
    };
    assert!(!is_as_wanted(&everywhere));
}

#[test]
fn a_null_in_the_spec_is_no_difference_for_ever() {
    let generated = Generated {
        parent_refs: vec![json!({"name": "web", "sectionName": null})],
        hostnames: Vec::new(),
        ..generated()
    };
    let wanted = rendered(&generated, &Division::NONE);
    let mut live = wanted.clone();
    live["spec"]["parentRefs"] =
        json!([{"name": "web", "group": "gateway.networking.k8s.io", "kind": "Gateway"}]);
    live["spec"].as_object_mut().unwrap().remove("hostnames");
    assert!(is_as_wanted(&route(&live), &wanted));
}

#[test]
fn a_shift_changes_the_weights_and_keeps_what_others_added() {
    let mut live = rendered(&generated(), &Division::NONE);
    live["spec"]["rules"][0]["timeouts"] = json!({"request": "5s"});
    let rules = &shifted(&live, &Division::of(Weight::FULL))["spec"]["rules"];
    assert_eq!(rules[0]["timeouts"]["request"], "5s");
    assert_eq!(rules[0]["backendRefs"][0]["weight"], 0);
    assert_eq!(rules[0]["backendRefs"][1]["weight"], 100);
}

#[test]
fn a_gateway_that_the_route_has_left_has_no_say() {
    let mut live = reported(3, "True");
    live.data["spec"] = json!({"parentRefs": [{"name": "web"}]});
    let mut old = live.data["status"]["parents"][0].clone();
    old["parentRef"]["name"] = "old".into();
    old["conditions"][0]["observedGeneration"] = 1.into();
    live.data["status"]["parents"]
        .as_array_mut()
        .unwrap()
        .push(old);
    assert_eq!(acknowledged(&live), Ok(true));
}

/// A mesh takes routes whose parent is a Service, and reports on them as a Gateway does. As linkerd writes it.
#[test]
fn a_route_of_a_mesh_is_driven_there_and_back_and_the_mesh_answers_for_it() {
    let parent = json!({"group": "core", "kind": "Service", "name": "api", "port": 80});
    let pair = json!([{"name": "api-stable", "port": 80, "weight": 100},
                      {"name": "api-canary", "port": 80, "weight": 0}]);
    let spec = json!({"parentRefs": [parent], "rules": [{"backendRefs": pair}]});
    let before = json!({"spec": spec});
    let after = shifted(&before, &Division::of(weight(25)));
    assert_eq!(read_division(&after), Division::of(weight(25)));
    assert_eq!(shifted(&after, &Division::NONE), before);
    let told = |generation, status| {
        let mut live = reported(generation, status);
        live.data["spec"] = spec.clone();
        live.data["status"]["parents"][0]["parentRef"] = parent.clone();
        acknowledged(&live)
    };
    assert_eq!((told(3, "True"), told(2, "True")), (Ok(true), Ok(false)));
    let refusal = told(3, "False").unwrap_err();
    assert!(
        refusal.starts_with("Service api does not take the route"),
        "{refusal}"
    );
}

#[test]
fn only_the_latest_generation_counts_as_acknowledged() {
    assert_eq!(acknowledged(&reported(3, "True")), Ok(true));
    assert_eq!(acknowledged(&reported(2, "True")), Ok(false));
    assert_eq!(acknowledged(&live(&json!({}))), Ok(false));
    assert!(
        acknowledged(&reported(3, "False"))
            .unwrap_err()
            .contains("BackendNotFound")
    );
}

#[test]
fn a_route_of_grpc_divides_the_calls_of_a_method() {
    let division = everything();
    let route = rendered(&of_grpc(), &division);
    insta::assert_json_snapshot!(route);
    let live = object(ObjectKind::GrpcRoute, "api", &route);
    let (backends, routes) = (backends(), [live]);
    let reading = of_grpc().read(&scene(&backends, &routes)).unwrap();
    assert_eq!(reading.division, division);
}

#[test]
fn what_the_server_adds_to_a_method_is_no_difference() {
    let wanted = rendered(&of_grpc(), &Division::NONE);
    let mut live = wanted.clone();
    live["spec"]["rules"][0]["matches"][0]["method"]["type"] = "Exact".into();
    let route = |live: &Value| object(ObjectKind::GrpcRoute, "api", live);
    assert!(is_as_wanted(&route(&live), &wanted));
    let open = Generated {
        matches: Vec::new(),
        ..of_grpc()
    };
    let open = rendered(&open, &Division::NONE);
    assert!(!is_as_wanted(&route(&live), &open), "fewer calls");
    live["spec"]["rules"][0]["matches"] = json!([]);
    assert!(is_as_wanted(&route(&live), &open));
}

#[test]
fn a_rule_without_matches_gives_the_canary_only_what_has_all_of_them() {
    for matches in [json!([]), json!(null)] {
        let mut live = rendered(&of_grpc(), &Division::NONE);
        live["spec"]["rules"][0]["matches"] = matches;
        let after = shifted(&live, &everything());
        let headers = &after["spec"]["rules"][0]["matches"][0]["headers"];
        assert_eq!(headers.as_array().map(Vec::len), Some(2), "{after}");
    }
}
