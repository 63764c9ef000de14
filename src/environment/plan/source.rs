//! Where Releases come from: which of them may come, which is next, and which is taken back. No I/O.

use jiff::Timestamp;
use kube::ResourceExt;

use super::super::api::{HotfixExemption, PromotionAvailability, PromotionOrder, RollbackCause};
use super::super::observed::{Good, Source};
use super::advance::Cause;
use super::candidate::Wish;
use super::history::Entry;
use super::ruling::SLIPWAY;
use super::{Draft, after};
use crate::promotion::api::{IncidentSource, PromotionPhase};
use crate::promotion::incident;

impl<'a> Draft<'a> {
    /// Whether it is so in as many of the Environments before this one as `availability` asks for.
    fn is_good_in(&self, is_good: impl Fn(&Good) -> bool) -> bool {
        let sources = &self.seen.sources;
        let is_so = |source: &Source| source.good.as_ref().is_some_and(&is_good);
        match self.availability() {
            PromotionAvailability::All => sources.iter().all(is_so),
            PromotionAvailability::Any => sources.is_empty() || sources.iter().any(is_so),
        }
    }

    fn availability(&self) -> PromotionAvailability {
        let from = &self.seen.spec.promotion.from;
        from.availability.unwrap_or_default()
    }

    /// Whether a Release may come by itself: it is good in the Environments before this one. In order, one that has been
    /// followed by another there has its turn all the same.
    pub(super) fn is_available(&self, release: &str) -> bool {
        if self.set(release).is_some_and(|set| !set.may_come) {
            return false;
        }
        match self.seen.spec.promotion.order {
            PromotionOrder::Latest => self.is_good_in(|good| good.current.contains(release)),
            PromotionOrder::InOrder => self.has_succeeded(release) && self.can_soak(release),
        }
    }

    /// Whether what soaks before it comes still runs where it soaks; one that was replaced there never will have.
    fn can_soak(&self, release: &str) -> bool {
        let mut sources = self.seen.sources.iter();
        let runs = |source: &Source| {
            let good = source.good.as_ref();
            good.is_some_and(|good| good.health.contains_key(release))
        };
        let soaks = self.seen.spec.protection.soak.is_some();
        !soaks || self.is_spared(release, HotfixExemption::Soak) || sources.all(runs)
    }

    fn has_succeeded(&self, release: &str) -> bool {
        self.is_good_in(|good| good.succeeded.contains(release) || good.current.contains(release))
    }

    /// What is wrong with where a Release comes from, if anything is.
    pub(super) fn source_problem(&self, entry: &Entry) -> Option<String> {
        let release = entry.release();
        // It runs here, wherever else it does.
        if entry.is_config() {
            return None;
        }
        if let Some(problem) = self.set_problem(entry) {
            return Some(problem);
        }
        if self.order.get(release).is_none() {
            return Some(format!("the Release {release} is gone"));
        }
        let names = |word: &str| {
            let sources = self.seen.sources.iter();
            let names: Vec<&str> = sources.map(|source| source.name.as_str()).collect();
            names.join(word)
        };
        let all = match self.availability() {
            PromotionAvailability::All => names(" and "),
            PromotionAvailability::Any => names(" or "),
        };
        if entry.record.spec.decision.is_none() {
            let may_come = self.is_available(release) || self.keeps_its_place(entry);
            return (!may_come).then(|| format!("{release} does not run in {all} any more"));
        }
        if self.has_succeeded(release) {
            return None;
        }
        let missing = self.seen.sources.iter().filter(|source| {
            let good = source.good.as_ref();
            !good.is_some_and(|good| {
                good.succeeded.contains(release) || good.current.contains(release)
            })
        });
        let missing: Vec<&str> = missing.map(|source| source.name.as_str()).collect();
        let missing = match self.availability() {
            PromotionAvailability::All => missing.join(" and "),
            PromotionAvailability::Any => all,
        };
        Some(format!("{release} has not succeeded in {missing}"))
    }

    /// The Release of a Pipeline that comes next by itself.
    pub(super) fn candidate_of(&self, pipeline: &str) -> Option<Wish> {
        let current = self.current_release(pipeline);
        let releases = &self.seen.releases;
        let of_pipeline = releases
            .iter()
            .filter(|release| release.spec.pipeline == pipeline);
        let names: Vec<String> = of_pipeline.map(|release| release.name_any()).collect();
        let of_this = |name: &&str| names.iter().any(|known| known == name);
        // What was tried and failed is not followed by something older.
        let failures = self.rulings.failures().filter(of_this);
        let floor: Vec<&str> = failures.chain(current.as_deref()).collect();
        let is_above = |name: &str| floor.iter().all(|tried| self.order.is_newer(name, tried));
        let is_free = |name: &&str| {
            self.is_available(name)
                && self.rulings.of(name).is_none()
                && self.rulings.pinned_against(name, pipeline).is_none()
                && current.as_deref() != Some(*name)
                && !self.takes_back_alone(name)
        };
        let free = names.iter().map(String::as_str).filter(is_free);
        let next = match self.seen.spec.promotion.order {
            // Where nothing runs yet there is nothing to keep an order with.
            PromotionOrder::InOrder if current.is_some() => {
                self.order.oldest(free.filter(|name| is_above(name)))?
            }
            PromotionOrder::InOrder | PromotionOrder::Latest => {
                let newest = self.order.newest(free)?;
                is_above(newest).then_some(newest)?
            }
        };
        let release = self.order.get(next)?;
        Some(Wish::forward(release, SLIPWAY, current.clone()))
    }

    /// Whether a set has an older Release of a Pipeline than the one that came last, by another way than sets of that name.
    fn takes_back_alone(&self, release: &str) -> bool {
        let Some(set) = self.set(release) else {
            return false;
        };
        set.members.iter().any(|member| {
            let good = self.history.last_good(&member.pipeline);
            good.is_some_and(|(entry, runs)| {
                let is_other = entry.record.spec.pipeline != set.pipeline;
                is_other && self.order.is_newer_part(runs, &member.release)
            })
        })
    }

    /// Whether what waits does not give way to newer Releases: it has its turn. What may not come any more gives way in any
    /// case.
    pub(super) fn keeps_its_place(&self, entry: &Entry) -> bool {
        self.has_turn(entry) && self.has_succeeded(entry.release())
    }

    /// Whether it is the turn of what waits: each has one, or it has waited for too long.
    fn has_turn(&self, entry: &Entry) -> bool {
        let rule = &self.seen.spec.promotion;
        let has_waited = rule
            .max_hold
            .is_some_and(|most| after(self.waits_since(entry), most.into()) <= self.now);
        rule.order == PromotionOrder::InOrder || has_waited
    }

    /// Since when something waits here without anything being started.
    fn waits_since(&self, entry: &Entry) -> Timestamp {
        let pipeline = &entry.record.spec.pipeline;
        let number = entry.record.spec.number;
        let earlier = self.history.entries.iter().rev().filter(|other| {
            other.record.spec.pipeline == *pipeline && other.record.spec.number < number
        });
        let gave_way = earlier.take_while(|other| {
            other.phase == PromotionPhase::Superseded && other.started_at.is_none()
        });
        let first = gave_way.last().unwrap_or(entry);
        first.record.created_at
    }

    /// The Environment before this one that holds a Release now, and why, where that takes a Release back.
    fn revoked(&self, release: &str) -> Option<String> {
        let causes = &self.seen.spec.rollback.on;
        if !causes.contains(&RollbackCause::GateRevoked) {
            return None;
        }
        let held = |source: &Source| {
            let good = source.good.as_ref()?;
            let why = good.held.get(release)?;
            let name = &source.name;
            Some(format!("{release} is held in {name}: {why}"))
        };
        let held: Vec<String> = self.seen.sources.iter().filter_map(held).collect();
        let is_enough = match self.availability() {
            PromotionAvailability::All => !held.is_empty(),
            PromotionAvailability::Any => held.len() == self.seen.sources.len(),
        };
        held.into_iter().next().filter(|_| is_enough)
    }

    /// Ends a promotion that is under way, and whose Release is not good any more where it came from.
    pub(super) fn leave_if_revoked(&mut self, entry: &Entry<'a>) -> bool {
        if entry.is_rollback() || entry.is_config() {
            return false;
        }
        let Some(why) = self.revoked(entry.release()) else {
            return false;
        };
        let steps = entry.record.status.steps.clone();
        let cause = Cause::By(RollbackCause::GateRevoked);
        self.fail(entry, steps, cause, &why);
        true
    }

    /// The way back from the last promotion, which ended well and lately, and whose Release is not good any more where it
    /// came from.
    pub(super) fn revoked_wish(&mut self) -> Option<Wish> {
        let last = self.last_started()?;
        if last.is_rollback() || !last.phase.is_finished() || !self.is_lively(&last) {
            return None;
        }
        let why = self.revoked(last.release())?;
        let Some(to) = self.history.way_back_to_images(&last) else {
            self.notice(format!(
                "{why}, and there is no earlier good Release to go back to"
            ));
            return None;
        };
        let cause = RollbackCause::GateRevoked;
        let incident = |reason: &str| {
            incident::Cause::new(cause.as_str(), IncidentSource::Failure, reason, self.now)
        };
        let because = (cause, why.as_str());
        Some(Wish::taking_back(
            &last,
            because,
            (to, last.release()),
            incident,
        ))
    }
}
