//! Every label, annotation and finalizer key that Slipway writes, or reads of Kubernetes. No I/O.

/// On every child: who made it.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Value of [`MANAGED_BY`], and the field manager of everything we write.
pub const SLIPWAY: &str = "slipway";
/// On every child and on every pod: what part it plays. Watches of foreign kinds select on this key.
pub const COMPONENT: &str = "slipway.dev/component";
/// On ReplicaSets, pods, Services and routes: the Rollout they belong to.
pub const ROLLOUT: &str = "slipway.dev/rollout";
/// On ReplicaSets and pods: the identity of the revision, never recomputed from a live object.
pub const REVISION: &str = "slipway.dev/revision";
/// On EndpointSlices, by Kubernetes: the Service that they are of.
pub const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// On Jobs and their pods: the PipelineRun they belong to.
pub const PIPELINE_RUN: &str = "slipway.dev/pipeline-run";
/// On Jobs and their pods: the stage that they run.
pub const STAGE: &str = "slipway.dev/stage";
/// On Jobs of a matrix and their pods: the cell that they run.
pub const CELL: &str = "slipway.dev/cell";
/// On Jobs and their pods: the number of the attempt, from 1.
pub const ATTEMPT: &str = "slipway.dev/attempt";
/// On PipelineRuns and Releases: the Pipeline they belong to.
pub const PIPELINE: &str = "slipway.dev/pipeline";
/// On Promotions and Jobs: the Environment they belong to.
pub const ENVIRONMENT: &str = "slipway.dev/environment";

/// On Jobs that measure: the metric.
pub const METRIC: &str = "slipway.dev/metric";
/// On Secrets of people's: metrics and Pipelines may use it. What it says is up to them.
pub const USE: &str = "slipway.dev/use";

/// On ReplicaSets: which revision came when, counted from 1.
pub const ORDINAL: &str = "slipway.dev/ordinal";
/// On ReplicaSets: since when the revision has been (or was) the stable one. RFC 3339.
pub const PROMOTED_AT: &str = "slipway.dev/promoted-at";
/// On ReplicaSets: why the revision was given up. It is not tried again while this stands.
pub const FAILED: &str = "slipway.dev/failed";
/// On ReplicaSets: the copies of ConfigMaps that their pods read, separated by commas.
pub const CONFIGS: &str = "slipway.dev/configs";
/// On ReplicaSets: the copies of Secrets that their pods read, separated by commas.
pub const SECRETS: &str = "slipway.dev/secrets";
/// On ReplicaSets: the id of the template that they wear, where an Environment decides which that is.
pub const TEMPLATE: &str = "slipway.dev/template";
/// On ReplicaSets that were taken over from a Deployment: a hash of their template as the Deployment has it.
pub const SOURCE: &str = "slipway.dev/source";
/// On ReplicaSets and pods of a Deployment, by Kubernetes: which template they are of.
pub const POD_TEMPLATE_HASH: &str = "pod-template-hash";
/// On ReplicaSets of a Deployment, by Kubernetes: which of its templates came when, counted from 1.
pub const DEPLOYMENT_REVISION: &str = "deployment.kubernetes.io/revision";
/// On routes: the cookie of the sessions that were asked for, as a server that does not know them keeps no trace.
pub const SESSION: &str = "slipway.dev/session";

/// On Environments that mirror one of another cluster: which, as `<namespace>.<name>`, or as much of it as a label takes.
pub const MIRROR_OF: &str = "slipway.dev/mirror-of";

/// On namespaces of previews: which Environment they are of, as a hash.
pub const PREVIEW_OF: &str = "slipway.dev/preview-of";
/// On namespaces of previews, and on what is copied into them: the number of the pull request.
pub const PREVIEW: &str = "slipway.dev/preview";
/// On namespaces of previews and on their Rollouts: namespace and name of the Environment.
pub const PREVIEW_ENVIRONMENT: &str = "slipway.dev/preview-environment";
/// On namespaces of previews: what they show.
pub const PREVIEW_RECORD: &str = "slipway.dev/preview-record";
/// On Rollouts of previews: the PipelineRun that they were copied for.
pub const PREVIEW_RUN: &str = "slipway.dev/preview-run";

/// On objects with rules: a hash of what was applied last, so that what is not wanted any more is taken out.
pub const APPLIED: &str = "slipway.dev/applied";

/// Finalizer of every kind that has something to put back before it goes.
pub const FINALIZER: &str = "slipway.dev/cleanup";
