//! Takes alerts from Alertmanagers over HTTP: `POST /hooks/alertmanager/<namespace>/<environment>`.
//!
//! It decides nothing. What is delivered is handed to the Environment's next plan, and 200 is said only once the status that
//! has it is on the API server: a process that dies before has not said anything, and Alertmanager tries again. It tries
//! again after 5xx and not after 4xx, so whatever may be better in a moment is 503: a process that does not lead, an API server
//! that does not answer, too many deliveries at once.
//!
//! Nobody learns which Environments there are without a token of one. Reads Secrets from the API server.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::limit::Limits;
use super::token::Tokens;
use super::{Refusal, hook, is_json, leads, read_body, token, until_on_record};
use crate::cluster::Cluster;
use crate::environment::alert::{self, Delivered, Delivery};
use crate::environment::api::{Environment, Incidents};
use crate::model::key::Key;
use crate::model::object::ObjectKind;

/// Where alerts are delivered.
pub const PATH: &str = "/hooks/alertmanager/{namespace}/{environment}";
/// Longest body: a thousand alerts and more.
const MAX_BODY: usize = 1 << 20;
/// Deliveries that are worked on at the same time.
const AT_ONCE: usize = 32;
/// Longest time for one, from its first byte to its answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Deliveries of an Environment at once.
const BURST: f64 = 60.0;
/// Deliveries a second after that. Alertmanager sends one for each group that has news.
const RATE: f64 = 10.0;
/// What those hear who have not shown that they may deliver.
const UNKNOWN: &str = "there is no such Environment that takes alerts with this token\n";

/// What the receiver needs to know. Cloning clones handles.
#[derive(Clone)]
pub struct Receiver {
    cluster: Cluster,
    leads: Arc<AtomicBool>,
    tokens: Tokens,
    limits: Limits<Key>,
    free: Arc<Semaphore>,
}

impl Receiver {
    /// One that takes nothing until `leads` says that this process does.
    pub fn new(cluster: Cluster, leads: Arc<AtomicBool>) -> Self {
        Self {
            tokens: Tokens::default(),
            limits: Limits::new(BURST, RATE),
            free: Arc::new(Semaphore::new(AT_ONCE)),
            cluster,
            leads,
        }
    }

    /// Serves until `stop`.
    ///
    /// # Errors
    /// If the listener breaks.
    pub async fn serve(
        self,
        listener: TcpListener,
        stop: CancellationToken,
    ) -> std::io::Result<()> {
        let hooks = hook::Receiver::new(self.cluster.clone(), Arc::clone(&self.leads));
        let app = Router::new().route(PATH, post(deliver)).with_state(self);
        let app = app.merge(hooks.routes());
        axum::serve(listener, app)
            .with_graceful_shutdown(stop.cancelled_owned())
            .await
    }

    async fn take(&self, key: &Key, headers: &HeaderMap, body: Body) -> Result<String, Refusal> {
        leads(&self.leads)?;
        let rule = self.authenticated(key, headers).await?;
        is_json(headers)?;
        if !self.limits.allow(key) {
            return Err(Refusal::Later("too many deliveries; try again in a moment"));
        }
        let body = read_body(body, MAX_BODY, ": set max_alerts").await?;
        let delivery = alert::read(&body);
        let delivery =
            delivery.map_err(|problem| Refusal::Never(StatusCode::BAD_REQUEST, problem))?;
        let Delivery {
            alerts,
            truncated_alerts,
            ..
        } = delivery;
        if truncated_alerts > 0 {
            warn!(environment = %key, truncated_alerts, "Alertmanager left alerts out of a delivery; raise its max_alerts");
        }
        let all = alerts.len();
        let concerned: Vec<Delivered> = alerts
            .into_iter()
            .filter(|alert| alert.concerns(&rule))
            .collect();
        let said = format!("{} of {all} alerts concern {}\n", concerned.len(), key.name);
        self.put_on_record(key, concerned).await?;
        Ok(said)
    }

    /// The rule of the Environment, if the sender has its token.
    async fn authenticated(&self, key: &Key, headers: &HeaderMap) -> Result<Incidents, Refusal> {
        let sent = headers
            .get(header::AUTHORIZATION)
            .map(HeaderValue::as_bytes);
        let sent = sent.and_then(token::of_bearer).ok_or(Refusal::Unknown)?;
        let environment = self.cluster.caches.environments.get(key);
        let rule = environment.and_then(|environment| environment.spec.incidents.clone());
        let rule = rule.ok_or(Refusal::Unknown)?;
        let wanted = self
            .tokens
            .read(&self.cluster, &key.namespace, &rule.alertmanager.secret_ref)
            .await;
        let wanted = wanted.map_err(|problem| {
            warn!(environment = %key, problem, "the token of Alertmanager cannot be read");
            Refusal::Later("the token cannot be checked now; the operator's log says why")
        })?;
        if wanted.is_same(sent) {
            Ok(rule)
        } else {
            Err(Refusal::Unknown)
        }
    }

    /// Hands alerts over, and waits until they are on record.
    async fn put_on_record(&self, key: &Key, alerts: Vec<Delivered>) -> Result<(), Refusal> {
        if self.is_on_record(key, &alerts)? {
            return Ok(());
        }
        let _handed = self.cluster.deliveries.hand_over(key, alerts.clone());
        self.cluster.caches.look_at(ObjectKind::Environment, key);
        until_on_record(&self.leads, || {
            Ok(self.is_on_record(key, &alerts)?.then_some(()))
        })
        .await
    }

    /// Whether taking alerts in once more would change nothing in what the API server has.
    fn is_on_record(&self, key: &Key, alerts: &[Delivered]) -> Result<bool, Refusal> {
        let Some(environment) = self.cluster.caches.environments.get(key) else {
            return Err(Refusal::Unknown);
        };
        let Environment { spec, status, .. } = environment.as_ref();
        let known = status.as_ref().map(|status| status.alerts.as_slice());
        let (known, rule) = (known.unwrap_or_default(), spec.incidents.as_ref());
        let now = self.cluster.clock().now();
        Ok(alert::taken_in(known, alerts, rule, now) == alert::taken_in(known, &[], rule, now))
    }
}

async fn deliver(
    State(receiver): State<Receiver>,
    Path((namespace, environment)): Path<(String, String)>,
    request: Request,
) -> Response {
    let key = Key::new(namespace, environment);
    let Ok(_free) = receiver.free.clone().try_acquire_owned() else {
        return answer(
            &receiver,
            &key,
            Err(Refusal::Later("too many deliveries at once")),
        );
    };
    let (parts, body) = request.into_parts();
    let taken = tokio::time::timeout(PATIENCE, receiver.take(&key, &parts.headers, body)).await;
    let late = Refusal::Later("not on record in time; try again");
    answer(&receiver, &key, taken.unwrap_or(Err(late)))
}

fn answer(receiver: &Receiver, key: &Key, taken: Result<String, Refusal>) -> Response {
    let count = |outcome| receiver.cluster.metrics().delivered(outcome);
    let refusal = match taken {
        Ok(said) => {
            count("recorded");
            return said.into_response();
        }
        Err(refusal) => refusal,
    };
    match &refusal {
        Refusal::Later(why) => {
            count("later");
            debug!(environment = %key, why, "a delivery has to come again");
        }
        Refusal::Unknown => count("unauthenticated"),
        Refusal::Never(_, why) => {
            count("refused");
            warn!(environment = %key, why, "a delivery was refused");
        }
    }
    refusal.answer(UNKNOWN)
}

#[cfg(test)]
mod tests;
