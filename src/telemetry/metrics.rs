//! Every Prometheus series, registered once, as [`series`] lists them. Labels come from closed sets or are object names. No I/O.

mod delivery;
mod dora;
mod rollout;
mod slo;

#[cfg(test)]
mod tests;

use std::time::Duration;

use prometheus::{
    Encoder, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounterVec, IntGauge,
    IntGaugeVec, Registry, TextEncoder,
};
use serde_json::Value;

use crate::dora::api::DoraStatus;
use crate::environment::api::SloStatus;
use crate::model::key::Key;
use crate::model::object::ObjectKind;
use crate::telemetry::series::{self, Series};
use delivery::DeliverySeries;
use dora::DoraSeries;
use slo::SloSeries;

pub use delivery::Promoted;

/// Buckets for reconciles and API requests: 1 ms to 10 s.
const SECONDS: &[f64] = &[
    0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];
/// Buckets for plans: 0.1 ms to 50 ms.
const PLANS: &[f64] = &[0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05];
/// Buckets for what people wait for: ten seconds to a week.
const SPANS: &[f64] = &[
    10.0, 30.0, 60.0, 180.0, 300.0, 600.0, 1800.0, 3600.0, 14400.0, 43200.0, 86400.0, 259_200.0,
    604_800.0,
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
    action_failed: IntGaugeVec,
    queue_ready: IntGaugeVec,
    queue_oldest: GaugeVec,
    kube_seconds: HistogramVec,
    watch_errors: IntCounterVec,
    watch_events: IntCounterVec,
    leader: IntGauge,
    plan_seconds: Histogram,
    webhooks: IntCounterVec,
    open_incidents: IntGaugeVec,
    alert_deliveries: IntCounterVec,
    deliveries: DeliverySeries,
    slos: SloSeries,
    dora: DoraSeries,
}

impl Metrics {
    /// Registers every series in a registry of its own.
    ///
    /// # Errors
    /// If two series share a name, which only a mistake in the list can cause.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new_custom(Some(series::PREFIX.to_owned()), None)?;
        let build = int_gauges(&registry, &series::BUILD)?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        let leader = IntGauge::with_opts(series::LEADER.opts())?;
        registry.register(Box::new(leader.clone()))?;
        let plans = HistogramOpts::from(series::PLAN_SECONDS.opts()).buckets(PLANS.to_vec());
        let plan_seconds = Histogram::with_opts(plans)?;
        registry.register(Box::new(plan_seconds.clone()))?;
        let counter = |series: &Series| counters(&registry, series);
        Ok(Self {
            reconciles: counter(&series::RECONCILES)?,
            reconcile_seconds: seconds(&registry, &series::RECONCILE_SECONDS)?,
            reconcile_errors: counter(&series::RECONCILE_ERRORS)?,
            reconcile_panics: counter(&series::RECONCILE_PANICS)?,
            actions: counter(&series::ACTIONS)?,
            action_failed: int_gauges(&registry, &series::ACTION_FAILED)?,
            queue_ready: int_gauges(&registry, &series::QUEUE_READY)?,
            queue_oldest: gauges(&registry, &series::QUEUE_OLDEST)?,
            kube_seconds: seconds(&registry, &series::KUBE_SECONDS)?,
            watch_errors: counter(&series::WATCH_ERRORS)?,
            watch_events: counter(&series::WATCH_EVENTS)?,
            leader,
            plan_seconds,
            webhooks: counter(&series::WEBHOOKS)?,
            open_incidents: int_gauges(&registry, &series::OPEN_INCIDENTS)?,
            alert_deliveries: counter(&series::ALERT_DELIVERIES)?,
            deliveries: DeliverySeries::new(&registry)?,
            slos: SloSeries::new(&registry)?,
            dora: DoraSeries::new(&registry)?,
            registry: registry.clone(),
        })
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

    /// Whether what an object needs cannot be done.
    pub fn action_failed(&self, kind: ObjectKind, key: &Key, has_failed: bool) {
        let labels = [kind.kind(), key.namespace.as_str(), key.name.as_str()];
        if has_failed {
            self.action_failed.with_label_values(&labels).set(1);
        } else {
            let _ = self.action_failed.remove_label_values(&labels);
        }
    }

    /// How many objects wait for a worker, and how long the first of them has waited. Where nobody works, nothing waits.
    pub fn queue(&self, kind: ObjectKind, ready: usize, oldest: Duration) {
        let leads = self.leader.get() == 1;
        let ready = i64::try_from(ready).unwrap_or(i64::MAX);
        let labels = [kind.kind()];
        let (ready, oldest) = if leads {
            (ready, oldest.as_secs_f64())
        } else {
            (0, 0.0)
        };
        self.queue_ready.with_label_values(&labels).set(ready);
        self.queue_oldest.with_label_values(&labels).set(oldest);
    }

    /// A run of this Pipeline has another status.
    pub fn run_written(&self, pipeline: &Key, before: &Value, after: &Value) {
        self.deliveries.run(pipeline, before, after);
    }

    /// A Pipeline is gone, and its series with it.
    pub fn forget_pipeline(&self, key: &Key) {
        self.deliveries.forget_pipeline(key);
    }

    /// A Promotion into this Environment has another status.
    pub fn promotion_written(&self, environment: &Key, promoted: &Promoted<'_>) {
        self.deliveries.promotion(environment, promoted);
    }

    /// Where an Environment is; nothing, where it is gone.
    pub fn environment(&self, key: &Key, status: Option<&Value>) {
        match status {
            Some(status) => self.deliveries.environment(key, status),
            None => self.deliveries.forget_environment(key),
        }
    }

    /// What a Rollout does with its traffic.
    pub fn rollout(&self, key: &Key, phase: &str, weight: u8) {
        self.deliveries.rollout(key, phase, weight);
    }

    /// A Rollout has another status.
    pub fn rollout_written(&self, key: &Key, before: &Value, after: &Value) {
        self.deliveries.rollout_written(key, before, after);
    }

    /// A Rollout is gone, and its series with it.
    pub fn forget_rollout(&self, key: &Key) {
        self.deliveries.forget_rollout(key);
    }

    /// How the SLOs of an Environment are; what it does not have any more goes.
    pub fn slos(&self, key: &Key, slos: &[SloStatus]) {
        self.slos.show(key, slos);
    }

    /// How well deliveries to an Environment go; what is not known has no series.
    pub fn dora(&self, key: &Key, dora: Option<&DoraStatus>) {
        self.dora.show(key, dora);
    }

    /// How many incidents of an Environment are open; nothing, where it is gone.
    pub fn incidents(&self, key: &Key, open: Option<i64>) {
        let labels = [key.namespace.as_str(), key.name.as_str()];
        match open {
            Some(open) => self.open_incidents.with_label_values(&labels).set(open),
            None => drop(self.open_incidents.remove_label_values(&labels)),
        }
    }

    /// An Alertmanager has sent something.
    pub fn delivered(&self, outcome: &'static str) {
        self.alert_deliveries.with_label_values(&[outcome]).inc();
    }

    /// A git provider has sent something.
    pub fn told(&self, provider: &'static str, outcome: &'static str) {
        self.webhooks.with_label_values(&[provider, outcome]).inc();
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

fn counters(registry: &Registry, series: &Series) -> Result<IntCounterVec, prometheus::Error> {
    let made = IntCounterVec::new(series.opts(), &series.label_names())?;
    registry.register(Box::new(made.clone()))?;
    Ok(made)
}

fn gauges(registry: &Registry, series: &Series) -> Result<GaugeVec, prometheus::Error> {
    let made = GaugeVec::new(series.opts(), &series.label_names())?;
    registry.register(Box::new(made.clone()))?;
    Ok(made)
}

fn int_gauges(registry: &Registry, series: &Series) -> Result<IntGaugeVec, prometheus::Error> {
    let made = IntGaugeVec::new(series.opts(), &series.label_names())?;
    registry.register(Box::new(made.clone()))?;
    Ok(made)
}

/// A histogram of what machines do.
fn seconds(registry: &Registry, series: &Series) -> Result<HistogramVec, prometheus::Error> {
    histograms(registry, series, SECONDS)
}

/// A histogram of what people wait for.
fn spans(registry: &Registry, series: &Series) -> Result<HistogramVec, prometheus::Error> {
    histograms(registry, series, SPANS)
}

fn histograms(
    registry: &Registry,
    series: &Series,
    buckets: &[f64],
) -> Result<HistogramVec, prometheus::Error> {
    let opts = HistogramOpts::from(series.opts()).buckets(buckets.to_vec());
    let made = HistogramVec::new(opts, &series.label_names())?;
    registry.register(Box::new(made.clone()))?;
    Ok(made)
}
