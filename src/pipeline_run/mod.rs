//! PipelineRun: one execution of a Pipeline, at one commit.
//!
//! A record: its spec never changes. The operator makes one per pushed commit, under a name that follows
//! from the trigger, so that a repeated trigger is the same run; a person makes one with trigger `Manual`.
//! The stages are Jobs that the run owns; their verdicts, reports and artifacts end in its status.

pub mod api;
pub mod builder;
pub mod changelog;
pub mod comment;
pub mod definition;
pub mod fit;
pub mod leftover;
pub mod notify;
pub mod observe;
pub mod observed;
pub mod outside;
pub mod param;
pub mod plan;
pub mod provenance;
pub mod render;
pub mod scan;
pub mod status;
pub mod tag;
pub mod tell;
pub mod verdict;
pub mod version;

#[cfg(test)]
pub(crate) mod testing;

use std::sync::Arc;

use jiff::Timestamp;
use kube::ResourceExt;
use serde_json::Value;

use crate::cluster::Cluster;
use crate::cluster::cache::Cache;
use crate::controller::{Kind, ReconcileError};
use crate::model::action::Outcome;
use crate::model::key::Key;
use crate::model::object::ObjectKind;
use crate::model::plan::Plan;
use crate::telemetry::change;

/// The controller of PipelineRuns.
pub struct PipelineRunKind;

impl Kind for PipelineRunKind {
    type Object = api::PipelineRun;
    type Observed = observed::Observed;
    type Progress = api::PipelineRunStatus;

    const KIND: ObjectKind = ObjectKind::PipelineRun;
    const HAS_FINALIZER: bool = false;

    fn cache(cluster: &Cluster) -> &Cache<api::PipelineRun> {
        &cluster.caches.pipeline_runs
    }

    async fn refresh(
        object: &Arc<api::PipelineRun>,
        cluster: &Cluster,
    ) -> Result<(), ReconcileError> {
        observe::refresh(object, cluster).await
    }

    async fn observe(
        object: &Arc<api::PipelineRun>,
        cluster: &Cluster,
    ) -> Result<Self::Observed, ReconcileError> {
        observe::observe(object, cluster).await
    }

    fn plan(seen: &Self::Observed, now: Timestamp) -> Plan<Self::Progress> {
        plan::plan(seen, now)
    }

    fn has_same_essence(seen: &Self::Observed, on_record: &Value, status: &Value) -> bool {
        let spec = seen.snapshot.spec();
        status::essence(spec, on_record) == status::essence(spec, status)
    }

    fn status(
        seen: &Self::Observed,
        plan: &Plan<Self::Progress>,
        outcome: &Outcome,
        now: Timestamp,
    ) -> Value {
        serde_json::to_value(status::status(seen, plan, outcome, now)).unwrap_or_default()
    }

    fn count(cluster: &Cluster, key: &Key, before: &Value, after: &Value) {
        if let Some(run) = cluster.caches.pipeline_runs.get(key) {
            let pipeline = Key::new(&key.namespace, &run.spec.pipeline_ref.name);
            cluster.metrics().run_written(&pipeline, before, after);
            if let Some(created) = run.creation_timestamp()
                && cluster.changes().are_wanted()
            {
                let made = after.get("release").and_then(Value::as_str);
                let made = made.map(|name| Key::new(&key.namespace, name));
                let made = made.and_then(|made| cluster.caches.releases.get(&made));
                let run = change::Run {
                    key,
                    spec: &run.spec,
                    created_at: created.0,
                    maker: made.as_ref().map(|made| made.spec.evidence.run.as_str()),
                };
                cluster.changes().send(change::of_run(run, before, after));
            }
        }
    }
}
