//! The smoke tests of a promotion, one after the other, once its Rollouts are healthy. No I/O.

use super::super::api::{RollbackCause, SmokeTest};
use super::super::render;
use super::advance::{Cause, first_failed, put_step, set};
use super::history::Entry;
use super::rollouts::Answer;
use super::{Draft, after};
use crate::check::{GRACE, Outcome};
use crate::model::action::Action;
use crate::promotion::api::{PromotionPhase, StepState, StepStatus};

impl<'a> Draft<'a> {
    /// One smoke test after the other.
    pub(super) fn verify(&mut self, entry: &Entry<'a>) {
        if self.leave_if_asked(entry) || self.leave_for_burn(entry) || self.leave_for_alert(entry) {
            return;
        }
        let mut steps = entry.record.status.steps.clone();
        if let Some(message) = first_failed(&self.answers(entry)) {
            return self.fail(
                entry,
                steps,
                Cause::By(RollbackCause::RolloutFailed),
                &message,
            );
        }
        let seen = self.seen;
        for test in &seen.spec.smoke_tests {
            let name = render::step_name(&test.name);
            let done = |step: &StepStatus| step.name == name && step.state == StepState::Succeeded;
            if steps.iter().any(done) {
                continue;
            }
            let job = render::job_name(entry.record, &test.name);
            let check = seen.checks.get(&job);
            let outcome = check
                .filter(|check| check.promotion == entry.record.target.uid)
                .map(|check| &check.outcome);
            match outcome {
                None => return self.begin_check(entry, test, steps),
                Some(Outcome::Running) => return self.await_check(entry, test, steps),
                Some(Outcome::Failed(why) | Outcome::Stuck(why)) => {
                    let message = format!("smoke test {} failed: {why}", test.name);
                    put_step(&mut steps, &name, StepState::Failed, (&message, self.now));
                    let cause = Cause::By(RollbackCause::SmokeFailed);
                    return self.fail(entry, steps, cause, &message);
                }
                Some(Outcome::Passed) => {
                    put_step(
                        &mut steps,
                        &name,
                        StepState::Succeeded,
                        ("passed", self.now),
                    );
                }
            }
        }
        self.succeed(entry, steps);
    }

    fn begin_check(&mut self, entry: &Entry<'a>, test: &SmokeTest, mut steps: Vec<StepStatus>) {
        // What moves is not measured: a test that fails on a half-started Rollout says nothing.
        let moving = self
            .answers(entry)
            .into_iter()
            .find_map(|(_, answer)| match answer {
                Answer::Waiting(message, deadline) => Some((message, deadline)),
                Answer::Healthy | Answer::Unconcerned | Answer::Failed(_) => None,
            });
        let name = render::step_name(&test.name);
        if let Some((message, deadline)) = moving {
            if let Some(deadline) = deadline {
                self.wake_at(deadline);
            }
            return self.write(entry, |status| {
                status.steps = steps;
                let message = format!("smoke test {} waits for {message}", test.name);
                set(
                    status,
                    PromotionPhase::Verifying,
                    "WaitingForRollouts",
                    &message,
                );
            });
        }
        let job = render::job(self.seen, entry.record, test, self.commit_of(entry));
        put_step(&mut steps, &name, StepState::Running, ("running", self.now));
        if let Some(step) = steps.iter_mut().find(|step| step.name == name) {
            step.job = Some(job.key.name.clone());
        }
        self.write(entry, |status| {
            status.steps = steps;
            let message = format!("smoke test {} runs", test.name);
            set(status, PromotionPhase::Verifying, "Verifying", &message);
        });
        self.actions.push(Action::Create(job));
    }

    fn await_check(&mut self, entry: &Entry<'a>, test: &SmokeTest, mut steps: Vec<StepStatus>) {
        let name = render::step_name(&test.name);
        put_step(&mut steps, &name, StepState::Running, ("running", self.now));
        let started = steps.iter().find(|step| step.name == name);
        let started = started
            .and_then(|step| step.started_at.as_ref())
            .map_or(self.now, |at| at.0);
        let deadline = after(started, test.timeout().saturating_add(GRACE));
        if self.now >= deadline {
            let message = format!(
                "smoke test {} did not end in time; look at its Job and the Job controller",
                test.name
            );
            put_step(&mut steps, &name, StepState::Failed, (&message, self.now));
            return self.fail(
                entry,
                steps,
                Cause::By(RollbackCause::SmokeFailed),
                &message,
            );
        }
        self.wake_at(deadline);
        self.write(entry, |status| {
            status.steps = steps;
            let message = format!("smoke test {} runs", test.name);
            set(status, PromotionPhase::Verifying, "Verifying", &message);
        });
    }
}
