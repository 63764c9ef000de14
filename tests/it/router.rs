//! One Rollout that several routers divide for at the same time, each on its own kinds' real definitions.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::Service;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use slipway::model::object::ObjectKind;
use slipway::rollout::api::Phase;
use testbed::proxy::{Fault, Match, What};
use testbed::scripted::ScriptedGateway;

use crate::cluster::{SOON, Space, wait_for, with_namespace};

use crate::fault::proxied;
use crate::operator::Operator;
use crate::rollout::{Subject, manifest, stable};

/// The objects of people's that carry weights, and where the canary's is in each.
const CARRIERS: &[(ObjectKind, &str, &str)] = &[
    (
        ObjectKind::HttpRoute,
        "web",
        "/spec/rules/1/backendRefs/1/weight",
    ),
    (
        ObjectKind::VirtualService,
        "mesh",
        "/spec/http/1/route/1/weight",
    ),
    (
        ObjectKind::TraefikService,
        "edge",
        "/spec/weighted/services/1/weight",
    ),
];

const CANARY_WEIGHT: &str = "nginx.ingress.kubernetes.io/canary-weight";

fn api(space: &Space, kind: ObjectKind) -> Api<DynamicObject> {
    Api::namespaced_with(space.client.clone(), &space.name, &kind.api_resource())
}

async fn get(space: &Space, kind: ObjectKind, name: &str) -> DynamicObject {
    api(space, kind).get(name).await.unwrap()
}

async fn create(space: &Space, kind: ObjectKind, name: &str, spec: Value) {
    let object = json!({
        "apiVersion": kind.api_version(), "kind": kind.kind(), "metadata": {"name": name}, "spec": spec,
    });
    let object = serde_json::from_value(object).unwrap();
    let created = api(space, kind)
        .create(&PostParams::default(), &object)
        .await;
    created.unwrap();
}

/// What people have before there is a Rollout. Each has a part that has nothing to do with it.
async fn people(space: &Space) {
    let backend = |name: &str, weight: i32| json!({"name": name, "port": 80, "weight": weight});
    let pair = [backend("api-stable", 100), backend("api-canary", 0)];
    let docs = [backend("docs", 1)];
    let at = |path: &str, refs: &[Value]| json!({"matches": [{"path": {"type": "PathPrefix", "value": path}}], "backendRefs": refs});
    let route =
        json!({"parentRefs": [{"name": "web"}], "rules": [at("/docs", &docs), at("/", &pair)]});
    create(space, ObjectKind::HttpRoute, "web", route).await;

    let to = |subset: &str, weight: i32| json!({"destination": {"host": "api", "subset": subset}, "weight": weight});
    let mesh = json!({"hosts": ["api"], "http": [
        {"match": [{"uri": {"prefix": "/docs"}}], "route": [{"destination": {"host": "docs"}}]},
        {"timeout": "5s", "retries": {"attempts": 2}, "route": [to("stable", 100), to("canary", 0)]},
    ]});
    create(space, ObjectKind::VirtualService, "mesh", mesh).await;
    let labels = json!({"app": "api"});
    let rule = json!({"host": "api", "trafficPolicy": {"loadBalancer": {"simple": "LEAST_REQUEST"}}, "subsets": [
        {"name": "stable", "labels": labels}, {"name": "canary", "labels": labels}]});
    create(space, ObjectKind::DestinationRule, "api", rule).await;

    let edge = json!({"weighted": {"sticky": {"cookie": {"name": "lb"}}, "services": pair}});
    create(space, ObjectKind::TraefikService, "edge", edge).await;

    let path = |path: &str, service: &str| json!({"path": path, "pathType": "Prefix", "backend": {"service": {"name": service, "port": {"number": 80}}}});
    let paths = [path("/docs", "docs"), path("/", "api-stable")];
    let ingress = json!({"ingressClassName": "nginx", "rules": [{"host": "shop.test", "http": {"paths": paths}}]});
    create(space, ObjectKind::Ingress, "shop", ingress).await;
}

/// A step to look at each weight, which somebody ends.
fn traffic() -> Value {
    let at = |weight: u8| json!({"setWeight": {"weight": weight}});
    json!({"spec": {
        "traffic": {
            "drain": "1s", "allowForeign": true,
            "gatewayAPI": {"httpRoutes": [{"name": "web"}]},
            "istio": {
                "virtualServices": [{"name": "mesh"}],
                "destinationRule": {"name": "api", "stableSubset": "stable", "canarySubset": "canary"},
            },
            "traefik": {"services": ["edge"]},
            "nginx": {"ingresses": ["shop"]},
        },
        "strategy": {"steps": [
            at(25), {"pause": {}}, at(50), {"pause": {}}, at(100), {"pause": {}},
        ]},
    }})
}

/// The canary's weight in every router.
async fn weights(space: &Space) -> Vec<i64> {
    let mut weights = Vec::new();
    for (kind, name, place) in CARRIERS {
        let object = get(space, *kind, name).await;
        weights.push(object.data.pointer(place).unwrap().as_i64().unwrap());
    }
    let ours = get(space, ObjectKind::Ingress, "shop-api-canary").await;
    weights.push(ours.annotations()[CANARY_WEIGHT].parse().unwrap());
    weights
}

/// What the subsets select, and what the Services do: stable first.
async fn selected(space: &Space) -> [Vec<String>; 2] {
    let rule = get(space, ObjectKind::DestinationRule, "api").await;
    let services: Api<Service> = Api::namespaced(space.client.clone(), &space.name);
    let mut selected = [Vec::new(), Vec::new()];
    for (index, name) in ["api-stable", "api-canary"].into_iter().enumerate() {
        let label = format!("/spec/subsets/{index}/labels/slipway.dev~1revision");
        let subset = rule.data.pointer(&label).and_then(Value::as_str);
        let service = services.get(name).await.unwrap().spec.unwrap();
        let service = service.selector.unwrap()["slipway.dev/revision"].clone();
        selected[index] = vec![service, subset.unwrap_or_default().to_owned()];
    }
    selected
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn four_routers_divide_alike_and_keep_what_is_not_theirs() {
    with_namespace(async |space| {
        let _operator = Operator::start(&space.name);
        let _gateway =
            ScriptedGateway::start(&space.client, &space.name, Duration::from_millis(50));
        people(space).await;
        let mut before = Vec::new();
        for (kind, name, _) in CARRIERS {
            before.push(get(space, *kind, name).await.data["spec"].clone());
        }
        let shop = get(space, ObjectKind::Ingress, "shop").await;

        let rollout = Subject::create(space, &manifest("greeter:1", &traffic())).await;
        let first = rollout.until_phase(Phase::Healthy).await;
        let both = |revision: &str| vec![revision.to_owned(), revision.to_owned()];
        let old = both(&stable(&first));
        let begun = [old.clone(), old.clone()];
        wait_for("subsets that select the first revision", SOON, async || {
            (selected(space).await == begun).then_some(())
        })
        .await;
        assert_eq!(weights(space).await, [0, 0, 0, 0]);

        rollout.set_image("greeter:2").await;
        for weight in [25, 50, 100] {
            let what = format!("a pause at {weight} %");
            let status = rollout.until(&what, |status| {
                let canary = status.weights.as_ref().map(|weights| weights.canary);
                status.phase == Some(Phase::Paused) && canary.map(i64::from) == Some(weight)
            });
            let new = both(&status.await.canary.unwrap().revision);
            assert_eq!(weights(space).await, [weight; 4], "all routers agree");
            assert_eq!(selected(space).await, [old.clone(), new]);
            space.decide(("Rollout", "api"), "Resume").await;
        }
        let second = rollout.until_promoted(&stable(&first)).await;
        let new = both(&stable(&second));
        assert_eq!(selected(space).await, [new.clone(), new]);
        assert_eq!(weights(space).await, [0, 0, 0, 0]);

        for ((kind, name, _), before) in CARRIERS.iter().zip(before) {
            let after = get(space, *kind, name).await.data["spec"].clone();
            assert_eq!(after, before, "{kind:?} is as people wrote it");
        }
        let same = get(space, ObjectKind::Ingress, "shop").await;
        assert_eq!(
            same.resource_version(),
            shop.resource_version(),
            "never written"
        );
        follows(space).await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn a_router_that_refuses_does_not_keep_the_others_from_going_back() {
    with_namespace(async |space| {
        let _gateway =
            ScriptedGateway::start(&space.client, &space.name, Duration::from_millis(50));
        let (proxy, kubeconfig) = proxied(space).await;
        let _operator = Operator::start_with(&space.name, &kubeconfig, &["--no-leader-election"]);
        people(space).await;
        let rollout = Subject::create(space, &manifest("greeter:1", &traffic())).await;
        rollout.until_phase(Phase::Healthy).await;
        rollout.set_image("greeter:2").await;
        rollout.until_phase(Phase::Paused).await;
        assert_eq!(weights(space).await, [25; 4]);

        let route = Match::writes().path("/httproutes/web");
        let refused = proxy.inject(Fault::new(route, What::Status(403)).always());
        space.decide(("Rollout", "api"), "Abort").await;
        wait_for("the others to go back", SOON, async || {
            (weights(space).await == [25, 0, 0, 0]).then_some(())
        })
        .await;
        rollout
            .until("a word about the one that refuses", |status| {
                let message = status.message.as_deref().unwrap_or_default();
                status.phase == Some(Phase::RollingBack) && message.contains("HTTPRoute")
            })
            .await;
        refused.remove();
        rollout.until_phase(Phase::RolledBack).await;
        assert_eq!(weights(space).await, [0; 4]);
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn what_leaves_the_spec_in_the_middle_is_put_back_and_the_rest_goes_on() {
    with_namespace(async |space| {
        let _operator = Operator::start(&space.name);
        let _gateway =
            ScriptedGateway::start(&space.client, &space.name, Duration::from_millis(50));
        people(space).await;
        let before = get(space, ObjectKind::DestinationRule, "api").await.data["spec"].clone();
        let rollout = Subject::create(space, &manifest("greeter:1", &traffic())).await;
        let first = rollout.until_phase(Phase::Healthy).await;
        rollout.set_image("greeter:2").await;
        rollout.until_phase(Phase::Paused).await;
        assert_eq!(weights(space).await, [25; 4]);

        let fewer = json!({"gatewayAPI": null, "istio": null});
        rollout.patch(json!({"spec": {"traffic": fewer}})).await;
        wait_for("both to be put back", SOON, async || {
            (weights(space).await == [0, 0, 25, 25]).then_some(())
        })
        .await;
        rollout
            .until("nothing to be put back any more", |status| {
                let foreign = status.progress.as_ref().map(|progress| &progress.foreign);
                foreign.is_some_and(|foreign| foreign.keys().eq(["TraefikService edge"]))
            })
            .await;
        let rule = get(space, ObjectKind::DestinationRule, "api").await;
        assert_eq!(rule.data["spec"], before, "it selects what people wrote");

        for weight in [25, 50, 100] {
            let what = format!("a pause at {weight} %");
            rollout
                .until(&what, |status| {
                    let canary = status.weights.as_ref().map(|weights| weights.canary);
                    status.phase == Some(Phase::Paused) && canary == Some(weight)
                })
                .await;
            space.decide(("Rollout", "api"), "Resume").await;
        }
        rollout.until_promoted(&stable(&first)).await;
        assert_eq!(weights(space).await, [0; 4]);
    })
    .await;
}

/// A Service of people's as it is now.
async fn service(space: &Space, name: &str) -> Service {
    let services: Api<Service> = Api::namespaced(space.client.clone(), &space.name);
    services.get(name).await.unwrap()
}

async fn their_service(space: &Space, selector: Value) {
    let spec = json!({"selector": selector, "ports": [{"port": 80, "targetPort": 8080}]});
    let service = json!({"metadata": {"name": "shop"}, "spec": spec});
    let services: Api<Service> = Api::namespaced(space.client.clone(), &space.name);
    let service = serde_json::from_value(service).unwrap();
    services
        .create(&PostParams::default(), &service)
        .await
        .unwrap();
}

fn narrowed_to(service: &Service) -> Option<String> {
    let selector = service.spec.as_ref()?.selector.as_ref()?;
    selector.get("slipway.dev/revision").cloned()
}

/// A second Rollout that names the same Service leaves it to the first, and says so.
async fn another_that_names_it_is_told(space: &Space, before: &Service) {
    let mut other = serde_json::to_value(manifest("greeter:1", &behind("shop", true))).unwrap();
    let spec = other["spec"].take();
    create(space, ObjectKind::Rollout, "other", spec).await;
    wait_for("a word about the other Rollout", SOON, async || {
        let other = get(space, ObjectKind::Rollout, "other").await;
        let message = other.data["status"]["message"].as_str()?;
        message.contains("is driven by Rollout api").then_some(())
    })
    .await;
    let same = service(space, "shop").await;
    assert_eq!(same.resource_version(), before.resource_version());
    let rollouts = api(space, ObjectKind::Rollout);
    rollouts
        .delete("other", &DeleteParams::default())
        .await
        .unwrap();
    wait_for("the other Rollout to go", SOON, async || {
        let left = rollouts.get_opt("other").await.unwrap();
        left.is_none().then_some(())
    })
    .await;
    let same = service(space, "shop").await;
    assert_eq!(same.resource_version(), before.resource_version());
}

/// A generated route, and the stable Service by this name.
fn behind(name: &str, is_allowed: bool) -> Value {
    let parents = json!({"generate": {"parentRefs": [{"name": "web"}]}});
    json!({"spec": {
        "traffic": {"drain": "1s", "allowForeign": is_allowed, "services": {"stable": name}, "gatewayAPI": parents},
        "strategy": {"steps": [{"setWeight": {"weight": 50}}]},
    }})
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn a_service_of_peoples_is_driven_only_where_they_say_so_and_given_back_when_it_leaves() {
    with_namespace(async |space| {
        let _operator = Operator::start(&space.name);
        let _gateway =
            ScriptedGateway::start(&space.client, &space.name, Duration::from_millis(50));
        their_service(space, json!({"app": "api"})).await;
        let before = service(space, "shop").await;
        let rollout = Subject::create(space, &manifest("greeter:1", &behind("shop", false))).await;
        let stalled = rollout
            .until("a word about the Service", |status| {
                let mut conditions = status.conditions.iter();
                conditions.any(|it| it.type_ == "Stalled" && it.reason == "ForeignService")
            })
            .await;
        let message = stalled.message.unwrap();
        assert!(message.contains("allowForeign: true"), "{message}");
        let same = service(space, "shop").await;
        assert_eq!(same.resource_version(), before.resource_version());

        let allowed = json!({"spec": {"traffic": {"allowForeign": true}}});
        rollout.patch(allowed).await;
        let first = rollout.until_phase(Phase::Healthy).await;
        let taken = service(space, "shop").await;
        assert_eq!(narrowed_to(&taken), Some(stable(&first)));
        assert_eq!(taken.metadata.labels, before.metadata.labels);
        assert_eq!(taken.metadata.owner_references, None);
        assert_eq!(
            taken.spec.as_ref().unwrap().ports,
            before.spec.as_ref().unwrap().ports
        );

        rollout.set_image("greeter:2").await;
        let second = rollout.until_promoted(&stable(&first)).await;
        let taken = service(space, "shop").await;
        assert_eq!(narrowed_to(&taken), Some(stable(&second)));
        another_that_names_it_is_told(space, &taken).await;

        let own = json!({"spec": {"traffic": {"services": null, "allowForeign": null}}});
        rollout.patch(own).await;
        wait_for("the Service to be given back", SOON, async || {
            narrowed_to(&service(space, "shop").await)
                .is_none()
                .then_some(())
        })
        .await;
        rollout
            .until("nothing to be given back any more", |status| {
                let foreign = status.progress.as_ref().map(|progress| &progress.foreign);
                let is_back = foreign.is_some_and(BTreeMap::is_empty);
                is_back && status.phase == Some(Phase::Healthy)
            })
            .await;
        let back = service(space, "shop").await.spec.unwrap();
        assert_eq!(back.selector, before.spec.unwrap().selector);
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn a_service_of_peoples_that_cannot_serve_says_why_and_is_left_alone() {
    with_namespace(async |space| {
        let _operator = Operator::start(&space.name);
        let _gateway =
            ScriptedGateway::start(&space.client, &space.name, Duration::from_millis(50));
        their_service(space, json!({"app": "web"})).await;
        let rollout = Subject::create(space, &manifest("greeter:1", &behind("shop", true))).await;
        rollout
            .until("a word about its selector", |status| {
                let message = status.message.as_deref().unwrap_or_default();
                message.contains("selects app=web")
            })
            .await;
        let services: Api<Service> = Api::namespaced(space.client.clone(), &space.name);
        let change = Patch::Merge(json!({"spec": {"selector": {"app": "api"}}}));
        let params = PatchParams::default();
        services.patch("shop", &params, &change).await.unwrap();
        rollout.until_phase(Phase::Healthy).await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn a_route_of_grpc_is_made_with_methods_headers_and_copies() {
    with_namespace(async |space| {
        let _operator = Operator::start(&space.name);
        let _gateway =
            ScriptedGateway::start(&space.client, &space.name, Duration::from_millis(50));
        let add = json!({"method": {"service": "shop.Cart", "method": "Add"}});
        let route = json!({"kind": "GRPCRoute", "parentRefs": [{"name": "web"}], "matches": [add]});
        let header = json!({"headers": [{"name": "x-canary", "value": "yes"}]});
        let extra = json!({"spec": {
            "traffic": {"drain": "1s", "gatewayAPI": {"generate": route}},
            "strategy": {"steps": [
                {"route": header}, {"mirror": {"percent": 20}}, {"setWeight": {"weight": 25}}, {"pause": {}}]},
        }});
        let rollout = Subject::create(space, &manifest("greeter:1", &extra)).await;
        let first = rollout.until_phase(Phase::Healthy).await;
        rollout.set_image("greeter:2").await;
        rollout.until_phase(Phase::Paused).await;
        let rules = get(space, ObjectKind::GrpcRoute, "api").await.data["spec"]["rules"].clone();
        let [added, driven] = rules.as_array().unwrap().as_slice() else {
            panic!("two rules: {rules}")
        };
        assert_eq!(added["matches"][0]["headers"][0]["name"], "x-canary");
        assert_eq!(added["matches"][0]["method"]["service"], "shop.Cart");
        assert_eq!(driven["backendRefs"][1]["weight"], 25);
        assert_eq!(driven["filters"][0]["requestMirror"]["percent"], 20);
        space.decide(("Rollout", "api"), "Resume").await;
        rollout.until_promoted(&stable(&first)).await;

        let route = json!({"kind": "HTTPRoute", "matches": null});
        rollout
            .patch(json!({"spec": {"traffic": {"gatewayAPI": {"generate": route}}}}))
            .await;
        wait_for("an HTTPRoute in its place", SOON, async || {
            let gone = api(space, ObjectKind::GrpcRoute).get_opt("api").await;
            let made = api(space, ObjectKind::HttpRoute).get_opt("api").await;
            (gone.ok()?.is_none() && made.ok()?.is_some()).then_some(())
        })
        .await;
    })
    .await;
}

/// Somebody writes this into an object again and again, until the Rollout gives in; what it says then. Two writes within a
/// second cannot be told apart by what the server keeps of them.
async fn meddled(
    rollout: &Subject,
    objects: &Api<DynamicObject>,
    name: &str,
    change: &Value,
) -> String {
    let params = PatchParams {
        field_manager: Some("meddler".to_owned()),
        ..PatchParams::default()
    };
    wait_for("the Rollout gives in", SOON, async || {
        let patch = Patch::Merge(change);
        objects.patch(name, &params, &patch).await.unwrap();
        let status = rollout.status().await;
        let is_stalled = status
            .conditions
            .iter()
            .any(|condition| condition.type_ == "Stalled" && condition.reason == "FieldContested");
        is_stalled.then_some(status.message.unwrap_or_default())
    })
    .await
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn a_tool_that_writes_into_what_was_made_is_named_and_not_fought_for_ever() {
    with_namespace(async |space| {
        let _operator = Operator::start(&space.name);
        let _gateway =
            ScriptedGateway::start(&space.client, &space.name, Duration::from_millis(50));
        let extra = json!({"spec": {
            "traffic": {"drain": "1s", "gatewayAPI": {"generate": {"parentRefs": [{"name": "web"}]}}},
            "strategy": {"steps": [{"setWeight": {"weight": 25}}, {"pause": {}}]},
        }});
        let rollout = Subject::create(space, &manifest("greeter:1", &extra)).await;
        let first = stable(&rollout.until_phase(Phase::Healthy).await);
        rollout.set_image("greeter:2").await;
        rollout.until_phase(Phase::Paused).await;
        let routes = api(space, ObjectKind::HttpRoute);
        let weight = async || {
            let route = routes.get("api").await.unwrap();
            let weight = route.data.pointer("/spec/rules/0/backendRefs/1/weight");
            weight.and_then(Value::as_i64)
        };
        assert_eq!(weight().await, Some(25));
        let mut rules = get(space, ObjectKind::HttpRoute, "api").await.data["spec"]["rules"].clone();
        rules[0]["backendRefs"][0]["weight"] = 100.into();
        rules[0]["backendRefs"][1]["weight"] = 0.into();
        let all_to_stable = json!({"spec": {"rules": rules}});
        let said = meddled(&rollout, &routes, "api", &all_to_stable).await;
        let words = "meddler has taken back what was written into HTTPRoute api";
        assert!(said.contains(words), "{said}");
        assert_eq!(weight().await, Some(0), "it is not fought");
        space.decide(("Rollout", "api"), "Resume").await;
        wait_for("the weight of the step", SOON, async || {
            (weight().await == Some(25)).then_some(())
        })
        .await;

        // So with a Service, and the way back takes it all the same.
        let services = api(space, ObjectKind::Service);
        let wide = json!({"spec": {"selector": {"slipway.dev/revision": null}}});
        let said = meddled(&rollout, &services, "api-stable", &wide).await;
        assert!(said.contains("written into Service api-stable"), "{said}");
        space.decide(("Rollout", "api"), "Abort").await;
        let back = rollout.until_phase(Phase::RolledBack).await;
        assert_eq!(stable(&back), first);
        let selector = service(space, "api-stable").await.spec.unwrap().selector;
        assert_eq!(selector.unwrap()["slipway.dev/revision"], first);
    })
    .await;
}

/// The Ingress of the canary has the host that people give theirs.
async fn follows(space: &Space) {
    let ingresses = api(space, ObjectKind::Ingress);
    let mut rules = get(space, ObjectKind::Ingress, "shop").await.data["spec"]["rules"].clone();
    rules[0]["host"] = "new.test".into();
    let change = Patch::Merge(json!({"spec": {"rules": rules}}));
    let params = PatchParams::default();
    ingresses.patch("shop", &params, &change).await.unwrap();
    wait_for("the host of the canary's Ingress", SOON, async || {
        let ours = ingresses.get("shop-api-canary").await.ok()?;
        let rules = ours.data.pointer("/spec/rules")?.as_array()?;
        let paths = rules[0]["http"]["paths"].as_array()?;
        assert_eq!(paths.len(), 1, "only the path to the stable Service");
        (rules[0]["host"] == "new.test").then_some(())
    })
    .await;
}
