//! Every word that an Event of ours may have as its reason, by the kind of object that it is about: a closed list, which
//! people's alerts and scripts stand on. Words are added, and never renamed. No I/O.
//!
//! `docs/reference/events.md` has the same list for people.

/// Kinds, and the reasons of Events about their objects, in the order of the alphabet.
pub const EVENTS: &[(&str, &[&str])] = &[
    (
        "Environment",
        &[
            "Connecting",
            "Deleting",
            "Forbidden",
            "Held",
            "IncidentOpen",
            "Migrating",
            "Mirror",
            "MissingReference",
            "NoRelease",
            "NotInstalled",
            "Promoting",
            "PromotionPending",
            "RollingBack",
            "Steady",
            "Unauthorized",
            "Unhealthy",
            "Unreachable",
            "Verifying",
            "WaitingForReference",
            "WriteBackDeclined",
            "WriteBackFailed",
            "WriteBackProposed",
            "WrittenBack",
        ],
    ),
    (
        "Pipeline",
        &[
            "Deleting",
            "DeletionRefused",
            "InvalidSpec",
            "LeftoversUnclear",
            "NoCaBundle",
            "Paused",
            "Resolving",
            "SourceRefused",
            "SourceUnavailable",
            "Suspended",
            "Watching",
        ],
    ),
    (
        "PipelineRun",
        &[
            "AwaitingApproval",
            "AwaitingTurn",
            "BenchmarkFailed",
            "BuildFailed",
            "Cancelled",
            "CloneFailed",
            "ConfigurationFailed",
            "DefinitionFailed",
            "Deleting",
            "Evicted",
            "Failed",
            "GateFailed",
            "InfrastructureFailed",
            "IsolationRefused",
            "LintFailed",
            "MigrateFailed",
            "NoCaBundle",
            "NoPipeline",
            "NoReceiver",
            "NoRunnerImage",
            "NoSecret",
            "OutOfMemory",
            "Paused",
            "PlatformUnsupported",
            "PreviewFailed",
            "PublishFailed",
            "Queued",
            "RegistryFailed",
            "Releasing",
            "Running",
            "ScanFailed",
            "ScriptFailed",
            "SecretsNotAllowed",
            "ServiceFailed",
            "SmokeFailed",
            "SourceUnavailable",
            "Succeeded",
            "Suspended",
            "TestFailed",
            "TimedOut",
        ],
    ),
    ("Promotion", &["Audited"]),
    (
        "Rollout",
        &[
            "Adopting",
            "AnalyseStep",
            "ApproveStep",
            "AutoscalerNotMoved",
            "ContainerConfig",
            "CrashLoop",
            "Deleting",
            "DeploymentBusy",
            "DeploymentMissing",
            "DeploymentNotPaused",
            "DeploymentTaken",
            "DeploymentUnfit",
            "FailureHeld",
            "FieldContested",
            "ForeignService",
            "GiveBackHeld",
            "GivingBack",
            "GoingBack",
            "Healthy",
            "ImagePull",
            "InvalidSpec",
            "NoRelease",
            "Orphaning",
            "OutOfMemory",
            "PauseStep",
            "Paused",
            "PodsNotTaken",
            "ProgressDeadline",
            "Promoting",
            "ReplicasDiffer",
            "Restarting",
            "RolledBack",
            "RollingBack",
            "RouteRefused",
            "RouteStep",
            "RunStep",
            "ScaleStep",
            "SetWeightStep",
            "StableDown",
            "TakingOver",
            "WaitingForPods",
            "WaitingForRoute",
        ],
    ),
];

/// Whether an Event about an object of this kind may have this reason.
pub fn is_known(kind: &str, reason: &str) -> bool {
    let mut kinds = EVENTS.iter();
    kinds.any(|(of, reasons)| *of == kind && reasons.contains(&reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_in_order_and_has_nothing_twice() {
        assert!(EVENTS.is_sorted_by(|(one, _), (next, _)| one < next));
        for (kind, reasons) in EVENTS {
            assert!(reasons.is_sorted_by(|one, next| one < next), "{kind}");
        }
    }

    #[test]
    fn a_reason_is_of_a_kind() {
        assert!(is_known("Rollout", "Healthy"));
        assert!(!is_known("Pipeline", "Healthy"));
    }
}
