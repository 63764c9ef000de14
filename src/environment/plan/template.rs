//! Templates of Rollouts: which are to be worn, and the Promotion that brings what people have edited. No I/O.
//!
//! A Promotion has the templates on record that were in the specs when it was made, and its start makes them those to be worn. So
//! what was approved is what runs, and going back restores the whole template. One that is in a spec and not worn waits for the next
//! Promotion of a Release, or has one of its own, of kind `Config`, which brings nothing else.

use super::super::api::PromotionMode;
use super::Draft;
use super::candidate::Wish;
use super::history::Entry;
use crate::model::text::truncate;
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

    /// The templates in the specs that were edited since the ones that are to be worn.
    fn edited(&self) -> Vec<TemplateRef> {
        let offered = self.offered().into_iter();
        let edited = offered.filter(|offered| is_edited(self.templates(), offered));
        edited.collect()
    }

    /// The templates of a promotion that is to be made. A Rollout that none is known for keeps what it wears: without one on
    /// record it would follow its spec.
    pub(super) fn templates_for(&self, wish: &Wish) -> Vec<TemplateRef> {
        let templates = match wish.kind {
            PromotionKind::Promote | PromotionKind::Config => self.offered(),
            PromotionKind::Rollback => self.templates_back(wish),
            PromotionKind::Migrate | PromotionKind::Contract => return Vec::new(),
        };
        let listed = self.seen.rollouts.iter().map(|bound| bound.name.as_str());
        completed(templates, self.templates(), listed)
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
    /// for stays what was asked for, and of a Rollout that it brings none for nobody knows whether it was.
    pub(super) fn outdated(&self, entry: &Entry<'a>) -> Option<String> {
        let spec = &entry.record.spec;
        if spec.decision.is_some() || entry.is_rollback() || spec.kind.is_of_database() {
            return None;
        }
        let offered = self.offered();
        let mut edited = offered.iter();
        let first = edited.find(|offered| is_edited(&spec.templates, offered))?;
        Some(format!(
            "the template of Rollout {} was edited; {} begins anew with the new one",
            first.name, spec.release
        ))
    }

    /// The promotion of templates that were edited, and of nothing else.
    pub(super) fn config_wish(&mut self) -> Option<Wish> {
        let edited = self.edited();
        let running = self.running_on(&edited.first()?.name)?;
        let names: Vec<&str> = edited.iter().map(|edited| edited.name.as_str()).collect();
        let names = names.join(", ");
        let names = truncate(&names, MAX_NAMES).to_owned();
        let release = running.release();
        if self.seen.spec.promotion.mode == PromotionMode::Manual {
            self.notice(format!(
                "the template of {names} was edited; a Decision Promote that names {release} brings it"
            ));
            return None;
        }
        if let Some(why) = self.left_with(&edited) {
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
        let current = self.history.current(&self.order);
        let deployed = current.iter().find(|deployed| {
            let mut images = deployed.images.iter();
            images.any(|image| names.values().any(|name| *name == image.name))
        })?;
        let started = self.history.started(&deployed.pipeline)?;
        (started.phase == PromotionPhase::Succeeded).then_some(*started)
    }

    /// Why templates were left that were promoted before, if they were: whatever else came and went with them.
    fn left_with(&self, templates: &[TemplateRef]) -> Option<String> {
        let has_them = |entry: &&Entry| {
            has_all(entry.templates(), templates) && entry.phase != PromotionPhase::Superseded
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

/// Whether another template of a Rollout is in its spec than the one that is known for it.
fn is_edited(known: &[TemplateRef], offered: &TemplateRef) -> bool {
    let mut known = known.iter();
    known.any(|known| known.name == offered.name && known.id != offered.id)
}

/// Whether these are among the templates of a promotion.
fn has_all(brought: &[TemplateRef], these: &[TemplateRef]) -> bool {
    these.iter().all(|one| brought.contains(one))
}

/// Templates, with those that are worn of listed Rollouts that they lack, in the order of the list.
fn completed<'r>(
    templates: Vec<TemplateRef>,
    worn: &[TemplateRef],
    listed: impl Iterator<Item = &'r str>,
) -> Vec<TemplateRef> {
    if worn.is_empty() {
        return templates;
    }
    let known = || templates.iter().chain(worn);
    let of = |rollout: &str| known().find(|one| one.name == rollout).cloned();
    listed.filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refs(text: &str) -> Vec<TemplateRef> {
        let one = |pair: &str| {
            let (name, id) = pair.split_once(':').unwrap();
            let (name, id) = (name.to_owned(), id.to_owned());
            TemplateRef { name, id }
        };
        text.split_whitespace().map(one).collect()
    }

    #[test]
    fn a_rollout_that_offers_nothing_keeps_what_it_wears() {
        let of = |offered: &str| {
            completed(
                refs(offered),
                &refs("api:1 web:1 old:1"),
                ["web", "api", "new"].into_iter(),
            )
        };
        assert_eq!(of("api:2"), refs("web:1 api:2"));
        assert_eq!(of(""), refs("web:1 api:1"), "the record of before has none");
        assert_eq!(of("new:1 api:1"), refs("web:1 api:1 new:1"));
        let none = completed(refs("api:2"), &[], ["web"].into_iter());
        assert_eq!(none, refs("api:2"), "nothing is gated");
    }

    #[test]
    fn what_is_not_on_record_was_not_edited() {
        let edited = |known: &str| is_edited(&refs(known), &refs("api:2")[0]);
        assert!(edited("web:1 api:1"));
        assert!(!edited("api:2"));
        assert!(!edited("web:1"));
        assert!(!edited(""));
    }

    #[test]
    fn what_was_left_is_known_by_what_was_edited() {
        let left = |edited: &str| has_all(&refs("api:2 web:1"), &refs(edited));
        assert!(left("api:2"), "web has come or gone since");
        assert!(!left("api:3"));
        assert!(!left("api:2 web:2"));
    }
}
