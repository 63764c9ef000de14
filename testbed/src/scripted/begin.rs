//! How the main container of a scripted pod begins: after the pod's container `claim` has been let, where it has one, and
//! with a line in a ledger, where the script names one. Talks to the API server, the operator and the file system.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Container, Pod, ServiceAccount};
use kube::api::PostParams;
use kube::{Api, Client, ResourceExt};
use serde_json::Value;

/// Name of the init container that asks the operator whether the pod may begin.
const CLAIM: &str = "claim";
/// The variable with what it is to do.
const TASK: &str = "SLIPWAY_TASK";
/// Longest time for one question; the next one follows soon.
const PATIENCE: Duration = Duration::from_secs(5);

/// Does what the container `claim` does, with the pod's own token, as often as it takes.
///
/// # Errors
///
/// Nobody answers, or the pod may not begin.
pub(super) async fn claim(client: &Client, pod: &Pod) -> Result<()> {
    let Some(container) = container(pod) else {
        return Ok(());
    };
    let task: Value = serde_json::from_str(&task(container).context("claim has no task")?)?;
    let url = task.get("url").and_then(Value::as_str);
    let url = format!("{}/v1/claim", url.context("claim has no URL")?);
    let token = token(client, pod).await?;
    let http = reqwest::Client::builder().no_proxy().build()?;
    let uid = pod.uid().unwrap_or_default();
    let asked = http.post(url).bearer_auth(token).body(uid);
    let answer = asked.timeout(PATIENCE).send().await?;
    let (status, text) = (answer.status(), answer.text().await?);
    ensure!(status.is_success(), "not claimed: {status}: {text}");
    Ok(())
}

fn container(pod: &Pod) -> Option<&Container> {
    let mut all = pod.spec.as_ref()?.init_containers.iter().flatten();
    all.find(|container| container.name == CLAIM)
}

/// As the kubelet hands it to the container.
fn task(container: &Container) -> Option<String> {
    let mut env = container.env.iter().flatten();
    let task = env.find(|env| env.name == TASK)?.value.as_deref()?;
    Some(task.replace("$$", "$"))
}

/// A token as the kubelet has it made for the volumes of a pod.
async fn token(client: &Client, pod: &Pod) -> Result<String> {
    let spec = pod.spec.as_ref().context("a pod without a spec")?;
    let volumes = spec.volumes.iter().flatten();
    let mut sources = volumes
        .filter_map(|volume| volume.projected.as_ref())
        .flat_map(|projected| projected.sources.iter().flatten());
    let wanted = sources.find_map(|source| source.service_account_token.as_ref());
    let wanted = wanted.context("the pod has no token")?;
    let request = TokenRequest {
        spec: Some(TokenRequestSpec {
            audiences: Some(wanted.audience.iter().cloned().collect()),
            expiration_seconds: wanted.expiration_seconds,
            bound_object_ref: Some(BoundObjectReference {
                api_version: Some("v1".to_owned()),
                kind: Some("Pod".to_owned()),
                name: Some(pod.name_any()),
                uid: pod.uid(),
            }),
            ..TokenRequestSpec::default()
        }),
        ..TokenRequest::default()
    };
    let namespace = pod.namespace().unwrap_or_default();
    let accounts = Api::<ServiceAccount>::namespaced(client.clone(), &namespace);
    let account = spec.service_account_name.as_deref().unwrap_or("default");
    let made = accounts
        .create_token_request(account, &PostParams::default(), &request)
        .await?;
    let made = made.status.context("no token was made")?;
    made.token.context("no token was made")
}

/// Adds a line to a ledger: namespace, name and labels of the pod.
///
/// # Errors
///
/// The file cannot be written.
pub(super) fn note(ledger: &Path, pod: &Pod) -> Result<()> {
    let labels = pod.labels().iter();
    let labels: Vec<String> = labels
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let namespace = pod.namespace().unwrap_or_default();
    let line = format!("{namespace} {} {}\n", pod.name_any(), labels.join(" "));
    let file = OpenOptions::new().create(true).append(true).open(ledger);
    let mut file = file.with_context(|| format!("cannot open {}", ledger.display()))?;
    // In one write: others append at the same time.
    file.write_all(line.as_bytes())?;
    Ok(())
}
