//! Jobs that measure: one for each sample, by a name that follows from which sample it is, so that a crash never makes two.
//! Its end is counted in the status; only then is the Job deleted, and only then is there a next one. No I/O.

use jiff::Timestamp;

use super::super::api::Change;
use super::super::observed::Hook;
use super::super::render;
use super::Draft;
use crate::analysis::api::Metric;
use crate::check::Outcome;
use crate::check::api::CheckJob;
use crate::metric::{Sample, judge};
use crate::model::action::Action;

impl Draft<'_> {
    /// Starts the Job of a sample that is due, or counts how it ended.
    pub(super) fn measure_with_job(
        &mut self,
        metric: &Metric,
        job: &CheckJob,
        change: &Change,
        since: Timestamp,
    ) {
        let taken = self.tally(&metric.name).map_or(0, |tally| tally.taken);
        let name = render::sample_name(&self.seen.key.name, change, since, (&metric.name, taken));
        let Some(Hook { outcome, .. }) = self.seen.samplers.get(&name) else {
            if self.seen.deletion.is_none() {
                let told = self.told_to_jobs();
                let timeout = metric.provider.timeout();
                let job = render::sampler(self.seen, (&name, &metric.name), job, timeout, told);
                self.creations.push(Action::Create(job));
            }
            self.sampling.insert(name);
            return;
        };
        let verdict = |is_good, message: &str| Sample::Verdict {
            is_good,
            message: message.to_owned(),
        };
        let sample = match outcome {
            Outcome::Running => {
                self.sampling.insert(name);
                return;
            }
            Outcome::Passed => verdict(true, "the Job succeeded"),
            Outcome::Failed(why) => verdict(false, why),
            Outcome::Stuck(why) | Outcome::Lost(why) => Sample::Error(why.clone()),
        };
        judge::add(&mut self.memory.tallies, metric, &sample, self.now);
        // What follows from it is for the next plan, once it is on record.
        self.wake_at(self.now);
    }

    /// Ends the Jobs that nobody waits for any more. One that has failed is left for its log, until its time is over.
    pub(super) fn end_samplers(&mut self) {
        let is_done_with = |entry: &(&String, &Hook)| {
            let (name, job) = *entry;
            let is_for_people = matches!(job.outcome, Outcome::Failed(_));
            !is_for_people && !job.is_ending && !self.sampling.contains(name)
        };
        let ended = self.seen.samplers.iter().filter(is_done_with);
        let ended = ended.map(|(_, job)| Action::Delete {
            target: job.target.clone(),
            orphan: false,
        });
        self.deletions.extend(ended);
    }
}
