//! One question to a cluster, the way kubectl would ask it. Talks to the API server.

use std::fmt::Debug;
use std::time::Duration;

use jiff::Timestamp;
use kube::config::{KubeConfigOptions, KubeconfigError};
use kube::core::{NamespaceResourceScope, Status};
use kube::{Api, Config, Resource};
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

/// Reads one object, and the API server's time.
///
/// # Errors
/// One clear sentence.
pub async fn get<K>(place: &Place, name: &str) -> Result<(K, Timestamp), String>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    K: Clone + Debug + DeserializeOwned,
{
    let config = config(place).await?;
    let server = config.cluster_url.to_string();
    let server = server.trim_end_matches('/').to_owned();
    let namespace = place
        .namespace
        .as_ref()
        .unwrap_or(&config.default_namespace);
    let clock = Clock::default();
    let metrics = Metrics::new().map_err(|error| chain(&error))?;
    // Where one is installed already it is this one.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let namespace = namespace.clone();
    let client = client::connect_once(config, PATIENCE, metrics, clock.clone())
        .map_err(|error| format!("cannot use the kubeconfig: {}", chain(&error)))?;
    let api: Api<K> = Api::namespaced(client, &namespace);
    let answer = tokio::time::timeout(PATIENCE, api.get(name)).await;
    let answer = answer.map_err(|_| {
        let seconds = PATIENCE.as_secs();
        format!("no answer from the API server at {server} within {seconds} s")
    })?;
    let object = answer.map_err(|error| {
        let what = format!("{} {namespace}/{name}", K::kind(&()));
        explain(&error, &what, &K::plural(&()), &server)
    })?;
    Ok((object, clock.now()))
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
    // A kind that is not there is another 404: a plain one, or one that names no object.
    let names_object = status
        .details
        .as_ref()
        .is_some_and(|of| !of.name.is_empty());
    match status.code {
        404 if names_object => format!("there is no {what}"),
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
