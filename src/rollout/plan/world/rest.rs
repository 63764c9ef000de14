//! Where a world is on its way: waiting for people, or at rest; and that nothing was lost on it.

use super::*;

impl World {
    /// Whether a step waits for an approval that nobody has given yet.
    pub(super) fn asks(&self) -> bool {
        let ready = self.status.conditions.iter().find(|it| it.type_ == "Ready");
        let is_approved = self.decisions.iter().any(|act| {
            let step = self.status.step.as_ref();
            act.spec.action == DecisionAction::Approve
                && step.is_some_and(|step| act.at >= step.started_at)
        });
        ready.is_some_and(|ready| ready.reason == "ApproveStep") && !is_approved
    }

    /// Whether a failure holds the change until people decide.
    pub(super) fn is_stuck(&self) -> bool {
        let progress = self.status.progress.as_ref();
        let change = progress.and_then(|progress| progress.change.as_ref());
        change.is_some_and(|change| change.stuck.is_some())
    }

    pub(super) fn run_until(&mut self, limit: i64, phase: Phase) -> bool {
        let end = self.now + limit;
        while self.now < end {
            self.tick();
            let stable = self.status.progress.as_ref().and_then(|p| p.stable.clone());
            let is_wanted = stable == Some(self.revision(self.wanted));
            // Healthy with the revision before is only the beginning.
            let is_there = is_wanted == (phase == Phase::Healthy);
            if self.status.phase == Some(phase) && is_there && self.settled() {
                return true;
            }
        }
        false
    }

    /// Runs until it is in this phase, and panics where it does not get there.
    #[track_caller]
    pub(super) fn must_reach(&mut self, limit: i64, phase: Phase, words: &str) {
        assert!(self.run_until(limit, phase), "{words}: {:?}", self.status);
    }

    /// Objects and data plane are where the status says that they are.
    pub(super) fn settled(&self) -> bool {
        let stable = self
            .status
            .progress
            .as_ref()
            .and_then(|progress| progress.stable.clone());
        let sets = self.objects.sets.iter().filter(|set| set.replicas > 0);
        sets.into_iter()
            .all(|set| Some(&set.revision) == stable.as_ref())
            && (!self.is_routed() || self.is_all_at_stable())
    }

    pub(super) fn is_all_at_stable(&self) -> bool {
        let is_written = self.objects.route.is_some_and(|(weight, _)| weight == 0);
        self.weight == 0 && self.on_top == Division::NONE && (self.is_switch() || is_written)
    }

    /// Stable has everything, whatever is on its way.
    pub(super) fn settled_at_stable(&self) -> bool {
        let progress = self.status.progress.as_ref();
        let stable = progress.and_then(|progress| progress.stable.as_ref());
        let [active, _] = &self.objects.services;
        let selected = active.as_ref().map(|(revision, _)| revision);
        self.weight == 0 && selected == stable
    }

    pub(super) fn assert_sound(&self, seed: u64) {
        assert!(self.lost.is_empty(), "seed {seed}: {:?}", self.lost.first());
        assert!(
            self.wrong.is_empty(),
            "seed {seed}: {:?}",
            self.wrong.first()
        );
    }
}
