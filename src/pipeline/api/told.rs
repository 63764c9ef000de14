//! What runs tell the provider of the repository, and people. No I/O.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::notification::api::Severity;
use crate::schema::closed_set;

closed_set! {
    /// Of what a commit gets statuses.
    #[derive(Default)]
    pub enum StatusesOf {
        /// None.
        Off,
        /// One, of the run.
        Run,
        /// One of the run and one of each stage.
        #[default]
        Stages,
    }
}

/// What a run tells the provider of the repository.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ReportRule {
    /// Statuses of the commit, which a provider can require before a merge: `Stages`, `slipway/<pipeline>` for the run and
    /// `slipway/<pipeline>/<stage>` for each stage; `Run`, the first of them alone; `Off`, none. Default `Stages`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit_status: Option<StatusesOf>,
}

closed_set! {
    /// What people are told about runs.
    pub enum RunEvent {
        /// A run failed, or took too long.
        RunFailed,
        /// The first run that succeeded on a branch after one that did not.
        RunRecovered,
        /// A run succeeded.
        RunSucceeded,
        /// A run made a Release.
        ReleaseMade,
        /// A run waits until somebody approves it.
        ApprovalNeeded,
    }
}

impl RunEvent {
    /// How much it matters. Who hears that something is wrong hears that it is over.
    pub const fn severity(self) -> Severity {
        match self {
            Self::RunFailed | Self::RunRecovered => Severity::Warning,
            Self::RunSucceeded | Self::ReleaseMade | Self::ApprovalNeeded => Severity::Info,
        }
    }
}
