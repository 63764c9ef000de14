//! Who an object is, and who owns it: of objects that there are thousands of, in as little memory as that takes. No I/O.
//!
//! A map of labels takes half a kilobyte before there is anything in it, and each text in it a piece of memory of its own. Of
//! each object everybody reads three labels or four: a list is as quick, and is one piece.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{OwnerReference, Time};
use kube::{Resource, ResourceExt};
use serde::Deserialize;

use super::key::Key;

/// An object that tells who it is: as kube has it, or as the caches keep those that there are many of.
pub trait Identified {
    /// Namespace and name; empty parts stand for what is missing.
    fn own_key(&self) -> Key;

    /// The same, shared with the object where it has it so.
    fn shared_key(&self) -> Arc<Key> {
        Arc::new(self.own_key())
    }

    /// Which one of that name it is; empty where it does not exist yet.
    fn own_uid(&self) -> &str;

    /// Its resource version; empty where it does not exist yet.
    fn own_version(&self) -> &str;

    /// How often its spec has changed.
    fn own_generation(&self) -> Option<i64>;

    /// What a label of it says.
    fn own_label(&self, key: &str) -> Option<&str>;

    /// Who owns it.
    fn owned_by(&self) -> impl Iterator<Item = Owner<'_>>;
}

impl<K: Resource> Identified for K {
    fn own_key(&self) -> Key {
        Key::new(self.namespace().unwrap_or_default(), self.name_any())
    }

    fn own_uid(&self) -> &str {
        self.meta().uid.as_deref().unwrap_or_default()
    }

    fn own_version(&self) -> &str {
        self.meta().resource_version.as_deref().unwrap_or_default()
    }

    fn own_generation(&self) -> Option<i64> {
        self.meta().generation
    }

    fn own_label(&self, key: &str) -> Option<&str> {
        self.labels().get(key).map(String::as_str)
    }

    fn owned_by(&self) -> impl Iterator<Item = Owner<'_>> {
        self.owner_references().iter().map(Owner::of)
    }
}

/// Who owns an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner<'o> {
    /// Group and version of its kind.
    pub api_version: &'o str,
    /// Its kind.
    pub kind: &'o str,
    /// Its name.
    pub name: &'o str,
    /// Which one of that name it is.
    pub uid: &'o str,
    /// Whether it is the one that sees to the object.
    pub is_controller: bool,
}

impl<'o> Owner<'o> {
    fn of(reference: &'o OwnerReference) -> Self {
        Self {
            api_version: &reference.api_version,
            kind: &reference.kind,
            name: &reference.name,
            uid: &reference.uid,
            is_controller: reference.controller == Some(true),
        }
    }
}

/// What is kept of an object's metadata.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(from = "Whole")]
pub struct Meta {
    /// Namespace and name.
    pub key: Arc<Key>,
    /// Which one of that name it is; empty where it does not exist yet.
    pub uid: Box<str>,
    /// Its resource version; empty where it does not exist yet.
    pub resource_version: Box<str>,
    /// How often its spec has changed.
    pub generation: Option<i64>,
    /// When it was made.
    pub creation_timestamp: Option<Time>,
    /// When it was, or is, to go.
    pub deletion_timestamp: Option<Time>,
    /// Its labels.
    pub labels: Pairs,
    /// Its annotations.
    pub annotations: Pairs,
    /// Who owns it.
    pub owners: Owners,
}

impl Meta {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.key.name
    }

    /// When it was made; the beginning of all time where it does not exist yet.
    pub fn created_at(&self) -> Timestamp {
        self.creation_timestamp
            .as_ref()
            .map_or(Timestamp::UNIX_EPOCH, |at| at.0)
    }

    /// Who owns it as its controller; it has one at most.
    pub fn controller(&self) -> Option<Owner<'_>> {
        self.owners.iter().find(|owner| owner.is_controller)
    }
}

/// The metadata as it is read, without what is not kept: the fields that each manager has set may be more than all the rest.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Whole {
    name: Option<String>,
    generate_name: Option<String>,
    namespace: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
    generation: Option<i64>,
    creation_timestamp: Option<Time>,
    deletion_timestamp: Option<Time>,
    labels: Option<BTreeMap<String, String>>,
    annotations: Option<BTreeMap<String, String>>,
    owner_references: Option<Vec<OwnerReference>>,
}

impl From<Whole> for Meta {
    fn from(whole: Whole) -> Self {
        let name = whole.name.or(whole.generate_name).unwrap_or_default();
        let pairs = |map: Option<BTreeMap<_, _>>| Pairs::of(&map.unwrap_or_default());
        Self {
            key: Arc::new(Key::new(whole.namespace.unwrap_or_default(), name)),
            uid: whole.uid.unwrap_or_default().into(),
            resource_version: whole.resource_version.unwrap_or_default().into(),
            generation: whole.generation,
            creation_timestamp: whole.creation_timestamp,
            deletion_timestamp: whole.deletion_timestamp,
            labels: pairs(whole.labels),
            annotations: pairs(whole.annotations),
            owners: Owners::of(&whole.owner_references.unwrap_or_default()),
        }
    }
}

/// Labels or annotations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pairs(Texts);

impl Pairs {
    fn of(map: &BTreeMap<String, String>) -> Self {
        let pairs = map
            .iter()
            .map(|(key, value)| [key.as_str(), value.as_str()]);
        Self(Texts::of(pairs))
    }

    /// What the one of this key says.
    pub fn get(&self, key: &str) -> Option<&str> {
        let mut pairs = self.0.groups::<2>();
        pairs.find_map(|[own, value]| (own == key).then_some(value))
    }

    /// Whether there is one of this key.
    pub fn contains_key(&self, key: &str) -> bool {
        self.get(key).is_some()
    }
}

/// The owners of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owners(Texts);

impl Owners {
    const CONTROLLER: &str = "controller";

    fn of(references: &[OwnerReference]) -> Self {
        let owners = references.iter().map(Owner::of).map(|owner| {
            let is_controller = owner.is_controller.then_some(Self::CONTROLLER);
            let role = is_controller.unwrap_or_default();
            [owner.api_version, owner.kind, owner.name, owner.uid, role]
        });
        Self(Texts::of(owners))
    }

    /// One after the other.
    pub fn iter(&self) -> impl Iterator<Item = Owner<'_>> {
        let owners = self.0.groups::<5>();
        owners.map(|[api_version, kind, name, uid, role]| Owner {
            api_version,
            kind,
            name,
            uid,
            is_controller: role == Self::CONTROLLER,
        })
    }
}

/// Texts in groups of one size, in one piece of memory: after each of them comes a character that is in none. Groups with a
/// text that has it are left out; Kubernetes takes it in nothing but the value of an annotation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Texts(Box<str>);

impl Texts {
    const END: char = '\0';

    fn of<'t, const N: usize>(groups: impl Iterator<Item = [&'t str; N]>) -> Self {
        let has_end = |group: &[&str; N]| group.iter().any(|text| text.contains(Self::END));
        let groups: Vec<[&str; N]> = groups.filter(|group| !has_end(group)).collect();
        let texts = || groups.iter().flatten();
        let size: usize = texts().map(|text| text.len() + Self::END.len_utf8()).sum();
        let mut all = String::with_capacity(size);
        for text in texts() {
            all.push_str(text);
            all.push(Self::END);
        }
        Self(all.into())
    }

    fn groups<const N: usize>(&self) -> impl Iterator<Item = [&str; N]> {
        let mut texts = self.0.split_terminator(Self::END);
        std::iter::from_fn(move || {
            let mut group = [""; N];
            for text in &mut group {
                *text = texts.next()?;
            }
            Some(group)
        })
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Pod;
    use kube::core::ObjectMeta;
    use serde_json::{Value, json};

    use super::*;

    fn metadata() -> Value {
        json!({
            "name": "api-x2k4f", "namespace": "shop", "uid": "u", "resourceVersion": "7", "generation": 3,
            "creationTimestamp": "2026-01-01T00:00:00Z", "deletionTimestamp": "2026-01-02T00:00:00Z",
            "labels": {"app": "api", "empty": "", "slipway.dev/rollout": "api"},
            "annotations": {"note": "a=b\nc"},
            "ownerReferences": [
                {"apiVersion": "v1", "kind": "ConfigMap", "name": "a", "uid": "1"},
                {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "b", "uid": "2", "controller": true},
            ],
            "managedFields": [{"manager": "kubelet", "fieldsV1": {"f:status": {}}}],
        })
    }

    #[test]
    fn what_is_kept_says_the_same_as_what_kube_has() {
        let kept: Meta = serde_json::from_value(metadata()).unwrap();
        let metadata: ObjectMeta = serde_json::from_value(metadata()).unwrap();
        let whole = Pod {
            metadata,
            ..Pod::default()
        };
        assert_eq!(*kept.key, whole.own_key());
        assert_eq!(kept.name(), "api-x2k4f");
        assert_eq!(*kept.uid, *whole.own_uid());
        assert_eq!(*kept.resource_version, *whole.own_version());
        assert_eq!(kept.generation, whole.own_generation());
        assert_eq!(kept.creation_timestamp, whole.metadata.creation_timestamp);
        assert_eq!(kept.deletion_timestamp, whole.metadata.deletion_timestamp);
        for key in ["app", "empty", "slipway.dev/rollout", "ap", "api", ""] {
            assert_eq!(kept.labels.get(key), whole.own_label(key), "{key}");
        }
        assert_eq!(kept.annotations.get("note"), Some("a=b\nc"));
        let owners: Vec<Owner<'_>> = kept.owners.iter().collect();
        assert_eq!(owners, whole.owned_by().collect::<Vec<_>>());
        assert_eq!(kept.controller().unwrap().name, "b");
    }

    #[test]
    fn what_is_missing_is_empty() {
        let kept: Meta = serde_json::from_value(json!({"labels": null})).unwrap();
        assert_eq!(kept, Meta::default());
        assert_eq!((kept.name(), kept.controller()), ("", None));
        assert!(!kept.labels.contains_key(""));
        let named: Meta = serde_json::from_value(json!({"generateName": "api-"})).unwrap();
        assert_eq!(named.name(), "api-");
    }

    #[test]
    fn a_text_that_cannot_be_kept_is_left_out_and_the_others_are_not() {
        let annotations = json!({"a": "1", "b": "2\u{0}x", "c": "3", "d\u{0}": "4"});
        let kept: Meta = serde_json::from_value(json!({"annotations": annotations})).unwrap();
        let found = ["a", "b", "c", "d", "x"].map(|key| kept.annotations.get(key));
        assert_eq!(found, [Some("1"), None, Some("3"), None, None]);
    }

    #[test]
    fn it_takes_as_little_as_it_says() {
        let size = size_of::<Meta>();
        assert!(size <= 152, "{size}");
        let kept: Meta = serde_json::from_value(metadata()).unwrap();
        assert_eq!(
            kept.labels.0.0.len(),
            "app api empty  slipway.dev/rollout api ".len()
        );
    }
}
