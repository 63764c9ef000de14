//! Environment: where Releases go, and what must hold before and after.
//!
//! People keep it in Git. It takes Releases from Pipelines or from other Environments, makes one
//! `Promotion` per attempt, waits for approvals, and then says in `status.desired` which images should run.
//! Rollouts bound to it follow that; nobody writes a spec. Only the Environment changes `desired`: it also
//! goes back to the last good Release when a Rollout or a smoke test fails.
//!
//! It is the only actor: Promotions have no controller of their own, their `/status` is written here. Each
//! Promotion is the record of its own way, and everything in the Environment's status is read off those
//! records, so nothing is lost with a status; see `plan/history.rs`.

pub mod alert;
pub mod api;
pub mod calendar;
pub mod followed;
pub mod migration;
pub mod mirror;
pub mod notify;
pub mod observe;
pub mod observed;
pub mod plan;
pub mod preview;
pub mod probe;
pub mod render;
pub mod set;
pub mod slo;
pub mod status;
pub mod tag;
pub mod write_back;

#[cfg(test)]
pub mod testing;

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use kube::ResourceExt;
use serde_json::Value;

use crate::cluster::Cluster;
use crate::cluster::cache::Cache;
use crate::controller::{Kind, ReconcileError};
use crate::model::action::{Action, Outcome};
use crate::model::key::Key;
use crate::model::label;
use crate::model::object::ObjectKind;
use crate::model::plan::{Plan, Why};
use crate::promotion::audit;
use crate::telemetry::change;
use crate::telemetry::metrics::Promoted;

/// The controller of Environments.
pub struct EnvironmentKind;

impl Kind for EnvironmentKind {
    type Object = api::Environment;
    type Observed = observed::Observed;
    type Progress = plan::Memory;

    const KIND: ObjectKind = ObjectKind::Environment;
    const HAS_FINALIZER: bool = false;

    fn cache(cluster: &Cluster) -> &Cache<api::Environment> {
        &cluster.caches.environments
    }

    /// Only one with a mirror has something to take away before it goes.
    fn wants_finalizer(object: &api::Environment, cluster: &Cluster) -> Option<bool> {
        let is_mirror = object.labels().contains_key(label::MIRROR_OF);
        let status = object.status.as_ref();
        let has_mirror = status.is_some_and(|status| status.mirror.is_some());
        (cluster.reaches_clusters() && !is_mirror)
            .then(|| object.spec.cluster.is_some() || has_mirror)
    }

    async fn refresh(
        object: &Arc<api::Environment>,
        cluster: &Cluster,
    ) -> Result<(), ReconcileError> {
        observe::migration::refresh(object, cluster).await
    }

    async fn observe(
        object: &Arc<api::Environment>,
        cluster: &Cluster,
    ) -> Result<Self::Observed, ReconcileError> {
        observe::observe(object, cluster).await
    }

    fn plan(seen: &Self::Observed, now: Timestamp) -> Plan<Self::Progress> {
        plan::plan(seen, now)
    }

    fn status(
        seen: &Self::Observed,
        plan: &Plan<Self::Progress>,
        outcome: &Outcome,
        now: Timestamp,
    ) -> Value {
        serde_json::to_value(status::status(seen, plan, outcome, now)).unwrap_or_default()
    }

    fn has_same_essence(_: &Self::Observed, on_record: &Value, status: &Value) -> bool {
        status::essence(on_record) == status::essence(status)
    }

    fn keeps_answer(question: &str) -> bool {
        [
            slo::PREFIX,
            observed::SIGNED,
            observed::GATE,
            probe::PREFIX,
            tag::PREFIX,
            preview::idle::PREFIX,
        ]
        .iter()
        .any(|kept| question.starts_with(kept))
    }

    fn news(seen: &Self::Observed, before: &Value, after: &Value) -> Option<Why> {
        let spec = seen.spec.write_back.as_ref()?;
        let of = |status: &Value| {
            let part = status.get("writeBack").cloned().unwrap_or_default();
            serde_json::from_value(part).ok()
        };
        write_back::news(spec, of(before).as_ref(), of(after).as_ref())
    }

    fn told_of(seen: &Self::Observed, action: &Action) -> Option<(Why, bool)> {
        let Action::Status { target, status } = action else {
            return None;
        };
        let known = seen.promotion(&target.key.name)?;
        audit::told(&known.status, status)
    }

    fn count_action(cluster: &Cluster, seen: &Self::Observed, action: &Action) {
        let Action::Status { target, status } = action else {
            return;
        };
        if let Some(known) = seen.promotion(&target.key.name) {
            let promoted = Promoted {
                kind: known.spec.kind,
                created_at: known.created_at,
                before: &known.status,
                after: status,
            };
            cluster.metrics().promotion_written(&seen.key, &promoted);
            if cluster.changes().are_wanted() {
                let promotion = change::Promotion {
                    key: &known.target.key,
                    spec: &known.spec,
                    created_at: known.created_at,
                    before: &known.status,
                };
                let parts = change::of_promotion(promotion, status);
                cluster.changes().send(parts);
            }
        }
    }

    fn gauge(cluster: &Cluster, key: &Key, status: Option<&Value>) {
        if status.is_none() {
            cluster.remotes.keep_only(key, &BTreeSet::new());
        }
        cluster.metrics().environment(key, status);
        let slos = status.and_then(|status| status.get("slos")).cloned();
        let slos: Option<Vec<_>> = slos.and_then(|slos| serde_json::from_value(slos).ok());
        cluster.metrics().slos(key, &slos.unwrap_or_default());
        let dora = status.and_then(|status| status.get("dora")).cloned();
        let dora = dora.and_then(|dora| serde_json::from_value(dora).ok());
        cluster.metrics().dora(key, dora.as_ref());
        let open = status.map(|status| status.get("openIncidents").and_then(Value::as_i64));
        cluster
            .metrics()
            .incidents(key, open.map(Option::unwrap_or_default));
    }
}
