//! Pipeline: how a repository is tested, built, checked and released.
//!
//! People keep it in Git. The operator watches the repository, takes what a git provider tells of it, and makes one
//! `PipelineRun` per event; the stages of a run are Jobs, its gates judge their reports, and a run that passes them makes
//! a `Release`. Deleting a Pipeline deletes its runs and never its Releases.

pub mod api;
pub mod condition;
pub mod definition;
pub mod leftover;
pub mod matrix;
pub mod observe;
pub mod observed;
pub mod plan;
pub mod render;
pub mod secret;
pub mod spec;
pub mod status;
pub mod trigger;

#[cfg(test)]
pub(crate) mod testing;

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use crate::cluster::Cluster;
use crate::cluster::cache::Cache;
use crate::controller::{Kind, ReconcileError};
use crate::model::action::Outcome;
use crate::model::key::Key;
use crate::model::object::ObjectKind;
use crate::model::plan::{Plan, Why};

/// The controller of Pipelines.
pub struct PipelineKind;

impl Kind for PipelineKind {
    type Object = api::Pipeline;
    type Observed = observed::Observed;
    type Progress = plan::Memory;

    const KIND: ObjectKind = ObjectKind::Pipeline;
    const HAS_FINALIZER: bool = false;

    fn cache(cluster: &Cluster) -> &Cache<api::Pipeline> {
        &cluster.caches.pipelines
    }

    async fn refresh(object: &Arc<api::Pipeline>, cluster: &Cluster) -> Result<(), ReconcileError> {
        observe::refresh(object, cluster).await
    }

    async fn observe(
        object: &Arc<api::Pipeline>,
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

    fn news(_: &Self::Observed, before: &Value, after: &Value) -> Option<Why> {
        leftover::news(before, after)
    }

    fn gauge(cluster: &Cluster, key: &Key, status: Option<&Value>) {
        if status.is_none() {
            cluster.metrics().forget_pipeline(key);
        }
    }
}
