//! What an Environment looks like in YAML: previews of pull requests. No I/O.

use std::collections::BTreeMap;
use std::time;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::core::Duration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Environment, MigrationVariable};
use crate::schema::{self, closed_set};

/// What stands for the number of the pull request in a URL and in texts.
pub const NUMBER: &str = "{{pr.number}}";

closed_set! {
    /// Kinds that previews consist of.
    pub enum CopyKind {
        /// What pods read.
        ConfigMap,
        /// How they are found.
        Service,
        /// The pods.
        Rollout,
        /// How requests come in.
        HTTPRoute,
    }
}

closed_set! {
    /// What becomes of pull requests from other repositories.
    #[derive(Default)]
    pub enum PreviewForks {
        /// They have no preview.
        #[default]
        Never,
        /// They have one of a commit that somebody has approved.
        RequireApproval,
    }
}

closed_set! {
    /// Whether previews are removed.
    pub enum PreviewDestroy {
        /// In time.
        Always,
        /// By people only.
        Never,
    }
}

/// A preview for each open pull request whose run passed: a namespace of its own, into which objects of the Environment's
/// namespace are copied, or manifests that the run has rendered are applied, with the images of that run. Takes `previews.enabled` in
/// the values of the operator's chart.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::Rules(&[
    ("has(self.copy) == has(self.selector)",
     "copy says which kinds are copied, and selector which objects of them: set both, or neither and rendered"),
    ("has(self.copy) != has(self.rendered)",
     "a preview is copied or rendered: set copy and selector, or rendered, one of the two"),
    ("!has(self.rendered) || !has(self.match) || !has(self.match.forks) || self.match.forks == 'Never'",
     "runs of pull requests from other repositories push no packages, so that there is nothing rendered of them: leave match.forks out"),
]))]
pub struct Previews {
    /// The Pipeline, in the same namespace, whose runs of pull requests are shown. Example: `shop`.
    #[schemars(transform = schema::name)]
    pub pipeline: String,
    /// Kinds of objects that are copied: `ConfigMap`, `Service`, `Rollout`, `HTTPRoute`. Nothing else is, above all no Secret.
    /// Default: none; then `rendered` says what there is. Example: `[Rollout, Service, HTTPRoute]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1), transform = schema::words::<8>)]
    pub copy: Vec<CopyKind>,
    /// Manifests that a stage of the run has rendered, with kustomize, Helm or anything else, in the place of copies. Default: objects
    /// are copied. Example: `{package: manifests, kinds: [Rollout, Service, HTTPRoute]}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rendered: Option<RenderedManifests>,
    /// Which pull requests have a preview. Default: all of those from the repository itself.
    #[serde(
        default,
        rename = "match",
        skip_serializing_if = "PreviewMatch::is_empty"
    )]
    pub which: PreviewMatch,
    /// Labels of the objects that are copied, 1 to 8; objects that another one owns are not. Default: none; then `rendered` says
    /// what there is. Example: `{preview: shop}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(transform = schema::some_text_map::<8>)]
    pub selector: BTreeMap<String, String>,
    /// Where a preview answers, with `{{pr.number}}` for the number of the pull request; its host becomes that of the
    /// routes. Example: `https://pr-{{pr.number}}.preview.example.com`.
    #[schemars(transform = preview_url)]
    pub url: String,
    /// Texts that are replaced in what is copied, one after another; at most 16. Default: none. Example:
    /// `[{from: shop.example.com, to: "{{host}}"}]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::list::<16>)]
    pub replace: Vec<Replacement>,
    /// How the database of a preview is filled: a Job that runs after the namespace is there, with everything in it that takes no
    /// image of the run, and before anything does. Default: it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<PreviewSeed>,
    /// How long previews stay.
    #[serde(default)]
    pub ttl: PreviewTtl,
    /// When a preview goes because nobody asks for it; takes `spec.metrics.prometheus`. Default: it stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle: Option<PreviewIdle>,
    /// How many there are.
    #[serde(default)]
    pub limits: PreviewLimits,
    /// Whether previews are removed: `Always` in time, `Never` by people only, who delete the namespace. Default `Always`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destroy: Option<PreviewDestroy>,
    /// What the pods of one preview may use. Default: as much as there is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<PreviewResources>,
    /// Who may connect to the pods of a preview. Default: everybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<PreviewNetwork>,
}

/// Manifests that a run has rendered: a package of one of its stages, whose YAML files are applied in the namespace of the preview.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct RenderedManifests {
    /// The package, by its name in `stages[].packages` of the Pipeline, which has to be pushed on pull requests, too. What of its files ends
    /// with `.yaml`, `.yml` or `.json` counts, 256 KiB and 64 objects at most. Example: `manifests`.
    #[schemars(transform = schema::name)]
    pub package: String,
    /// Kinds of objects that it may have: `ConfigMap`, `Service`, `Rollout`, `HTTPRoute`. One of any other kind, or for another
    /// namespace, is refused, and the preview with it; so are pods that set a priority, a node or a scheduler. Example: `[Rollout, Service, HTTPRoute]`.
    #[schemars(length(min = 1), transform = schema::words::<8>)]
    pub kinds: Vec<CopyKind>,
    /// Name of a Secret of type `kubernetes.io/dockerconfigjson`, with the label `slipway.dev/use`, that has the login for the
    /// registry. The operator must be allowed to read Secrets (`analysis.secrets.enabled` in the values of its chart).
    /// Default: none. Example: `registry`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::record_name)]
    pub registry_secret_name: Option<String>,
    /// Reaches the registry over http, for one inside the cluster. Default `false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub insecure_registry: Option<bool>,
}

/// Which pull requests have a preview.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct PreviewMatch {
    /// Labels that a pull request has to carry at the git provider, all of them, at most 4 of 1 to 50 characters. A preview
    /// goes when one of them is taken off, `ttl.afterClose` later, as if the pull request were closed. Of all previews of a
    /// Pipeline together 8 labels count. Default: none is needed. Example: `[preview]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = pull_request_labels)]
    pub labels: Vec<String>,
    /// What becomes of pull requests from other repositories: `Never` gives them no preview; `RequireApproval` gives them one
    /// of a commit whose run somebody has approved, which takes `forks: RequireApproval` of the Pipeline's trigger, too. Its
    /// pods are held to the `restricted` level of Pod Security. Default `Never`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forks: Option<PreviewForks>,
}

closed_set! {
    /// When the database of a preview is filled.
    #[derive(Default)]
    pub enum SeedEvery {
        /// Once for each preview.
        #[default]
        Preview,
        /// Again for each commit.
        Commit,
    }
}

/// How the database of a preview is filled. The Job runs in the Environment's namespace, where the Secrets are, and is told of the
/// preview by `SLIPWAY_PREVIEW_NAMESPACE`, `SLIPWAY_PREVIEW_URL`, `SLIPWAY_PULL_REQUEST` and `SLIPWAY_REVISION`.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::Rules(&[
    ("has(self.image) != has(self.imageFrom)",
     "a seed runs in one image: set image, or imageFrom (an image of the run)"),
]))]
pub struct PreviewSeed {
    /// Image of the command. Default: none; then `imageFrom` says which. Example: `registry.example/shop/seed:1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::image)]
    pub image: Option<String>,
    /// Name of the image of the run that has the command; a pull request from another repository has no preview with it, since
    /// its code would run beside the Secrets. Default: none; then `image` says which. Example: `api`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::name)]
    pub image_from: Option<String>,
    /// Command and its arguments, at most 64; no shell is involved. Default: that of the image. Example: `[seed, --small]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::texts::<64, 1024>)]
    pub command: Vec<String>,
    /// Environment variables, at most 32; in values `{{namespace}}`, `{{pr.number}}` and `{{host}}` are filled in. Default: none.
    /// Example: `[{name: PGHOST, value: "db.{{namespace}}"}, {name: PGPASSWORD, secretRef: {name: shop-db, key: password}}]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::by_name::<32>)]
    pub env: Vec<MigrationVariable>,
    /// How long it may take. A duration; default `10m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::duration)]
    pub timeout: Option<Duration>,
    /// When it runs: once for each `Preview`, or again for each `Commit`. Default `Preview`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<SeedEvery>,
}

/// When a preview goes because nobody asks for it.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct PreviewIdle {
    /// For how long nobody has asked; no preview goes sooner after its last update. A duration; default `12h`. Example: `4h`.
    #[serde(default = "idle_after")]
    #[schemars(transform = schema::duration)]
    pub after: Duration,
    /// What Prometheus is asked: how many requests there were. `{{namespace}}`, `{{pr.number}}`, `{{host}}`, and `{{after}}` as
    /// Prometheus writes it, are filled in. One value of 0 or less means that nobody asked; no value means nothing. Example:
    /// `sum(increase(http_requests_total{namespace="{{namespace}}"}[{{after}}]))`.
    #[schemars(transform = schema::some_text::<2048>)]
    pub query: String,
}

/// A text that is replaced in what is copied.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Replacement {
    /// The text, as it is. Example: `shop.example.com`.
    #[schemars(transform = schema::some_text::<256>)]
    pub from: String,
    /// What takes its place; `{{pr.number}}`, `{{pr.sha}}`, `{{namespace}}`, `{{host}}` and `{{url}}` are filled in. Example:
    /// `{{host}}`.
    #[schemars(transform = schema::text::<1024>)]
    pub to: String,
}

/// How long previews stay.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct PreviewTtl {
    /// How long a preview stays after its last update, whatever becomes of the pull request. A duration; default `72h`.
    #[serde(default = "ttl_max")]
    #[schemars(transform = schema::duration)]
    pub max: Duration,
    /// How long it stays after its pull request was closed or merged. A duration; default `10m`.
    #[serde(default = "ttl_after_close")]
    #[schemars(transform = schema::duration)]
    pub after_close: Duration,
}

/// How many previews there are.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct PreviewLimits {
    /// Previews at the same time, 1 to 50; others wait in a queue. Default `10`.
    #[serde(default = "limit_max")]
    #[schemars(range(min = 1, max = 50))]
    pub max: u32,
    /// Those of one author at the same time, 1 to 50; what polling alone has found is of nobody, and not counted.
    /// Default: as many as `max`. Example: `3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 50))]
    pub per_author: Option<u32>,
    /// If more than so many previews are to go at the same time because their pull requests were closed, none does before
    /// `ttl.max` is over, and the condition `PreviewsReady` says so. 1 to 50; default `5`.
    #[serde(default = "limit_closed_at_once")]
    #[schemars(range(min = 1, max = 50))]
    pub closed_at_once: u32,
}

/// What the pods of one preview may use.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct PreviewResources {
    /// `hard` of its ResourceQuota; at most 32 entries. Default: no quota, or 50 pods where `rendered` says what there is. Example: `{pods: "20", limits.memory: 4Gi}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(transform = schema::text_map::<32>)]
    pub quota: BTreeMap<String, String>,
    /// Limits of containers that have none, by a LimitRange. At most 8. Default: none. Example: `{memory: 256Mi}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(transform = schema::text_map::<8>)]
    pub default_limits: BTreeMap<String, String>,
    /// Requests of containers that have none. At most 8. Default: their limits. Example: `{cpu: 50m}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(transform = schema::text_map::<8>)]
    pub default_requests: BTreeMap<String, String>,
}

/// Who may connect to the pods of a preview: those of the same preview, and these.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct PreviewNetwork {
    /// Namespaces from which connections are let in: that of the gateway, above all. At most 16. Default: none. Example:
    /// `[gateway-system]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::record_names::<16>)]
    pub allow_from: Vec<String>,
}

closed_set! {
    /// Where a preview is.
    pub enum PreviewPhase {
        /// It waits for its turn.
        Queued,
        /// It is being made, or brought to another commit.
        Updating,
        /// It answers with the commit of `sha`.
        Ready,
        /// Something has to be changed before it can be.
        Failed,
        /// It may not be.
        Refused,
        /// It is not to be: its pull request has not the labels that it takes.
        Skipped,
        /// It went because nobody asked for it. A new commit makes it again.
        Idle,
        /// It is being removed.
        Closing,
    }
}

/// A preview of a pull request.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct PreviewStatus {
    /// Number of the pull request.
    #[schemars(range(min = 1))]
    pub number: u64,
    /// `Queued`, `Updating`, `Ready`, `Failed`, `Refused`, `Skipped`, `Idle` or `Closing`.
    pub phase: PreviewPhase,
    /// Its namespace.
    #[schemars(transform = schema::text::<63>)]
    pub namespace: String,
    /// Where it answers, or will.
    #[schemars(transform = schema::text::<1024>)]
    pub url: String,
    /// Commit that it shows, or is to show.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::text::<64>)]
    pub sha: Option<String>,
    /// The PipelineRun whose images it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::text::<253>)]
    pub run: Option<String>,
    /// Whose run the first one was: a login with the git provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::text::<256>)]
    pub author: Option<String>,
    /// When it goes if nothing else happens; absent where it stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Time>,
    /// What happened, or what it waits for, in one sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::text::<256>)]
    pub message: Option<String>,
}

impl Environment {
    /// Runs of a Pipeline that its previews show, or are to show.
    pub fn previewed_runs(&self, pipeline: &str) -> Vec<String> {
        let shown = self.previews_of(pipeline);
        shown.filter_map(|preview| preview.run.clone()).collect()
    }

    /// Pull requests of a Pipeline that have a preview, or wait for one.
    pub fn previewed_numbers(&self, pipeline: &str) -> Vec<u64> {
        let shown = self.previews_of(pipeline);
        shown.map(|preview| preview.number).collect()
    }

    fn previews_of(&self, pipeline: &str) -> impl Iterator<Item = &PreviewStatus> {
        let spec = self.spec.previews.as_ref();
        let is_of_it = spec.is_some_and(|previews| previews.pipeline == pipeline);
        let status = self.status.as_ref().filter(|_| is_of_it);
        let shown = status.into_iter().flat_map(|status| &status.previews);
        shown.filter(|preview| preview.phase != PreviewPhase::Refused)
    }
}

impl PreviewMatch {
    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What becomes of pull requests from other repositories.
    pub fn forks(&self) -> PreviewForks {
        self.forks.unwrap_or_default()
    }
}

impl PreviewSeed {
    /// How long it may take.
    pub fn timeout(&self) -> time::Duration {
        let timeout = self.timeout.map(Into::into);
        timeout.unwrap_or(time::Duration::from_mins(10))
    }

    /// When it runs.
    pub fn every(&self) -> SeedEvery {
        self.every.unwrap_or_default()
    }
}

impl Previews {
    /// Kinds of objects that a preview may consist of.
    pub fn kinds(&self) -> &[CopyKind] {
        let rendered = self.rendered.as_ref();
        rendered.map_or(&self.copy, |rendered| &rendered.kinds)
    }

    /// Whether previews are removed.
    pub fn destroy(&self) -> PreviewDestroy {
        self.destroy.unwrap_or(PreviewDestroy::Always)
    }
}

fn preview_url(schema: &mut schemars::Schema) {
    schema.insert("maxLength".to_owned(), 512.into());
    schema.insert(
        "x-kubernetes-validations".to_owned(),
        serde_json::json!([{
            "rule": r"self.matches('^https?://[a-z0-9.-]*\\{\\{pr\\.number\\}\\}[a-z0-9.-]*(:[0-9]{1,5})?(/\\S*)?$')",
            "message": "must be an http:// or https:// URL with {{pr.number}} in its host, such as https://pr-{{pr.number}}.preview.example.com",
        }]),
    );
}

fn pull_request_labels(schema: &mut schemars::Schema) {
    schema::texts::<4, 50>(schema);
    schema.insert("x-kubernetes-list-type".to_owned(), "set".into());
}

fn idle_after() -> Duration {
    time::Duration::from_hours(12).into()
}

fn ttl_max() -> Duration {
    time::Duration::from_hours(72).into()
}

fn ttl_after_close() -> Duration {
    time::Duration::from_mins(10).into()
}

fn limit_max() -> u32 {
    10
}

fn limit_closed_at_once() -> u32 {
    5
}

impl Default for PreviewTtl {
    fn default() -> Self {
        Self {
            max: ttl_max(),
            after_close: ttl_after_close(),
        }
    }
}

impl Default for PreviewLimits {
    fn default() -> Self {
        Self {
            max: limit_max(),
            per_author: None,
            closed_at_once: limit_closed_at_once(),
        }
    }
}
