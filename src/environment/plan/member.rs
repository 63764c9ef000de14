//! What a promotion consists of, where it is of a set: each of its Releases has to be what a Release alone has to be. No I/O.

use super::super::api::Deployed;
use super::super::observed::Set;
use super::Draft;
use super::history::{Entry, History};
use crate::promotion::api::PromotionPhase;
use crate::release::api::{ImageRef, Release, ReleaseRef};
use crate::release::order::Order;

/// One Release of a promotion.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part<'r> {
    pub(super) release: &'r str,
    /// The Release of the same Pipeline that runs and is good.
    pub(super) before: Option<&'r str>,
}

impl<'a> Draft<'a> {
    /// The set that a Release stands for.
    pub(super) fn set(&self, release: &str) -> Option<&'a Set> {
        self.seen.sets.known.get(release)
    }

    /// Whether what somebody says of `named` is said of this Release: it is that one, or a set with it.
    pub(super) fn has_part(&self, release: &str, named: &str) -> bool {
        let mut members = self.set(release).into_iter().flat_map(|set| &set.members);
        release == named || members.any(|member| member.release == named)
    }

    /// The Releases that one stands for, each with what it takes the place of.
    pub(super) fn parts<'r>(&self, release: &'r str, pipeline: &str) -> Vec<Part<'r>>
    where
        'a: 'r,
    {
        let before = |pipeline: &str| {
            let good = self.history.last_good(pipeline);
            good.map(|(_, release)| release)
        };
        let Some(set) = self.set(release) else {
            let before = before(pipeline);
            return vec![Part { release, before }];
        };
        let part = |member: &'a ReleaseRef| Part {
            release: &member.release,
            before: before(&member.pipeline),
        };
        set.members.iter().map(part).collect()
    }

    /// The Releases of a promotion that do not run yet; all of them, where all do.
    pub(super) fn changed_parts(&self, release: &str) -> Vec<&'a Release> {
        let Some(found) = self.order.get(release) else {
            return Vec::new();
        };
        let parts = self.parts(release, &found.spec.pipeline);
        let is_new = |part: &&Part| part.before != Some(part.release);
        let new: Vec<&Part> = parts.iter().filter(is_new).collect();
        let all = if new.is_empty() {
            parts.iter().collect()
        } else {
            new
        };
        let all = all.iter();
        all.filter_map(|part| self.order.part(part.release))
            .collect()
    }

    /// Why a promotion is not of what comes here any more: sets are made in another way since, or not at all.
    pub(super) fn set_problem(&self, entry: &Entry<'a>) -> Option<String> {
        let release = entry.release();
        if entry.is_config() || entry.is_rollback() {
            return None;
        }
        if let Some(set) = self.set(release) {
            let name = &set.pipeline;
            return (!set.may_come).then(|| {
                format!("no set {name} of these Pipelines comes here any more: {release} is none that spec.promotion.set makes")
            });
        }
        let is_gone = self.order.get(release).is_none();
        (is_gone && self.order.part(release).is_some())
            .then(|| format!("{release} comes here in a set only (spec.promotion.set)"))
    }

    /// The newest set that may come and has this Release in it.
    pub(super) fn set_with(&self, release: &str) -> Option<&'a Release> {
        let known = self.seen.sets.known.iter();
        let with = known.filter(|(name, set)| set.may_come && self.has_part(name, release));
        let with = with.filter(|(name, _)| self.order.get(name).is_some());
        let newest = self.order.newest(with.map(|(name, _)| name.as_str()))?;
        self.order.get(newest)
    }
}

impl<'a> Entry<'a> {
    /// The Pipelines whose Releases it brought, each with its Release: that of its own, or those of a set.
    pub(super) fn brought(&self) -> Vec<(&'a str, &'a str)> {
        let spec = &self.record.spec;
        if spec.members.is_empty() {
            return vec![(&spec.pipeline, &spec.release)];
        }
        let members = spec.members.iter();
        members
            .map(|of| (of.pipeline.as_str(), of.release.as_str()))
            .collect()
    }

    /// The Release of a Pipeline, or of a set, that it brought.
    pub(super) fn release_of(&self, pipeline: &str) -> Option<&'a str> {
        if self.record.spec.pipeline == pipeline {
            return Some(self.release());
        }
        let brought = self.brought().into_iter();
        let mut of = brought.filter(|(name, _)| *name == pipeline);
        of.next().map(|(_, release)| release)
    }

    fn brings_any_of(&self, other: &Entry) -> bool {
        let theirs = other.brought();
        let mut own = self.brought().into_iter();
        own.any(|(pipeline, _)| theirs.iter().any(|(other, _)| *other == pipeline))
    }
}

impl<'a> History<'a> {
    /// The last Promotion that succeeded and brought a Release of a Pipeline, be it alone or in a set, with that Release.
    pub(super) fn last_good(&self, pipeline: &str) -> Option<(&Entry<'a>, &'a str)> {
        let good = self.entries.iter().rev();
        let mut good = good.filter(|entry| entry.phase == PromotionPhase::Succeeded);
        good.find_map(|entry| Some((entry, entry.release_of(pipeline)?)))
    }

    /// Whether a Pipeline of one of two Promotions went into a set or out of it since the first: then there is no way back to
    /// that, for it would take back what is no part of it.
    pub(super) fn has_moved_since(&self, to: &Entry<'a>, from: &Entry<'a>) -> bool {
        let later = self.entries.iter().rev();
        let mut later = later.take_while(|entry| entry.name() != to.name());
        later.any(|entry| {
            let is_other = entry.record.spec.pipeline != to.record.spec.pipeline;
            let has_changed = entry.started_at.is_some() && !entry.is_bad();
            is_other && has_changed && (entry.brings_any_of(to) || entry.brings_any_of(from))
        })
    }

    /// What should run, by Pipeline.
    pub(super) fn desired(&self, order: &Order) -> Vec<Deployed> {
        let counts = |entry: &Entry| entry.started_at.is_some() && !entry.is_bad();
        self.by_pipeline(order, |name| self.started(name), counts)
    }

    /// What runs and passed everything, by Pipeline.
    pub(super) fn current(&self, order: &Order) -> Vec<Deployed> {
        let counts = |entry: &Entry| entry.phase == PromotionPhase::Succeeded;
        self.by_pipeline(order, |name| self.good(name), counts)
    }

    fn by_pipeline<'h>(
        &'h self,
        order: &Order,
        pick: impl Fn(&str) -> Option<&'h Entry<'a>>,
        counts: impl Fn(&Entry<'a>) -> bool,
    ) -> Vec<Deployed> {
        let names = self.entries.iter();
        let mut pipelines: Vec<&str> = names
            .map(|entry| entry.record.spec.pipeline.as_str())
            .collect();
        pipelines.sort_unstable();
        pipelines.dedup();
        let picked: Vec<&Entry<'a>> = pipelines.into_iter().filter_map(pick).collect();
        let is_set = |entry: &Entry| !entry.record.spec.members.is_empty();
        if !self.entries.iter().any(is_set) {
            let all = picked.into_iter();
            return all
                .map(|entry| entry.deployed(entry.images().to_vec()))
                .collect();
        }
        let is_picked = |entry: &Entry| picked.iter().any(|picked| picked.name() == entry.name());
        let mut layers = Layers::default();
        for entry in self.entries.iter().rev() {
            if is_picked(entry) || counts(entry) {
                layers.add(entry, is_picked(entry), order);
            }
        }
        layers
            .deployed
            .sort_by(|one, other| one.pipeline.cmp(&other.pipeline));
        layers.deployed
    }
}

/// What runs where Promotions are of sets, from the last on: each Pipeline has what brought it last, and so has each image. So what
/// ran alone goes into a set, and what is in one can go alone again; and what a set has no more stays as it was.
#[derive(Default)]
struct Layers<'a> {
    deployed: Vec<Deployed>,
    pipelines: Vec<&'a str>,
    images: Vec<&'a str>,
    /// Pipelines and sets that went back, each with the Release that they went back to: what they left is over.
    back: Vec<(&'a str, &'a str)>,
}

impl<'a> Layers<'a> {
    fn add(&mut self, entry: &Entry<'a>, is_picked: bool, order: &Order) {
        let pipeline = entry.record.spec.pipeline.as_str();
        if let Some(index) = self.back.iter().position(|(of, _)| *of == pipeline) {
            let is_there = self
                .back
                .get(index)
                .is_some_and(|(_, to)| *to == entry.release());
            if !is_there || entry.phase != PromotionPhase::Succeeded {
                return;
            }
            self.back.remove(index);
        }
        if entry.is_rollback() {
            self.back.push((pipeline, entry.release()));
        }
        let mut left = entry.brought();
        left.retain(|(name, _)| !self.pipelines.contains(name));
        let images = entry.images().iter();
        let own: Vec<&'a ImageRef> = images
            .filter(|image| !self.images.contains(&image.name.as_str()))
            .collect();
        if left.is_empty() {
            return;
        }
        if is_picked && !own.is_empty() {
            let images = own.iter().map(|image| (*image).clone()).collect();
            self.deployed.push(entry.deployed(images));
        } else if !is_picked {
            self.add_left(entry, &left, &own, order);
        }
        self.pipelines.extend(left.iter().map(|(name, _)| *name));
        self.images
            .extend(own.iter().map(|image| image.name.as_str()));
    }

    /// What was in a set, and is in none of that name any more, goes on alone with what the set brought.
    fn add_left(
        &mut self,
        entry: &Entry<'a>,
        left: &[(&'a str, &'a str)],
        own: &[&'a ImageRef],
        order: &Order,
    ) {
        for (pipeline, release) in left {
            let of = order.part(release);
            // Of a Release that is gone nobody knows which images were its own.
            let is_of = |image: &ImageRef| {
                of.is_none_or(|of| of.spec.images.iter().any(|own| own.name == image.name))
            };
            let images: Vec<ImageRef> = own
                .iter()
                .filter(|image| is_of(image))
                .map(|image| (*image).clone())
                .collect();
            if !images.is_empty() {
                self.deployed.push(Deployed {
                    pipeline: (*pipeline).to_owned(),
                    release: (*release).to_owned(),
                    members: Vec::new(),
                    ..entry.deployed(images)
                });
            }
        }
    }
}
