//! What divides requests, under load: a Service that is switched, a route of people's, what requests have, a tool that
//! takes everything back.

use std::time::Duration;

use kube::ResourceExt;
use kube::api::{DynamicObject, Patch, PatchParams};
use serde_json::{Value, json};
use slipway::model::object::ObjectKind;

use crate::app::{App, NAME, REPLICAS, SOON, is_true, nothing_lost, wait_for, weight_of, with_app};
use crate::cluster::Version;

/// Name of the route of people's.
const SHOP: &str = "shop";
/// Times that a tool takes everything back, a second apart.
const REVERTS: usize = 10;

/// A route of people's, with a rule that is no business of ours.
fn shop(app: &App, backends: &Value) -> Value {
    let filter = json!({"type": "ResponseHeaderModifier",
                        "responseHeaderModifier": {"set": [{"name": "x-static", "value": "1"}]}});
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
        "metadata": {"name": SHOP, "namespace": app.namespace},
        "spec": {
            "parentRefs": [{"name": "slipway", "namespace": "gateway-system"}],
            "hostnames": [app.host()],
            "rules": [
                {"matches": [{"path": {"type": "PathPrefix", "value": "/static"}}], "filters": [filter],
                 "backendRefs": [{"name": format!("{NAME}-stable"), "port": 80}]},
                {"matches": [{"path": {"type": "PathPrefix", "value": "/"}}], "backendRefs": backends},
            ],
        },
    })
}

fn both() -> Value {
    json!([{"name": format!("{NAME}-stable"), "port": 80, "weight": 100},
           {"name": format!("{NAME}-canary"), "port": 80, "weight": 0}])
}

async fn rules(app: &App) -> Value {
    let route = app.api(ObjectKind::HttpRoute).get(SHOP).await.unwrap();
    route.data["spec"]["rules"].clone()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a node; run make test"]
async fn a_service_is_switched_there_and_back() {
    with_app(async |app| {
        let extra = json!({
            "traffic": {"gatewayAPI": null},
            "strategy": {"type": "BlueGreen", "maxSurge": "100%", "keepOldFor": "5m",
                         "blueGreen": {"postPromotion": [{"pause": {"for": "2s"}}]}},
        });
        let stable = json!([{"name": format!("{NAME}-stable"), "port": 80}]);
        app.apply(ObjectKind::HttpRoute, &shop(app, &stable)).await;
        app.start(Version::One, &extra).await;
        let load = app.load().await;
        app.ask_for(Version::Two, &extra).await;
        app.until_healthy().await;
        app.ask_for(Version::One, &extra).await;
        app.until_healthy().await;
        let counts: Vec<usize> = app.pods().await.values().map(Vec::len).collect();
        assert_eq!(counts, [REPLICAS, REPLICAS], "both are at full size");
        nothing_lost("a Service that is switched", load).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a node; run make test"]
async fn a_route_of_peoples_is_driven_given_back_and_left_alone_otherwise() {
    with_app(async |app| {
        let extra = json!({
            "traffic": {"allowForeign": true,
                        "gatewayAPI": {"generate": null, "httpRoutes": [{"name": SHOP}]}},
            "strategy": {"steps": [{"setWeight": {"weight": 50}}, {"pause": {"for": "2s"}}]},
        });
        app.ask_for(Version::One, &extra).await;
        app.until("a word about the route", |rollout| {
            let message = rollout["status"]["message"].as_str();
            message.is_some_and(|text| text.contains("there is no HTTPRoute shop"))
        })
        .await;
        app.apply(ObjectKind::HttpRoute, &shop(app, &both())).await;
        app.until_healthy().await;
        let before = rules(app).await;
        let load = app.load().await;
        app.ask_for(Version::Two, &extra).await;
        app.until_healthy().await;
        let after = rules(app).await;
        assert_eq!(after, before, "everything is as people have written it");

        let mut holding = extra.clone();
        holding["strategy"]["steps"][1] = json!({"pause": {}});
        app.ask_for(Version::One, &holding).await;
        app.until_paused_at(50).await;
        app.decide("Abort").await;
        app.until("RolledBack", |rollout| is_true(rollout, "Stalled"))
            .await;
        nothing_lost("a route of people's", load).await;

        app.decide("Retry").await;
        app.until_paused_at(50).await;
        app.delete(ObjectKind::Rollout, NAME).await;
        assert_eq!(
            rules(app).await,
            before,
            "so it is when the Rollout is gone"
        );
    })
    .await;
}

/// The label of pods that were there before the Rollout.
const BEFORE: &str = "before";

/// Pods of people's, and their Service, which selects every pod of the application.
async fn service_and_pods(app: &App) {
    let container = json!({
        "name": "web", "image": app.cluster.image(Version::One), "env": [{"name": "LINGER_SECONDS", "value": "1"}],
        "readinessProbe": {"httpGet": {"path": "/readyz", "port": 8080}, "periodSeconds": 1, "timeoutSeconds": 5},
    });
    let labels = json!({"app": NAME, "owner": BEFORE});
    let set = json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": BEFORE, "namespace": app.namespace},
        "spec": {"replicas": REPLICAS, "selector": {"matchLabels": labels},
                 "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}}},
    });
    app.apply(ObjectKind::ReplicaSet, &set).await;
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": SHOP, "namespace": app.namespace},
        "spec": {"selector": {"app": NAME}, "ports": [{"port": 80, "targetPort": 8080}]},
    });
    app.apply(ObjectKind::Service, &service).await;
    app.until_pods(REPLICAS).await;
}

async fn selector(app: &App) -> Value {
    let service = app.api(ObjectKind::Service).get(SHOP).await.unwrap();
    service.data["spec"]["selector"].clone()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a node; run make test"]
async fn a_service_of_peoples_is_taken_over_and_given_back() {
    with_app(async |app| {
        service_and_pods(app).await;
        let mut route = shop(app, &json!(null));
        route["spec"]["rules"] = json!([{"backendRefs": [{"name": SHOP, "port": 80}]}]);
        app.apply(ObjectKind::HttpRoute, &route).await;
        let load = app.load().await;
        // Pods that a Service of people's selects cannot be drained before they are deleted: how long they go on after they
        // were told to end is all the time that the gateway has to hear of it, on a machine that is busy.
        let extra = json!({
            "traffic": {"gatewayAPI": null, "allowForeign": true, "services": {"stable": SHOP}, "drain": "10s"},
            "strategy": {"type": "BlueGreen", "maxSurge": "100%"},
        });
        app.start(Version::One, &extra).await;
        assert!(selector(app).await["slipway.dev/revision"].is_string());
        let service = app.api(ObjectKind::Service).get(SHOP).await.unwrap();
        assert!(service.owner_references().is_empty(), "it stays theirs");
        assert!(service.labels().is_empty(), "{:?}", service.labels());
        app.ask_for(Version::Two, &extra).await;
        app.until_healthy().await;

        app.delete(ObjectKind::Rollout, NAME).await;
        assert_eq!(selector(app).await, json!({"app": NAME}));
        app.until_pods(REPLICAS).await;
        nothing_lost("a Service of people's", load).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a node; run make test"]
async fn a_route_of_grpc_is_made_and_goes_when_it_is_to_be_another() {
    with_app(async |app| {
        let of = |kind: &str| json!({"traffic": {"gatewayAPI": {"generate": {"kind": kind}}}});
        app.start(Version::One, &of("GRPCRoute")).await;
        let routes = app.api(ObjectKind::GrpcRoute);
        assert!(routes.get_opt(NAME).await.unwrap().is_some());
        app.start(Version::One, &of("HTTPRoute")).await;
        app.until_gone(ObjectKind::GrpcRoute, NAME).await;
        let load = app.load().await;
        app.ask_for(Version::Two, &of("HTTPRoute")).await;
        app.until_healthy().await;
        nothing_lost("a route of another kind", load).await;
    })
    .await;
}

/// Objects of people's of every kind that carries weights, and has no data plane here but for the GRPCRoute.
fn all_kinds(app: &App) -> Vec<(ObjectKind, Value)> {
    let object = |kind: ObjectKind, spec: Value| {
        let body = json!({
            "apiVersion": kind.api_version(), "kind": kind.kind(),
            "metadata": {"name": SHOP, "namespace": app.namespace}, "spec": spec,
        });
        (kind, body)
    };
    let to = |subset: &str, weight: u8| json!({"destination": {"host": NAME, "subset": subset}, "weight": weight});
    let stable = json!({"service": {"name": format!("{NAME}-stable"), "port": {"number": 80}}});
    vec![
        object(
            ObjectKind::GrpcRoute,
            json!({
                "parentRefs": [{"name": "slipway", "namespace": "gateway-system"}],
                "hostnames": [format!("grpc.{}", app.host())], "rules": [{"backendRefs": both()}],
            }),
        ),
        object(
            ObjectKind::VirtualService,
            json!({
                "hosts": [NAME], "http": [{"timeout": "5s", "route": [to("stable", 100), to("canary", 0)]}],
            }),
        ),
        object(
            ObjectKind::DestinationRule,
            json!({"host": NAME, "subsets": [
            {"name": "stable", "labels": {"app": NAME}}, {"name": "canary", "labels": {"app": NAME}}]}),
        ),
        object(
            ObjectKind::TraefikService,
            json!({"weighted": {"services": both()}}),
        ),
        object(
            ObjectKind::Ingress,
            json!({"rules": [{"host": app.host(), "http": {"paths": [
            {"path": "/", "pathType": "Prefix", "backend": stable}]}}]}),
        ),
    ]
}

/// Where each of these kinds has the canary's weight.
const WEIGHTS: &[(ObjectKind, &str)] = &[
    (ObjectKind::GrpcRoute, "/spec/rules/0/backendRefs/1/weight"),
    (ObjectKind::VirtualService, "/spec/http/0/route/1/weight"),
    (
        ObjectKind::TraefikService,
        "/spec/weighted/services/1/weight",
    ),
];

async fn install_kinds(app: &App) {
    let file = std::env::temp_dir().join(format!("{}-kinds.yaml", app.namespace));
    std::fs::write(&file, testbed::router_crds().await.unwrap()).unwrap();
    let path = file.display().to_string();
    let apply = ["apply", "--server-side", "--force-conflicts", "-f", &path];
    app.cluster.run("kubectl", &apply).await.unwrap();
    let known = [
        "wait",
        "--for=condition=Established",
        "--timeout=60s",
        "-f",
        &path,
    ];
    app.cluster.run("kubectl", &known).await.unwrap();
    std::fs::remove_file(file).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a node; run make test"]
async fn every_router_goes_along_and_pods_are_renewed_afterwards() {
    with_app(async |app| {
        install_kinds(app).await;
        let objects = all_kinds(app);
        for (kind, object) in &objects {
            app.apply(*kind, object).await;
        }
        let extra = json!({
            "traffic": {
                "allowForeign": true, "gatewayAPI": {"grpcRoutes": [{"name": SHOP}]},
                "istio": {"virtualServices": [{"name": SHOP}],
                          "destinationRule": {"name": SHOP, "stableSubset": "stable", "canarySubset": "canary"}},
                "traefik": {"services": [SHOP]}, "nginx": {"ingresses": [SHOP]},
            },
            "strategy": {"steps": [{"setWeight": {"weight": 50}}, {"pause": {}}]},
        });
        app.start(Version::One, &extra).await;
        let load = app.load().await;
        app.ask_for(Version::Two, &extra).await;
        app.until_paused_at(50).await;
        for (kind, place) in WEIGHTS {
            let object = app.api(*kind).get(SHOP).await.unwrap();
            assert_eq!(object.data.pointer(place), Some(&json!(50)), "{kind:?}");
        }
        let ours = format!("{SHOP}-{NAME}-canary");
        let canary = app.api(ObjectKind::Ingress).get(&ours).await.unwrap();
        let weight = canary.annotations()["nginx.ingress.kubernetes.io/canary-weight"].clone();
        assert_eq!(weight, "50");
        app.decide("Resume").await;
        app.until_healthy().await;

        let mut fewer = extra.clone();
        fewer["traffic"]["nginx"] = Value::Null;
        app.ask_for(Version::Two, &fewer).await;
        app.until_gone(ObjectKind::Ingress, &ours).await;
        app.until_pods(REPLICAS).await;
        let before = app.pods().await;
        app.decide("Restart").await;
        wait_for("pods that are all new", SOON * 2, async || {
            let after = app.pods().await;
            let old: Vec<&String> = before.values().flatten().collect();
            let now: Vec<&String> = after.values().flatten().collect();
            let left = now.iter().filter(|pod| old.contains(pod)).count();
            if left == 0 && now.len() == REPLICAS {
                Ok(())
            } else {
                Err(format!("{left} of {} are old", now.len()))
            }
        })
        .await;
        nothing_lost("every router, and pods that are renewed", load).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a node; run make test"]
async fn requests_with_a_header_or_a_cookie_see_the_new_version_before_all_others() {
    with_app(async |app| {
        let extra = json!({"strategy": {"steps": [
            {"route": {"headers": [{"name": "x-canary", "value": "yes"}]}}, {"pause": {}},
            {"route": {"cookies": [{"name": "group", "value": "beta"}]}}, {"pause": {}},
        ]}});
        app.start(Version::One, &extra).await;
        let load = app.load().await;
        app.ask_for(Version::Two, &extra).await;
        app.until_paused_at(0).await;
        let (header, cookie) = (("x-canary", "yes"), ("cookie", "a=b; group=beta; c=d"));
        let (more, longer) = (("x-canary", "yes please"), ("cookie", "group=betatron"));
        until_answered(app, header, Version::Two).await;
        for _ in 0..20 {
            assert_eq!(version_for(app, header).await, Version::Two.name());
            assert_eq!(version_for(app, cookie).await, Version::One.name());
            assert_eq!(version_for(app, more).await, Version::One.name());
        }
        app.decide("Resume").await;
        until_answered(app, cookie, Version::Two).await;
        until_answered(app, header, Version::One).await;
        assert_eq!(version_for(app, longer).await, Version::One.name());
        app.decide("Abort").await;
        until_answered(app, cookie, Version::One).await;
        let seen = nothing_lost("requests with a header", load).await;
        let of_two = seen.stats.revisions.get(Version::Two.name());
        assert_eq!(of_two, None, "nobody else has seen version two");
    })
    .await;
}

async fn version_for(app: &App, header: (&str, &str)) -> String {
    app.answer(&[header]).await.unwrap()
}

async fn until_answered(app: &App, header: (&str, &str), version: Version) {
    wait_for("the version for these requests", SOON, async || {
        let answer = app.answer(&[header]).await?;
        if answer == version.name() {
            Ok(())
        } else {
            Err(format!("{answer} answers {header:?}"))
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a node; run make test"]
async fn a_tool_that_takes_everything_back_loses_no_request() {
    with_app(async |app| {
        let extra = json!({"strategy": {"steps": [
            {"setWeight": {"weight": 50}}, {"pause": {"for": "3s"}}]}});
        app.start(Version::One, &extra).await;
        let before = traffic(app).await;
        let load = app.load().await;
        let route = app.film_route().await;
        app.ask_for(Version::Two, &extra).await;
        let mut second = tokio::time::interval(Duration::from_secs(1));
        for _ in 0..REVERTS {
            second.tick().await;
            for (kind, object) in &before {
                take_back(app, *kind, object).await;
            }
        }
        // It is not fought where nothing is lost by that, until a person says so.
        let is_left = |rollout: &Value| {
            let conditions = rollout["status"]["conditions"].as_array();
            conditions.is_some_and(|all| {
                let mut all = all.iter();
                all.any(|one| one["type"] == "Stalled" && one["reason"] == "FieldContested")
            })
        };
        let is_done = |rollout: &Value| rollout["status"]["phase"] == "Healthy" || is_left(rollout);
        let left = app.until("left to people, or done", is_done).await;
        if is_left(&left) {
            app.decide("Resume").await;
        }
        app.until_healthy().await;
        app.until_pods(REPLICAS).await;
        let frames = route.frames();
        let rises = frames
            .windows(2)
            .filter(|pair| weight_of(&pair[0].object) < weight_of(&pair[1].object));
        assert!(rises.count() > 1, "it was taken back in the middle");
        nothing_lost("a tool that takes everything back", load).await;
    })
    .await;
}

/// Services and route as they are.
async fn traffic(app: &App) -> Vec<(ObjectKind, DynamicObject)> {
    let mut all = Vec::new();
    for (kind, name) in [
        (ObjectKind::HttpRoute, NAME.to_owned()),
        (ObjectKind::Service, format!("{NAME}-stable")),
        (ObjectKind::Service, format!("{NAME}-canary")),
    ] {
        all.push((kind, app.api(kind).get(&name).await.unwrap()));
    }
    all
}

/// Writes what was there, as a tool does that knows only what is in Git.
async fn take_back(app: &App, kind: ObjectKind, object: &DynamicObject) {
    let field = if kind == ObjectKind::HttpRoute {
        "rules"
    } else {
        "selector"
    };
    let change = json!({"spec": {field: object.data["spec"][field]}});
    let params = PatchParams {
        field_manager: Some("git".to_owned()),
        ..PatchParams::default()
    };
    let (api, name) = (app.api(kind), object.name_any());
    let patch = Patch::Merge(&change);
    api.patch(&name, &params, &patch).await.unwrap();
}
