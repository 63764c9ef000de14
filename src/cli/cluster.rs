//! One question to a cluster, the way kubectl would ask it. Talks to the API server.

use std::fmt::Debug;
use std::time::Duration;

use jiff::Timestamp;
use kube::config::{KubeConfigOptions, KubeconfigError};
use kube::core::{NamespaceResourceScope, Status};
use kube::{Api, Client, Config, Resource};
use serde::de::DeserializeOwned;

use crate::clock::Clock;
use crate::cluster::client;
use crate::error::chain;
use crate::model::condition::truncate;
use crate::telemetry::metrics::Metrics;

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(15);
/// Longest words of a server that are repeated, in bytes.
const MAX_WORDS: usize = 512;

/// Which cluster, and which namespace.
#[derive(Debug, clap::Args)]
pub struct Place {
    /// Namespace; by default that of the context.
    #[arg(short, long)]
    pub namespace: Option<String>,
    /// Context of the kubeconfig; by default the current one.
    #[arg(long)]
    pub context: Option<String>,
}

/// A cluster that can be asked.
pub struct Server {
    client: Client,
    address: String,
    namespace: String,
    clock: Clock,
}

impl Server {
    /// Finds the cluster.
    ///
    /// # Errors
    /// One clear sentence.
    pub async fn at(place: &Place) -> Result<Self, String> {
        let config = config(place).await?;
        let address = config.cluster_url.to_string();
        let namespace = place.namespace.as_ref();
        let namespace = namespace.unwrap_or(&config.default_namespace).clone();
        let clock = Clock::default();
        let metrics = Metrics::new().map_err(|error| chain(&error))?;
        // Where one is installed already it is this one.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let client = client::connect_once(config, PATIENCE, metrics, clock.clone())
            .map_err(|error| format!("cannot use the kubeconfig: {}", chain(&error)))?;
        Ok(Self {
            client,
            address: address.trim_end_matches('/').to_owned(),
            namespace,
            clock,
        })
    }

    /// The server's time, as of its last answer.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
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
        found.ok_or_else(|| format!("there is no {}", self.what::<K>(name)))
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
        let answer = tokio::time::timeout(PATIENCE, api.get(name)).await;
        let answer = answer.map_err(|_| {
            let seconds = PATIENCE.as_secs();
            format!("no answer from the API server at {server} within {seconds} s")
        })?;
        match answer {
            Ok(object) => Ok(Some(object)),
            Err(kube::Error::Api(status)) if status.code == 404 && names_object(&status) => {
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

    fn what<K: Resource<DynamicType = ()>>(&self, name: &str) -> String {
        format!("{} {}/{name}", K::kind(&()), self.namespace)
    }
}

/// A kind that is not there is another 404 than an object that is not: a plain one, or one that names no object.
fn names_object(status: &Status) -> bool {
    let details = status.details.as_ref();
    details.is_some_and(|of| !of.name.is_empty())
}

async fn config(place: &Place) -> Result<Config, String> {
    if let Some(context) = &place.context {
        let options = KubeConfigOptions {
            context: Some(context.clone()),
            ..KubeConfigOptions::default()
        };
        let found = Config::from_kubeconfig(&options).await;
        return found.map_err(|error| {
            if let KubeconfigError::LoadContext(name) = error {
                return format!("there is no context {name} in the kubeconfig");
            }
            no_cluster(&error)
        });
    }
    Config::infer().await.map_err(|error| {
        let cause = std::error::Error::source(&error);
        no_cluster(cause.unwrap_or(&error))
    })
}

fn no_cluster(error: &dyn std::error::Error) -> String {
    format!(
        "no cluster to ask: {}; set KUBECONFIG, or name a context with --context",
        chain(error)
    )
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
