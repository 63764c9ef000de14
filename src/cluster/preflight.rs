//! What has to be there before the operator can work: a cluster, our CRDs, our permissions. Talks to the API server.

use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use kube::api::PostParams;
use kube::{Api, Client};

use crate::kinds::KINDS;
use crate::model::object::ObjectKind;
use crate::permission::{self, Extra};

/// Why the operator cannot start. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum PreflightError {
    /// Nobody answers.
    #[error(
        "cannot reach the API server; check the kubeconfig, or that the pod may talk to the cluster's API"
    )]
    NoCluster(#[source] Box<kube::Error>),
    /// Our kinds are not known.
    #[error(
        "the cluster does not know {}; install the CRDs: slipway crds | kubectl apply --server-side -f -",
        .0.join(", ")
    )]
    MissingCrds(Vec<String>),
    /// We may not do what we have to do.
    #[error(
        "missing permissions: {}; install the ClusterRole of the chart, or bind it to this ServiceAccount (secrets: also secretSnapshots.enabled, analysis.secrets.enabled or stages.secrets.enabled; tokenreviews: receiver.enabled; namespaces: previews.enabled; environments: clusters.enabled)",
        .0.join(", ")
    )]
    MissingPermissions(Vec<String>),
    /// A check itself failed.
    #[error("failed to check {what}")]
    Check {
        /// What was being checked.
        what: &'static str,
        /// The cause.
        source: Box<kube::Error>,
    },
}

/// Checks everything, in the order in which people would fix it. Rights on Secrets are needed only by an operator that
/// copies them, or reads them for metrics or Pipelines.
pub async fn check(
    client: &Client,
    namespaces: &[String],
    extra: Extra,
) -> Result<(), PreflightError> {
    let version = client.apiserver_version().await;
    version.map_err(|error| PreflightError::NoCluster(Box::new(error)))?;
    crds(client).await?;
    permissions(client, namespaces, extra).await
}

/// Checks that our kinds are there.
///
/// # Errors
/// Those that are not.
pub async fn crds(client: &Client) -> Result<(), PreflightError> {
    let wanted = KINDS.iter().map(|kind| kind.plural);
    let known = match client
        .list_api_group_resources("slipway.dev/v1alpha1")
        .await
    {
        Ok(list) => list
            .resources
            .into_iter()
            .map(|resource| resource.name)
            .collect(),
        Err(kube::Error::Api(status)) if status.is_not_found() => Vec::new(),
        Err(error) => {
            return Err(PreflightError::Check {
                what: "the CRDs",
                source: Box::new(error),
            });
        }
    };
    let missing: Vec<String> = wanted
        .filter(|plural| !known.iter().any(|name| name == plural))
        .map(|plural| format!("{plural}.slipway.dev"))
        .collect();
    if missing.is_empty() {
        Ok(())
    } else {
        Err(PreflightError::MissingCrds(missing))
    }
}

async fn permissions(
    client: &Client,
    namespaces: &[String],
    extra: Extra,
) -> Result<(), PreflightError> {
    let mut missing = Vec::new();
    for namespace in namespaces {
        for (kind, subresource, verbs) in permission::needed(extra) {
            // A right on what is in no namespace is given for all of them or not at all.
            let is_of_cluster = matches!(kind, ObjectKind::TokenReview | ObjectKind::Namespace);
            let namespace = if is_of_cluster { "" } else { namespace };
            for verb in *verbs {
                if !allowed(client, namespace, *kind, subresource, verb).await? {
                    let slash = if subresource.is_empty() { "" } else { "/" };
                    missing.push(format!("{verb} {}{slash}{subresource}", kind.plural()));
                }
            }
        }
    }
    missing.sort();
    missing.dedup();
    if missing.is_empty() {
        Ok(())
    } else {
        Err(PreflightError::MissingPermissions(missing))
    }
}

async fn allowed(
    client: &Client,
    namespace: &str,
    kind: ObjectKind,
    subresource: &str,
    verb: &str,
) -> Result<bool, PreflightError> {
    let attributes = ResourceAttributes {
        namespace: Some(namespace.to_owned()),
        group: Some(kind.group().to_owned()),
        resource: Some(kind.plural().to_owned()),
        subresource: Some(subresource.to_owned()),
        verb: Some(verb.to_owned()),
        ..ResourceAttributes::default()
    };
    let review = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(attributes),
            ..SelfSubjectAccessReviewSpec::default()
        },
        ..SelfSubjectAccessReview::default()
    };
    let api: Api<SelfSubjectAccessReview> = Api::all(client.clone());
    #[expect(
        clippy::disallowed_methods,
        reason = "a review is a question, nothing is stored"
    )]
    let answer = api.create(&PostParams::default(), &review).await;
    let answer = answer.map_err(|error| PreflightError::Check {
        what: "our permissions",
        source: Box::new(error),
    })?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}
