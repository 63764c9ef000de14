//! The closed list of object kinds that the operator reads or writes. No I/O.
//!
//! The chart's ClusterRole is checked against this list, so a kind that is not here cannot be touched.

use kube::api::{ApiResource, GroupVersionKind};

macro_rules! object_kinds {
    ($($(#[$doc:meta])* $name:ident = ($group:literal, $version:literal, $plural:literal, $kind:literal)),* $(,)?) => {
        /// An object kind that the operator reads or writes.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
        pub enum ObjectKind { $($(#[$doc])* $name),* }

        impl ObjectKind {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// API group, `""` for the core group.
            pub const fn group(self) -> &'static str {
                match self { $(Self::$name => $group),* }
            }

            /// API version within the group.
            pub const fn version(self) -> &'static str {
                match self { $(Self::$name => $version),* }
            }

            /// The name in URLs and in RBAC rules.
            pub const fn plural(self) -> &'static str {
                match self { $(Self::$name => $plural),* }
            }

            /// The name in manifests.
            pub const fn kind(self) -> &'static str {
                match self { $(Self::$name => $kind),* }
            }
        }
    };
}

object_kinds! {
    /// What people write: how a repository becomes Releases.
    Pipeline = ("slipway.dev", "v1alpha1", "pipelines", "Pipeline"),
    /// What people write: where Releases go.
    Environment = ("slipway.dev", "v1alpha1", "environments", "Environment"),
    /// What people write: a workload, and how traffic moves between its revisions.
    Rollout = ("slipway.dev", "v1alpha1", "rollouts", "Rollout"),
    /// What people write: metrics that several Rollouts share.
    AnalysisTemplate = ("slipway.dev", "v1alpha1", "analysistemplates", "AnalysisTemplate"),
    /// One execution of a Pipeline.
    PipelineRun = ("slipway.dev", "v1alpha1", "pipelineruns", "PipelineRun"),
    /// Artifact digests with their evidence.
    Release = ("slipway.dev", "v1alpha1", "releases", "Release"),
    /// One attempt to bring a Release into an Environment.
    Promotion = ("slipway.dev", "v1alpha1", "promotions", "Promotion"),
    /// One human act.
    Decision = ("slipway.dev", "v1alpha1", "decisions", "Decision"),
    /// The pods of one revision.
    ReplicaSet = ("apps", "v1", "replicasets", "ReplicaSet"),
    /// What a Rollout takes over, read only.
    Deployment = ("apps", "v1", "deployments", "Deployment"),
    /// Who else scales a Deployment that is taken over, read only.
    HorizontalPodAutoscaler = ("autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler"),
    /// The spec that a PipelineRun runs.
    ControllerRevision = ("apps", "v1", "controllerrevisions", "ControllerRevision"),
    /// Pods; only their labels are written, of those that are taken over.
    Pod = ("", "v1", "pods", "Pod"),
    /// What selects the pods of a revision.
    Service = ("", "v1", "services", "Service"),
    /// Which pods really answer, read only.
    EndpointSlice = ("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice"),
    /// The weights.
    HttpRoute = ("gateway.networking.k8s.io", "v1", "httproutes", "HTTPRoute"),
    /// Weights of gRPC.
    GrpcRoute = ("gateway.networking.k8s.io", "v1", "grpcroutes", "GRPCRoute"),
    /// Weights of Istio.
    VirtualService = ("networking.istio.io", "v1", "virtualservices", "VirtualService"),
    /// What Istio's subsets select.
    DestinationRule = ("networking.istio.io", "v1", "destinationrules", "DestinationRule"),
    /// Weights of Traefik.
    TraefikService = ("traefik.io", "v1alpha1", "traefikservices", "TraefikService"),
    /// Weights of ingress-nginx.
    Ingress = ("networking.k8s.io", "v1", "ingresses", "Ingress"),
    /// What Prometheus records and alerts about.
    PrometheusRule = ("monitoring.coreos.com", "v1", "prometheusrules", "PrometheusRule"),
    /// Stages of a run, smoke tests.
    Job = ("batch", "v1", "jobs", "Job"),
    /// What pods read, and the copies that revisions have.
    ConfigMap = ("", "v1", "configmaps", "ConfigMap"),
    /// The same for what is not to be seen. Only where the operator is told that it may.
    Secret = ("", "v1", "secrets", "Secret"),
    /// Of a preview. Only where the operator is told that it may.
    Namespace = ("", "v1", "namespaces", "Namespace"),
    /// What the pods of a preview may use together.
    ResourceQuota = ("", "v1", "resourcequotas", "ResourceQuota"),
    /// What containers of a preview may use that do not say it.
    LimitRange = ("", "v1", "limitranges", "LimitRange"),
    /// Who may connect to the pods of a preview.
    NetworkPolicy = ("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy"),
    /// Who migrates a database; in the operator's own namespace.
    Lease = ("coordination.k8s.io", "v1", "leases", "Lease"),
    /// The question whose token something is. Only where stage pods send what they say.
    TokenReview = ("authentication.k8s.io", "v1", "tokenreviews", "TokenReview"),
}

impl ObjectKind {
    /// `group/version`, or only the version in the core group.
    pub fn api_version(self) -> String {
        match self.group() {
            "" => self.version().to_owned(),
            group => format!("{group}/{}", self.version()),
        }
    }

    /// What kube needs to talk about objects of this kind.
    pub fn api_resource(self) -> ApiResource {
        let gvk = GroupVersionKind::gvk(self.group(), self.version(), self.kind());
        ApiResource::from_gvk_with_plural(&gvk, self.plural())
    }

    /// Whether it is one of our own kinds.
    pub fn is_own(self) -> bool {
        self.group() == "slipway.dev"
    }

    /// The kind with this name in our own group.
    pub fn own(kind: &str) -> Option<Self> {
        let ours =
            |candidate: &&Self| candidate.group() == "slipway.dev" && candidate.kind() == kind;
        Self::ALL.iter().find(ours).copied()
    }
}
