//! What a Pipeline looks like in YAML: the spec, in rooms of `api/`. Its status is in `api/status.rs`. No I/O.
//!
//! Lists carry no schema defaults (GitOps tools would show them as drift): what a stage or gate leaves
//! out is filled in by methods.

mod build;
mod cache;
mod definition;
mod gate;
mod matrix;
mod package;
mod param;
mod pod;
mod quarantine;
mod release;
mod report;
mod retention;
mod source;
mod stage;
mod status;
mod supply;
mod tag;
mod told;
mod trigger;

use std::time;

use kube::CustomResource;
use kube::core::Duration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::notification::api::Notification;
use crate::schema;

pub use build::*;
pub use cache::*;
pub use definition::*;
pub use gate::*;
pub use matrix::*;
pub use package::*;
pub use param::*;
pub use pod::*;
pub use quarantine::*;
pub use release::*;
pub use report::*;
pub use retention::*;
pub use source::*;
pub use stage::*;
pub use status::*;
pub use supply::*;
pub use tag::*;
pub use told::*;
pub use trigger::*;

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
    ("self.stages.size() > 0 || has(self.definition)",
     "a Pipeline needs stages: name at least one, or set definition, and the repository has them in .slipway/pipeline.yaml"),
    ("self.stages.all(s, !(s.type in ['SBOM', 'Sign'])) || self.stages.exists(s, s.type == 'Build' || has(s.packages))",
     "SBOM and Sign stages are about what was made, and no stage of this Pipeline makes anything: add a Build stage, or packages"),
    ("self.stages.all(s, !has(s.needs) || s.needs.all(n, n != s.name && self.stages.exists(t, t.name == n)))",
     "stages[].needs must name other stages of this Pipeline"),
    ("self.stages.all(s, !has(s.run) || has(s.image) || has(s.imageFrom) || (has(s.matrix) && has(s.matrix.image)) || (has(self.defaults) && has(self.defaults.image)))",
     "a stage with run needs an image: set stages[].image, imageFrom or matrix.image, or defaults.image for all of them"),
    ("self.stages.all(s, !has(s.needs) || s.needs.all(n, self.stages.all(t, t.name != n || (has(t.always) && t.always) == (has(s.always) && s.always))))",
     "a stage with always: true runs after all others: it may only need other such stages, and no other stage may need it"),
    ("self.stages.all(s, !has(s.caches) || s.caches.all(n, has(self.caches) && self.caches.exists(c, c.name == n)))",
     "stages[].caches must name caches of this Pipeline"),
    ("!has(self.caches) || self.caches.size() == 0 || has(self.cacheStorage)",
     "caches need a place: set cacheStorage"),
    ("!has(self.gates) || self.gates.all(g, !has(g.from) || g.from.all(n, self.stages.exists(s, s.name == n)))",
     "gates[].from must name stages of this Pipeline"),
    ("has(self.webhook) || !has(self.triggers) || self.triggers.all(t, !has(t.release))",
     "a trigger for published releases takes a webhook: set webhook, and tell the git provider of it"),
    ("!has(self.report) || !has(self.report.commitStatus) || self.report.commitStatus == 'Off' || has(self.source.git.provider)",
     "report.commitStatus needs to know whom to tell: set source.git.provider"),
    ("!has(self.report) || !has(self.report.comment) || self.report.comment == 'Never' || has(self.source.git.provider)",
     "report.comment needs to know whom to tell: set source.git.provider"),
    ("!has(self.report) || !has(self.report.codeScanning) || !self.report.codeScanning || (has(self.source.git.provider) && self.source.git.provider.type == 'GitHub')",
     "report.codeScanning is for GitHub, which alone takes findings: set source.git.provider with type GitHub, or take it out"),
    ("has(self.source.git.provider) || self.stages.all(s, !has(s.release) || !has(s.release.providerRelease) || !s.release.providerRelease)",
     "stages[].release.providerRelease needs to know where: set source.git.provider"),
    ("!has(self.waivers) || self.waivers.all(w, has(self.gates) && self.gates.exists(g, g.name == w.gate))",
     "waivers[].gate must name a gate of this Pipeline"),
]))]
pub struct PipelineSpec {
    /// Stops new runs; runs that have started go on. Default `false`.
    #[serde(default)]
    pub suspend: bool,
    /// Where the code comes from.
    pub source: Source,
    /// How new commits are found when nothing announces them, or what announced them was lost.
    #[serde(default)]
    pub polling: Polling,
    /// What starts runs; at most 16, told apart by name. The first one that fits counts. Default: pushes to
    /// `source.git.branch`. Example: `[{name: main, push: {}}, {name: pr, pullRequest: {branches: [main]}}]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::by_name::<16>)]
    pub triggers: Vec<TriggerRule>,
    /// Takes what a git provider tells. Default: nothing is taken, and repositories are asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<Webhook>,
    /// Words in the message of a commit that keep a push of it from starting a run, be it a branch or a tag; at most 8.
    /// Default: `["[skip ci]", "[ci skip]"]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::texts::<8, 64>)]
    pub skip_commands: Option<Vec<String>>,
    /// How many runs are under way at the same time. Default: as many as there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<Concurrency>,
    /// What every stage has unless it says otherwise.
    #[serde(default)]
    pub defaults: StageDefaults,
    /// How long a run may take before the stages that are left are stopped and it fails; stages with
    /// `always` run all the same. A duration; default `6h`. Example: `1h`.
    #[serde(default = "run_timeout")]
    #[schemars(transform = schema::duration)]
    pub timeout: Duration,
    /// What a run does; 1 to 32 stages, told apart by name, or none where `definition` is set. A stage starts when all that it
    /// `needs` have succeeded; stages that need nothing start at once.
    #[schemars(transform = schema::by_name::<32>)]
    pub stages: Vec<Stage>,
    /// What the repository may add to this with a file of its own, `.slipway/pipeline.yaml`; `{}` takes scripts and gates. Default:
    /// nothing, and the file is not read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub definition: Option<DefinitionRule>,
    /// Values that who starts a run by hand may choose; at most 32, told apart by name. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::by_name::<32>)]
    pub params: Vec<Param>,
    /// Folders that stages keep for later runs; at most 16, told apart by name. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::by_name::<16>)]
    pub caches: Vec<Cache>,
    /// Where caches are. Default: none, and no caches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_storage: Option<CacheStorage>,
    /// What must hold before a commit may become a Release; at most 32, told apart by name.
    /// Default: that every stage succeeded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::by_name::<32>)]
    pub gates: Vec<Gate>,
    /// What gates leave out, until a day; at most 64. Default: nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::list::<64>)]
    pub waivers: Vec<Waiver>,
    /// When flaky tests go into quarantine. Default: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quarantine: Option<QuarantineRule>,
    /// Whether and when a run that passed makes a Release.
    #[serde(default)]
    pub release: ReleaseRule,
    /// What a run tells the provider of the repository. Default: with `source.git.provider` the statuses of its commit, for
    /// the run and for each stage, and a comment on its pull request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<ReportRule>,
    /// Who is told what of its runs, at most 8, told apart by name. Default: nobody.
    /// Example: `[{name: team, slack: {secretRef: {name: chat, key: url}}, on: [RunFailed, RunRecovered]}]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::by_name::<8>)]
    pub notifications: Vec<Notification<RunEvent>>,
    /// Service account of the stage pods, in the same namespace. Its token is not mounted.
    /// Default: `default`. Example: `ci`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::record_name)]
    pub service_account_name: Option<String>,
    /// How many finished runs are kept.
    #[serde(default)]
    pub retention: Retention,
}

/// How many finished runs are kept, with their logs. Releases are not affected, and neither are the run of the branch's head and
/// those that made a Release which an Environment of the namespace has, wants, waits for, stays at or would go back to.
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
    /// How long finished runs are kept at most, be they few or many. A duration; default: as long as the numbers allow.
    /// Example: `720h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::duration)]
    pub max_age: Option<Duration>,
    /// What goes from registries with a run. Default: images that were never released and have no tag.
    /// Example: `{untagged: Keep}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registry: Option<RegistryRetention>,
}

fn run_timeout() -> Duration {
    time::Duration::from_hours(6).into()
}

fn kept_succeeded() -> u32 {
    10
}

fn kept_failed() -> u32 {
    20
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            succeeded: kept_succeeded(),
            failed: kept_failed(),
            max_age: None,
            registry: None,
        }
    }
}

impl PipelineSpec {
    /// What starts runs.
    pub fn triggers(&self) -> Vec<TriggerRule> {
        if self.triggers.is_empty() {
            return vec![TriggerRule::usual()];
        }
        self.triggers.clone()
    }

    /// Whether a commit says that it is not to be run.
    pub fn is_skipped(&self, message: &str) -> bool {
        match &self.skip_commands {
            Some(commands) => commands.iter().any(|command| message.contains(command)),
            None => ["[skip ci]", "[ci skip]"]
                .iter()
                .any(|command| message.contains(command)),
        }
    }

    /// Whether the message of a commit matters.
    pub fn looks_at_messages(&self) -> bool {
        let commands = self.skip_commands.as_ref();
        commands.is_none_or(|commands| !commands.is_empty())
    }

    /// Branch whose runs make a Release.
    pub fn release_branch(&self) -> &str {
        let when = self.release.when.as_ref();
        when.and_then(|when| when.branch.as_deref())
            .unwrap_or(&self.source.git.branch)
    }

    /// How often attempts of a stage are replaced. What is done at most once is never tried again.
    pub fn retry(&self, stage: &Stage) -> RetryLimits {
        if stage.type_.is_at_most_once() {
            return RetryLimits::default();
        }
        let own = stage.retry.unwrap_or_default();
        let general = self.defaults.retry.unwrap_or_default();
        RetryLimits {
            infra: own.infra.or(general.infra).unwrap_or(3),
            app: own.app.or(general.app).unwrap_or(0),
        }
    }

    /// The stage that makes an image or a package of this name.
    pub fn maker(&self, artifact: &str) -> Option<&Stage> {
        self.stages.iter().find(|stage| {
            let mut packages = stage.packages.iter();
            (stage.build.is_some() && stage.name == artifact)
                || packages.any(|package| package.name == artifact)
        })
    }

    /// The image that people name for the script of a stage; of the cell with these values, where it has a matrix.
    pub fn image<'a>(&'a self, stage: &'a Stage, values: Option<&AxisValues>) -> Option<&'a str> {
        let matrix = stage.matrix.as_ref().zip(values);
        matrix
            .and_then(|(matrix, values)| matrix.image(values))
            .or(stage.image.as_deref())
            .or(self.defaults.image.as_deref())
    }
}
