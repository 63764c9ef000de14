//! Asks Prometheus for the past, as whoever runs the command. Talks to the network, and reads files with credentials.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;

use futures::StreamExt;

use super::ByMetric;
use crate::analysis::api::Metric;
use crate::cli::Answer;
use crate::cluster::fetch::Http;
use crate::cluster::fetch::egress::Egress;
use crate::metric::history::{self, Question};
use crate::metric::provider::Credentials;
use crate::model::access::{Access, Login};
use crate::model::action::Request;
use crate::model::secret::SecretKey;
use crate::rollout::replay::subject::Subject;
use crate::rollout::replay::{self, Samples, Time};

/// Requests that are under way at the same time.
const AT_ONCE: usize = 4;
/// Name of the Secret that would have them, for the operator: what stands in a request until it is sent.
const GIVEN: &str = "given";

/// Where Prometheus is, and who asks. What is secret stands in files. Secrets that metrics name are not read.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Prometheus")]
pub struct Reach {
    /// Address of Prometheus, instead of the one that the metrics name: http://localhost:9090, say, for a port that is
    /// forwarded.
    #[arg(long, value_name = "URL", env = "SLIPWAY_PROMETHEUS", hide_env_values = true, value_parser = address)]
    pub prometheus: Option<String>,
    /// File with the token that Prometheus, or what stands before it, asks for.
    #[arg(long, value_name = "FILE", env = "SLIPWAY_PROMETHEUS_TOKEN_FILE", hide_env_values = true, conflicts_with_all = ["username", "password_file"])]
    pub bearer_token_file: Option<PathBuf>,
    /// User who asks.
    #[arg(
        long,
        value_name = "NAME",
        env = "SLIPWAY_PROMETHEUS_USERNAME",
        hide_env_values = true,
        requires = "password_file"
    )]
    pub username: Option<String>,
    /// File with the user's password.
    #[arg(
        long,
        value_name = "FILE",
        env = "SLIPWAY_PROMETHEUS_PASSWORD_FILE",
        hide_env_values = true,
        requires = "username"
    )]
    pub password_file: Option<PathBuf>,
    /// File with certificates (PEM) of authorities that are trusted beside the system's.
    #[arg(
        long,
        value_name = "FILE",
        env = "SLIPWAY_PROMETHEUS_CA_FILE",
        hide_env_values = true
    )]
    pub certificate_authority: Option<PathBuf>,
    /// File with a certificate (PEM) that says who asks.
    #[arg(
        long,
        value_name = "FILE",
        env = "SLIPWAY_PROMETHEUS_CLIENT_CERTIFICATE",
        hide_env_values = true,
        requires = "client_key"
    )]
    pub client_certificate: Option<PathBuf>,
    /// File with its key (PEM).
    #[arg(
        long,
        value_name = "FILE",
        env = "SLIPWAY_PROMETHEUS_CLIENT_KEY",
        hide_env_values = true,
        requires = "client_certificate"
    )]
    pub client_key: Option<PathBuf>,
}

fn address(text: &str) -> Result<String, String> {
    let is_address = text.starts_with("http://") || text.starts_with("https://");
    if is_address && text.parse::<http::Uri>().is_ok() {
        return Ok(text.to_owned());
    }
    Err("has to start with http:// or https://, and name a host".to_owned())
}

/// A server that can be asked.
pub(super) struct Server {
    http: Http,
    address: Option<String>,
    values: BTreeMap<SecretKey, String>,
    username: Option<String>,
}

impl Server {
    /// Reads the files.
    ///
    /// # Errors
    /// The first that cannot be read.
    pub(super) fn new(reach: &Reach) -> Result<Self, String> {
        let Reach {
            prometheus,
            bearer_token_file,
            username,
            password_file,
            certificate_authority,
            client_certificate,
            client_key,
        } = reach;
        let mut values = BTreeMap::new();
        for (flag, key, file) in [
            ("bearer-token-file", "token", bearer_token_file),
            ("password-file", "password", password_file),
            ("certificate-authority", "ca.crt", certificate_authority),
            ("client-certificate", "tls.crt", client_certificate),
            ("client-key", "tls.key", client_key),
        ] {
            let Some(file) = file else { continue };
            let text = std::fs::read_to_string(file);
            let text =
                text.map_err(|error| format!("cannot read --{flag} {}: {error}", file.display()))?;
            let text = text.trim_end_matches(['\r', '\n']).to_owned();
            if text.is_empty() {
                return Err(format!("--{flag} {} is empty", file.display()));
            }
            values.insert(SecretKey::new(GIVEN, key), text);
        }
        // Where one is installed already it is this one.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        Ok(Self {
            http: Http::new(Egress::everywhere()),
            address: prometheus.clone(),
            values,
            username: username.clone(),
        })
    }

    /// The samples of every metric.
    pub(super) fn samples(&self, subject: &Subject, time: Time) -> Result<ByMetric, Answer> {
        let credentials = Credentials {
            namespace: subject.key.namespace.clone(),
            secrets: subject.analysis.secrets.clone(),
        };
        let mut all = Vec::new();
        let mut problems = Vec::new();
        for (metric, interval) in &subject.analysis.metrics {
            let schedule = replay::schedule(&subject.analysis, *interval, time);
            let metric = self.moved(metric);
            match history::questions(&metric, &credentials, &schedule) {
                Ok(questions) => all.push((metric, questions)),
                Err(problem) => problems.push(format!("{}: {problem}", metric.name)),
            }
        }
        if !problems.is_empty() {
            return Err(Answer::invalid(problems));
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let runtime = runtime.map_err(|error| Answer::failed(format!("cannot start: {error}")))?;
        runtime.block_on(self.all(&all)).map_err(Answer::failed)
    }

    async fn all(&self, metrics: &[(Metric, Vec<Question>)]) -> Result<ByMetric, String> {
        let count = metrics.iter().map(|(_, questions)| questions.len()).sum();
        let mut progress = Progress::of(count);
        let mut found = ByMetric::new();
        for (metric, questions) in metrics {
            let answers = questions.iter().map(|question| self.ask(metric, question));
            let mut answers = futures::stream::iter(answers).buffered(AT_ONCE);
            let samples: &mut Samples = found.entry(metric.name.clone()).or_default();
            while let Some(answer) = answers.next().await {
                samples.extend(answer.map_err(|problem| format!("{}: {problem}", metric.name))?);
                progress.step();
            }
        }
        Ok(found)
    }

    async fn ask(&self, metric: &Metric, question: &Question) -> Result<Samples, String> {
        let now = question.times.last().copied().unwrap_or_default();
        let request = self.as_us(&question.request);
        let reply = self.http.ask_with(&request, self.values.clone(), now).await;
        let reply = reply.map_err(|problem| format!("cannot ask {}: {problem}", request.url))?;
        let is_refused = matches!(reply.status, 401 | 403);
        let samples = history::samples(metric, question, reply).map_err(|problem| {
            let address = &request.url;
            let advice = if is_refused {
                " (--bearer-token-file, or --username and --password-file; Secrets are not read)"
            } else {
                ""
            };
            format!("{address}: {problem}{advice}")
        })?;
        Ok(question.times.iter().copied().zip(samples).collect())
    }

    /// The metric, to be asked of the address that is given.
    fn moved(&self, metric: &Metric) -> Metric {
        let mut metric = metric.clone();
        let Some(address) = &self.address else {
            return metric;
        };
        if let Some(query) = &mut metric.provider.prometheus {
            query.address.clone_from(address);
        }
        if let Some(of) = &mut metric.provider.compare {
            of.prometheus.address.clone_from(address);
        }
        metric
    }

    /// The request as whoever runs this sends it, and not as the operator would: with what is given instead of what is in
    /// Secrets.
    fn as_us(&self, request: &Request) -> Request {
        let mut request = request.clone();
        let before = request.access.take().unwrap_or_default();
        let placed = |value: &String| {
            let mut secrets = before.secrets.iter();
            secrets.any(|secret| value.contains(&secret.to_string()))
        };
        request.headers.retain(|_, value| !placed(value));
        let given = |key: &str| {
            let key = SecretKey::new(GIVEN, key);
            self.values.contains_key(&key).then_some(key)
        };
        let mut access = Access {
            window: before.window,
            ca: given("ca.crt"),
            client_certificate: given("tls.crt").map(|of| of.name),
            ..Access::default()
        };
        if let Some(token) = given("token") {
            let value = format!("Bearer {token}");
            request.headers.insert("authorization".to_owned(), value);
            access.secrets.insert(token);
        }
        let login = self.username.clone().zip(given("password"));
        access.login = login.map(|(username, password)| Login::Basic { username, password });
        request.access = Some(Box::new(access));
        request
    }
}

/// How far the asking is, on a terminal, where it takes more than a moment.
struct Progress {
    done: usize,
    count: usize,
    is_shown: bool,
}

impl Progress {
    fn of(count: usize) -> Self {
        Self {
            done: 0,
            count,
            is_shown: count > 4 && std::io::stderr().is_terminal(),
        }
    }

    fn step(&mut self) {
        self.done += 1;
        if self.is_shown {
            let Self { done, count, .. } = self;
            overwrite(&format!("asked {done} of {count} questions"));
        }
    }
}

/// Writes over what was written before.
fn overwrite(text: &str) {
    let mut out = std::io::stderr().lock();
    // Nobody can be told that they cannot be told.
    let _ = write!(out, "\r\u{1b}[K{text}");
    let _ = out.flush();
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.is_shown {
            overwrite("");
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::metric::provider::testing::{metric, shown, window};
    use crate::metric::provider::{self, Credentials};

    fn server(values: &[(&str, &str)], username: Option<&str>) -> Server {
        let values = values.iter();
        let values = values.map(|(key, value)| (SecretKey::new(GIVEN, *key), (*value).to_owned()));
        Server {
            http: Http::default(),
            address: Some("https://localhost:9090".to_owned()),
            values: values.collect(),
            username: username.map(str::to_owned),
        }
    }

    #[test]
    fn what_is_given_stands_in_the_place_of_secrets() {
        let secret = |key: &str| json!({"name": "prom", "key": key});
        let query = metric(&json!({"prometheus": {
            "address": "http://prom:9090", "query": "up",
            "auth": {"basic": {"username": "operator", "password": secret("password")}},
            "tls": {"ca": secret("ca.crt")},
            "headers": [{"name": "X-Scope-OrgID", "value": "shop"}, {"name": "X-Key", "secretRef": secret("key")}],
        }}));
        let sent = |server: &Server| {
            let metric = server.moved(&query);
            let request = provider::request(&metric, &Credentials::default(), &window()).unwrap();
            shown(&server.as_us(&request))
        };
        let nobody = sent(&server(&[], None));
        let token = sent(&server(&[("token", "t"), ("ca.crt", "pem")], None));
        let user = sent(&server(
            &[("password", "p"), ("tls.crt", "c"), ("tls.key", "k")],
            Some("me"),
        ));
        insta::assert_snapshot!([nobody, token, user].join("----\n"));
    }

    #[test]
    fn an_address_is_one() {
        assert_eq!(
            address("http://localhost:9090").unwrap(),
            "http://localhost:9090"
        );
        for wrong in ["localhost:9090", "https://", "ftp://x"] {
            assert!(address(wrong).is_err(), "{wrong}");
        }
    }
}
