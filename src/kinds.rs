//! Every kind, once. CRDs, roles and docs are checked against this list. No I/O.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;

use crate::analysis::api::AnalysisTemplate;
use crate::decision::api::Decision;
use crate::environment::api::Environment;
use crate::pipeline::api::Pipeline;
use crate::pipeline_run::api::PipelineRun;
use crate::promotion::api::Promotion;
use crate::release::api::Release;

/// API group of every kind.
pub const GROUP: &str = "slipway.dev";

/// Served and stored version of every kind.
pub const VERSION: &str = "v1alpha1";

/// One kind, as the rest of the program needs to know it.
#[derive(Clone, Copy, Debug)]
pub struct KindInfo {
    /// Kind, as in YAML.
    pub kind: &'static str,
    /// Resource, as in URLs and roles.
    pub plural: &'static str,
    /// Short name for kubectl.
    pub short: &'static str,
    /// API group.
    pub group: &'static str,
    /// API version.
    pub version: &'static str,
    /// Whether objects live in namespaces.
    pub namespaced: bool,
    /// Whether the operator keeps a status for it. Its default then says "not looked at yet".
    pub has_reconciler: bool,
    /// The definition as derived, before `crd::polish`.
    pub crd: fn() -> CustomResourceDefinition,
}

const fn kind(
    kind: &'static str,
    plural: &'static str,
    short: &'static str,
    has_reconciler: bool,
    crd: fn() -> CustomResourceDefinition,
) -> KindInfo {
    KindInfo {
        kind,
        plural,
        short,
        group: GROUP,
        version: VERSION,
        namespaced: true,
        has_reconciler,
        crd,
    }
}

/// Every kind, in the order in which a change meets them.
pub const KINDS: &[KindInfo] = &[
    kind("Pipeline", "pipelines", "spl", true, Pipeline::crd),
    kind(
        "PipelineRun",
        "pipelineruns",
        "srun",
        true,
        PipelineRun::crd,
    ),
    kind("Release", "releases", "srel", false, Release::crd),
    kind(
        "Environment",
        "environments",
        "senv",
        true,
        Environment::crd,
    ),
    // Its status is written by the reconciler of its Environment.
    kind("Promotion", "promotions", "spromo", true, Promotion::crd),
    kind(
        "AnalysisTemplate",
        "analysistemplates",
        "sat",
        false,
        AnalysisTemplate::crd,
    ),
    kind("Decision", "decisions", "sdec", false, Decision::crd),
];
