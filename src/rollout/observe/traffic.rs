//! Reads what divides requests between the two Services.

use std::collections::BTreeSet;

use kube::ResourceExt;

use super::super::observed::Observed;
use super::service;
use crate::cluster::Cluster;
use crate::controller::ReconcileError;
use crate::model::key::Key;
use crate::model::label;
use crate::model::manifest::{Target, is_ours};
use crate::model::object::ObjectKind;
use crate::traffic::foreign;
use crate::traffic::router::Route;

/// The objects of the spec's routers. People's are not kept before somebody names them: what is not known is asked for.
pub(super) async fn routes(
    seen: &Observed,
    cluster: &Cluster,
) -> Result<Vec<Route>, ReconcileError> {
    let routing = seen.wanted.spec().and_then(|spec| spec.routing.as_ref());
    let mut routes = Vec::new();
    for router in routing.iter().flat_map(|routing| &routing.routers) {
        for (kind, name) in router.objects(&seen.key.name) {
            let key = Key::new(seen.key.namespace.clone(), name);
            let Some(cache) = cluster.caches.routes(kind) else {
                continue;
            };
            let is_ours = router.is_created() && router.carried_by(&seen.key.name).1 == key.name;
            if cache.get(&key).is_none() && !is_ours {
                let read = cluster.read_named(kind, &key).await;
                read.map_err(ReconcileError::Observe)?;
            }
            // Somebody else's object under the name of one that is created is left alone, and told when that fails.
            let found = cache.get(&key);
            let found = found.filter(|live| !is_ours || is_child(live.as_ref(), seen));
            routes.extend(found.map(|live| Route {
                target: Target::of(kind, live.as_ref()),
                live,
            }));
        }
    }
    Ok(routes)
}

/// Objects of people's that are remembered or driven, but for routes that the spec names.
pub(super) async fn left(seen: &Observed, cluster: &Cluster) -> Result<Vec<Route>, ReconcileError> {
    let progress = seen.status.progress.as_ref();
    let known = progress.iter().flat_map(|progress| progress.foreign.keys());
    let services = seen.services.iter().flatten();
    let theirs = services.filter(|service| service.foreign.is_some());
    let theirs =
        theirs.map(|service| foreign::title(ObjectKind::Service, &service.target.key.name));
    let titles: BTreeSet<String> = known.cloned().chain(theirs).collect();
    let mut left = Vec::new();
    for (kind, name) in titles.iter().filter_map(|title| foreign::entitled(title)) {
        let is_named = |route: &Route| route.target.kind == kind && route.target.key.name == name;
        if seen.routes.iter().any(is_named) {
            continue;
        }
        let key = Key::new(seen.key.namespace.clone(), name);
        let Some(cache) = cluster.caches.routes(kind) else {
            left.extend(service::as_route(&key, seen, cluster).await?);
            continue;
        };
        if cache.get(&key).is_none() {
            let read = cluster.read_named(kind, &key).await;
            read.map_err(ReconcileError::Observe)?;
        }
        left.extend(cache.get(&key).map(|live| Route {
            target: Target::of(kind, live.as_ref()),
            live,
        }));
    }
    Ok(left)
}

/// Whether an object is the Rollout's, or one that an earlier Rollout of this name has left behind.
pub(super) fn is_child<K: ResourceExt>(object: &K, seen: &Observed) -> bool {
    let mut owners = object.owner_references().iter();
    let is_owned = owners.any(|owner| owner.uid == seen.owner.uid);
    is_owned || object.labels().get(label::ROLLOUT) == Some(&seen.key.name)
}

/// Kinds of routes that are created.
const CREATED: &[ObjectKind] = &[
    ObjectKind::HttpRoute,
    ObjectKind::GrpcRoute,
    ObjectKind::Ingress,
];

/// Services and routes of ours that are not what the spec names. Without `spec.traffic` the Services by their usual
/// names are none of them: they are removed as what they are.
pub(super) fn leftovers(seen: &Observed, cluster: &Cluster) -> Vec<Target> {
    let services = &cluster.caches.services;
    let services = services.children_of(ObjectKind::Rollout, &seen.key);
    let services = services.iter().filter(|service| is_ours(service.as_ref()));
    let services = services.map(|service| Target::of(ObjectKind::Service, service.as_ref()));
    let routes = CREATED.iter().flat_map(|kind| {
        let cache = cluster.caches.routes(*kind);
        let owned = cache.map(|cache| cache.children_of(ObjectKind::Rollout, &seen.key));
        let owned = owned
            .into_iter()
            .flatten()
            .filter(|route| is_ours(route.as_ref()));
        owned
            .map(|route| Target::of(*kind, route.as_ref()))
            .collect::<Vec<_>>()
    });
    let named = |target: &Target| {
        let services = seen
            .services
            .iter()
            .flatten()
            .map(|service| &service.target);
        let mut known = services.chain(seen.routes.iter().map(|route| &route.target));
        known.any(|known| known.kind == target.kind && known.key == target.key)
    };
    routes
        .chain(services)
        .filter(|target| !named(target))
        .collect()
}
