//! What a PipelineRun looks like in YAML, and the facts about a commit that records share. No I/O.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::pipeline::api::{SourceError, StageType};
use crate::schema::{self, closed_set};

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
    ("has(self.sha) || self.trigger.kind == 'Manual'",
     "sha is needed: only a Manual run may leave it out and take the head of ref"),
]))]
pub struct PipelineRunSpec {
    /// The Pipeline that is run, in the same namespace.
    pub pipeline_ref: PipelineRef,
    /// What started the run.
    pub trigger: Trigger,
    /// Full ref of the branch. Example: `refs/heads/main`.
    #[serde(rename = "ref")]
    #[schemars(transform = schema::branch_ref)]
    pub git_ref: String,
    /// Commit that is tested and built, 40 characters; it has to be on `ref`. Default for a `Manual` run:
    /// the head of `ref` when the run starts, to be found in `status.sha`. Example: `3f9c2e1b…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::commit_sha)]
    pub sha: Option<String>,
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
        /// A new commit on the branch; only the operator makes such runs.
        Push,
        /// A person.
        Manual,
    }
}

/// What started a run.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Trigger {
    /// `Push`: a new commit, found by the operator. `Manual`: a person.
    pub kind: TriggerKind,
    /// Who it was: `slipway` for `Push` (the author is in `status.commit`), the user of the cluster for
    /// `Manual` (the API server checks that it is the one who asks). Example: `alice@example.com`.
    #[schemars(transform = schema::some_text::<256>)]
    pub actor: String,
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
    /// Name of the ControllerRevision with the spec of the Pipeline that the run follows: a later edit of
    /// the Pipeline does not change a run that has started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::text::<253>)]
    pub revision: Option<String>,
    /// When the first stage was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When the run ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
    /// The stages, in the order of the Pipeline.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::by_name::<32>)]
    pub stages: Vec<StageStatus>,
    /// Tests of all reports together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tests: Option<TestCounts>,
    /// What the gates found.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::by_name::<32>)]
    pub gates: Vec<GateVerdict>,
    /// What the run made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::by_name::<32>)]
    pub artifacts: Vec<Artifact>,
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
    /// Why the head of the branch could not be read when it was last asked for; absent when it could.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_error: Option<SourceError>,
}

closed_set! {
    /// Where a stage is.
    #[derive(Default)]
    pub enum StagePhase {
        /// Waiting for the stages that it needs.
        #[default]
        Pending,
        /// Its Job exists.
        Running,
        /// It passed.
        Succeeded,
        /// It failed.
        Failed,
        /// It never started, because a stage that it needs did not succeed.
        Skipped,
        /// A person stopped it.
        Cancelled,
        /// It took longer than its timeout.
        TimedOut,
    }
}

/// One stage of a run.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct StageStatus {
    /// Name of the stage.
    #[schemars(transform = schema::name)]
    pub name: String,
    /// What the stage does.
    #[serde(rename = "type")]
    pub type_: StageType,
    /// `Pending`, `Running`, or how it ended: `Succeeded`, `Failed`, `Skipped`, `Cancelled`, `TimedOut`.
    pub phase: StagePhase,
    /// Name of its Job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::text::<253>)]
    pub job: Option<String>,
    /// Number of the attempt, from 1: a stage is started again only when its node or pod was lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub attempt: Option<u32>,
    /// When its Job was made; absent while the Job is being made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
    /// What happened, in one sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::text::<1024>)]
    pub message: Option<String>,
    /// Exit code of the script.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// Tests of its reports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tests: Option<TestCounts>,
    /// The first of the tests that failed; at most 10.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::list::<10>)]
    pub failed_tests: Vec<FailedTest>,
}

/// A test that failed.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct FailedTest {
    /// Class and name, as in the report; at most 256 characters, cut off.
    #[schemars(transform = schema::text::<256>)]
    pub name: String,
    /// What it says about the failure; at most 512 characters, cut off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::text::<512>)]
    pub message: Option<String>,
}

/// Tests, counted.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct TestCounts {
    /// All tests in the reports.
    pub total: u32,
    /// Those that passed.
    pub passed: u32,
    /// Those that failed or ended with an error.
    pub failed: u32,
    /// Those that were skipped.
    pub skipped: u32,
}

closed_set! {
    /// What a gate found.
    pub enum GateResult {
        /// What it asks for holds.
        Passed,
        /// It does not hold, and the run fails.
        Failed,
        /// It does not hold, and the gate only warns.
        Warned,
        /// Nothing to judge; in mode Enforce the run fails.
        NoData,
    }
}

/// What one gate found.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct GateVerdict {
    /// Name of the gate.
    #[schemars(transform = schema::name)]
    pub name: String,
    /// `Passed`, `Failed`, `Warned` or `NoData`.
    pub result: GateResult,
    /// What was found. Example: `2 of 120 tests failed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::text::<256>)]
    pub measured: Option<String>,
    /// What was asked for. Example: `at most 0 failures, at least 1 test`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::text::<256>)]
    pub threshold: Option<String>,
    /// What it means and what to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::text::<1024>)]
    pub message: Option<String>,
}

closed_set! {
    /// What a run makes.
    pub enum ArtifactKind {
        /// A container image.
        Image,
    }
}

/// One thing that a run made.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Artifact {
    /// Name of the artifact: that of the stage that built it.
    #[schemars(transform = schema::name)]
    pub name: String,
    /// What it is: `Image`.
    pub kind: ArtifactKind,
    /// Where it is, without digest. Example: `registry.example/shop/api`.
    #[serde(rename = "ref")]
    #[schemars(transform = schema::text::<512>)]
    pub reference: String,
    /// Its digest. Example: `sha256:9b2c…`.
    #[schemars(transform = schema::digest)]
    pub digest: String,
}

closed_set! {
    /// Whose fault a failure is, as far as it can be told.
    pub enum FailureKind {
        /// A script ended with an exit code other than 0.
        Test,
        /// The image could not be built.
        Build,
        /// An enforced gate did not pass.
        Gate,
        /// The cluster, not the code: no node, no image, an API error.
        Infra,
        /// A stage took longer than allowed.
        Timeout,
        /// A stage used more memory than its limit.
        OutOfMemory,
        /// The pod was evicted.
        Evicted,
        /// The repository or the commit could not be fetched.
        Clone,
        /// The registry refused the image.
        Registry,
        /// The Pipeline asks for something that cannot work.
        Config,
    }
}

/// Why a run failed, and what to do.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// Stage that failed; absent when it was no stage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::name)]
    pub stage: Option<String>,
    /// `Test`, `Build`, `Gate`, `Infra`, `Timeout`, `OutOfMemory`, `Evicted`, `Clone`, `Registry` or `Config`.
    pub kind: FailureKind,
    /// What to do next, in one sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::text::<1024>)]
    pub hint: Option<String>,
    /// The last lines of the log, at most 2048 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::text::<2048>)]
    pub log_tail: Option<String>,
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
