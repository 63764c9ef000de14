//! A Rollout: a workload, and how traffic moves between its revisions.
//!
//! Data flow, from watch event to traffic weight:
//! `observe` reads the caches → `plan` decides → `status` puts it on record → the driver carries it out.
//! `plan` is where the thinking is; see `plan.rs` for its parts and `traffic/` for what a weight needs.

pub mod adopt;
pub mod api;
pub mod binding;
pub mod config;
pub mod explain;
pub mod observe;
pub mod observed;
pub mod plan;
pub mod render;
pub mod replay;
pub mod risk;
pub mod simulation;
pub mod spec;
pub mod status;
pub mod step;
pub mod template;

#[cfg(test)]
pub mod testing;

use std::sync::Arc;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use crate::cluster::Cluster;
use crate::cluster::cache::Cache;
use crate::controller::{Kind, ReconcileError};
use crate::model::action::Outcome;
use crate::model::key::Key;
use crate::model::object::ObjectKind;
use crate::model::plan::Plan;

/// The controller of Rollouts.
pub struct RolloutKind;

impl Kind for RolloutKind {
    type Object = api::Rollout;
    type Observed = observed::Observed;
    type Progress = plan::Memory;

    const KIND: ObjectKind = ObjectKind::Rollout;
    const HAS_FINALIZER: bool = true;
    const ANSWERS_WITH_NEXT_PLAN: bool = true;

    fn cache(cluster: &Cluster) -> &Cache<api::Rollout> {
        &cluster.caches.rollouts
    }

    async fn refresh(object: &Arc<api::Rollout>, cluster: &Cluster) -> Result<(), ReconcileError> {
        observe::refresh(&Key::of(object.as_ref()), cluster).await
    }

    async fn observe(
        object: &Arc<api::Rollout>,
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

    fn has_same_essence(seen: &Self::Observed, on_record: &Value, status: &Value) -> bool {
        let read = |status: &Value| api::RolloutStatus::deserialize(status).ok();
        let (on_record, status) = (read(on_record), read(status));
        let both = on_record.zip(status);
        both.is_some_and(|(on_record, status)| status::has_same_essence(seen, &on_record, &status))
    }

    fn count(cluster: &Cluster, key: &Key, before: &Value, after: &Value) {
        cluster.metrics().rollout_written(key, before, after);
    }

    fn gauge(cluster: &Cluster, key: &Key, status: Option<&Value>) {
        let Some(status) = status else {
            return cluster.metrics().forget_rollout(key);
        };
        let phase = status["phase"].as_str().unwrap_or_default();
        let weight = status
            .pointer("/weights/canary")
            .and_then(Value::as_u64)
            .unwrap_or(0);
        cluster
            .metrics()
            .rollout(key, phase, u8::try_from(weight).unwrap_or(0));
    }
}
