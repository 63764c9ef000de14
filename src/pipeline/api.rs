//! What a Pipeline looks like in YAML: the spec. Its status is in `api/status.rs`. No I/O.
//!
//! Lists carry no schema defaults (GitOps tools would show them as drift): what a stage or gate leaves
//! out is filled in by the methods at the end.

use std::collections::BTreeMap;
use std::time;

use kube::CustomResource;
use kube::core::Duration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::schema::{self, closed_set};

mod status;

pub use status::*;

/// How a repository is tested, built, checked and released.
#[derive(CustomResource, JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "slipway.dev",
    version = "v1alpha1",
    kind = "Pipeline",
    plural = "pipelines",
    shortname = "spl",
    category = "slipway",
    namespaced,
    status = "PipelineStatus",
    derive = "PartialEq",
    doc = "How a repository is tested, built, checked and released. Every new commit of its branch becomes a PipelineRun, and a run that passes its gates becomes a Release.",
    validation = schema::short_name(),
    printcolumn(name = "Ready", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].status"#),
    printcolumn(name = "Last Run", type_ = "string", json_path = ".status.lastRun.name"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.lastRun.phase"),
    printcolumn(name = "Release", type_ = "string", json_path = ".status.latestRelease"),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.message"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Branch", type_ = "string", json_path = ".spec.source.git.branch", priority = 1),
    printcolumn(name = "URL", type_ = "string", json_path = ".spec.source.git.url", priority = 1),
    printcolumn(name = "Suspended", type_ = "boolean", json_path = ".spec.suspend", priority = 1)
)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::Rules(&[
    ("self.stages.all(s, !has(s.needs) || s.needs.all(n, n != s.name && self.stages.exists(t, t.name == n)))",
     "stages[].needs must name other stages of this Pipeline"),
    ("self.stages.all(s, s.type != 'Test' || has(s.image) || (has(self.defaults) && has(self.defaults.image)))",
     "a Test stage needs an image: set stages[].image, or defaults.image for all of them"),
]))]
pub struct PipelineSpec {
    /// Stops new runs; runs that have started go on. Default `false`.
    #[serde(default)]
    pub suspend: bool,
    /// Where the code comes from.
    pub source: Source,
    /// How new commits are found when nothing announces them.
    #[serde(default)]
    pub polling: Polling,
    /// What every stage has unless it says otherwise.
    #[serde(default)]
    pub defaults: StageDefaults,
    /// What a run does; 1 to 32 stages, told apart by name. A stage starts when all that it `needs` have
    /// succeeded; stages that need nothing start at once.
    #[schemars(length(min = 1), transform = schema::by_name::<32>)]
    pub stages: Vec<Stage>,
    /// What must hold before a commit may become a Release; at most 32, told apart by name.
    /// Default: that every stage succeeded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::by_name::<32>)]
    pub gates: Vec<Gate>,
    /// Whether and when a run that passed makes a Release.
    #[serde(default)]
    pub release: ReleaseRule,
    /// Service account of the stage pods, in the same namespace. Its token is not mounted.
    /// Default: `default`. Example: `ci`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::record_name)]
    pub service_account_name: Option<String>,
    /// How many finished runs are kept.
    #[serde(default)]
    pub retention: Retention,
}

/// Where the code comes from.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Source {
    /// A git repository.
    pub git: GitSource,
}

/// A git repository and the branch that is built.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::Rules(&[
    ("self.url.startsWith('https://') || self.insecure",
     "url must start with https://, or set insecure: true to fetch over http without encryption"),
]))]
pub struct GitSource {
    /// URL of the repository, without user or password. Example: `https://git.example/shop/api.git`.
    #[schemars(transform = schema::http_url)]
    pub url: String,
    /// Allows `http://`: nothing proves then that the code is what its authors pushed. Default `false`.
    #[serde(default)]
    pub insecure: bool,
    /// Branch that is built. Default `main`. Example: `release/1.4`.
    #[serde(default = "main_branch")]
    #[schemars(transform = schema::branch)]
    pub branch: String,
    /// Certificates that the server is checked against, for a company's own authority.
    /// Default: those of the images in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_bundle: Option<CaBundle>,
}

/// Certificates in a ConfigMap of the same namespace.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct CaBundle {
    /// Name of the ConfigMap. Example: `company-ca`.
    #[schemars(transform = schema::record_name)]
    pub config_map_name: String,
    /// Key whose value is the PEM bundle. Default `ca.crt`.
    #[serde(default = "ca_key")]
    #[schemars(transform = schema::some_text::<253>)]
    pub key: String,
}

/// How new commits are found.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Polling {
    /// How often the repository is asked for the head of the branch. A duration; default `2m`.
    /// Example: `30s`.
    #[serde(default = "polling_interval")]
    #[schemars(transform = schema::duration)]
    pub interval: Duration,
}

/// What every stage has unless it says otherwise.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct StageDefaults {
    /// Image in which `run` runs. Default: each stage names its own. Example: `registry.example/ci/python:3.12`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::image)]
    pub image: Option<String>,
    /// Environment variables of every stage; one that a stage sets itself wins. At most 64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::by_name::<64>)]
    pub env: Vec<EnvVar>,
    /// Requests and limits, as in a pod's container. Default: none.
    /// Example: `{requests: {cpu: 500m, memory: 512Mi}, limits: {memory: 2Gi}}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::raw_object)]
    pub resources: Option<Value>,
}

/// One environment variable.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct EnvVar {
    /// Name of the variable. Example: `PYTHONUNBUFFERED`.
    #[schemars(transform = schema::variable_name)]
    pub name: String,
    /// Its value, taken as it stands. Default: empty. Example: `"1"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::text::<4096>)]
    pub value: Option<String>,
}

closed_set! {
    /// What a stage does.
    pub enum StageType {
        /// Runs a script whose exit code and reports are the result.
        Test,
        /// Builds an image and pushes it by digest.
        Build,
    }
}

/// One stage of a run: a Job.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::Rules(&[
    ("self.type != 'Test' || (has(self.run) && !has(self.build))",
     "a Test stage needs run and takes no build"),
    ("self.type != 'Build' || (has(self.build) && !has(self.run))",
     "a Build stage needs build and takes no run: what is built stands in the Dockerfile"),
    ("self.type != 'Build' || !has(self.image)",
     "a Build stage takes no image: the operator sets the builder's; build.image is where the result is pushed"),
    ("self.type != 'Build' || !has(self.reports)",
     "a Build stage makes no reports: move them to a Test stage"),
]))]
pub struct Stage {
    /// Name of the stage; logs, gates and messages use it. Example: `unit`.
    #[schemars(transform = schema::name)]
    pub name: String,
    /// What the stage does: `Test` runs a script, `Build` builds an image.
    #[serde(rename = "type")]
    pub type_: StageType,
    /// Stages that must have succeeded before this one starts; at most 16. Default: none.
    /// Example: `[unit]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::names::<16>)]
    pub needs: Vec<String>,
    /// Image in which `run` runs. Default: `defaults.image`. Only for `Test`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::image)]
    pub image: Option<String>,
    /// Shell script, run by `/bin/sh -e` in the root of the repository; any exit code but 0 fails the
    /// stage. At most 16384 characters. Only for `Test`. Example: `pytest --junitxml=junit.xml`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::some_text::<16384>)]
    pub run: Option<String>,
    /// Environment variables of the stage, beside `defaults.env`. At most 64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::by_name::<64>)]
    pub env: Vec<EnvVar>,
    /// How long the stage may take before it is stopped and fails. A duration; default `30m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::duration)]
    pub timeout: Option<Duration>,
    /// Requests and limits, as in a pod's container. Default: `defaults.resources`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::raw_object)]
    pub resources: Option<Value>,
    /// Files that the script leaves and the gates judge. Default: only the exit code counts.
    /// Only for `Test`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reports: Option<Reports>,
    /// What is built and where it goes. Only for `Build`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build: Option<Build>,
}

/// Files that a script leaves.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Reports {
    /// JUnit XML files; globs from the root of the repository, at most 16. Example: `["**/junit*.xml"]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::paths::<16>)]
    pub junit: Vec<String>,
}

/// An image build.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Build {
    /// Dockerfile, from the root of the repository. Default `Dockerfile`. Example: `services/api/Dockerfile`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::path)]
    pub dockerfile: Option<String>,
    /// Folder that the build may read, from the root of the repository. Default `.`. Example: `services/api`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::path)]
    pub context_dir: Option<String>,
    /// Build arguments by name, at most 64. They end in the image's history: no secrets here.
    /// Example: `{PYTHON_VERSION: "3.12"}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(transform = schema::text_map::<64>)]
    pub args: BTreeMap<String, String>,
    /// Repository to which the image is pushed, without tag or digest. The Release names the digest.
    /// Example: `registry.example/shop/api`.
    #[schemars(transform = schema::repository)]
    pub image: String,
    /// Pushes over http, for a registry inside the cluster. Default `false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub insecure_registry: Option<bool>,
}

closed_set! {
    /// What a failed gate does.
    #[derive(Default)]
    pub enum GateMode {
        /// The run fails.
        #[default]
        Enforce,
        /// The run goes on and shows the warning.
        Warn,
    }
}

/// One thing that must hold before a commit may become a Release.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::Rules(&[
    ("has(self.tests)",
     "a gate needs a check: set tests"),
]))]
pub struct Gate {
    /// Name of the gate. Example: `tests`.
    #[schemars(transform = schema::name)]
    pub name: String,
    /// What a failure does: `Enforce` fails the run, `Warn` only shows it. No data is a failure.
    /// Default `Enforce`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<GateMode>,
    /// Judges the test reports of all stages of the run together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tests: Option<TestsGate>,
}

/// Limits for the test reports of a run.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct TestsGate {
    /// Number of failed tests that are accepted. Default `0`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 1_000_000))]
    pub max_failures: Option<u32>,
    /// Number of tests that must have run, so that an empty report does not pass. Default `1`. Example: `100`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 1_000_000))]
    pub min_tests: Option<u32>,
}

/// Whether and when a run that passed makes a Release.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ReleaseRule {
    /// Makes Releases. Default `true`; `false` only tests and builds.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// What the run must have been for. Default: the branch of the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<ReleaseWhen>,
}

/// Runs that make a Release.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ReleaseWhen {
    /// Branch whose runs make a Release. Default: the branch of the source. Example: `main`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::branch)]
    pub branch: Option<String>,
}

/// How many finished runs are kept. Releases are not affected.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Retention {
    /// Number of succeeded runs that are kept, 1 to 500. Default `10`.
    #[serde(default = "kept_succeeded")]
    #[schemars(range(min = 1, max = 500))]
    pub succeeded: u32,
    /// Number of other finished runs that are kept, 1 to 500. Default `20`.
    #[serde(default = "kept_failed")]
    #[schemars(range(min = 1, max = 500))]
    pub failed: u32,
}

fn yes() -> bool {
    true
}

fn main_branch() -> String {
    "main".to_owned()
}

fn ca_key() -> String {
    "ca.crt".to_owned()
}

fn polling_interval() -> Duration {
    time::Duration::from_mins(2).into()
}

fn kept_succeeded() -> u32 {
    10
}

fn kept_failed() -> u32 {
    20
}

impl Default for Polling {
    fn default() -> Self {
        Self {
            interval: polling_interval(),
        }
    }
}

impl Default for ReleaseRule {
    fn default() -> Self {
        Self {
            enabled: yes(),
            when: None,
        }
    }
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            succeeded: kept_succeeded(),
            failed: kept_failed(),
        }
    }
}

impl PipelineSpec {
    /// Branch whose runs make a Release.
    pub fn release_branch(&self) -> &str {
        let when = self.release.when.as_ref();
        when.and_then(|when| when.branch.as_deref())
            .unwrap_or(&self.source.git.branch)
    }
}

impl Stage {
    /// How long the stage may take.
    pub fn timeout(&self) -> time::Duration {
        self.timeout
            .map_or(time::Duration::from_mins(30), Into::into)
    }
}

impl Build {
    /// The Dockerfile, from the root of the repository.
    pub fn dockerfile(&self) -> &str {
        self.dockerfile.as_deref().unwrap_or("Dockerfile")
    }

    /// The folder that the build may read, from the root of the repository.
    pub fn context_dir(&self) -> &str {
        self.context_dir.as_deref().unwrap_or(".")
    }

    /// Whether the image is pushed over http.
    pub fn insecure_registry(&self) -> bool {
        self.insecure_registry.unwrap_or(false)
    }
}

impl Gate {
    /// What a failure of the gate does.
    pub fn mode(&self) -> GateMode {
        self.mode.unwrap_or_default()
    }
}

impl TestsGate {
    /// Failed tests that are accepted.
    pub fn max_failures(&self) -> u32 {
        self.max_failures.unwrap_or(0)
    }

    /// Tests that must have run.
    pub fn min_tests(&self) -> u32 {
        self.min_tests.unwrap_or(1)
    }
}
