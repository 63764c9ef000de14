//! The Jobs of `run` steps: made when their step is there, deleted when nobody waits for them any more. No I/O.

use jiff::Timestamp;

use super::super::observed::Hook;
use super::super::render;
use super::super::spec::Step;
use super::{Draft, after};
use crate::check::{GRACE, Outcome};
use crate::model::action::Action;

impl Draft<'_> {
    /// Plans the Job of the present step, and the end of those that were overtaken.
    pub(super) fn run_hooks(&mut self) {
        let present = self.present_hook();
        if let Some(name) = &present
            && !self.seen.hooks.contains_key(name)
            && !self.is_held()
            && self.seen.deletion.is_none()
        {
            self.start_hook(name);
        }
        let is_overtaken = |(name, hook): &(&String, &Hook)| {
            let is_over = matches!(
                hook.outcome,
                Outcome::Passed | Outcome::Failed(_) | Outcome::Lost(_)
            );
            !is_over && !hook.is_ending && Some(*name) != present.as_ref()
        };
        let overtaken = self.seen.hooks.iter().filter(is_overtaken);
        self.deletions
            .extend(overtaken.map(|(_, hook)| Action::Delete {
                target: hook.target.clone(),
                orphan: false,
            }));
    }

    /// The name of the Job that the present step waits for.
    fn present_hook(&self) -> Option<String> {
        let change = self.change()?;
        match self.present_step()? {
            Step::Run { name, .. } => Some(render::hook_name(&self.seen.key.name, change, name)),
            Step::SetWeight(_)
            | Step::Route(_)
            | Step::Mirror(_)
            | Step::Scale(_)
            | Step::Pause(_)
            | Step::Analyse { .. }
            | Step::Approve { .. } => None,
        }
    }

    fn start_hook(&mut self, job_name: &str) {
        let Some(Step::Run { job, timeout, .. }) = self.present_step() else {
            return;
        };
        let hook = render::hook(self.seen, job_name, job, *timeout, self.told_to_jobs());
        self.creations.push(Action::Create(hook));
    }

    /// What a hook, or a Job that measures, hears of the change.
    pub(super) fn told_to_jobs(&self) -> Vec<(String, String)> {
        let revision = self
            .change()
            .map_or(&self.wanted, |change| &change.revision);
        let told = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let mut all = vec![
            told("SLIPWAY_ROLLOUT", &self.seen.key.name),
            told("SLIPWAY_REVISION", revision.as_str()),
            told(
                "SLIPWAY_WEIGHT",
                &self.wanted_weight().percent().to_string(),
            ),
        ];
        if self.spec.routing.is_some() {
            all.push(told("SLIPWAY_CANARY_SERVICE", &self.backends.canary));
            all.push(told("SLIPWAY_STABLE_SERVICE", &self.backends.stable));
        }
        all
    }

    /// How the hook of the present step is, and when it is given up as lost.
    pub(super) fn hook_state(
        &self,
        started_at: Timestamp,
        timeout: std::time::Duration,
    ) -> (Option<&Outcome>, Timestamp) {
        let hook = self
            .present_hook()
            .and_then(|name| self.seen.hooks.get(&name));
        (
            hook.map(|hook| &hook.outcome),
            after(started_at, timeout.saturating_add(GRACE)),
        )
    }
}
