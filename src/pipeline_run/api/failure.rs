//! Why a run failed. No I/O.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema::{self, closed_set};

closed_set! {
    /// Whose fault a failure is, as far as it can be told.
    pub enum FailureKind {
        /// Tests failed: a script ended with an exit code other than 0, as with the next six.
        Test,
        /// A linter or formatter found something.
        Lint,
        /// A scan found something.
        Scan,
        /// A benchmark did not come to its end.
        Benchmark,
        /// A smoke test failed.
        Smoke,
        /// A migration failed.
        Migrate,
        /// Another script failed.
        Script,
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
        /// A service beside the stage did not become ready.
        Service,
        /// The registry refused the image.
        Registry,
        /// What was made could not be handed out, or the version not be left in the repository.
        Publish,
        /// The preview of the pull request does not answer.
        Preview,
        /// The node does not allow what keeps a build apart from it.
        Isolation,
        /// The node cannot run programs of the platform that is built.
        Platform,
        /// The Pipeline asks for something that cannot work.
        Config,
        /// What the repository defines in `.slipway/pipeline.yaml` cannot be, or may not.
        Definition,
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
    /// Cell of its matrix that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::text::<63>)]
    pub cell: Option<String>,
    /// `Test`, `Lint`, `Scan`, `Benchmark`, `Smoke`, `Migrate`, `Script`, `Build`, `Gate`, `Infra`, `Timeout`, `OutOfMemory`, `Evicted`, `Clone`, `Service`, `Registry`, `Publish`, `Preview`, `Isolation`, `Platform`, `Config` or `Definition`.
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
