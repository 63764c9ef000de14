//! `slipway check`: whether an installation works, for `helm test`. It takes the right to get the Lease, and no other. Talks
//! to the API server.

use std::time::Duration;

use jiff::SignedDuration;
use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, Client};
use tokio::time::{Instant, interval};
use tracing::info;

use super::{OperatorError, configured};
use crate::clock::Clock;
use crate::cluster::{client, preflight};
use crate::config::{Config, Ready};
use crate::error::chain;
use crate::leader;
use crate::telemetry::metrics::Metrics;

/// Time between two looks.
const LOOK: Duration = Duration::from_secs(1);
/// Longest wait for one answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// A lease that is older has nobody who keeps it.
const FRESH: SignedDuration = SignedDuration::from_secs(15);

/// Looks until the definitions are there, somebody leads, and the operator says that it is ready.
///
/// # Errors
/// What was missing at the last look.
pub async fn run(config: &Config, wanted: &Ready) -> Result<(), OperatorError> {
    let kube_config = configured().await?;
    let (clock, metrics) = (Clock::default(), Metrics::new()?);
    let client = client::connect_once(kube_config, PATIENCE, metrics, clock.clone());
    let client = client.map_err(|error| OperatorError::BadConfig(Box::new(error)))?;
    let until = Instant::now() + Duration::from_secs(wanted.within_seconds);
    let mut looks = interval(LOOK);
    loop {
        looks.tick().await;
        match look(&client, config, (wanted, &clock)).await {
            Ok(leader) => {
                info!(leader, "the definitions are there, and the operator works");
                return Ok(());
            }
            Err(error) if Instant::now() >= until => return Err(error),
            Err(error) => info!(error = chain(&error), "not yet"),
        }
    }
}

/// Who leads, if all is there.
async fn look(
    client: &Client,
    config: &Config,
    (wanted, clock): (&Ready, &Clock),
) -> Result<String, OperatorError> {
    preflight::crds(client).await?;
    let leader = leader(client, config, clock).await?;
    if let Some(url) = &wanted.url {
        answers(url).await?;
    }
    Ok(leader)
}

async fn leader(client: &Client, config: &Config, clock: &Clock) -> Result<String, OperatorError> {
    let leases: Api<Lease> = Api::namespaced(client.clone(), &config.namespace);
    let of = format!("Lease {}/{}", config.namespace, config.lease);
    let lease = leases.get_opt(&config.lease).await;
    let lease =
        lease.map_err(|error| OperatorError::NotReady(format!("{of}: {}", chain(&error))))?;
    let spec = lease.and_then(|lease| lease.spec).unwrap_or_default();
    let renewed = spec.renew_time.map(|at| at.0);
    let is_fresh = renewed.is_some_and(|at| clock.now().duration_since(at) < FRESH);
    let holder = spec.holder_identity.filter(|holder| !holder.is_empty());
    holder.filter(|_| is_fresh).ok_or_else(|| {
        OperatorError::NotReady(format!(
            "nobody leads: {of} has no holder that renews it every {} s; look at the log of the operator",
            leader::RETRY.as_secs()
        ))
    })
}

async fn answers(url: &str) -> Result<(), OperatorError> {
    let failed = |why: String| OperatorError::NotReady(format!("{url} does not answer: {why}"));
    let http = reqwest::Client::builder().no_proxy().timeout(PATIENCE);
    let http = http.build().map_err(|error| failed(chain(&error)))?;
    let answer = http.get(url).send().await;
    let answer = answer.map_err(|error| failed(chain(&error)))?;
    if answer.status().is_success() {
        return Ok(());
    }
    let text = format!("{url} says {}", answer.status());
    Err(OperatorError::NotReady(text))
}
