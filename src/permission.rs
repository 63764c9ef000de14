//! What the operator is allowed to do, and has to be: the one source of the ClusterRole, the start-up
//! check and the test against the API server's audit log. No I/O.
//!
//! Secrets stand apart: to read and write them is a right that people give only where they want copies of them.

use crate::model::object::ObjectKind;

/// Verbs on a resource or, where the second field is not empty, on one of its subresources.
pub type Permission = (ObjectKind, &'static str, &'static [&'static str]);

const WATCH: &[&str] = &["list", "watch"];

/// Everything the operator does, besides events, Leases (its own, and those of databases, all in its own namespace) and copies
/// of Secrets.
///
/// `finalizers`, and `delete` on Services and routes, stand for ownerReferences: clusters with the admission plugin
/// OwnerReferencesPermissionEnforcement ask for the first when a child is made, and for the second when one is adopted
/// or let go.
pub const PERMISSIONS: &[Permission] = &[
    (ObjectKind::Rollout, "", &["list", "watch", "patch"]),
    (ObjectKind::Rollout, "status", &["patch"]),
    (ObjectKind::Rollout, "finalizers", &["update"]),
    (
        ObjectKind::ReplicaSet,
        "",
        &["list", "watch", "create", "patch", "delete"],
    ),
    (ObjectKind::Deployment, "", WATCH),
    (ObjectKind::Deployment, "finalizers", &["update"]),
    (ObjectKind::HorizontalPodAutoscaler, "", &["list"]),
    (ObjectKind::AnalysisTemplate, "", WATCH),
    (ObjectKind::Environment, "", WATCH),
    (ObjectKind::Environment, "status", &["patch"]),
    (ObjectKind::Environment, "finalizers", &["update"]),
    (
        ObjectKind::Promotion,
        "",
        &["list", "watch", "create", "delete"],
    ),
    (ObjectKind::Promotion, "status", &["patch"]),
    (ObjectKind::Promotion, "finalizers", &["update"]),
    (ObjectKind::Decision, "", WATCH),
    (ObjectKind::Pipeline, "", WATCH),
    (ObjectKind::Pipeline, "status", &["patch"]),
    (ObjectKind::Pipeline, "finalizers", &["update"]),
    (
        ObjectKind::PipelineRun,
        "",
        &["list", "watch", "create", "delete"],
    ),
    (ObjectKind::PipelineRun, "status", &["patch"]),
    (ObjectKind::PipelineRun, "finalizers", &["update"]),
    (ObjectKind::Release, "", &["list", "watch", "create"]),
    (
        ObjectKind::ControllerRevision,
        "",
        &["list", "watch", "create", "delete"],
    ),
    (
        ObjectKind::Job,
        "",
        &["list", "watch", "create", "patch", "delete"],
    ),
    (
        ObjectKind::ConfigMap,
        "",
        &["get", "list", "watch", "create", "patch", "delete"],
    ),
    (
        ObjectKind::PrometheusRule,
        "",
        &["list", "watch", "create", "patch", "delete"],
    ),
    (ObjectKind::Pod, "", &["list", "watch", "patch"]),
    (ObjectKind::Pod, "eviction", &["create"]),
    (
        ObjectKind::Service,
        "",
        &["list", "watch", "create", "patch", "delete"],
    ),
    (ObjectKind::EndpointSlice, "", WATCH),
    (
        ObjectKind::HttpRoute,
        "",
        &["list", "watch", "create", "patch", "delete"],
    ),
    (
        ObjectKind::GrpcRoute,
        "",
        &["list", "watch", "create", "patch", "delete"],
    ),
    (ObjectKind::VirtualService, "", &["list", "watch", "patch"]),
    (ObjectKind::DestinationRule, "", &["list", "watch", "patch"]),
    (ObjectKind::TraefikService, "", &["list", "watch", "patch"]),
    (
        ObjectKind::Ingress,
        "",
        &["list", "watch", "create", "patch", "delete"],
    ),
];

/// What copies of Secrets take, where people want them (`--secret-snapshots`, `secretSnapshots.enabled` in the chart).
pub const SECRET_PERMISSIONS: &[Permission] = &[(
    ObjectKind::Secret,
    "",
    &["list", "watch", "create", "patch", "delete"],
)];

/// What metrics and Pipelines with Secrets take, and the tokens of Alertmanagers, where people want them
/// (`--metric-secrets`, `analysis.secrets.enabled` in the chart; `--stage-secrets`, `stages.secrets.enabled`;
/// `--alert-listen`, `alerts.enabled`; `--clusters`, `clusters.enabled`).
pub const METRIC_PERMISSIONS: &[Permission] = &[(ObjectKind::Secret, "", &["get"])];

/// What it takes to know the pods of stages and those who read their logs (`--stage-listen`, `receiver.enabled` in the
/// chart). Tokens are of no namespace, so neither is this right.
pub const RECEIVER_PERMISSIONS: &[Permission] = &[(ObjectKind::TokenReview, "", &["create"])];

/// What previews of pull requests take, where people want them (`--previews`, `previews.enabled` in the chart). Namespaces are
/// of no namespace, so this right is given for all of them.
pub const PREVIEW_PERMISSIONS: &[Permission] = &[
    (
        ObjectKind::Namespace,
        "",
        &["list", "create", "patch", "delete"],
    ),
    (ObjectKind::ResourceQuota, "", &["create", "patch"]),
    (ObjectKind::LimitRange, "", &["create", "patch"]),
    (ObjectKind::NetworkPolicy, "", &["create", "patch"]),
    (ObjectKind::Rollout, "", &["create"]),
];

/// What Environments in other clusters take in this one, beside Secrets that are read, where people want them (`--clusters`,
/// `clusters.enabled` in the chart): a finalizer, so that no mirror is left behind.
pub const CLUSTER_PERMISSIONS: &[Permission] = &[(ObjectKind::Environment, "", &["patch"])];

/// What an operator does beyond what every operator does.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of its own, and any of them can be on with any other"
)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extra {
    /// It copies Secrets.
    pub copies_secrets: bool,
    /// It reads Secrets: for metrics or other clusters, or the tokens of Alertmanagers.
    pub reads_secrets: bool,
    /// It takes logs and claims from the pods of stages.
    pub takes_logs: bool,
    /// It makes previews of pull requests.
    pub makes_previews: bool,
    /// It reaches other clusters.
    pub reaches_clusters: bool,
}

impl Extra {
    /// Everything that an operator can do.
    pub const ALL: Self = Self {
        copies_secrets: true,
        reads_secrets: true,
        takes_logs: true,
        makes_previews: true,
        reaches_clusters: true,
    };
}

/// What an operator has to be allowed to do.
pub fn needed(extra: Extra) -> impl Iterator<Item = &'static Permission> {
    let copies = SECRET_PERMISSIONS
        .iter()
        .filter(move |_| extra.copies_secrets);
    let reads = METRIC_PERMISSIONS
        .iter()
        .filter(move |_| extra.reads_secrets);
    let reviews = RECEIVER_PERMISSIONS
        .iter()
        .filter(move |_| extra.takes_logs);
    let previews = PREVIEW_PERMISSIONS
        .iter()
        .filter(move |_| extra.makes_previews);
    let clusters = CLUSTER_PERMISSIONS
        .iter()
        .filter(move |_| extra.reaches_clusters);
    let always = PERMISSIONS.iter();
    always
        .chain(copies)
        .chain(reads)
        .chain(reviews)
        .chain(previews)
        .chain(clusters)
}
