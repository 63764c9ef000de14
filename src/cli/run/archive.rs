//! Logs that the operator keeps, read through the API server's proxy. Talks to the API server.

use std::time::Duration;

use http::{Request, StatusCode};
use http_body_util::BodyExt;
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::{Api, PostParams};
use kube::client::Body;
use tokio::time::interval;

use crate::archive::Entry;
use crate::cli::cluster::Server;
use crate::error::chain;
use crate::model::text::truncate;
use crate::receiver::TOKEN_HEADER;
use crate::receiver::stage::READER_AUDIENCE;

/// How long it counts, in seconds: the shortest that Kubernetes gives.
const TOKEN_SECONDS: i64 = 600;
/// How often an answer is asked for that may be better the next time: each call comes to any replica, and one leads.
const TRIES: u32 = 40;
/// How often a connection may be lost in between: each waits as long as an answer may take.
const LOST: u32 = 3;
/// Longest words of a server that are repeated, in bytes.
const MAX_WORDS: usize = 512;

/// Where the operator is, and in whose name it is asked.
#[derive(Clone, Debug, clap::Args)]
pub struct Keeper {
    /// Namespace of the operator.
    #[arg(long, default_value = "slipway-system", env = "SLIPWAY_NAMESPACE")]
    pub operator_namespace: String,
    /// Its Service that hands logs out.
    #[arg(long, default_value = "slipway-receiver", env = "SLIPWAY_RECEIVER")]
    pub receiver: String,
    /// ServiceAccount of the run's namespace of which a token is made, to show that you may read there.
    #[arg(long, default_value = "default")]
    pub service_account: String,
}

/// The logs of one run.
pub(super) struct Archive<'a> {
    server: &'a Server,
    path: String,
    token: String,
}

impl<'a> Archive<'a> {
    /// Shows that the caller may read the logs of a run.
    ///
    /// # Errors
    /// One clear sentence.
    pub(super) async fn of(
        server: &'a Server,
        keeper: &Keeper,
        (run, uid): (&str, &str),
    ) -> Result<Self, String> {
        let accounts: Api<ServiceAccount> = Api::namespaced(server.client(), server.namespace());
        let request = TokenRequest {
            spec: Some(TokenRequestSpec {
                audiences: Some(vec![READER_AUDIENCE.to_owned()]),
                expiration_seconds: Some(TOKEN_SECONDS),
                ..TokenRequestSpec::default()
            }),
            ..TokenRequest::default()
        };
        let name = &keeper.service_account;
        let made = accounts
            .create_token_request(name, &PostParams::default(), &request)
            .await;
        let made = made.map_err(|error| {
            let words = words(&error);
            format!(
                "cannot show that you may read what the operator keeps: no token of ServiceAccount {name}: {words}"
            )
        })?;
        let namespace = server.namespace();
        let Keeper {
            operator_namespace,
            receiver,
            ..
        } = keeper;
        Ok(Self {
            server,
            path: format!(
                "/api/v1/namespaces/{operator_namespace}/services/{receiver}:receiver/proxy/v1/runs/{namespace}/{run}/{uid}"
            ),
            token: made
                .status
                .and_then(|status| status.token)
                .unwrap_or_default(),
        })
    }

    /// What there is.
    ///
    /// # Errors
    /// One clear sentence.
    pub(super) async fn list(&self) -> Result<Vec<Entry>, String> {
        let answer = self.get("").await?;
        serde_json::from_slice(&answer)
            .map_err(|error| format!("cannot understand the list of logs: {error}"))
    }

    /// A part of the log of a pod.
    ///
    /// # Errors
    /// One clear sentence.
    pub(super) async fn read(&self, pod: &str, offset: u64) -> Result<Vec<u8>, String> {
        self.get(&format!("/{pod}?offset={offset}")).await
    }

    /// The reports that a pod has left, packed.
    ///
    /// # Errors
    /// One clear sentence.
    pub(super) async fn reports(&self, pod: &str) -> Result<Vec<u8>, String> {
        let mut all = Vec::new();
        loop {
            let offset = all.len();
            let part = self.get(&format!("/{pod}/reports?offset={offset}")).await?;
            if part.is_empty() {
                return Ok(all);
            }
            all.extend(part);
        }
    }

    async fn get(&self, rest: &str) -> Result<Vec<u8>, String> {
        let mut tick = interval(Duration::from_millis(250));
        let (mut last, mut losses) = (String::new(), 0);
        for _ in 0..TRIES {
            tick.tick().await;
            let (status, body) = match self.get_once(rest).await {
                Ok(answer) => answer,
                // What was not heard of a part is asked for again.
                Err(why) if losses < LOST => {
                    (last, losses) = (why, losses + 1);
                    continue;
                }
                Err(why) => return Err(why),
            };
            if status == StatusCode::OK {
                return Ok(body);
            }
            let said = String::from_utf8_lossy(&body);
            truncate(said.trim(), MAX_WORDS).clone_into(&mut last);
            if status != StatusCode::SERVICE_UNAVAILABLE {
                return Err(format!("the operator does not hand the log out: {last}"));
            }
        }
        Err(format!(
            "the operator does not hand the log out now: {last}"
        ))
    }

    async fn get_once(&self, rest: &str) -> Result<(StatusCode, Vec<u8>), String> {
        let request = Request::get(format!("{}{rest}", self.path))
            .header(TOKEN_HEADER, &self.token)
            .body(Body::empty())
            .map_err(|error| error.to_string())?;
        let unreachable = |why: String| format!("cannot reach the operator's receiver: {why}");
        let answer = self.server.client().send(request).await;
        let answer = answer.map_err(|error| unreachable(chain(&error)))?;
        let status = answer.status();
        let body = answer.into_body().collect().await;
        let body = body.map_err(|error| unreachable(error.to_string()))?;
        Ok((status, body.to_bytes().to_vec()))
    }
}

/// The server's own words, where it has some.
fn words(error: &kube::Error) -> String {
    if let kube::Error::Api(status) = error {
        return truncate(&status.message, MAX_WORDS).to_owned();
    }
    chain(error)
}
