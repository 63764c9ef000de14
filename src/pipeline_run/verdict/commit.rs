//! What a Job's pod tells about the commit. Pure.

use super::super::api::{Breaking, Bump, Commit, Difference};
use super::super::observed::Job;
use super::source_report;

/// What a pod tells about its commit.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    /// The commit.
    pub commit: Commit,
    /// The commits since the previous Release, newest first.
    pub changes: Vec<Commit>,
    /// What differs from the previous Release, if that could be told.
    pub difference: Option<Difference>,
    /// What they ask of the next version, if that was asked.
    pub bump: Option<Bump>,
    /// What they break.
    pub breaking: Vec<Breaking>,
}

/// What a Job's pod tells about its commit.
pub fn commits(job: &Job) -> Option<Told> {
    let report = source_report(job.pod.as_ref())?;
    Some(Told {
        changes: report.commits(),
        difference: report.difference(),
        bump: report.bump,
        breaking: report.breaking(),
        commit: report.commit?,
    })
}
