//! Every Prometheus series, registered once. Labels come from closed sets or are object names. No I/O.

use std::time::Duration;

use prometheus::{
    Encoder, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, TextEncoder,
};

use crate::model::key::Key;
use crate::model::object::ObjectKind;

/// Buckets for reconciles and API requests: 1 ms to 10 s.
const SECONDS: &[f64] = &[
    0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// All series. Cloning clones handles.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
    reconciles: IntCounterVec,
    reconcile_seconds: HistogramVec,
    reconcile_errors: IntCounterVec,
    reconcile_panics: IntCounterVec,
    actions: IntCounterVec,
    kube_seconds: HistogramVec,
    watch_errors: IntCounterVec,
    watch_events: IntCounterVec,
    leader: IntGauge,
    plan_seconds: Histogram,
    rollout_weight: IntGaugeVec,
    rollout_phase: GaugeVec,
}

impl Metrics {
    /// Registers every series in a registry of its own.
    ///
    /// # Errors
    /// If two series share a name, which only a mistake in this file can cause.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new_custom(Some("slipway".to_owned()), None)?;
        let counter = |name, help, labels| counters(&registry, name, help, labels);
        let seconds = |name, help, labels| histograms(&registry, name, help, labels);
        let object = &["namespace", "name"];
        let metrics = Self {
            reconciles: counter(
                "reconcile_total",
                "Reconciles by outcome.",
                &["kind", "outcome"],
            )?,
            reconcile_seconds: seconds(
                "reconcile_duration_seconds",
                "Time of a reconcile.",
                &["kind"],
            )?,
            reconcile_errors: counter(
                "reconcile_errors_total",
                "Errors by name.",
                &["kind", "reason"],
            )?,
            reconcile_panics: counter("reconcile_panics_total", "Panics, caught.", &["kind"])?,
            actions: counter("actions_total", "Actions by verb.", &["kind", "verb"])?,
            kube_seconds: seconds(
                "kube_request_duration_seconds",
                "Requests to the API server; code 0: no answer.",
                &["op", "code"],
            )?,
            watch_errors: counter("watch_errors_total", "Watches interrupted.", &["kind"])?,
            watch_events: counter("watch_events_total", "Watch events received.", &["kind"])?,
            leader: IntGauge::new("leader", "1 while this process leads.")?,
            plan_seconds: Histogram::with_opts(
                HistogramOpts::new("plan_duration_seconds", "Time spent deciding.")
                    .buckets(vec![0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05]),
            )?,
            rollout_weight: IntGaugeVec::new(
                Opts::new(
                    "rollout_traffic_weight",
                    "Percent of the traffic of the canary.",
                ),
                object,
            )?,
            rollout_phase: GaugeVec::new(
                Opts::new("rollout_phase", "1 for the phase that the Rollout is in."),
                &["namespace", "name", "phase"],
            )?,
            registry: registry.clone(),
        };
        registry.register(Box::new(metrics.leader.clone()))?;
        registry.register(Box::new(metrics.plan_seconds.clone()))?;
        registry.register(Box::new(metrics.rollout_weight.clone()))?;
        registry.register(Box::new(metrics.rollout_phase.clone()))?;
        Ok(metrics)
    }

    /// A reconcile is over.
    pub fn reconciled(&self, kind: ObjectKind, outcome: &'static str, took: Duration) {
        self.reconciles
            .with_label_values(&[kind.kind(), outcome])
            .inc();
        self.reconcile_seconds
            .with_label_values(&[kind.kind()])
            .observe(took.as_secs_f64());
    }

    /// A reconcile failed.
    pub fn reconcile_error(&self, kind: ObjectKind, name: &'static str) {
        self.reconcile_errors
            .with_label_values(&[kind.kind(), name])
            .inc();
    }

    /// A reconcile panicked.
    pub fn reconcile_panic(&self, kind: ObjectKind) {
        self.reconcile_panics
            .with_label_values(&[kind.kind()])
            .inc();
    }

    /// An action was done.
    pub fn action(&self, kind: ObjectKind, verb: &'static str) {
        self.actions.with_label_values(&[kind.kind(), verb]).inc();
    }

    /// A plan was made.
    pub fn planned(&self, took: Duration) {
        self.plan_seconds.observe(took.as_secs_f64());
    }

    /// A request to the API server was answered, or (code 0) was not.
    pub fn kube_request(&self, operation: &str, code: u16, took: Duration) {
        self.kube_seconds
            .with_label_values(&[operation, &code.to_string()])
            .observe(took.as_secs_f64());
    }

    /// A watch was interrupted.
    pub fn watch_error(&self, kind: ObjectKind) {
        self.watch_errors.with_label_values(&[kind.kind()]).inc();
    }

    /// A watch event arrived.
    pub fn watch_event(&self, kind: ObjectKind) {
        self.watch_events.with_label_values(&[kind.kind()]).inc();
    }

    /// Whether this process leads.
    pub fn leading(&self, leads: bool) {
        self.leader.set(i64::from(leads));
    }

    /// What a Rollout does with its traffic.
    pub fn rollout(&self, key: &Key, phase: &str, weight: u8) {
        self.forget_rollout(key);
        let object = [key.namespace.as_str(), key.name.as_str()];
        self.rollout_weight
            .with_label_values(&object)
            .set(i64::from(weight));
        self.rollout_phase
            .with_label_values(&[object[0], object[1], phase])
            .set(1.0);
    }

    /// A Rollout is gone, and its series with it.
    pub fn forget_rollout(&self, key: &Key) {
        let object = [key.namespace.as_str(), key.name.as_str()];
        let _ = self.rollout_weight.remove_label_values(&object);
        for phase in crate::rollout::api::Phase::ALL {
            let _ = self
                .rollout_phase
                .remove_label_values(&[object[0], object[1], phase.as_str()]);
        }
    }

    /// Everything in the Prometheus text format, and what the library knows of the process itself.
    ///
    /// # Errors
    /// If a series cannot be written down, which the library never lets happen.
    pub fn text(&self) -> Result<Vec<u8>, prometheus::Error> {
        let mut text = Vec::new();
        let encoder = TextEncoder::new();
        encoder.encode(&self.registry.gather(), &mut text)?;
        encoder.encode(&prometheus::default_registry().gather(), &mut text)?;
        Ok(text)
    }
}

fn counters(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> Result<IntCounterVec, prometheus::Error> {
    let series = IntCounterVec::new(Opts::new(name, help), labels)?;
    registry.register(Box::new(series.clone()))?;
    Ok(series)
}

fn histograms(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> Result<HistogramVec, prometheus::Error> {
    let opts = HistogramOpts::new(name, help).buckets(SECONDS.to_vec());
    let series = HistogramVec::new(opts, labels)?;
    registry.register(Box::new(series.clone()))?;
    Ok(series)
}
