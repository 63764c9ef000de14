//! Reads the two Services, which may be people's.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::ResourceExt;
use serde_json::{Value, json};

use super::super::api::{Rollout, RolloutStatus};
use super::super::observed::{ForeignService, Observed, Service, Wanted};
use super::super::render;
use super::super::spec::{Routing, Spec};
use super::traffic::is_child;
use crate::cluster::Cluster;
use crate::cluster::cache::Parent;
use crate::controller::ReconcileError;
use crate::model::condition::{self, ACTION_FAILED};
use crate::model::key::Key;
use crate::model::label;
use crate::model::manifest::{Target, is_ours};
use crate::model::object::ObjectKind;
use crate::model::revision::Revision;
use crate::traffic::foreign::title;
use crate::traffic::router::{Route, taken, taken_of};

/// The two Services, as far as they exist.
pub(super) async fn services(
    seen: &Observed,
    cluster: &Cluster,
) -> Result<[Option<Service>; 2], ReconcileError> {
    let backends = seen.backends();
    let (mut stable, mut canary) = (None, None);
    for (found, name) in [
        (&mut stable, backends.stable),
        (&mut canary, backends.canary),
    ] {
        let key = Key::new(seen.key.namespace.clone(), name);
        if let Some(service) = find(&key, seen, cluster).await? {
            let slices = slices(&service, &key, seen, cluster).await?;
            let rival = rival(&key.name, seen, &others(&key, seen, cluster));
            *found = Some(read_service(&service, &slices, seen, rival));
        }
    }
    Ok([stable, canary])
}

/// The other Rollouts that name a Service.
fn others(key: &Key, seen: &Observed, cluster: &Cluster) -> Vec<Arc<Rollout>> {
    let rollouts = &cluster.caches.rollouts;
    let service = Parent {
        kind: ObjectKind::Service,
        key: key.clone(),
    };
    let naming = rollouts.listeners_to(&service).into_iter();
    let others = naming.filter(|named_by| *named_by != seen.key);
    others.filter_map(|other| rollouts.get(&other)).collect()
}

/// Which of the others drives a Service, if it is not this Rollout that does: one that already does comes first, then the
/// oldest.
fn rival(service: &str, seen: &Observed, others: &[Arc<Rollout>]) -> Option<String> {
    let title = title(ObjectKind::Service, service);
    let drives = |status: &RolloutStatus| {
        let progress = status.progress.as_ref();
        progress.is_some_and(|progress| progress.foreign.contains_key(&title))
    };
    let rank = |other: &Rollout| {
        let created = other.metadata.creation_timestamp.as_ref();
        let created = created.map_or(Timestamp::MAX, |at| at.0);
        let is_driving = other.status.as_ref().is_some_and(drives);
        (!is_driving, created, other.name_any())
    };
    let ours = (
        !drives(&seen.status),
        seen.created_at,
        seen.key.name.clone(),
    );
    let first = others.iter().map(|other| rank(other)).min()?;
    (first < ours).then_some(first.2)
}

fn routing(seen: &Observed) -> Option<&Routing> {
    seen.wanted.spec().and_then(|spec| spec.routing.as_ref())
}

/// A Service of people's is not kept before somebody names it: what is not known is asked for.
async fn find(
    key: &Key,
    seen: &Observed,
    cluster: &Cluster,
) -> Result<Option<Arc<core::Service>>, ReconcileError> {
    let cache = &cluster.caches.services;
    if let Some(known) = cache.get(key) {
        return Ok(Some(known));
    }
    if routing(seen).is_some_and(|routing| routing.may_be_foreign(&key.name)) {
        let read = cluster.read_named(ObjectKind::Service, key).await;
        read.map_err(ReconcileError::Observe)?;
        return Ok(cache.get(key));
    }
    // What stands in the way of one that was to be made is looked at once that has failed. Nobody hears of its going, so
    // making it is tried again and again.
    if !condition::is_true(&seen.status.conditions, ACTION_FAILED) {
        return Ok(None);
    }
    let found = cluster.peek(ObjectKind::Service, key).await;
    let found = found.map_err(ReconcileError::Observe)?;
    let found = found.and_then(|found| serde_json::to_value(found).ok());
    let found = found.and_then(|found| serde_json::from_value(found).ok());
    Ok(found.map(Arc::new))
}

/// The slices of a Service. Those of people's do not carry the label of the Rollout.
async fn slices(
    service: &core::Service,
    key: &Key,
    seen: &Observed,
    cluster: &Cluster,
) -> Result<Vec<Arc<EndpointSlice>>, ReconcileError> {
    let cache = &cluster.caches.endpoint_slices;
    if is_child(service, seen) {
        let all = cache.children_of(ObjectKind::Rollout, &seen.key);
        let is_of =
            |slice: &Arc<EndpointSlice>| slice.labels().get(label::SERVICE_NAME) == Some(&key.name);
        return Ok(all.into_iter().filter(is_of).collect());
    }
    let known = cache.children_of(ObjectKind::Service, key);
    if !known.is_empty() {
        return Ok(known);
    }
    let of_service = format!("{}={}", label::SERVICE_NAME, key.name);
    let kind = ObjectKind::EndpointSlice;
    let read = cluster.refresh(kind, &key.namespace, &of_service).await;
    read.map_err(ReconcileError::Observe)?;
    Ok(cache.children_of(ObjectKind::Service, key))
}

/// A Service of people's that is remembered, as an object.
pub(super) async fn as_route(
    key: &Key,
    seen: &Observed,
    cluster: &Cluster,
) -> Result<Option<Route>, ReconcileError> {
    let cache = &cluster.caches.services;
    if cache.get(key).is_none() {
        let read = cluster.read_named(ObjectKind::Service, key).await;
        read.map_err(ReconcileError::Observe)?;
    }
    let service = cache.get(key);
    let service = service.filter(|service| !is_child(service.as_ref(), seen));
    Ok(service.and_then(|service| {
        let target = Target::of(ObjectKind::Service, service.as_ref());
        let live = serde_json::to_value(service.as_ref()).ok()?;
        let live = Arc::new(serde_json::from_value(live).ok()?);
        Some(Route { target, live })
    }))
}

fn read_service(
    service: &core::Service,
    slices: &[Arc<EndpointSlice>],
    observed: &Observed,
    rival: Option<String>,
) -> Service {
    let spec = service.spec.as_ref();
    let selector = spec.and_then(|spec| spec.selector.as_ref());
    let ready: BTreeSet<String> = slices
        .iter()
        .flat_map(|slice| slice.endpoints.iter().flatten())
        .filter(|endpoint| {
            endpoint.conditions.as_ref().is_some_and(|conditions| {
                conditions.ready == Some(true) && conditions.terminating != Some(true)
            })
        })
        .filter_map(|endpoint| endpoint.target_ref.as_ref()?.uid.clone())
        .collect();
    let ports = serde_json::to_value(spec.and_then(|spec| spec.ports.as_ref())).unwrap_or_default();
    let foreign = (!is_child(service, observed)).then(|| ForeignService {
        obstacle: obstacle(service, observed).or_else(|| Some(shared(service, rival.as_ref()?))),
        is_barred: rival.is_some() || is_barred(service, observed),
        taken: taken(&service.metadata),
        rival,
    });
    let is_foreign = foreign.is_some();
    let written = json!({"spec": {"selector": {}, "ports": []}});
    Service {
        target: Target::of(ObjectKind::Service, service),
        revision: if is_foreign {
            let revision = selector.and_then(|selector| selector.get(label::REVISION));
            revision.map(|revision| Revision::from_label(revision))
        } else {
            selected(selector, observed)
        },
        foreign_keys: if is_foreign {
            Vec::new()
        } else {
            foreign_keys(selector, observed)
        },
        is_owned: !is_foreign && is_ours(service),
        is_current: is_foreign || is_current(&ports, observed),
        taken: taken_of(&service.metadata, &written).filter(|_| !is_foreign),
        foreign,
        ready,
    }
}

/// Whether a Service that is not the Rollout's may not be written into.
fn is_barred(service: &core::Service, observed: &Observed) -> bool {
    let is_of_another = service.labels().contains_key(label::COMPONENT) || is_ours(service);
    let is_allowed =
        routing(observed).is_some_and(|routing| routing.may_be_foreign(&service.name_any()));
    is_of_another || !is_allowed
}

/// Why a Service of people's cannot serve a side, as a sentence for people.
fn obstacle(service: &core::Service, observed: &Observed) -> Option<String> {
    let spec = observed.wanted.spec()?;
    let routing = spec.routing.as_ref()?;
    let name = service.name_any();
    if service.labels().contains_key(label::COMPONENT) || is_ours(service) {
        return Some(format!(
            "Service {name} belongs to another Rollout; choose another name in spec.traffic.services"
        ));
    }
    if is_barred(service, observed) {
        return Some(format!(
            "Service {name} is there and does not belong to this Rollout; name it in spec.traffic.services with \
             allowForeign: true to have its selector driven, choose another name there, or delete it"
        ));
    }
    let live = service.spec.as_ref();
    let selector = live
        .and_then(|live| live.selector.clone())
        .unwrap_or_default();
    if selector.is_empty() {
        return Some(format!(
            "Service {name} has no selector; let it select the pods of this Rollout"
        ));
    }
    if let Some((key, value)) = selector
        .iter()
        .find(|(key, value)| !has_label(spec, observed, key, value))
    {
        return Some(format!(
            "Service {name} selects {key}={value}, which the pods of this Rollout do not have; take it out of its \
             selector, or add it to spec.template.metadata.labels"
        ));
    }
    let mut ports = live.iter().flat_map(|live| live.ports.iter().flatten());
    let port = routing.port;
    (!ports.any(|one| one.port == port)).then(|| {
        format!(
            "Service {name} has no port {port}; add it, or name another one in spec.traffic.port"
        )
    })
}

/// What is said of a Service that another Rollout drives.
fn shared(service: &core::Service, rival: &str) -> String {
    format!(
        "Service {} is driven by Rollout {rival}, which names it too; name another one in spec.traffic.services of one of \
         the two",
        service.name_any()
    )
}

/// Whether pods of the Rollout have a label.
fn has_label(spec: &Spec, observed: &Observed, key: &str, value: &str) -> bool {
    let own = match key {
        label::REVISION => return true,
        label::ROLLOUT => Some(json!(observed.key.name)),
        label::COMPONENT => Some(json!(render::COMPONENT)),
        _ => None,
    };
    let labels = spec.template.pointer("/metadata/labels");
    let live = own.or_else(|| labels?.get(key).cloned());
    live.as_ref().and_then(Value::as_str) == Some(value)
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
    let is_sound = matches!(observed.wanted, Wanted::Spec(_));
    let Some(routing) = routing(observed).filter(|_| is_sound) else {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollout::testing::{routed, spec, untouched};

    /// A Rollout that names `shop` as its stable Service.
    fn naming(is_allowed: bool) -> Observed {
        let mut extra = routed();
        extra["traffic"]["services"] = json!({"stable": "shop"});
        extra["traffic"]["allowForeign"] = is_allowed.into();
        untouched(spec("1", &extra))
    }

    fn service(metadata: &Value, selector: &Value) -> core::Service {
        let mut whole = json!({
            "metadata": {"namespace": "shop", "name": "shop"},
            "spec": {"selector": selector, "ports": [{"port": 80}]},
        });
        json_patch::merge(&mut whole["metadata"], metadata);
        serde_json::from_value(whole).unwrap()
    }

    fn read(service: &core::Service, is_allowed: bool) -> Service {
        read_service(service, &[], &naming(is_allowed), None)
    }

    fn said(service: &core::Service, is_allowed: bool) -> String {
        let read = read(service, is_allowed);
        read.obstacle().cloned().unwrap_or_default()
    }

    #[test]
    fn a_service_of_peoples_is_driven_where_they_say_so_and_it_can_serve() {
        let wide = service(&json!({}), &json!({"app": "api"}));
        let theirs = read(&wide, true);
        assert_eq!(theirs.foreign, Some(ForeignService::default()));
        assert!(!theirs.is_owned && theirs.is_current);
        assert_eq!(theirs.revision, None);
        let selector = json!({"app": "api", "slipway.dev/revision": "a"});
        let narrow = read(&service(&json!({}), &selector), true);
        assert_eq!(narrow.revision, Some(Revision::from_label("a")));
        assert_eq!(narrow.obstacle(), None);
    }

    #[test]
    fn why_a_service_of_peoples_is_left_alone_is_said() {
        let wide = service(&json!({}), &json!({"app": "api"}));
        assert!(said(&wide, false).contains("allowForeign: true"));
        assert!(read(&wide, false).foreign.unwrap().is_barred);
        let other = service(&json!({}), &json!({"app": "web"}));
        assert!(said(&other, true).contains("selects app=web"));
        assert!(said(&service(&json!({}), &json!(null)), true).contains("no selector"));
        let mut elsewhere = wide.clone();
        let ports = json!([{"port": 8080}]);
        elsewhere.spec.as_mut().unwrap().ports = serde_json::from_value(ports).unwrap();
        assert!(said(&elsewhere, true).contains("no port 80"));
        let labels =
            json!({"labels": {"slipway.dev/component": "rollout", "slipway.dev/rollout": "web"}});
        let anothers = service(&labels, &json!({"app": "api"}));
        assert!(said(&anothers, true).contains("belongs to another Rollout"));
    }

    #[test]
    fn of_two_that_name_a_service_the_one_that_drives_it_goes_on() {
        let ours = naming(true);
        let before = ours.created_at - jiff::SignedDuration::from_secs(1);
        let other = |created: Timestamp, titles: &[&str]| {
            let known: serde_json::Map<String, Value> = titles
                .iter()
                .map(|title| ((*title).into(), json!({})))
                .collect();
            let whole = json!({
                "metadata": {"name": "web", "creationTimestamp": created}, "spec": {"selector": {"matchLabels": {}}, "template": {}},
                "status": {"progress": {"foreign": known}},
            });
            [Arc::new(serde_json::from_value::<Rollout>(whole).unwrap())]
        };
        let driving = &["Service shop"];
        assert_eq!(rival("shop", &ours, &[]), None);
        assert_eq!(
            rival("shop", &ours, &other(before, &[])),
            Some("web".into())
        );
        assert_eq!(rival("shop", &ours, &other(Timestamp::MAX, &[])), None);
        assert_eq!(
            rival("shop", &ours, &other(Timestamp::MAX, driving)),
            Some("web".into())
        );
        let mut started = ours;
        let progress = started.status.progress.get_or_insert_default();
        progress.foreign.insert(
            "Service shop".into(),
            crate::rollout::api::Foreign::default(),
        );
        assert_eq!(rival("shop", &started, &other(before, &[])), None);
        assert_eq!(
            rival("shop", &started, &other(before, driving)),
            Some("web".into())
        );

        let wide = service(&json!({}), &json!({"app": "api"}));
        let read = read_service(&wide, &[], &naming(true), Some("web".into()));
        assert!(read.foreign.as_ref().unwrap().is_barred);
        assert!(read.obstacle().unwrap().contains("driven by Rollout web"));
    }

    #[test]
    fn what_an_earlier_rollout_of_the_name_has_left_is_ours() {
        let labels =
            json!({"labels": {"slipway.dev/component": "rollout", "slipway.dev/rollout": "api"}});
        let left = service(&labels, &json!({"app": "api"}));
        assert_eq!(read(&left, true).foreign, None);
        assert_eq!(read(&left, true).taken, None);
        let mut meddled = left;
        let fields = json!({"f:spec": {"f:selector": {}}});
        let entry = json!([{"manager": "tool", "operation": "Update", "fieldsType": "FieldsV1", "fieldsV1": fields}]);
        meddled.metadata.managed_fields = serde_json::from_value(entry).unwrap();
        let taken = read(&meddled, true).taken.unwrap();
        assert_eq!(taken.by, "tool");
    }
}
