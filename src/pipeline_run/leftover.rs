//! What a run has left in registries, and what of it may go with the run. No I/O.
//!
//! A manifest is deleted by its digest, with every tag that names it, and builds are reproducible: a retry, another run here or one
//! in another cluster may have pushed the same digest. So a digest goes only if nothing here names it and no tag there does, and
//! only where a run that passes is known to leave a tag that stays, by which the other cluster is seen.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::api::{ArtifactKind, PipelineRun, PipelineRunStatus, RunPhase};
use super::{tag, version};
use crate::model::action::Reply;
use crate::oci::manifest::{is_digest, referrers_tag};
use crate::pipeline::api::{Build, Builder, LeftoverReason, PipelineSpec, Stage, Tag};
use crate::promotion::api::Promotion;
use crate::release::api::Release;

/// What of a tag stays with one commit.
const STAYS: [&str; 2] = ["{{sha}}", "{{shortSha}}"];
/// What the tags begin with that Buildah pushes to.
const PUSHED_AS: &str = "build-";
/// What a digest begins with, and how many digits follow.
const BEGIN: &str = "sha256:";
const DIGITS: usize = 64;
/// Ends of tags under which others keep what they say about an image, behind those of the list of what refers to it.
const ENDS: [&str; 4] = ["", ".sig", ".att", ".sbom"];

/// A repository that an image was pushed to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Registry and repository, without tag or digest.
    pub repository: String,
    /// Whether its registry is reached over http.
    pub is_insecure: bool,
    /// Name of the Secret with the login for it.
    pub login: Option<String>,
}

impl Place {
    /// The registry, as it stands in front of images.
    pub fn registry(&self) -> &str {
        let parts = self.repository.split_once('/');
        parts.map_or(self.repository.as_str(), |(registry, _)| registry)
    }
}

/// What one Build stage of a run has left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// Where: the repository of the image, and its mirrors.
    pub places: Vec<Place>,
    /// The image, and those of single platforms.
    pub digests: BTreeSet<String>,
    /// Tags that a run of the same commit and ref gives the image, once it has passed.
    pub tags: Vec<String>,
    /// What a tag is called, or begins with before a platform, by which the build itself has pushed because it cannot push without.
    pub pushed_as: Option<String>,
    /// The commit.
    pub sha: String,
}

impl Left {
    /// Whether a tag is only there because the build could not push without one.
    pub fn is_of_build(&self, tag: &str) -> bool {
        let own = self.pushed_as.as_deref();
        let rest = own.and_then(|own| tag.strip_prefix(own));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    }
}

/// Whether a run may have left something that was never released: it has not passed, or was of a pull request.
///
/// Code of other people is pushed elsewhere, and gets no tags when it passes: nothing is known of that.
pub fn may_leave(run: &PipelineRun) -> bool {
    let Some(status) = &run.status else {
        return false;
    };
    let phase = status.phase.unwrap_or_default();
    let is_over = phase.is_finished();
    let is_never_released = phase != RunPhase::Succeeded || run.spec.is_pull_request();
    let started = status.origin.as_ref().unwrap_or(&run.spec.trigger);
    let is_own = is_over && is_never_released && status.release.is_none();
    is_own && run.spec.is_trusted(started) && has_pushed(status)
}

fn has_pushed(status: &PipelineRunStatus) -> bool {
    let mut artifacts = status.artifacts.iter();
    let mut cells = status.stages.iter().flat_map(|stage| &stage.cells);
    artifacts.any(|artifact| artifact.kind == ArtifactKind::Image)
        || cells.any(|cell| cell.digest.is_some())
}

/// What a run that followed this spec has left, of images that always get a tag that stays.
pub fn left(run: &PipelineRun, spec: &PipelineSpec) -> Vec<Left> {
    let Some(status) = run.status.as_ref().filter(|_| may_leave(run)) else {
        return Vec::new();
    };
    let Some(sha) = &status.sha else {
        return Vec::new();
    };
    let number = version::of_run(spec, &run.spec.git_ref, status);
    let of_stage = |stage: &Stage| {
        let build = stage.build.as_ref()?;
        let digests = built(status, stage, build);
        if digests.is_empty() || !keeps_tag(spec, &stage.name) {
            return None;
        }
        let tags = tags_of(spec, &stage.name);
        let tags = tags.flat_map(|own| {
            let names = tag::names(&own.names, &run.spec.git_ref, sha, number.as_ref());
            names.fixed
        });
        let tags: Vec<String> = tags.collect();
        let is_taken = tags.iter().any(|tag| tag.starts_with(PUSHED_AS));
        let has_tag = build.builder() == Builder::Buildah && !is_taken;
        Some(Left {
            places: places(build),
            digests,
            tags,
            pushed_as: has_tag.then(|| format!("{PUSHED_AS}{sha}")),
            sha: sha.clone(),
        })
    };
    spec.stages.iter().filter_map(of_stage).collect()
}

fn built(status: &PipelineRunStatus, stage: &Stage, build: &Build) -> BTreeSet<String> {
    let artifacts = status.artifacts.iter().filter(|artifact| {
        artifact.kind == ArtifactKind::Image
            && artifact.name == stage.name
            && artifact.reference == build.image
    });
    let artifacts = artifacts.map(|artifact| &artifact.digest);
    let own = status.stages.iter().filter(|own| own.name == stage.name);
    let cells = own.flat_map(|own| &own.cells);
    let cells = cells.filter_map(|cell| cell.digest.as_ref());
    let all = artifacts.chain(cells);
    all.filter(|digest| is_digest(digest)).cloned().collect()
}

fn places(build: &Build) -> Vec<Place> {
    let all = std::iter::once(&build.image).chain(&build.mirrors);
    let place = |repository: &String| Place {
        repository: repository.clone(),
        is_insecure: build.insecure_registry(),
        login: build.push_secret_ref.as_ref().map(|own| own.name.clone()),
    };
    all.map(place).collect()
}

/// The tags that the image of a stage gets in every run that passes.
fn tags_of<'a>(spec: &'a PipelineSpec, image: &'a str) -> impl Iterator<Item = &'a Tag> {
    let always = spec.stages.iter().filter(|stage| stage.when.is_none());
    let tags = always.filter_map(|stage| stage.tag.as_ref());
    tags.filter(move |tag| tag.images.is_empty() || tag.images.iter().any(|name| name == image))
}

/// Whether an image always gets a tag that stays with it: one of its commit. Those of branches move on, and leave behind what runs.
fn keeps_tag(spec: &PipelineSpec, image: &str) -> bool {
    let mut names = tags_of(spec, image).flat_map(|tag| &tag.names);
    names.any(|name| STAYS.iter().any(|part| name.contains(part)))
}

/// Whether everything that a spec pushes to a repository gets a tag that stays before it is released. Packages get none.
pub fn is_tagged_there(spec: &PipelineSpec, repository: &str) -> bool {
    spec.stages.iter().all(|stage| {
        let mut packages = stage.packages.iter();
        let has_package = packages.any(|package| package.repository == repository);
        let build = stage.build.as_ref();
        let for_forks = build.and_then(|build| build.fork_image.as_deref());
        let pushes = build.is_some_and(|build| {
            build.image == repository || build.mirrors.iter().any(|mirror| mirror == repository)
        });
        !has_package && for_forks != Some(repository) && (!pushes || keeps_tag(spec, &stage.name))
    })
}

/// Whether a text stands somewhere in a value.
pub fn mentions(value: &Value, text: &str) -> bool {
    match value {
        Value::String(own) => own == text,
        Value::Array(items) => items.iter().any(|item| mentions(item, text)),
        Value::Object(fields) => fields.values().any(|field| mentions(field, text)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// What the cluster names, but for the run that goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Named {
    digests: BTreeSet<String>,
    /// Repositories of Releases, with the digests in them.
    released: BTreeMap<String, BTreeSet<String>>,
    /// Commits that are being built.
    commits: BTreeSet<String>,
}

impl Named {
    /// Adds what another run has pushed, and the commit of one that may be about to push the same.
    pub fn add_run(&mut self, run: &PipelineRun) {
        let status = run.status.as_ref();
        if !status.is_some_and(|status| status.phase.unwrap_or_default().is_finished()) {
            let known = status.and_then(|status| status.sha.as_ref());
            self.commits
                .extend(known.or(run.spec.sha.as_ref()).cloned());
        }
        self.add_text(run.spec.trigger.image.as_deref().unwrap_or_default());
        let Some(status) = status else { return };
        let cells = status.stages.iter().flat_map(|stage| &stage.cells);
        let cells = cells.filter_map(|cell| cell.digest.as_ref());
        let artifacts = status.artifacts.iter().map(|artifact| &artifact.digest);
        let said = status.attestations.iter().map(|said| &said.digest);
        self.digests
            .extend(cells.chain(artifacts).chain(said).cloned());
    }

    /// Adds a Release.
    pub fn add_release(&mut self, release: &Release) {
        let spec = &release.spec;
        let images = spec.images.iter();
        let images = images.map(|image| (&image.repository, &image.digest));
        let packages = spec.packages.iter();
        let packages = packages.map(|package| (&package.repository, &package.digest));
        for (repository, digest) in images.chain(packages) {
            self.digests.insert(digest.clone());
            let there = self.released.entry(repository.clone()).or_default();
            there.insert(digest.clone());
        }
        let said = spec.evidence.attestations.iter();
        self.digests.extend(said.map(|said| said.digest.clone()));
    }

    /// Adds a promotion.
    pub fn add_promotion(&mut self, promotion: &Promotion) {
        for image in &promotion.spec.images {
            self.add_text(&image.reference);
        }
    }

    /// Adds every digest that an object has anywhere.
    pub fn add_object(&mut self, object: &impl Serialize) {
        self.add_text(&serde_json::to_string(object).unwrap_or_default());
    }

    /// Adds every digest in a text.
    pub fn add_text(&mut self, text: &str) {
        let mut rest = text;
        while let Some(at) = rest.find(BEGIN) {
            rest = rest.get(at..).unwrap_or_default();
            let digest = rest.get(..BEGIN.len() + DIGITS).unwrap_or_default();
            if is_digest(digest) {
                self.digests.insert(digest.to_owned());
            }
            rest = rest.get(BEGIN.len()..).unwrap_or_default();
        }
    }

    /// What is released in the repositories of an image.
    pub fn released_in<'a>(&'a self, left: &'a Left) -> impl Iterator<Item = &'a String> {
        let places = left.places.iter();
        let released = places.filter_map(|place| self.released.get(&place.repository));
        released.flatten()
    }

    /// Whether one of these is named, or may be about to be.
    pub fn needs<'a>(&self, sha: &str, mut digests: impl Iterator<Item = &'a String>) -> bool {
        self.commits.contains(sha) || digests.any(|digest| self.digests.contains(digest))
    }
}

/// What a registry says of a repository.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct There {
    /// Digests that tags name, and all that indexes among them list.
    pub needed: BTreeSet<String>,
    /// What the run's own indexes list.
    pub parts: BTreeMap<String, BTreeSet<String>>,
    /// What is said about the run's own, each with what says it: artifacts that refer to it, and the lists of them.
    pub about: BTreeMap<String, BTreeSet<String>>,
}

/// The digests that may go, for each place in the order in which they go: indexes before what they list, images before what is
/// said about them. What is needed in one place stays in all of them.
pub fn going(left: &Left, named: &Named, there: &[There]) -> Vec<Vec<String>> {
    let nothing = vec![Vec::new(); there.len()];
    if named.commits.contains(&left.sha) {
        return nothing;
    }
    let parts = there.iter().flat_map(|place| &place.parts);
    let own = parts.filter(|(index, _)| left.digests.contains(*index));
    let own: Vec<_> = own.collect();
    let listed = own.iter().flat_map(|(_, parts)| parts.iter());
    let all: BTreeSet<&String> = left.digests.iter().chain(listed).collect();
    let is_needed = |digest: &String| {
        named.digests.contains(digest) || there.iter().any(|place| place.needed.contains(digest))
    };
    let said_about = |digest: &String| {
        let lists = there.iter().filter_map(|place| place.about.get(digest));
        lists.flatten().any(is_needed)
    };
    let stays = all.iter().copied();
    let mut stays: BTreeSet<&String> = stays
        .filter(|digest| is_needed(digest) || said_about(digest))
        .collect();
    for (index, parts) in own {
        if stays.contains(index) {
            stays.extend(parts);
        }
    }
    let goes: Vec<&String> = all.difference(&stays).copied().collect();
    let of_place = |place: &There| {
        let is_index = |digest: &&&String| place.parts.contains_key(**digest);
        let indexes = goes.iter().filter(is_index);
        let others = goes.iter().filter(|digest| !is_index(digest));
        let images = indexes.chain(others).copied();
        let about = goes.iter().filter_map(|digest| place.about.get(*digest));
        let mut order: Vec<String> = images.cloned().collect();
        for digest in about.flatten() {
            if !order.contains(digest) {
                order.push(digest.clone());
            }
        }
        order
    };
    there.iter().map(of_place).collect()
}

/// Whether a tag stands for what is said about an image, and so is no use of anything.
pub fn is_list(tag: &str) -> bool {
    let rest = tag.strip_prefix("sha256-");
    let parts = rest.and_then(|rest| rest.split_at_checked(DIGITS));
    parts.is_some_and(|(hex, end)| is_digest(&format!("{BEGIN}{hex}")) && ENDS.contains(&end))
}

/// The tags that stand for what is said about a digest.
pub fn lists_of(digest: &str) -> [String; 4] {
    let tag = referrers_tag(digest);
    ENDS.map(|end| format!("{tag}{end}"))
}

/// What became of what a run has left.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct Cleared {
    /// Registries that have said what they have.
    pub told: BTreeSet<String>,
    /// Registries that have deleted something.
    pub deleted: BTreeSet<String>,
    /// Registries in which it stays, and why.
    pub kept: Vec<Refusal>,
}

/// Why something stays in a registry.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The registry.
    pub registry: String,
    /// Why, in a word.
    pub reason: LeftoverReason,
    /// The same for people.
    pub message: String,
}

impl Refusal {
    /// A registry does not tell what is needed.
    pub fn unclear(place: &Place, message: impl Into<String>) -> Self {
        Self::of(place, LeftoverReason::LeftoversUnclear, message.into())
    }

    /// A registry may not be asked, or does not delete.
    pub fn refused(place: &Place, message: impl Into<String>) -> Self {
        Self::of(place, LeftoverReason::DeletionRefused, message.into())
    }

    fn of(place: &Place, reason: LeftoverReason, message: String) -> Self {
        Self {
            registry: place.registry().to_owned(),
            reason,
            message,
        }
    }
}

impl Cleared {
    /// As an answer.
    pub fn reply(&self) -> Reply {
        Reply {
            status: 200,
            body: serde_json::to_vec(self).unwrap_or_default(),
        }
    }

    /// The same, read; nothing where there is no answer.
    pub fn read(reply: &Result<Reply, String>) -> Option<Self> {
        serde_json::from_slice(&reply.as_ref().ok()?.body).ok()
    }
}

#[cfg(test)]
mod tests;
