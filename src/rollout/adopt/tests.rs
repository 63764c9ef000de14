//! What is read of a Deployment's objects, and what they get.

use serde_json::json;

use super::*;
use crate::rollout::render;
use crate::rollout::spec::{Around, Images, Spec};
use crate::rollout::testing::{NOW, later, raw, untouched};

fn template() -> Value {
    json!({
        "metadata": {"labels": {"app": "api"}},
        "spec": {"containers": [{"name": "web", "image": "api:1"}]},
    })
}

fn deployment(spec: &Value) -> Deployment {
    let mut whole = json!({
        "metadata": {"name": "api", "namespace": "shop", "uid": "d"},
        "spec": {
            "replicas": 6, "paused": true, "selector": {"matchLabels": {"app": "api"}}, "template": template(),
        },
    });
    json_patch::merge(&mut whole, &json!({"spec": spec}));
    serde_json::from_value(whole).unwrap()
}

/// A ReplicaSet as the controller of Deployments makes it.
fn made(hash: &str, template: &Value) -> DynamicObject {
    let mut template = template.clone();
    template["metadata"]["creationTimestamp"] = Value::Null;
    template["metadata"]["labels"][label::POD_TEMPLATE_HASH] = hash.into();
    serde_json::from_value(json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet",
        "metadata": {
            "name": format!("api-{hash}"), "namespace": "shop", "uid": hash, "resourceVersion": "1",
            "labels": {"app": "api", (label::POD_TEMPLATE_HASH): hash},
            "annotations": {(label::DEPLOYMENT_REVISION): "3"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "Deployment", "name": "api", "uid": "d", "controller": true}],
        },
        "spec": {"replicas": 6, "template": template},
        "status": {"replicas": 5},
    }))
    .unwrap()
}

fn adopted(deployment: Deployment) -> Spec {
    let raw = serde_json::from_value(json!({"workloadRef": {"kind": "Deployment", "name": "api"}}));
    let around = Around {
        deployment: Some(Arc::new(deployment)),
        ..Around::default()
    };
    Spec::parse_with(&raw.unwrap(), &Images::new(), &around).unwrap()
}

#[test]
fn pods_are_what_the_deployment_says_and_nothing_is_added() {
    let spec = adopted(deployment(&json!({})));
    assert_eq!(spec.template, template());
    assert_eq!((spec.replicas, spec.selector["app"].as_str()), (6, "api"));
    assert_eq!(spec.images["web"], "api:1");
}

#[test]
fn a_replica_set_of_the_deployment_has_its_template_whatever_was_added() {
    let held = Held::read(&made("5d4", &template()), "d").unwrap();
    assert_eq!((held.ordinal, held.pods), (3, 6));
    assert_eq!(held.revision.as_str(), "5d4");
    let spec = adopted(deployment(&json!({})));
    assert_eq!(held.source, spec.revision.as_str());
    assert_eq!(Held::read(&made("5d4", &template()), "another"), None);
}

#[test]
fn a_template_that_a_replica_set_has_already_is_its_revision() {
    let spec = adopted(deployment(&json!({})));
    let source = spec.revision.clone();
    let named = |name: &str| Revision::from_label(name);
    let mut seen = untouched(spec.clone())
        .with_set(&named("5d4"), 6)
        .with_set(&named("5d5"), 0);
    let revision_of = |sets: &[Set]| {
        let wanted = known(Wanted::Spec(spec.clone().into()), sets);
        wanted.spec().unwrap().revision.clone()
    };
    assert_eq!(revision_of(&seen.sets), source, "nobody has it");
    for set in &mut seen.sets {
        set.source = Some(source.to_string());
    }
    assert_eq!(revision_of(&seen.sets), named("5d5"), "the later one");
    let seen = seen.promoted(&named("5d4"), NOW);
    assert_eq!(revision_of(&seen.sets), named("5d4"), "what serves");
    let seen = seen.with_set(&source, 1);
    assert_eq!(revision_of(&seen.sets), source, "one of ours");
}

#[test]
fn what_is_looked_for_is_what_may_be_there() {
    let paused = deployment(&json!({}));
    let running = deployment(&json!({"paused": null}));
    let status: RolloutStatus =
        serde_json::from_value(json!({"observedGeneration": 1, "progress": {"stable": "5d4"}}))
            .unwrap();
    let stable = Revision::from_label("5d4");
    let sets = untouched(adopted(paused.clone())).with_set(&stable, 6).sets;
    assert!(may_hold(&paused, None, &[]));
    assert!(!may_hold(&running, None, &[]));
    assert!(
        may_hold(&paused, Some(&status), &[]),
        "stable is not ours yet"
    );
    assert!(!may_hold(&paused, Some(&status), &sets));
    let mut busy = paused;
    busy.status = serde_json::from_value(json!({"replicas": 2})).unwrap();
    assert!(may_hold(&busy, Some(&status), &sets), "it makes pods again");
}

#[test]
fn pods_that_do_not_say_whose_they_are_are_told() {
    let revision = Revision::from_label("5d4");
    let mut seen = untouched(adopted(deployment(&json!({})))).with_set(&revision, 2);
    let mut set = seen.sets.remove(0);
    assert!(
        !may_have_strays(&set, &[]),
        "ours has labels from the beginning"
    );
    set.source = Some("s".into());
    assert!(may_have_strays(&set, &seen.pods[..1]));
    assert!(!may_have_strays(&set, &seen.pods));

    let uid = set.target.uid.clone();
    let pod = |labels: Value, owner: &str| -> DynamicObject {
        let owners =
            json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "a", "uid": owner}]);
        let metadata =
            json!({"name": "p", "namespace": "shop", "labels": labels, "ownerReferences": owners});
        serde_json::from_value(json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata}))
            .unwrap()
    };
    let stray = Stray::read(&pod(json!({"app": "api"}), &uid), &set, "api").unwrap();
    let (_, change) = stray.told("api");
    assert_eq!(Stray::read(&pod(json!({}), "other"), &set, "api"), None);
    let labels = change["metadata"]["labels"].clone();
    assert_eq!(labels[label::REVISION], "5d4");
    assert_eq!(Stray::read(&pod(labels, &uid), &set, "api"), None);
}

#[test]
fn what_is_given_back_is_what_the_deployment_would_have_made() {
    let deployment = deployment(&json!({}));
    let spec = adopted(deployment.clone());
    let seen = untouched(spec.clone());
    let ours = render::replica_set(&seen, &spec, 6, 4);
    let hash = spec.revision.as_str();
    let selector = json!({"app": "api", (label::POD_TEMPLATE_HASH): hash});
    assert_eq!(ours.body["spec"]["selector"]["matchLabels"], selector);

    let set = untouched(spec.clone())
        .with_set(&spec.revision, 6)
        .sets
        .remove(0);
    let Action::Patch { change, .. } = given_back(&set, &deployment) else {
        panic!("a patch")
    };
    let mut body = ours.body.clone();
    json_patch::merge(&mut body, &change);
    let mut wanted = template();
    wanted["metadata"]["labels"][label::POD_TEMPLATE_HASH] = hash.into();
    assert_eq!(body["spec"]["template"], wanted);
    assert_eq!(body["metadata"]["ownerReferences"][0]["uid"], "d");
    let left = body["metadata"].to_string();
    assert!(!left.contains("slipway.dev/"), "{left}");
    let labels = body["metadata"]["labels"].as_object().unwrap();
    assert_eq!(labels["app"], "api", "by which the Deployment finds it");
}

#[test]
fn what_is_taken_is_told_apart_by_its_own_label() {
    let held = Held::read(&made("5d4", &template()), "d").unwrap();
    let seen = untouched(adopted(deployment(&json!({}))));
    let Action::Patch { target, change } = held.taken(&seen, Some(NOW)) else {
        panic!("a patch")
    };
    assert_eq!(target.resource_version, "1", "a lost race is a conflict");
    let mut set = serde_json::to_value(made("5d4", &template())).unwrap();
    json_patch::merge(&mut set, &change);
    assert_eq!(set["metadata"]["labels"][label::REVISION], "5d4");
    assert_eq!(
        set["spec"]["template"]["metadata"]["labels"][label::ROLLOUT],
        "api"
    );
    assert_eq!(set["metadata"]["annotations"][label::ORDINAL], "3");
    assert_eq!(set["metadata"]["ownerReferences"], json!([seen.owner]));
    assert_eq!(set["spec"]["replicas"], 6, "nothing is scaled");
}

#[test]
fn containers_that_end_at_once_are_named_where_requests_go_with_the_pods() {
    let mut spec = adopted(deployment(&json!({})));
    let words = losses(&spec).unwrap();
    assert!(
        words.starts_with("containers without lifecycle.preStop: web;"),
        "{words}"
    );
    let hook = json!({"sleep": {"seconds": 5}});
    spec.template["spec"]["containers"][0]["lifecycle"] = json!({"preStop": hook});
    assert_eq!(losses(&spec), None);
    assert_eq!(
        losses(&crate::rollout::testing::spec(
            "1",
            &json!({"gracefulShutdown": "Off"})
        )),
        None
    );
}

#[test]
fn the_older_of_two_rollouts_has_the_deployment() {
    let key = |name: &str| Key::new("shop", name);
    let (a, b) = (key("a"), key("b"));
    let find = |own: (&Key, i64), other: (&Key, i64)| {
        let at = |seconds| Some(later(seconds));
        rival((own.0, at(own.1)), [(other.0, at(other.1))].into_iter())
    };
    assert_eq!(find((&a, 1), (&b, 0)), Some("b".to_owned()));
    assert_eq!(find((&b, 0), (&a, 1)), None);
    assert_eq!(find((&b, 0), (&a, 0)), Some("a".to_owned()));
    assert_eq!(find((&a, 0), (&a, 0)), None, "itself");
}

#[test]
fn without_a_cluster_other_pods_stand_in() {
    let named = json!({"workloadRef": {"kind": "Deployment", "name": "api"}, "replicas": 3});
    let named: RolloutSpec = serde_json::from_value(named).unwrap();
    let problems = Spec::parse(&named, &Images::new()).unwrap_err();
    assert_eq!(problems[0].problem, "there is no Deployment api");
    assert_eq!(problems.len(), 1, "{problems:?}");
    let spec = Spec::parse(&standing_in(&named), &Images::new()).unwrap();
    assert_eq!((spec.replicas, spec.is_adopted), (3, false));
    let plain = raw("1", &json!({}));
    assert_eq!(standing_in(&plain), plain);
}
