//! The rules of SLOs as they are in the cluster: a PrometheusRule where it knows that kind, else a ConfigMap. One that is not cached
//! is read by its name.

use kube::ResourceExt;

use super::super::observed::{LiveRules, Observed, Rules};
use super::super::render;
use crate::cluster::Cluster;
use crate::cluster::cache::Cache;
use crate::controller::ReconcileError;
use crate::environment::api::RulesKind;
use crate::model::key::Key;
use crate::model::manifest::{Target, controller_of};
use crate::model::object::ObjectKind;

/// Adds what has the rules of its SLOs.
pub(super) async fn rules(seen: &mut Observed, cluster: &Cluster) -> Result<(), ReconcileError> {
    let known = seen.status.rules.as_ref().map(|rules| rules.kind);
    if seen.spec.slos.is_empty() && known.is_none() {
        return Ok(());
    }
    let serves = cluster.serves(ObjectKind::PrometheusRule).await;
    let serves = serves.map_err(ReconcileError::Observe)?;
    let kind = if serves {
        ObjectKind::PrometheusRule
    } else {
        ObjectKind::ConfigMap
    };
    let mut live = Vec::new();
    if serves {
        live.extend(live_rules(seen, ObjectKind::PrometheusRule, cluster).await?);
    }
    // A ConfigMap is left from before the cluster had the other kind.
    if !serves || known == Some(RulesKind::ConfigMap) {
        live.extend(live_rules(seen, ObjectKind::ConfigMap, cluster).await?);
    }
    seen.rules = Some(Rules { kind, live });
    Ok(())
}

/// The objects of a kind that have rules of an Environment, and the one that has the name that its own should have.
async fn live_rules(
    seen: &Observed,
    kind: ObjectKind,
    cluster: &Cluster,
) -> Result<Vec<LiveRules>, ReconcileError> {
    let caches = &cluster.caches;
    caches.watch_rules(kind);
    let named = Key::new(
        seen.key.namespace.clone(),
        render::rules_name(&seen.key.name),
    );
    let find = || -> Vec<LiveRules> {
        let owner = &seen.owner.uid;
        if kind == ObjectKind::PrometheusRule {
            rules_in(&caches.prometheus_rules, kind, &seen.key, &named, owner)
        } else {
            rules_in(&caches.config_maps, kind, &seen.key, &named, owner)
        }
    };
    let is_named = |live: &LiveRules| live.target.key == named;
    let mut live = find();
    if !live.iter().any(is_named) {
        let read = cluster.read_named(kind, &named).await;
        read.map_err(ReconcileError::Observe)?;
        live = find();
    }
    live.sort_by(|a, b| a.target.key.cmp(&b.target.key));
    live.dedup_by(|a, b| a.target == b.target);
    Ok(live)
}

/// What belongs to the Environment, and what has the name that its rules have.
fn rules_in<K: ResourceExt + Clone + serde::Serialize>(
    cache: &Cache<K>,
    kind: ObjectKind,
    environment: &Key,
    named: &Key,
    owner: &str,
) -> Vec<LiveRules> {
    let mut found = cache.children_of(ObjectKind::Environment, environment);
    found.extend(cache.get(named));
    let found = found.iter();
    found
        .map(|object| rules_of(kind, object.as_ref(), owner))
        .collect()
}

fn rules_of<K: ResourceExt + serde::Serialize>(
    kind: ObjectKind,
    object: &K,
    owner: &str,
) -> LiveRules {
    LiveRules {
        target: Target::of(kind, object),
        is_ours: controller_of(object).is_some_and(|of| of.uid == owner),
        body: serde_json::to_value(object).unwrap_or_default(),
    }
}
