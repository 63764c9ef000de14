//! The smoke tests of a promotion, one after the other, once its Rollouts are healthy. No I/O.
//!
//! A Job gives one verdict. It is made again only when it came to none (`promotion.retries`), under a name of its own. What
//! the operator asks itself is asked again until it is answered well, or has been asked often enough. Of both, the step on
//! record says which attempt it is, and since when or from when on.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::super::api::{RollbackCause, SmokeTest};
use super::super::observed::Check;
use super::super::probe::{self, Question};
use super::super::render;
use super::advance::{Cause, first_failed, put_step, set};
use super::history::Entry;
use super::rollout::Answer;
use super::{Draft, after, shown, validate};
use crate::check::api::CheckJob;
use crate::check::{GRACE, Outcome};
use crate::model::action::Action;
use crate::promotion::api::{PromotionPhase, StepState, StepStatus};
use crate::runner::report::StageReport;

/// Least time between two attempts: records keep whole seconds.
pub(super) const LEAST: std::time::Duration = std::time::Duration::from_secs(1);

/// What a smoke test has come to.
enum Verdict {
    Passed,
    Failed(String),
    /// Not yet; what is said meanwhile.
    Waiting(&'static str, String),
}

impl<'a> Draft<'a> {
    /// One smoke test after the other.
    pub(super) fn verify(&mut self, entry: &Entry<'a>) {
        if self.must_leave(entry, RollbackCause::SmokeFailed) {
            return;
        }
        let mut steps = entry.record.status.steps.clone();
        if let Some(message) = first_failed(&self.answers(entry)) {
            let cause = Cause::By(RollbackCause::RolloutFailed);
            return self.fail(entry, steps, cause, &message);
        }
        let (seen, now) = (self.seen, self.now);
        let mut begun = Vec::new();
        for test in &seen.spec.smoke_tests {
            let name = render::step_name(&test.name);
            let done = |step: &StepStatus| step.name == name && step.state == StepState::Succeeded;
            if steps.iter().any(done) {
                continue;
            }
            let verdict = match &test.job {
                Some(job) => self.run_check(entry, (test, job), &mut steps, &mut begun),
                None => self.ask_check(entry, test, &mut steps, &mut begun),
            };
            match verdict {
                Verdict::Passed => {
                    let passed = ("passed", now);
                    put_step(&mut steps, &name, StepState::Succeeded, passed).retry_at = None;
                }
                Verdict::Failed(why) => {
                    let message = format!("smoke test {} failed: {why}", test.name);
                    put_step(&mut steps, &name, StepState::Failed, (&message, now));
                    let cause = Cause::By(RollbackCause::SmokeFailed);
                    return self.fail(entry, steps, cause, &message);
                }
                Verdict::Waiting(reason, what) => {
                    let message = format!("smoke test {} {what}", test.name);
                    self.write(entry, |status| {
                        status.steps = steps;
                        set(status, PromotionPhase::Verifying, reason, &message);
                    });
                    self.actions.append(&mut begun);
                    return;
                }
            }
        }
        self.succeed(entry, steps);
    }

    fn run_check(
        &mut self,
        entry: &Entry<'a>,
        (test, check): (&'a SmokeTest, &'a CheckJob),
        steps: &mut Vec<StepStatus>,
        begun: &mut Vec<Action>,
    ) -> Verdict {
        let attempt = attempt_of(steps, test);
        let job = render::job_name(entry.record, &test.name, attempt);
        let own = |check: &&Check| check.promotion == entry.record.target.uid;
        let Some(found) = self.seen.checks.get(&job).filter(own) else {
            if let Some(moving) = self.wait_to_begin(entry) {
                return Verdict::Waiting("WaitingForRollouts", moving);
            }
            if let Some(at) = self.retry_at(steps, test) {
                self.wake_at(at);
                return Verdict::Waiting("Verifying", format!("is tried again at {at}"));
            }
            if test.reports.is_some() && self.seen.runner.is_none() {
                let why = "its reports are read by the runner, and the operator has no image of it: set stages.runnerImage in the values of its chart";
                return Verdict::Failed(why.to_owned());
            }
            let told = self.commit_of(entry);
            let job = render::job(self.seen, entry.record, (test, check, attempt), told);
            let step = self.step_of(steps, test, "running");
            step.job = Some(job.key.name.clone());
            step.retry_at = None;
            begun.push(Action::Create(job));
            return Verdict::Waiting("Verifying", "runs".to_owned());
        };
        let ending = found.ending.as_ref();
        let report = ending.and_then(|ending| StageReport::parse(&ending.text));
        let report = report.filter(|_| test.reports.is_some());
        let lost = report.as_ref().and_then(validate::lost);
        let why = match (&found.outcome, &lost) {
            (Outcome::Passed, _) => return self.judge(entry, test, report, steps),
            (Outcome::Running, _) => return self.await_check(test, steps),
            (Outcome::Failed(why), None) => {
                let told = report.and_then(|report| report.message);
                return Verdict::Failed(told.unwrap_or_else(|| why.clone()));
            }
            (Outcome::Stuck(why) | Outcome::Lost(why), _) | (Outcome::Failed(_), Some(why)) => {
                why.clone()
            }
        };
        let retries = &self.seen.spec.promotion.retries;
        if attempt > retries.limit {
            return Verdict::Failed(why);
        }
        let at = after(
            self.now,
            std::time::Duration::from(retries.backoff).max(LEAST),
        );
        let what = format!("came to no verdict, and is tried again at {at}: {why}");
        let step = self.step_of(steps, test, &what);
        step.attempt = Some(attempt.saturating_add(1));
        step.retry_at = Some(Time(at));
        // Its time counts anew: what was lost says nothing about how long it takes.
        step.started_at = Some(Time(at));
        self.wake_at(at);
        Verdict::Waiting("CheckLost", what)
    }

    /// What the gates make of a Job that ended well.
    fn judge(
        &mut self,
        entry: &Entry<'a>,
        test: &SmokeTest,
        report: Option<StageReport>,
        steps: &mut Vec<StepStatus>,
    ) -> Verdict {
        if test.reports.is_none() {
            return Verdict::Passed;
        }
        let mut validated = self.validated(entry, test, report);
        let problem = validated.problem.take();
        validate::note(self.step_of(steps, test, "judged"), validated);
        problem.map_or(Verdict::Passed, Verdict::Failed)
    }

    fn await_check(&mut self, test: &SmokeTest, steps: &mut Vec<StepStatus>) -> Verdict {
        let started = self.step_of(steps, test, "running").started_at.clone();
        let started = started.map_or(self.now, |at| at.0);
        let grace = if test.reports.is_some() {
            GRACE.saturating_mul(3)
        } else {
            GRACE
        };
        let deadline = after(started, test.timeout().saturating_add(grace));
        if self.now >= deadline {
            let why = "it did not end in time; look at its Job and the Job controller";
            return Verdict::Failed(why.to_owned());
        }
        self.wake_at(deadline);
        Verdict::Waiting("Verifying", "runs".to_owned())
    }

    fn ask_check(
        &mut self,
        entry: &Entry<'a>,
        test: &'a SmokeTest,
        steps: &mut Vec<StepStatus>,
        begun: &mut Vec<Action>,
    ) -> Verdict {
        let known = step_on_record(steps, test).cloned();
        if known.is_none()
            && let Some(moving) = self.wait_to_begin(entry)
        {
            return Verdict::Waiting("WaitingForRollouts", moving);
        }
        let attempt = attempt_of(steps, test);
        let known = known.unwrap_or_else(|| self.step_of(steps, test, "running").clone());
        let started = known.started_at.map_or(self.now, |at| at.0);
        let since = known.retry_at.map_or(started, |at| at.0);
        let deadline = after(started, test.timeout());
        if since > self.now && self.now < deadline {
            self.wake_at(since.min(deadline));
            return Verdict::Waiting("Verifying", known.message.unwrap_or_default());
        }
        let why = match self.answered(entry, test, since) {
            Ok(None) => return Verdict::Passed,
            Ok(Some(question)) if self.now < deadline => {
                begun.push(question);
                self.wake_at(deadline);
                let (of, _) = test.attempts();
                let what = format!("is asked, attempt {attempt} of {of}");
                self.step_of(steps, test, &what);
                return Verdict::Waiting("Verifying", what);
            }
            Ok(Some(_)) => "nothing was answered".to_owned(),
            Err(why) => why,
        };
        let (count, interval) = test.attempts();
        let next = after(self.now, interval.max(LEAST));
        if next >= deadline {
            let within = shown(test.timeout());
            return Verdict::Failed(format!("{why}; it did not pass within {within}"));
        }
        if attempt >= count {
            return Verdict::Failed(format!("{why}; that was attempt {attempt}"));
        }
        let what = format!("is asked again at {next}: {why}");
        let step = self.step_of(steps, test, &what);
        step.attempt = Some(attempt.saturating_add(1));
        step.retry_at = Some(Time(next));
        self.wake_at(next);
        Verdict::Waiting("Verifying", what)
    }

    /// Nothing, when every question was answered well since the attempt began; the next question; or what is wrong.
    fn answered(
        &self,
        entry: &Entry<'a>,
        test: &'a SmokeTest,
        since: Timestamp,
    ) -> Result<Option<Action>, String> {
        for question in probe::questions(test, &entry.record.target.uid) {
            let answer = self.seen.answers.get(&question.key);
            let Some(answer) = answer.filter(|answer| answer.at >= since) else {
                let Question { key, request, .. } = question;
                return Ok(Some(Action::Fetch { key, request }));
            };
            question.judge(&answer.reply)?;
        }
        Ok(None)
    }

    /// What moves is not measured: a test that fails on a half-started Rollout says nothing.
    fn wait_to_begin(&mut self, entry: &Entry<'a>) -> Option<String> {
        let mut answers = self.answers(entry).into_iter();
        let (message, deadline) = answers.find_map(|(_, answer)| match answer {
            Answer::Waiting(message, deadline) => Some((message, deadline)),
            Answer::Healthy | Answer::Unconcerned | Answer::Failed(_) | Answer::Behind(_) => None,
        })?;
        if let Some(deadline) = deadline {
            self.wake_at(deadline);
        }
        Some(format!("waits for {message}"))
    }

    fn step_of<'s>(
        &self,
        steps: &'s mut Vec<StepStatus>,
        test: &SmokeTest,
        what: &str,
    ) -> &'s mut StepStatus {
        let name = render::step_name(&test.name);
        put_step(steps, &name, StepState::Running, (what, self.now))
    }

    fn retry_at(&self, steps: &[StepStatus], test: &SmokeTest) -> Option<Timestamp> {
        let at = step_on_record(steps, test)?.retry_at.as_ref()?.0;
        (at > self.now).then_some(at)
    }
}

/// Which attempt a smoke test is at.
fn attempt_of(steps: &[StepStatus], test: &SmokeTest) -> u32 {
    let step = step_on_record(steps, test);
    step.and_then(|step| step.attempt).unwrap_or(1)
}

fn step_on_record<'s>(steps: &'s [StepStatus], test: &SmokeTest) -> Option<&'s StepStatus> {
    let name = render::step_name(&test.name);
    steps.iter().find(|step| step.name == name)
}
