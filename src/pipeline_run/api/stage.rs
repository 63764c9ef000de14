//! How the stages of a run go. No I/O.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::report::{ReportSummary, is_zero};
use crate::pipeline::api::StageType;
use crate::schema::{self, closed_set};

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
        /// It never started; `skippedBecause` says why.
        Skipped,
        /// It was stopped, by a person or because another cell failed.
        Cancelled,
        /// It, or the whole run, took longer than allowed.
        TimedOut,
    }
}

impl StagePhase {
    /// Whether nothing will change any more.
    pub const fn is_over(self) -> bool {
        !matches!(self, Self::Pending | Self::Running)
    }
}

closed_set! {
    /// Why a stage never started.
    pub enum SkipReason {
        /// Its condition does not hold: stages that need it run all the same.
        When,
        /// A stage that it needs did not succeed.
        Needs,
        /// It waits for the gates, and a stage or a gate failed.
        Gates,
        /// The run was stopped before.
        Stopped,
        /// It is about images or packages, and the run has made none: stages that need it run all the same.
        Nothing,
        /// Nothing has changed that it is about: stages that need it run all the same.
        Unchanged,
        /// The run was to do other stages only.
        NotSelected,
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
    /// Number of the attempt, from 1. With a matrix, cells have attempts of their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub attempt: Option<u32>,
    /// Attempts that were lost without a verdict and replaced.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub infra_retries: u32,
    /// Attempts that failed by themselves and were replaced.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub app_retries: u32,
    /// When the attempt starts, while it has to wait for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<Time>,
    /// When the Job of its attempt was made; absent while the Job is being made, and for a moment after that.
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
    /// Tests that failed and then passed at the same commit; at most 10.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::texts::<10, 256>)]
    pub flaky_tests: Vec<String>,
    /// What its other reports say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reports: Option<ReportSummary>,
    /// Why it never started: `When`, `Needs`, `Gates`, `Stopped` or `Nothing` (there was nothing to do); `Unchanged`, when nothing has
    /// changed that it is about; or `NotSelected`, when the run was to do other stages only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skipped_because: Option<SkipReason>,
    /// Name of the run in which it succeeded, where this one tries that again and has taken it over: nothing of it was run here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::text::<253>)]
    pub taken_from: Option<String>,
    /// The cells of its matrix; at most 256 in a run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::list::<256>)]
    pub cells: Vec<CellStatus>,
}

impl StageStatus {
    /// A stage of which nothing else is known.
    pub fn new(name: &str, type_: StageType, phase: StagePhase) -> Self {
        Self {
            name: name.to_owned(),
            type_,
            phase,
            job: None,
            attempt: None,
            infra_retries: 0,
            app_retries: 0,
            retry_at: None,
            started_at: None,
            finished_at: None,
            message: None,
            exit_code: None,
            tests: None,
            failed_tests: Vec::new(),
            flaky_tests: Vec::new(),
            reports: None,
            skipped_because: None,
            taken_from: None,
            cells: Vec::new(),
        }
    }
}

/// One cell of a stage's matrix.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct CellStatus {
    /// Name of the cell, made of its values; unique in the stage. Example: `3.11-postgres`.
    #[schemars(transform = schema::text::<63>)]
    pub name: String,
    /// `Pending`, `Running`, or how it ended: `Succeeded`, `Failed`, `Skipped`, `Cancelled`, `TimedOut`.
    pub phase: StagePhase,
    /// Number of the attempt, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub attempt: Option<u32>,
    /// Attempts that were lost without a verdict and replaced.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub infra_retries: u32,
    /// Attempts that failed by themselves and were replaced.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub app_retries: u32,
    /// When the attempt starts, while it has to wait for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<Time>,
    /// When the Job of its attempt was made; absent while the Job is being made, and for a moment after that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
    /// What happened, if it did not succeed; shortened where there are many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::text::<1024>)]
    pub message: Option<String>,
    /// Exit code of the script, if it is not 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// Tests of its reports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tests: Option<TestCounts>,
    /// Digest of the image that it built.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::digest)]
    pub digest: Option<String>,
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

/// A test that failed in an attempt that was replaced: if it does not fail in the next one, it is flaky.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Suspect {
    /// The stage, and the cell of its matrix. Example: `unit/3.11`.
    #[schemars(transform = schema::text::<128>)]
    pub part: String,
    /// The test.
    #[schemars(transform = schema::text::<256>)]
    pub test: String,
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
    /// Those among the passed that had failed before, at the same commit.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub flaky: u32,
    /// Those among the failed that are in quarantine, and so are not held against the commit.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub quarantined: u32,
}
