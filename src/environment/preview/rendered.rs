//! Manifests that a run has rendered: a package of one of its stages, asked of the registry by digest, read, and held against what the
//! Environment allows. What is left takes the way of what is copied. No I/O.
//!
//! A package of a digest is the same for ever. So what of it was applied is told by the digest, and it is read only when it is to be
//! applied: a registry that is away keeps nothing back that is there.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::LazyLock;
use std::time::Duration;

use jiff::SignedDuration;
use kube::CustomResourceExt;
use serde_json::{Value, json};

use super::super::api::{CopyKind, PreviewPhase, RenderedManifests};
use super::copy::{self, is_copied, kind_of, name};
use super::{Draft, Run, Subject, idle, name_of};
use crate::crd::validation;
use crate::model::action::{Action, Reply, Request};
use crate::model::invalid::sentence;
use crate::model::key::short_hash;
use crate::model::manifest::Manifest;
use crate::model::object::ObjectKind;
use crate::model::package::PackageQuestion;
use crate::model::secret::SecretKey;
use crate::model::span::due_again;
use crate::release::api::ImageRef;
use crate::rollout::api::Rollout;

/// Objects that a package may have.
const MAX_OBJECTS: usize = 64;
/// Parts that its YAML may have, and names of parts that are used again: what is written once may be named many times.
const MAX_NODES: usize = 65_536;
const MAX_ALIASES: usize = 256;
/// How soon a registry is asked again.
const ASK_AGAIN: SignedDuration = SignedDuration::from_secs(30);
/// How long it may take to answer, or the API server.
const LIMIT: Duration = Duration::from_secs(30);
/// For how long the API server is believed that it would take objects.
const TAKEN_FOR: SignedDuration = SignedDuration::from_mins(5);
/// Questions for that begin with this.
const REHEARSAL: &str = "preview/rehearsal/";
/// What is answered where a registry does not have a package.
const GONE: u16 = 404;
/// What pods say of where they run and whom they push aside: that is for those to say whose nodes they are.
const OF_NODES: [&str; 5] = [
    "nodeName",
    "priority",
    "priorityClassName",
    "runtimeClassName",
    "schedulerName",
];
/// Taints of nodes that no preview is to be put up with.
const OF_CONTROL_PLANES: &str = "node-role.kubernetes.io/";
/// Digits of what tells what was applied.
const DIGITS: usize = 16;

/// The package of a run.
///
/// # Errors
/// Says that there is none.
pub(super) fn package<'a>(
    run: &'a Run,
    wanted: &RenderedManifests,
) -> Result<&'a ImageRef, String> {
    let mut packages = run.packages.iter();
    let found = packages.find(|package| package.name == wanted.package);
    found.ok_or_else(|| {
        format!(
            "the run made no package {}, which previews.rendered names; is it pushed on pull requests (PullRequest in \
             packages[].pushOn)?",
            wanted.package
        )
    })
}

/// What tells what was applied of a run from what is to be, where that is rendered.
///
/// # Errors
/// Says that the run has rendered nothing.
pub(super) fn mark(of: Subject<'_>, run: &Run) -> Result<Option<String>, String> {
    let Some(wanted) = &of.spec.rendered else {
        return Ok(None);
    };
    let package = package(run, wanted)?;
    let spec = of.spec;
    let all = json!([
        name_of(of.key, run.number),
        run.name,
        run.sha,
        package,
        run.images,
        wanted,
        spec.replace,
        spec.url,
        spec.resources,
        spec.network,
    ]);
    Ok(Some(short_hash(all.to_string().as_bytes(), DIGITS)))
}

impl<'a> Draft<'a> {
    /// What a preview of a run is made of.
    ///
    /// # Errors
    /// Why that is not known: whether it takes somebody, and a sentence.
    pub(super) fn templates(
        &mut self,
        run: &Run,
    ) -> Result<Cow<'a, [Value]>, (PreviewPhase, String)> {
        let seen = self.of.seen;
        let Some(wanted) = &self.of.spec.rendered else {
            return Ok(Cow::Borrowed(&seen.templates));
        };
        let failed = |problem: String| (PreviewPhase::Failed, problem);
        let package = package(run, wanted).map_err(failed)?;
        let about = &wanted.package;
        let reply = self.content(wanted, package).map_err(|waits| {
            let text = format!("package {about}: {waits}");
            (PreviewPhase::Updating, text)
        })?;
        let body = String::from_utf8_lossy(&reply.body);
        let namespace = name_of(self.of.key, run.number);
        let read = match reply.status {
            200 => read(&body, wanted, &namespace),
            GONE => {
                Err("the registry does not have it; it is asked again, or push a commit".to_owned())
            }
            _ => Err(body.into_owned()),
        };
        let read = read.map_err(|problem| failed(format!("package {about}: {problem}")))?;
        Ok(Cow::Owned(read))
    }

    /// What a registry has of a package. Asks, where it is time to.
    ///
    /// # Errors
    /// What is waited for.
    fn content(
        &mut self,
        wanted: &RenderedManifests,
        package: &ImageRef,
    ) -> Result<&'a Reply, String> {
        let login = wanted.registry_secret_name.as_deref().unwrap_or_default();
        let key = format!("{}rendered/{login}/{}", idle::PREFIX, package.reference);
        let answer = self.of.answers.get(&key);
        let reply = answer.and_then(|answer| answer.reply.as_ref().ok());
        // What a registry has is the same for ever; what it has not may come back.
        if let Some(reply) = reply.filter(|reply| reply.status != GONE) {
            return Ok(reply);
        }
        if let Some(due) = due_again(answer.map(|answer| answer.at), ASK_AGAIN, self.now) {
            self.wake_at(due);
        } else {
            let request = question(&self.of.key.namespace, wanted, package);
            self.questions.push(Action::Fetch { key, request });
        }
        if let Some(reply) = reply {
            return Ok(reply);
        }
        let problem = answer.and_then(|answer| answer.reply.as_ref().err());
        Err(problem.map_or_else(|| "asks the registry for it".to_owned(), Clone::clone))
    }

    /// Why a preview is not filled yet: the API server has said that it would refuse one of the objects, or has not said anything. Asks
    /// for one preview at a time, where it is time to.
    pub(super) fn rehearse(
        &mut self,
        run: &Run,
        copies: &[Manifest],
    ) -> Option<(PreviewPhase, String)> {
        let key = format!("{REHEARSAL}{}/{}", run.number, copy::hash(copies));
        let answer = self.of.answers.get(&key);
        let (lasts, found) = match answer.map(|answer| &answer.reply) {
            Some(Ok(reply)) if reply.status == 200 => (TAKEN_FOR, None),
            Some(Ok(reply)) => {
                let problem = String::from_utf8_lossy(&reply.body).into_owned();
                (ASK_AGAIN, Some((PreviewPhase::Failed, problem)))
            }
            Some(Err(problem)) => {
                let text =
                    format!("asks the API server whether it would take its objects: {problem}");
                (ASK_AGAIN, Some((PreviewPhase::Updating, text)))
            }
            None => (ASK_AGAIN, None),
        };
        if let Some(due) = due_again(answer.map(|answer| answer.at), lasts, self.now) {
            if found.is_some() {
                self.wake_at(due);
            }
            return found;
        }
        if !self.questions.iter().any(is_rehearsal) {
            let of_package = copies.iter().filter(|made| kind_of(&made.body).is_some());
            let request = Request::for_rehearsal(of_package.cloned().collect(), LIMIT);
            self.questions.push(Action::Fetch { key, request });
        }
        let asks = || {
            let text = "asks the API server whether it would take its objects";
            (PreviewPhase::Updating, text.to_owned())
        };
        Some(found.unwrap_or_else(asks))
    }
}

fn is_rehearsal(action: &Action) -> bool {
    matches!(action, Action::Fetch { key, .. } if key.starts_with(REHEARSAL))
}

fn question(namespace: &str, wanted: &RenderedManifests, package: &ImageRef) -> Request {
    let (repository, digest) = package.reference.split_once('@').unwrap_or_default();
    let login = wanted.registry_secret_name.as_ref();
    let question = PackageQuestion {
        repository: repository.to_owned(),
        digest: digest.to_owned(),
        is_insecure: wanted.insecure_registry.unwrap_or(false),
        login: login.map(|name| (namespace.to_owned(), SecretKey::registry_login(name))),
    };
    Request::for_package(question, LIMIT)
}

/// The objects in a package, if all of them may be in a preview.
///
/// # Errors
/// Says of the first that may not be why.
pub fn read(text: &str, wanted: &RenderedManifests, namespace: &str) -> Result<Vec<Value>, String> {
    let budget = serde_saphyr::budget! { max_nodes: MAX_NODES, max_aliases: MAX_ALIASES };
    let options = serde_saphyr::options! { budget: budget, with_snippet: false };
    let documents: Result<Vec<Value>, _> = serde_saphyr::from_multiple_with_options(text, options);
    let documents = documents.map_err(|error| {
        let error = error.to_string().replace('\n', " ");
        format!("is no YAML: {error}")
    })?;
    let objects: Vec<Value> = documents
        .into_iter()
        .filter(|document| !document.is_null())
        .collect();
    if objects.len() > MAX_OBJECTS {
        return Err(format!(
            "has {} objects, and may have {MAX_OBJECTS}",
            objects.len()
        ));
    }
    let mut known = BTreeSet::new();
    for object in &objects {
        let (kind, name) = may_be_there(object, wanted, namespace)?;
        if !known.insert((kind, name)) {
            return Err(format!("has {} {name} twice", kind.as_str()));
        }
    }
    Ok(objects)
}

/// Kind and name of an object that may be in a preview.
fn may_be_there<'a>(
    object: &'a Value,
    wanted: &RenderedManifests,
    namespace: &str,
) -> Result<(CopyKind, &'a str), String> {
    let text = |field: &str| object.pointer(field).and_then(Value::as_str);
    let said = text("/kind").unwrap_or("something without a kind");
    let name = name(object).filter(|name| is_name(name));
    let Some(name) = name else {
        return Err(format!("has {said} without a name that Kubernetes takes"));
    };
    let allowed = kind_of(object).filter(|kind| wanted.kinds.contains(kind));
    let Some(kind) = allowed else {
        return Err(format!(
            "has {said} {name}, and previews.rendered.kinds does not allow that"
        ));
    };
    let version = kind.object().api_version();
    if text("/apiVersion") != Some(version.as_str()) {
        return Err(format!("has {said} {name}, which has to be of {version}"));
    }
    let place = text("/metadata/namespace").unwrap_or(namespace);
    if place != namespace {
        return Err(format!(
            "has {said} {name} for namespace {place}, and may have it for {namespace} only; leave metadata.namespace out"
        ));
    }
    let type_ = text("/spec/type").unwrap_or("ClusterIP");
    if kind == CopyKind::Service && type_ != "ClusterIP" {
        return Err(format!(
            "has Service {name} of type {type_}, and may have it of type ClusterIP only"
        ));
    }
    if let Some(problem) = reaches_for_nodes(object) {
        return Err(format!("has {said} {name}, whose pods {problem}"));
    }
    if !is_copied(object) {
        return Err(format!(
            "has {said} {name}, which others make or own: take out its ownerReferences and labels of Slipway's"
        ));
    }
    Ok((kind, name))
}

/// What pods ask for that would push others aside, in other namespaces too, or put them where nobody's code has business.
fn reaches_for_nodes(object: &Value) -> Option<String> {
    let pod = object.pointer("/spec/template/spec")?;
    let set = OF_NODES.iter().find(|field| pod.get(**field).is_some());
    if let Some(field) = set {
        return Some(format!("set {field}: leave it out"));
    }
    let tolerations = pod.get("tolerations").and_then(Value::as_array);
    let is_wide = |toleration: &&Value| {
        let key = toleration.get("key").and_then(Value::as_str);
        key.is_none_or(|key| key.is_empty() || key.starts_with(OF_CONTROL_PLANES))
    };
    tolerations.into_iter().flatten().find(is_wide).map(|_| {
        "tolerate every node, or those of the control plane: name the taints of others in tolerations".to_owned()
    })
}

/// Says of the first Rollout or `ConfigMap` that the API server would refuse why, so that none of them is applied.
///
/// # Errors
/// See above.
pub(super) fn would_be_taken(copies: &[Manifest]) -> Result<(), String> {
    for copy in copies {
        let problem = if copy.kind == ObjectKind::Rollout {
            let wrong = validation::problems(&copy.body, &SCHEMA);
            (!wrong.is_empty()).then(|| sentence(&wrong))
        } else if copy.kind == ObjectKind::ConfigMap {
            no_text(&copy.body)
        } else {
            None
        };
        if let Some(problem) = problem {
            let (kind, name) = (copy.kind.kind(), &copy.key.name);
            return Err(format!("{kind} {name}: {problem}"));
        }
    }
    Ok(())
}

/// What of a `ConfigMap` is no text, as all of it has to be.
fn no_text(body: &Value) -> Option<String> {
    ["data", "binaryData"].iter().find_map(|field| {
        let all = body.get(*field).filter(|all| !all.is_null())?;
        let Some(all) = all.as_object() else {
            return Some(format!("{field} has to be a map of texts"));
        };
        let mut wrong = all.iter().filter(|(_, value)| !value.is_string());
        let (key, _) = wrong.next()?;
        Some(format!("{field}.{key} has to be a text: quote it"))
    })
}

/// The schema of Rollouts.
static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    let mut crd = serde_json::to_value(Rollout::crd()).unwrap_or_default();
    let schema = crd.pointer_mut("/spec/versions/0/schema/openAPIV3Schema");
    schema.map(Value::take).unwrap_or_default()
});

/// Whether an object can have a name; what is none could lead to another one.
fn is_name(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    let ends = bytes.first().zip(bytes.last());
    text.len() <= 253
        && ends.is_some_and(|(first, last)| is_plain(*first) && is_plain(*last))
        && bytes
            .iter()
            .all(|byte| is_plain(*byte) || matches!(byte, b'-' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted() -> RenderedManifests {
        let wanted = json!({"package": "manifests", "kinds": ["ConfigMap", "Service"]});
        serde_json::from_value(wanted).unwrap()
    }

    fn refused(text: &str) -> String {
        read(text, &wanted(), "shop-review-pr-7").unwrap_err()
    }

    #[test]
    fn what_kustomize_and_helm_print_is_read() {
        let text = "---\n# Source: shop/templates/config.yaml\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: settings\n  namespace: shop-review-pr-7\ndata: {a: b}\n\
                    ---\n\n---\napiVersion: v1\nkind: Service\nmetadata: {name: api}\nspec: {type: ClusterIP, ports: [{port: 80}]}\n\n---\n";
        let read = read(text, &wanted(), "shop-review-pr-7").unwrap();
        let kinds: Vec<_> = read.iter().filter_map(kind_of).collect();
        assert_eq!(kinds, [CopyKind::ConfigMap, CopyKind::Service]);
    }

    #[test]
    fn what_may_not_be_there_is_refused_by_name() {
        let object = |kind: &str, rest: &str| {
            format!("apiVersion: v1\nkind: {kind}\nmetadata: {{name: a{rest}}}\n")
        };
        for (text, says) in [
            (
                object("Secret", ""),
                "Secret a, and previews.rendered.kinds does not allow",
            ),
            (object("ClusterRole", ""), "ClusterRole a, and"),
            (
                object("ConfigMap", ", namespace: kube-system"),
                "for namespace kube-system",
            ),
            (object("ConfigMap", "/../b"), "without a name"),
            (
                object("ConfigMap", ", ownerReferences: [{kind: A}]"),
                "others make or own",
            ),
            (
                object("Service", "") + "spec: {type: ExternalName}\n",
                "of type ExternalName",
            ),
            (
                object("Service", "") + "spec: {type: LoadBalancer}\n",
                "of type LoadBalancer",
            ),
            (
                object("ConfigMap", "") + "---\n" + &object("ConfigMap", ""),
                "ConfigMap a twice",
            ),
            (
                object("ConfigMap", "").replace("v1", "v2"),
                "has to be of v1",
            ),
            ("kind: {".to_owned(), "is no YAML"),
            ("just text".to_owned(), "something without a kind"),
            ("[1, 2]".to_owned(), "something without a kind"),
        ] {
            let said = refused(&text);
            assert!(said.contains(says), "{text}: {said}");
        }
        let many: Vec<String> = (0..65)
            .map(|number| {
                format!("{{apiVersion: v1, kind: ConfigMap, metadata: {{name: a{number}}}}}")
            })
            .collect();
        assert!(refused(&many.join("\n---\n")).contains("65 objects"));
    }

    #[test]
    fn pods_that_push_others_aside_or_go_where_they_like_are_refused() {
        let wanted = json!({"package": "manifests", "kinds": ["Rollout"]});
        let wanted: RenderedManifests = serde_json::from_value(wanted).unwrap();
        let of = |pod: Value| {
            let rollout = json!({
                "apiVersion": ObjectKind::Rollout.api_version(), "kind": "Rollout", "metadata": {"name": "api"},
                "spec": {"template": {"spec": pod}},
            });
            read(&rollout.to_string(), &wanted, "shop-review-pr-7")
        };
        for pod in [
            json!({"priorityClassName": "system-cluster-critical"}),
            json!({"priority": 1_000_000}),
            json!({"nodeName": "control-plane-1"}),
            json!({"schedulerName": "mine"}),
            json!({"runtimeClassName": "host"}),
            json!({"tolerations": [{"operator": "Exists"}]}),
            json!({"tolerations": [{"key": "spot"}, {"key": "node-role.kubernetes.io/control-plane", "operator": "Exists"}]}),
        ] {
            let said = of(pod.clone()).unwrap_err();
            assert!(said.contains("Rollout api, whose pods"), "{pod}: {said}");
        }
        assert!(of(json!({"tolerations": [{"key": "spot", "operator": "Exists"}]})).is_ok());
    }

    #[test]
    fn what_names_itself_again_and_again_is_no_bomb() {
        let first = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]".to_owned();
        let others = (1..9).map(|level| {
            let before = format!("*a{}, ", level - 1).repeat(10);
            format!("a{level}: &a{level} [{before}]")
        });
        let text: Vec<String> = std::iter::once(first).chain(others).collect();
        assert!(refused(&text.join("\n")).contains("is no YAML"));
    }
}
