//! The series of deliveries: runs, promotions, changes of Rollouts. No I/O.
//!
//! What ended is counted when the status that says so for the first time has been written. A process that dies in between
//! counts it nowhere: these are counters, and the records are the truth.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use prometheus::{GaugeVec, HistogramVec, IntCounterVec, IntGaugeVec, Registry};
use serde::Deserialize;
use serde_json::Value;

use super::rollout::RolloutSeries;
use super::{counters, gauges, int_gauges, spans};
use crate::environment::api::{Candidate, CandidateGateState, EnvironmentPhase};
use crate::model::key::Key;
use crate::pipeline_run::api::{PipelineRunStatus, RunPhase};
use crate::promotion::api::{PromotionKind, PromotionPhase, PromotionStatus};
use crate::rollout::api::Ending;
use crate::telemetry::series;

/// The series of deliveries.
#[derive(Clone, Debug)]
pub(super) struct DeliverySeries {
    runs: IntCounterVec,
    run_seconds: HistogramVec,
    promotions: IntCounterVec,
    promotion_wait: HistogramVec,
    promotion_seconds: HistogramVec,
    environment_phase: GaugeVec,
    gate_waiting: IntGaugeVec,
    /// The gates that each Environment has a series of.
    gates: Arc<Mutex<HashMap<Key, HashSet<String>>>>,
    rollouts: RolloutSeries,
    change_seconds: HistogramVec,
}

/// A Promotion whose status was written.
#[derive(Debug)]
pub struct Promoted<'a> {
    /// Which way it goes.
    pub kind: PromotionKind,
    /// When it was made.
    pub created_at: Timestamp,
    /// What its status was.
    pub before: &'a PromotionStatus,
    /// What its status is.
    pub after: &'a Value,
}

impl DeliverySeries {
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        Ok(Self {
            runs: counters(registry, &series::RUNS)?,
            run_seconds: spans(registry, &series::RUN_SECONDS)?,
            promotions: counters(registry, &series::PROMOTIONS)?,
            promotion_wait: spans(registry, &series::PROMOTION_WAIT)?,
            promotion_seconds: spans(registry, &series::PROMOTION_SECONDS)?,
            environment_phase: gauges(registry, &series::ENVIRONMENT_PHASE)?,
            gate_waiting: int_gauges(registry, &series::GATE_WAITING)?,
            gates: Arc::default(),
            rollouts: RolloutSeries::new(registry)?,
            change_seconds: spans(registry, &series::CHANGE_SECONDS)?,
        })
    }

    /// A run of this Pipeline has another status.
    pub(super) fn run(&self, pipeline: &Key, before: &Value, after: &Value) {
        let read = |status: &Value| PipelineRunStatus::deserialize(status).unwrap_or_default();
        let (before, after) = (read(before), read(after));
        let is_over = |status: &PipelineRunStatus| status.phase.filter(|phase| phase.is_finished());
        let (None, Some(phase)) = (is_over(&before), is_over(&after)) else {
            return;
        };
        let labels = [pipeline.namespace.as_str(), &pipeline.name, phase.as_str()];
        self.runs.with_label_values(&labels).inc();
        if let (Some(from), Some(to)) = (&after.started_at, &after.finished_at) {
            let seconds = self.run_seconds.with_label_values(&[phase.as_str()]);
            seconds.observe(between(from.0, to.0));
        }
    }

    /// A Pipeline is gone.
    pub(super) fn forget_pipeline(&self, key: &Key) {
        for phase in RunPhase::ALL {
            let labels = [key.namespace.as_str(), &key.name, phase.as_str()];
            let _ = self.runs.remove_label_values(&labels);
        }
    }

    /// A Promotion into this Environment has another status.
    pub(super) fn promotion(&self, environment: &Key, promoted: &Promoted<'_>) {
        let Promoted {
            kind,
            created_at,
            before,
            after,
        } = promoted;
        let Ok(after) = PromotionStatus::deserialize(*after) else {
            return;
        };
        let kind = kind.as_str();
        if let (None, Some(started)) = (&before.started_at, &after.started_at) {
            let seconds = self.promotion_wait.with_label_values(&[kind]);
            seconds.observe(between(*created_at, started.0));
        }
        let is_over = |status: &PromotionStatus| status.phase.filter(|phase| phase.is_finished());
        let (None, Some(phase)) = (is_over(before), is_over(&after)) else {
            return;
        };
        let result = phase.as_str();
        let labels = [
            environment.namespace.as_str(),
            &environment.name,
            kind,
            result,
        ];
        self.promotions.with_label_values(&labels).inc();
        if let (Some(from), Some(to)) = (&after.started_at, &after.finished_at) {
            let seconds = self.promotion_seconds.with_label_values(&[kind, result]);
            seconds.observe(between(from.0, to.0));
        }
    }

    /// Where an Environment is.
    pub(super) fn environment(&self, key: &Key, status: &Value) {
        let object = [key.namespace.as_str(), key.name.as_str()];
        let now = status.get("phase").and_then(Value::as_str);
        for phase in EnvironmentPhase::ALL {
            let labels = [object[0], object[1], phase.as_str()];
            if now == Some(phase.as_str()) {
                self.environment_phase.with_label_values(&labels).set(1.0);
            } else {
                let _ = self.environment_phase.remove_label_values(&labels);
            }
        }
        for phase in PromotionPhase::ALL
            .iter()
            .filter(|phase| phase.is_finished())
        {
            // A counter that begins with its first event hides that event from `increase`.
            let kind = PromotionKind::Promote.as_str();
            let labels = [object[0], object[1], kind, phase.as_str()];
            self.promotions.with_label_values(&labels);
        }
        let candidate = status.get("candidate");
        let candidate = candidate.and_then(|candidate| Candidate::deserialize(candidate).ok());
        let gates = candidate.into_iter().flat_map(|candidate| candidate.gates);
        let waiting = gates.filter(|gate| gate.state == CandidateGateState::Waiting);
        self.gates(key, waiting.map(|gate| gate.name).collect());
    }

    /// An Environment is gone.
    pub(super) fn forget_environment(&self, key: &Key) {
        let object = [key.namespace.as_str(), key.name.as_str()];
        for phase in EnvironmentPhase::ALL {
            let labels = [object[0], object[1], phase.as_str()];
            let _ = self.environment_phase.remove_label_values(&labels);
        }
        for kind in PromotionKind::ALL {
            for phase in PromotionPhase::ALL {
                let labels = [object[0], object[1], kind.as_str(), phase.as_str()];
                let _ = self.promotions.remove_label_values(&labels);
            }
        }
        self.gates(key, HashSet::new());
    }

    fn gates(&self, key: &Key, waiting: HashSet<String>) {
        let labels = |gate: &str| [key.namespace.clone(), key.name.clone(), gate.to_owned()];
        // A poisoned lock means that a thread panicked between two complete updates; the data is sound.
        let mut all = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        let known = all.remove(key).unwrap_or_default();
        for gone in known.difference(&waiting) {
            let _ = self.gate_waiting.remove_label_values(&labels(gone));
        }
        for gate in &waiting {
            self.gate_waiting.with_label_values(&labels(gate)).set(1);
        }
        if !waiting.is_empty() {
            all.insert(key.clone(), waiting);
        }
    }

    /// What a Rollout does with its traffic.
    pub(super) fn rollout(&self, key: &Key, phase: &str, weight: u8) {
        self.rollouts.show(key, phase, weight);
    }

    /// A Rollout is gone.
    pub(super) fn forget_rollout(&self, key: &Key) {
        self.rollouts.forget(key);
    }

    /// A Rollout has another status.
    pub(super) fn rollout_written(&self, key: &Key, before: &Value, after: &Value) {
        let history = |status: &Value| -> Vec<Ending> {
            let history = status.get("history");
            let history = history.and_then(|history| Vec::deserialize(history).ok());
            history.unwrap_or_default()
        };
        let known = history(before);
        let ended = history(after).into_iter();
        for ending in ended.filter(|ending| !known.contains(ending)) {
            self.rollouts.ended(key, ending.result);
            let result = ending.result.as_str();
            let seconds = self.change_seconds.with_label_values(&[result]);
            seconds.observe(between(ending.started_at, ending.finished_at));
        }
    }
}

/// Seconds from one moment to another; none, where a clock was set back.
fn between(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64().max(0.0)
}
