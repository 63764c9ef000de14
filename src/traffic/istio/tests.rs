use super::super::division::Match;
use super::super::testing::{apply, backends, everything, object, scene, weight};
use super::*;

fn by_host() -> VirtualService {
    VirtualService {
        name: "shop".into(),
        routes: Vec::new(),
        subsets: None,
    }
}

fn by_subset() -> VirtualService {
    let subsets = Subsets {
        rule: "api".into(),
        stable: "stable".into(),
        canary: "canary".into(),
    };
    VirtualService {
        subsets: Some(subsets),
        ..by_host()
    }
}

/// A route to two destinations, with all that people may have on it.
fn route(name: &str, destinations: [Value; 2]) -> Value {
    let [stable, canary] = destinations;
    json!({
        "name": name, "timeout": "5s", "retries": {"attempts": 3}, "fault": {"delay": {"fixedDelay": "1s"}},
        "match": [{"uri": {"prefix": format!("/{name}")}, "headers": {"x-tenant": {"exact": "a"}}}],
        "route": [{"destination": stable, "weight": 100},
                  {"destination": canary, "weight": 0, "headers": {"request": {"set": {"x-to": "canary"}}}}],
    })
}

/// Routes to both Services, in different words, and one elsewhere.
fn hosts() -> Value {
    let to = |host: &str| json!({"host": host, "port": {"number": 80}});
    let whole = route("a", [to("api-stable"), to("api-canary")]);
    let dotted = route(
        "b",
        [
            to("api-stable.shop"),
            to("api-canary.shop.svc.cluster.local"),
        ],
    );
    let mut other = route("other", [to("api-stable.elsewhere"), to("api-canary")]);
    other["mirror"] = to("audit");
    json!({"spec": {
        "hosts": ["shop.test"], "gateways": ["web"], "tcp": [{"route": []}], "http": [whole, other, dotted],
    }})
}

fn subsets() -> Value {
    let to = |subset: &str| json!({"host": "api.shop.svc.cluster.local", "subset": subset});
    json!({"spec": {"http": [route("a", [to("stable"), to("canary")])]}})
}

fn rule(stable: &Value, canary: &Value) -> Value {
    json!({"spec": {"host": "api", "trafficPolicy": {"tls": {"mode": "ISTIO_MUTUAL"}}, "subsets": [
        {"name": "stable", "labels": stable}, {"name": "canary", "labels": canary}, {"name": "all"}]}})
}

fn objects(service: &Value) -> Vec<Route> {
    let none = json!({});
    vec![
        object(ObjectKind::VirtualService, "shop", service),
        object(ObjectKind::DestinationRule, "api", &rule(&none, &none)),
    ]
}

fn read(of: &VirtualService, service: &Value) -> Result<Reading, String> {
    let (backends, routes) = (backends(), objects(service));
    of.read(&scene(&backends, &routes))
}

fn obstacle(service: &Value, division: &Division) -> Option<String> {
    let (backends, routes) = (backends(), objects(service));
    by_host().obstacle(&scene(&backends, &routes), division)
}

fn shifted(of: &VirtualService, service: &Value, division: &Division) -> Value {
    let (backends, routes) = (backends(), objects(service));
    let scene = scene(&backends, &routes);
    apply(service, &of.divided(&routes[0], &scene, division))
}

#[test]
fn the_routes_to_both_services_are_driven_and_no_others() {
    let after = shifted(&by_host(), &hosts(), &everything());
    insta::assert_json_snapshot!(after["spec"]["http"]);
    assert_eq!(after["spec"]["tcp"], hosts()["spec"]["tcp"]);
}

#[test]
fn subsets_of_one_host_are_sides_too() {
    let after = shifted(&by_subset(), &subsets(), &everything());
    insta::assert_json_snapshot!(after["spec"]["http"]);
    let mut elsewhere = subsets();
    elsewhere["spec"]["http"][0]["route"][0]["destination"]["host"] = "web".into();
    assert!(
        read(&by_subset(), &elsewhere)
            .unwrap_err()
            .contains("subset stable and subset canary")
    );
}

#[test]
fn a_division_is_read_back_as_it_was_written_and_leaves_no_trace() {
    for (of, service) in [(by_host(), hosts()), (by_subset(), subsets())] {
        let mut live = service.clone();
        for division in [
            Division::of(weight(10)),
            Division::of(Weight::FULL),
            everything(),
            Division::of(weight(37)),
            Division::NONE,
        ] {
            live = shifted(&of, &live, &division);
            let whole = Reading {
                division,
                is_even: true,
            };
            assert_eq!(read(&of, &live), Ok(whole));
        }
        assert_eq!(live, service);
    }
}

#[test]
fn of_named_routes_the_others_are_left_alone() {
    let named = VirtualService {
        routes: vec!["b".into()],
        ..by_host()
    };
    let after = shifted(&named, &hosts(), &Division::of(weight(10)));
    let http = &after["spec"]["http"];
    assert_eq!(http[0], hosts()["spec"]["http"][0]);
    assert_eq!(http[2]["route"][1]["weight"], 10);
    let missing = VirtualService {
        routes: vec!["b".into(), "other".into()],
        ..by_host()
    };
    let problem = read(&missing, &hosts()).unwrap_err();
    assert!(
        problem.contains("no http route other of VirtualService shop"),
        "{problem}"
    );
}

#[test]
fn routes_that_differ_are_told() {
    let mut service = hosts();
    service["spec"]["http"][0]["route"][1]["weight"] = 25.into();
    let reading = read(&by_host(), &service).unwrap();
    assert!(!reading.is_even);
    assert_eq!(reading.division, Division::of(weight(20)));
}

#[test]
fn a_mirror_of_peoples_is_left_alone_and_in_the_way_of_another() {
    let mirroring = Division {
        mirror: weight(20),
        ..Division::NONE
    };
    assert_eq!(obstacle(&hosts(), &mirroring), None);
    let mut service = hosts();
    service["spec"]["http"][0]["mirror"] = json!({"host": "audit"});
    let problem = obstacle(&service, &mirroring).unwrap();
    assert!(problem.contains("a mirror of its own"), "{problem}");
    let after = shifted(&by_host(), &service, &Division::of(weight(10)));
    assert_eq!(after["spec"]["http"][0]["mirror"]["host"], "audit");
    assert_eq!(
        read(&by_host(), &after).unwrap().division,
        Division::of(weight(10))
    );
}

#[test]
fn a_header_is_matched_in_one_way_at_a_time() {
    let header = |name: &str| Match::Header {
        name: name.into(),
        value: "b".into(),
    };
    let cookie = |name: &str| Match::Cookie {
        name: name.into(),
        value: "b".into(),
    };
    let with = |route: Vec<Match>| Division {
        route,
        ..Division::NONE
    };
    assert_eq!(supports(&everything()), Ok(()));
    assert!(supports(&with(vec![cookie("a"), cookie("b")])).is_err());
    assert!(supports(&with(vec![header("cookie"), cookie("b")])).is_err());
    let problem = obstacle(&hosts(), &with(vec![header("x-tenant")])).unwrap();
    assert!(problem.contains("already matches a header"), "{problem}");
    assert_eq!(obstacle(&hosts(), &with(vec![header("x-canary")])), None);
}

#[test]
fn headers_come_back_in_order_whatever_order_the_server_keeps() {
    let header = |name: &str| Match::Header {
        name: name.into(),
        value: "b".into(),
    };
    let division = Division {
        route: vec![header("x-a"), header("x-b"), header("x-c")],
        ..Division::NONE
    };
    let live = shifted(&by_host(), &hosts(), &division);
    assert_eq!(read(&by_host(), &live).unwrap().division, division);
}

#[test]
fn what_is_missing_says_what_to_do() {
    let backends = backends();
    let problem = by_host().read(&scene(&backends, &[])).unwrap_err();
    assert!(problem.contains("no VirtualService shop"), "{problem}");
    let alone = [object(ObjectKind::VirtualService, "shop", &subsets())];
    let problem = by_subset().read(&scene(&backends, &alone)).unwrap_err();
    assert!(problem.contains("no DestinationRule api"), "{problem}");
    let empty = json!({"spec": {"host": "api", "subsets": [{"name": "stable"}]}});
    let rule = object(ObjectKind::DestinationRule, "api", &empty);
    let routes = [alone[0].clone(), rule];
    let problem = by_subset().read(&scene(&backends, &routes)).unwrap_err();
    assert!(
        problem.contains("has no subset canary; add it"),
        "{problem}"
    );
    let problem = read(&by_host(), &subsets()).unwrap_err();
    assert!(
        problem.contains("both api-stable and api-canary"),
        "{problem}"
    );
}

#[test]
fn a_subset_selects_what_it_is_told_and_keeps_the_rest() {
    let revision = Revision::from_label("b");
    let own = json!({"app": "api", "slipway.dev/revision": "a"});
    let before = rule(&own, &json!({"app": "api"}));
    let (backends, routes) = (
        backends(),
        [object(ObjectKind::DestinationRule, "api", &before)],
    );
    let scene = scene(&backends, &routes);
    let selections = by_subset().selections(&scene).unwrap();
    assert_eq!(selections, [Some(Revision::from_label("a")), None]);
    let (target, patch) = by_subset().select(&scene, Side::Canary, &revision).unwrap();
    assert_eq!(target, routes[0].target);
    let new = json!({"app": "api", "slipway.dev/revision": "b"});
    assert_eq!(apply(&before, &patch), rule(&own, &new));
    assert_eq!(by_host().selections(&scene), None);
    assert_eq!(by_host().select(&scene, Side::Canary, &revision), None);
}

#[test]
fn what_istio_reports_counts_and_silence_does_not() {
    let passed_on = |status: &Value| {
        let service = json!({"status": status});
        is_passed_on(&object(ObjectKind::VirtualService, "shop", &service).live)
    };
    let told = |status: &str, observed: &Value| json!({"observedGeneration": observed, "conditions": [{"type": "Reconciled", "status": status}]});
    assert!(passed_on(&Value::Null));
    assert!(passed_on(
        &json!({"observedGeneration": 1, "validationMessages": []})
    ));
    assert!(passed_on(&told("True", &json!(3))));
    assert!(passed_on(&told("True", &json!("3"))));
    assert!(!passed_on(&told("True", &json!("2"))));
    assert!(!passed_on(&told("False", &json!(3))));
}
