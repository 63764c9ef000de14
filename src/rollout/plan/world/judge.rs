//! Whether a write makes things worse, whatever they are like: what serves and has requests keeps its pods and its Service,
//! and weight goes to nobody who does not answer.

use super::*;

impl World {
    /// A plan writes each object once, because the second write would lose against the first, and is the same for whoever
    /// looks at the same.
    pub(super) fn assert_repeatable(
        &self,
        seen: &Observed,
        plan: &Plan<Memory>,
        now: jiff::Timestamp,
    ) {
        assert_eq!(*plan, plan_with(self.habits.rules, seen, now));
        let written = plan.actions.iter().flat_map(Action::patches);
        let mut names: Vec<_> = written
            .map(|(target, _)| (target.kind, &target.key))
            .collect();
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count, "{:?}", plan.actions);
    }

    fn blame(&mut self, text: &str) {
        self.wrong.push(format!("{}: {text}", self.now));
    }

    /// Pods that answer behind a Service, of what it selects.
    fn serving(&self, side: usize) -> i32 {
        let Some((revision, _)) = &self.objects.services[side] else {
            return 0;
        };
        let is_wide = *revision == Revision::unknown();
        let ready = self.ready_uids(revision);
        let there = self.endpoints[side].iter();
        let there = there.filter(|uid| is_wide || ready.contains(*uid));
        i32::try_from(there.count()).unwrap()
    }

    pub(super) fn is_crashing(&self, revision: &Revision) -> bool {
        let mut pods = self.pods.iter();
        pods.any(|pod| pod.revision == *revision && pod.ready_at.is_none())
    }

    /// Pods for a share of the requests: what is left of a pod is borne by the others.
    fn least(&self, share: u8) -> i32 {
        let total = self.specs[self.wanted].replicas;
        let least = i32::from(share) * total / 100 - self.spared;
        least.max(i32::from(share > 0)).min(total)
    }

    /// The largest share of a revision, by what is written and by what the data plane knows of that.
    fn share_of(&self, revision: &Revision) -> u8 {
        let selects = |side: usize| {
            let service = self.objects.services[side].as_ref();
            service.is_some_and(|(selected, _)| selected == revision)
        };
        if !self.is_switch() && self.objects.route.is_none() {
            return 0;
        }
        let written = self.objects.route.map_or(0, |(weight, _)| weight);
        let shares = [written, self.weight].map(|weight| {
            let stable = if selects(0) { 100 - weight } else { 0 };
            stable + if selects(1) { weight } else { 0 }
        });
        let added = selects(1) && self.objects.on_top.reaches_canary();
        shares[0].max(shares[1]).max(u8::from(added))
    }

    /// A ReplicaSet gets another number of pods.
    pub(super) fn judge_count(&mut self, revision: &Revision, before: i32, after: i32) {
        if after >= before {
            return;
        }
        if !self.is_routed() {
            return self.judge_total(revision, after);
        }
        let share = self.share_of(revision);
        let least = self.least(share);
        if after < before.min(least) {
            self.blame(&format!(
                "{revision} with {share} % goes from {before} to {after} pods, where {least} are needed"
            ));
        }
    }

    /// Without Services all pods serve together.
    fn judge_total(&mut self, revision: &Revision, after: i32) {
        let spec = &self.specs[self.wanted];
        let least = spec.replicas - spec.max_unavailable - self.spared;
        let left = |count: Option<i32>| -> i32 {
            let sets = self.objects.sets.iter();
            let left = sets.map(|set| {
                let there = i32::try_from(self.ready_uids(&set.revision).len()).unwrap();
                let count = count.filter(|_| set.revision == *revision);
                there.min(count.unwrap_or(set.replicas))
            });
            left.sum()
        };
        let (before, after) = (left(None), left(Some(after)));
        if after < before.min(least) {
            self.blame(&format!(
                "pods of {revision} go: {after} of {before} serve, where {least} are needed"
            ));
        }
    }

    /// A Service selects another revision.
    pub(super) fn judge_selector(&mut self, side: usize, to: &Revision) {
        let Some((from, _)) = self.objects.services[side].clone() else {
            return;
        };
        let serving = self.serving(side);
        if from == *to || from == Revision::unknown() || serving == 0 {
            return;
        }
        let written = self.objects.route.map_or(0, |(weight, _)| weight);
        let shares = [written, self.weight].map(|weight| [100 - weight, weight]);
        let is_reached = if self.is_switch() {
            side == 0
        } else {
            let added =
                side == 1 && (self.on_top.reaches_canary() || self.objects.on_top.reaches_canary());
            self.objects.route.is_some() && (added || shares.iter().any(|it| it[side] > 0))
        };
        if !is_reached {
            return;
        }
        let name = SIDES[side];
        if !self.is_switch() {
            return self.blame(&format!(
                "{name:?} goes from {from} to {to}, with requests and {serving} pods that serve them"
            ));
        }
        let there = i32::try_from(self.ready_uids(to).len()).unwrap();
        let least = self.needed_by(to, &from, 100);
        if there < least {
            self.blame(&format!(
                "{serving} pods of {from} serve, and all requests go to {there} of {to}, where {least} are needed"
            ));
        }
    }

    /// Pods that a revision needs for a share that another one could have. To stable, and away from what crashes, one is
    /// enough.
    fn needed_by(&self, gaining: &Revision, losing: &Revision, share: u8) -> i32 {
        let progress = self.status.progress.as_ref();
        let change = progress.and_then(|progress| progress.change.as_ref());
        let is_way_back = change.is_none_or(|change| change.revision != *gaining);
        // Where none are to serve, nobody is promised anything.
        if self.specs[self.wanted].replicas == 0 {
            0
        } else if is_way_back || gaining == losing || self.is_crashing(losing) {
            1
        } else {
            self.least(share)
        }
    }

    /// Requests are divided in another way.
    pub(super) fn judge_division(&mut self, before: &Division, after: &Division) {
        let [Some((stable, _)), Some((canary, _))] = self.objects.services.clone() else {
            return;
        };
        let share = after.weight.percent();
        let is_raised = after.weight > before.weight || after.adds_to(before);
        let is_lowered = after.weight < before.weight;
        let sides = [
            (is_lowered, 0, 100 - share, &stable, &canary),
            (is_raised, 1, share, &canary, &stable),
        ];
        for (gains, side, share, gaining, losing) in sides {
            let (serving, others) = (self.serving(side), self.serving(1 - side));
            let least = self.needed_by(gaining, losing, share);
            let least = if side == 1 { least } else { least.min(1) };
            if gains && others > 0 && serving < least {
                self.blame(&format!(
                    "{gaining} gets {share} % with {serving} pods that answer, where {least} are needed and {others} of \
                     {losing} answer"
                ));
            }
        }
    }
}
