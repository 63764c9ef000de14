//! Asks the API server whose token it is. Talks to the API server.

use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, UserInfo};
use kube::Api;
use kube::api::PostParams;

use super::Cluster;

/// How the API server names ServiceAccounts.
const ACCOUNT: &str = "system:serviceaccount:";
/// Where it says which pod a token is bound to.
const POD_NAME: &str = "authentication.kubernetes.io/pod-name";
const POD_UID: &str = "authentication.kubernetes.io/pod-uid";

/// Whose token it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Namespace of the ServiceAccount.
    pub namespace: String,
    /// Name and uid of the pod that the token is bound to.
    pub pod: Option<(String, String)>,
}

impl Cluster {
    /// The ServiceAccount whose token for `audience` it is; nothing where it is none, or does not count any more.
    ///
    /// # Errors
    /// If the API server does not answer.
    pub async fn review(
        &self,
        token: &str,
        audience: &str,
    ) -> Result<Option<Account>, Box<kube::Error>> {
        let review = TokenReview {
            spec: TokenReviewSpec {
                audiences: Some(vec![audience.to_owned()]),
                token: token.to_owned(),
            },
            ..TokenReview::default()
        };
        let reviews: Api<TokenReview> = Api::all(self.client().clone());
        #[expect(
            clippy::disallowed_methods,
            reason = "a review is a question, nothing is stored"
        )]
        let answer = reviews.create(&PostParams::default(), &review).await;
        let status = answer.map_err(Box::new)?.status.unwrap_or_default();
        let is_for_it = status
            .audiences
            .is_some_and(|all| all.iter().any(|one| one == audience));
        if status.authenticated != Some(true) || !is_for_it {
            return Ok(None);
        }
        Ok(status.user.as_ref().and_then(account))
    }
}

fn account(user: &UserInfo) -> Option<Account> {
    let rest = user.username.as_deref()?.strip_prefix(ACCOUNT)?;
    let (namespace, _) = rest.split_once(':')?;
    let extra = |key| user.extra.as_ref()?.get(key)?.first().cloned();
    Some(Account {
        namespace: namespace.to_owned(),
        pod: extra(POD_NAME).zip(extra(POD_UID)),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_token_of_a_pod_names_the_pod() {
        let user = json!({"username": "system:serviceaccount:shop:default", "extra": {
            "authentication.kubernetes.io/pod-name": ["unit-1-abcde"],
            "authentication.kubernetes.io/pod-uid": ["4c1d"]}});
        let read = account(&serde_json::from_value(user).unwrap()).unwrap();
        assert_eq!(read.namespace, "shop");
        assert_eq!(read.pod, Some(("unit-1-abcde".into(), "4c1d".into())));
        let people = json!({"username": "alice@example.com"});
        assert_eq!(account(&serde_json::from_value(people).unwrap()), None);
    }
}
