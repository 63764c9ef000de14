//! Who is woken by what.

use serde_json::json;

use super::*;
use crate::controller::queue::Queue;

const QUEUED: &[ObjectKind] = &[
    ObjectKind::Rollout,
    ObjectKind::Environment,
    ObjectKind::Pipeline,
];

fn caches() -> Caches {
    let caches = Caches::default();
    let queues: Queues = QUEUED
        .iter()
        .map(|kind| (*kind, Arc::new(Queue::default())))
        .collect();
    caches.queues.set(Arc::new(queues)).unwrap();
    for environment in [
        environment("staging", &json!({"pipelines": ["shop"]})),
        environment("production", &json!({"environments": ["staging"]})),
    ] {
        put(&caches.environments, &environment);
    }
    caches
}

fn object(kind: &str, name: &str, version: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "slipway.dev/v1alpha1", "kind": kind,
        "metadata": {"namespace": "ns", "name": name, "uid": name, "resourceVersion": version},
        "spec": spec,
    })
}

fn environment(name: &str, from: &Value) -> Value {
    let rollouts = json!([{"name": format!("{name}-api")}]);
    let spec = json!({"tier": "Staging", "promotion": {"from": from}, "rollouts": rollouts});
    object("Environment", name, "1", &spec)
}

fn promotion(environment: &str) -> Value {
    let digest = "0".repeat(64);
    let spec = json!({
        "environment": environment, "release": "shop-1", "pipeline": "shop", "kind": "Promote", "attempt": 1,
        "requestedBy": "slipway", "images": [{"name": "api", "ref": format!("r/api@sha256:{digest}")}],
    });
    object("Promotion", "p", "1", &spec)
}

async fn woken(caches: &Caches) -> Vec<String> {
    let mut names = Vec::new();
    for kind in QUEUED {
        let queue = &caches.queues.get().unwrap()[kind];
        while !queue.is_empty() {
            let key = queue.next().await;
            queue.done(&key);
            names.push(format!("{}/{}", kind.kind(), key.name));
        }
    }
    names.sort();
    names
}

#[tokio::test]
async fn a_release_wakes_the_environments_that_take_from_its_pipeline() {
    let caches = caches();
    let commit = json!({"sha": "0".repeat(40), "author": "a", "email": "a@b", "committedAt": "2026-01-01T00:00:00Z", "subject": "s"});
    let image = json!({"name": "api", "repository": "r/api", "digest": format!("sha256:{}", "0".repeat(64))});
    let mut release = object(
        "Release",
        "shop-1",
        "5",
        &json!({"pipeline": "shop", "images": [image], "commit": commit, "ref": "refs/heads/main", "evidence": {"run": "shop-1"}}),
    );
    release["metadata"]["labels"] = json!({(label::PIPELINE): "shop"});
    let (news, _) = put(&caches.releases, &release);
    caches.wake(ObjectKind::Release, &news);
    assert_eq!(
        woken(&caches).await,
        ["Environment/staging", "Pipeline/shop"]
    );
}

#[tokio::test]
async fn an_environment_wakes_the_rollouts_that_follow_it_and_the_next_environment() {
    let caches = caches();
    let spec = json!({
        "selector": {"matchLabels": {"app": "a"}}, "template": {},
        "release": {"environment": {"name": "staging"}, "images": {"web": "api"}},
    });
    put(&caches.rollouts, &object("Rollout", "api", "1", &spec));
    let mut staging = environment("staging", &json!({"pipelines": ["shop"]}));
    staging["metadata"]["resourceVersion"] = "2".into();
    caches.remember(ObjectKind::Environment, &staging);
    assert_eq!(
        woken(&caches).await,
        ["Environment/production", "Rollout/api"]
    );
}

#[tokio::test]
async fn a_deployment_wakes_the_rollout_that_takes_it_over() {
    let caches = caches();
    let spec = json!({"workloadRef": {"kind": "Deployment", "name": "web"}});
    put(&caches.rollouts, &object("Rollout", "api", "1", &spec));
    let mut deployment = object("Deployment", "web", "5", &json!({"paused": true}));
    deployment["apiVersion"] = "apps/v1".into();
    let (news, _) = put(&caches.deployments, &deployment);
    caches.wake(ObjectKind::Deployment, &news);
    assert_eq!(woken(&caches).await, ["Rollout/api"]);
}

#[tokio::test]
async fn what_one_reconciler_makes_or_reads_anew_wakes_its_own() {
    let caches = caches();
    let mut made = environment("preview", &json!({"pipelines": ["other"]}));
    caches.remember(ObjectKind::Environment, &made);
    assert_eq!(woken(&caches).await, ["Environment/preview"]);
    made["metadata"]["resourceVersion"] = "2".into();
    caches.remember(ObjectKind::Environment, &made);
    assert_eq!(woken(&caches).await, [""; 0], "its own write of a status");
    made["metadata"]["resourceVersion"] = "3".into();
    made["metadata"]["generation"] = 2.into();
    caches.remember(ObjectKind::Environment, &made);
    assert_eq!(woken(&caches).await, ["Environment/preview"]);
}

#[tokio::test]
async fn a_rollout_wakes_the_environment_that_lists_it() {
    let caches = caches();
    let spec = json!({"selector": {"matchLabels": {"app": "a"}}, "template": {}});
    let (news, _) = put(
        &caches.rollouts,
        &object("Rollout", "production-api", "1", &spec),
    );
    caches.wake(ObjectKind::Rollout, &news);
    assert_eq!(
        woken(&caches).await,
        ["Environment/production", "Rollout/production-api"]
    );
}

#[tokio::test]
async fn a_decision_on_a_promotion_wakes_its_environment() {
    let caches = caches();
    put(&caches.promotions, &promotion("production"));
    let spec =
        json!({"target": {"kind": "Promotion", "name": "p"}, "action": "Approve", "user": "alice"});
    let (news, _) = put(&caches.decisions, &object("Decision", "d", "1", &spec));
    caches.wake(ObjectKind::Decision, &news);
    assert_eq!(woken(&caches).await, ["Environment/production"]);
}

#[tokio::test]
async fn our_own_write_is_heard_of_once() {
    let caches = caches();
    caches.remember(ObjectKind::Promotion, &promotion("staging"));
    assert_eq!(
        woken(&caches).await,
        ["Environment/production", "Environment/staging",]
    );
    let (news, _) = put(&caches.promotions, &promotion("staging"));
    caches.wake(ObjectKind::Promotion, &news);
    assert!(woken(&caches).await.is_empty());
}

#[tokio::test]
async fn a_slice_of_a_service_of_peoples_wakes_the_rollout_that_names_the_service() {
    let caches = caches();
    let spec = json!({
        "selector": {"matchLabels": {"app": "api"}}, "template": {},
        "traffic": {"allowForeign": true, "services": {"stable": "shop"}},
    });
    put(&caches.rollouts, &object("Rollout", "api", "1", &spec));
    let key = Key::new("ns", "shop");
    assert!(caches.is_named(ObjectKind::Service, &key));
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4", "endpoints": [],
        "metadata": {"namespace": "ns", "name": "shop-x", "uid": "x", "resourceVersion": "1",
                     "labels": {"kubernetes.io/service-name": "shop"}},
    });
    let (news, _) = put(&caches.endpoint_slices, &slice);
    caches.wake(ObjectKind::EndpointSlice, &news);
    assert_eq!(woken(&caches).await, ["Rollout/api"]);
}
