//! The one driver of all kinds: observe → plan → status → apply, with a deadline, panic isolation and backoff.
//!
//! The driver writes the status *before* it runs the actions. Whatever a plan is about to do is on
//! record first, so a process that dies in between replays it, and a process that planned on an old
//! version of the object loses the race here (409) before it touched anything else. What only informs people,
//! and what no plan stands on, may wait for a moment (`pace.rs`).
//! After actions it plans again at once, on its own writes, until there is nothing left to do.
//!
//! Polling: a plan whose question is due has a `Fetch` and nothing else to say. Once what the answer
//! changed (most often nothing) is on record, the driver notes in `Cluster::asked` when it came; the next
//! plan is handed that time by `observe`, finds nothing due, and wakes after its interval.

mod attempts;
mod exchange;
mod pace;
mod pass;
pub mod queue;

use std::collections::HashSet;
use std::fmt::Debug;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::FutureExt;
use jiff::Timestamp;
use kube::Resource;
use kube::core::object::HasStatus;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, debug, error, info_span, warn};

use crate::cluster::Cluster;
use crate::cluster::cache::Cache;
use crate::cluster::write::WriteError;
use crate::error::{Class, Classify, backoff, chain};
use crate::model::action::{Action, Outcome};
use crate::model::key::Key;
use crate::model::object::ObjectKind;
use crate::model::plan::{Plan, Why};
use attempts::{Attempts, jitter};
use exchange::Exchanges;
use pace::Pace;
use pass::Pass;
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
        + HasStatus<Status: Serialize + DeserializeOwned>
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
    /// Whether answers go on record together with what the next plan makes of them. That saves a write between an
    /// answer and what follows from it; not for kinds that ask by `Cluster::asked`, where an answer has to be on
    /// record before it counts as given.
    const ANSWERS_WITH_NEXT_PLAN: bool = false;

    /// Whether an object is to carry the finalizer, or none of ours; nothing where whatever it carries stays.
    fn wants_finalizer(_object: &Self::Object, _cluster: &Cluster) -> Option<bool> {
        Self::HAS_FINALIZER.then_some(true)
    }

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

    /// Whether a status says the same as the one on record of all that is written at once, before the actions: what the
    /// next plan stands on or others decide by. The rest, which only informs, may wait for a moment (`pace.rs`). Pure.
    fn has_same_essence(_seen: &Self::Observed, on_record: &Value, status: &Value) -> bool {
        on_record == status
    }

    /// Whether the answer to a question is kept in memory and handed in again with the next plans, because not all that it
    /// says is on record.
    fn keeps_answer(_question: &str) -> bool {
        false
    }

    /// What is told of an action that was done, beside the reason of the object itself: for the log, and, if it says so, as an
    /// Event about what was written. Pure.
    fn told_of(_seen: &Self::Observed, _action: &Action) -> Option<(Why, bool)> {
        None
    }

    /// What is news between the status on record and the one that takes its place, beside the reason of the object itself: for
    /// the log, and as an Event. Pure.
    fn news(_seen: &Self::Observed, _on_record: &Value, _status: &Value) -> Option<Why> {
        None
    }

    /// Counts what a status says for the first time: called once it was written, with what was on record before.
    fn count(_cluster: &Cluster, _key: &Key, _before: &Value, _after: &Value) {}

    /// The same of an action that was done.
    fn count_action(_cluster: &Cluster, _seen: &Self::Observed, _action: &Action) {}

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
    let pace = Arc::new(Pace::default());
    let exchanges = Arc::new(Exchanges::default());
    for _ in 0..workers {
        let worker = Worker::<K> {
            cluster: cluster.clone(),
            queue: Arc::clone(queue),
            attempts: Arc::clone(&attempts),
            fresh: Arc::clone(&fresh),
            pace: Arc::clone(&pace),
            exchanges: Arc::clone(&exchanges),
            kind: std::marker::PhantomData,
        };
        let stop = stop.clone();
        tasks.spawn(async move {
            // A reconcile that has begun is finished; only the wait for the next one is cut short.
            while let Some(key) = stop.run_until_cancelled(worker.queue.next()).await {
                // In a room of its own: most workers of most kinds never have anything to do, and a pass is large.
                Box::pin(worker.work(&key)).await;
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
    /// Objects whose status has something to say that may wait.
    pace: Arc<Pace>,
    /// Requests that are under way.
    exchanges: Arc<Exchanges>,
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
        let mut answered = None;
        for _ in 0..PASSES {
            let Some(object) = K::cache(&self.cluster).get(key) else {
                K::gauge(&self.cluster, key, None);
                self.cluster.metrics().action_failed(K::KIND, key, false);
                self.fresh
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .remove(key);
                self.cluster.asked.forget(K::KIND, key);
                self.pace.settled(key);
                self.exchanges.forget(key);
                return Ok(Next::Gone);
            };
            match self.pass(object, answered.take()).await? {
                Pass::Again => {}
                Pass::Answered(status) => answered = Some(status),
                Pass::Rest(next) => return Ok(next),
            }
        }
        Err(ReconcileError::Endless)
    }
}

#[derive(Debug)]
enum Next {
    At(Timestamp),
    Gone,
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "?".to_owned())
}
