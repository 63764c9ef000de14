//! What a Pipeline looks like in YAML: the status. No I/O.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::KeptLeftovers;
use crate::pipeline_run::api::{PullRequest, RunPhase};
use crate::schema::{self, closed_set};

/// What the operator knows about a Pipeline.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct PipelineStatus {
    /// Generation of the spec that this status is about; `-1` until the operator has looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`, and `Reconciling` or `Stalled` while they are true.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::conditions)]
    pub conditions: Vec<Condition>,
    /// The newest run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_run: Option<RunSummary>,
    /// Name of the newest run that succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::text::<253>)]
    pub last_successful: Option<String>,
    /// Name of the newest Release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::text::<253>)]
    pub latest_release: Option<String>,
    /// Head of the branch when it was last asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::text::<64>)]
    pub last_observed_sha: Option<String>,
    /// Repository of which `lastObservedSha` is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::text::<1024>)]
    pub last_observed_url: Option<String>,
    /// Full ref of which `lastObservedSha` is. Example: `refs/heads/main`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::text::<256>)]
    pub last_observed_ref: Option<String>,
    /// Head of the branch of which it is known that neither its message nor what it changes keeps it from a run, or that nobody can
    /// tell; absent where nobody had to look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::text::<64>)]
    pub looked_into: Option<String>,
    /// When the branch was last asked for; written only when the answer changed something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_polled_at: Option<Time>,
    /// When the head of the branch was found, or the first of several since the last one that had a run or was left out; later, if
    /// nobody could look at it before. Absent while a commit waits and nobody looks: while the Pipeline is suspended or paused, or a
    /// run pushes commits of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head_found_at: Option<Time>,
    /// Why the branch could not be read when it was last asked for; absent when it could.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_error: Option<SourceError>,
    /// Of which repository and triggers `seen` and `pending` are: what is there when these change starts no run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::text::<64>)]
    pub observed_triggers: Option<String>,
    /// Marks of refs with their commits for which nothing is to be done any more; at most 1500, the oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::texts::<1500, 16>)]
    pub seen: Vec<String>,
    /// Refs that polling found at a new commit, until there is a run of it; at most 32.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::list::<32>)]
    pub pending: Vec<PendingRef>,
    /// Pull requests that were closed or merged, as the provider told; at most 500, the last ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::by_number::<500>)]
    pub closed: Vec<ClosedPullRequest>,
    /// Which of the labels that previews ask for open pull requests have, as the provider told; at most 100, those that changed
    /// last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::by_number::<100>)]
    pub labelled: Vec<LabelledPullRequest>,
    /// Triggers by the clock; at most 16.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::by_name::<16>)]
    pub schedules: Vec<ScheduleStatus>,
    /// Triggers by images; at most 16.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::by_name::<16>)]
    pub images: Vec<ImageStatus>,
    /// With `concurrency`: runs whose turn it is; at most 256.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::texts::<256, 63>)]
    pub admitted: Vec<String>,
    /// Who has paused it with a Decision: no run is started until somebody resumes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::text::<256>)]
    pub paused_by: Option<String>,
    /// Registries in which what runs have left stays, and why; at most 8.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = super::retention::by_registry)]
    pub leftovers: Vec<KeptLeftovers>,
    /// Where it is and what it waits for, in one sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::text::<1024>)]
    pub message: Option<String>,
}

/// A ref that polling found at a new commit.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct PendingRef {
    /// The full ref. Example: `refs/pull/12/head`.
    #[serde(rename = "ref")]
    #[schemars(transform = schema::text::<256>)]
    pub git_ref: String,
    /// The commit.
    #[schemars(transform = schema::text::<64>)]
    pub sha: String,
    /// When it was found; later, if nobody could look at it before: while the Pipeline is suspended or paused, or a run pushes
    /// commits of its own.
    pub at: Time,
    /// What the git provider says of the pull request. Absent where it is none, was not asked, or did not answer: then it counts as
    /// from another repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull_request: Option<PullRequest>,
    /// `true` for a pull request that the git provider calls a draft, where drafts start no runs: it is asked again until it is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub draft: Option<bool>,
    /// `true` once it is known that neither the message of the commit nor what it changes keeps it from a run, or that nobody can
    /// tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub looked_into: Option<bool>,
}

impl PendingRef {
    /// Whether it is a pull request that is called a draft.
    pub fn is_draft(&self) -> bool {
        self.draft == Some(true)
    }
}

/// A pull request that was closed or merged.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ClosedPullRequest {
    /// Its number.
    #[schemars(range(min = 1))]
    pub number: u64,
    /// When, by the provider's clock where it tells.
    pub at: Time,
}

/// Which of the labels that previews ask for a pull request has.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct LabelledPullRequest {
    /// Its number.
    #[schemars(range(min = 1))]
    pub number: u64,
    /// Those that it has; at most 8.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::texts::<8, 50>)]
    pub labels: Vec<String>,
    /// Those that it has not; at most 8. Of a label in neither list it is not known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::texts::<8, 50>)]
    pub without: Vec<String>,
    /// When that was told for the first time, by the provider's clock where it tells.
    pub at: Time,
}

/// A trigger by the clock.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ScheduleStatus {
    /// Name of the trigger.
    #[schemars(transform = schema::name)]
    pub name: String,
    /// What `lastAt` is of: cron, time zone and branch.
    #[schemars(transform = schema::text::<512>)]
    pub rule: String,
    /// The last time that has its run; at first, when the trigger was seen.
    pub last_at: Time,
    /// The next time; absent where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_at: Option<Time>,
}

/// A trigger by an image.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ImageStatus {
    /// Name of the trigger.
    #[schemars(transform = schema::name)]
    pub name: String,
    /// What `digest` is of: the image and the branch.
    #[schemars(transform = schema::text::<640>)]
    pub rule: String,
    /// The last digest that was dealt with: it has its run, or was there when the trigger was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::digest)]
    pub digest: Option<String>,
    /// A digest of which there is no run yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::digest)]
    pub found: Option<String>,
    /// Why the registry does not say which digest it is, when it was last asked; absent when it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::text::<512>)]
    pub message: Option<String>,
}

closed_set! {
    /// Why a repository could not be read.
    pub enum SourceErrorKind {
        /// No connection.
        Unreachable,
        /// No answer in time.
        Timeout,
        /// The server has a problem of its own.
        Server,
        /// It takes a login.
        Auth,
        /// There is no such repository.
        NotFound,
        /// There is no such branch.
        NoBranch,
        /// The commit is not on the branch that is named with it.
        NotOnBranch,
        /// Something answers that is not a git server.
        Protocol,
        /// Triggers are about more refs than polling can follow.
        TooMany,
        /// The repository's own definition is no text, or too large.
        Definition,
    }
}

impl SourceErrorKind {
    /// Whether it may go away without anybody changing anything.
    pub const fn is_transient(self) -> bool {
        matches!(self, Self::Unreachable | Self::Timeout | Self::Server)
    }
}

/// Why a repository could not be read, and what to do.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct SourceError {
    /// `Unreachable`, `Timeout`, `Server`, `Auth`, `NotFound`, `NoBranch`, `NotOnBranch`, `Protocol`, `TooMany` or `Definition`.
    pub kind: SourceErrorKind,
    /// What happened and what to do, in one sentence.
    #[schemars(transform = schema::text::<1024>)]
    pub message: String,
}

impl SourceError {
    /// Of a kind, with what happened and what to do.
    pub fn new(kind: SourceErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }
}

/// A run in one line.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct RunSummary {
    /// Name of the PipelineRun.
    #[schemars(transform = schema::text::<253>)]
    pub name: String,
    /// Commit that it is about; absent until it is resolved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::text::<64>)]
    pub sha: Option<String>,
    /// Where it is.
    pub phase: RunPhase,
}
