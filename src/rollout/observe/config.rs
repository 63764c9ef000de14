//! Reads ConfigMaps and Secrets of which revisions get copies, and the copies. One that no cache has yet is asked for by its name.

use kube::ResourceExt;

use super::super::api::Rollout;
use super::super::config::{self, Source, Sources};
use super::super::observed::Owned;
use crate::cluster::Cluster;
use crate::controller::ReconcileError;
use crate::model::key::Key;
use crate::model::label;
use crate::model::manifest::{Target, is_ours};
use crate::model::object::ObjectKind;

/// What is in the ConfigMaps and Secrets of which revisions get copies.
pub(super) async fn sources(
    rollout: &Rollout,
    cluster: &Cluster,
) -> Result<Sources, ReconcileError> {
    let namespace = rollout.namespace().unwrap_or_default();
    let mut sources = Sources::new();
    for named in config::copied(&rollout.spec) {
        let key = Key::new(namespace.clone(), named.name.clone());
        let source = if named.kind == ObjectKind::Secret && !cluster.copies_secrets() {
            Source::Forbidden
        } else if let Some(known) = source(named.kind, &key, cluster) {
            known
        } else {
            let read = cluster.read_named(named.kind, &key).await;
            read.map_err(ReconcileError::Observe)?;
            source(named.kind, &key, cluster).unwrap_or(Source::Missing)
        };
        sources.insert(named, source);
    }
    Ok(sources)
}

/// What is known of a ConfigMap or a Secret.
fn source(kind: ObjectKind, key: &Key, cluster: &Cluster) -> Option<Source> {
    let caches = &cluster.caches;
    if kind == ObjectKind::Secret {
        let found = caches.secrets.get(key)?;
        let type_ = found.type_.as_deref().unwrap_or("Opaque");
        let data = serde_json::to_value(&found.data).unwrap_or_default();
        let uid = found.uid().unwrap_or_default();
        return Some(fit(found.as_ref(), || Source::of_secret(&uid, type_, data)));
    }
    let found = caches.config_maps.get(key)?;
    let data = serde_json::to_value(&found.data).unwrap_or_default();
    let binary_data = serde_json::to_value(&found.binary_data).unwrap_or_default();
    Some(fit(found.as_ref(), || {
        Source::of_config_map(data, binary_data)
    }))
}

/// A copy is not copied again: what is in it is not even known.
fn fit<K: ResourceExt>(object: &K, read: impl FnOnce() -> Source) -> Source {
    if object.labels().contains_key(label::COMPONENT) {
        return Source::Unfit("a copy that Slipway has made".to_owned());
    }
    read()
}

/// The copies that it has made.
pub(super) fn snapshots(cluster: &Cluster, key: &Key) -> Vec<Owned> {
    let caches = &cluster.caches;
    let maps = caches.config_maps.children_of(ObjectKind::Rollout, key);
    let secrets = caches.secrets.children_of(ObjectKind::Rollout, key);
    let maps = maps
        .iter()
        .map(|copy| owned(ObjectKind::ConfigMap, copy.as_ref()));
    let secrets = secrets
        .iter()
        .map(|copy| owned(ObjectKind::Secret, copy.as_ref()));
    maps.chain(secrets).collect()
}

fn owned<K: ResourceExt>(kind: ObjectKind, copy: &K) -> Owned {
    Owned {
        target: Target::of(kind, copy),
        is_owned: is_ours(copy),
    }
}
