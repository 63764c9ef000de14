//! Templates of Rollouts: which are to be worn, and the Promotion that brings what people have edited. No I/O.
//!
//! A Promotion has the templates on record that were in the specs when it was made, and its start makes them those to be worn. So
//! what was approved is what runs, and going back restores the whole template. One that is in a spec and not worn waits for the next
//! Promotion of a Release, or has one of its own, of kind `Config`, which brings nothing else.

use super::super::api::PromotionMode;
use super::Draft;
use super::candidate::Wish;
use super::history::Entry;
use crate::model::condition::truncate;
use crate::promotion::api::{PromotionKind, PromotionPhase, TemplateRef};

/// Longest list of names in a sentence, in bytes.
const MAX_NAMES: usize = 300;

impl<'a> Draft<'a> {
    /// The templates that are to be worn: those of the promotion that began last.
    pub(super) fn templates(&self) -> &'a [TemplateRef] {
        if !self.seen.spec.gates_templates() {
            return &[];
        }
        let mut entries = self.history.entries.iter().rev();
        let Some(last) = entries.find(|entry| entry.started_at.is_some()) else {
            return &[];
        };
        last.templates()
    }

    /// The templates in the specs of the Rollouts, as far as they are kept.
    fn offered(&self) -> Vec<TemplateRef> {
        if !self.seen.spec.gates_templates() {
            return Vec::new();
        }
        let rollouts = self.seen.rollouts.iter();
        let offered = rollouts.filter_map(|bound| {
            let state = bound.state.as_ref();
            let follows = state.filter(|state| state.images.is_some() && state.is_current)?;
            Some(TemplateRef {
                name: bound.name.clone(),
                id: follows.template.clone()?,
            })
        });
        offered.collect()
    }

    /// The Rollouts whose template was edited since the one that is to be worn.
    fn edited(&self) -> Vec<&'a str> {
        let worn = self.templates();
        let offered = self.offered();
        let is_other = |worn: &&TemplateRef| {
            let mut offered = offered.iter();
            offered.any(|offered| offered.name == worn.name && offered.id != worn.id)
        };
        let edited = worn.iter().filter(is_other);
        edited.map(|worn| worn.name.as_str()).collect()
    }

    /// The templates of a promotion that is to be made.
    pub(super) fn templates_for(&self, wish: &Wish) -> Vec<TemplateRef> {
        match wish.kind {
            PromotionKind::Promote | PromotionKind::Config => self.offered(),
            PromotionKind::Rollback => self.templates_back(wish),
            PromotionKind::Migrate | PromotionKind::Contract => Vec::new(),
        }
    }

    /// What was worn when what is gone back to ran, unless a promotion of another Pipeline has brought templates since: going back
    /// with one does not take those back.
    fn templates_back(&self, wish: &Wish) -> Vec<TemplateRef> {
        let is_of = |entry: &&Entry| entry.record.spec.pipeline == wish.pipeline;
        let has_them = |entry: &&Entry| {
            let is_same = entry.images() == wish.images && entry.templates() == wish.templates;
            is_of(entry) && is_same
        };
        let later = self.history.entries.iter().rev();
        let later = later.take_while(|entry| !has_them(entry));
        let mut others = later.filter(|entry| {
            !is_of(entry)
                && entry.phase == PromotionPhase::Succeeded
                && !entry.templates().is_empty()
        });
        let other = others.next();
        other.map_or_else(
            || wish.templates.clone(),
            |entry| entry.templates().to_vec(),
        )
    }

    /// Why a promotion that has not started begins anew: the templates that it would bring were edited. One that a person asked
    /// for stays what was asked for.
    pub(super) fn outdated(&self, entry: &Entry<'a>) -> Option<String> {
        let spec = &entry.record.spec;
        if spec.decision.is_some() || entry.is_rollback() || spec.kind.is_of_database() {
            return None;
        }
        let has = |offered: &&TemplateRef| !spec.templates.contains(offered);
        let offered = self.offered();
        let first = offered.iter().find(has)?;
        Some(format!(
            "the template of Rollout {} was edited; {} begins anew with the new one",
            first.name, spec.release
        ))
    }

    /// The promotion of templates that were edited, and of nothing else.
    pub(super) fn config_wish(&mut self) -> Option<Wish> {
        let edited = self.edited();
        let first = edited.first()?;
        let names = edited.join(", ");
        let names = truncate(&names, MAX_NAMES).to_owned();
        let running = self.running_on(first)?;
        let release = running.release();
        if self.seen.spec.promotion.mode == PromotionMode::Manual {
            self.notice(format!(
                "the template of {names} was edited; a Decision Promote that names {release} brings it"
            ));
            return None;
        }
        if let Some(why) = self.left_with(&self.offered()) {
            self.notice(format!(
                "the template of {names} in the spec is not worn: {why}; edit it, or have it brought by a Decision Promote that names {release}"
            ));
            return None;
        }
        Some(Wish {
            reason: Some(format!("the template of {names} was edited")),
            ..Wish::back_to(&running, PromotionKind::Config, Some(release.to_owned()))
        })
    }

    /// The same Release once more, because of its templates, where those were edited.
    pub(super) fn with_templates(&self, wish: Wish) -> Wish {
        let is_same = wish.previous.as_ref() == Some(&wish.release);
        if !is_same || self.edited().is_empty() {
            return wish;
        }
        let kind = PromotionKind::Config;
        Wish { kind, ..wish }
    }

    /// What a Rollout runs, where that ended well.
    fn running_on(&self, rollout: &str) -> Option<Entry<'a>> {
        let mut bound = self.seen.rollouts.iter();
        let bound = bound.find(|bound| bound.name == rollout)?;
        let names = bound.state.as_ref()?.images.as_ref()?;
        let current = self.history.current();
        let deployed = current.iter().find(|deployed| {
            let mut images = deployed.images.iter();
            images.any(|image| names.values().any(|name| *name == image.name))
        })?;
        let started = self.history.started(&deployed.pipeline)?;
        (started.phase == PromotionPhase::Succeeded).then_some(*started)
    }

    /// Why templates were left that were promoted before, if they were.
    fn left_with(&self, templates: &[TemplateRef]) -> Option<String> {
        let has_them = |entry: &&Entry| {
            entry.templates() == templates && entry.phase != PromotionPhase::Superseded
        };
        let entries = &self.history.entries;
        let at = entries.iter().rposition(|entry| has_them(&entry))?;
        let entry = entries.get(at)?;
        if entry.is_bad() {
            return Some(format!("Promotion {} failed with it", entry.name()));
        }
        let mut later = entries.iter().skip(at.saturating_add(1));
        let next = later.find(|next| next.started_at.is_some())?;
        next.is_rollback()
            .then(|| format!("Promotion {} went back from it", next.name()))
    }
}
