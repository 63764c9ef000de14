//! Every kind, once. CRDs, roles and docs are checked against this list. No I/O.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::analysis::api::AnalysisTemplate;
use crate::cluster::Cluster;
use crate::cluster::watch::Queues;
use crate::controller::{self, Kind};
use crate::decision::api::Decision;
use crate::environment::EnvironmentKind;
use crate::environment::api::Environment;
use crate::model::object::ObjectKind;
use crate::pipeline::PipelineKind;
use crate::pipeline::api::Pipeline;
use crate::pipeline_run::PipelineRunKind;
use crate::pipeline_run::api::PipelineRun;
use crate::promotion::api::Promotion;
use crate::release::api::Release;
use crate::rollout::RolloutKind;
use crate::rollout::api::Rollout;

/// API group of every kind.
pub const GROUP: &str = "slipway.dev";

/// Served and stored version of every kind.
pub const VERSION: &str = "v1alpha1";

/// One kind, as the rest of the program needs to know it.
#[derive(Clone, Copy, Debug)]
pub struct KindInfo {
    /// Which one it is.
    pub object: ObjectKind,
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
    object: ObjectKind,
    short: &'static str,
    has_reconciler: bool,
    crd: fn() -> CustomResourceDefinition,
) -> KindInfo {
    KindInfo {
        object,
        kind: object.kind(),
        plural: object.plural(),
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
    kind(ObjectKind::Pipeline, "spl", true, Pipeline::crd),
    kind(ObjectKind::PipelineRun, "srun", true, PipelineRun::crd),
    kind(ObjectKind::Release, "srel", false, Release::crd),
    kind(ObjectKind::Environment, "senv", true, Environment::crd),
    // Its status is written by the reconciler of its Environment.
    kind(ObjectKind::Promotion, "spromo", true, Promotion::crd),
    kind(ObjectKind::Rollout, "sro", true, Rollout::crd),
    kind(
        ObjectKind::AnalysisTemplate,
        "sat",
        false,
        AnalysisTemplate::crd,
    ),
    kind(ObjectKind::Decision, "sdec", false, Decision::crd),
];

/// Runs the controller of every kind that has one.
pub fn run(
    cluster: &Cluster,
    queues: &Queues,
    workers: usize,
    stop: &CancellationToken,
    tasks: &TaskTracker,
) {
    macro_rules! run {
        ($($kind:ty),*) => {$(
            if let Some(queue) = queues.get(&<$kind>::KIND) {
                controller::run::<$kind>(cluster, queue, workers, stop, tasks);
            }
        )*};
    }
    run!(PipelineKind, PipelineRunKind, EnvironmentKind, RolloutKind);
}
