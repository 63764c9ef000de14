//! What an Environment looks like in YAML: what runs, written back to Git. No I/O.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::pipeline::api::{Author, CaBundle, GitCredentials, GitSource};
use crate::provider::api::GitProvider;
use crate::schema::{self, closed_set};

closed_set! {
    /// How what runs gets into a branch.
    #[derive(Default)]
    pub enum WriteBackMode {
        /// By a commit.
        #[default]
        Commit,
        /// By a pull request that people merge.
        PullRequest,
    }
}

/// Writes what runs into files of a repository, after a promotion has succeeded and after a way back. It tells Git; what runs
/// does not depend on it. Takes `stages.secrets.enabled` in the values of the operator's chart where the repository takes a login.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::Rules(&[
    ("(has(self.kustomize) ? 1 : 0) + (has(self.helmValues) ? 1 : 0) + (has(self.files) ? 1 : 0) == 1",
     "writeBack writes one file, or a list of files: set kustomize, helmValues or files, one of the three"),
    ("!has(self.files) || self.files.all(a, self.files.exists_one(b, (has(a.kustomize) ? a.kustomize.path : has(a.helmValues) ? a.helmValues.path : '') == (has(b.kustomize) ? b.kustomize.path : has(b.helmValues) ? b.helmValues.path : '')))",
     "each file is written once: name another path, or put all images of the file into one entry"),
    ("!has(self.pullRequestBranch) || self.pullRequestBranch != (has(self.repository.branch) ? self.repository.branch : 'main')",
     "pullRequestBranch is the branch that the pull request goes into: name another one, or leave it out"),
    ("!has(self.mode) || self.mode != 'PullRequest' || has(self.repository.provider)",
     "mode PullRequest needs somebody who has pull requests: set writeBack.repository.provider, or mode: Commit"),
    ("!has(self.pullRequestBranch) || has(self.mode) && self.mode == 'PullRequest'",
     "pullRequestBranch is for pull requests: set mode: PullRequest, or leave it out"),
]))]
pub struct WriteBack {
    /// The repository, and the branch that says what runs.
    pub repository: WriteBackRepository,
    /// A file of kustomize: its `images` get `newName` and `digest`, and lose `newTag`. Example:
    /// `{path: overlays/production/kustomization.yaml}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kustomize: Option<KustomizeFile>,
    /// Values of a Helm chart. Example: `{path: values-production.yaml, keys: {api: {digest: image.digest}}}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub helm_values: Option<HelmValuesFile>,
    /// Several files, 1 to 8, that are written with one commit: all of them, or none. Default: none; then `kustomize` or `helmValues`
    /// is the one file. Example: `[{kustomize: {path: eu/kustomization.yaml}}, {kustomize: {path: us/kustomization.yaml}}]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1), transform = schema::list::<8>)]
    pub files: Vec<WriteBackFile>,
    /// `Commit` pushes to the branch; `PullRequest` keeps one pull request into it up to date. Default `Commit`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<WriteBackMode>,
    /// First line of the commit, and title of the pull request; `{{release}}`, `{{environment}}`, `{{namespace}}` and `{{cluster}}` are
    /// filled in. Default `{{environment}} runs {{release}}`, and with mode `Commit` ` [skip ci]` behind it. Example:
    /// `chore: {{release}} is in {{environment}}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = title)]
    pub title: Option<String>,
    /// Branch that the pull request brings; `{{environment}}`, `{{namespace}}` and `{{cluster}}`, the name that the operator was given
    /// for its cluster, are filled in. Nobody else pushes there. Default `slipway/{{namespace}}/{{environment}}`, or
    /// `slipway/{{cluster}}/{{namespace}}/{{environment}}` where the cluster has a name. Example: `deploy/{{environment}}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = branch_template)]
    pub pull_request_branch: Option<String>,
    /// Who makes commits. Default: `Slipway <slipway@localhost>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<Author>,
}

/// A repository that says what runs.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::Rules(&[
    ("self.url.startsWith('https://') || has(self.insecure) && self.insecure",
     "url must start with https://, or set insecure: true to push over http without encryption"),
    ("!has(self.provider) || !has(self.provider.apiUrl) || self.provider.apiUrl.startsWith('https://') || has(self.insecure) && self.insecure",
     "provider.apiUrl must start with https://, or set insecure: true to send the token without encryption"),
]))]
pub struct WriteBackRepository {
    /// URL of the repository, without user or password. Example: `https://git.example/shop/config.git`.
    #[schemars(transform = schema::http_url)]
    pub url: String,
    /// Allows `http://`: a password can be read on its way then. Default `false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub insecure: Option<bool>,
    /// Branch that says what runs. Default `main`. Example: `production`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::branch)]
    pub branch: Option<String>,
    /// Certificates that the server is checked against, for a company's own authority. Default: those that the operator trusts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_bundle: Option<CaBundle>,
    /// With what it is read and pushed to; only the operator sees it. Default: nothing. Example: `{secretName: git-push, key: token}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<GitCredentials>,
    /// Who hosts the repository, where there are to be pull requests, or links to commits. Default: nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<GitProvider>,
}

/// One of several files.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::Rules(&[
    ("has(self.kustomize) != has(self.helmValues)",
     "a file is of kustomize, or has values of Helm: set kustomize or helmValues, one of the two"),
]))]
pub struct WriteBackFile {
    /// A file of kustomize: its `images` get `newName` and `digest`, and lose `newTag`. Default: none. Example:
    /// `{path: overlays/production/kustomization.yaml}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kustomize: Option<KustomizeFile>,
    /// Values of a Helm chart. Default: none. Example: `{path: values-production.yaml, keys: {api: {digest: image.digest}}}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub helm_values: Option<HelmValuesFile>,
}

/// A file of kustomize.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct KustomizeFile {
    /// Its path in the repository. Example: `overlays/production/kustomization.yaml`.
    #[schemars(transform = file_path)]
    pub path: String,
    /// What manifests call an image, by its name in the Release, where that is another one; at most 32. Default: the name in the
    /// Release. Example: `{api: registry.example/shop/api}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(transform = schema::images::<32>)]
    pub images: BTreeMap<String, String>,
}

/// A file with values of a Helm chart.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct HelmValuesFile {
    /// Its path in the repository. Example: `charts/shop/values-production.yaml`.
    #[schemars(transform = file_path)]
    pub path: String,
    /// Where what of an image stands, by its name in the Release; 1 to 32. Images that are not named are left out. Example:
    /// `{api: {repository: image.repository, digest: image.digest}}`.
    #[schemars(transform = some_keys)]
    pub keys: BTreeMap<String, HelmKeys>,
}

/// Where what of an image stands: keys joined by dots, and numbers for items of lists. One of them at least.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = one_at_least)]
pub struct HelmKeys {
    /// Key of the repository, without tag or digest. Default: it is not written. Example: `image.repository`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = dotted)]
    pub repository: Option<String>,
    /// Key of the digest, `sha256:…`. Default: it is not written. Example: `image.digest`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = dotted)]
    pub digest: Option<String>,
    /// Key of a tag, for charts that know no digest: the name of the Release, `@`, and the digest, which alone counts. Default: it is
    /// not written. Example: `image.tag`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = dotted)]
    pub tag: Option<String>,
    /// Key of the whole image, repository and digest. Default: it is not written. Example: `containers.0.image`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = dotted)]
    pub image: Option<String>,
}

closed_set! {
    /// How far what runs is written back.
    #[derive(Default)]
    pub enum WriteBackState {
        /// It is to be written, or written again.
        #[default]
        Pending,
        /// The branch says what runs.
        Written,
        /// A pull request asks for it.
        Proposed,
        /// People have closed the pull request without merging it.
        Declined,
    }
}

/// How far what runs is written back.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct WriteBackStatus {
    /// `Pending`, `Written`, `Proposed` or `Declined`.
    pub state: WriteBackState,
    /// Hash of what is to be written, and where.
    #[schemars(transform = schema::text::<64>)]
    pub content: String,
    /// The Release that the newest of it comes from.
    #[schemars(transform = schema::record_name)]
    pub release: String,
    /// The Promotion that brought it.
    #[schemars(transform = schema::record_name)]
    pub promotion: String,
    /// Since when it is to be written: as long as it is not, Git is behind since then.
    pub since: Time,
    /// The last commit that was seen or made to say what ran; with `Pending`, what ran before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::text::<64>)]
    pub commit: Option<String>,
    /// Page of that commit, where the provider is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::text::<1024>)]
    pub url: Option<String>,
    /// The pull request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull_request: Option<WriteBackPull>,
    /// When the branch was seen to say so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written_at: Option<Time>,
    /// How often it was tried in vain, one after the other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub attempts: Option<u32>,
    /// When it is tried, or looked at, next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_at: Option<Time>,
    /// What stood against it the last time, in one word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::text::<64>)]
    pub reason: Option<String>,
    /// The same in one sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::text::<1024>)]
    pub message: Option<String>,
}

/// A pull request that asks for what runs.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct WriteBackPull {
    /// Its number.
    #[schemars(range(min = 1))]
    pub number: u64,
    /// Its page.
    #[schemars(transform = schema::text::<1024>)]
    pub url: String,
}

impl WriteBack {
    /// The files that are written.
    pub fn files(&self) -> Vec<WriteBackFile> {
        if !self.files.is_empty() {
            return self.files.clone();
        }
        let one = WriteBackFile {
            kustomize: self.kustomize.clone(),
            helm_values: self.helm_values.clone(),
        };
        vec![one]
    }

    /// How what runs gets into the branch.
    pub fn mode(&self) -> WriteBackMode {
        self.mode.unwrap_or_default()
    }
}

impl WriteBackRepository {
    /// Branch that says what runs.
    pub fn branch(&self) -> &str {
        self.branch.as_deref().unwrap_or("main")
    }

    /// The same as what the rest of the operator asks repositories with.
    pub fn source(&self) -> GitSource {
        GitSource {
            url: self.url.clone(),
            insecure: self.insecure.unwrap_or(false),
            branch: self.branch().to_owned(),
            ca_bundle: self.ca_bundle.clone(),
            credentials: self.credentials.clone(),
            provider: self.provider.clone(),
            fetch_depth: None,
            submodules: None,
        }
    }
}

fn put(schema: &mut Schema, fields: &[(&str, serde_json::Value)]) {
    for (key, value) in fields {
        schema.insert((*key).to_owned(), value.clone());
    }
}

/// One line.
fn title(schema: &mut Schema) {
    let fields = [
        ("minLength", json!(1)),
        ("maxLength", json!(200)),
        ("pattern", json!(r"^[^\x00-\x1f]+$")),
    ];
    put(schema, &fields);
}

fn branch_template(schema: &mut Schema) {
    let fields = [
        ("minLength", json!(1)),
        ("maxLength", json!(245)),
        ("pattern", json!(r"^[A-Za-z0-9_{][A-Za-z0-9._/+{}-]*$")),
    ];
    put(schema, &fields);
}

/// A file of the repository, where the cost of a rule would count for every entry.
fn file_path(schema: &mut Schema) {
    let fields = [
        ("minLength", json!(1)),
        ("maxLength", json!(256)),
        ("pattern", json!(r"^[^/\\:][^\\]*$")),
    ];
    put(schema, &fields);
}

fn dotted(schema: &mut Schema) {
    let fields = [
        ("maxLength", json!(256)),
        ("pattern", json!(r"^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$")),
    ];
    put(schema, &fields);
}

fn some_keys(schema: &mut Schema) {
    put(
        schema,
        &[("minProperties", json!(1)), ("maxProperties", json!(32))],
    );
}

fn one_at_least(schema: &mut Schema) {
    put(schema, &[("minProperties", json!(1))]);
}
