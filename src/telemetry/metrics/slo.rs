//! The series of SLOs. No I/O.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus::{GaugeVec, Registry};

use super::gauges;
use crate::environment::api::{SloState, SloStatus};
use crate::model::key::Key;
use crate::telemetry::series;

/// The series of SLOs.
#[derive(Clone, Debug)]
pub(super) struct SloSeries {
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

impl SloSeries {
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        Ok(Self {
            burn_rate: gauges(registry, &series::SLO_BURN_RATE)?,
            budget: gauges(registry, &series::SLO_BUDGET)?,
            state: gauges(registry, &series::SLO_STATE)?,
            known: Arc::default(),
        })
    }

    pub(super) fn show(&self, key: &Key, slos: &[SloStatus]) {
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
