//! What Kubernetes and the data plane do in a world: pods come and go, and requests reach them.

use super::*;

impl World {
    pub(super) fn replica_sets(&mut self) {
        let sets = self.objects.sets.clone();
        if self.wanted != "1" {
            self.most = self.most.max(sets.iter().map(|set| set.replicas).sum());
        }
        for set in &sets {
            let alive = |pod: &&SimPod| pod.revision == set.revision && pod.ends_at.is_none();
            let count = i32::try_from(self.pods.iter().filter(alive).count()).unwrap();
            for _ in count..set.replicas {
                self.version += 1;
                let is_broken = self.broken.iter().any(|v| self.revision(v) == set.revision);
                let start = 1 + i64::try_from(self.random.below(3)).unwrap();
                self.pods.push(SimPod {
                    uid: format!("{}-{}", set.revision, self.version),
                    revision: set.revision.clone(),
                    created_at: self.now,
                    ready_at: (!is_broken).then_some(self.now + start),
                    dead: false,
                    ends_at: None,
                });
            }
            for _ in set.replicas..count {
                let ends_at = self.now + if self.is_graceful { DRAIN } else { 0 };
                // As in Kubernetes, those that are not ready, and then the latest, go first.
                let rank = |pod: &SimPod| (self.is_ready(pod), Reverse(pod.ready_at));
                let alive = self.pods.iter().enumerate().filter(|(_, pod)| alive(pod));
                let victim = alive.min_by_key(|(_, pod)| rank(pod));
                let victim = victim.map(|(index, _)| index);
                self.pods[victim.unwrap()].ends_at = Some(ends_at);
            }
        }
        for pod in &mut self.pods {
            pod.dead = pod.ends_at.is_some_and(|at| at <= self.now);
        }
        for pod in self.pods.iter().filter(|pod| pod.dead) {
            let last = self.served_at.get(&pod.uid).copied().unwrap_or(i64::MIN);
            if last + LONGEST_REQUEST > self.now {
                self.lost.push(format!(
                    "{}: a request to {} was cut off",
                    self.now, pod.uid
                ));
            }
        }
        self.pods.retain(|pod| !pod.dead);
        if self.broken.is_empty() && !self.is_flapping {
            self.watch_surge();
        }
    }

    pub(super) fn is_ready(&self, pod: &SimPod) -> bool {
        pod.ends_at.is_none() && pod.ready_at.is_some_and(|at| at <= self.now)
    }

    pub(super) fn ready_uids(&self, revision: &Revision) -> BTreeSet<String> {
        let pods = self
            .pods
            .iter()
            .filter(|pod| pod.revision == *revision && self.is_ready(pod));
        pods.map(|pod| pod.uid.clone()).collect()
    }

    /// Takes in what is written, each part sooner or later but within the lag.
    pub(super) fn data_plane(&mut self) {
        let hurry = self.now % LAG == 0;
        if let Some((weight, version)) = self.objects.route
            && !self.is_deaf
            && self.takes_in(version)
        {
            self.weight = weight;
            self.on_top = self.objects.on_top.clone();
            self.generation = version;
        }
        for (index, service) in self.objects.services.clone().iter().enumerate() {
            let Some((revision, _)) = service else {
                continue;
            };
            let is_wide = self.is_lent && index == 0 && *revision == Revision::unknown();
            let is_same = |uid: &String| is_wide || uid.starts_with(revision.as_str());
            // A Service without a route before it is changed in one piece, as the EndpointSlice controller does.
            let is_switched = self.is_switch() && index == 0;
            if is_switched || self.endpoints[index].iter().all(is_same) {
                let ready = if is_wide {
                    self.everybody()
                } else {
                    self.ready_uids(revision)
                };
                let is_news = self.endpoints[index].iter().all(is_same);
                if hurry || self.random.one_in(2) || (is_switched && !is_news && ready.is_empty()) {
                    self.endpoints[index] = ready;
                } else if !is_news {
                    // Nothing has arrived yet but that pods are gone.
                    let alive: BTreeSet<String> = self.alive_uids();
                    self.endpoints[index].retain(|uid| alive.contains(uid));
                } else {
                    // Pods that are gone are noticed at once; new ones take their time.
                    self.endpoints[index].retain(|uid| ready.contains(uid));
                }
            } else {
                // A selector was changed: what it does not select any more goes before the new ones come.
                self.endpoints[index].retain(is_same);
            }
        }
    }

    /// Whether the route is taken in now: within the lag; where nobody reports that, just before the drain time is over.
    fn takes_in(&mut self, version: u64) -> bool {
        if !self.is_silent {
            return self.now % LAG == 0 || self.random.one_in(3);
        }
        if self.generation >= version {
            self.unread_since = None;
            return false;
        }
        let since = *self.unread_since.get_or_insert(self.now);
        // It was written a second before it is seen here.
        let is_taken_in = self.now >= since + DRAIN - 2 || self.random.one_in(8);
        if is_taken_in {
            self.unread_since = None;
        }
        is_taken_in
    }

    pub(super) fn is_switch(&self) -> bool {
        let routing = self.specs[self.wanted].routing.as_ref();
        routing.is_some_and(Routing::is_switch)
    }

    /// Whether requests come by Services of the Rollout.
    pub(super) fn is_routed(&self) -> bool {
        self.specs[self.wanted].routing.is_some()
    }

    /// What a wide Service selects: every pod of the Rollout, and those of others that never change.
    fn everybody(&self) -> BTreeSet<String> {
        let others = (0..REPLICAS).map(|index| format!("before-{index}"));
        self.alive_uids().into_iter().chain(others).collect()
    }

    /// Somebody takes out of the selector of a Service of people's what was written there.
    pub(super) fn widen(&mut self) {
        self.version += 1;
        self.widened_at = self.now;
        self.objects.services[0] = Some((Revision::unknown(), self.version));
    }

    fn alive_uids(&self) -> BTreeSet<String> {
        let ready = self.pods.iter().filter(|pod| self.is_ready(pod));
        ready.map(|pod| pod.uid.clone()).collect()
    }

    /// Whether any request reaches a Service.
    fn is_reached(&self, side: usize) -> bool {
        self.share(side) > 0 || (side == 1 && self.on_top.reaches_canary())
    }

    fn share(&self, side: usize) -> u8 {
        if side == 0 {
            100 - self.weight
        } else {
            self.weight
        }
    }

    /// Every Service with weight answers, with enough pods.
    pub(super) fn requests(&mut self) {
        if self.opens_at.is_none() && self.status.phase == Some(Phase::Healthy) {
            self.opens_at = Some(OPENING.max(self.now + LAG));
        }
        let is_open = self.objects.route.is_some() || self.is_switch();
        if !self.is_routed() || !is_open || self.opens_at.is_none_or(|at| self.now < at) {
            return;
        }
        self.watch_health();
        for (side, name) in SIDES.iter().enumerate() {
            if !self.is_reached(side) {
                continue;
            }
            self.watch_capacity(side);
            if self.endpoints[side].is_empty() {
                let share = self.share(side);
                self.lost.push(format!(
                    "{}: {share} % of requests to nobody: {name:?}",
                    self.now
                ));
            }
            for uid in &self.endpoints[side] {
                match self.served_at.get_mut(uid) {
                    Some(at) => *at = self.now,
                    None => drop(self.served_at.insert(uid.clone(), self.now)),
                }
            }
            if let Some((revision, _)) = &self.objects.services[side] {
                let peak = self.peak.entry(revision.clone()).or_default();
                *peak = (*peak).max(if side == 0 {
                    100 - self.weight
                } else {
                    self.weight
                });
            }
        }
    }

    /// Notes which pods may be missing: those that went by themselves, until others have taken their place.
    fn watch_health(&mut self) {
        let wanted = self.specs[self.wanted].replicas;
        self.fewest = self.fewest.min(wanted);
        let is_unwell = |pod: &SimPod| {
            let starts = pod.created_at + LAG;
            let is_late = pod.ready_at.is_none_or(|at| at > starts);
            is_late && pod.ends_at.is_none() && !self.is_ready(pod)
        };
        if self.pods.iter().any(is_unwell) {
            self.unwell_until = self.now + RECOVERY;
        }
    }

    /// A share of the requests has its share of the pods: none is overrun. What is left of a pod is borne by the others.
    fn watch_capacity(&mut self, side: usize) {
        let share = self.share(side);
        let least = i32::from(share) * self.fewest / 100 - self.spared;
        let there = i32::try_from(self.endpoints[side].len()).unwrap();
        let is_wide = self.objects.services[side]
            .as_ref()
            .is_some_and(|(revision, _)| *revision == Revision::unknown());
        if there < least && !is_wide && self.now >= self.unwell_until {
            self.lost.push(format!(
                "{}: {share} % of requests to {there} pods, where {least} are needed: {:?}",
                self.now, SIDES[side]
            ));
        }
    }

    /// Pods start a few at a time.
    fn watch_surge(&mut self) {
        let wanted = self.revision(self.wanted);
        let starting = self
            .pods
            .iter()
            .filter(|p| p.revision == wanted && p.ends_at.is_none() && !self.is_ready(p));
        let count = starting.count();
        if count > 1 && self.wanted == "2" {
            self.lost.push(format!(
                "{}: {count} pods start at once, 1 allowed",
                self.now
            ));
        }
    }
}
