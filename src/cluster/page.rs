//! Lists, page by page: the answer to one question stays small, however much there is. Talks to the API server.

use std::fmt::Debug;

use kube::Api;
use kube::api::ListParams;
use serde::de::DeserializeOwned;

/// Objects in a page, as client-go asks for them.
const PAGE: u32 = 500;

/// All that these parameters select. Where the API server has forgotten in the middle of it what it began with, all is asked for at once, as
/// client-go does: what comes is of one moment, always.
///
/// # Errors
/// The first that there is.
pub async fn list<K>(api: &Api<K>, params: &ListParams) -> kube::Result<Vec<K>>
where
    K: Clone + DeserializeOwned + Debug,
{
    let mut params = params.clone().limit(PAGE);
    let mut all = Vec::new();
    loop {
        let page = match api.list(&params).await {
            Err(kube::Error::Api(status))
                if status.code == 410 && params.continue_token.is_some() =>
            {
                params.limit = None;
                params.continue_token = None;
                all.clear();
                continue;
            }
            answer => answer?,
        };
        all.extend(page.items);
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params.continue_token = Some(token),
            None => return Ok(all),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::{Arc, Mutex};

    use http::{Request, Response};
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::client::Body;
    use kube::{Client, ResourceExt};
    use serde_json::{Value, json};
    use tower::service_fn;

    use super::*;

    /// A page with one object, or what stands for it.
    fn page(name: &str, token: &str) -> (u16, Value) {
        let object = json!({"metadata": {"name": name}});
        let metadata = json!({"resourceVersion": "7", "continue": token});
        (200, json!({"metadata": metadata, "items": [object]}))
    }

    fn expired() -> (u16, Value) {
        let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 410, "reason": "Expired",
            "message": "too old"});
        (410, status)
    }

    /// What an API server that answers these, one after the other, has; and what it was asked.
    async fn listed(answers: Vec<(u16, Value)>) -> (kube::Result<Vec<String>>, Vec<String>) {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&asked);
        let answers = Arc::new(Mutex::new(answers.into_iter()));
        let service = service_fn(move |request: Request<Body>| {
            let query = request.uri().query().unwrap_or_default().to_owned();
            told.lock().unwrap().push(query);
            let (code, body) = answers.lock().unwrap().next().expect("asked too often");
            let body = Body::from(body.to_string().into_bytes());
            let answer = Response::builder().status(code).body(body).unwrap();
            async move { Ok::<_, Infallible>(answer) }
        });
        let api: Api<ConfigMap> = Api::namespaced(Client::new(service, "default"), "shop");
        let all = list(&api, &ListParams::default().labels("app=api")).await;
        let names = all.map(|all| all.iter().map(ResourceExt::name_any).collect());
        let asked = asked.lock().unwrap().clone();
        (names, asked)
    }

    #[tokio::test]
    async fn a_long_list_comes_in_pages() {
        let (names, asked) =
            listed(vec![page("a", "next"), page("b", "last"), page("c", "")]).await;
        assert_eq!(names.unwrap(), ["a", "b", "c"]);
        assert!(asked.iter().all(|query| query.contains("limit=500")));
        assert!(
            asked
                .iter()
                .all(|query| query.contains("labelSelector=app"))
        );
        let goes_on = |query: &String| query.contains("continue=");
        assert_eq!(
            asked.iter().map(goes_on).collect::<Vec<_>>(),
            [false, true, true]
        );
        assert!(asked[1].contains("continue=next") && asked[2].contains("continue=last"));
    }

    #[tokio::test]
    async fn a_list_that_was_forgotten_in_the_middle_is_asked_for_whole() {
        let (names, asked) = listed(vec![page("a", "next"), expired(), page("b", "")]).await;
        assert_eq!(names.unwrap(), ["b"], "nothing of the moment before");
        assert!(!asked[2].contains("limit=") && !asked[2].contains("continue="));
        let (names, asked) = listed(vec![expired()]).await;
        assert!(names.is_err(), "a first page is not forgotten");
        assert_eq!(asked.len(), 1);
    }
}
