//! What a PipelineRun looks like in YAML, and the facts about a commit that records share. No I/O.

mod artifact;
mod definition;
mod failure;
mod gate;
mod report;
mod stage;
mod supply;
mod version;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, MicroTime, Time};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::outbox::api::OutboxEntry;
use crate::pipeline::api::SourceError;
use crate::schema::{self, closed_set};

pub use artifact::*;
pub use definition::*;
pub use failure::*;
pub use gate::*;
pub use report::*;
pub use stage::*;
pub use supply::*;
pub use version::*;

/// One execution of a Pipeline, at one commit.
#[derive(CustomResource, JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "slipway.dev",
    version = "v1alpha1",
    kind = "PipelineRun",
    plural = "pipelineruns",
    shortname = "srun",
    category = "slipway",
    namespaced,
    status = "PipelineRunStatus",
    derive = "PartialEq",
    doc = "One execution of a Pipeline at one commit. The spec never changes; to run again, make another.",
    validation = schema::label_name(),
    selectable = ".spec.pipelineRef.name",
    printcolumn(name = "Pipeline", type_ = "string", json_path = ".spec.pipelineRef.name"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Commit", type_ = "string", json_path = ".status.sha"),
    printcolumn(name = "Release", type_ = "string", json_path = ".status.release"),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.message"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Trigger", type_ = "string", json_path = ".spec.trigger.kind", priority = 1),
    printcolumn(name = "Actor", type_ = "string", json_path = ".spec.trigger.actor", priority = 1),
    printcolumn(name = "Ref", type_ = "string", json_path = ".spec.ref", priority = 1)
)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::Rules(&[
    ("self == oldSelf",
     "the spec of a PipelineRun cannot change: make a new PipelineRun instead"),
    ("has(self.sha) || self.trigger.kind in ['Manual', 'Schedule', 'Release', 'Image']",
     "sha is needed: only a Manual run and those of a schedule, a release or an image may leave it out and take the head of ref"),
    ("!has(self.params) || self.trigger.kind == 'Manual'",
     "only a Manual run takes params"),
    ("self.trigger.kind == 'Manual' || self.ref.startsWith(self.trigger.kind in ['Tag', 'Release'] ? 'refs/tags/' : self.trigger.kind == 'PullRequest' ? 'refs/' : 'refs/heads/')",
     "ref does not fit the trigger: Push, Schedule and Image are about branches, Tag and Release about tags, PullRequest about pull requests"),
    ("has(self.trigger.pullRequest) == (self.trigger.kind == 'PullRequest')",
     "trigger.pullRequest is for runs of kind PullRequest, which need it"),
    ("has(self.trigger.image) == (self.trigger.kind == 'Image')",
     "trigger.image is for runs of kind Image, which need it"),
    ("self.trigger.kind != 'Manual' || !(has(self.trigger.name) || has(self.trigger.at) || has(self.trigger.needsApproval))",
     "a Manual run has no trigger.name, trigger.at and trigger.needsApproval: leave them out"),
    ("(!has(self.stages) && !has(self.environment)) || self.trigger.kind == 'Manual'",
     "only a Manual run takes stages or environment"),
    ("!has(self.retryOf) || self.trigger.kind == 'Manual'",
     "retryOf is for Manual runs: set trigger.kind to Manual"),
]))]
pub struct PipelineRunSpec {
    /// The Pipeline that is run, in the same namespace.
    pub pipeline_ref: PipelineRef,
    /// What started the run.
    pub trigger: Trigger,
    /// Full ref of the branch, tag or pull request. Example: `refs/heads/main`, `refs/tags/v1.2.3`, `refs/pull/12/head`.
    #[serde(rename = "ref")]
    #[schemars(transform = schema::git_ref)]
    pub git_ref: String,
    /// Commit that is tested and built, 40 characters; it has to be on `ref`. Default for a `Manual` run:
    /// the head of `ref` when the run starts, to be found in `status.sha`. Example: `3f9c2e1b…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::commit_sha)]
    pub sha: Option<String>,
    /// Values for parameters of the Pipeline, at most 32; only for `Manual`. Default: those of the Pipeline.
    /// Example: `[{name: LOG_LEVEL, value: debug}]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::by_name::<32>)]
    pub params: Vec<RunParam>,
    /// A run of the same Pipeline and `ref` that is over, in the same namespace: this one follows the same snapshot at the
    /// same commit, takes over every stage and cell that succeeded there, and runs the others. Default: all stages are
    /// run. Example: `{name: shop-api-3f9c2e1b0d}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_of: Option<RunRef>,
    /// Stages that are run, with those that they need, at most 32; the others are skipped, and there is no Release. Only for
    /// `Manual`. Default: all. Example: `[unit]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::names::<32>)]
    pub stages: Vec<String>,
    /// Name of the Environment that the run is for: scripts find it as `SLIPWAY_ENVIRONMENT`, conditions as `environment`. Only
    /// for `Manual`. Default: none. Example: `staging`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::name)]
    pub environment: Option<String>,
}

impl PipelineRunSpec {
    /// Whether it is about a pull request.
    pub fn is_pull_request(&self) -> bool {
        self.trigger.kind == TriggerKind::PullRequest || !self.is_of_repository()
    }

    /// Whether whoever made the commit of a run that was started so could push to the repository. Only such a run gets Secrets.
    pub fn is_trusted(&self, trigger: &Trigger) -> bool {
        let own = trigger.pull_request.as_ref();
        self.is_of_repository() || own.is_some_and(|pull_request| !pull_request.fork)
    }

    /// Number of the pull request that it is about; that of one which was started by hand is told by its ref.
    pub fn pull_number(&self) -> Option<u64> {
        if let Some(pull_request) = &self.trigger.pull_request {
            return Some(pull_request.number);
        }
        let mut kinds = ["refs/pull/", "refs/merge-requests/"].iter();
        let rest = kinds.find_map(|kind| self.git_ref.strip_prefix(kind))?;
        rest.split_once('/')?.0.parse().ok()
    }

    /// Whether it is about a branch or a tag of the repository itself.
    fn is_of_repository(&self) -> bool {
        ["refs/heads/", "refs/tags/"]
            .iter()
            .any(|kind| self.git_ref.starts_with(kind))
    }
}

/// A value for a parameter of the Pipeline.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct RunParam {
    /// Name of the parameter. Example: `LOG_LEVEL`.
    #[schemars(transform = schema::variable_name)]
    pub name: String,
    /// Its value, on one line. Example: `debug`.
    #[schemars(transform = schema::text::<1024>)]
    pub value: String,
}

/// A PipelineRun of the same namespace.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct RunRef {
    /// Name of the PipelineRun. Example: `shop-api-3f9c2e1b0d`.
    #[schemars(transform = schema::record_name)]
    pub name: String,
}

/// A Pipeline of the same namespace.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct PipelineRef {
    /// Name of the Pipeline. Example: `shop-api`.
    #[schemars(transform = schema::name)]
    pub name: String,
}

closed_set! {
    /// What started a run.
    pub enum TriggerKind {
        /// A new commit on a branch.
        Push,
        /// A person.
        Manual,
        /// A pull request, or a new commit of one.
        PullRequest,
        /// A tag.
        Tag,
        /// A published release.
        Release,
        /// The clock.
        Schedule,
        /// A new digest of an image.
        Image,
    }
}

impl TriggerKind {
    /// Whether a run that was started so pushes what says that it is pushed on these.
    pub fn pushes(self, listed: Option<&[Self]>) -> bool {
        listed.map_or(self != Self::PullRequest, |kinds| kinds.contains(&self))
    }
}

/// What started a run.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Trigger {
    /// `Manual`: a person. Everything else is made by the operator only: `Push`, a new commit on a branch; `PullRequest`, one of a
    /// pull request; `Tag`; `Release`, one that was published with the git provider; `Schedule`; `Image`, a new digest
    /// of one.
    pub kind: TriggerKind,
    /// Who it was: the user of the cluster for `Manual` (the API server checks that it is the one who asks); else the login with
    /// the git provider, such as `github:alice`, or `slipway` where the operator found it by itself. Example:
    /// `alice@example.com`.
    #[schemars(transform = schema::some_text::<256>)]
    pub actor: String,
    /// Name of the trigger of the Pipeline. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::name)]
    pub name: Option<String>,
    /// When it was started, to the microsecond: of two runs the later one is the newer. Default: when it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<MicroTime>,
    /// The pull request. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull_request: Option<PullRequest>,
    /// The image, with the digest that its tag has come to name. Default: none.
    /// Example: `registry.example/base/python:3.12@sha256:…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::pinned_image)]
    pub image: Option<String>,
    /// Whether the run waits until somebody approves it. Default `false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub needs_approval: Option<bool>,
}

impl Trigger {
    /// When it was started, where that is told.
    pub fn started_by(&self) -> Option<Timestamp> {
        self.at.as_ref().map(|MicroTime(at)| *at)
    }
}

/// A pull request.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct PullRequest {
    /// Its number. Example: `12`.
    #[schemars(range(min = 1))]
    pub number: u64,
    /// Branch that it is to be merged into. Default: not known. Example: `main`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::some_text::<245>)]
    pub base: Option<String>,
    /// Whether its commits are in another repository, or may be.
    pub fork: bool,
}

closed_set! {
    /// Where a run is.
    #[derive(Default)]
    pub enum RunPhase {
        /// Waiting for its turn.
        #[default]
        Queued,
        /// Stages are running or gates are judged.
        Running,
        /// Every stage and every enforced gate passed.
        Succeeded,
        /// A stage or an enforced gate failed.
        Failed,
        /// A person stopped it.
        Cancelled,
        /// It took longer than allowed.
        TimedOut,
    }
}

impl RunPhase {
    /// Whether nothing will change any more.
    pub const fn is_finished(self) -> bool {
        !matches!(self, Self::Queued | Self::Running)
    }
}

/// What happened in a run.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct PipelineRunStatus {
    /// Generation of the spec that this status is about; `-1` until the operator has looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`, and `Reconciling` or `Stalled` while they are true.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::conditions)]
    pub conditions: Vec<Condition>,
    /// `Queued`, `Running`, or how it ended: `Succeeded`, `Failed`, `Cancelled`, `TimedOut`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<RunPhase>,
    /// Where it is and what it waits for, in one sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::text::<1024>)]
    pub message: Option<String>,
    /// Commit that is tested and built.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::text::<64>)]
    pub sha: Option<String>,
    /// Name of the ControllerRevision with the spec of the Pipeline that the run follows, with what the repository adds to it: a
    /// later edit of the Pipeline does not change a run that has started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::text::<253>)]
    pub revision: Option<String>,
    /// What started the run that this one tries again; where that one tried another again, the first of them. What the run pushes,
    /// and whether it gets Secrets, follows from it. Absent in a run that tries none again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Trigger>,
    /// Where the repository's own part of the definition was read, where the Pipeline takes one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub definition: Option<RunDefinition>,
    /// Runs of which only so many may be under way at the same time: the ref, or `*` for all of the Pipeline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::text::<256>)]
    pub concurrency_group: Option<String>,
    /// When the first stage was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When the run ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
    /// Why the run is brought to its end before its time; stages with `always` still run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopping: Option<Stop>,
    /// Stage, and cell of it, whose pod tells what is known of the commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::text::<128>)]
    pub commit_from: Option<String>,
    /// The stages, in the order of the Pipeline.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::by_name::<32>)]
    pub stages: Vec<StageStatus>,
    /// Tests that failed in attempts that were replaced, while it is not known how they fare now; at most 40.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::list::<40>)]
    pub suspects: Vec<Suspect>,
    /// Tests in quarantine when the run began: their failures are not held against the commit; at most 20.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::texts::<20, 256>)]
    pub quarantine: Vec<String>,
    /// Tests of all reports together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tests: Option<TestCounts>,
    /// What the gates found.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::by_name::<32>)]
    pub gates: Vec<GateVerdict>,
    /// What the run made: images and packages.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::by_name::<32>)]
    pub artifacts: Vec<Artifact>,
    /// Which Jobs have made them, and what ran in those: what provenance names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::list::<96>)]
    pub built_by: Vec<BuiltBy>,
    /// What was said about the images, stored beside them; at most 96.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::list::<96>)]
    pub attestations: Vec<Attestation>,
    /// The preview that its Preview stage waits for, or has waited for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preview: Option<RunPreview>,
    /// Name of the Release that the run made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::text::<253>)]
    pub release: Option<String>,
    /// Why it failed, and what to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// The commit that was built.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<Commit>,
    /// Name of the newest Release when the run started; `changes` are counted from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::text::<253>)]
    pub previous: Option<String>,
    /// Commits since the previous Release, newest first; at most 50.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::list::<50>)]
    pub changes: Vec<Commit>,
    /// What differs between the commit and that of the previous Release; absent where there is none, or it cannot be compared with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub difference: Option<Difference>,
    /// What the commits since the previous Release ask of the next version, the unlisted too: `None`, `Patch`, `Minor`, `Major`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bump: Option<Bump>,
    /// What those commits break, in their own words; at most 8.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::list::<8>)]
    pub breaking: Vec<Breaking>,
    /// The version of the Release, once every stage before the gates has succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<RunVersion>,
    /// Commits that its Release stage has pushed; at most 8. They start no run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::texts::<8, 40>)]
    pub published: Vec<String>,
    /// Names of the Decisions to try it again that were followed; at most 8.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::texts::<8, 253>)]
    pub retries: Vec<String>,
    /// What the provider of the repository is told; at most 36: a status for the run and one for each stage, a comment, findings,
    /// and a release.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::by_entry_key::<36>)]
    pub outbox: Vec<OutboxEntry>,
    /// What people are told, by the receivers in `spec.notifications` of the Pipeline; at most 40.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::by_entry_key::<40>)]
    pub notifications: Vec<OutboxEntry>,
    /// Why the head of the branch could not be read when it was last asked for; absent when it could.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_error: Option<SourceError>,
}

/// The preview of a run's pull request.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct RunPreview {
    /// Name of the Environment that it is of.
    #[schemars(transform = schema::name)]
    pub environment: String,
    /// Where it answers with the commit of the run; absent until it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::text::<1024>)]
    pub url: Option<String>,
}

closed_set! {
    /// Why a run is brought to its end before its time.
    pub enum StopKind {
        /// A person asked for it.
        Cancelled,
        /// It took longer than allowed.
        TimedOut,
        /// A newer run took its place.
        Superseded,
        /// As many runs as may be were under way already, or somebody did not approve it.
        Rejected,
    }
}

/// Why a run is brought to its end before its time.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Stop {
    /// `Cancelled`: a person asked for it. `TimedOut`: it took longer than allowed. `Superseded`: a newer run took its place.
    /// `Rejected`: there were as many as may be, or it was not approved.
    pub kind: StopKind,
    /// Who asked for it; of a superseded run, the name of the newer one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::text::<256>)]
    pub by: Option<String>,
    /// Since when.
    pub at: Time,
}

/// One commit.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Commit {
    /// The commit, 40 characters.
    #[schemars(transform = schema::commit_sha)]
    pub sha: String,
    /// Name of the author; at most 128 characters, cut off.
    #[schemars(transform = schema::text::<128>)]
    pub author: String,
    /// Email of the author; at most 128 characters, cut off.
    #[schemars(transform = schema::text::<128>)]
    pub email: String,
    /// When it was committed.
    pub committed_at: Time,
    /// First line of the message; at most 256 characters, cut off.
    #[schemars(transform = schema::text::<256>)]
    pub subject: String,
}
