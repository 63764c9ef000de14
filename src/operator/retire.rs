//! `slipway retire`, which comes before an uninstall: what is being deleted gets its time, the operator ends, and every object
//! is let go, so that none waits later for an operator that is gone. What serves goes on serving. Talks to the API server.
//!
//! While it lets go it holds the Lease: no operator is there that could take hold again.

use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{DynamicObject, Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use tokio::time::{Instant, interval, timeout};
use tracing::{info, warn};

use super::{OperatorError, configured};
use crate::clock::Clock;
use crate::cluster::fetch::egress::Egress;
use crate::cluster::write::WriteError;
use crate::cluster::{Cluster, client, fetch};
use crate::config::{Config, Retire};
use crate::error::chain;
use crate::leader::{self, Candidate};
use crate::model::key::Key;
use crate::model::label;
use crate::model::manifest::Target;
use crate::model::object::ObjectKind;
use crate::telemetry::metrics::Metrics;

/// Time between two looks.
const LOOK: Duration = Duration::from_secs(1);
/// Longest wait for the operator to end: its pods have 30 s, and a Lease that nobody keeps holds for 10 s.
const END: Duration = Duration::from_secs(90);
/// Rounds in which objects are let go: what somebody else changed meanwhile is read again.
const ROUNDS: usize = 10;
/// Kinds that are held by the finalizer.
const HELD: [ObjectKind; 2] = [ObjectKind::Rollout, ObjectKind::Environment];
/// What a Rollout has that goes on serving when it is let go in the middle of its deletion.
const SERVING: [ObjectKind; 7] = [
    ObjectKind::ReplicaSet,
    ObjectKind::Service,
    ObjectKind::HttpRoute,
    ObjectKind::GrpcRoute,
    ObjectKind::Ingress,
    ObjectKind::ConfigMap,
    ObjectKind::Secret,
];

/// Waits, ends the operator, and lets go.
///
/// # Errors
/// See [`OperatorError`].
pub async fn run(config: &Config, wanted: &Retire) -> Result<(), OperatorError> {
    let kube_config = configured().await?;
    let bad = |error| OperatorError::BadConfig(Box::new(error));
    let (clock, metrics) = (Clock::default(), Metrics::new()?);
    let lease = client::connect_for_lease(kube_config.clone(), leader::CALL).map_err(bad)?;
    let client = client::connect(kube_config, metrics.clone(), clock.clone()).map_err(bad)?;
    let egress = Egress::parse(&[]).map_err(OperatorError::MetricHosts)?;
    let http = fetch::Http::new(egress);
    let cluster = Cluster::new(client, http, metrics, clock.clone());
    let namespaces = config.namespaces();
    settle(&cluster, &namespaces, wanted.settle_seconds).await?;
    if let Some(deployment) = &wanted.deployment {
        end(&cluster, &config.namespace, deployment).await?;
    }
    let identity = format!("{}_retire_{}", config.identity, std::process::id());
    let mut candidate = Candidate::new(lease, &config.namespace, &config.lease, identity, clock);
    if timeout(END, candidate.win()).await.is_err() {
        return led_by_another(wanted);
    }
    let done = tokio::select! {
        done = release_all(&cluster, &namespaces) => done,
        () = candidate.keep() => Err(OperatorError::LostLead),
    };
    candidate.release().await;
    done
}

/// Somebody else leads: well where nothing was to end, and else an operator that will not, so that nothing may be removed.
fn led_by_another(wanted: &Retire) -> Result<(), OperatorError> {
    if let Some(deployment) = &wanted.deployment {
        return Err(OperatorError::StillLed(deployment.clone()));
    }
    warn!("another operator leads, and looks after what is here: nothing is let go");
    Ok(())
}

fn failed(what: &'static str) -> impl Fn(Box<kube::Error>) -> OperatorError {
    move |source| OperatorError::Retire { what, source }
}

/// Objects of these kinds that the finalizer holds.
async fn held(
    cluster: &Cluster,
    namespaces: &[String],
) -> Result<Vec<(ObjectKind, DynamicObject)>, OperatorError> {
    let mut found = Vec::new();
    for kind in HELD {
        for namespace in namespaces {
            let all = cluster.list(kind, namespace, "").await;
            let all = all.or_else(none_where_missing).map_err(failed("list"))?;
            let is_held = |object: &DynamicObject| {
                let mut names = object.finalizers().iter();
                names.any(|name| name == label::FINALIZER)
            };
            found.extend(all.into_iter().filter(is_held).map(|object| (kind, object)));
        }
    }
    Ok(found)
}

/// A kind that a cluster does not have, or that this operator may not read, has no objects of ours.
fn none_where_missing(error: Box<kube::Error>) -> Result<Vec<DynamicObject>, Box<kube::Error>> {
    let is_missing =
        matches!(error.as_ref(), kube::Error::Api(status) if matches!(status.code, 403 | 404));
    if is_missing {
        Ok(Vec::new())
    } else {
        Err(error)
    }
}

/// Gives what is being deleted the time that it takes, and no more than `seconds`.
async fn settle(
    cluster: &Cluster,
    namespaces: &[String],
    seconds: u64,
) -> Result<(), OperatorError> {
    let until = Instant::now() + Duration::from_secs(seconds);
    let mut looks = interval(LOOK);
    loop {
        looks.tick().await;
        let held = held(cluster, namespaces).await?;
        let leaving = held.iter().filter(|(_, object)| is_leaving(object));
        let names: Vec<String> = leaving
            .map(|(kind, object)| format!("{} {}", kind.kind(), Key::of(object)))
            .collect();
        if names.is_empty() {
            return Ok(());
        }
        if Instant::now() >= until {
            let names = names.join(", ");
            warn!(names, "still being deleted; let go without it");
            return Ok(());
        }
        info!(count = names.len(), "waiting for what is being deleted");
    }
}

fn is_leaving(object: &DynamicObject) -> bool {
    object.metadata.deletion_timestamp.is_some()
}

/// Has the operator end.
async fn end(cluster: &Cluster, namespace: &str, name: &str) -> Result<(), OperatorError> {
    let api: Api<Deployment> = Api::namespaced(cluster.client().clone(), namespace);
    let none = Patch::Merge(json!({"spec": {"replicas": 0}}));
    let scaled = api.patch_scale(name, &PatchParams::default(), &none).await;
    match scaled {
        Ok(_) => info!(deployment = name, "the operator is to end"),
        Err(kube::Error::Api(status)) if status.code == 404 => {
            info!(deployment = name, "there is no operator");
        }
        Err(error) => return Err(failed("end the operator")(Box::new(error))),
    }
    Ok(())
}

/// Takes the finalizer off everything.
async fn release_all(cluster: &Cluster, namespaces: &[String]) -> Result<(), OperatorError> {
    let mut looks = interval(LOOK);
    for _ in 0..ROUNDS {
        looks.tick().await;
        let held = held(cluster, namespaces).await?;
        if held.is_empty() {
            return Ok(());
        }
        for (kind, object) in &held {
            match release(cluster, *kind, object).await {
                Ok(()) => info!(kind = kind.kind(), name = %Key::of(object), "let go"),
                // Read again in the next round, if it is still there.
                Err(WriteError::Conflict { .. }) => {}
                Err(error) => {
                    let name = Key::of(object);
                    warn!(kind = kind.kind(), %name, error = chain(&error), "not let go");
                }
            }
        }
    }
    let held = held(cluster, namespaces).await?;
    if held.is_empty() {
        return Ok(());
    }
    Err(OperatorError::Unreleased(held.len()))
}

async fn release(
    cluster: &Cluster,
    kind: ObjectKind,
    object: &DynamicObject,
) -> Result<(), WriteError> {
    if kind == ObjectKind::Rollout && is_leaving(object) && keeps_serving(object) {
        let_go(cluster, object).await?;
    }
    let mut names: Vec<&String> = object.finalizers().iter().collect();
    names.retain(|name| *name != label::FINALIZER);
    let change = json!({"metadata": {"finalizers": names}});
    cluster.patch(&Target::of(kind, object), &change).await
}

/// Whether what a Rollout runs is to go on without it.
fn keeps_serving(rollout: &DynamicObject) -> bool {
    let spec = rollout.data.get("spec").unwrap_or(&Value::Null);
    match spec.get("deletionPolicy").and_then(Value::as_str) {
        Some(policy) => policy != "Delete",
        None => spec.get("workloadRef").is_some(),
    }
}

/// Takes the owner off what a Rollout has, so that nothing goes with it.
async fn let_go(cluster: &Cluster, rollout: &DynamicObject) -> Result<(), WriteError> {
    let key = Key::of(rollout);
    let selector = format!("{}={}", label::ROLLOUT, key.name);
    for kind in SERVING {
        let all = cluster.list(kind, &key.namespace, &selector).await;
        let all = all
            .or_else(none_where_missing)
            .map_err(|source| WriteError::Api {
                verb: "list",
                kind,
                key: key.clone(),
                source,
            })?;
        for object in all {
            let owners = object.owner_references().iter();
            let is_other = |uid: &str| Some(uid) != rollout.metadata.uid.as_deref();
            let others: Vec<_> = owners.filter(|owner| is_other(&owner.uid)).collect();
            if others.len() == object.owner_references().len() {
                continue;
            }
            let change = json!({"metadata": {"ownerReferences": others}});
            cluster.patch(&Target::of(kind, &object), &change).await?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rollout(spec: &Value) -> DynamicObject {
        let object = json!({
            "apiVersion": "slipway.dev/v1alpha1", "kind": "Rollout",
            "metadata": {"name": "api", "namespace": "shop"}, "spec": spec,
        });
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn what_is_to_go_on_serving_is_told_by_the_policy() {
        for (spec, expected) in [
            (json!({}), false),
            (json!({"deletionPolicy": "Delete"}), false),
            (json!({"deletionPolicy": "Orphan"}), true),
            (json!({"workloadRef": {"name": "api"}}), true),
            (
                json!({"workloadRef": {"name": "api"}, "deletionPolicy": "Delete"}),
                false,
            ),
        ] {
            assert_eq!(keeps_serving(&rollout(&spec)), expected, "{spec}");
        }
    }

    #[test]
    fn an_operator_that_was_to_end_and_leads_is_an_error() {
        let of = |deployment: Option<&str>| Retire {
            deployment: deployment.map(str::to_owned),
            settle_seconds: 1,
        };
        assert!(led_by_another(&of(None)).is_ok());
        let error = led_by_another(&of(Some("slipway"))).unwrap_err();
        assert!(error.to_string().contains("Deployment slipway"), "{error}");
    }

    #[test]
    fn a_kind_that_is_not_there_has_no_objects_and_a_server_that_fails_has_not_said_so() {
        let of = |code: u16| {
            let status = json!({"status": "Failure", "message": "", "reason": "", "code": code});
            let status = serde_json::from_value(status).unwrap();
            none_where_missing(Box::new(kube::Error::Api(Box::new(status))))
        };
        assert!(of(404).is_ok_and(|all| all.is_empty()));
        assert!(of(403).is_ok_and(|all| all.is_empty()));
        assert!(of(500).is_err());
    }
}
