//! Everything that touches the API server, shared by all kinds.
//!
//! Reading goes through one cache per kind, fed by one watch (`watch.rs`); writing goes through
//! `write.rs`, which puts what the server answers back into the cache, so that a plan never stands on
//! anything older than our own last write. Talks to the API server.

pub mod asked;
pub mod cache;
pub mod caches;
pub mod client;
pub mod deliveries;
pub mod event;
pub mod fetch;
pub mod page;
pub mod preflight;
pub mod remote;
pub mod review;
pub mod sweep;
pub mod watch;
pub mod write;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};
use kube::api::{DynamicObject, ListParams};
use kube::{Api, Client};

use crate::clock::Clock;
use crate::environment::alert::Delivered;
use crate::environment::observed::Frozen;
use crate::model::object::ObjectKind;
use crate::pipeline::api::{Builder, Isolation};
use crate::pipeline::trigger::event::Event;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::trace::Changes;
use asked::Asked;
use caches::Caches;
use deliveries::Deliveries;
use remote::{Reaching, Remotes};

/// How long it is believed that the cluster has a kind.
const SERVED_FOR: SignedDuration = SignedDuration::from_mins(1);
/// How long it is believed that the cluster does not have a kind: people who install one want to see it used.
const MISSING_FOR: SignedDuration = SignedDuration::from_secs(10);

/// The handle that every reconcile reads and writes through.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
    /// A client that never tries again by itself.
    evictor: Client,
    http: fetch::Http,
    events: event::Events,
    metrics: Metrics,
    changes: Changes,
    clock: Clock,
    images: Arc<StageImages>,
    namespace: Arc<str>,
    name: Option<Arc<str>>,
    copies_secrets: bool,
    reads_secrets: bool,
    reads_stage_secrets: bool,
    /// Namespaces that previews may have, `""` for all; nothing where there are none to be.
    previews: Option<Arc<[String]>>,
    frozen: Option<Frozen>,
    reaching: Reaching,
    /// Kinds that the cluster has or does not have, and when that was so.
    served: Arc<Mutex<HashMap<ObjectKind, (bool, Timestamp)>>>,
    /// What was read by `refresh_once`: kind, namespace, selector.
    refreshed: Arc<Mutex<HashSet<(ObjectKind, String, String)>>>,
    /// What the watches know.
    pub caches: Caches,
    /// When questions to the outside were last answered.
    pub asked: Asked,
    /// Alerts that were delivered, until they are on record.
    pub deliveries: Deliveries<Delivered>,
    /// What git providers have told, until it is on record.
    pub told: Deliveries<Event>,
    /// Other clusters that Environments are in.
    pub remotes: Remotes,
}

/// Where stage pods send what they say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiverPlace {
    /// URL of the operator's receiver, as pods reach it.
    pub url: String,
    /// Longest log of a pod, in bytes.
    pub max_log_bytes: u64,
}

/// What the operator brings into stage pods. Without an image, the stages that need it say so and fail.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StageImages {
    /// Has `slipway-runner` and git.
    pub runner: Option<String>,
    /// Has buildkitd, buildctl and buildkit-runc; rootlesskit and newuidmap too, where builds are to be rootless.
    pub buildkit: Option<String>,
    /// Has syft.
    pub syft: Option<String>,
    /// Where logs and claims go; without it pods keep their logs to themselves.
    pub receiver: Option<ReceiverPlace>,
    /// Has buildah.
    pub buildah: Option<String>,
    /// What may keep builds apart from their nodes; the first is what `Auto` takes.
    pub isolations: Vec<Isolation>,
}

impl StageImages {
    /// The flag of the operator that names a builder's image, and that image.
    pub fn of_builder(&self, builder: Builder) -> (&'static str, Option<&str>) {
        match builder {
            Builder::BuildKit => ("--buildkit-image", self.buildkit.as_deref()),
            Builder::Buildah => ("--buildah-image", self.buildah.as_deref()),
        }
    }
}

impl Cluster {
    /// A handle on the cluster behind `client`.
    pub fn new(client: Client, http: fetch::Http, metrics: Metrics, clock: Clock) -> Self {
        let events = event::Events::new(client.clone());
        Self {
            evictor: client.clone(),
            client,
            http,
            events,
            metrics,
            changes: Changes::default(),
            clock,
            images: Arc::default(),
            namespace: Arc::from(""),
            name: None,
            copies_secrets: false,
            reads_secrets: false,
            reads_stage_secrets: false,
            previews: None,
            frozen: None,
            reaching: Reaching::default(),
            served: Arc::default(),
            refreshed: Arc::default(),
            caches: Caches::default(),
            asked: Asked::default(),
            deliveries: Deliveries::default(),
            told: Deliveries::default(),
            remotes: Remotes::default(),
        }
    }

    /// The same handle, with the images of stage pods.
    #[must_use]
    pub fn with_images(self, images: StageImages) -> Self {
        Self {
            images: Arc::new(images),
            ..self
        }
    }

    /// The same handle, with the operator's own namespace.
    #[must_use]
    pub fn with_namespace(self, namespace: &str) -> Self {
        Self {
            namespace: namespace.into(),
            ..self
        }
    }

    /// The same handle, on a cluster that people call so.
    #[must_use]
    pub fn with_name(self, name: Option<&str>) -> Self {
        let name = name.map(Into::into);
        Self { name, ..self }
    }

    /// What people call the cluster, if anything.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The operator's own namespace.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The same handle, which may read and copy Secrets, or not.
    #[must_use]
    pub fn with_secret_snapshots(self, copies_secrets: bool) -> Self {
        Self {
            copies_secrets,
            ..self
        }
    }

    /// The same handle, which may read Secrets that metrics name, or not.
    #[must_use]
    pub fn with_metric_secrets(self, reads_secrets: bool) -> Self {
        Self {
            reads_secrets,
            ..self
        }
    }

    /// The same handle, which may read Secrets that Pipelines name, or not.
    #[must_use]
    pub fn with_stage_secrets(self, reads_stage_secrets: bool) -> Self {
        Self {
            reads_stage_secrets,
            ..self
        }
    }

    /// The same handle, which may make previews in these namespaces (`""` for all), or none.
    #[must_use]
    pub fn with_previews(self, namespaces: Option<Vec<String>>) -> Self {
        Self {
            previews: namespaces.map(Into::into),
            ..self
        }
    }

    /// Whether previews are made at all.
    pub fn makes_previews(&self) -> bool {
        self.previews.is_some()
    }

    /// Whether this operator makes previews, and watches a namespace.
    pub fn previews_in(&self, namespace: &str) -> bool {
        let watched = self.previews.iter().flat_map(|watched| watched.iter());
        watched
            .into_iter()
            .any(|watched| watched.is_empty() || watched == namespace)
    }

    /// The same handle, of an operator that reaches other clusters, or of one that does not.
    #[must_use]
    pub fn with_clusters(self, reaching: Reaching) -> Self {
        Self { reaching, ..self }
    }

    /// Whether other clusters are reached.
    pub fn reaches_clusters(&self) -> bool {
        self.reaching != Reaching::Nothing
    }

    /// The same handle, of an operator that promotes nothing, or of one that does.
    #[must_use]
    pub fn with_freeze(self, frozen: Option<Frozen>) -> Self {
        Self { frozen, ..self }
    }

    /// The same handle, of an operator that traces the ways of changes.
    #[must_use]
    pub fn with_changes(self, changes: Changes) -> Self {
        Self { changes, ..self }
    }

    /// Where the ways of changes are traced to.
    pub fn changes(&self) -> &Changes {
        &self.changes
    }

    /// The same handle, with a client for evictions: one that does not try again by itself what is refused with 429.
    /// That a pod may not go now is an answer.
    #[must_use]
    pub fn with_evictor(self, evictor: Client) -> Self {
        Self { evictor, ..self }
    }

    /// The images of stage pods.
    pub fn images(&self) -> &StageImages {
        &self.images
    }

    /// Whether Secrets may be read and copied.
    pub fn copies_secrets(&self) -> bool {
        self.copies_secrets
    }

    /// Whether Secrets that Pipelines name may be read.
    pub fn reads_stage_secrets(&self) -> bool {
        self.reads_stage_secrets
    }

    /// Why nothing is promoted, if nothing is.
    pub fn frozen(&self) -> Option<Frozen> {
        self.frozen.clone()
    }

    /// The raw client, for watches and the few reads that are not cached.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The metrics registry.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// The clock.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Where events are sent.
    pub fn events(&self) -> &event::Events {
        &self.events
    }

    /// Whether the cluster has a kind that it need not have. That is asked again after a while: people install and remove
    /// definitions.
    pub async fn serves(&self, kind: ObjectKind) -> Result<bool, Box<kube::Error>> {
        let now = self.clock.now();
        let known = self.served().get(&kind).copied();
        if let Some((serves, at)) = known {
            let believed_for = if serves { SERVED_FOR } else { MISSING_FOR };
            if now.duration_since(at).abs() < believed_for {
                return Ok(serves);
            }
        }
        let version = kind.api_version();
        let serves = match self.client.list_api_group_resources(&version).await {
            Ok(list) => list.resources.iter().any(|one| one.name == kind.plural()),
            // Of a group that is not there the server says so in plain words, and not in a Status.
            Err(kube::Error::Api(status)) if status.code == 404 => false,
            Err(error) => return Err(Box::new(error)),
        };
        self.served().insert(kind, (serves, now));
        Ok(serves)
    }

    // A poisoned lock means that a thread panicked between two complete updates; the data is sound.
    fn served(&self) -> MutexGuard<'_, HashMap<ObjectKind, (bool, Timestamp)>> {
        self.served.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same as [`Cluster::refresh`], the first time that this process is asked for it: what came before us is known then,
    /// and what we write ourselves is always. For objects that many share.
    pub async fn refresh_once(
        &self,
        kind: ObjectKind,
        namespace: &str,
        selector: &str,
    ) -> Result<(), Box<kube::Error>> {
        let what = (kind, namespace.to_owned(), selector.to_owned());
        let is_known = |what| {
            let known = self.refreshed.lock();
            known.unwrap_or_else(PoisonError::into_inner).contains(what)
        };
        if !is_known(&what) {
            self.refresh(kind, namespace, selector).await?;
            let mut known = self
                .refreshed
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            known.insert(what);
        }
        Ok(())
    }

    /// Reads the objects that carry a label from the server into their cache. A kind that the cluster does
    /// not have has no objects.
    pub async fn refresh(
        &self,
        kind: ObjectKind,
        namespace: &str,
        selector: &str,
    ) -> Result<(), Box<kube::Error>> {
        let api: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), namespace, &kind.api_resource());
        let of_label = ListParams::default().labels(selector);
        let list = match page::list(&api, &of_label).await {
            Ok(list) => list,
            Err(kube::Error::Api(status)) if status.is_not_found() => return Ok(()),
            Err(error) => return Err(Box::new(error)),
        };
        for object in list {
            self.remember(kind, object);
        }
        Ok(())
    }
}
