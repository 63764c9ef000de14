//! One cache per watched kind, and who is woken when an object of it changes. No I/O.
//!
//! Three kinds of objects are woken by a change:
//! - the changed object itself, unless the change is its own reconciler's write;
//! - its *parents*, which it belongs to: a ReplicaSet's Rollout, a Promotion's Environment;
//! - *listeners*, which only need to hear of it: an Environment listens to the Rollouts that it lists and
//!   to the Pipelines and Environments that it takes Releases from; a Rollout listens to its Environment and to the
//!   AnalysisTemplates that it names; a PipelineRun of which only so many may be under way listens to its Pipeline.
//!
//! An object without a controller (a Promotion, a Release) passes the news on: to its own parents, and to
//! those who listen to its parents. That is how a new Release reaches every Environment that takes from its Pipeline.

mod interest;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::ResourceExt;
use kube::api::DynamicObject;
use kube::core::ObjectMeta;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::cache::{Cache, News, Parent};
use super::watch::{Queues, Scope, Watchable, Watches};
use crate::analysis::api::AnalysisTemplate;
use crate::decision::api::{Decision, TargetKind};
use crate::environment::api::Environment;
use crate::environment::preview;
use crate::model::key::Key;
use crate::model::label;
use crate::model::manifest::has_other_writers;
use crate::model::meta::Identified;
use crate::model::object::ObjectKind;
use crate::model::workload::{Deployment, Job, Pod, ReplicaSet};
use crate::pipeline::api::Pipeline;
use crate::pipeline_run::api::PipelineRun;
use crate::promotion::api::Promotion;
use crate::release::api::Release;
use crate::rollout::api::Rollout;
use interest::{awaited_by, followed_by, interests_of, named_by};

/// Declares the caches. Each line is a field, the type of its objects, their kind, what the watch selects,
/// who their parents are and, where they have any, what they listen to; a new watched kind is a new line
/// and nothing else.
macro_rules! caches {
    ($($(#[$doc:meta])* $field:ident: $type:ty = $kind:ident, $scope:ident, $parents:expr $(, $interests:expr)?;)*) => {
        /// All caches. Cloning clones handles.
        #[derive(Clone)]
        pub struct Caches {
            $($(#[$doc])* pub $field: Cache<$type>,)*
            queues: Arc<OnceLock<Arc<Queues>>>,
            watches: Arc<OnceLock<Watches>>,
            /// Watches that have been started.
            started: Arc<Mutex<BTreeSet<(ObjectKind, Scope)>>>,
        }

        impl Default for Caches {
            fn default() -> Self {
                Self {
                    $($field: Cache::new($parents)$(.interested_in($interests))?,)*
                    queues: Arc::default(),
                    watches: Arc::default(),
                    started: Arc::default(),
                }
            }
        }

        impl Caches {
            /// Puts the answer to one of our own writes where the next plan reads it, and wakes others who
            /// have to hear of it.
            pub fn remember(&self, kind: ObjectKind, object: &Value) {
                $(if kind == ObjectKind::$kind {
                    let (news, is_unseen) = put(&self.$field, object);
                    // Nobody but its own Rollout has to hear of a ReplicaSet, and that is who wrote it.
                    if kind.is_own() && is_unseen {
                        self.wake(kind, &news);
                    } else if kind.is_own() {
                        self.wake_related(kind, &news);
                    }
                })*
            }

            /// Drops an object that we deleted.
            pub fn forget(&self, kind: ObjectKind, key: &Key, uid: &str) {
                $(if kind == ObjectKind::$kind { self.$field.forget(key, uid); })*
            }

            /// Starts the one watch of every kind, but for those that wait until somebody needs them.
            pub fn watch(&self, watches: Watches) {
                let _ = self.queues.set(Arc::clone(&watches.queues));
                let _ = self.watches.set(watches);
                $(if Scope::$scope != Scope::Named { self.start(ObjectKind::$kind); })*
            }

            /// Starts the watch of a kind, if it has not been.
            fn start(&self, kind: ObjectKind) {
                $(if kind == ObjectKind::$kind { self.start_as(kind, Scope::$scope); })*
            }

            fn start_as(&self, kind: ObjectKind, scope: Scope) {
                let Some(watches) = self.watches.get() else { return };
                if !self.started.lock().unwrap_or_else(PoisonError::into_inner).insert((kind, scope)) {
                    return;
                }
                $(if kind == ObjectKind::$kind {
                    watches.start(kind, scope, &self.$field, self);
                })*
            }

            /// The kinds whose first list is not complete in one of these namespaces. Those that a cluster need not have
            /// are not waited for.
            pub fn unsynced(&self, namespaces: &[String]) -> Vec<ObjectKind> {
                let mut missing = Vec::new();
                $(if Scope::$scope != Scope::Named && !self.$field.is_synced(namespaces) {
                    missing.push(ObjectKind::$kind);
                })*
                missing
            }

            /// The objects of a kind that routers read and write.
            pub fn routes(&self, kind: ObjectKind) -> Option<&Cache<DynamicObject>> {
                match kind {
                    ObjectKind::HttpRoute => Some(&self.http_routes),
                    ObjectKind::GrpcRoute => Some(&self.grpc_routes),
                    ObjectKind::VirtualService => Some(&self.virtual_services),
                    ObjectKind::DestinationRule => Some(&self.destination_rules),
                    ObjectKind::TraefikService => Some(&self.traefik_services),
                    ObjectKind::Ingress => Some(&self.ingresses),
                    _ => None,
                }
            }

            /// Whether it matters who has written which field of an object: of what says where requests go, that is people's,
            /// or that anybody but us has written.
            pub fn needs_managers(&self, kind: ObjectKind, metadata: &ObjectMeta) -> bool {
                let carries_traffic = kind == ObjectKind::Service || self.routes(kind).is_some();
                let labels = metadata.labels.as_ref();
                let is_ours = labels.is_some_and(|labels| labels.contains_key(label::COMPONENT));
                carries_traffic && (!is_ours || has_other_writers(metadata))
            }

            /// Objects known per kind, for metrics.
            pub fn sizes(&self) -> Vec<(ObjectKind, usize)> {
                vec![$((ObjectKind::$kind, self.$field.len()),)*]
            }

            fn parents_of(&self, object: &Parent) -> Vec<Parent> {
                $(if object.kind == ObjectKind::$kind { return self.$field.parents_of(&object.key); })*
                Vec::new()
            }

            fn listeners_to(&self, what: &Parent) -> Vec<Parent> {
                let mut listeners = Vec::new();
                $({
                    let kind = ObjectKind::$kind;
                    let keys = self.$field.listeners_to(what);
                    listeners.extend(keys.into_iter().map(|key| Parent { kind, key }));
                })*
                listeners
            }
        }
    };
}

impl Caches {
    /// Whether an object of ours names this one.
    pub fn is_named(&self, kind: ObjectKind, key: &Key) -> bool {
        let key = key.clone();
        !self.listeners_to(&Parent { kind, key }).is_empty()
    }

    /// Starts the watches of what a Rollout names.
    fn follow(&self, rollout: &Key) {
        let Some(rollout) = self.rollouts.get(rollout) else {
            return;
        };
        for named in named_by(&rollout) {
            if named.kind == ObjectKind::Service {
                // Ours are watched anyway.
                self.start_as(ObjectKind::Service, Scope::Theirs);
                self.start_as(ObjectKind::EndpointSlice, Scope::Theirs);
            } else {
                self.start(named.kind);
            }
        }
    }

    /// Starts the watch of a kind that has rules of SLOs. Of PrometheusRules people have many, and none of them matters.
    pub fn watch_rules(&self, kind: ObjectKind) {
        if kind == ObjectKind::PrometheusRule {
            self.start_as(kind, Scope::Ours);
        } else {
            self.start(kind);
        }
    }

    /// Has an object looked at by its own reconciler.
    pub fn look_at(&self, kind: ObjectKind, key: &Key) {
        let key = key.clone();
        self.queue(&Parent { kind, key });
    }

    /// Wakes whoever has to look after a watch event.
    pub fn wake(&self, kind: ObjectKind, news: &News) {
        if kind == ObjectKind::Rollout {
            for key in &news.changed {
                self.follow(key);
            }
        }
        for key in &news.changed {
            self.queue(&Parent {
                kind,
                key: key.clone(),
            });
        }
        self.wake_related(kind, news);
    }

    /// Wakes the parents of what changed and whoever listens to it.
    fn wake_related(&self, kind: ObjectKind, news: &News) {
        let mut woken: BTreeSet<Parent> = news.parents.iter().cloned().collect();
        for parent in &news.parents {
            if !self.has_queue(parent.kind) {
                woken.extend(self.parents_of(parent));
            }
            if parent.kind == ObjectKind::Service {
                woken.extend(self.listeners_to(parent));
            }
        }
        for key in &news.changed {
            let key = key.clone();
            woken.extend(self.listeners_to(&Parent { kind, key }));
        }
        if kind.is_own() && !self.has_queue(kind) {
            let parents = news.parents.iter();
            woken.extend(parents.flat_map(|parent| self.listeners_to(parent)));
        }
        if kind == ObjectKind::PipelineRun {
            let parents = news.parents.iter();
            let listeners = parents.flat_map(|parent| self.listeners_to(parent));
            woken.extend(listeners.filter(|listener| self.shows_previews(listener)));
        }
        for object in &woken {
            self.queue(object);
        }
    }

    /// Whether it is an Environment that shows what runs of pull requests have made.
    fn shows_previews(&self, object: &Parent) -> bool {
        let environment = self.environments.get(&object.key);
        let environment = environment.filter(|_| object.kind == ObjectKind::Environment);
        environment.is_some_and(|environment| environment.spec.previews.is_some())
    }

    fn has_queue(&self, kind: ObjectKind) -> bool {
        self.queues
            .get()
            .is_some_and(|queues| queues.contains_key(&kind))
    }

    fn queue(&self, object: &Parent) {
        let queue = self
            .queues
            .get()
            .and_then(|queues| queues.get(&object.kind));
        if let Some(queue) = queue {
            queue.add(object.key.clone());
        }
    }
}

caches! {
    /// Rollouts.
    rollouts: Rollout = Rollout, All, by_preview, interests_of;
    /// ReplicaSets that carry our label.
    replica_sets: ReplicaSet = ReplicaSet, Ours, by_label_or_owner;
    /// Deployments that Rollouts take over.
    deployments: Deployment = Deployment, Named, no_parent;
    /// Pods that carry our label.
    pods: Pod = Pod, Ours, by_label_or_owner;
    /// Services that carry our label.
    services: Service = Service, Ours, by_label_or_owner;
    /// EndpointSlices of those Services, which pass their labels on. Of both kinds people's are watched as well once a
    /// Rollout names some.
    endpoint_slices: EndpointSlice = EndpointSlice, Ours, by_label_or_service;
    /// HTTPRoutes.
    http_routes: DynamicObject = HttpRoute, Named, by_label_or_owner;
    /// GRPCRoutes.
    grpc_routes: DynamicObject = GrpcRoute, Named, by_label_or_owner;
    /// VirtualServices of Istio.
    virtual_services: DynamicObject = VirtualService, Named, by_label_or_owner;
    /// DestinationRules of Istio.
    destination_rules: DynamicObject = DestinationRule, Named, by_label_or_owner;
    /// TraefikServices.
    traefik_services: DynamicObject = TraefikService, Named, by_label_or_owner;
    /// Ingresses.
    ingresses: DynamicObject = Ingress, Named, by_label_or_owner;
    /// ConfigMaps that pods of Rollouts read, and the copies that revisions have.
    config_maps: ConfigMap = ConfigMap, Named, by_label_or_owner;
    /// Secrets of which revisions get copies, and these copies.
    secrets: Secret = Secret, Named, by_label_or_owner;
    /// AnalysisTemplates.
    analysis_templates: AnalysisTemplate = AnalysisTemplate, All, no_parent;
    /// PrometheusRules that carry our label.
    prometheus_rules: DynamicObject = PrometheusRule, Named, by_label_or_owner;
    /// Environments.
    environments: Environment = Environment, All, no_parent, followed_by;
    /// Promotions.
    promotions: Promotion = Promotion, All, by_environment;
    /// Decisions, which belong to what they are about.
    decisions: Decision = Decision, All, by_target;
    /// Pipelines.
    pipelines: Pipeline = Pipeline, All, no_parent;
    /// PipelineRuns, those that people made too.
    pipeline_runs: PipelineRun = PipelineRun, All, by_pipeline_ref, awaited_by;
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

/// A Rollout of a preview belongs to the Environment in another namespace that has copied it.
fn by_preview(rollout: &Rollout) -> Vec<Parent> {
    let parent = preview::owner_of(rollout).map(|key| Parent {
        kind: ObjectKind::Environment,
        key,
    });
    parent.into_iter().collect()
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
fn by_label_or_owner<K: Identified>(object: &K) -> Vec<Parent> {
    let namespace = object.own_key().namespace;
    let labelled = PARENT_LABELS.iter().filter_map(|(label, kind)| {
        let name = object.own_label(label)?;
        Some(Parent {
            kind: *kind,
            key: Key::new(namespace.clone(), name),
        })
    });
    let owned = object.owned_by().filter_map(|owner| {
        let kind = ObjectKind::own(owner.kind)
            .filter(|_| owner.api_version.starts_with("slipway.dev/"))?;
        Some(Parent {
            kind,
            key: Key::new(namespace.clone(), owner.name),
        })
    });
    let mut parents: Vec<Parent> = labelled.chain(owned).collect();
    parents.sort();
    parents.dedup();
    parents
}

/// A slice of a Service of people's has no label of ours: it belongs to the Service.
fn by_label_or_service(slice: &EndpointSlice) -> Vec<Parent> {
    let parents = by_label_or_owner(slice);
    let service = slice.labels().get(label::SERVICE_NAME);
    match service.filter(|_| parents.is_empty()) {
        Some(service) => related(slice, ObjectKind::Service, [service.as_str()]),
        None => parents,
    }
}

/// A run belongs to the Pipeline that it names: one that a person made has neither label nor owner.
fn by_pipeline_ref(run: &PipelineRun) -> Vec<Parent> {
    let namespace = run.namespace().unwrap_or_default();
    vec![Parent {
        kind: ObjectKind::Pipeline,
        key: Key::new(namespace, run.spec.pipeline_ref.name.clone()),
    }]
}

/// A record of a retained Environment has no owner, and one made by hand no label.
fn by_environment(promotion: &Promotion) -> Vec<Parent> {
    let name = promotion.spec.environment.as_str();
    related(promotion, ObjectKind::Environment, [name])
}

fn by_target(decision: &Decision) -> Vec<Parent> {
    let target = &decision.spec.target;
    let kind = match target.kind {
        TargetKind::Environment => ObjectKind::Environment,
        TargetKind::Rollout => ObjectKind::Rollout,
        TargetKind::Pipeline => ObjectKind::Pipeline,
        TargetKind::PipelineRun => ObjectKind::PipelineRun,
        TargetKind::Promotion => ObjectKind::Promotion,
    };
    related(decision, kind, [target.name.as_str()])
}

/// Objects of one kind in the namespace of another object.
fn related<'a, K: Identified>(
    object: &K,
    kind: ObjectKind,
    names: impl IntoIterator<Item = &'a str>,
) -> Vec<Parent> {
    let namespace = object.own_key().namespace;
    let key = |name: &str| Key::new(namespace.clone(), name);
    names
        .into_iter()
        .map(|name| Parent {
            kind,
            key: key(name),
        })
        .collect()
}

/// Also tells whether its own reconciler cannot know of it: another one has made it, or has read a newer
/// spec from the server. The watch will not tell, because what it brings is no news any more.
fn put<K: Identified + Clone + DeserializeOwned + Watchable>(
    cache: &Cache<K>,
    object: &Value,
) -> (News, bool) {
    // An object that the server accepted but we cannot read arrives through the watch's own guard.
    let Ok(mut object) = K::deserialize(object) else {
        return (News::default(), false);
    };
    object.slim();
    let identity = |object: &K| (object.own_uid().to_owned(), object.own_generation());
    let known = cache.get(&Key::of(&object));
    let known = known.map(|known| identity(&known));
    let is_unseen = known != Some(identity(&object));
    (cache.remember(object), is_unseen)
}

#[cfg(test)]
mod tests;
