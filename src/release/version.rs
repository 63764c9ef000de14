//! The version that comes next: the versions that there are, and what the commits since ask for. Pure.
//!
//! Versions come from Releases and not from the tags of a repository: a Release says which commit it was, and cannot be
//! moved. The rule of semantic versions that anything may change before `1.0.0` is followed: there, what breaks raises the
//! second number, and a person decides when the first one is due (`initial: 1.0.0`).

use std::sync::Arc;

use semver::{BuildMetadata, Prerelease, Version};

use super::api::Release;
use super::commit::{self, Subject};
use super::order::Order;
use crate::pipeline::api::VersionRule;
use crate::pipeline_run::api::{Breaking, Bump, Commit};

/// What a run has found out about its own commits.
#[derive(Clone, Copy, Debug)]
pub struct Own<'a> {
    /// The commit.
    pub sha: &'a str,
    /// The commits since the newest Release as it was when the run began, newest first, as far as they are listed.
    pub changes: &'a [Commit],
    /// Those of them that break what was there, by their footers.
    pub breaking: &'a [Breaking],
    /// What all of them together ask for, the unlisted too.
    pub bump: Bump,
}

/// The next version; or why there is none, in one sentence.
///
/// # Errors
/// When a newer commit has been released already, or nothing asks for a new version.
///
/// # Guarantees
/// - It is none that a Release of the Pipeline has.
/// - It is larger than every version without a prerelease, and, where it has no prerelease itself, than every other one too.
pub fn next(
    releases: &[Arc<Release>],
    own: Own<'_>,
    rule: &VersionRule,
) -> Result<Version, String> {
    if let Some(newer) = releases.iter().find(|newer| has(newer, own.sha)) {
        let name = newer.metadata.name.as_deref().unwrap_or_default();
        return Err(format!(
            "a newer commit of the branch has been released already, as {name}"
        ));
    }
    let known: Vec<Version> = releases.iter().filter_map(|known| of(known)).collect();
    let full = known.iter().filter(|known| known.pre.is_empty()).max();
    let bump = bump_since(releases, own, rule);
    let lowest = rule.initial();
    let target = full.map_or_else(
        || lowest.clone(),
        |full| stepped(full, bump).max(lowest.clone()),
    );
    // What prereleases have announced is not taken back.
    let announced = known.iter().filter(|known| !known.pre.is_empty());
    let announced = announced.map(core).max();
    let target = announced
        .iter()
        .fold(target, |target, core| target.max(core.clone()));
    let newest = known.iter().max();
    let is_nothing = || {
        let since = newest.map_or_else(String::new, |newest| format!(" since {newest}"));
        Err(format!("no commit{since} asks for a new version"))
    };
    if full.is_some_and(|full| target <= *full) {
        return is_nothing();
    }
    let Some(id) = rule.prerelease.as_deref() else {
        return Ok(target);
    };
    let is_raised = newest.is_none_or(|newest| target > core(newest));
    if bump == Bump::None && !is_raised {
        return is_nothing();
    }
    let of_target = known.iter().filter(|known| core(known) == target);
    let last = of_target.filter_map(|known| number(known, id)).max();
    Ok(prerelease(&target, id, last.map_or(1, |last| last + 1)))
}

/// The version that a Release has.
pub fn of(release: &Release) -> Option<Version> {
    Version::parse(release.spec.version.as_deref()?).ok()
}

/// The version that a tag of a repository names; nothing for any other tag, and for those with build metadata, which a
/// registry's tag cannot have. Without a prefix of people's own, it may begin with a `v`.
pub fn of_tag(tag: &str, prefix: Option<&str>) -> Option<Version> {
    let text = match prefix {
        Some(prefix) => tag.strip_prefix(prefix)?,
        None => tag.strip_prefix('v').unwrap_or(tag),
    };
    let version = Version::parse(text).ok()?;
    version.build.is_empty().then_some(version)
}

/// Whether a commit is among those that are new in a Release, and not its own.
fn has(release: &Release, sha: &str) -> bool {
    let mut changes = release.spec.changes.iter();
    release.spec.commit.sha != sha && changes.any(|change| change.sha == sha)
}

/// What the commits ask for that no Release has. One may have been made since the run began.
fn bump_since(releases: &[Arc<Release>], own: Own<'_>, rule: &VersionRule) -> Bump {
    let order = Order::of(releases);
    let latest = order.latest().and_then(|name| order.get(name));
    let Some(latest) = latest.map(|latest| latest.spec.commit.sha.as_str()) else {
        return own.bump;
    };
    if latest == own.sha {
        return Bump::None;
    }
    let at = own.changes.iter().position(|change| change.sha == latest);
    let Some(fresh) = at.and_then(|at| own.changes.get(..at)) else {
        return own.bump;
    };
    let asks = |commit: &Commit| {
        let mut breaking = own.breaking.iter();
        if breaking.any(|breaking| breaking.sha == commit.sha) {
            return Bump::Major;
        }
        Subject::read(&commit.subject).asks(rule)
    };
    let lines: Vec<&str> = fresh.iter().map(|commit| commit.subject.as_str()).collect();
    let standing = fresh.iter().zip(commit::standing(&lines));
    let standing = standing.filter_map(|(commit, stands)| stands.then_some(commit));
    standing.map(asks).max().unwrap_or_default()
}

fn stepped(version: &Version, bump: Bump) -> Version {
    let Version {
        major,
        minor,
        patch,
        ..
    } = *version;
    match bump {
        Bump::None => version.clone(),
        Bump::Patch => Version::new(major, minor, patch.saturating_add(1)),
        Bump::Major if major > 0 => Version::new(major.saturating_add(1), 0, 0),
        Bump::Minor | Bump::Major => Version::new(major, minor.saturating_add(1), 0),
    }
}

/// A version without what makes it a prerelease.
fn core(version: &Version) -> Version {
    Version::new(version.major, version.minor, version.patch)
}

/// The number of a prerelease of this name: 2 of `rc.2`.
fn number(version: &Version, id: &str) -> Option<u64> {
    let number = version.pre.as_str().strip_prefix(id)?.strip_prefix('.')?;
    number.parse().ok()
}

fn prerelease(target: &Version, id: &str, number: u64) -> Version {
    let pre = Prerelease::new(&format!("{id}.{number}"));
    Version {
        // The schema lets no name pass that could not be one.
        pre: pre.unwrap_or(Prerelease::EMPTY),
        build: BuildMetadata::EMPTY,
        ..target.clone()
    }
}

#[cfg(test)]
mod tests;
