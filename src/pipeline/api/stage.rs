//! Stages: what a run does. No I/O.

use std::time;

use kube::core::Duration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    Build, EnvVar, Matrix, Package, PodSettings, Publication, Reports, Sbom, Service, Sign, Tag,
};
use crate::schema::{self, closed_set};

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
    /// How often attempts are replaced by new ones. Default: `{infra: 3, app: 0}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// Where and as whom the pods of stages run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<PodSettings>,
}

/// How often attempts are replaced by new ones. Each attempt is a Job of its own, and is counted.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Retry {
    /// Attempts that may be lost without a verdict: evicted pods, lost nodes, repositories and registries that do not
    /// answer, scripts that end with exit code 75. 0 to 10; default `3`. The next one starts after 5 s, then 10 s, 20 s and so on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 10))]
    pub infra: Option<u32>,
    /// Attempts that may fail by themselves: a script that ends with another exit code, takes too long, or uses
    /// more memory than its limit. 0 to 5; default `0`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 5))]
    pub app: Option<u32>,
}

/// How often attempts of one stage are replaced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RetryLimits {
    /// Attempts that may be lost without a verdict.
    pub infra: u32,
    /// Attempts that may fail by themselves.
    pub app: u32,
}

closed_set! {
    /// What a stage does.
    pub enum StageType {
        /// Runs tests.
        Test,
        /// Checks what the code looks like: formatters, linters.
        Lint,
        /// Looks for what is dangerous: in the code, in what it depends on, in secrets that should not be there.
        Scan,
        /// Measures how fast or how large something is.
        Benchmark,
        /// Tries out what was built, in short.
        Smoke,
        /// Changes a database, or proves that it could be changed. At most once.
        Migrate,
        /// Anything else that a script does.
        Custom,
        /// Builds an image and pushes it by digest.
        Build,
        /// Gives images their tags, once everything has passed.
        Tag,
        /// Lists what is in images.
        SBOM,
        /// Signs images, and what is known about them. At most once.
        Sign,
        /// Hands out what was made by a script, once everything has passed. At most once.
        Publish,
        /// Gives the commit its version in the repository, once everything has passed. At most once.
        Release,
        /// Waits until the preview of its pull request answers. It has no pod.
        Preview,
    }
}

impl StageType {
    /// Whether it runs a script of people's.
    pub const fn is_script(self) -> bool {
        match self {
            Self::Test
            | Self::Lint
            | Self::Scan
            | Self::Benchmark
            | Self::Smoke
            | Self::Migrate
            | Self::Publish
            | Self::Custom => true,
            Self::Build | Self::SBOM | Self::Sign | Self::Tag | Self::Release | Self::Preview => {
                false
            }
        }
    }

    /// Whether it runs only once every other stage has succeeded and no gate stands against it.
    pub const fn is_after_gates(self) -> bool {
        matches!(self, Self::Sign | Self::Tag) || self.is_last()
    }

    /// Whether it waits for all other stages that run after the gates: what it does cannot be taken back.
    pub const fn is_last(self) -> bool {
        matches!(self, Self::Publish | Self::Release)
    }

    /// Whether its pod has the repository.
    pub const fn has_source(self) -> bool {
        !matches!(
            self,
            Self::SBOM | Self::Sign | Self::Tag | Self::Release | Self::Preview
        )
    }

    /// Whether what it does must never be done twice: no attempt is replaced, whatever became of it.
    pub const fn is_at_most_once(self) -> bool {
        matches!(self, Self::Migrate | Self::Sign) || self.is_last()
    }
}

/// One stage of a run: a Job, or one for each cell of its matrix.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::Rules(&[
    ("!(self.type in ['Test', 'Lint', 'Scan', 'Benchmark', 'Smoke', 'Migrate', 'Custom', 'Publish']) || (has(self.run) && !has(self.build))",
     "a stage of this type needs run and takes no build: only a Build stage builds"),
    ("self.type != 'Build' || (has(self.build) && !has(self.run))",
     "a Build stage needs build and takes no run: what is built stands in the Dockerfile"),
    ("self.type != 'Build' || !has(self.image)",
     "a Build stage takes no image: the operator sets the builder's; build.image is where the result is pushed"),
    ("has(self.run) || (!has(self.services) && !has(self.caches) && !has(self.packages) && !has(self.imageFrom) && !has(self.changes))",
     "services, caches, packages, imageFrom and changes are for stages with run"),
    ("!has(self.imageFrom) || !(has(self.image) || has(self.matrix) && has(self.matrix.image))",
     "a script runs in one image: set image, imageFrom or matrix.image"),
    ("!has(self.packages) || !(has(self.matrix) || has(self.always) && self.always)",
     "a stage with packages runs once, before the Release: take matrix and always out, or move the packages to another stage"),
    ("!has(self.changes) || !(has(self.packages) || has(self.matrix) || has(self.always) && self.always)",
     "a stage with changes may be left out: it takes no packages, which the Release would lack, no matrix and no always"),
    ("self.type != 'Build' || !has(self.reports)",
     "a Build stage makes no reports: move them to a Test stage"),
    ("self.type != 'Build' || !has(self.matrix)",
     "a Build stage takes no matrix: make a stage for each image"),
    ("self.type != 'Tag' || (has(self.tag) && !has(self.run) && !has(self.build) && !has(self.image) && !has(self.matrix) && !has(self.reports) && !has(self.env))",
     "a Tag stage needs tag and takes no run, build, image, matrix, reports or env: it runs nothing of yours"),
    ("self.type == 'Tag' || !has(self.tag)",
     "only a Tag stage takes tag: make one, with the names that images are to have"),
    ("!(self.type in ['Migrate', 'Sign', 'Publish', 'Release']) || !has(self.retry)",
     "a stage of this type takes no retry: it runs at most once"),
    ("self.type != 'Sign' || has(self.sign)",
     "a Sign stage needs sign: the key"),
    ("(self.type == 'Sign') || !has(self.sign)",
     "only a Sign stage takes sign: set type: Sign"),
    ("(self.type == 'SBOM') || !has(self.sbom)",
     "only an SBOM stage takes sbom: set type: SBOM"),
    ("!(self.type in ['SBOM', 'Sign']) || !(has(self.run) || has(self.build) || has(self.image) || has(self.reports) || has(self.matrix) || (has(self.env) && !(has(self.sign) && (has(self.sign.kms) || has(self.sign.keyless)))))",
     "an SBOM or Sign stage runs nothing of yours: it takes no run, build, image, reports or matrix, and env only with sign.kms or sign.keyless, for cosign"),
    ("!has(self.sign) || !has(self.sign.keyless) || (has(self.pod) && has(self.pod.serviceAccountName))",
     "sign.keyless signs in the name of the stage's own service account: set pod.serviceAccountName, to one that nothing else runs as"),
    ("!(self.type in ['Sign', 'Publish', 'Release']) || !has(self.always) || !self.always",
     "a stage of this type comes after the gates: it cannot run always"),
    ("self.type != 'Release' || (has(self.release) && !has(self.run) && !has(self.build) && !has(self.image) && !has(self.matrix) && !has(self.reports) && !has(self.env))",
     "a Release stage needs release and takes no run, build, image, matrix, reports or env: it runs nothing of yours"),
    ("self.type == 'Release' || !has(self.release)",
     "only a Release stage takes release: set type: Release"),
    ("self.type != 'Preview' || (has(self.preview) && !has(self.run) && !has(self.build) && !has(self.image) && !has(self.matrix) && !has(self.reports) && !has(self.env) && !has(self.retry) && !has(self.always))",
     "a Preview stage needs preview and takes no run, build, image, matrix, reports, env, retry or always: it has no pod"),
    ("self.type == 'Preview' || !has(self.preview)",
     "only a Preview stage takes preview: set type: Preview"),
    ("self.type != 'Publish' || !(has(self.matrix) || has(self.packages) || has(self.changes))",
     "a Publish stage hands out what others have made, once: it takes no matrix, packages or changes"),
]))]
pub struct Stage {
    /// Name of the stage; logs, gates and messages use it. Example: `unit`.
    #[schemars(transform = schema::name)]
    pub name: String,
    /// What the stage does: `Build` builds an image, `SBOM` lists what is in it, `Sign` signs it and `Tag` gives it its tags, both once
    /// everything has passed; `Preview` waits for the preview of its pull request; `Release` gives the commit its version in the repository, and `Publish` hands out what was made by a
    /// script, both after that; `Test`, `Lint`, `Scan`, `Benchmark`, `Smoke`, `Migrate` and `Custom`
    /// run a script, and say what a failure of it is called.
    #[serde(rename = "type")]
    pub type_: StageType,
    /// Stages that must have succeeded before this one starts; at most 16. Default: none.
    /// Example: `[unit]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::names::<16>)]
    pub needs: Vec<String>,
    /// Condition in CEL over `event` (`Push` or `Manual`), `branch`, `tag`, `ref`, `sha`, `actor`, `pipeline` and
    /// `params.NAME`. When the stage's turn has come and it does not hold, the stage is skipped, and those that need it run all the same.
    /// Default: it always runs. Example: `event == 'Push' && branch.startsWith('release/')`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::some_text::<1024>)]
    pub when: Option<String>,
    /// Globs of files, at most 16. When nothing that fits one of them has changed since the newest Release, the script is not
    /// run, the stage is skipped, and those that need it run all the same; without a Release it runs. Only for stages with
    /// `run`. Default: it runs whatever has changed. Example: `["services/api/**"]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::texts::<16, 256>)]
    pub changes: Vec<String>,
    /// Runs the stage after all others, whatever became of them, a cancelled run included: to clean up, or to tell.
    /// Its script reads `SLIPWAY_RUN_RESULT`; if it fails, the run fails. Default `false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub always: Option<bool>,
    /// Runs the stage once for each combination of values. Default: once. Not for `Build`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub matrix: Option<Matrix>,
    /// How often attempts are replaced by new ones. Default: `defaults.retry`. Not for `Migrate`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// Image in which `run` runs. Default: `defaults.image`. Not for `Build`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::image)]
    pub image: Option<String>,
    /// Build stage whose image `run` runs in, by the digest that this run has made; the stage has to need it, and the node has
    /// to be able to pull it. Default: `image`. Example: `api`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::name)]
    pub image_from: Option<String>,
    /// Shell script, run by `/bin/sh -e` in the root of the repository; any exit code but 0 fails the
    /// stage. At most 16384 characters. Not for `Build`. Example: `pytest --junitxml=junit.xml`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::some_text::<16384>)]
    pub run: Option<String>,
    /// Environment variables of the stage, beside `defaults.env`. At most 64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::by_name::<64>)]
    pub env: Vec<EnvVar>,
    /// How long an attempt may take before it is stopped and fails. A duration; default `30m`, with `always` `10m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::duration)]
    pub timeout: Option<Duration>,
    /// How long an attempt may wait for a node before the stage fails; not part of `timeout`. A duration; default `30m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::duration)]
    pub pending_timeout: Option<Duration>,
    /// Requests and limits, as in a pod's container. Default: `defaults.resources`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::raw_object)]
    pub resources: Option<Value>,
    /// Where and as whom the pod runs; what is not set here is taken from `defaults.pod`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<PodSettings>,
    /// Programs that run beside the script, at most 8; they are started one after the other, each when the one
    /// before is ready, and the script after all of them. Only for stages with `run`. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::by_name::<8>)]
    pub services: Vec<Service>,
    /// Caches of the Pipeline that the stage uses, at most 8. Only for stages with `run`. Default: none.
    /// Example: `[pip]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::names::<8>)]
    pub caches: Vec<String>,
    /// Files that the script leaves and a registry keeps by digest, at most 4 packages; they are part of the Release. Only for
    /// stages with `run`. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::by_name::<4>)]
    pub packages: Vec<Package>,
    /// Files that the script leaves and the gates judge. Default: only the exit code counts.
    /// Not for `Build`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reports: Option<Reports>,
    /// What is built and where it goes. Only for `Build`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build: Option<Build>,
    /// Which images get which tags. Only for `Tag`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<Tag>,
    /// Which images are listed. Only for `SBOM`. Default: those of all Build stages. Example: `{images: [api]}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sbom: Option<Sbom>,
    /// Which images are signed, and with which key, in a Secret or in a key service, or in whose name. Only for `Sign`. Example: `{keyRef: {name: cosign}}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sign: Option<Sign>,
    /// What is left in the repository. Only for `Release`. Example: `{changelog: CHANGELOG.md}`; `{}` for the tag alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<Publication>,
    /// Which preview is waited for. Only for `Preview`. Example: `{environment: review}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preview: Option<PreviewWait>,
}

/// The preview that a stage waits for: that of the run's pull request in an Environment.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct PreviewWait {
    /// Name of the Environment with `spec.previews`, in the same namespace. Example: `review`.
    #[schemars(transform = schema::name)]
    pub environment: String,
}

impl Stage {
    /// Where and as whom the pod runs.
    pub fn pod(&self, defaults: &StageDefaults) -> PodSettings {
        let defaults = defaults.pod.clone().unwrap_or_default();
        self.pod
            .as_ref()
            .map_or_else(|| defaults.clone(), |own| own.or(&defaults))
    }

    /// Whether it is a Job for each of several cells: of a matrix, or of the platforms of an image.
    pub fn has_cells(&self) -> bool {
        self.matrix.is_some() || self.build.as_ref().is_some_and(Build::is_index)
    }

    /// How long an attempt may take.
    pub fn timeout(&self) -> time::Duration {
        let minutes = if self.always() { 10 } else { 30 };
        self.timeout
            .map_or(time::Duration::from_mins(minutes), Into::into)
    }

    /// How long an attempt may wait for a node.
    pub fn pending_timeout(&self) -> time::Duration {
        self.pending_timeout
            .map_or(time::Duration::from_mins(30), Into::into)
    }

    /// Names of the Build stages (and packages) that an SBOM or Sign stage is about; none for all of them.
    pub fn images(&self) -> &[String] {
        let sbom = self.sbom.as_ref().map(|sbom| &sbom.images);
        let sign = self.sign.as_ref().map(|sign| &sign.images);
        let tag = self.tag.as_ref().map(|tag| &tag.images);
        sbom.or(sign).or(tag).map(Vec::as_slice).unwrap_or_default()
    }

    /// Names of the Build stages whose images its pod runs.
    pub fn images_from(&self) -> impl Iterator<Item = &str> {
        let services = self.services.iter();
        let services = services.filter_map(|service| service.image_from.as_deref());
        self.image_from.as_deref().into_iter().chain(services)
    }

    /// Whether it runs after all others, whatever became of them.
    pub fn always(&self) -> bool {
        self.always.unwrap_or(false)
    }
}
