//! What makes an ideal cluster less ideal. No I/O.

use super::super::super::observed::{Pod, Trouble};
use super::super::happening::What;
use super::World;
use crate::rollout::api::{FailureReason, Tally};

impl World {
    /// It happens.
    pub(in super::super) fn suffer(&mut self, what: &What) {
        match what {
            What::Decision(action) => self.decide(*action, "somebody", &[]),
            What::BadSamples(metric) => self.bad.push(metric.clone()),
            What::Crash => {
                self.crashing = Some(self.spec.revision.clone());
                let mut pods = std::mem::take(&mut self.seen.pods);
                for pod in &mut pods {
                    self.strike(pod);
                }
                self.seen.pods = pods;
                self.settle();
            }
        }
    }

    /// A pod of a revision that crashes does not serve.
    pub(super) fn strike(&self, pod: &mut Pod) {
        if self.crashing.as_ref() == Some(&pod.revision) {
            pod.is_ready = false;
            pod.trouble = Some(Trouble {
                reason: FailureReason::CrashLoop,
                message: "container: CrashLoopBackOff: last exit code 1".into(),
            });
        }
    }

    /// Counts a sample: a good one, unless those of its metric are bad.
    pub(super) fn sample(&self, tally: &mut Tally) {
        let is_bad = |of: &Option<String>| of.as_ref().is_none_or(|name| *name == tally.name);
        let is_bad = self.bad.iter().any(is_bad);
        tally.taken = tally.taken.saturating_add(1);
        tally.at = Some(self.now);
        if is_bad {
            tally.failed = tally.failed.saturating_add(1);
            tally.successes = 0;
            return;
        }
        tally.passed = tally.passed.saturating_add(1);
        tally.successes = tally.successes.saturating_add(1);
    }
}
