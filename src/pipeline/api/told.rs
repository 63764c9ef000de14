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

closed_set! {
    /// Which runs of a pull request leave a comment on it.
    #[derive(Default)]
    pub enum CommentOn {
        /// All of them.
        #[default]
        Always,
        /// Those that failed; one that did not brings a comment up to date that is there.
        OnFailure,
        /// None.
        Never,
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
    /// The comment on a pull request, one for each Pipeline, which its newest run keeps up to date: `Always`; `OnFailure`, made
    /// once a run has failed; `Never`. Default `Always`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<CommentOn>,
    /// Brings what linters and scanners have found to the code scanning of GitHub when a run is over, which no other provider
    /// has. Default `false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code_scanning: Option<bool>,
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

    /// What CloudEvents call it. An interface: none is renamed.
    pub const fn cloud_type(self) -> &'static str {
        match self {
            Self::RunFailed => "dev.slipway.run.failed",
            Self::RunRecovered => "dev.slipway.run.recovered",
            Self::RunSucceeded => "dev.slipway.run.succeeded",
            Self::ReleaseMade => "dev.slipway.release.made",
            Self::ApprovalNeeded => "dev.slipway.run.approvalneeded",
        }
    }
}
