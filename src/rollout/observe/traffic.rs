//! Reads Services, and what divides requests between them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::ResourceExt;
use serde_json::Value;

use super::super::observed::{Observed, Service, Wanted};
use super::super::render;
use super::is_ours;
use crate::cluster::Cluster;
use crate::controller::ReconcileError;
use crate::model::key::Key;
use crate::model::label;
use crate::model::manifest::Target;
use crate::model::object::ObjectKind;
use crate::model::revision::Revision;
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

/// Objects of people's that are remembered, but for those that the spec names.
pub(super) async fn left(
    seen: &Observed,
    cluster: &Cluster,
) -> Result<Vec<Route>, ReconcileError> {
    let progress = seen.status.progress.as_ref();
    let titles = progress.iter().flat_map(|progress| progress.foreign.keys());
    let mut left = Vec::new();
    for (kind, name) in titles.filter_map(|title| foreign::entitled(title)) {
        let is_named = |route: &Route| route.target.kind == kind && route.target.key.name == name;
        if seen.routes.iter().any(is_named) {
            continue;
        }
        let key = Key::new(seen.key.namespace.clone(), name);
        let Some(cache) = cluster.caches.routes(kind) else {
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
fn is_child<K: ResourceExt>(object: &K, seen: &Observed) -> bool {
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

/// The two Services, as far as they exist.
pub(super) fn services(seen: &Observed, cluster: &Cluster) -> [Option<Service>; 2] {
    let caches = &cluster.caches;
    let slices = caches
        .endpoint_slices
        .children_of(ObjectKind::Rollout, &seen.key);
    let backends = seen.backends();
    [backends.stable, backends.canary].map(|name| {
        let key = Key::new(seen.key.namespace.clone(), name);
        let service = caches.services.get(&key)?;
        Some(read_service(&service, &slices, seen))
    })
}

fn read_service(
    service: &core::Service,
    slices: &[Arc<EndpointSlice>],
    observed: &Observed,
) -> Service {
    let name = service.name_any();
    let spec = service.spec.as_ref();
    let selector = spec.and_then(|spec| spec.selector.as_ref());
    let of_service = slices
        .iter()
        .filter(|slice| slice.labels().get("kubernetes.io/service-name") == Some(&name));
    let ready: BTreeSet<String> = of_service
        .flat_map(|slice| slice.endpoints.iter().flatten())
        .filter(|endpoint| {
            endpoint.conditions.as_ref().is_some_and(|conditions| {
                conditions.ready == Some(true) && conditions.terminating != Some(true)
            })
        })
        .filter_map(|endpoint| endpoint.target_ref.as_ref()?.uid.clone())
        .collect();
    let ports = serde_json::to_value(spec.and_then(|spec| spec.ports.as_ref())).unwrap_or_default();
    Service {
        target: Target::of(ObjectKind::Service, service),
        revision: selected(selector, observed),
        foreign_keys: foreign_keys(selector, observed),
        is_owned: is_ours(service),
        is_current: is_current(&ports, observed),
        ready,
    }
}

/// The revision that a selector stands for; none, where somebody made something else of it.
fn selected(selector: Option<&BTreeMap<String, String>>, observed: &Observed) -> Option<Revision> {
    let selector = selector?;
    let revision = Revision::from_label(selector.get(label::REVISION)?);
    let is_ours = observed.wanted.spec().is_none_or(|spec| {
        let wanted = spec.selector.iter();
        selector.len() == spec.selector.len() + 1
            && wanted
                .into_iter()
                .all(|(key, value)| selector.get(key) == Some(value))
    });
    is_ours.then_some(revision)
}

fn foreign_keys(selector: Option<&BTreeMap<String, String>>, observed: &Observed) -> Vec<String> {
    let Some(spec) = observed.wanted.spec() else {
        return Vec::new();
    };
    let keys = selector.into_iter().flat_map(BTreeMap::keys);
    let foreign = keys.filter(|key| *key != label::REVISION && !spec.selector.contains_key(*key));
    foreign.cloned().collect()
}

fn is_current(ports: &Value, observed: &Observed) -> bool {
    let Wanted::Spec(spec) = &observed.wanted else {
        return true;
    };
    let Some(routing) = &spec.routing else {
        return true;
    };
    let wanted = render::service_port(routing);
    let live = ports.get(0);
    live.is_some_and(|live| {
        wanted.as_object().is_some_and(|wanted| {
            wanted
                .iter()
                .all(|(key, value)| live.get(key) == Some(value))
        })
    })
}
