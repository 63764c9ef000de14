//! What is on record can be lost, and what is asked for can be impossible. Traffic goes on either way.

use std::time::Duration;

use kube::Client;
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams};
use serde_json::{Value, json};
use slipway::model::object::ObjectKind;
use testbed::load::Load;

use crate::app::{
    App, NAME, REPLICAS, SOON, in_steps, is_phase, is_true, nothing_lost, rate, wait_for, with_app,
};
use crate::cluster::Version;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a node; run make test"]
async fn with_the_status_wiped_nothing_is_lost_and_nothing_goes_back() {
    with_app(async |app| {
        app.start(Version::One, &in_steps()).await;
        let load = app.load().await;
        app.ask_for(Version::Two, &in_steps()).await;
        for percent in [20, 50] {
            app.until_paused_at(percent).await;
            let stable = stable_of(&app.now().await);
            wipe_status(app).await;
            let after = app.until_paused_at(percent).await;
            assert_eq!(stable_of(&after), stable);
        }
        app.until("Promoting", |rollout| is_phase(rollout, "Promoting"))
            .await;
        wipe_status(app).await;
        app.until_healthy().await;
        wipe_status(app).await;
        app.until_healthy().await;
        app.until_pods(REPLICAS).await;
        let two = app.cluster.image(Version::Two);
        assert_eq!(app.now().await["status"]["stable"]["images"]["web"], two);
        nothing_lost("status wiped four times", load).await;
    })
    .await;
}

fn stable_of(rollout: &Value) -> Value {
    rollout["status"]["stable"]["revision"].clone()
}

/// Removes the status of the story's Rollout, as a restore from a backup does. The admission policies let only the
/// operator write one, so this acts in its name.
async fn wipe_status(app: &App) {
    let operator = Client::try_from(app.as_operator().await).unwrap();
    let resource = ObjectKind::Rollout.api_resource();
    let api: Api<DynamicObject> = Api::namespaced_with(operator, &app.namespace, &resource);
    let nothing = Patch::Merge(json!({"status": null}));
    api.patch_status(NAME, &PatchParams::default(), &nothing)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a node; run make test"]
async fn a_spec_that_cannot_be_is_told_and_changes_nothing() {
    with_app(async |app| {
        app.start(Version::One, &in_steps()).await;
        let load = app.load().await;
        app.ask_for(Version::Two, &in_steps()).await;
        app.until_paused_at(20).await;
        let mut impossible = in_steps();
        let step = json!({"analyse": {"metrics": ["latency"]}});
        impossible["strategy"]["steps"]
            .as_array_mut()
            .unwrap()
            .push(step);
        app.ask_for(Version::Two, &impossible).await;
        let stalled = app
            .until("Stalled", |rollout| is_true(rollout, "Stalled"))
            .await;
        let message = stalled["status"]["message"].as_str().unwrap();
        let words = "spec.strategy.steps[4].analyse.metrics: there is no metric latency";
        assert!(message.contains(words), "{message}");
        assert!(!is_true(&stalled, "Ready"));
        let pods = app.pods().await;
        some_more(&load).await;
        assert_eq!(app.pods().await, pods, "nothing moves");
        app.ask_for(Version::Two, &in_steps()).await;
        app.until_healthy().await;
        assert!(!is_true(&app.now().await, "Stalled"));
        nothing_lost("a spec that cannot be", load).await;
    })
    .await;
}

/// Three seconds' worth of answers.
async fn some_more(load: &Load) {
    let wanted = load.stats().answered + u64::from(3 * rate());
    load.until(Duration::from_secs(30), |stats| stats.answered >= wanted)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a node; run make test"]
async fn names_that_somebody_else_has_taken_are_told_and_left_alone() {
    with_app(async |app| {
        for (kind, manifest) in taken(app) {
            app.apply(kind, &manifest).await;
            app.ask_for(Version::One, &json!({})).await;
            let name = manifest["metadata"]["name"].as_str().unwrap();
            let words = format!("{} {}/{name} exists", kind.kind(), app.namespace);
            app.until(&words, |rollout| {
                let message = rollout["status"]["message"].as_str();
                message.is_some_and(|message| message.contains(&words))
            })
            .await;
            // A moment later there is one of the Rollout's own.
            app.api(kind)
                .delete(name, &DeleteParams::background())
                .await
                .unwrap();
            app.until_healthy().await;
            app.delete(ObjectKind::Rollout, NAME).await;
            app.until_nothing_is_left().await;
        }
    })
    .await;
}

/// An object of each kind that a Rollout makes, with the name that the Rollout is going to give to its own.
fn taken(app: &App) -> [(ObjectKind, Value); 3] {
    let rollout = app.rollout(Version::One, &json!({}));
    let spec = serde_json::from_value(rollout["spec"].clone()).unwrap();
    let spec =
        slipway::rollout::spec::Spec::parse(&spec, &std::collections::BTreeMap::default()).unwrap();
    let set = slipway::rollout::render::set_name(NAME, &spec.revision);
    let object = |api: &str, kind: ObjectKind, name: &str, spec: Value| {
        let metadata = json!({"name": name, "namespace": app.namespace});
        let object =
            json!({"apiVersion": api, "kind": kind.kind(), "metadata": metadata, "spec": spec});
        (kind, object)
    };
    let labels = json!({"app": "somebody-else"});
    let pod = json!({"containers": [{"name": "other", "image": "other"}]});
    [
        object(
            "v1",
            ObjectKind::Service,
            &format!("{NAME}-stable"),
            json!({"ports": [{"port": 80}]}),
        ),
        object(
            "gateway.networking.k8s.io/v1",
            ObjectKind::HttpRoute,
            NAME,
            json!({"hostnames": ["other.test"]}),
        ),
        object(
            "apps/v1",
            ObjectKind::ReplicaSet,
            &set,
            json!({
                "replicas": 0, "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": pod},
            }),
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a node; run make test"]
async fn every_kind_says_what_is_wrong_with_its_spec_and_what_to_do() {
    with_app(async |app| {
        let stage = |name: &str, needs: &str| {
            json!({"name": name, "type": "Test", "image": "python:3", "run": "true", "needs": [needs]})
        };
        let circle = json!({
            "apiVersion": "slipway.dev/v1alpha1", "kind": "Pipeline", "metadata": {"name": "circle"},
            "spec": {
                "source": {"git": {"url": "https://git.example/shop.git"}},
                "stages": [stage("egg", "hen"), stage("hen", "egg")],
            },
        });
        app.apply(ObjectKind::Pipeline, &circle).await;
        until_stalled(app, ObjectKind::Pipeline, "circle", "stages wait for each other in a circle").await;
        let lost = json!({
            "apiVersion": "slipway.dev/v1alpha1", "kind": "PipelineRun", "metadata": {"name": "lost"},
            "spec": {
                "pipelineRef": {"name": "nowhere"}, "ref": "refs/heads/main",
                "trigger": {"kind": "Manual", "actor": "admin"},
            },
        });
        app.apply(ObjectKind::PipelineRun, &lost).await;
        until_stalled(app, ObjectKind::PipelineRun, "lost", "there is no Pipeline nowhere; create it").await;
        // What the schema can tell is refused at once, so that it never is a status.
        let nothing = json!({
            "apiVersion": "slipway.dev/v1alpha1", "kind": "Environment", "metadata": {"name": "nothing"},
            "spec": {"tier": "Staging", "promotion": {"from": {}}},
        });
        let params = PatchParams::apply("people");
        let refused = app.api(ObjectKind::Environment).patch("nothing", &params, &Patch::Apply(&nothing)).await;
        let text = refused.unwrap_err().to_string();
        assert!(text.contains("exactly one of pipelines"), "{text}");
    })
    .await;
}

async fn until_stalled(app: &App, kind: ObjectKind, name: &str, words: &str) {
    wait_for(words, SOON, async || {
        let object = app.api(kind).get(name).await.unwrap();
        let object = serde_json::to_value(object).unwrap();
        let message = object["status"]["message"].as_str().unwrap_or_default();
        if is_true(&object, "Stalled") && message.contains(words) {
            Ok(())
        } else {
            Err(object["status"].to_string())
        }
    })
    .await;
}
