//! Reads the caches and makes an `Observed` of what it finds. Only `refresh` talks to the API server.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{self as core, ContainerStatus};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{Resource, ResourceExt};
use serde_json::Value;

use super::api::{DeletionPolicy, Progress, Rollout};
use super::binding::{self, Binding};
use super::observed::{Deletion, Hook, Observed, Pod, Service, Set, Trouble, Wanted};
use super::render;
use super::spec::{Images, Invalid, Spec};
use crate::check;
use crate::cluster::Cluster;
use crate::controller::ReconcileError;
use crate::decision::act::Act;
use crate::model::key::Key;
use crate::model::label;
use crate::model::manifest::Target;
use crate::model::object::ObjectKind;
use crate::model::revision::Revision;
use crate::traffic::router::{Route, Router};

/// The finalizer with which `kubectl delete --cascade=orphan` asks to leave the children alone.
const ORPHAN: &str = "orphan";

/// Reads everything a plan may need.
pub async fn observe(
    rollout: &Arc<Rollout>,
    cluster: &Cluster,
) -> Result<Observed, ReconcileError> {
    let key = Key::of(rollout.as_ref());
    let caches = &cluster.caches;
    let of = |name: &str| Key::new(key.namespace.clone(), name);
    let slices = caches
        .endpoint_slices
        .children_of(ObjectKind::Rollout, &key);
    let sets: Vec<Set> = caches
        .replica_sets
        .children_of(ObjectKind::Rollout, &key)
        .iter()
        .filter_map(|set| read_set(set))
        .collect();
    let (wanted, promotion, notice) = wanted(rollout, cluster, &sets);
    let mut observed = Observed {
        owner: OwnerReference {
            block_owner_deletion: Some(true),
            ..rollout.controller_owner_ref(&()).unwrap_or_default()
        },
        generation: rollout.metadata.generation.unwrap_or_default(),
        created_at: rollout
            .metadata
            .creation_timestamp
            .as_ref()
            .map_or(Timestamp::UNIX_EPOCH, |at| at.0),
        deletion: deletion(rollout),
        deleted_at: rollout.metadata.deletion_timestamp.as_ref().map(|at| at.0),
        wanted,
        promotion,
        notice,
        status: rollout.status.clone().unwrap_or_default(),
        sets,
        pods: caches
            .pods
            .children_of(ObjectKind::Rollout, &key)
            .iter()
            .filter_map(|pod| read_pod(pod))
            .collect(),
        services: [None, None],
        hooks: hooks(cluster, &key),
        decisions: decisions(cluster, &key),
        environment: rollout
            .spec
            .release
            .as_ref()
            .map(|release| release.environment.name.clone()),
        routes: Vec::new(),
        leftovers: Vec::new(),
        key: key.clone(),
    };
    let backends = observed.backends();
    observed.services = [&backends.stable, &backends.canary].map(|name| {
        let service = caches.services.get(&of(name))?;
        Some(read_service(&service, &slices, &observed))
    });
    observed.routes = routes(&observed, cluster).await?;
    observed.leftovers = leftovers(&observed, cluster);
    Ok(observed)
}

/// The objects of the spec's routers. People's are not kept before somebody names them: what is not known is asked for.
async fn routes(seen: &Observed, cluster: &Cluster) -> Result<Vec<Route>, ReconcileError> {
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
            routes.extend(cache.get(&key).map(|live| Route {
                target: Target::of(kind, live.as_ref()),
                live,
            }));
        }
    }
    Ok(routes)
}

/// Kinds of routes that are created.
const CREATED: &[ObjectKind] = &[ObjectKind::HttpRoute, ObjectKind::Ingress];

/// Services and routes of ours that are not what the spec names. Without `spec.traffic` the Services by their usual
/// names are none of them: they are removed as what they are.
fn leftovers(seen: &Observed, cluster: &Cluster) -> Vec<Target> {
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

fn is_ours<K: ResourceExt>(object: &K) -> bool {
    let mut owners = object.owner_references().iter();
    owners.any(|owner| owner.controller == Some(true))
}

/// Reads what a move of traffic depends on from the server into the caches: what carries our label, and what of people's
/// the spec names.
pub async fn refresh(key: &Key, cluster: &Cluster) -> Result<(), ReconcileError> {
    let selector = format!("{}={}", label::ROLLOUT, key.name);
    for kind in [
        ObjectKind::ReplicaSet,
        ObjectKind::Service,
        ObjectKind::HttpRoute,
        ObjectKind::Ingress,
    ] {
        cluster
            .refresh(kind, &key.namespace, &selector)
            .await
            .map_err(ReconcileError::Observe)?;
    }
    let rollout = cluster.caches.rollouts.get(key);
    let traffic = rollout.as_ref().and_then(|it| it.spec.traffic.as_ref());
    for router in traffic.into_iter().flat_map(Router::read_all) {
        for (kind, name) in router.objects(&key.name) {
            let named = Key::new(key.namespace.clone(), name);
            let read = cluster.read_named(kind, &named).await;
            read.map_err(ReconcileError::Observe)?;
        }
    }
    Ok(())
}

fn hooks(cluster: &Cluster, key: &Key) -> BTreeMap<String, Hook> {
    let jobs = cluster.caches.jobs.children_of(ObjectKind::Rollout, key);
    let read = |job: &Arc<Job>| Hook {
        target: Target::of(ObjectKind::Job, job.as_ref()),
        outcome: check::outcome(job),
        is_ending: job.metadata.deletion_timestamp.is_some(),
    };
    jobs.iter().map(|job| (job.name_any(), read(job))).collect()
}

fn decisions(cluster: &Cluster, key: &Key) -> Vec<Act> {
    let decisions = &cluster.caches.decisions;
    let found = decisions.children_of(ObjectKind::Rollout, key);
    Act::read_all(found.iter().map(AsRef::as_ref))
}

fn deletion(rollout: &Rollout) -> Option<Deletion> {
    rollout.metadata.deletion_timestamp.as_ref()?;
    let orphan = rollout.spec.deletion_policy.unwrap_or_default() == DeletionPolicy::Orphan
        || rollout.finalizers().iter().any(|name| name == ORPHAN);
    Some(if orphan {
        Deletion::Orphan
    } else {
        Deletion::Delete
    })
}

/// What is to run, the Promotion that asks for it, and why it is not what the Environment says.
type Asked = (Wanted, Option<String>, Option<String>);

fn wanted(rollout: &Rollout, cluster: &Cluster, sets: &[Set]) -> Asked {
    let Some(source) = &rollout.spec.release else {
        return (parse(rollout, &Images::new()), None, None);
    };
    let key = Key::of(rollout);
    let environment = Key::new(key.namespace, source.environment.name.clone());
    let environment = cluster.caches.environments.get(&environment);
    let kept = binding::last_asked(source, rollout.status.as_ref(), sets);
    match binding::bind(&key.name, source, environment.as_deref(), kept) {
        Binding::Images {
            images,
            promotion,
            notice,
        } => (parse(rollout, &images), promotion, notice),
        Binding::Nothing(why) => (Wanted::NoRelease(why), None, None),
        Binding::Invalid(problem) => {
            let (spec, _) = Spec::read(&rollout.spec, &Images::new());
            (invalid(vec![problem], spec, rollout), None, None)
        }
    }
}

fn parse(rollout: &Rollout, images: &Images) -> Wanted {
    let (spec, problems) = Spec::read(&rollout.spec, images);
    if problems.is_empty() {
        return Wanted::Spec(Box::new(spec));
    }
    invalid(problems, spec, rollout)
}

/// What was asked for last is held, whatever the template says now.
fn invalid(problems: Vec<Invalid>, spec: Spec, rollout: &Rollout) -> Wanted {
    let progress = rollout
        .status
        .as_ref()
        .and_then(|status| status.progress.as_ref());
    let asked = progress.and_then(Progress::asked);
    let held = asked.map(|revision| Box::new(spec.holding(revision.clone())));
    Wanted::Invalid(problems, held)
}

fn read_set(set: &ReplicaSet) -> Option<Set> {
    let revision = set.labels().get(label::REVISION)?;
    let annotation = |key: &str| set.annotations().get(key);
    let containers = set
        .spec
        .template
        .as_ref()
        .and_then(|template| template.spec.as_ref());
    let images: BTreeMap<String, String> = containers
        .into_iter()
        .flat_map(|pod| &pod.containers)
        .map(|container| {
            (
                container.name.clone(),
                container.image.clone().unwrap_or_default(),
            )
        })
        .collect();
    let status = set.status.clone().unwrap_or_default();
    Some(Set {
        target: Target::of(ObjectKind::ReplicaSet, set),
        revision: Revision::from_label(revision),
        ordinal: annotation(label::ORDINAL)
            .and_then(|text| text.parse().ok())
            .unwrap_or(0),
        promoted_at: annotation(label::PROMOTED_AT).and_then(|text| text.parse::<Timestamp>().ok()),
        failed: annotation(label::FAILED).cloned(),
        is_owned: is_ours(set),
        images,
        replicas: set.spec.replicas.unwrap_or(1),
        current: status.replicas,
        available: status.available_replicas.unwrap_or(0),
        is_settled: status.observed_generation >= set.metadata.generation,
    })
}

fn read_pod(pod: &core::Pod) -> Option<Pod> {
    let revision = pod.labels().get(label::REVISION)?;
    let status = pod.status.as_ref();
    let conditions = status
        .and_then(|status| status.conditions.as_ref())
        .into_iter()
        .flatten();
    let is_ready = conditions
        .into_iter()
        .any(|c| c.type_ == "Ready" && c.status == "True");
    let containers = status.map(|status| {
        let init = status.init_container_statuses.iter().flatten();
        init.chain(status.container_statuses.iter().flatten())
    });
    Some(Pod {
        uid: pod.uid().unwrap_or_default(),
        revision: Revision::from_label(revision),
        is_ready,
        is_ending: pod.metadata.deletion_timestamp.is_some(),
        trouble: containers.into_iter().flatten().find_map(trouble),
    })
}

/// What a container's state says about whether it will ever run.
fn trouble(container: &ContainerStatus) -> Option<Trouble> {
    let waiting = container.state.as_ref()?.waiting.as_ref()?;
    let last = container
        .last_state
        .as_ref()
        .and_then(|state| state.terminated.as_ref());
    let why = waiting.reason.as_deref().unwrap_or_default();
    let reason = match why {
        "CrashLoopBackOff" => match last.and_then(|last| last.reason.as_deref()) {
            Some("OOMKilled") => "OutOfMemory",
            _ => "CrashLoop",
        },
        "ImagePullBackOff" | "ErrImageNeverPull" | "InvalidImageName" => "ImagePull",
        // The first try may fail for a reason that passes; that there is no such image does not, and the
        // kubelet takes its time to say so in another way.
        "ErrImagePull" if is_missing(waiting.message.as_deref()) => "ImagePull",
        "CreateContainerConfigError" | "CreateContainerError" | "RunContainerError" => {
            "ContainerConfig"
        }
        _ => return None,
    };
    let exit = last
        .map(|last| format!(", last exit code {}", last.exit_code))
        .unwrap_or_default();
    let words = waiting.message.as_deref().unwrap_or(why);
    let name = &container.name;
    Some(Trouble {
        reason,
        message: format!("container {name}: {why}: {words}{exit}"),
    })
}

/// Whether a registry has answered that it has no such image.
fn is_missing(message: Option<&str>) -> bool {
    let message = message.unwrap_or_default();
    ["not found", "manifest unknown", "NotFound"]
        .iter()
        .any(|words| message.contains(words))
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(reason: &str, message: &str, last: Option<&str>) -> Option<&'static str> {
        let last = last.map(|reason| json!({"terminated": {"exitCode": 1, "reason": reason}}));
        let status = json!({
            "name": "web", "image": "api", "imageID": "", "ready": false, "restartCount": 1,
            "state": {"waiting": {"reason": reason, "message": message}},
            "lastState": last.unwrap_or_else(|| json!({})),
        });
        trouble(&serde_json::from_value(status).unwrap()).map(|trouble| trouble.reason)
    }

    #[test]
    fn a_container_that_will_never_run_is_told_from_one_that_takes_its_time() {
        assert_eq!(told("ContainerCreating", "", None), None);
        assert_eq!(told("PodInitializing", "", None), None);
        assert_eq!(
            told("CrashLoopBackOff", "", Some("Error")),
            Some("CrashLoop")
        );
        assert_eq!(
            told("CrashLoopBackOff", "", Some("OOMKilled")),
            Some("OutOfMemory")
        );
        assert_eq!(told("ImagePullBackOff", "", None), Some("ImagePull"));
        assert_eq!(
            told("CreateContainerConfigError", "", None),
            Some("ContainerConfig")
        );
    }

    #[test]
    fn an_image_that_is_not_there_is_told_by_the_first_try() {
        let missing = "failed to resolve reference \"reg/api:9\": reg/api:9: not found";
        assert_eq!(told("ErrImagePull", missing, None), Some("ImagePull"));
        assert_eq!(
            told("ErrImagePull", "dial tcp: connection refused", None),
            None
        );
    }
}
