//! One question to a cluster, the way kubectl would ask it. Talks to the API server.

mod place;
#[cfg(test)]
pub(crate) mod testing;

use std::fmt::Debug;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::time::Duration;

use http::HeaderValue;
use jiff::Timestamp;
use k8s_openapi::api::authentication::v1::{SelfSubjectReview, UserInfo};
use kube::api::{ApiResource, DynamicObject, ListParams, PostParams};
use kube::core::{NamespaceResourceScope, Status};
use kube::{Api, Client, Config, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::clock::Clock;
use crate::cluster::{client, page};
use crate::error::chain;
use crate::model::span::rough;
use crate::model::text::truncate;
use crate::telemetry::metrics::Metrics;
pub use place::{Place, context, span};

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(15);
/// Longest words of a server that are repeated, in bytes.
const MAX_WORDS: usize = 512;
/// What stands for an answer that did not come in time, as in HTTP.
const LATE: u16 = 504;

/// A cluster that can be asked.
pub struct Server {
    client: Client,
    /// For what is followed: it waits as long as it takes.
    patient: Client,
    address: String,
    namespace: String,
    patience: Duration,
    clock: Clock,
    /// Whether the last read failed by what may pass.
    may_pass: AtomicBool,
    /// The status of HTTP that the last question failed with; 0 where it did not.
    failed_with: AtomicU16,
}

impl Server {
    /// Finds the cluster.
    ///
    /// # Errors
    /// One clear sentence.
    pub async fn at(place: &Place) -> Result<Self, String> {
        let config = place::config(place).await?;
        let namespace = place.namespace.as_ref();
        let namespace = namespace.unwrap_or(&config.default_namespace).clone();
        let patience = place.request_timeout.unwrap_or(PATIENCE);
        Self::of(config, namespace, patience)
    }

    /// The cluster that nobody is logged in to: [`Self::as_bearer`] asks it.
    ///
    /// # Errors
    /// One clear sentence.
    pub fn without_login(config: Config) -> Result<Self, String> {
        Self::of(client::without_login(config), String::new(), PATIENCE)
    }

    fn of(config: Config, namespace: String, patience: Duration) -> Result<Self, String> {
        let address = config.cluster_url.to_string();
        let clock = Clock::default();
        let metrics = Metrics::new().map_err(|error| chain(&error))?;
        // Where one is installed already it is this one.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let unusable = |error: kube::Error| format!("cannot use the kubeconfig: {}", chain(&error));
        let patient = client::connect_to_follow(config.clone(), patience).map_err(unusable)?;
        let client = client::connect_once(config, patience, metrics, clock.clone());
        Ok(Self {
            client: client.map_err(unusable)?,
            patient,
            address: address.trim_end_matches('/').to_owned(),
            namespace,
            patience,
            clock,
            may_pass: AtomicBool::new(false),
            failed_with: AtomicU16::new(0),
        })
    }

    /// The same cluster, asked about another namespace.
    #[must_use]
    pub fn in_namespace(&self, namespace: &str) -> Self {
        Self {
            client: self.client.clone(),
            patient: self.patient.clone(),
            address: self.address.clone(),
            namespace: namespace.to_owned(),
            patience: self.patience,
            clock: self.clock.clone(),
            may_pass: AtomicBool::new(false),
            failed_with: AtomicU16::new(0),
        }
    }

    /// The same cluster, asked in the name of whoever has this token: the value of an `Authorization` header.
    #[must_use]
    pub fn as_bearer(&self, authorization: &HeaderValue) -> Self {
        let ours = |of: &Client| client::in_the_name_of(of, authorization);
        Self {
            client: ours(&self.client),
            patient: ours(&self.patient),
            ..self.in_namespace(&self.namespace)
        }
    }

    /// The server's time, as of its last answer.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Whether the last read failed by what may pass: the API server could not be reached, or had too much to do.
    pub fn may_pass(&self) -> bool {
        self.may_pass.load(Ordering::Relaxed)
    }

    /// The status of HTTP that the last question failed with, if it did.
    pub fn failed_with(&self) -> Option<u16> {
        let code = self.failed_with.load(Ordering::Relaxed);
        (code != 0).then_some(code)
    }

    /// Remembers how a question went.
    fn note<T>(&self, answer: &Result<T, kube::Error>) {
        self.note_end(answer.as_ref().err());
    }

    fn note_end(&self, error: Option<&kube::Error>) {
        self.may_pass
            .store(error.is_some_and(passes), Ordering::Relaxed);
        self.failed_with
            .store(error.map_or(0, code), Ordering::Relaxed);
    }

    /// What an error means of a question that was put through [`Self::client`]. It counts as if it had been asked here.
    pub fn told(&self, error: &kube::Error, what: &str, plural: &str) -> String {
        self.note_end(Some(error));
        explain(error, what, plural, &self.address)
    }

    /// Longest wait for an answer.
    pub fn patience(&self) -> Duration {
        self.patience
    }

    /// The namespace that is asked about.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// A client for other questions: an answer in time, or none.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// A client for answers that take as long as they take.
    pub fn patient_client(&self) -> Client {
        self.patient.clone()
    }

    /// The user that the API server takes us for.
    ///
    /// # Errors
    /// One clear sentence.
    pub async fn user(&self) -> Result<String, String> {
        self.whoami()
            .await?
            .username
            .ok_or_else(|| "the API server does not say who you are".to_owned())
    }

    /// The same, with the groups.
    ///
    /// # Errors
    /// One clear sentence.
    pub async fn whoami(&self) -> Result<UserInfo, String> {
        let answer = self.review(&SelfSubjectReview::default()).await;
        let answer =
            answer.map_err(|why| format!("cannot ask {} who you are: {why}", self.address))?;
        let info = answer.status.and_then(|status| status.user_info);
        Ok(info.unwrap_or_default())
    }

    /// Asks a question that is put as an object, of which nothing is stored.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn review<K>(&self, question: &K) -> Result<K, String>
    where
        K: Resource<DynamicType = ()>,
        K: Clone + Debug + DeserializeOwned + Serialize,
    {
        let api: Api<K> = Api::all(self.client.clone());
        #[expect(
            clippy::disallowed_methods,
            reason = "a review is a question, nothing is stored"
        )]
        let answer = api.create(&PostParams::default(), question).await;
        self.note(&answer);
        answer.map_err(|error| chain(&error))
    }

    /// The version of the API server.
    ///
    /// # Errors
    /// One clear sentence.
    pub async fn version(&self) -> Result<String, String> {
        let version = self.client.apiserver_version().await;
        let version = version
            .map_err(|error| explain(&error, "the version of the cluster", "", &self.address))?;
        Ok(version.git_version)
    }

    /// The API groups that the API server has.
    ///
    /// # Errors
    /// One clear sentence.
    pub async fn groups(&self) -> Result<Vec<String>, String> {
        let groups = self.client.list_api_groups().await;
        let groups =
            groups.map_err(|error| explain(&error, "the API groups", "", &self.address))?;
        Ok(groups.groups.into_iter().map(|group| group.name).collect())
    }

    /// Makes an object, in the name of whoever runs this.
    ///
    /// # Errors
    /// One clear sentence.
    pub async fn create<K>(&self, object: &K) -> Result<K, String>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
        K: Clone + Debug + DeserializeOwned + Serialize,
    {
        self.create_with(object, &PostParams::default()).await
    }

    /// The same; with a dry run the API server says what it would say, and nothing is made.
    ///
    /// # Errors
    /// One clear sentence.
    pub async fn create_with<K>(&self, object: &K, params: &PostParams) -> Result<K, String>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
        K: Clone + Debug + DeserializeOwned + Serialize,
    {
        let api: Api<K> = Api::namespaced(self.client.clone(), &self.namespace);
        #[expect(
            clippy::disallowed_methods,
            reason = "it is a person who writes here, not the operator"
        )]
        let made = api.create(params, object).await;
        self.note(&made);
        made.map_err(|error| {
            let what = format!("a {} in {}", K::kind(&()), self.namespace);
            if let kube::Error::Api(status) = &error
                && !matches!(status.code, 401 | 404)
            {
                let words = truncate(&status.message, MAX_WORDS);
                return format!("cannot make {what}: {words}");
            }
            explain(&error, &what, &K::plural(&()), &self.address)
        })
    }

    /// Reads the objects with these labels.
    ///
    /// # Errors
    /// One clear sentence.
    pub async fn list<K>(&self, labels: &str) -> Result<Vec<K>, String>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
        K: Clone + Debug + DeserializeOwned,
    {
        let api: Api<K> = Api::namespaced(self.client.clone(), &self.namespace);
        self.listed(&api, labels, &self.namespace).await
    }

    /// Reads the objects with these labels in another namespace.
    ///
    /// # Errors
    /// One clear sentence.
    pub async fn list_in<K>(&self, namespace: &str, labels: &str) -> Result<Vec<K>, String>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
        K: Clone + Debug + DeserializeOwned,
    {
        let api: Api<K> = Api::namespaced(self.client.clone(), namespace);
        self.listed(&api, labels, namespace).await
    }

    /// Reads the objects with these labels in all namespaces.
    ///
    /// # Errors
    /// One clear sentence.
    pub async fn list_everywhere<K>(&self, labels: &str) -> Result<Vec<K>, String>
    where
        K: Resource<DynamicType = ()>,
        K: Clone + Debug + DeserializeOwned,
    {
        let api: Api<K> = Api::all(self.client.clone());
        self.listed(&api, labels, "all namespaces").await
    }

    async fn listed<K>(&self, api: &Api<K>, labels: &str, of: &str) -> Result<Vec<K>, String>
    where
        K: Resource<DynamicType = ()>,
        K: Clone + Debug + DeserializeOwned,
    {
        let list = page::list(api, &ListParams::default().labels(labels)).await;
        self.note(&list);
        list.map_err(|error| {
            let what = format!("{} of {of}", K::plural(&()));
            explain(&error, &what, &K::plural(&()), &self.address)
        })
    }

    /// Reads one object.
    ///
    /// # Errors
    /// One clear sentence.
    pub async fn get<K>(&self, name: &str) -> Result<K, String>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
        K: Clone + Debug + DeserializeOwned,
    {
        let found = self.find(name).await?;
        found.ok_or_else(|| {
            self.failed_with.store(404, Ordering::Relaxed);
            format!("there is no {}", self.what::<K>(name))
        })
    }

    /// Reads one object, which need not be there.
    ///
    /// # Errors
    /// One clear sentence.
    pub async fn find<K>(&self, name: &str) -> Result<Option<K>, String>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
        K: Clone + Debug + DeserializeOwned,
    {
        let server = &self.address;
        let api: Api<K> = Api::namespaced(self.client.clone(), &self.namespace);
        let answer = tokio::time::timeout(self.patience, api.get(name)).await;
        let answer = answer.map_err(|_| {
            self.may_pass.store(true, Ordering::Relaxed);
            self.failed_with.store(LATE, Ordering::Relaxed);
            let patience = rough(self.patience);
            format!("no answer from the API server at {server} within {patience}")
        })?;
        self.note(&answer);
        match answer {
            Ok(object) => Ok(Some(object)),
            Err(kube::Error::Api(status)) if status.code == 404 && names_object(&status) => {
                self.failed_with.store(0, Ordering::Relaxed);
                Ok(None)
            }
            Err(error) => Err(explain(
                &error,
                &self.what::<K>(name),
                &K::plural(&()),
                server,
            )),
        }
    }

    /// Reads one object of a kind that is only known by now.
    ///
    /// # Errors
    /// One clear sentence.
    pub async fn object(&self, of: &ApiResource, name: &str) -> Result<DynamicObject, String> {
        let api: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), &self.namespace, of);
        let answer = api.get(name).await;
        self.note(&answer);
        answer.map_err(|error| {
            let what = format!("{} {}/{name}", of.kind, self.namespace);
            explain(&error, &what, &of.plural, &self.address)
        })
    }

    fn what<K: Resource<DynamicType = ()>>(&self, name: &str) -> String {
        format!("{} {}/{name}", K::kind(&()), self.namespace)
    }
}

/// Whether what failed may do better a moment later.
fn passes(error: &kube::Error) -> bool {
    if let kube::Error::Api(status) = error {
        return status.code == 429 || status.code >= 500;
    }
    matches!(
        error,
        kube::Error::HyperError(_) | kube::Error::Service(_) | kube::Error::ReadEvents(_)
    )
}

/// The status of HTTP that says the same.
fn code(error: &kube::Error) -> u16 {
    if let kube::Error::Api(status) = error {
        return status.code;
    }
    if passes(error) { 503 } else { 502 }
}

/// A kind that is not there is another 404 than an object that is not: a plain one, or one that names no object.
fn names_object(status: &Status) -> bool {
    let details = status.details.as_ref();
    details.is_some_and(|of| !of.name.is_empty())
}

/// What an error means to somebody who asked for an object.
fn explain(error: &kube::Error, what: &str, plural: &str, server: &str) -> String {
    if let kube::Error::Api(status) = error {
        return answered(status, what, plural, server);
    }
    if let kube::Error::SerdeError(error) = error {
        return format!(
            "cannot understand {what}: {error}; is this plugin as new as the operator?"
        );
    }
    if let kube::Error::Auth(error) = error {
        return format!("cannot log in to {server}: {}", chain(error));
    }
    format!("cannot reach the API server at {server}: {}", chain(error))
}

/// What a refusal means.
fn answered(status: &Status, what: &str, plural: &str, server: &str) -> String {
    match status.code {
        404 if names_object(status) => format!("there is no {what}"),
        404 => format!(
            "the cluster at {server} has no {plural}.slipway.dev: are Slipway's definitions installed?"
        ),
        401 => format!("the API server at {server} does not know who you are: log in again"),
        _ => {
            let words = truncate(&status.message, MAX_WORDS);
            format!("cannot read {what}: {words}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(status: serde_json::Value) -> String {
        let status: Status = serde_json::from_value(status).unwrap();
        let error = kube::Error::Api(Box::new(status));
        explain(&error, "Rollout shop/api", "rollouts", "https://k8s")
    }

    #[test]
    fn an_api_server_that_is_busy_may_do_better_and_one_that_refuses_will_not() {
        let passes = |code: u16| {
            let status =
                serde_json::json!({"status": "Failure", "message": "", "reason": "", "code": code});
            let status: Status = serde_json::from_value(status).unwrap();
            passes(&kube::Error::Api(Box::new(status)))
        };
        assert!([429, 500, 503].into_iter().all(passes));
        assert!(![401, 403, 404].into_iter().any(passes));
        let error = std::io::Error::other("reset");
        assert!(super::passes(&kube::Error::Service(error.into())));
    }

    #[test]
    fn an_answer_of_the_server_becomes_one_sentence() {
        use serde_json::json;
        let missing = json!({"code": 404, "reason": "NotFound", "details": {"name": "api", "kind": "rollouts"}});
        assert_eq!(told(missing), "there is no Rollout shop/api");
        let no_kind = json!({"code": 404, "message": "404 page not found"});
        assert!(told(no_kind).contains("has no rollouts.slipway.dev"));
        let refused = json!({"code": 403, "reason": "Forbidden", "message": "olga may not"});
        assert_eq!(told(refused), "cannot read Rollout shop/api: olga may not");
        assert!(told(json!({"code": 401})).contains("log in again"));
    }
}
