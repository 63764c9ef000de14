//! Which metrics are due. A measurement is an action; its result is counted in status before it is acted on. No I/O.

use jiff::Timestamp;

use super::super::render;
use super::super::spec::{Analysis, Step};
use super::{Draft, after};
use crate::metric::judge::{self, Verdict};
use crate::metric::provider::{self, Subjects};
use crate::model::action::Action;
use crate::model::weight::Weight;

impl Draft<'_> {
    /// Plans the measurements that are due and the time of the next one.
    pub(super) fn measure(&mut self) {
        let Some(analysis) = &self.spec.analysis else {
            return;
        };
        let Some(change) = self.change().cloned() else {
            return;
        };
        let active = self.active_metrics(analysis);
        if active.is_empty() {
            return;
        }
        let since = change.measuring_since.unwrap_or(self.now);
        if let Some(change) = &mut self.memory.progress.change {
            change.measuring_since = Some(since);
        }
        let subjects = Subjects {
            canary_pods: render::pods_pattern(&self.seen.key.name, &change.revision),
            stable_pods: render::pods_pattern(&self.seen.key.name, &self.stable),
        };
        for (metric, interval) in &analysis.metrics {
            if !active.contains(&metric.name.as_str()) {
                continue;
            }
            let tally = self
                .memory
                .tallies
                .iter()
                .find(|tally| tally.name == metric.name);
            if tally.is_some_and(|tally| judge::is_complete(metric, tally)) {
                continue;
            }
            let last = tally.and_then(|tally| tally.at);
            let delay = analysis.initial_delay.unwrap_or(*interval);
            let due = last.map_or_else(|| after(since, delay), |last| after(last, *interval));
            if due > self.now {
                self.wake_at(due);
                continue;
            }
            let count = tally.map_or(0, judge::samples);
            let key = format!(
                "{}/{}/{}/{count}",
                change.revision, change.step, metric.name
            );
            let request = provider::request(metric, &subjects);
            let fetch = request.map(|request| Action::Fetch { key, request });
            self.measurements.extend(fetch);
        }
    }

    /// Those of the step, and in the background all of them once the canary has weight.
    fn active_metrics<'m>(&self, analysis: &'m Analysis) -> Vec<&'m str> {
        let share = self.live.share_of(&self.wanted);
        let in_background = share > Weight::ZERO && self.wanted_weight() >= analysis.start_at;
        let of_step = match self.present_step() {
            Some(Step::Analyse { metrics, .. }) => metrics.as_slice(),
            _ => &[],
        };
        let names = analysis
            .metrics
            .iter()
            .map(|(metric, _)| metric.name.as_str());
        names
            .filter(|name| in_background || of_step.iter().any(|of| of == name))
            .collect()
    }

    /// Drops the counts of metrics that are not measured any more.
    pub(super) fn forget_other_metrics(&mut self) {
        let metrics = self
            .spec
            .analysis
            .iter()
            .flat_map(|analysis| &analysis.metrics);
        let names: Vec<&str> = metrics.map(|(metric, _)| metric.name.as_str()).collect();
        let tallies = &mut self.memory.tallies;
        tallies.retain(|tally| names.contains(&tally.name.as_str()));
    }

    /// The counts of these metrics start afresh.
    pub(super) fn forget_samples(&mut self, names: &[String]) {
        let at = self.now;
        self.memory
            .tallies
            .retain(|tally| !names.contains(&tally.name));
        if let Some(change) = &mut self.memory.progress.change {
            change.measuring_since = Some(at);
        }
    }

    /// Whether every one of these metrics is good.
    pub(super) fn are_good(&self, names: &[String]) -> bool {
        let Some(analysis) = &self.spec.analysis else {
            return false;
        };
        names.iter().all(|name| {
            let metric = analysis
                .metrics
                .iter()
                .find(|(metric, _)| metric.name == *name);
            let tally = self.memory.tallies.iter().find(|tally| tally.name == *name);
            match (metric, tally) {
                (Some((metric, _)), Some(tally)) => {
                    judge::verdict(metric, tally) == Verdict::Good
                        || !self.rules.no_data_is_not_success
                }
                _ => !self.rules.no_data_is_not_success,
            }
        })
    }

    /// Good samples of wanted ones, for people.
    pub(super) fn counts_of(&self, names: &[String]) -> String {
        let Some(analysis) = &self.spec.analysis else {
            return String::new();
        };
        let counts = analysis
            .metrics
            .iter()
            .filter(|(metric, _)| names.contains(&metric.name));
        let texts: Vec<String> = counts
            .map(|(metric, _)| {
                let tally = self
                    .memory
                    .tallies
                    .iter()
                    .find(|tally| tally.name == metric.name);
                let passed = tally.map_or(0, |tally| tally.passed);
                format!("{} {passed}/{} passed", metric.name, metric.min_samples())
            })
            .collect();
        texts.join(", ")
    }

    /// The end of an analysis that gets no data.
    pub(super) fn end_of_patience(&self, earliest: Timestamp) -> Timestamp {
        after(earliest, self.spec.progress_deadline)
    }
}
