//! The series of figures of deliveries. No I/O.

use prometheus::{GaugeVec, Registry};

use super::gauges;
use crate::dora::Window;
use crate::dora::api::{DoraShare, DoraSpan, DoraStatus, DoraWindow};
use crate::model::key::Key;
use crate::telemetry::series;

/// The series, in the order of [`DoraSeries::values`].
#[derive(Clone, Debug)]
pub(super) struct DoraSeries([GaugeVec; 6]);

impl DoraSeries {
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        Ok(Self([
            gauges(registry, &series::DORA_DEPLOYMENTS)?,
            gauges(registry, &series::DORA_PER_DAY)?,
            gauges(registry, &series::DORA_LEAD_TIME)?,
            gauges(registry, &series::DORA_FAILURES)?,
            gauges(registry, &series::DORA_RECOVERY)?,
            gauges(registry, &series::DORA_REWORK)?,
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

    pub(super) fn show(&self, key: &Key, dora: Option<&DoraStatus>) {
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
