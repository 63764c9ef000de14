//! What a Release looks like in YAML. No I/O.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::pipeline::api::PackageType;
use crate::pipeline_run::api::{
    Attestation, Commit, Difference, GateVerdict, ReportSummary, TestCounts,
};
use crate::schema::{self, closed_set};

/// Images and packages by digest, the commits since the previous Release, and the evidence for them.
#[derive(CustomResource, JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "slipway.dev",
    version = "v1alpha1",
    kind = "Release",
    plural = "releases",
    shortname = "srel",
    category = "slipway",
    namespaced,
    derive = "PartialEq",
    doc = "Images and packages by digest, the commits since the previous Release, and the evidence for them. Written by the operator only; it never changes.",
    selectable = ".spec.pipeline",
    printcolumn(name = "Pipeline", type_ = "string", json_path = ".spec.pipeline"),
    printcolumn(name = "Version", type_ = "string", json_path = ".spec.version"),
    printcolumn(name = "Commit", type_ = "string", json_path = ".spec.commit.sha"),
    printcolumn(name = "Subject", type_ = "string", json_path = ".spec.commit.subject"),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    ),
    printcolumn(
        name = "Kind",
        type_ = "string",
        json_path = ".spec.kind",
        priority = 1
    ),
    printcolumn(name = "Ref", type_ = "string", json_path = ".spec.ref", priority = 1),
    printcolumn(
        name = "Previous",
        type_ = "string",
        json_path = ".spec.previous",
        priority = 1
    )
)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::Rules(&[
    ("self == oldSelf",
     "a Release cannot change: a new commit makes a new Release"),
    ("(has(self.images) && self.images.size() > 0) || (has(self.packages) && self.packages.size() > 0)",
     "a Release has something in it: an image or a package"),
]))]
pub struct ReleaseSpec {
    /// Name of the Pipeline that made it.
    #[schemars(transform = schema::name)]
    pub pipeline: String,
    /// Images that are released, at most 32, told apart by name. A Release has an image or a package.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::by_name::<32>)]
    pub images: Vec<Image>,
    /// Packages that are released, at most 32, told apart by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::by_name::<32>)]
    pub packages: Vec<ReleasedPackage>,
    /// The commit that was built.
    pub commit: Commit,
    /// Commits since the previous Release, newest first; at most 50.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::list::<50>)]
    pub changes: Vec<Commit>,
    /// Name of the Release before it; absent for the first one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::record_name)]
    pub previous: Option<String>,
    /// What differs between its commit and that of the Release before it: the risk of a change is told by it, among others.
    /// Absent for the first one, and where the two could not be compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub difference: Option<Difference>,
    /// Its version; absent where none was asked for, or its commits asked for none. Example: `1.3.0`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::text::<64>)]
    pub version: Option<String>,
    /// What is new in it, as Markdown: its commits by what they do, and those of the Releases without version before it; at
    /// most 16 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::text::<16384>)]
    pub changelog: Option<String>,
    /// Commits that the operator has made for it, with its version in files; at most 8. They start no run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::texts::<8, 40>)]
    pub published: Vec<String>,
    /// Full ref of the branch, or of the tag. Example: `refs/heads/main`.
    #[serde(rename = "ref")]
    #[schemars(transform = schema::git_ref)]
    pub git_ref: String,
    /// Why it may be promoted.
    pub evidence: Evidence,
    /// `Normal`, or `Hotfix`. No rule asks for it: what is a hotfix is said by each Environment, in `protection.hotfixes`.
    /// Default `Normal`.
    #[serde(default)]
    pub kind: ReleaseKind,
}

/// One image of a Release.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Image {
    /// Name that Rollouts refer to: that of the stage that built it. Example: `api`.
    #[schemars(transform = schema::name)]
    pub name: String,
    /// Where it is, without tag or digest. Example: `registry.example/shop/api`.
    #[schemars(transform = schema::repository)]
    pub repository: String,
    /// Its digest. Example: `sha256:9b2c…`.
    #[schemars(transform = schema::digest)]
    pub digest: String,
}

/// One package of a Release: files in a registry, by digest.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ReleasedPackage {
    /// Its name in the Pipeline. Example: `parcels`.
    #[schemars(transform = schema::name)]
    pub name: String,
    /// What it is: `Wheel`, `Crate`, `Npm` or `File`.
    #[serde(rename = "type")]
    pub type_: PackageType,
    /// Where it is, without tag or digest. Example: `registry.example/shop/parcels`.
    #[schemars(transform = schema::repository)]
    pub repository: String,
    /// Digest of its manifest, which lists its files. Example: `sha256:9b2c…`.
    #[schemars(transform = schema::digest)]
    pub digest: String,
    /// Its version, if its files tell it. Example: `1.2.3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::text::<64>)]
    pub version: Option<String>,
}

/// One image, ready for a pod.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ImageRef {
    /// Name of the image in its Release. Example: `api`.
    #[schemars(transform = schema::name)]
    pub name: String,
    /// Repository and digest. Example: `registry.example/shop/api@sha256:9b2c…`.
    #[serde(rename = "ref")]
    #[schemars(transform = schema::pinned_image)]
    pub reference: String,
}

/// A Release, with the Pipeline that made it.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "camelCase")]
pub struct ReleaseRef {
    /// Name of the Pipeline. Example: `shop-api`.
    #[schemars(transform = schema::name)]
    pub pipeline: String,
    /// Name of the Release. Example: `shop-api-91ac02`.
    #[schemars(transform = schema::record_name)]
    pub release: String,
}

impl From<&Image> for ImageRef {
    fn from(image: &Image) -> Self {
        Self {
            name: image.name.clone(),
            reference: format!("{}@{}", image.repository, image.digest),
        }
    }
}

/// Why a Release may be promoted.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Evidence {
    /// Name of the PipelineRun that tested and built it.
    #[schemars(transform = schema::record_name)]
    pub run: String,
    /// Its tests, counted; absent when no stage made a report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tests: Option<TestCounts>,
    /// What its gates found.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::by_name::<32>)]
    pub gates: Vec<GateVerdict>,
    /// What was said about its images, stored beside them, and checked; at most 96.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::list::<96>)]
    pub attestations: Vec<Attestation>,
    /// What its reports say, by stage; later runs compare theirs with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = by_stage)]
    pub reports: Vec<StageReports>,
}

/// What the reports of one stage say.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct StageReports {
    /// Name of the stage.
    #[schemars(transform = schema::name)]
    pub stage: String,
    /// What they say. Findings are counted and marked, and not listed.
    pub summary: ReportSummary,
}

fn by_stage(schema: &mut schemars::Schema) {
    schema::by_key(schema, "stage", 32);
}

closed_set! {
    /// What kind of change it is.
    #[derive(Default)]
    pub enum ReleaseKind {
        /// A change like any other.
        #[default]
        Normal,
        /// An urgent repair.
        Hotfix,
    }
}
