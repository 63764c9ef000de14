//! Whether whoever asks may do something. Talks to the API server.

use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};

use super::cluster::Server;

/// A verb on the objects of a resource in a namespace.
pub fn attributes(
    namespace: &str,
    (verb, group, resource): (&str, &str, &str),
) -> ResourceAttributes {
    ResourceAttributes {
        namespace: Some(namespace.to_owned()),
        verb: Some(verb.to_owned()),
        group: Some(group.to_owned()),
        resource: Some(resource.to_owned()),
        ..ResourceAttributes::default()
    }
}

/// Whether whoever asks may do that.
///
/// # Errors
/// Why there is no answer.
pub async fn may(server: &Server, what: ResourceAttributes) -> Result<bool, String> {
    let review = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(what),
            ..SelfSubjectAccessReviewSpec::default()
        },
        ..SelfSubjectAccessReview::default()
    };
    let answer = server.review(&review).await?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}
