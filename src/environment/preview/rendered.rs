//! Manifests that a run has rendered: a package of one of its stages, asked of the registry by digest, read, and held against what the
//! Environment allows. What is left takes the way of what is copied. No I/O.
//!
//! A package of a digest is the same for ever. So what of it was applied is told by the digest, and it is read only when it is to be
//! applied: a registry that is away keeps nothing back that is there.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::time::Duration;

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::super::api::{CopyKind, PreviewPhase, RenderedManifests};
use super::copy::{is_copied, kind_of, name};
use super::{Draft, Run, Subject, idle, later, name_of};
use crate::model::action::{Action, Reply, Request};
use crate::model::key::short_hash;
use crate::model::package::PackageQuestion;
use crate::model::secret::SecretKey;
use crate::release::api::ImageRef;

/// Objects that a package may have.
const MAX_OBJECTS: usize = 64;
/// Parts that its YAML may have, and names of parts that are used again: what is written once may be named many times.
const MAX_NODES: usize = 65_536;
const MAX_ALIASES: usize = 256;
/// How soon a registry is asked again.
const ASK_AGAIN: SignedDuration = SignedDuration::from_secs(30);
/// How long it may take to answer.
const LIMIT: Duration = Duration::from_secs(30);
/// Key in a Secret with the login for registries.
const LOGIN: &str = ".dockerconfigjson";
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
            404 => Err("the registry does not have it any more; push a commit".to_owned()),
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
        if let Some(Ok(reply)) = answer.map(|answer| &answer.reply) {
            return Ok(reply);
        }
        let due = answer.map(|answer| later(answer.at, ASK_AGAIN));
        if let Some(due) = due.filter(|due| *due > self.now) {
            self.wake_at(due);
        } else {
            let request = question(&self.of.key.namespace, wanted, package);
            self.questions.push(Action::Fetch { key, request });
        }
        let problem = answer.and_then(|answer| answer.reply.as_ref().err());
        Err(problem.map_or_else(|| "asks the registry for it".to_owned(), Clone::clone))
    }
}

fn question(namespace: &str, wanted: &RenderedManifests, package: &ImageRef) -> Request {
    let (repository, digest) = package.reference.split_once('@').unwrap_or_default();
    let login = wanted.registry_secret_name.as_ref();
    let question = PackageQuestion {
        repository: repository.to_owned(),
        digest: digest.to_owned(),
        is_insecure: wanted.insecure_registry.unwrap_or(false),
        login: login.map(|name| (namespace.to_owned(), SecretKey::new(name, LOGIN))),
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
    if !is_copied(object) {
        return Err(format!(
            "has {said} {name}, which others make or own: take out its ownerReferences and labels of Slipway's"
        ));
    }
    Ok((kind, name))
}

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
