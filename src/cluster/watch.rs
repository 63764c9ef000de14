//! One watch per kind and namespace: feeds the kind's cache and wakes whoever has to look. Talks to the API server.

mod coming;

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{Api, DynamicObject};
use kube::core::{DeserializeGuard, ObjectMeta};
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt, watcher as watch_objects};
use kube::{Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use super::cache::Cache;
use super::caches::Caches;
use crate::controller::queue::Queue;
use crate::error::chain;
use crate::model::key::Key;
use crate::model::label;
use crate::model::meta::Identified;
use crate::model::object::ObjectKind;
use crate::model::workload::Pod;
use crate::rollout::config;
use crate::telemetry::metrics::Metrics;
use coming::{Coming, arrived};

/// What a watch selects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Every object of the kind.
    All,
    /// Objects that carry our label.
    Ours,
    /// Objects of a kind that a cluster need not have: those that carry our label, and those of people's that an object
    /// of ours names. The watch starts when the first one is named, and what nobody names is not kept.
    Named,
    /// Of a kind of which ours are watched anyway, those of people's that an object of ours names: a second watch, which
    /// starts when the first one is named.
    Theirs,
}

impl Scope {
    /// Name of the part of a cache that the watch feeds, where that is not all of it.
    fn part(self) -> &'static str {
        match self {
            Self::All | Self::Ours | Self::Named => "",
            Self::Theirs => "theirs",
        }
    }

    /// Whether the watch brings objects that carry our label, and others.
    fn brings(self, is_labelled: bool) -> bool {
        match self {
            Self::All | Self::Named => true,
            Self::Ours => is_labelled,
            Self::Theirs => !is_labelled,
        }
    }
}

/// Work queues by kind, for waking.
pub type Queues = HashMap<ObjectKind, Arc<Queue>>;

/// Starts watches.
#[derive(Clone)]
pub struct Watches {
    /// Where to watch.
    pub client: Client,
    /// Namespaces to watch; `""` alone means all.
    pub namespaces: Vec<String>,
    /// Whether Secrets may be watched.
    pub copies_secrets: bool,
    /// Whom to wake.
    pub queues: Arc<Queues>,
    /// Where to count.
    pub metrics: Metrics,
    /// Ends the watches.
    pub stop: CancellationToken,
    /// Runs the watches.
    pub tasks: TaskTracker,
}

impl Watches {
    /// Starts the watch of one kind, which feeds one of `caches`, in every namespace.
    pub fn start<K>(&self, kind: ObjectKind, scope: Scope, cache: &Cache<K>, caches: &Caches)
    where
        K: Clone + Debug + DeserializeOwned + Identified + Send + Sync + Watchable + 'static,
    {
        if kind == ObjectKind::Secret && !self.copies_secrets {
            return;
        }
        for namespace in &self.namespaces {
            let stream = K::stream(&self.client, kind, namespace, selected(kind, scope));
            let feed = Feed {
                kind,
                scope,
                namespace: namespace.clone(),
                cache: cache.clone(),
                caches: caches.clone(),
                metrics: self.metrics.clone(),
            };
            let stop = self.stop.clone();
            self.tasks
                .spawn(stop.run_until_cancelled_owned(feed.run(stream)));
        }
    }
}

fn selected(kind: ObjectKind, scope: Scope) -> watcher::Config {
    // Any version will do for the first list: it comes from the API server's memory, not from etcd.
    let config = watcher::Config::default().any_semantic();
    match scope {
        // What no revision gets a copy of stays where it is: records of Helm alone may be larger than all the rest.
        Scope::Named if kind == ObjectKind::Secret => {
            config.fields(&others_than(config::NOT_COPIED))
        }
        Scope::All | Scope::Named => config,
        Scope::Ours => config.labels(label::COMPONENT),
        Scope::Theirs => config.labels(&format!("!{}", label::COMPONENT)),
    }
}

/// A selector of objects that have none of these types.
fn others_than(types: &[&str]) -> String {
    let each = types.iter().map(|type_| format!("type!={type_}"));
    each.collect::<Vec<_>>().join(",")
}

type Events<K> = futures::stream::BoxStream<'static, watcher::Result<Event<K>>>;

/// Types that can be watched: typed ones, and dynamic ones by the kind's API resource.
pub trait Watchable: Sized {
    /// The events of one namespace (`""` for all).
    fn stream(client: &Client, kind: ObjectKind, ns: &str, config: watcher::Config)
    -> Events<Self>;

    /// The metadata, of what is not kept in parts.
    fn whole_metadata(&mut self) -> Option<&mut ObjectMeta> {
        None
    }

    /// Drops what besides parts of the metadata no plan reads.
    fn slim(&mut self) {}
}

/// Objects of our own kinds come from people: one that does not decode must not stop the rest.
macro_rules! watchable {
    (
        guarded: $($own:ty),* ;
        typed: $($typed:path $(=> $slim:ident)?),* ;
        parts: $($part:path $(=> $slim_part:ident)?),* $(,)?
    ) => {
        $(impl Watchable for $own {
            fn stream(client: &Client, kind: ObjectKind, ns: &str, config: watcher::Config) -> Events<Self> {
                let api: Api<DeserializeGuard<Self>> = api(client, ns);
                watch_objects(api, config)
                    .filter_map(move |event| std::future::ready(unguarded(kind, event)))
                    .default_backoff()
                    .boxed()
            }

            fn whole_metadata(&mut self) -> Option<&mut ObjectMeta> {
                Some(&mut self.metadata)
            }
        })*
        $(impl Watchable for $typed {
            fn stream(client: &Client, _: ObjectKind, ns: &str, config: watcher::Config) -> Events<Self> {
                let api: Api<Self> = api(client, ns);
                watch_objects(api, config).default_backoff().boxed()
            }

            fn whole_metadata(&mut self) -> Option<&mut ObjectMeta> {
                Some(&mut self.metadata)
            }

            $(fn slim(&mut self) {
                $slim(self);
            })?
        })*
        $(impl Watchable for $part {
            fn stream(client: &Client, _: ObjectKind, ns: &str, config: watcher::Config) -> Events<Self> {
                let api: Api<Coming<Self>> = api(client, ns);
                watch_objects(api, config)
                    .map(|event| event.map(arrived))
                    .default_backoff()
                    .boxed()
            }

            $(fn slim(&mut self) {
                $slim_part(self);
            })?
        })*
    };
}

watchable! {
    guarded:
        crate::analysis::api::AnalysisTemplate,
        crate::decision::api::Decision,
        crate::environment::api::Environment,
        crate::pipeline::api::Pipeline,
        crate::pipeline_run::api::PipelineRun,
        crate::promotion::api::Promotion,
        crate::release::api::Release,
        crate::rollout::api::Rollout;
    typed:
        k8s_openapi::api::apps::v1::ControllerRevision,
        k8s_openapi::api::core::v1::ConfigMap => config_map_without_copy,
        k8s_openapi::api::core::v1::Secret => secret_without_copy,
        k8s_openapi::api::core::v1::Service,
        k8s_openapi::api::discovery::v1::EndpointSlice,
        crate::model::workload::Deployment;
    parts:
        crate::model::workload::Job,
        Pod => pod_of_what_is_read,
        crate::model::workload::ReplicaSet,
}

fn pod_of_what_is_read(pod: &mut Pod) {
    pod.slim();
}

/// Whether a Rollout has made it. What it has made as a copy is never read again.
fn is_of_rollout<K: ResourceExt>(object: &K) -> bool {
    object.labels().contains_key(label::ROLLOUT)
}

fn config_map_without_copy(map: &mut ConfigMap) {
    if is_of_rollout(map) {
        (map.data, map.binary_data) = (None, None);
    }
}

fn secret_without_copy(secret: &mut Secret) {
    if is_of_rollout(secret) {
        (secret.data, secret.string_data) = (None, None);
    }
}

impl Watchable for DynamicObject {
    fn stream(
        client: &Client,
        kind: ObjectKind,
        ns: &str,
        config: watcher::Config,
    ) -> Events<Self> {
        let resource = kind.api_resource();
        let api: Api<Self> = if ns.is_empty() {
            Api::all_with(client.clone(), &resource)
        } else {
            Api::namespaced_with(client.clone(), ns, &resource)
        };
        watch_objects(api, config).default_backoff().boxed()
    }

    fn whole_metadata(&mut self) -> Option<&mut ObjectMeta> {
        Some(&mut self.metadata)
    }
}

fn api<K>(client: &Client, ns: &str) -> Api<K>
where
    K: Resource<Scope = kube::core::NamespaceResourceScope>,
    K::DynamicType: Default,
{
    if ns.is_empty() {
        Api::all(client.clone())
    } else {
        Api::namespaced(client.clone(), ns)
    }
}

/// Takes the guard off. An object that does not decode is reported and left out, except for its going.
fn unguarded<K>(
    kind: ObjectKind,
    event: watcher::Result<Event<DeserializeGuard<K>>>,
) -> Option<watcher::Result<Event<K>>>
where
    K: Resource<DynamicType = ()>,
{
    let checked = |guard: DeserializeGuard<K>| match guard.0 {
        Ok(object) => Some(object),
        Err(invalid) => {
            let name = invalid.metadata.name.unwrap_or_default();
            let namespace = invalid.metadata.namespace.unwrap_or_default();
            warn!(kind = kind.kind(), namespace, name, error = %invalid.error, "object left out: it cannot be read");
            None
        }
    };
    Some(match event {
        Ok(Event::Apply(guard)) => Ok(Event::Apply(checked(guard)?)),
        Ok(Event::InitApply(guard)) => Ok(Event::InitApply(checked(guard)?)),
        Ok(Event::Delete(guard)) => Ok(Event::Delete(checked(guard)?)),
        Ok(Event::Init) => Ok(Event::Init),
        Ok(Event::InitDone) => Ok(Event::InitDone),
        Err(error) => Err(error),
    })
}

struct Feed<K> {
    kind: ObjectKind,
    scope: Scope,
    namespace: String,
    cache: Cache<K>,
    caches: Caches,
    metrics: Metrics,
}

impl<K: Identified + Clone + Debug + Watchable> Feed<K> {
    async fn run(self, mut events: Events<K>) {
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => self.take(event),
                Err(error) => {
                    self.metrics.watch_error(self.kind);
                    let error = chain(&error);
                    debug!(
                        kind = self.kind.kind(),
                        namespace = self.namespace,
                        error,
                        "watch interrupted"
                    );
                }
            }
        }
    }

    fn take(&self, event: Event<K>) {
        let event = pruned(event, |metadata| {
            self.caches.needs_managers(self.kind, metadata)
        });
        if let Event::Apply(object) | Event::InitApply(object) = &event
            && !self.is_kept(object)
        {
            // Whoever names it again asks for it as it is then.
            self.cache.leave_out(&Key::of(object));
            return;
        }
        let (scope, part) = (self.scope, self.scope.part());
        let covers = |object: &K| scope.brings(is_labelled(object));
        let cache = &self.cache;
        let news = cache.observe_part(&self.namespace, part, covers, event);
        self.metrics.watch_event(self.kind);
        self.caches.wake(self.kind, &news);
    }
}

impl<K: Identified + Clone + Debug + Watchable> Feed<K> {
    /// Whether anybody needs the object. Slices are needed with the Service that they are of.
    fn is_kept(&self, object: &K) -> bool {
        if matches!(self.scope, Scope::All | Scope::Ours) || is_labelled(object) {
            return true;
        }
        let own = Key::of(object);
        match object.own_label(label::SERVICE_NAME) {
            Some(service) if self.kind == ObjectKind::EndpointSlice => {
                let service = Key::new(own.namespace, service);
                self.caches.is_named(ObjectKind::Service, &service)
            }
            _ => self.caches.is_named(self.kind, &own),
        }
    }
}

fn is_labelled<K: Identified>(object: &K) -> bool {
    object.own_label(label::COMPONENT).is_some()
}

/// Leaves out what no plan reads and what makes up half of an object's size.
fn pruned<K: Watchable>(event: Event<K>, needs_managers: impl Fn(&ObjectMeta) -> bool) -> Event<K> {
    let prune = |mut object: K| {
        if let Some(metadata) = object.whole_metadata() {
            if !needs_managers(metadata) {
                // An empty list would keep the room for those that were in it.
                metadata.managed_fields = None;
            }
            // A list that is read grows by more than it needs.
            if let Some(owners) = &mut metadata.owner_references {
                owners.shrink_to_fit();
            }
            if let Some(annotations) = &mut metadata.annotations {
                annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
            }
        }
        object.slim();
        object
    };
    match event {
        Event::Apply(object) => Event::Apply(prune(object)),
        Event::InitApply(object) => Event::InitApply(prune(object)),
        Event::Delete(object) => Event::Delete(prune(object)),
        Event::Init => Event::Init,
        Event::InitDone => Event::InitDone,
    }
}

/// Waits until the first list of every kind is complete, or `deadline` has passed: then the kinds that
/// are missing are returned.
pub async fn wait_for_sync(
    unsynced: impl Fn() -> Vec<ObjectKind>,
    deadline: Duration,
) -> Result<(), Vec<ObjectKind>> {
    let mut tick = tokio::time::interval(Duration::from_millis(20));
    let wait = async {
        while !unsynced().is_empty() {
            tick.tick().await;
        }
    };
    tokio::time::timeout(deadline, wait)
        .await
        .map_err(|_| unsynced())
}
