use super::super::testing::{apply, backends, everything, object, scene, weight};
use super::*;

const NAME: &str = "shop-api-canary";

fn doubled() -> Doubled {
    Doubled {
        name: "shop".into(),
    }
}

fn path(path: &str, service: &str) -> Value {
    json!({"path": path, "pathType": "Prefix", "backend": {"service": {"name": service, "port": {"name": "http"}}}})
}

/// An Ingress of people's, with one host that has nothing to do with the Rollout.
fn theirs() -> Value {
    json!({
        "metadata": {"annotations": {"nginx.ingress.kubernetes.io/proxy-body-size": "8m"}},
        "spec": {
            "ingressClassName": "nginx",
            "tls": [{"hosts": ["shop.test"], "secretName": "shop-tls"}],
            "rules": [
                {"host": "shop.test", "http": {"paths": [
                    path("/", "api-stable"), path("/docs", "docs"), path("/v2", "api-stable")]}},
                {"host": "docs.test", "http": {"paths": [path("/", "docs")]}},
            ],
        },
    })
}

fn rendered(theirs: &Value, division: &Division) -> Result<Value, String> {
    let (backends, routes) = (backends(), [object(ObjectKind::Ingress, "shop", theirs)]);
    doubled().rendered(&scene(&backends, &routes), division)
}

/// Our Ingress as the API server has it once `rendered` was created.
fn created(rendered: &Value) -> Value {
    let ours = json!({"metadata": {"labels": {"slipway.dev/rollout": "api"}}});
    apply(&ours, rendered)
}

fn ours(theirs: &Value, division: &Division) -> Value {
    created(&rendered(theirs, division).unwrap())
}

fn read(ours: &Value) -> Result<Reading, String> {
    let (backends, routes) = (backends(), [object(ObjectKind::Ingress, NAME, ours)]);
    doubled().read(&scene(&backends, &routes))
}

fn is_as_wanted(ours: &Value, rendered: &Value) -> bool {
    super::is_as_wanted(&object(ObjectKind::Ingress, NAME, ours), rendered)
}

fn routed(by: Match) -> Division {
    Division {
        route: vec![by],
        ..Division::of(weight(10))
    }
}

fn header(name: &str, value: &str) -> Match {
    Match::Header {
        name: name.into(),
        value: value.into(),
    }
}

fn cookie(name: &str, value: &str) -> Match {
    Match::Cookie {
        name: name.into(),
        value: value.into(),
    }
}

#[test]
fn a_second_ingress_takes_the_paths_of_the_stable_service_to_the_canary() {
    insta::assert_json_snapshot!(ours(&theirs(), &Division::of(weight(10))));
}

#[test]
fn requests_with_a_header_or_a_cookie_are_told_apart_by_annotations() {
    let by_header = ours(&theirs(), &routed(header("x-canary", "yes")));
    let by_cookie = ours(&theirs(), &routed(cookie("beta", "always")));
    insta::assert_json_snapshot!([
        &by_header["metadata"]["annotations"],
        &by_cookie["metadata"]["annotations"],
    ]);
}

#[test]
fn a_division_is_read_back_as_it_was_written() {
    for division in [
        Division::NONE,
        Division::of(weight(37)),
        Division::of(Weight::FULL),
        routed(header("x-canary", "yes")),
        routed(cookie("beta", "always")),
    ] {
        assert_eq!(supports(&division), Ok(()));
        let shifted = apply(&ours(&theirs(), &Division::NONE), &divided(&division));
        assert_eq!(shifted, ours(&theirs(), &division));
        assert_eq!(read(&shifted).unwrap().division, division);
        let back = apply(&shifted, &divided(&Division::NONE));
        assert_eq!(back, ours(&theirs(), &Division::NONE));
    }
}

#[test]
fn what_annotations_cannot_say_is_refused() {
    let problem = |division: &Division| supports(division).unwrap_err();
    assert!(problem(&everything()).contains("copies all requests or none"));
    let both = Division {
        mirror: Weight::ZERO,
        ..everything()
    };
    assert!(problem(&both).contains("one header or one cookie"));
    assert!(problem(&routed(cookie("beta", "yes"))).contains("always"));
    assert!(problem(&routed(header("x-canary", "a b"))).contains("x-canary"));
}

#[test]
fn edits_of_the_ingress_of_peoples_are_followed() {
    let division = routed(header("x-canary", "yes"));
    let ours = ours(&theirs(), &division);
    assert!(is_as_wanted(
        &ours,
        &rendered(&theirs(), &division).unwrap()
    ));
    let mut other = theirs();
    other["spec"]["rules"][0]["host"] = "new.test".into();
    other["spec"].as_object_mut().unwrap().remove("tls");
    let wanted = rendered(&other, &division).unwrap();
    assert!(!is_as_wanted(&ours, &wanted));
    let followed = apply(&ours, &wanted);
    assert!(is_as_wanted(&followed, &wanted));
    assert_eq!(followed["spec"].get("tls"), None);
}

#[test]
fn what_somebody_writes_into_the_ingress_of_the_canary_is_put_right() {
    let wanted = rendered(&theirs(), &Division::of(weight(10))).unwrap();
    for (key, value) in [(WEIGHT, "20"), (TOTAL, "1000"), (COOKIE, "beta")] {
        let mut changed = created(&wanted);
        changed["metadata"]["annotations"][key] = value.into();
        assert!(!is_as_wanted(&changed, &wanted), "{key}");
    }
    let mut other = created(&wanted);
    other["metadata"]["annotations"]["theirs"] = "kept".into();
    assert!(is_as_wanted(&other, &wanted));
    other["metadata"]["annotations"][CANARY] = "false".into();
    assert!(read(&other).unwrap_err().contains("no canary any more"));
}

#[test]
fn a_share_of_another_total_is_a_share_all_the_same() {
    let mut ours = ours(&theirs(), &Division::of(weight(10)));
    ours["metadata"]["annotations"][TOTAL] = "40".into();
    assert_eq!(read(&ours).unwrap().division, Division::of(weight(25)));
}

#[test]
fn an_ingress_without_a_class_has_it_in_an_annotation_or_not_at_all() {
    let mut theirs = theirs();
    theirs["spec"]
        .as_object_mut()
        .unwrap()
        .remove("ingressClassName");
    theirs["metadata"]["annotations"][CLASS] = "nginx".into();
    let ours = ours(&theirs, &Division::NONE);
    assert_eq!(ours["metadata"]["annotations"][CLASS], "nginx");
    assert_eq!(ours["spec"].get("ingressClassName"), None);
}

#[test]
fn a_default_backend_is_a_path_like_any() {
    let backend = |name: &str| json!({"service": {"name": name, "port": {"number": 80}}});
    let theirs = json!({"spec": {"defaultBackend": backend("api-stable")}});
    let ours = ours(&theirs, &Division::NONE);
    assert_eq!(
        ours["spec"],
        json!({"defaultBackend": backend("api-canary")})
    );
}

#[test]
fn what_is_missing_says_what_to_do() {
    let elsewhere = json!({"spec": {"rules": [{"http": {"paths": [path("/", "docs")]}}]}});
    let problem = rendered(&elsewhere, &Division::NONE).unwrap_err();
    assert!(
        problem.contains("leads to the Service api-stable"),
        "{problem}"
    );
    let (backends, ours) = (backends(), ours(&theirs(), &Division::of(weight(10))));
    let routes = [object(ObjectKind::Ingress, NAME, &ours)];
    let scene = scene(&backends, &routes);
    let problem = doubled().acknowledged(&scene).unwrap_err();
    assert!(problem.contains("no Ingress shop"), "{problem}");
    // What still is there can go back.
    assert_eq!(doubled().read(&scene).unwrap().division.weight, weight(10));
}

#[test]
fn an_ingress_of_peoples_that_has_the_name_is_left_alone() {
    let mut stranger = ours(&theirs(), &Division::NONE);
    stranger["metadata"]["labels"] = json!({});
    assert!(read(&stranger).unwrap_err().contains("not there yet"));
}

#[test]
fn a_long_name_is_cut() {
    let name = "x".repeat(250);
    let canary = Doubled { name }.canary("api");
    assert_eq!(canary.len(), MAX_NAME);
    assert!(canary.ends_with("-canary"));
}
