//! The one driver of all kinds: observe → plan → status → apply, with a deadline, panic isolation and backoff.
//!
//! The driver writes the status *before* it runs the actions. Whatever a plan is about to do is on
//! record first, so a process that dies in between replays it, and a process that planned on an old
//! version of the object loses the race here (409) before it touched anything else.
//! After actions it plans again at once, on its own writes, until there is nothing left to do.
//!
//! Polling: a plan whose question is due has a `Fetch` and nothing else to say. Once what the answer
//! changed (most often nothing) is on record, the driver notes in `Cluster::asked` when it came; the next
//! plan is handed that time by `observe`, finds nothing due, and wakes after its interval.

mod attempts;
pub mod queue;

use std::collections::HashSet;
use std::fmt::Debug;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::FutureExt;
use jiff::Timestamp;
use kube::{Resource, ResourceExt};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, debug, error, info, info_span, warn};

use crate::cluster::Cluster;
use crate::cluster::cache::Cache;
use crate::cluster::write::WriteError;
use crate::error::{Class, Classify, backoff, chain};
use crate::model::action::{Action, Outcome, Reply};
use crate::model::condition::{ACTION_FAILED, MAX_MESSAGE, truncate};
use crate::model::key::Key;
use crate::model::label;
use crate::model::manifest::Target;
use crate::model::object::ObjectKind;
use crate::model::plan::Plan;
use attempts::{Attempts, jitter};
use queue::Queue;

/// Longest time for one reconcile. Nothing a plan asks for waits; this is for a server that hangs.
const DEADLINE: Duration = Duration::from_mins(1);
/// Plans in a row before other objects get their turn.
const PASSES: usize = 16;
/// What waits for an edit is tried again this often: the edit may be to an object that is not watched.
const RETRY: Duration = Duration::from_mins(1);
/// An object at rest is looked at this often even when no event says so.
const RESYNC: Duration = Duration::from_hours(1);

/// What a kind brings: four functions and its names. See `rollout/mod.rs` for the shape.
pub trait Kind: Send + Sync + 'static {
    /// The custom resource.
    type Object: Resource<DynamicType = ()>
        + Clone
        + Debug
        + serde::Serialize
        + Send
        + Sync
        + 'static;
    /// Everything one reconcile can see.
    type Observed: Send + Sync;
    /// What is remembered in status between reconciles.
    type Progress: Send + Sync + Debug;

    /// Which kind it is.
    const KIND: ObjectKind;
    /// Whether something has to be put back before an object goes.
    const HAS_FINALIZER: bool;

    /// The cache of this kind.
    fn cache(cluster: &Cluster) -> &Cache<Self::Object>;

    /// Reads the children from the server into the caches: once per object and term of leadership, before the
    /// first action, because a watch may lag behind what the leader before us has written.
    fn refresh(
        _object: &Arc<Self::Object>,
        _cluster: &Cluster,
    ) -> impl Future<Output = Result<(), ReconcileError>> + Send {
        std::future::ready(Ok(()))
    }

    /// Reads everything a plan may need. Absence is data, not an error.
    fn observe(
        object: &Arc<Self::Object>,
        cluster: &Cluster,
    ) -> impl Future<Output = Result<Self::Observed, ReconcileError>> + Send;

    /// Decides. Pure and total.
    fn plan(seen: &Self::Observed, now: Timestamp) -> Plan<Self::Progress>;

    /// The whole status, from scratch. Pure. Called before the actions with an empty outcome, and again
    /// after them where they brought replies or failed.
    fn status(
        seen: &Self::Observed,
        plan: &Plan<Self::Progress>,
        outcome: &Outcome,
        now: Timestamp,
    ) -> Value;

    /// The object's gauges, from its status; `None` when the object is gone.
    fn gauge(_cluster: &Cluster, _key: &Key, _status: Option<&Value>) {}
}

/// Why a reconcile did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// A read failed.
    #[error("failed to observe")]
    Observe(#[source] Box<kube::Error>),
    /// A write failed.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// It took too long.
    #[error("no end within {} s", DEADLINE.as_secs())]
    Deadline,
    /// Plan followed plan: something undoes what they do, or it has no effect.
    #[error("{PASSES} plans in a row, and still something to do")]
    Endless,
    /// A bug.
    #[error("panic: {0}")]
    Panic(String),
}

impl Classify for ReconcileError {
    fn class(&self) -> Class {
        match self {
            Self::Write(error) => error.class(),
            Self::Observe(_) | Self::Deadline | Self::Endless | Self::Panic(_) => Class::Transient,
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Observe(_) => "Observe",
            Self::Write(error) => error.name(),
            Self::Deadline => "Deadline",
            Self::Endless => "Endless",
            Self::Panic(_) => "Panic",
        }
    }
}

/// Runs the controller of one kind until `stop`, with this many objects at a time.
pub fn run<K: Kind>(
    cluster: &Cluster,
    queue: &Arc<Queue>,
    workers: usize,
    stop: &CancellationToken,
    tasks: &TaskTracker,
) {
    for key in K::cache(cluster).keys() {
        queue.add(key);
    }
    let attempts = Arc::new(Attempts::default());
    let fresh = Arc::new(Mutex::new(HashSet::new()));
    for _ in 0..workers {
        let worker = Worker::<K> {
            cluster: cluster.clone(),
            queue: Arc::clone(queue),
            attempts: Arc::clone(&attempts),
            fresh: Arc::clone(&fresh),
            kind: std::marker::PhantomData,
        };
        let stop = stop.clone();
        tasks.spawn(async move {
            // A reconcile that has begun is finished; only the wait for the next one is cut short.
            while let Some(key) = stop.run_until_cancelled(worker.queue.next()).await {
                worker.work(&key).await;
                worker.queue.done(&key);
            }
        });
    }
}

struct Worker<K> {
    cluster: Cluster,
    queue: Arc<Queue>,
    attempts: Arc<Attempts>,
    /// Objects whose children were read from the server in this term.
    fresh: Arc<Mutex<HashSet<Key>>>,
    kind: std::marker::PhantomData<K>,
}

impl<K: Kind> Worker<K> {
    async fn work(&self, key: &Key) {
        let span = info_span!(
            "reconcile",
            kind = K::KIND.kind(),
            namespace = key.namespace,
            name = key.name
        );
        let start = Instant::now();
        let guarded = AssertUnwindSafe(self.reconcile(key)).catch_unwind();
        let result = match tokio::time::timeout(DEADLINE, guarded.instrument(span.clone())).await {
            Ok(Ok(result)) => result,
            Ok(Err(panic)) => {
                self.cluster.metrics().reconcile_panic(K::KIND);
                Err(ReconcileError::Panic(panic_text(panic.as_ref())))
            }
            Err(_) => Err(ReconcileError::Deadline),
        };
        let outcome = if result.is_ok() { "ok" } else { "error" };
        self.cluster
            .metrics()
            .reconciled(K::KIND, outcome, start.elapsed());
        let _entered = span.entered();
        self.schedule(key, result);
    }

    /// Decides when to look again.
    fn schedule(&self, key: &Key, result: Result<Next, ReconcileError>) {
        let after = match result {
            Ok(next) => {
                self.attempts.succeeded(key);
                match next {
                    Next::At(at) => self.until(at),
                    Next::Gone => return,
                }
            }
            Err(error) => {
                self.cluster
                    .metrics()
                    .reconcile_error(K::KIND, error.name());
                match error.class() {
                    Class::Waiting { until } => self.until(until),
                    Class::Terminal => {
                        warn!(error = chain(&error), "waiting for an edit");
                        RETRY
                    }
                    Class::Transient => {
                        let attempt = self.attempts.failed(key);
                        Self::report(&error, attempt);
                        backoff(attempt, jitter(key, attempt))
                    }
                }
            }
        };
        self.queue
            .add_at(key.clone(), tokio::time::Instant::now() + after);
    }

    fn report(error: &ReconcileError, attempt: u32) {
        match error {
            // Losing a race is how the guard is meant to work.
            ReconcileError::Write(WriteError::Conflict { .. }) => {
                debug!(attempt, error = chain(error), "planning again");
            }
            ReconcileError::Panic(_) => error!(attempt, error = chain(error), "reconcile failed"),
            ReconcileError::Observe(_)
            | ReconcileError::Write(_)
            | ReconcileError::Deadline
            | ReconcileError::Endless => {
                warn!(attempt, error = chain(error), "reconcile failed");
            }
        }
    }

    fn until(&self, at: Timestamp) -> Duration {
        let wait = at.duration_since(self.cluster.clock().now());
        // A millisecond more, so that a deadline has passed when we look.
        Duration::try_from(wait).unwrap_or(Duration::ZERO) + Duration::from_millis(1)
    }

    async fn reconcile(&self, key: &Key) -> Result<Next, ReconcileError> {
        for _ in 0..PASSES {
            let Some(object) = K::cache(&self.cluster).get(key) else {
                K::gauge(&self.cluster, key, None);
                self.fresh
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .remove(key);
                self.cluster.asked.forget(K::KIND, key);
                return Ok(Next::Gone);
            };
            match self.pass(&object).await? {
                Pass::Again => {}
                Pass::Rest(next) => return Ok(next),
            }
        }
        Err(ReconcileError::Endless)
    }

    /// One plan, carried out.
    async fn pass(&self, object: &Arc<K::Object>) -> Result<Pass, ReconcileError> {
        let mut target = Target::of(K::KIND, object.as_ref());
        let is_deleted = object.meta().deletion_timestamp.is_some();
        let has_finalizer = object
            .finalizers()
            .iter()
            .any(|name| name == label::FINALIZER);
        if K::HAS_FINALIZER && !has_finalizer {
            if is_deleted {
                return Ok(Pass::Rest(Next::Gone));
            }
            self.set_finalizer(object, &target, true).await?;
            return Ok(Pass::Again);
        }
        let seen = K::observe(object, &self.cluster).await?;
        let now = self.cluster.clock().now();
        let start = Instant::now();
        let plan = K::plan(&seen, now);
        self.cluster.metrics().planned(start.elapsed());
        if !plan.actions.is_empty() && self.freshen(object).await? {
            return Ok(Pass::Again);
        }

        let before = status_of(object);
        // What failed last time stands until a try succeeds. Else two states of the status would take turns, each of
        // them an event, and the events would take the place of the backoff.
        let standing = Outcome {
            failure: standing_failure(&before).filter(|_| !plan.actions.is_empty()),
            ..Outcome::default()
        };
        let intended = K::status(&seen, &plan, &standing, now);
        if intended != before {
            target = self.cluster.write_status(&target, &intended).await?;
            self.announce(object, &before, &intended, &plan).await;
        }
        let (outcome, result) = self.apply(&plan.actions).await;
        if outcome != standing {
            let status = K::status(&seen, &plan, &outcome, self.cluster.clock().now());
            if status != intended {
                target = self.cluster.write_status(&target, &status).await?;
            }
        }
        let key = Key::of(object.as_ref());
        let answered = outcome.replies.keys();
        self.cluster
            .asked
            .note(K::KIND, &key, answered, self.cluster.clock().now());
        K::gauge(&self.cluster, &key, Some(&intended));
        result?;
        if plan.finished {
            self.set_finalizer(object, &target, false).await?;
            return Ok(Pass::Rest(Next::Gone));
        }
        if !plan.actions.is_empty() {
            return Ok(Pass::Again);
        }
        let resync = now + RESYNC;
        Ok(Pass::Rest(Next::At(
            plan.wake.map_or(resync, |wake| wake.min(resync)),
        )))
    }

    /// Makes sure that the first actions of a term stand on what the server has. True: look again.
    async fn freshen(&self, object: &Arc<K::Object>) -> Result<bool, ReconcileError> {
        let key = Key::of(object.as_ref());
        if self
            .fresh
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(&key)
        {
            return Ok(false);
        }
        K::refresh(object, &self.cluster).await?;
        self.fresh
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(key);
        Ok(true)
    }

    async fn set_finalizer(
        &self,
        object: &K::Object,
        target: &Target,
        wanted: bool,
    ) -> Result<(), ReconcileError> {
        let mut names: Vec<&str> = object.finalizers().iter().map(String::as_str).collect();
        names.retain(|name| *name != label::FINALIZER);
        if wanted {
            names.push(label::FINALIZER);
        }
        let change = json!({"metadata": {"finalizers": names}});
        Ok(self.cluster.patch(target, &change).await?)
    }

    /// Runs the actions in order and stops at the first that fails.
    async fn apply(&self, actions: &[Action]) -> (Outcome, Result<(), ReconcileError>) {
        let mut outcome = Outcome::default();
        for (index, action) in actions.iter().enumerate() {
            let done = match action {
                Action::Apply(manifest) => self.cluster.apply(manifest).await,
                Action::Create(manifest) => self.cluster.create(manifest).await,
                Action::Patch { target, change } => self.cluster.patch(target, change).await,
                Action::Status { target, status } => {
                    self.cluster.write_status(target, status).await.map(|_| ())
                }
                Action::Delete { target, orphan } => self.cluster.delete(target, *orphan).await,
                Action::Evict { target } => self.cluster.evict(target, &mut outcome).await,
                Action::Fetch { key, .. } => {
                    if !outcome.replies.contains_key(key) {
                        let rest = actions.get(index..).unwrap_or_default();
                        outcome.replies.extend(self.fetch(rest).await);
                    }
                    Ok(())
                }
            };
            self.cluster.metrics().action(K::KIND, action.verb());
            if let Err(error) = done {
                // A lost race is planned again; people need not hear of it.
                if !matches!(error, WriteError::Conflict { .. }) {
                    let sentence = error.sentence();
                    outcome.failure = Some(truncate(&sentence, MAX_MESSAGE).to_owned());
                }
                return (outcome, Err(error.into()));
            }
        }
        (outcome, Ok(()))
    }

    /// Sends the requests that come next, all at once: one after the other, a few servers that hang would
    /// outlast the reconcile, and nothing would ever be counted.
    async fn fetch(&self, actions: &[Action]) -> Vec<(String, Result<Reply, String>)> {
        let requests = actions.iter().map_while(|action| {
            if let Action::Fetch { key, request } = action {
                return Some((key, request));
            }
            None
        });
        let replies = requests
            .map(|(key, request)| async { (key.clone(), self.cluster.fetch(request).await) });
        futures::future::join_all(replies).await
    }

    /// One log line per plan that changes something; one event when the reason changes.
    async fn announce(
        &self,
        object: &K::Object,
        before: &Value,
        after: &Value,
        plan: &Plan<K::Progress>,
    ) {
        let why = &plan.why;
        if ready_reason(before) == ready_reason(after) {
            debug!(reason = why.reason, message = why.message, "status changed");
            return;
        }
        info!(
            reason = why.reason,
            actions = plan.actions.len(),
            "{}",
            why.message
        );
        self.cluster
            .events()
            .publish(&object.object_ref(&()), why)
            .await;
    }
}

enum Pass {
    Again,
    Rest(Next),
}

#[derive(Debug)]
enum Next {
    At(Timestamp),
    Gone,
}

/// The status of an object, as JSON. Read through the wire form, which every kind has.
fn status_of<T: serde::Serialize>(object: &Arc<T>) -> Value {
    let mut object = serde_json::to_value(object.as_ref()).unwrap_or_default();
    object
        .get_mut("status")
        .map(Value::take)
        .unwrap_or_default()
}

/// Why the last try of a plan's actions failed, as every kind's status tells.
fn standing_failure(status: &Value) -> Option<String> {
    let conditions = status.get("conditions")?.as_array()?;
    let failed = conditions
        .iter()
        .find(|condition| condition["type"] == ACTION_FAILED)?;
    Some(failed.get("message")?.as_str()?.to_owned())
}

fn ready_reason(status: &Value) -> Option<&str> {
    let conditions = status.get("conditions")?.as_array()?;
    let ready = conditions
        .iter()
        .find(|condition| condition["type"] == "Ready")?;
    ready.get("reason")?.as_str()
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "?".to_owned())
}
