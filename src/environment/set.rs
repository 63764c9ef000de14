//! Sets: Releases of several Pipelines that are promoted as one. No I/O.
//!
//! A set is made to look like a Release: its name is that of its members taken together, the name of the set stands where that of a
//! Pipeline stands, and its images are theirs. So whatever knows Promotions of Releases (gates, approvals, the way back, holds) knows
//! sets as well, and there is no way for a part of one to go out: Releases of Pipelines that are in a set are no candidates.
//! Promotions have the members on record. So a set that came together in one Environment is known in those after it, and there it
//! is good where it, or each of its members, is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use kube::ResourceExt;

use super::api::{PromotionAvailability, PromotionRule, ReleaseSet, SetRule};
use super::observed::{Clock, Good, Observed, Set, Sets, Source};
use crate::model::key::short_hash;
use crate::promotion::api::PromotionSpec;
use crate::release::api::{Image, Release, ReleaseRef, ReleaseSpec};
use crate::release::order::Order;

/// Digits in the name of the Release that a set looks like.
const DIGITS: usize = 12;
/// Images of a set.
const MAX_IMAGES: usize = 32;
/// Digits of a commit that are told.
const SHOWN: usize = 7;

/// Puts Releases together that are promoted as one, and leaves those alone of the Pipelines that are in no set and in `alone`.
pub fn unite(seen: &mut Observed, alone: &BTreeSet<String>) {
    let rule = seen.spec.promotion.set.clone();
    let covered = covered(rule.as_ref(), &seen.sources);
    let mut known: BTreeMap<String, Set> = seen
        .promotions
        .iter()
        .chain(&seen.migrations)
        .filter_map(|record| of_record(&record.spec))
        .collect();
    if covered.is_empty() && known.is_empty() {
        return;
    }
    for source in &mut seen.sources {
        known.extend(source.sets.clone());
        apart(source);
    }
    let all = std::mem::take(&mut seen.releases);
    let mut notice = None;
    if let Some(rule) = &rule {
        match formed(rule, &seen.spec.promotion, &seen.sources, &all) {
            Ok((sets, told)) => {
                notice = told;
                known.extend(sets.into_iter().map(|members| named(&rule.name, members)));
            }
            Err(why) => notice = Some(why),
        }
    }
    for set in known.values_mut() {
        set.may_come = may_come(rule.as_ref(), &covered, set);
    }
    for good in seen.sources.iter_mut().filter_map(|s| s.good.as_mut()) {
        together(good, &known);
    }
    let is_alone = |release: &&Arc<Release>| {
        let pipeline = &release.spec.pipeline;
        alone.contains(pipeline) && !covered.contains(pipeline)
    };
    seen.releases = all.iter().filter(is_alone).cloned().collect();
    let by_name: BTreeMap<String, &Release> = all
        .iter()
        .map(|release| (release.name_any(), release.as_ref()))
        .collect();
    // Of those that cannot be together only the newest is news: what came before it does not come any more.
    let mut newest: Option<(Vec<Timestamp>, Option<String>)> = None;
    for (name, set) in &known {
        let release = united(name, set, &by_name);
        let age = age(set, &by_name);
        if set.may_come && newest.as_ref().is_none_or(|(known, _)| *known <= age) {
            newest = Some((age, release.as_ref().err().cloned()));
        }
        seen.releases.extend(release.ok().flatten().map(Arc::new));
    }
    let notice = notice.or_else(|| newest.and_then(|(_, why)| why));
    seen.sets = Sets {
        members: all,
        known,
        notice,
    };
}

/// The set that a record is about.
pub fn of_record(spec: &PromotionSpec) -> Option<(String, Set)> {
    let set = Set {
        pipeline: spec.pipeline.clone(),
        members: spec.members.clone(),
        may_come: false,
    };
    (!set.members.is_empty()).then(|| (spec.release.clone(), set))
}

/// Pipelines whose Releases do not come alone.
fn covered(rule: Option<&ReleaseSet>, sources: &[Source]) -> BTreeSet<String> {
    let own = rule.into_iter().flat_map(|rule| &rule.pipelines);
    let theirs = sources.iter().flat_map(|source| &source.covered);
    own.chain(theirs).cloned().collect()
}

/// Whether a set may still come here: it is what the spec puts together, or what the Environments before this one do.
fn may_come(rule: Option<&ReleaseSet>, covered: &BTreeSet<String>, set: &Set) -> bool {
    let pipelines: BTreeSet<&String> = set.members.iter().map(|of| &of.pipeline).collect();
    match rule {
        Some(rule) => {
            rule.name == set.pipeline && rule.pipelines.iter().collect::<BTreeSet<_>>() == pipelines
        }
        None => pipelines.iter().all(|pipeline| covered.contains(*pipeline)),
    }
}

/// Name of the Release that a set looks like, from its members by Pipeline.
pub fn release_name(set: &str, members: &[ReleaseRef]) -> String {
    let lines: Vec<String> = members
        .iter()
        .map(|member| format!("{}={}", member.pipeline, member.release))
        .collect();
    let mark = short_hash(lines.join("\n").as_bytes(), DIGITS);
    format!("{set}-{mark}")
}

/// Members as a set, with the name that follows from them.
fn named(set: &str, mut members: Vec<ReleaseRef>) -> (String, Set) {
    members.sort();
    let of = Set {
        pipeline: set.to_owned(),
        members,
        may_come: true,
    };
    (release_name(set, &of.members), of)
}

/// What belongs together by the spec, and what is missing, if anything is.
fn formed(
    rule: &ReleaseSet,
    promotion: &PromotionRule,
    sources: &[Source],
    all: &[Arc<Release>],
) -> Result<(Vec<Vec<ReleaseRef>>, Option<String>), String> {
    if all.iter().any(|release| release.spec.pipeline == rule.name) {
        let name = &rule.name;
        return Err(format!(
            "the set {name} cannot be: there are Releases of a Pipeline {name}; give the set another name"
        ));
    }
    let order = Order::of(all);
    match rule.together {
        SetRule::Commit => Ok(of_commits(rule, &order, all)),
        SetRule::Newest => {
            let availability = promotion.from.availability.unwrap_or_default();
            let may_come = |release: &&Arc<Release>| is_good(availability, sources, release);
            let newest = rule.pipelines.iter().map(|pipeline| {
                let of = all
                    .iter()
                    .filter(|release| release.spec.pipeline == *pipeline);
                let names: Vec<String> = of.filter(may_come).map(|of| of.name_any()).collect();
                let newest = order.newest(names.iter().map(String::as_str));
                let newest = newest.ok_or_else(|| {
                    format!("the set {} waits for a Release of {pipeline}", rule.name)
                });
                newest.map(|release| member(pipeline, release))
            });
            let newest: Result<Vec<ReleaseRef>, String> = newest.collect();
            newest.map(|members| (vec![members], None))
        }
    }
}

fn is_good(availability: PromotionAvailability, sources: &[Source], release: &Release) -> bool {
    let name = release.name_any();
    let is_so = |source: &Source| {
        let good = source.good.as_ref();
        good.is_some_and(|good| good.current.contains(&name))
    };
    match availability {
        PromotionAvailability::All => sources.iter().all(is_so),
        PromotionAvailability::Any => sources.is_empty() || sources.iter().any(is_so),
    }
}

fn member(pipeline: &str, release: &str) -> ReleaseRef {
    ReleaseRef {
        pipeline: pipeline.to_owned(),
        release: release.to_owned(),
    }
}

/// The sets of each commit that every Pipeline has a Release of; and what the newest commit lacks.
fn of_commits(
    rule: &ReleaseSet,
    order: &Order,
    all: &[Arc<Release>],
) -> (Vec<Vec<ReleaseRef>>, Option<String>) {
    let mut commits: BTreeMap<&str, BTreeMap<&str, String>> = BTreeMap::new();
    let mut newest: Option<&Release> = None;
    let of_set = |release: &&Arc<Release>| rule.pipelines.contains(&release.spec.pipeline);
    for release in all.iter().filter(of_set) {
        let name = release.name_any();
        let of_commit = commits.entry(release.spec.commit.sha.as_str()).or_default();
        let known = of_commit.entry(release.spec.pipeline.as_str());
        let known = known.or_insert_with(|| name.clone());
        if order.is_newer(&name, known) {
            *known = name;
        }
        let at = |release: &Release| release.spec.commit.committed_at.0;
        if newest.is_none_or(|newest| at(newest) < at(release)) {
            newest = Some(release);
        }
    }
    let count = rule.pipelines.len();
    let whole = commits.values().filter(|of| of.len() == count);
    let sets = whole.map(|of| {
        of.iter()
            .map(|(pipeline, name)| member(pipeline, name))
            .collect()
    });
    let notice = newest.and_then(|newest| {
        let sha = newest.spec.commit.sha.as_str();
        let of = commits.get(sha)?;
        let mut pipelines = rule.pipelines.iter();
        let missing = pipelines.find(|pipeline| !of.contains_key(pipeline.as_str()))?;
        let (set, sha) = (&rule.name, sha.get(..SHOWN).unwrap_or(sha));
        Some(format!(
            "the set {set} of commit {sha} waits for a Release of {missing}"
        ))
    });
    (sets.collect(), notice)
}

/// What runs in an Environment as part of a set runs there.
fn apart(source: &mut Source) {
    let Some(good) = &mut source.good else { return };
    for (name, set) in &source.sets {
        let members = set.members.iter().map(|member| &member.release);
        for member in members
            .filter(|member| !good.held.contains_key(*member))
            .cloned()
            .collect::<Vec<_>>()
        {
            if good.succeeded.contains(name) {
                good.succeeded.insert(member.clone());
            }
            if let Some(clock) = good.health.get(name).copied() {
                good.health.entry(member.clone()).or_insert(clock);
            }
            if good.current.contains(name) {
                good.current.insert(member);
            }
        }
    }
}

/// A set is good where each of its members is, and held where one of them is.
fn together(good: &mut Good, known: &BTreeMap<String, Set>) {
    for (name, set) in known {
        let members = || set.members.iter().map(|member| &member.release);
        let held = members().find_map(|member| good.held.get(member)).cloned();
        if let Some(why) = held {
            good.held.entry(name.clone()).or_insert(why);
        }
        if good.held.contains_key(name) {
            good.succeeded.remove(name);
            good.current.remove(name);
        } else if members().all(|member| good.current.contains(member)) {
            good.succeeded.insert(name.clone());
            good.current.insert(name.clone());
        } else if members().all(|member| good.succeeded.contains(member)) {
            good.succeeded.insert(name.clone());
        }
        let clocks: Option<Vec<Clock>> = members().map(|of| good.health.get(of).copied()).collect();
        if let Some(clock) = clocks.and_then(|clocks| clocks.into_iter().reduce(shorter)) {
            good.health.entry(name.clone()).or_insert(clock);
        }
    }
}

/// How long both of two have run well, at least.
fn shorter(one: Clock, other: Clock) -> Clock {
    Clock {
        since: one
            .since
            .zip(other.since)
            .map(|(one, other)| one.max(other)),
        before: one.before.min(other.before),
    }
}

/// When the commits of a set were made, the newest first.
fn age(set: &Set, all: &BTreeMap<String, &Release>) -> Vec<Timestamp> {
    let members = set.members.iter();
    let members = members.filter_map(|member| all.get(&member.release));
    let mut times: Vec<Timestamp> = members.map(|of| of.spec.commit.committed_at.0).collect();
    times.sort_unstable_by(|one, other| other.cmp(one));
    times
}

/// The Release that a set looks like; nothing where a member is gone. An error where they cannot be together.
fn united(
    name: &str,
    set: &Set,
    all: &BTreeMap<String, &Release>,
) -> Result<Option<Release>, String> {
    let members = set.members.iter();
    let members = members.map(|member| all.get(&member.release).copied());
    let Some(members) = members.collect::<Option<Vec<&Release>>>() else {
        return Ok(None);
    };
    let images = images(set, &members)?;
    let newest = members
        .iter()
        .max_by_key(|of| of.spec.commit.committed_at.0);
    let Some(newest) = newest else {
        return Ok(None);
    };
    let created = members.iter().map(|of| of.creation_timestamp());
    let mut release = Release::new(
        name,
        ReleaseSpec {
            pipeline: set.pipeline.clone(),
            images,
            packages: Vec::new(),
            changes: members
                .iter()
                .flat_map(|of| of.spec.changes.iter().cloned())
                .collect(),
            previous: None,
            difference: None,
            version: None,
            changelog: None,
            published: Vec::new(),
            ..newest.spec.clone()
        },
    );
    release
        .metadata
        .namespace
        .clone_from(&newest.metadata.namespace);
    release.metadata.creation_timestamp = created.flatten().max();
    Ok(Some(release))
}

/// The images of all members. An error where two have one of the same name, or there are too many.
fn images(set: &Set, members: &[&Release]) -> Result<Vec<Image>, String> {
    let mut images: BTreeMap<&str, _> = BTreeMap::new();
    for (image, pipeline) in members.iter().flat_map(|of| {
        of.spec
            .images
            .iter()
            .map(|image| (image, &of.spec.pipeline))
    }) {
        if let Some((_, other)) = images.insert(&image.name, (image, pipeline)) {
            let (set, image) = (&set.pipeline, &image.name);
            return Err(format!(
                "the set {set} cannot be: Pipelines {other} and {pipeline} both have an image {image}; rename one"
            ));
        }
    }
    if images.len() > MAX_IMAGES {
        let (set, count) = (&set.pipeline, images.len());
        return Err(format!(
            "the set {set} cannot be: it has {count} images, and there is room for {MAX_IMAGES}; take a Pipeline out"
        ));
    }
    Ok(images
        .into_values()
        .map(|(image, _)| image.clone())
        .collect())
}
