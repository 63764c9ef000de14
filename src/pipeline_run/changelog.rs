//! What is new in what a run makes. Pure.

use std::collections::BTreeSet;

use super::api::{Commit, PipelineRunStatus};
use super::observed::Observed;
use crate::release::api::Release;
use crate::release::notes;

/// The notes of a run, as Markdown: its commits since the newest Release, and, where it makes a version, those of the Releases
/// without one before that, of which nobody has been told.
pub fn of_run(seen: &Observed, status: &PipelineRunStatus) -> String {
    // One may have been made since the run began.
    let released = |commit: &Commit| {
        let mut releases = seen.releases.iter();
        let of_commit = releases.find(|release| release.spec.commit.sha == commit.sha);
        of_commit.filter(|_| status.sha.as_ref() != Some(&commit.sha))
    };
    let end = status
        .changes
        .iter()
        .position(|commit| released(commit).is_some());
    let fresh = status.changes.iter().take(end.unwrap_or(usize::MAX));
    let mut changes: Vec<&Commit> = fresh.collect();
    let latest = end
        .and_then(|end| status.changes.get(end))
        .and_then(released);
    let latest: Option<&Release> = latest.map(AsRef::as_ref);
    let previous = || seen.release(status.previous.as_deref()?);
    let mut before = latest
        .or_else(previous)
        .filter(|_| status.version.is_some());
    let mut names = BTreeSet::new();
    while let Some(release) = before.filter(|release| release.spec.version.is_none()) {
        // A ring that somebody has made ends at the first that comes again.
        if !names.insert(release.metadata.name.as_deref()) {
            break;
        }
        changes.extend(&release.spec.changes);
        let previous = release.spec.previous.as_deref();
        before = previous.and_then(|name| seen.release(name));
    }
    let mut known = BTreeSet::new();
    changes.retain(|commit| known.insert(&commit.sha));
    notes::notes(changes, &status.breaking)
}
