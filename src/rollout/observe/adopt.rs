//! Reads the Deployment that a Rollout takes over, and, past the caches, what of it is still to be taken over: that is asked
//! for only while there may be something.

use kube::ResourceExt;

use super::super::adopt::{Adoption, Held, Stray, may_have_strays, may_hold, rival};
use super::super::api::Rollout;
use super::super::observed::{Pod, Set};
use crate::cluster::Cluster;
use crate::cluster::cache::Parent;
use crate::controller::ReconcileError;
use crate::model::key::Key;
use crate::model::label;
use crate::model::object::ObjectKind;
use crate::model::workload::Deployment;

/// The Deployment that the spec names, if it names one.
pub(super) async fn adoption(
    rollout: &Rollout,
    cluster: &Cluster,
    (sets, pods): (&[Set], &[Pod]),
) -> Result<Option<Adoption>, ReconcileError> {
    let Some(reference) = &rollout.spec.workload_ref else {
        return Ok(None);
    };
    let key = Key::new(
        rollout.namespace().unwrap_or_default(),
        reference.name.clone(),
    );
    let deployments = &cluster.caches.deployments;
    let known = deployments.get(&key);
    let status = rollout.status.as_ref();
    let is_going = rollout.metadata.deletion_timestamp.is_some();
    let is_open = known
        .as_ref()
        .is_some_and(|known| !is_going && may_hold(known, status, sets));
    let gives_back = is_going && !sets.is_empty();
    if known.is_none() || is_open || gives_back {
        // Nobody keeps one before somebody names it; and whether it is paused is asked again before anything is taken
        // or given back.
        let read = cluster.read_named(ObjectKind::Deployment, &key).await;
        read.map_err(ReconcileError::Observe)?;
    }
    let mut adoption = Adoption {
        deployment: deployments.get(&key),
        accepts_rollout: reference.accept_rollout == Some(true),
        rival: older(rollout, &key, cluster),
        name: key.name,
        ..Adoption::default()
    };
    if is_going {
        return Ok(Some(adoption));
    }
    if let Some(deployment) = adoption.deployment.clone()
        && may_hold(&deployment, status, sets)
    {
        adoption.held = held(&deployment, &key.namespace, cluster).await?;
    }
    if !adoption.held.is_empty() {
        adoption.autoscalers = autoscalers(&adoption.name, &key.namespace, cluster).await?;
    }
    for set in sets.iter().filter(|set| may_have_strays(set, pods)) {
        adoption.strays.extend(strays(rollout, set, cluster).await?);
    }
    Ok(Some(adoption))
}

/// An older Rollout that names the same Deployment.
fn older(rollout: &Rollout, deployment: &Key, cluster: &Cluster) -> Option<String> {
    let parent = Parent {
        kind: ObjectKind::Deployment,
        key: deployment.clone(),
    };
    let rollouts = &cluster.caches.rollouts;
    let created_at =
        |rollout: &Rollout| rollout.metadata.creation_timestamp.as_ref().map(|at| at.0);
    let others = rollouts.listeners_to(&parent);
    let others: Vec<_> = others
        .iter()
        .filter_map(|key| Some((key, created_at(rollouts.get(key)?.as_ref()))))
        .collect();
    let own = Key::of(rollout);
    rival((&own, created_at(rollout)), others.into_iter())
}

/// The Deployment's ReplicaSets.
async fn held(
    deployment: &Deployment,
    namespace: &str,
    cluster: &Cluster,
) -> Result<Vec<Held>, ReconcileError> {
    let labels = deployment.spec.selector.match_labels.iter();
    let selector: Vec<String> = labels
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    let selector = selector.join(",");
    let found = cluster.list(ObjectKind::ReplicaSet, namespace, &selector);
    let found = found.await.map_err(ReconcileError::Observe)?;
    let uid = deployment.uid().unwrap_or_default();
    let read = found.iter().filter_map(|set| Held::read(set, &uid));
    Ok(read.collect())
}

/// Names of the autoscalers that scale the Deployment.
async fn autoscalers(
    deployment: &str,
    namespace: &str,
    cluster: &Cluster,
) -> Result<Vec<String>, ReconcileError> {
    let found = cluster.list(ObjectKind::HorizontalPodAutoscaler, namespace, "");
    let found = found.await.map_err(ReconcileError::Observe)?;
    let scales = found.iter().filter(|scaler| {
        let target = scaler.data.pointer("/spec/scaleTargetRef");
        target.is_some_and(|target| {
            target["kind"] == ObjectKind::Deployment.kind() && target["name"] == deployment
        })
    });
    Ok(scales.map(ResourceExt::name_any).collect())
}

/// Pods of a ReplicaSet that was taken over, as far as they do not say so.
async fn strays(
    rollout: &Rollout,
    set: &Set,
    cluster: &Cluster,
) -> Result<Vec<Stray>, ReconcileError> {
    let selector = format!("{}={}", label::POD_TEMPLATE_HASH, set.revision);
    let namespace = &set.target.key.namespace;
    let found = cluster.list(ObjectKind::Pod, namespace, &selector).await;
    let found = found.map_err(ReconcileError::Observe)?;
    let name = rollout.name_any();
    let read = found.iter().filter_map(|pod| Stray::read(pod, set, &name));
    Ok(read.collect())
}
