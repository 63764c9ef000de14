//! Settles the version of a run, one run of a Pipeline after the other. No I/O.
//!
//! A version is settled when all work has passed, because only then it is known that there will be a Release, and is on
//! record before anything is made with it. Two runs must not get the same one, and there is no memory of who has which but
//! the runs themselves:
//!
//! 1. A run puts down a version only while no other run that goes on has one.
//! 2. It looks again before it begins to use it. Who then sees another one with a version gives its own up, unless the other
//!    was made later and has not begun: then it waits for that one to give up.
//!
//! Whoever has put a version down sees every other that was put down before, because statuses that this process has written
//! are what it reads; so of two, the later sees the earlier. The tag in the repository, which a Release stage never moves,
//! stands behind all of it.

use jiff::SignedDuration;

use super::super::api::{FailureKind, RunVersion, StagePhase};
use super::super::observed::Versioned;
use super::super::version::of_run;
use super::Draft;
use crate::git::refs::tag_of;
use crate::model::plan::Why;
use crate::pipeline::api::{PipelineSpec, VersionRule};
use crate::pipeline_run::api::PipelineRunStatus;
use crate::release::version::{self, Own};

/// How soon a run that waits for another one looks again.
const TURN: SignedDuration = SignedDuration::from_secs(3);

impl Draft<'_> {
    /// Whether what needs the version may begin.
    pub(super) fn settle_version(&mut self, spec: &PipelineSpec) -> bool {
        let Some(rule) = &spec.release.version else {
            return true;
        };
        if !self.has_passed() || !self.makes_release(spec) {
            return true;
        }
        if uses_version(&self.next) {
            return self.has_its_version();
        }
        if let Some(tag) = tag_of(&self.seen.spec.git_ref) {
            let number = of_run(spec, &self.seen.spec.git_ref, &self.next);
            let message = match &number {
                Some(_) => format!("the version of tag {tag}"),
                None => format!("tag {tag} names no version"),
            };
            self.next.version = Some(RunVersion {
                number: number.map(|number| number.to_string()),
                message,
            });
            return true;
        }
        if self.next.commit.is_none() {
            let message = "nothing is known of the commit, because the reports of all pods are \
                           lost; make a new run";
            self.fail(None, FailureKind::Infra, message);
            return false;
        }
        let own = (self.seen.created_at, self.seen.key.name.as_str());
        let known = self.next.version.as_ref();
        let has_none = known.is_some_and(|known| known.number.is_none());
        let is_unsettled = known.is_none();
        let comes_first = |rival: &&Versioned| {
            let is_older = (rival.created_at, rival.name.as_str()) < own;
            !has_none && (is_unsettled || rival.has_begun || is_older)
        };
        if let Some(rival) = self.seen.versioned.iter().find(comes_first) {
            let name = rival.name.clone();
            self.next.version = None;
            self.wait_for_turn(&name);
            return false;
        }
        let settled = self.next_version(rule);
        if self.next.version.as_ref() != Some(&settled) {
            self.next.version = Some(settled);
            let why = Why::normal("Running", "settling the version");
            self.wait(why, Some(SignedDuration::ZERO));
            return false;
        }
        if let Some(rival) = self.seen.versioned.first().filter(|_| !has_none) {
            let name = rival.name.clone();
            self.wait_for_turn(&name);
            return false;
        }
        true
    }

    /// Whether the version that is in use is still this commit's to have. A run that goes on after another has failed has the
    /// version of that one, which another commit may have been given in between.
    fn has_its_version(&mut self) -> bool {
        let known = self.next.version.as_ref();
        let number = known.and_then(|known| known.number.clone());
        let mut stages = self.next.stages.iter();
        let is_busy = stages.any(|stage| stage.phase == StagePhase::Running);
        let is_of_tag = tag_of(&self.seen.spec.git_ref).is_some();
        let Some(number) = number.filter(|_| !is_busy && !is_of_tag) else {
            return true;
        };
        // A run of the tag that this one has pushed is about the same.
        let is_own =
            |sha: &String| self.next.sha.as_ref() == Some(sha) || self.next.published.contains(sha);
        let mut releases = self.seen.releases.iter();
        let is_taken = releases.any(|release| {
            release.spec.version.as_ref() == Some(&number) && !is_own(&release.spec.commit.sha)
        });
        if is_taken && self.next.release.is_none() {
            let message =
                format!("version {number} was given to another commit meanwhile; make a new run");
            self.fail(None, FailureKind::Config, message);
            return false;
        }
        true
    }

    fn wait_for_turn(&mut self, rival: &str) {
        let message = format!("waiting for run {rival}, which is giving its commit a version");
        self.wait(Why::normal("Running", message), Some(TURN));
    }

    fn next_version(&self, rule: &VersionRule) -> RunVersion {
        let own = Own {
            sha: self.next.sha.as_deref().unwrap_or_default(),
            changes: &self.next.changes,
            breaking: &self.next.breaking,
            bump: self.next.bump.unwrap_or_default(),
        };
        match version::next(&self.seen.releases, own, rule) {
            Ok(number) => RunVersion {
                message: format!("the commits ask for it: {}", own.bump),
                number: Some(number.to_string()),
            },
            Err(message) => RunVersion {
                number: None,
                message,
            },
        }
    }
}

/// Whether something has begun that uses the version of a run.
pub(crate) fn uses_version(status: &PipelineRunStatus) -> bool {
    let mut stages = status.stages.iter();
    let has_begun = stages.any(|stage| {
        stage.type_.is_after_gates()
            && !matches!(stage.phase, StagePhase::Pending | StagePhase::Skipped)
    });
    status.release.is_some() || has_begun
}
