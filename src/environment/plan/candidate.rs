//! Which Release comes next: by the spec, or because a person asked. No I/O.

use std::sync::Arc;

use kube::ResourceExt;

use super::super::api::{PromotionMode, RollbackCause};
use super::super::observed::{Act, Moment, Observed};
use super::super::render;
use super::Draft;
use super::history::Entry;
use super::ruling::{SLIPWAY, retried, wished_until};
use crate::decision::api::DecisionAction;
use crate::model::text::truncate;
use crate::promotion::api::{PromotionKind, PromotionSpec, TemplateRef};
use crate::promotion::incident;
use crate::release::api::{ImageRef, Release};

/// Longest reason on a Promotion, in bytes.
const MAX_REASON: usize = 600;

/// A promotion that is to be made.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Wish {
    pub(super) release: String,
    pub(super) pipeline: String,
    pub(super) images: Vec<ImageRef>,
    pub(super) commit: Option<String>,
    pub(super) kind: PromotionKind,
    pub(super) requested_by: String,
    pub(super) decision: Option<String>,
    /// The Release that it takes the place of.
    pub(super) previous: Option<String>,
    /// Why it is made, where nothing else says it.
    pub(super) reason: Option<String>,
    /// The version that a person wants the database at.
    pub(super) version: Option<String>,
    /// The templates that it goes back to.
    pub(super) templates: Vec<TemplateRef>,
    /// The Promotion that it takes back, and the incident that this one has by what it did.
    pub(super) culprit: Option<(String, incident::Cause)>,
}

impl Wish {
    pub(super) fn forward(release: &Release, requested_by: &str, previous: Option<String>) -> Self {
        Self {
            release: release.name_any(),
            pipeline: release.spec.pipeline.clone(),
            images: release.spec.images.iter().map(ImageRef::from).collect(),
            commit: Some(release.spec.commit.sha.clone()),
            kind: PromotionKind::Promote,
            requested_by: requested_by.to_owned(),
            decision: None,
            previous,
            reason: None,
            version: None,
            templates: Vec::new(),
            culprit: None,
        }
    }

    /// The migrations of a Release alone.
    pub(super) fn of_database(release: &Release, kind: PromotionKind) -> Self {
        Self {
            kind,
            ..Self::forward(release, SLIPWAY, None)
        }
    }

    /// The same images again, as a Promotion that was there before has them.
    pub(super) fn back_to(entry: &Entry, kind: PromotionKind, previous: Option<String>) -> Self {
        let spec = &entry.record.spec;
        Self {
            release: spec.release.clone(),
            pipeline: spec.pipeline.clone(),
            images: spec.images.clone(),
            commit: spec.commit.clone(),
            kind,
            requested_by: SLIPWAY.to_owned(),
            decision: None,
            previous,
            reason: None,
            version: None,
            templates: spec.templates.clone(),
            culprit: None,
        }
    }

    /// Back to a Promotion that was good, in the place of the Release that runs, because of what `culprit` did. The incident
    /// is made from the reason.
    pub(super) fn taking_back(
        culprit: &Entry,
        (cause, because): (RollbackCause, &str),
        (to, left): (&Entry, &str),
        incident: impl FnOnce(&str) -> incident::Cause,
    ) -> Self {
        let promotion = culprit.name();
        let reason = format!("{cause}: {because}, since Promotion {promotion}");
        let wish = Self::back_to(to, PromotionKind::Rollback, Some(left.to_owned()));
        let incident = incident::Cause {
            response: Some(format!("going back to {}", wish.release)),
            ..incident(&reason)
        };
        Self {
            reason: Some(truncate(&reason, MAX_REASON).to_owned()),
            culprit: Some((promotion.to_owned(), incident)),
            ..wish
        }
    }

    /// The record of it, as the `number`-th one.
    pub(super) fn spec(&self, seen: &Observed, number: u32, policy_hash: &str) -> PromotionSpec {
        let same = seen
            .promotions
            .iter()
            .filter(|record| record.spec.images == self.images);
        let attempts = same.map(|record| record.spec.attempt).max().unwrap_or(0);
        let is_free = |attempt: &u32| {
            let name = render::promotion_name(&seen.key.name, &self.images, *attempt);
            !seen.taken.contains(&name)
        };
        let attempt = (attempts.saturating_add(1)..=u32::MAX).find(is_free);
        PromotionSpec {
            environment: seen.key.name.clone(),
            release: self.release.clone(),
            pipeline: self.pipeline.clone(),
            members: seen
                .sets
                .known
                .get(&self.release)
                .map_or_else(Vec::new, |set| set.members.clone()),
            images: self.images.clone(),
            kind: self.kind,
            attempt: attempt.unwrap_or(u32::MAX),
            requested_by: self.requested_by.clone(),
            previous: self.previous.clone(),
            number: Some(number),
            decision: self.decision.clone(),
            commit: self.commit.clone(),
            policy_hash: Some(policy_hash.to_owned()),
            reason: self.reason.clone(),
            version: self.version.clone(),
            templates: self.templates.clone(),
        }
    }

    fn asked_by(self, act: &Act) -> Self {
        Self {
            requested_by: act.spec.user.clone(),
            decision: Some(act.name.clone()),
            ..self
        }
    }
}

impl Draft<'_> {
    /// What a person wishes and was not done yet. The last wish counts.
    pub(super) fn pending_wish(&mut self) -> Option<Wish> {
        let seen = self.seen;
        let acts: Vec<&Act> = seen.decisions.iter().collect();
        let done = |act: &Act| {
            let mut all = seen.promotions.iter().chain(&seen.migrations);
            all.any(|record| record.spec.decision.as_deref() == Some(act.name.as_str()))
        };
        // Whatever came before a wish that was fulfilled is overtaken by it.
        let from = acts
            .iter()
            .rposition(|act| done(act))
            .map_or(0, |at| at + 1);
        let rest = acts.get(from..).unwrap_or_default();
        let open = rest
            .iter()
            .rev()
            .find(|act| is_wish(act) && self.is_valid(act));
        let act = open?;
        match self.fulfil(act) {
            Ok(wish) => wish.map(|wish| wish.asked_by(act)),
            Err(problem) => {
                self.notice(format!(
                    "Decision {} cannot be followed: {problem}",
                    act.name
                ));
                None
            }
        }
    }

    fn is_valid(&self, act: &Act) -> bool {
        act.at >= self.seen.created_at && self.now < wished_until(act)
    }

    fn fulfil(&self, act: &Act) -> Result<Option<Wish>, String> {
        let release = act.spec.release.as_deref();
        match act.spec.action {
            DecisionAction::Promote => self.promote(release.unwrap_or_default(), act.moment()),
            DecisionAction::Rollback => self.roll_back(release, act.moment()),
            DecisionAction::Migrate => self.migrate_wish(act),
            DecisionAction::Retry => {
                let Some(failed) = retried(act, &self.history) else {
                    return Err("nothing had failed by then".to_owned());
                };
                // The way back from other templates leads to the same Release.
                let is_of = |entry: &&Entry| {
                    entry.release() == failed.release()
                        && !(failed.is_config() && entry.is_rollback())
                };
                let last = self.history.entries.iter().rev().find(is_of);
                let is_over = last.is_some_and(|last| last.name() != failed.name());
                let kind = failed.record.spec.kind;
                let previous = match kind {
                    PromotionKind::Promote | PromotionKind::Config => {
                        self.current_release(&failed.record.spec.pipeline)
                    }
                    PromotionKind::Rollback => failed.record.spec.previous.clone(),
                    PromotionKind::Migrate | PromotionKind::Contract => None,
                };
                let reason = failed.record.spec.reason.clone();
                Ok((!is_over).then(|| Wish {
                    reason,
                    ..Wish::back_to(failed, kind, previous)
                }))
            }
            DecisionAction::Approve
            | DecisionAction::Reject
            | DecisionAction::Skip
            | DecisionAction::Pause
            | DecisionAction::Resume
            | DecisionAction::Abort
            | DecisionAction::Undo
            | DecisionAction::Restart
            | DecisionAction::Hold
            | DecisionAction::Pin
            | DecisionAction::Veto
            | DecisionAction::Override
            | DecisionAction::Cancel
            | DecisionAction::LinkIncident => Ok(None),
        }
    }

    fn promote(&self, name: &str, at: Moment) -> Result<Option<Wish>, String> {
        // What is in a set comes with all of it.
        let found = self.order.get(name).or_else(|| self.set_with(name));
        let Some(release) = found else {
            return Err(format!(
                "there is no Release {name} that may come here; look at kubectl get releases.slipway.dev"
            ));
        };
        let name = release.metadata.name.as_deref().unwrap_or(name);
        if self.was_alive(at, |entry| entry.release() == name) {
            return Ok(None);
        }
        let pipeline = &release.spec.pipeline;
        if let Some(pin) = self.rulings.pinned_against(name, pipeline) {
            let why = &pin.reason;
            return Err(format!(
                "{why}; a Decision Resume on the Environment lifts that"
            ));
        }
        if let Some(held) = self.rulings.of(name).filter(|ruling| !ruling.is_silent) {
            let why = &held.hold.reason;
            return Err(format!(
                "{name} is held ({why}); a Decision Resume that names it lifts that"
            ));
        }
        let previous = self.current_release(&release.spec.pipeline);
        let wish = Wish::forward(release, SLIPWAY, previous);
        Ok(Some(self.with_templates(wish)))
    }

    #[expect(
        clippy::redundant_closure_for_method_calls,
        reason = "the method is not general over the lifetime of the entry"
    )]
    fn roll_back(&self, release: Option<&str>, at: Moment) -> Result<Option<Wish>, String> {
        if self.was_alive(at, |entry| entry.is_rollback()) {
            return Ok(None);
        }
        let Some(running) = &self.last_started() else {
            return Err("nothing was ever promoted here".to_owned());
        };
        let to = match release {
            None => self.history.good_before(running),
            Some(name) => {
                let good = self.history.good_release(name);
                good.filter(|entry| entry.differs_from(running))
            }
        };
        let Some(to) = to else {
            return Err("there is no other Release that succeeded here to go back to".to_owned());
        };
        if self.history.was_contracted_since(to) {
            return Err(format!(
                "a contract has removed what {} needs of the database: promote a repaired Release",
                to.release()
            ));
        }
        let left = Some(running.release().to_owned());
        Ok(Some(Wish::back_to(to, PromotionKind::Rollback, left)))
    }

    /// Whether a Promotion of that kind was under way at that time, or began later.
    fn was_alive(&self, at: Moment, is_meant: impl Fn(&Entry) -> bool) -> bool {
        let alive = |entry: &Entry| entry.ended().is_none_or(|end| end >= at);
        self.history
            .entries
            .iter()
            .any(|entry| is_meant(entry) && alive(entry))
    }

    /// The way back from a Promotion that failed; asked for by whoever wants to go back, if anybody does.
    pub(super) fn owed_wish(&mut self, from: &Entry) -> Option<Wish> {
        let asked = self.pending_wish();
        if let Some(wish) = asked.filter(|wish| wish.kind == PromotionKind::Rollback) {
            return Some(wish);
        }
        let left = Some(from.release().to_owned());
        let to = self.history.way_back(from)?;
        Some(Wish::back_to(to, PromotionKind::Rollback, left))
    }

    /// The Release that comes next by itself.
    pub(super) fn candidate(&self) -> Option<Wish> {
        if self.seen.spec.promotion.mode == PromotionMode::Manual {
            return None;
        }
        let mut pipelines: Vec<&str> = self
            .seen
            .releases
            .iter()
            .map(|release| release.spec.pipeline.as_str())
            .collect();
        pipelines.sort_unstable();
        pipelines.dedup();
        pipelines
            .into_iter()
            .find_map(|name| self.candidate_of(name))
    }

    /// The Release of a Pipeline that runs and is good.
    pub(super) fn current_release(&self, pipeline: &str) -> Option<String> {
        let good = self.history.last_good(pipeline);
        good.map(|(_, release)| release.to_owned())
    }

    /// The Release that the Rollouts already run though nothing says so: every record was lost.
    ///
    /// It gets a record again and is verified again. Where the images of several Pipelines run, one
    /// is taken up like this; the others come through the gates, and go on running meanwhile.
    pub(super) fn adopted(&self) -> Option<Wish> {
        if !self.seen.is_blank() || !self.history.entries.is_empty() {
            return None;
        }
        let runs = |release: &&Arc<Release>| {
            let images: Vec<ImageRef> = release.spec.images.iter().map(ImageRef::from).collect();
            let rollouts = self
                .seen
                .rollouts
                .iter()
                .filter_map(|bound| bound.state.as_ref());
            let mut answers = rollouts
                .filter_map(|rollout| rollout.runs(&rollout.stable, &images))
                .peekable();
            answers.peek().is_some() && answers.all(|answer| answer)
        };
        let running = self.seen.releases.iter().filter(runs);
        let names: Vec<String> = running.map(|release| release.name_any()).collect();
        let newest = self.order.newest(names.iter().map(String::as_str))?;
        let release = self.order.get(newest)?;
        Some(Wish::forward(release, SLIPWAY, None))
    }
}

/// Whether a Decision asks for a promotion.
fn is_wish(act: &Act) -> bool {
    matches!(
        act.spec.action,
        DecisionAction::Promote
            | DecisionAction::Rollback
            | DecisionAction::Retry
            | DecisionAction::Migrate
    )
}
