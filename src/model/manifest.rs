//! An object that we intend to write, and references to ones that exist. No I/O.

use std::fmt;

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::json::set;
use super::key::Key;
use super::label;
use super::meta::Identified;
use super::object::ObjectKind;

/// Owners of our own kinds have an API version that begins with this.
const GROUP: &str = "slipway.dev/";

/// An object to be written, complete with API version, kind and metadata.
#[derive(Clone, PartialEq, Serialize)]
pub struct Manifest {
    /// What it is.
    pub kind: ObjectKind,
    /// Where it is.
    pub key: Key,
    /// The whole object.
    pub body: Value,
}

/// What is in a Secret is not shown, wherever a plan is.
impl fmt::Debug for Manifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hidden = Value::from("…");
        let is_secret = self.kind == ObjectKind::Secret;
        let body = if is_secret { &hidden } else { &self.body };
        f.debug_struct("Manifest")
            .field("kind", &self.kind)
            .field("key", &self.key)
            .field("body", body)
            .finish()
    }
}

impl Manifest {
    /// An object with its labels and owner, and `rest` (spec, data, …) merged in at the top.
    ///
    /// Labels never contain tracking labels of GitOps tools: only what is given here, and who made it.
    pub fn new(
        kind: ObjectKind,
        key: Key,
        labels: &[(&str, &str)],
        owner: Option<&OwnerReference>,
        rest: Value,
    ) -> Self {
        let mut all = Map::new();
        all.insert(label::MANAGED_BY.into(), label::SLIPWAY.into());
        all.extend(labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).into())));
        let mut body = json!({
            "apiVersion": kind.api_version(),
            "kind": kind.kind(),
            "metadata": {"namespace": key.namespace, "name": key.name, "labels": all},
        });
        if let Some(owner) = owner {
            set(&mut body, &["metadata", "ownerReferences"], json!([owner]));
        }
        if let (Some(body), Value::Object(rest)) = (body.as_object_mut(), rest) {
            body.extend(rest);
        }
        Self { kind, key, body }
    }

    /// Adds annotations.
    #[must_use]
    pub fn annotated(mut self, annotations: &[(&str, String)]) -> Self {
        for (key, value) in annotations {
            set(
                &mut self.body,
                &["metadata", "annotations", key],
                value.as_str(),
            );
        }
        self
    }
}

/// An object that exists, as it was when it was read.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Target {
    /// What it is.
    pub kind: ObjectKind,
    /// Where it is.
    pub key: Key,
    /// Which one of that name it is; a namesake is left alone.
    pub uid: String,
    /// The version that the decision was made on; a lost race is a conflict, not an overwrite.
    pub resource_version: String,
}

impl Target {
    /// The target for an object that was read from the cluster.
    pub fn of<K: Identified>(kind: ObjectKind, object: &K) -> Self {
        Self {
            kind,
            key: Key::of(object),
            uid: object.own_uid().to_owned(),
            resource_version: object.own_version().to_owned(),
        }
    }

    /// What an Event about it refers to it by.
    pub fn reference(&self) -> ObjectReference {
        ObjectReference {
            api_version: Some(self.kind.api_version()),
            kind: Some(self.kind.kind().to_owned()),
            namespace: Some(self.key.namespace.clone()),
            name: Some(self.key.name.clone()),
            uid: Some(self.uid.clone()),
            ..ObjectReference::default()
        }
    }
}

/// Who owns an object as its controller; it has one at most.
pub fn controller_of<K: kube::ResourceExt>(object: &K) -> Option<&OwnerReference> {
    let mut owners = object.owner_references().iter();
    owners.find(|owner| owner.controller == Some(true))
}

/// Whether an object of ours owns it as its controller. What people name may have a controller of its own.
pub fn is_ours<K: Identified>(object: &K) -> bool {
    let mut owners = object.owned_by();
    owners.any(|owner| owner.is_controller && owner.api_version.starts_with(GROUP))
}

/// Whether anybody but us has written fields of an object, besides its status.
pub fn has_other_writers(metadata: &ObjectMeta) -> bool {
    let mut entries = metadata.managed_fields.iter().flatten();
    entries.any(|entry| {
        let is_whole = entry.subresource.as_deref().unwrap_or_default().is_empty();
        is_whole && entry.manager.as_deref() != Some(label::SLIPWAY)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_says_what_it_is_and_who_made_it() {
        let manifest = Manifest::new(
            ObjectKind::Service,
            Key::new("shop", "api-stable"),
            &[(label::ROLLOUT, "api")],
            None,
            json!({"spec": {"ports": []}}),
        );
        assert_eq!(
            manifest.body,
            json!({
                "apiVersion": "v1", "kind": "Service",
                "metadata": {
                    "namespace": "shop", "name": "api-stable",
                    "labels": {"app.kubernetes.io/managed-by": "slipway", "slipway.dev/rollout": "api"},
                },
                "spec": {"ports": []},
            })
        );
    }
}
