//! Which metrics are due. A measurement is an action; its result is counted in status before it is acted on. No I/O.

use jiff::Timestamp;

use super::super::api::{StepStatus, Tally};
use super::super::render;
use super::super::spec::{Analysis, Step};
use super::Draft;
use crate::analysis::api::provider::Source;
use crate::metric::judge::{self, Verdict};
use crate::metric::placeholder::{Sides, Subject};
use crate::metric::provider::{self, Credentials, Window};
use crate::model::action::Action;
use crate::model::plan::Why;
use crate::model::revision::Revision;
use crate::model::span::{after, time_of_day};
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
        let sides = Sides {
            canary: self.subject(&change.revision),
            stable: self.subject(&self.stable),
        };
        let credentials = Credentials {
            namespace: self.seen.key.namespace.clone(),
            secrets: analysis.secrets.clone(),
        };
        for (metric, interval) in &analysis.metrics {
            if !active.contains(&metric.name.as_str()) {
                continue;
            }
            let tally = self.tally(&metric.name);
            if tally.is_some_and(|tally| judge::is_complete(metric, tally)) {
                continue;
            }
            let last = tally.and_then(|tally| tally.at);
            let due = analysis.due(*interval, since, last);
            if due > self.now {
                self.wake_at(due);
                continue;
            }
            let filled = sides.filled(metric);
            if let Some(Source::Job(job)) = filled.provider.source() {
                self.measure_with_job(metric, job, &change, since);
                continue;
            }
            let taken = tally.map_or(0, |tally| tally.taken);
            let key = format!(
                "{}/{}/{}/{taken}",
                change.revision, change.step, metric.name
            );
            let begun = tally.and_then(|tally| tally.since);
            let window = Window {
                since: begun.unwrap_or_else(|| analysis.begin(*interval, since)),
                interval: *interval,
                now: self.now,
            };
            let request = provider::request(&filled, &credentials, &window);
            let fetch = request.map(|request| Action::Fetch { key, request });
            self.measurements.extend(fetch);
        }
    }

    fn subject(&self, revision: &Revision) -> Subject {
        let set = self.seen.set(revision);
        Subject {
            pods: set.map_or_else(
                || render::pods_pattern(&self.seen.key.name, revision),
                |set| render::pods_of(&set.target.key.name),
            ),
            revision: revision.to_string(),
            images: set.map(|set| set.images.clone()).unwrap_or_default(),
        }
    }

    /// Those of the step, and in the background all of them once the canary has weight.
    fn active_metrics<'m>(&self, analysis: &'m Analysis) -> Vec<&'m str> {
        let in_background = self.measures_in_background(analysis);
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

    fn measures_in_background(&self, analysis: &Analysis) -> bool {
        let share = self.live.share_of(&self.wanted);
        share > Weight::ZERO && self.wanted_weight() >= analysis.start_at
    }

    /// What a metric has counted.
    pub(super) fn tally(&self, name: &str) -> Option<&Tally> {
        Tally::among(&self.memory.tallies, name)
    }

    /// Drops the counts of metrics that are not measured any more.
    pub(super) fn forget_other_metrics(&mut self) {
        let analysis = self.spec.analysis.as_ref();
        let is_known = |name: &str| analysis.is_some_and(|of| of.metric(name).is_some());
        self.memory.tallies.retain(|tally| is_known(&tally.name));
    }

    /// The counts of these metrics start afresh.
    pub(super) fn forget_samples(&mut self, names: &[String]) {
        let at = self.now;
        for tally in &mut self.memory.tallies {
            if names.contains(&tally.name) {
                *tally = tally.afresh();
            }
        }
        if let Some(change) = &mut self.memory.progress.change {
            change.measuring_since = Some(at);
        }
    }

    /// Whether every one of these metrics is good. One that is only looked at is not waited for.
    pub(super) fn are_good(&self, names: &[String]) -> bool {
        let Some(analysis) = &self.spec.analysis else {
            return false;
        };
        names.iter().all(|name| {
            let Some(metric) = analysis.metric(name) else {
                return !self.rules.no_data_is_not_success;
            };
            let verdict = self.tally(name).map(|it| judge::verdict(metric, it));
            metric.is_dry_run()
                || verdict == Some(Verdict::Good)
                || !self.rules.no_data_is_not_success
        })
    }

    /// Good samples of wanted ones, for people.
    pub(super) fn counts_of(&self, names: &[String]) -> String {
        self.words_of(|name| names.iter().any(|of| of == name))
    }

    /// What people are told, with the counts of what is measured in the background. An analysis tells its own.
    pub(super) fn with_counts(&self, why: Why) -> Why {
        let analysis = self.spec.analysis.as_ref();
        let is_measured = analysis.is_some_and(|of| self.measures_in_background(of));
        if !is_measured || matches!(self.present_step(), Some(Step::Analyse { .. })) {
            return why;
        }
        let counts = self.words_of(|_| true);
        Why {
            message: format!("{}; measured: {counts}", why.message),
            ..why
        }
    }

    /// Until when a step lasts, or a verdict is waited for.
    pub(super) fn words_of_end(&self, step: Option<&StepStatus>) -> String {
        let until = step.and_then(|step| step.until);
        match (until, self.present_step()) {
            (Some(until), _) if until > self.now => format!(" until {}", time_of_day(until)),
            (Some(earliest), Some(Step::Analyse { .. })) => {
                let end = time_of_day(self.end_of_patience(earliest));
                format!("; without a verdict until {end} it fails")
            }
            (Some(_) | None, _) => String::new(),
        }
    }

    fn words_of(&self, is_wanted: impl Fn(&str) -> bool) -> String {
        let metrics = self.spec.analysis.iter().flat_map(|of| &of.metrics);
        let wanted = metrics.filter(|(metric, _)| is_wanted(&metric.name));
        let words = wanted.map(|(metric, _)| judge::words(metric, self.tally(&metric.name)));
        words.collect::<Vec<_>>().join("; ")
    }

    /// The end of an analysis that gets no data.
    pub(super) fn end_of_patience(&self, earliest: Timestamp) -> Timestamp {
        after(earliest, self.spec.progress_deadline)
    }
}
