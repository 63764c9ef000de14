//! The objects a Rollout creates: ReplicaSets, Services, the route. No I/O.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::api::Change;
use super::config::Snapshot;
use super::observed::Observed;
use super::spec::{Routing, Spec};
use super::template::Offer;
use crate::check::api::CheckJob;
use crate::check::{self, Place};
use crate::model::json::set;
use crate::model::key::{Key, MAX_NAME, short_hash, suffixed};
use crate::model::label;
use crate::model::manifest::Manifest;
use crate::model::object::ObjectKind;
use crate::model::revision::Revision;
use crate::traffic::Side;

/// Value of the component label on everything that belongs to a Rollout.
pub const COMPONENT: &str = "rollout";
/// Longest name of a ReplicaSet: its pods append six characters and have to fit a host name.
const MAX_SET_NAME: usize = 57;
/// Annotations of a ReplicaSet that name copies, and what they are copies of.
pub const COPIES: &[(&str, ObjectKind)] = &[
    (label::CONFIGS, ObjectKind::ConfigMap),
    (label::SECRETS, ObjectKind::Secret),
];
/// Digits of the hash in the name of a hook's Job.
const HOOK_DIGITS: usize = 8;

/// Name of the ReplicaSet of a revision.
pub fn set_name(rollout: &str, revision: &Revision) -> String {
    suffixed(rollout, revision.as_str(), MAX_SET_NAME)
}

/// A regular expression that matches the pods of a revision and no others.
pub fn pods_pattern(rollout: &str, revision: &Revision) -> String {
    pods_of(&set_name(rollout, revision))
}

/// The same by the name of their ReplicaSet, which need not be ours.
pub fn pods_of(set: &str) -> String {
    format!("{set}-[a-z0-9]{{5}}")
}

/// A regular expression that matches the pods of every revision.
pub fn pods_of_any_revision(rollout: &str) -> String {
    // Names are cut by the length of the revision, and all of them are of one length.
    let some = "0".repeat(Revision::DIGITS);
    let name = set_name(rollout, &Revision::from_label(&some));
    let begin = name.strip_suffix(&some).unwrap_or(&name);
    format!("{begin}[a-z0-9]+-[a-z0-9]{{5}}")
}

fn child(seen: &Observed, kind: ObjectKind, name: String, rest: Value) -> Manifest {
    let key = Key::new(seen.key.namespace.clone(), name);
    let labels = [
        (label::COMPONENT, COMPONENT),
        (label::ROLLOUT, seen.key.name.as_str()),
    ];
    Manifest::new(kind, key, &labels, Some(&seen.owner), rest)
}

/// The object of a router that is ours, from what the router renders of it: a merge patch, whose nulls are for what is
/// there already.
pub fn route(seen: &Observed, kind: ObjectKind, name: String, rendered: &Value) -> Manifest {
    let mut manifest = child(seen, kind, name, json!({}));
    json_patch::merge(&mut manifest.body, rendered);
    manifest
}

/// The ReplicaSet of the wanted revision, as the `ordinal`-th one.
pub fn replica_set(seen: &Observed, spec: &Spec, replicas: i32, ordinal: u64) -> Manifest {
    let own = [
        (label::COMPONENT, COMPONENT),
        (label::ROLLOUT, seen.key.name.as_str()),
        (label::REVISION, spec.revision.as_str()),
    ];
    let mut template = spec.template.clone();
    for (key, value) in own {
        set(&mut template, &["metadata", "labels", key], value);
    }
    let mut selector = json!(spec.selector);
    let key = if spec.is_adopted {
        // The Deployment could not take back what is selected by anything but its own label.
        label::POD_TEMPLATE_HASH
    } else {
        label::REVISION
    };
    set(&mut selector, &[key], spec.revision.as_str());
    set(
        &mut template,
        &["metadata", "labels", key],
        spec.revision.as_str(),
    );
    let labels = template.pointer("/metadata/labels").cloned();
    let rest = json!({"spec": {
        "replicas": replicas,
        "minReadySeconds": spec.min_ready_seconds,
        "selector": {"matchLabels": selector},
        "template": template,
    }});
    let name = set_name(&seen.key.name, &spec.revision);
    let mut manifest = child(seen, ObjectKind::ReplicaSet, name, rest);
    let revision = spec.revision.as_str();
    set(
        &mut manifest.body,
        &["metadata", "labels", label::REVISION],
        revision,
    );
    if let (true, Some(labels)) = (spec.is_adopted, labels) {
        // It takes back what has all of the labels of its template.
        json_patch::merge(&mut manifest.body, &json!({"metadata": {"labels": labels}}));
    }
    let manifest = manifest.annotated(&[(label::ORDINAL, ordinal.to_string())]);
    let manifest = manifest.annotated(&copies_read(spec));
    match &spec.worn {
        Some(worn) => manifest.annotated(&[(label::TEMPLATE, worn.clone())]),
        None => manifest,
    }
}

/// What keeps a template, as the `number`-th one.
pub fn kept_template(seen: &Observed, offer: &Offer, number: i64) -> Manifest {
    let name = suffixed(&format!("{}-template", seen.key.name), &offer.id, MAX_NAME);
    let rest = json!({"data": offer.data(), "revision": number});
    child(seen, ObjectKind::ControllerRevision, name, rest)
}

/// The copies that pods read, so that they are kept as long as their ReplicaSet is.
fn copies_read(spec: &Spec) -> Vec<(&'static str, String)> {
    let mut annotations = Vec::new();
    for (annotation, kind) in COPIES {
        let of_kind = spec.copies.iter().filter(|copy| copy.kind == *kind);
        let names: Vec<&str> = of_kind.map(|copy| copy.name.as_str()).collect();
        if !names.is_empty() {
            annotations.push((*annotation, names.join(",")));
        }
    }
    annotations
}

/// A copy of a ConfigMap or a Secret.
pub fn snapshot(seen: &Observed, of: &Snapshot) -> Manifest {
    child(seen, of.of.kind, of.of.name.clone(), of.content.copied())
}

/// The Service of a side, selecting a revision.
pub fn service(
    seen: &Observed,
    spec: &Spec,
    routing: &Routing,
    side: Side,
    revision: &Revision,
) -> Manifest {
    let backends = seen.backends();
    let name = match side {
        Side::Stable => backends.stable,
        Side::Canary => backends.canary,
    };
    let rest = json!({"spec": {
        "selector": selector(spec, revision),
        "ports": [service_port(routing)],
    }});
    child(seen, ObjectKind::Service, name, rest)
}

/// What a Service selects in order to reach a revision.
pub fn selector(spec: &Spec, revision: &Revision) -> Value {
    let mut selector = json!(spec.selector);
    set(&mut selector, &[label::REVISION], revision.as_str());
    selector
}

/// The same as a merge patch, which also takes out what somebody added.
pub fn selector_patch(spec: &Spec, revision: &Revision, foreign: &[String]) -> Value {
    let mut patch = selector(spec, revision);
    for key in foreign {
        set(&mut patch, &[key], Value::Null);
    }
    patch
}

/// The port of both Services.
pub fn service_port(routing: &Routing) -> Value {
    let Routing {
        port, target_port, ..
    } = routing;
    json!({"name": "http", "port": port, "protocol": "TCP", "targetPort": target_port})
}

/// Name of the Job of a hook: one per change, step, place in the list and attempt.
pub fn hook_name(rollout: &str, change: &Change, name: &str) -> String {
    let mut identity = format!("{} {} {}", change.revision, change.started_at, change.step);
    if change.retries > 0 {
        identity = format!("{identity} {}", change.retries);
    }
    let mark = short_hash(identity.as_bytes(), HOOK_DIGITS);
    suffixed(&format!("{rollout}-{name}"), &mark, MAX_SET_NAME)
}

/// The Job of a hook.
pub fn hook(
    seen: &Observed,
    name: &str,
    job: &CheckJob,
    timeout: Duration,
    told: Vec<(String, String)>,
) -> Manifest {
    let key = Key::new(seen.key.namespace.clone(), name);
    check::job(place(seen, &key), job, told, timeout)
}

fn place<'a>(seen: &'a Observed, key: &'a Key) -> Place<'a> {
    Place {
        key,
        parent: (label::ROLLOUT, &seen.key.name),
        owner: &seen.owner,
        metric: None,
    }
}

/// Name of the Job that takes a sample: one per change, metric, beginning of its counts, and number in them.
pub fn sample_name(
    rollout: &str,
    change: &Change,
    since: Timestamp,
    (metric, taken): (&str, u32),
) -> String {
    let Change {
        revision,
        started_at,
        retries,
        ..
    } = change;
    let identity = format!("{revision} {started_at} {retries} {since} {metric} {taken}");
    let mark = short_hash(identity.as_bytes(), HOOK_DIGITS);
    suffixed(&format!("{rollout}-{metric}"), &mark, MAX_SET_NAME)
}

/// The Job that takes a sample, by its name and its metric.
pub fn sampler(
    seen: &Observed,
    (name, metric): (&str, &str),
    job: &CheckJob,
    timeout: Duration,
    told: Vec<(String, String)>,
) -> Manifest {
    let key = Key::new(seen.key.namespace.clone(), name);
    let place = Place {
        metric: Some(metric),
        ..place(seen, &key)
    };
    check::job(place, job, told, timeout)
}
