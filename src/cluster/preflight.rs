//! What has to be there before the operator can work: a cluster, our CRDs, our permissions. Talks to the API server.

use std::time::Duration;

use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::time::{Instant, interval};
use tracing::info;

use crate::kinds::KINDS;
use crate::model::object::ObjectKind;
use crate::permission::{self, Extra};

/// Longest wait for kinds that the cluster does not know: definitions that were applied a moment ago are not served at once. The
/// probe of the chart, which nothing answers until then, gives it 25 s.
const SETTLE: Duration = Duration::from_secs(20);
/// Time between two looks.
const LOOK: Duration = Duration::from_millis(500);

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
    crds_in_time(client).await?;
    permissions(client, namespaces, extra).await
}

/// Checks that our kinds are there.
///
/// # Errors
/// Those that are not.
pub async fn crds(client: &Client) -> Result<(), PreflightError> {
    let missing = missing(&known(client).await?);
    if missing.is_empty() {
        Ok(())
    } else {
        Err(PreflightError::MissingCrds(missing))
    }
}

/// Waits a while for our kinds, and says so once.
async fn crds_in_time(client: &Client) -> Result<(), PreflightError> {
    let since = Instant::now();
    let mut looks = interval(LOOK);
    let mut is_told = false;
    loop {
        looks.tick().await;
        let missing = missing(&known(client).await?);
        match next(&missing, since.elapsed()) {
            Next::GoOn => return Ok(()),
            Next::GiveUp => return Err(PreflightError::MissingCrds(missing)),
            Next::LookAgain => {
                if !is_told {
                    info!(
                        kinds = missing.join(", "),
                        seconds = SETTLE.as_secs(),
                        "the cluster does not serve all kinds yet; waiting for them"
                    );
                }
                is_told = true;
            }
        }
    }
}

/// The kinds of our group and version that the cluster serves, by their plurals.
async fn known(client: &Client) -> Result<Vec<String>, PreflightError> {
    match client
        .list_api_group_resources("slipway.dev/v1alpha1")
        .await
    {
        Ok(list) => {
            let names = list.resources.into_iter().map(|resource| resource.name);
            Ok(names.collect())
        }
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(Vec::new()),
        Err(error) => Err(PreflightError::Check {
            what: "the CRDs",
            source: Box::new(error),
        }),
    }
}

/// Names of the definitions of ours that are not among those that the cluster serves.
fn missing(known: &[String]) -> Vec<String> {
    let wanted = KINDS.iter().map(|kind| kind.plural);
    wanted
        .filter(|plural| !known.iter().any(|name| name == plural))
        .map(|plural| format!("{plural}.slipway.dev"))
        .collect()
}

/// What follows from a look at the kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    GoOn,
    LookAgain,
    GiveUp,
}

/// What follows from what is missing after so long a wait.
fn next(missing: &[String], waited: Duration) -> Next {
    if missing.is_empty() {
        Next::GoOn
    } else if waited < SETTLE {
        Next::LookAgain
    } else {
        Next::GiveUp
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_that_is_not_served_is_named_by_its_definition() {
        let mut known: Vec<String> = KINDS.iter().map(|kind| kind.plural.to_owned()).collect();
        // Subresources stand among them.
        known.push("rollouts/status".to_owned());
        assert_eq!(missing(&known), Vec::<String>::new());
        known.retain(|name| name != "rollouts");
        assert_eq!(missing(&known), ["rollouts.slipway.dev"]);
        assert_eq!(missing(&[]).len(), KINDS.len());
    }

    #[test]
    fn what_is_missing_is_waited_for_until_the_time_is_over() {
        let rollouts = ["rollouts.slipway.dev".to_owned()];
        assert_eq!(next(&[], Duration::ZERO), Next::GoOn);
        assert_eq!(next(&rollouts, Duration::ZERO), Next::LookAgain);
        assert_eq!(next(&rollouts, SETTLE / 2), Next::LookAgain);
        assert_eq!(next(&rollouts, SETTLE), Next::GiveUp);
        assert_eq!(next(&[], SETTLE), Next::GoOn);
    }
}
