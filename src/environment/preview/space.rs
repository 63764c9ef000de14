//! The namespace of a preview, and what it says of itself. No I/O.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use kube::api::DynamicObject;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::model::key::{Key, MAX_LABEL, short_hash, suffixed};
use crate::model::label;
use crate::model::manifest::{Manifest, Target};
use crate::model::object::ObjectKind;

/// Digits of what tells Environments apart in a label.
const DIGITS: usize = 20;
/// Labels of a namespace that say what its pods may do start with this.
const POD_SECURITY: &str = "pod-security.kubernetes.io/";
/// The one that pods are held to.
pub(super) const ENFORCE: &str = "pod-security.kubernetes.io/enforce";
/// The level that keeps pods from taking their node over.
pub(super) const BASELINE: &str = "baseline";
/// The level that is safe with anybody's pods.
pub(super) const RESTRICTED: &str = "restricted";
/// Conditions of a namespace that is being deleted which say what keeps it.
const HELD: [&str; 5] = [
    "NamespaceFinalizersRemaining",
    "NamespaceContentRemaining",
    "NamespaceDeletionContentFailure",
    "NamespaceDeletionGroupVersionParsingFailure",
    "NamespaceDeletionDiscoveryFailure",
];

/// A namespace of a preview, as it was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Space {
    /// The object.
    pub target: Target,
    /// The Environment that it is of.
    pub environment: Key,
    /// The pull request that it is of.
    pub number: u64,
    /// When it was made.
    pub created_at: Timestamp,
    /// Since when it is being deleted, if it is.
    pub going_since: Option<Timestamp>,
    /// What keeps it from being gone, in the words of Kubernetes.
    pub held_by: Option<String>,
    /// What its pods may do: labels of it.
    pub pod_security: BTreeMap<String, String>,
    /// What it shows.
    pub record: Record,
}

/// What a preview shows: an annotation of its namespace.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct Record {
    /// The run whose images it has, or is to have at first.
    pub run: String,
    /// The commit.
    pub sha: String,
    /// Whose run the first one was.
    pub author: String,
    /// A hash of what was applied last; nothing until that is done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub applied: Option<String>,
    /// Since when it shows this run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<Time>,
    /// When the run was started: it never goes back to one from before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// Whether it is removed by people only.
    pub keep: bool,
    /// Whether its commits are from another repository.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub fork: bool,
    /// For which commit its database was filled last; nothing where that was never done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seeded: Option<String>,
}

impl Record {
    /// The change of a namespace that puts this on record.
    pub fn patch(&self) -> Value {
        json!({"metadata": {"annotations": {(label::PREVIEW_RECORD): self.text()}}})
    }

    fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// The name of the namespace of a preview: it follows from the Environment and the pull request.
pub fn name_of(environment: &Key, number: u64) -> String {
    let base = format!("{}-{}", environment.namespace, environment.name);
    suffixed(&base, &format!("pr-{number}"), MAX_LABEL)
}

/// What the label of all previews of an Environment says.
pub fn selector_of(environment: &Key) -> String {
    short_hash(environment.to_string().as_bytes(), DIGITS)
}

/// The Environment that has copied an object into a preview, if the object is where that preview is: elsewhere it says so in vain.
pub fn owner_of<K: ResourceExt>(copy: &K) -> Option<Key> {
    let of = copy.annotations().get(label::PREVIEW_ENVIRONMENT)?;
    let (namespace, name) = of.split_once('/')?;
    let environment = Key::new(namespace, name);
    let number: u64 = copy.labels().get(label::PREVIEW)?.parse().ok()?;
    (copy.namespace()? == name_of(&environment, number)).then_some(environment)
}

/// What pods in a namespace may do, by its labels.
pub fn pod_security_of<K: ResourceExt>(namespace: &K) -> BTreeMap<String, String> {
    let labels = namespace.labels().iter();
    let labels = labels.filter(|(name, _)| name.starts_with(POD_SECURITY));
    labels
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// The namespace of a preview, in which pods may do what they may where they are copied from.
pub fn space(
    environment: &Key,
    number: u64,
    record: &Record,
    pod_security: &BTreeMap<String, String>,
) -> Manifest {
    let name = name_of(environment, number);
    let (of, number) = (selector_of(environment), number.to_string());
    let own = [
        (label::COMPONENT, "preview"),
        (label::PREVIEW_OF, of.as_str()),
        (label::PREVIEW, number.as_str()),
    ];
    let copied = pod_security.iter();
    let copied = copied.map(|(name, value)| (name.as_str(), value.as_str()));
    let labels: Vec<(&str, &str)> = own.into_iter().chain(copied).collect();
    let key = Key::new("", name);
    let mut manifest = Manifest::new(ObjectKind::Namespace, key, &labels, None, json!({}));
    let metadata = manifest.body.get_mut("metadata");
    if let Some(metadata) = metadata.and_then(Value::as_object_mut) {
        metadata.remove("namespace");
    }
    manifest.annotated(&[
        (label::PREVIEW_ENVIRONMENT, environment.to_string()),
        (label::PREVIEW_RECORD, record.text()),
    ])
}

impl Space {
    /// Whether it is being deleted.
    pub fn is_going(&self) -> bool {
        self.going_since.is_some()
    }

    /// The change that makes it say of its pods and of its end what it is to say, if it does not. No label is taken off: clusters
    /// have tools that put on more.
    pub fn put_right(&self, pod_security: &BTreeMap<String, String>, keep: bool) -> Option<Value> {
        let mut labels = pod_security.iter();
        let is_right = labels.all(|(name, value)| self.pod_security.get(name) == Some(value));
        if is_right && self.record.keep == keep {
            return None;
        }
        let record = Record {
            keep,
            ..self.record.clone()
        };
        let mut change = record.patch();
        if let Some(metadata) = change.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.insert("labels".to_owned(), json!(pod_security));
        }
        Some(change)
    }

    /// The preview that a namespace is of, if it says so itself in every way that it should: nothing else is ever deleted.
    pub fn read(namespace: &DynamicObject) -> Option<Self> {
        let labels = namespace.labels();
        let annotations = namespace.annotations();
        let (of, name) = annotations
            .get(label::PREVIEW_ENVIRONMENT)?
            .split_once('/')?;
        let environment = Key::new(of, name);
        let number: u64 = labels.get(label::PREVIEW)?.parse().ok()?;
        let is_ours = labels.get(label::PREVIEW_OF) == Some(&selector_of(&environment))
            && labels.get(label::MANAGED_BY).map(String::as_str) == Some(label::SLIPWAY)
            && namespace.name_any() == name_of(&environment, number);
        let record = annotations.get(label::PREVIEW_RECORD);
        let record = record.and_then(|text| serde_json::from_str(text).ok());
        let created = namespace.metadata.creation_timestamp.as_ref();
        let going = namespace.metadata.deletion_timestamp.as_ref();
        is_ours.then(|| Self {
            target: Target::of(ObjectKind::Namespace, namespace),
            environment,
            number,
            created_at: created.map_or(Timestamp::MAX, |created| created.0),
            going_since: going.map(|going| going.0),
            held_by: held_by(namespace),
            pod_security: pod_security_of(namespace),
            record: record.unwrap_or_default(),
        })
    }
}

/// What keeps a namespace from being gone: the first that Kubernetes says.
fn held_by(namespace: &DynamicObject) -> Option<String> {
    let conditions = namespace.data.pointer("/status/conditions")?.as_array()?;
    let said = |type_: &&str| {
        let mut conditions = conditions.iter();
        let found = conditions.find(|condition| {
            condition.get("type").and_then(Value::as_str) == Some(*type_)
                && condition.get("status").and_then(Value::as_str) == Some("True")
        })?;
        found.get("message")?.as_str()
    };
    let message = HELD.iter().find_map(said)?;
    Some(message.to_owned())
}
