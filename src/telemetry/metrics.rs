//! Every Prometheus series, registered once. Labels come from closed sets or are object names. No I/O.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus::{
    Encoder, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, TextEncoder,
};

use crate::dora::Window;
use crate::dora::api::{DoraShare, DoraSpan, DoraStatus, DoraWindow};
use crate::environment::api::{SloState, SloStatus};
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
    webhooks: IntCounterVec,
    incidents: IncidentSeries,
    slos: SloSeries,
    dora: DoraSeries,
}

/// The series of figures of deliveries, in the order of [`DoraSeries::values`].
#[derive(Clone, Debug)]
struct DoraSeries([GaugeVec; 6]);

/// The series of incidents.
#[derive(Clone, Debug)]
struct IncidentSeries {
    open: IntGaugeVec,
    deliveries: IntCounterVec,
}

/// The series of SLOs.
#[derive(Clone, Debug)]
struct SloSeries {
    burn_rate: GaugeVec,
    budget: GaugeVec,
    state: GaugeVec,
    /// Those that each Environment has.
    known: Arc<Mutex<HashMap<Key, Vec<Shown>>>>,
}

/// What series an SLO has.
#[derive(Clone, Debug)]
struct Shown {
    name: String,
    windows: Vec<String>,
    state: SloState,
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
            webhooks: counter(
                "webhook_deliveries_total",
                "What git providers sent, by what became of it.",
                &["provider", "outcome"],
            )?,
            incidents: IncidentSeries::new(&registry)?,
            slos: SloSeries::new(&registry)?,
            dora: DoraSeries::new(&registry)?,
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
            Some(open) => self.incidents.open.with_label_values(&labels).set(open),
            None => drop(self.incidents.open.remove_label_values(&labels)),
        }
    }

    /// An Alertmanager has sent something.
    pub fn delivered(&self, outcome: &'static str) {
        let deliveries = &self.incidents.deliveries;
        deliveries.with_label_values(&[outcome]).inc();
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

impl DoraSeries {
    fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let gauge = |name, help| {
            let labels = ["namespace", "environment", "window"];
            let series = GaugeVec::new(Opts::new(name, help), &labels)?;
            registry.register(Box::new(series.clone()))?;
            Ok::<_, prometheus::Error>(series)
        };
        Ok(Self([
            gauge(
                "dora_deployments",
                "Promotions forward that succeeded in the window.",
            )?,
            gauge("dora_deployments_per_day", "The same per day.")?,
            gauge(
                "dora_lead_time_seconds",
                "Median time from a commit to its deployment.",
            )?,
            gauge(
                "dora_change_failure_ratio",
                "Share of the changes that failed.",
            )?,
            gauge(
                "dora_recovery_time_seconds",
                "Median time from a failure until something good served again.",
            )?,
            gauge(
                "dora_rework_ratio",
                "Share of the deployments that nobody had planned.",
            )?,
        ]))
    }

    fn values(shown: &DoraWindow) -> [Option<f64>; 6] {
        let ratio = |text: &str| text.parse::<f64>().ok();
        // Seconds of a window fit any number exactly.
        let seconds = |seconds: u64| Some(f64::from(u32::try_from(seconds).unwrap_or(u32::MAX)));
        let share = |share: Option<&DoraShare>| share.and_then(|share| ratio(&share.ratio));
        let span = |span: Option<&DoraSpan>| span.and_then(|span| seconds(span.median_seconds));
        [
            Some(f64::from(shown.frequency.deployments)),
            ratio(&shown.frequency.per_day),
            span(shown.lead_time.as_ref()),
            share(shown.change_failures.as_ref()),
            span(shown.recovery_time.as_ref()),
            share(shown.rework.as_ref()),
        ]
    }

    fn show(&self, key: &Key, dora: Option<&DoraStatus>) {
        for window in Window::ALL {
            let labels = [key.namespace.as_str(), key.name.as_str(), window.as_str()];
            let mut all = dora.iter().flat_map(|dora| &dora.windows);
            let shown = all.find(|shown| shown.window == window.as_str());
            let values = shown.map_or([None; 6], Self::values);
            for (series, value) in self.0.iter().zip(values) {
                match value {
                    Some(value) => series.with_label_values(&labels).set(value),
                    None => drop(series.remove_label_values(&labels)),
                }
            }
        }
    }
}

impl IncidentSeries {
    fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let open = IntGaugeVec::new(
            Opts::new(
                "environment_open_incidents",
                "Open incidents of the Promotions of an Environment.",
            ),
            &["namespace", "environment"],
        )?;
        registry.register(Box::new(open.clone()))?;
        let deliveries = counters(
            registry,
            "alert_deliveries_total",
            "What Alertmanagers sent, by what became of it.",
            &["outcome"],
        )?;
        Ok(Self { open, deliveries })
    }
}

impl SloSeries {
    fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let gauge = |name, help, labels: &[&str]| {
            let series = GaugeVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(series.clone()))?;
            Ok::<_, prometheus::Error>(series)
        };
        let slo = ["namespace", "environment", "slo"];
        Ok(Self {
            burn_rate: gauge(
                "slo_burn_rate",
                "How many times as fast as the objective allows the error budget burns.",
                &["namespace", "environment", "slo", "window"],
            )?,
            budget: gauge(
                "slo_error_budget_remaining_ratio",
                "Share of the error budget that is left.",
                &slo,
            )?,
            state: gauge(
                "slo_state",
                "1 for the state that the SLO is in.",
                &["namespace", "environment", "slo", "state"],
            )?,
            known: Arc::default(),
        })
    }

    fn show(&self, key: &Key, slos: &[SloStatus]) {
        let object = [key.namespace.as_str(), key.name.as_str()];
        // A poisoned lock means that a thread panicked between two complete updates; the data is sound.
        let mut all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        for old in all.remove(key).unwrap_or_default() {
            let [namespace, name] = object;
            let _ = self
                .budget
                .remove_label_values(&[namespace, name, &old.name]);
            let state = [namespace, name, &old.name, old.state.as_str()];
            let _ = self.state.remove_label_values(&state);
            for window in &old.windows {
                let series = [namespace, name, &old.name, window];
                let _ = self.burn_rate.remove_label_values(&series);
            }
        }
        if slos.is_empty() {
            return;
        }
        all.insert(
            key.clone(),
            slos.iter().map(|slo| self.slo(object, slo)).collect(),
        );
    }

    fn slo(&self, [namespace, environment]: [&str; 2], slo: &SloStatus) -> Shown {
        let name = slo.name.as_str();
        let number = |text: &str| text.parse::<f64>().ok();
        if let Some(left) = slo.remaining_budget.as_deref().and_then(number) {
            let labels = [namespace, environment, name];
            self.budget.with_label_values(&labels).set(left);
        }
        let state = [namespace, environment, name, slo.state.as_str()];
        self.state.with_label_values(&state).set(1.0);
        for burn in &slo.burn_rates {
            let labels = [namespace, environment, name, burn.window.as_str()];
            let rate = number(&burn.rate).unwrap_or(f64::NAN);
            self.burn_rate.with_label_values(&labels).set(rate);
        }
        let windows = slo.burn_rates.iter().map(|burn| burn.window.clone());
        Shown {
            name: name.to_owned(),
            windows: windows.collect(),
            state: slo.state,
        }
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
