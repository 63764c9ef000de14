//! One cache per watched kind, and who is woken when an object of it changes. No I/O.

use k8s_openapi::api::apps::v1::{ControllerRevision, ReplicaSet};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::ResourceExt;
use kube::api::DynamicObject;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::cache::{Cache, Parent};
use super::watch::{Scope, Watches};
use crate::model::key::Key;
use crate::model::label;
use crate::model::object::ObjectKind;
use crate::pipeline::api::Pipeline;
use crate::pipeline_run::api::PipelineRun;
use crate::release::api::Release;
use crate::rollout::api::Rollout;

/// Declares the caches. Each line is a field, the type of its objects, their kind, what the watch selects
/// and who their parents are; a new watched kind is a new line and nothing else.
macro_rules! caches {
    ($($(#[$doc:meta])* $field:ident: $type:ty = $kind:ident, $scope:ident, $parents:expr;)*) => {
        /// All caches. Cloning clones handles.
        #[derive(Clone)]
        pub struct Caches { $($(#[$doc])* pub $field: Cache<$type>,)* }

        impl Default for Caches {
            fn default() -> Self {
                Self { $($field: Cache::new($parents),)* }
            }
        }

        impl Caches {
            /// Puts the answer to one of our own writes where the next plan reads it.
            pub fn remember(&self, kind: ObjectKind, object: &Value) {
                $(if kind == ObjectKind::$kind { put(&self.$field, object); })*
            }

            /// Drops an object that we deleted.
            pub fn forget(&self, kind: ObjectKind, key: &Key, uid: &str) {
                $(if kind == ObjectKind::$kind { self.$field.forget(key, uid); })*
            }

            /// Starts the one watch of every kind.
            pub fn watch(&self, watches: &Watches) {
                $(watches.start(ObjectKind::$kind, Scope::$scope, &self.$field);)*
            }

            /// The kinds whose first list is not complete in one of these namespaces.
            pub fn unsynced(&self, namespaces: &[String]) -> Vec<ObjectKind> {
                let mut missing = Vec::new();
                $(if !self.$field.is_synced(namespaces) { missing.push(ObjectKind::$kind); })*
                missing
            }

            /// Objects known per kind, for metrics.
            pub fn sizes(&self) -> Vec<(ObjectKind, usize)> {
                vec![$((ObjectKind::$kind, self.$field.len()),)*]
            }
        }
    };
}

caches! {
    /// Rollouts.
    rollouts: Rollout = Rollout, All, no_parent;
    /// ReplicaSets that carry our label.
    replica_sets: ReplicaSet = ReplicaSet, Ours, by_label_or_owner;
    /// Pods that carry our label.
    pods: Pod = Pod, Ours, by_label_or_owner;
    /// Services that carry our label.
    services: Service = Service, Ours, by_label_or_owner;
    /// EndpointSlices of those Services, which pass their labels on.
    endpoint_slices: EndpointSlice = EndpointSlice, Ours, by_label_or_owner;
    /// HTTPRoutes that carry our label; empty where the Gateway API is not installed.
    http_routes: DynamicObject = HttpRoute, OursIfInstalled, by_label_or_owner;
    /// Pipelines.
    pipelines: Pipeline = Pipeline, All, no_parent;
    /// PipelineRuns, those that people made too.
    pipeline_runs: PipelineRun = PipelineRun, All, by_pipeline_ref;
    /// Releases.
    releases: Release = Release, All, by_label_or_owner;
    /// Jobs that carry our label.
    jobs: Job = Job, Ours, by_label_or_owner;
    /// The specs that runs follow.
    controller_revisions: ControllerRevision = ControllerRevision, Ours, by_label_or_owner;
}

fn no_parent<K>(_: &K) -> Vec<Parent> {
    Vec::new()
}

/// Labels that name a parent, and the parent's kind.
const PARENT_LABELS: &[(&str, ObjectKind)] = &[
    (label::ROLLOUT, ObjectKind::Rollout),
    (label::PIPELINE_RUN, ObjectKind::PipelineRun),
    (label::PIPELINE, ObjectKind::Pipeline),
    (label::ENVIRONMENT, ObjectKind::Environment),
];

/// A child belongs to the owner that its controller reference names, and to those that its labels name:
/// a ReplicaSet's pods, an orphan and a Service's EndpointSlices have the label only.
fn by_label_or_owner<K: ResourceExt>(object: &K) -> Vec<Parent> {
    let namespace = object.namespace().unwrap_or_default();
    let labelled = PARENT_LABELS.iter().filter_map(|(label, kind)| {
        let name = object.labels().get(*label)?;
        Some(Parent {
            kind: *kind,
            key: Key::new(namespace.clone(), name.clone()),
        })
    });
    let owned = object.owner_references().iter().filter_map(|owner| {
        let kind = ObjectKind::own(&owner.kind)
            .filter(|_| owner.api_version.starts_with("slipway.dev/"))?;
        Some(Parent {
            kind,
            key: Key::new(namespace.clone(), owner.name.clone()),
        })
    });
    let mut parents: Vec<Parent> = labelled.chain(owned).collect();
    parents.sort();
    parents.dedup();
    parents
}

/// A run belongs to the Pipeline that it names: one that a person made has neither label nor owner.
fn by_pipeline_ref(run: &PipelineRun) -> Vec<Parent> {
    let namespace = run.namespace().unwrap_or_default();
    vec![Parent {
        kind: ObjectKind::Pipeline,
        key: Key::new(namespace, run.spec.pipeline_ref.name.clone()),
    }]
}

fn put<K: ResourceExt + Clone + DeserializeOwned>(cache: &Cache<K>, object: &Value) {
    // An object that the server accepted but we cannot read arrives through the watch's own guard.
    if let Ok(object) = serde_json::from_value(object.clone()) {
        cache.remember(object);
    }
}
