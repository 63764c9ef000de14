//! What a promotion consists of, where it is of a set: each of its Releases has to be what a Release alone has to be. No I/O.

use super::super::observed::Set;
use super::Draft;
use super::history::Entry;
use crate::release::api::{Release, ReleaseRef};

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
        let good = self.history.good(pipeline).copied();
        let Some(set) = self.set(release) else {
            let before = good.map(|good| good.release());
            return vec![Part { release, before }];
        };
        let part = |member: &'a ReleaseRef| {
            let is_of = |before: &&ReleaseRef| before.pipeline == member.pipeline;
            let members = good.map(|good| good.record.spec.members.as_slice());
            let in_set = members.and_then(|members| members.iter().find(is_of));
            let alone = || self.history.good(&member.pipeline).copied();
            Part {
                release: &member.release,
                before: in_set
                    .map(|before| before.release.as_str())
                    .or_else(|| alone().map(|alone| alone.release())),
            }
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

/// Of Promotions that say together what should run, where one of them is of a set: an image belongs to the one that brought it
/// last. So what ran alone goes into a set, and what is in one can go alone again.
pub(super) fn by_image<'h, 'a>(mut all: Vec<&'h Entry<'a>>) -> Vec<(&'h Entry<'a>, Vec<String>)> {
    let is_set = |entry: &&Entry| !entry.record.spec.members.is_empty();
    let has_sets = all.iter().any(is_set);
    let names = |entry: &Entry| -> Vec<String> {
        entry
            .images()
            .iter()
            .map(|image| image.name.clone())
            .collect()
    };
    if !has_sets {
        return all.into_iter().map(|entry| (entry, names(entry))).collect();
    }
    all.sort_by_key(|entry| std::cmp::Reverse(entry.record.spec.number));
    let mut taken: Vec<String> = Vec::new();
    let mut left = Vec::new();
    for entry in all {
        let own: Vec<String> = names(entry)
            .into_iter()
            .filter(|name| !taken.contains(name))
            .collect();
        taken.extend(own.iter().cloned());
        if !own.is_empty() {
            left.push((entry, own));
        }
    }
    left.sort_by(|(one, _), (other, _)| one.record.spec.pipeline.cmp(&other.record.spec.pipeline));
    left
}
