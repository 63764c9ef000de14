//! What a preview consists of: objects of the template's namespace, or those that the run has rendered, with the images of the run, the
//! host of the preview, and without anything that ties them to where they come from. No I/O.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::super::api::{CopyKind, NUMBER, Previews};
use super::{Run, Subject, name_of};
use crate::model::json::set;
use crate::model::key::{Key, short_hash};
use crate::model::label;
use crate::model::manifest::Manifest;
use crate::model::object::ObjectKind;

/// Digits of the hash of what is applied.
const DIGITS: usize = 16;
/// The objects that bound a preview have this name.
const BOUNDS: &str = "preview";
/// Memory that a container may take where nobody says how much.
const LIMIT: &str = "1Gi";
/// Pods of a preview that is rendered, where nobody says how many.
const PODS: &str = "50";
/// What it is called.
const MEMORY: &str = "memory";
/// Memory that is set aside for it.
const REQUEST: &str = "128Mi";
/// ConfigMaps that every namespace has of its own.
const OF_NAMESPACES: &[&str] = &["kube-root-ca.crt", "istio-ca-root-cert"];
/// Labels that tell tools what is theirs, and ours.
const TRACKING: &[&str] = &[
    "app.kubernetes.io/instance",
    "app.kubernetes.io/managed-by",
    "argocd.argoproj.io/",
    "kustomize.toolkit.fluxcd.io/",
    "helm.toolkit.fluxcd.io/",
    "helm.sh/",
    "slipway.dev/",
];
/// What of a Service is given to it where it is.
const OF_SERVICES: &[&str] = &[
    "clusterIPs",
    "healthCheckNodePort",
    "ipFamilies",
    "ipFamilyPolicy",
    "externalIPs",
    "loadBalancerIP",
];

impl CopyKind {
    /// The kind of object.
    pub const fn object(self) -> ObjectKind {
        match self {
            Self::ConfigMap => ObjectKind::ConfigMap,
            Self::Service => ObjectKind::Service,
            Self::Rollout => ObjectKind::Rollout,
            Self::HTTPRoute => ObjectKind::HttpRoute,
        }
    }
}

/// Where a preview answers.
pub fn url(spec: &Previews, number: u64) -> String {
    spec.url.replace(NUMBER, &number.to_string())
}

/// A text that is about a preview, whatever commit that shows.
pub fn placed(of: Subject<'_>, number: u64, text: &str) -> String {
    let url = url(of.spec, number);
    text.replace(NUMBER, &number.to_string())
        .replace("{{namespace}}", &name_of(of.key, number))
        .replace("{{host}}", host(&url))
}

/// The host of a URL, without port.
fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let end = rest.find(['/', ':']).unwrap_or(rest.len());
    rest.get(..end).unwrap_or_default()
}

/// Names of the Rollouts among what is copied.
pub fn rollouts(templates: &[Value]) -> Vec<&str> {
    let all = templates.iter().filter(|object| is_copied(object));
    let rollouts = all.filter(|object| kind_of(object) == Some(CopyKind::Rollout));
    rollouts.filter_map(name).collect()
}

/// What tells what was applied from what is to be.
pub fn hash(copies: &[Manifest]) -> String {
    let all: Vec<&Value> = copies.iter().map(|copy| &copy.body).collect();
    let text = serde_json::to_string(&all).unwrap_or_default();
    short_hash(text.as_bytes(), DIGITS)
}

/// Everything that a preview of a run consists of, made of these templates, in the order in which it is applied.
///
/// # Errors
/// Says what is missing.
pub fn copies(of: Subject<'_>, run: &Run, templates: &[Value]) -> Result<Vec<Manifest>, String> {
    let all = templates.iter().filter(|object| is_copied(object));
    let mut found: Vec<(CopyKind, &str, &Value)> = all
        .filter_map(|object| Some((kind_of(object)?, name(object)?, object)))
        .filter(|(kind, ..)| of.spec.kinds().contains(kind))
        .collect();
    if found.is_empty() {
        let text = match &of.spec.rendered {
            None => {
                "nothing in the Environment's namespace carries the labels of previews.selector and may be copied".to_owned()
            }
            Some(rendered) => format!(
                "package {} has no manifests: its files have to end with .yaml, .yml or .json",
                rendered.package
            ),
        };
        return Err(text);
    }
    found.sort_by_key(|(kind, name, _)| (*kind, *name));
    let to = Destination::new(of, run);
    let mut made = to.bounds(templates);
    for (kind, name, template) in found {
        made.push(to.copy(kind, name, template)?);
    }
    Ok(made)
}

/// Whether a copy takes images of the run, or leads to what does.
pub fn is_of_run(templates: &[Value], copy: &Manifest) -> bool {
    let takes_images = |template: &Value| {
        let images = template.pointer("/spec/release/images");
        let images = images.and_then(Value::as_object);
        images.is_some_and(|images| !images.is_empty())
    };
    let is_its = |template: &&Value| {
        kind_of(template) == Some(CopyKind::Rollout)
            && name(template) == Some(copy.key.name.as_str())
    };
    let mut templates = templates.iter();
    copy.kind == ObjectKind::HttpRoute
        || copy.kind == ObjectKind::Rollout && templates.find(is_its).is_some_and(takes_images)
}

pub(super) fn name(object: &Value) -> Option<&str> {
    object.pointer("/metadata/name")?.as_str()
}

pub(super) fn kind_of(object: &Value) -> Option<CopyKind> {
    let kind = object.get("kind")?.as_str()?;
    CopyKind::ALL
        .iter()
        .find(|known| known.as_str() == kind)
        .copied()
}

/// What another object owns, and what we have made ourselves, is made again where it is needed.
pub(super) fn is_copied(object: &Value) -> bool {
    let owners = object.pointer("/metadata/ownerReferences");
    let owners = owners.and_then(Value::as_array);
    let labels = object.pointer("/metadata/labels");
    let is_ours = labels.is_some_and(|labels| labels.get(label::COMPONENT).is_some());
    let is_given = name(object).is_some_and(|name| OF_NAMESPACES.contains(&name));
    owners.is_none_or(Vec::is_empty) && !is_ours && !is_given
}

/// Where copies go.
struct Destination<'a> {
    of: Subject<'a>,
    run: &'a Run,
    namespace: String,
    number: String,
    url: String,
    images: BTreeMap<&'a str, &'a str>,
}

impl<'a> Destination<'a> {
    fn new(of: Subject<'a>, run: &'a Run) -> Self {
        let images = run.images.iter();
        Self {
            of,
            run,
            namespace: name_of(of.key, run.number),
            number: run.number.to_string(),
            url: url(of.spec, run.number),
            images: images
                .map(|image| (image.name.as_str(), image.reference.as_str()))
                .collect(),
        }
    }

    /// What keeps a preview within its bounds.
    fn bounds(&self, templates: &[Value]) -> Vec<Manifest> {
        let mut made = Vec::new();
        let spec = self.of.spec;
        let resources = spec.resources.as_ref();
        let quota = resources.map(|resources| resources.quota.clone());
        let mut quota = quota.unwrap_or_default();
        if quota.is_empty() && spec.rendered.is_some() {
            // The commit says how many there are.
            quota.insert("pods".to_owned(), PODS.to_owned());
        }
        if !quota.is_empty() {
            let rest = json!({"spec": {"hard": quota}});
            made.push(self.manifest(ObjectKind::ResourceQuota, BOUNDS, &Map::new(), rest));
        }
        if let Some(limit) = self.limit(templates) {
            let rest = json!({"spec": {"limits": [limit]}});
            made.push(self.manifest(ObjectKind::LimitRange, BOUNDS, &Map::new(), rest));
        }
        if let Some(network) = &spec.network {
            let mut from = vec![json!({"podSelector": {}})];
            from.extend(network.allow_from.iter().map(|namespace| {
                let labels = json!({"kubernetes.io/metadata.name": namespace});
                json!({"namespaceSelector": {"matchLabels": labels}})
            }));
            let rest = json!({"spec": {
                "podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{"from": from}],
            }});
            made.push(self.manifest(ObjectKind::NetworkPolicy, BOUNDS, &Map::new(), rest));
        }
        made
    }

    /// What containers that name no limits get: what people say, else enough memory for most, so that one that leaks takes no node
    /// down. Where one asks for memory and names no limit, a limit below that would keep its pods out: then there is none, unless the
    /// commit itself says what is asked for.
    fn limit(&self, templates: &[Value]) -> Option<Map<String, Value>> {
        let resources = self.of.spec.resources.clone().unwrap_or_default();
        let (mut limits, mut requests) = (resources.default_limits, resources.default_requests);
        if limits.is_empty() && !self.asks_without_limit(templates) {
            limits.insert(MEMORY.to_owned(), LIMIT.to_owned());
            requests.insert(MEMORY.to_owned(), REQUEST.to_owned());
        }
        let mut limit = Map::new();
        for (field, values) in [("default", limits), ("defaultRequest", requests)] {
            if !values.is_empty() {
                limit.insert(field.to_owned(), json!(values));
            }
        }
        if limit.is_empty() {
            return None;
        }
        limit.insert("type".to_owned(), "Container".into());
        Some(limit)
    }

    /// Whether people have said how much memory is asked for, and not how much it may be.
    fn asks_without_limit(&self, templates: &[Value]) -> bool {
        let defaults = self.of.spec.resources.as_ref();
        let said =
            defaults.is_some_and(|resources| resources.default_requests.contains_key("memory"));
        let rollouts = templates.iter();
        let rollouts = rollouts.filter(|object| kind_of(object) == Some(CopyKind::Rollout));
        let mut containers = rollouts.flat_map(|rollout| {
            ["containers", "initContainers"]
                .iter()
                .flat_map(move |list| {
                    let all = rollout.pointer(&format!("/spec/template/spec/{list}"));
                    all.and_then(Value::as_array).into_iter().flatten()
                })
        });
        let names = |container: &Value, what: &str| {
            container
                .pointer(&format!("/resources/{what}/memory"))
                .is_some()
        };
        let is_bounded = self.of.spec.rendered.is_some();
        said || !is_bounded && containers.any(|one| names(one, "requests") && !names(one, "limits"))
    }

    /// Texts are replaced first: what comes from the run and from the URL stays as it is.
    fn copy(&self, kind: CopyKind, name: &str, template: &Value) -> Result<Manifest, String> {
        let mut spec = spec_of(template);
        spec.values_mut().for_each(|value| self.replace(value));
        let rest = match kind {
            CopyKind::ConfigMap => {
                let mut rest = Map::new();
                for field in ["data", "binaryData"] {
                    if let Some(content) = template.get(field) {
                        rest.insert(field.to_owned(), content.clone());
                    }
                }
                if let Some(data) = rest.get_mut("data") {
                    self.replace(data);
                }
                Value::Object(rest)
            }
            CopyKind::Service => json!({"spec": service(spec)}),
            CopyKind::Rollout => {
                // Its images are named by those that people wrote.
                let release = template.pointer("/spec/release").cloned();
                json!({"spec": self.rollout(name, spec, release.as_ref())?})
            }
            CopyKind::HTTPRoute => {
                let mut spec = Value::Object(spec);
                self.relocate(&mut spec);
                json!({"spec": spec})
            }
        };
        let labels = template.pointer("/metadata/labels");
        let none = Map::new();
        let labels = labels.and_then(Value::as_object).unwrap_or(&none);
        let made = self.manifest(kind.object(), name, labels, rest);
        Ok(match kind {
            CopyKind::Rollout => made.annotated(&[
                (label::PREVIEW_ENVIRONMENT, self.of.key.to_string()),
                (label::PREVIEW_RUN, self.run.name.clone()),
            ]),
            CopyKind::ConfigMap | CopyKind::Service | CopyKind::HTTPRoute => made,
        })
    }

    /// A Rollout that follows no Environment: its images stand in its template, and all of the traffic goes over at once.
    fn rollout(
        &self,
        name: &str,
        mut spec: Map<String, Value>,
        release: Option<&Value>,
    ) -> Result<Value, String> {
        for field in ["release", "strategy", "analysis", "paused"] {
            spec.remove(field);
        }
        let wanted = release.and_then(|release| release.get("images"));
        let wanted = wanted.and_then(Value::as_object);
        for (container, image) in wanted.into_iter().flatten() {
            let image = image.as_str().unwrap_or_default();
            let reference = self.images.get(image).ok_or_else(|| {
                format!(
                    "the run made no image {image}, which container {container} of Rollout {name} needs; is it pushed on pull \
                     requests (PullRequest in build.pushOn)?"
                )
            })?;
            let pod = spec.get_mut("template");
            let pod = pod.and_then(|template| template.get_mut("spec"));
            let mut container = Value::from(container.as_str());
            self.replace(&mut container);
            set_image(pod, container.as_str().unwrap_or_default(), reference);
        }
        if let Some(traffic) = spec.get_mut("traffic") {
            self.relocate(traffic);
        }
        let mut spec = Value::Object(spec);
        if self.run.is_fork {
            // Nobody's code has business with the API server here.
            let of_pods = ["template", "spec", "automountServiceAccountToken"];
            set(&mut spec, &of_pods, false);
        }
        Ok(spec)
    }

    /// Routes answer for the host of the preview, and stay with the gateway that they are with.
    fn relocate(&self, value: &mut Value) {
        match value {
            Value::Object(fields) => {
                // One that names no hosts would answer for those of everybody.
                if fields.contains_key("parentRefs") {
                    let own = json!([host(&self.url)]);
                    fields.insert("hostnames".to_owned(), own);
                }
                for (field, value) in fields {
                    match (field.as_str(), &mut *value) {
                        ("hostnames", names) => *names = json!([host(&self.url)]),
                        ("parentRefs", Value::Array(parents)) => {
                            let parents = parents.iter_mut().filter_map(Value::as_object_mut);
                            for parent in parents {
                                let own = || Value::from(self.of.key.namespace.as_str());
                                parent.entry("namespace").or_insert_with(own);
                            }
                        }
                        ("backendRefs", Value::Array(backends)) => {
                            let backends = backends.iter_mut().filter_map(Value::as_object_mut);
                            for backend in backends {
                                let own = self.of.key.namespace.as_str();
                                let is_own = backend.get("namespace") == Some(&Value::from(own));
                                if is_own {
                                    backend.remove("namespace");
                                }
                            }
                        }
                        (_, value) => self.relocate(value),
                    }
                }
            }
            Value::Array(all) => all.iter_mut().for_each(|value| self.relocate(value)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    /// Replaces texts in every string.
    fn replace(&self, value: &mut Value) {
        match value {
            Value::String(text) => {
                for rule in &self.of.spec.replace {
                    if text.contains(&rule.from) {
                        *text = text.replace(&rule.from, &self.filled(&rule.to));
                    }
                }
            }
            Value::Array(all) => all.iter_mut().for_each(|value| self.replace(value)),
            Value::Object(fields) => fields.values_mut().for_each(|value| self.replace(value)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// What stands in braces is a number, a commit, or what people wrote in the spec: nothing that a pull request says.
    fn filled(&self, text: &str) -> String {
        [
            (NUMBER, self.number.as_str()),
            ("{{pr.sha}}", &self.run.sha),
            ("{{namespace}}", &self.namespace),
            ("{{host}}", host(&self.url)),
            ("{{url}}", &self.url),
        ]
        .iter()
        .fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
    }

    fn manifest(
        &self,
        kind: ObjectKind,
        name: &str,
        labels: &Map<String, Value>,
        rest: Value,
    ) -> Manifest {
        let own = labels
            .iter()
            .filter(|(key, _)| !TRACKING.iter().any(|tracking| key.starts_with(tracking)));
        let own = own.filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)));
        let mut all: Vec<(&str, &str)> = own.collect();
        all.push((label::PREVIEW, &self.number));
        let key = Key::new(self.namespace.clone(), name);
        Manifest::new(kind, key, &all, None, rest)
    }
}

fn spec_of(template: &Value) -> Map<String, Value> {
    let spec = template.get("spec").and_then(Value::as_object);
    spec.cloned().unwrap_or_default()
}

fn set_image(pod: Option<&mut Value>, container: &str, reference: &str) {
    let Some(pod) = pod else { return };
    for list in ["containers", "initContainers"] {
        let all = pod.get_mut(list).and_then(Value::as_array_mut);
        let all = all.into_iter().flatten().filter_map(Value::as_object_mut);
        let mut named =
            all.filter(|one| one.get("name").and_then(Value::as_str) == Some(container));
        if let Some(found) = named.next() {
            found.insert("image".to_owned(), reference.into());
        }
    }
}

/// A Service that gets addresses of its own, and selects whatever revision serves.
fn service(mut spec: Map<String, Value>) -> Value {
    for field in OF_SERVICES {
        spec.remove(*field);
    }
    if spec.get("clusterIP").and_then(Value::as_str) != Some("None") {
        spec.remove("clusterIP");
    }
    if let Some(selector) = spec.get_mut("selector").and_then(Value::as_object_mut) {
        selector.retain(|key, _| !key.starts_with("slipway.dev/"));
    }
    let ports = spec.get_mut("ports").and_then(Value::as_array_mut);
    let ports = ports.into_iter().flatten().filter_map(Value::as_object_mut);
    for port in ports {
        port.remove("nodePort");
    }
    Value::Object(spec)
}
