//! What can be measured: each provider renders the request for a measurement and reads the reply. No I/O.

mod answer;
pub mod cloud_watch;
pub mod datadog;
pub mod graphite;
pub mod influxdb;
pub mod new_relic;
pub mod prometheus;
pub mod web;

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use super::{Sample, compare};
use crate::analysis::api::Metric;
use crate::analysis::api::provider::access::Connection;
use crate::analysis::api::provider::{Reduce, Source};
use crate::expression::Fact;
use crate::model::access::{Access, Login};
use crate::model::action::{Reply, Request};
use crate::model::secret::{self, SecretKey};

/// Window of a provider that asks for one, when the metric does not say its length.
const WINDOW: Duration = Duration::from_mins(5);

/// Where the values of Secrets are that metrics name. Other placeholders have been filled in before: see
/// [`Sides::filled`](crate::metric::placeholder::Sides::filled).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Credentials {
    /// Namespace of the Secrets.
    pub namespace: String,
    /// Values of Secrets whose placeholders may stand in a metric's texts: arguments of a template.
    pub secrets: BTreeSet<SecretKey>,
}

impl Credentials {
    pub(super) fn access(&self) -> Access {
        Access {
            namespace: self.namespace.clone(),
            ..Access::default()
        }
    }
}

/// Checks what the API server cannot. The error is the field, below the metric, and what is wrong with it.
///
/// # Errors
/// Says what to write instead.
pub fn check(metric: &Metric) -> Result<(), (&'static str, String)> {
    match metric.provider.source() {
        None => Err(("", "a metric has exactly one source of values".to_owned())),
        Some(Source::Web(query)) => match query.path.as_deref().map(web::check) {
            Some(Err(problem)) => Err((".web.path", format!("not a usable path: {problem}"))),
            Some(Ok(())) | None => Ok(()),
        },
        Some(_) => Ok(()),
    }
}

/// The time that a measurement is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// When the metric began to be measured.
    pub since: Timestamp,
    /// Time between two samples.
    pub interval: Duration,
    /// Now.
    pub now: Timestamp,
}

/// The request for one measurement; nothing for a metric that is not measured by asking a server.
pub fn request(metric: &Metric, credentials: &Credentials, window: &Window) -> Option<Request> {
    let timeout = metric.provider.timeout();
    let mut request = match metric.provider.source()? {
        Source::Prometheus(query) => prometheus::request(query, credentials, timeout),
        Source::Compare(of) => compare::request(of, credentials, window, timeout),
        Source::Web(query) => web::request(query, credentials, timeout),
        Source::Job(_) => return None,
        Source::Datadog(query) => datadog::request(query, credentials, timeout),
        Source::CloudWatch(query) => cloud_watch::request(query, credentials, timeout),
        Source::NewRelic(query) => new_relic::request(query, credentials, timeout),
        Source::Graphite(query) => graphite::request(query, credentials, timeout),
        Source::InfluxDb(query) => influxdb::request(query, credentials, timeout),
    };
    let placed: Vec<SecretKey> = credentials
        .secrets
        .iter()
        .filter(|secret| stands_in(&request, &secret.to_string()))
        .cloned()
        .collect();
    if let Some(access) = &mut request.access {
        access.secrets.extend(placed);
    }
    Some(request)
}

fn stands_in(request: &Request, placeholder: &str) -> bool {
    let texts = request.headers.values().chain(&request.body);
    texts
        .chain([&request.url])
        .any(|text| text.contains(placeholder))
}

/// What the reply says.
pub fn read(metric: &Metric, reply: &Result<Reply, String>) -> Sample {
    let reply = match reply {
        Ok(reply) => reply,
        Err(error) => return Sample::Error(error.clone()),
    };
    let read = match metric.provider.source() {
        Some(Source::Prometheus(query)) => prometheus::read(query, reply),
        Some(Source::Compare(of)) => Ok(compare::read(of, metric.looks(), reply)),
        Some(Source::Web(query)) => web::read(query, reply),
        Some(Source::Job(_)) => Err("a Job does not answer requests".to_owned()),
        Some(Source::Datadog(query)) => datadog::read(query, reply),
        Some(Source::CloudWatch(query)) => cloud_watch::read(query, reply),
        Some(Source::NewRelic(query)) => new_relic::read(query, reply),
        Some(Source::Graphite(query)) => graphite::read(query, reply),
        Some(Source::InfluxDb(query)) => influxdb::read(query, reply),
        None => Err("the metric does not name exactly one source".to_owned()),
    };
    match read.unwrap_or_else(Sample::Error) {
        Sample::Error(error) => Sample::Error(told(metric, reply, error)),
        sample @ (Sample::Value(_)
        | Sample::Values(_)
        | Sample::Verdict { .. }
        | Sample::Compared(_)
        | Sample::Empty) => sample,
    }
}

/// What the reply says, as facts that a condition can be asked about: of `web` as they stand in it, else numbers. None where there
/// is no data.
///
/// # Errors
/// Says in words for people why there is no answer to rely on.
pub fn facts(metric: &Metric, reply: &Result<Reply, String>) -> Result<Vec<Fact>, String> {
    if let (Some(Source::Web(query)), Ok(reply)) = (metric.provider.source(), reply) {
        return web::facts(query, reply).map_err(|error| told(metric, reply, error));
    }
    match read(metric, reply) {
        Sample::Value(number) => Ok(vec![Fact::Number(number)]),
        Sample::Values(numbers) => Ok(numbers.into_iter().map(Fact::Number).collect()),
        Sample::Empty => Ok(Vec::new()),
        Sample::Error(error) => Err(error),
        Sample::Verdict { .. } | Sample::Compared(_) => Err("the answer is no value".to_owned()),
    }
}

/// An error, but for what a server says of a question with a secret in it.
fn told(metric: &Metric, reply: &Reply, error: String) -> String {
    if !asks_with_secrets(metric) {
        return error;
    }
    // Servers tell which part of a question they do not understand, and a part of a value cannot be taken out again.
    format!(
        "status {}, and no usable answer; what it says is left out, because the question has the value of a Secret in it",
        reply.status
    )
}

/// Whether the value of a Secret is part of what is asked, and not only of a header field.
pub fn asks_with_secrets(metric: &Metric) -> bool {
    fn is_in(value: &Value) -> bool {
        match value {
            Value::String(text) => secret::stands_in(text),
            Value::Array(entries) => entries.iter().any(is_in),
            Value::Object(fields) => {
                let mut fields = fields.iter().filter(|(name, _)| *name != "headers");
                fields.any(|(_, field)| is_in(field))
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => false,
        }
    }
    serde_json::to_value(&metric.provider).is_ok_and(|provider| is_in(&provider))
}

/// The request with what is said about how its server is reached. It goes only where metrics may come from.
pub fn connected(request: Request, connection: &Connection, credentials: &Credentials) -> Request {
    let mut request = request;
    let mut access = credentials.access();
    for header in &connection.headers {
        let value = match (&header.secret_ref, &header.value) {
            (Some(secret), _) => placed(&mut access, secret),
            (None, value) => value.clone().unwrap_or_default(),
        };
        request.headers.insert(header.name.to_lowercase(), value);
    }
    if let Some(auth) = &connection.auth {
        if let Some(bearer) = &auth.bearer {
            let token = placed(&mut access, bearer);
            let value = format!("Bearer {token}");
            request.headers.insert("authorization".to_owned(), value);
        }
        access.login = auth.basic.as_ref().map(|basic| Login::Basic {
            username: basic.username.clone(),
            password: basic.password.clone(),
        });
    }
    if let Some(tls) = &connection.tls {
        access.ca.clone_from(&tls.ca);
        access
            .client_certificate
            .clone_from(&tls.client_certificate);
    }
    request.access = Some(Box::new(access));
    request
}

/// The placeholder of a secret that the request then needs.
fn placed(access: &mut Access, secret: &SecretKey) -> String {
    access.secrets.insert(secret.clone());
    secret.to_string()
}

/// What is made of points, in the order of their times. Of what is no number there is no data.
fn reduced(points: impl IntoIterator<Item = f64>, reduce: Reduce) -> Sample {
    let points: Vec<f64> = points.into_iter().filter(|point| !point.is_nan()).collect();
    let Some(last) = points.last().copied() else {
        return Sample::Empty;
    };
    let sum = || points.iter().sum::<f64>();
    let number = match reduce {
        Reduce::Each => return Sample::Values(points),
        Reduce::Last => last,
        Reduce::Min => points.iter().copied().fold(f64::INFINITY, f64::min),
        Reduce::Max => points.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        Reduce::Mean => sum() / count(&points),
        Reduce::Sum => sum(),
    };
    Sample::Value(number)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a reply of 1 MiB has far fewer points than 2^52"
)]
fn count(points: &[f64]) -> f64 {
    points.len() as f64
}

#[cfg(test)]
pub(crate) mod testing {
    use serde_json::json;

    use super::*;
    use crate::metric::placeholder::{Sides, Subject};

    /// A metric of this provider.
    pub(crate) fn metric(provider: &Value) -> Metric {
        let mut metric = json!({"name": "m", "pass": "value > 0"});
        json_patch::merge(&mut metric, provider);
        serde_json::from_value(metric).unwrap()
    }

    /// Secrets of the shop.
    pub(crate) fn credentials() -> Credentials {
        Credentials {
            namespace: "shop".into(),
            secrets: BTreeSet::new(),
        }
    }

    /// A canary b on its way, a stable.
    pub(crate) fn sides() -> Sides {
        let subject = |revision: &str| Subject {
            pods: format!("api-{revision}-.*"),
            revision: revision.to_owned(),
            ..Subject::default()
        };
        Sides {
            canary: subject("b"),
            stable: subject("a"),
        }
    }

    /// The first sample of a metric that is measured every half minute.
    pub(crate) fn window() -> Window {
        Window {
            since: Timestamp::UNIX_EPOCH,
            interval: Duration::from_secs(30),
            now: Timestamp::UNIX_EPOCH,
        }
    }

    /// The request as text: what goes over the wire, with its placeholders.
    pub(crate) fn sent(provider: &Value) -> String {
        let metric = sides().filled(&metric(provider));
        shown(&request(&metric, &credentials(), &window()).unwrap())
    }

    pub(crate) fn shown(request: &Request) -> String {
        let Request {
            method,
            url,
            headers,
            body,
            access,
            ..
        } = request;
        let headers = headers.iter().map(|(k, v)| format!("{k}: {v}"));
        let headers = headers.collect::<Vec<_>>().join("\n");
        let body = body.as_deref().unwrap_or_default();
        format!("{method} {url}\n{headers}\n\n{body}\n\n{access:#?}\n")
    }

    /// What the provider makes of an answer.
    pub(crate) fn told(provider: &Value, status: u16, body: &str) -> Sample {
        let reply = Reply {
            status,
            body: body.as_bytes().to_vec(),
        };
        read(&metric(provider), &Ok(reply))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::testing::{credentials, metric, told, window};
    use super::*;

    #[test]
    fn points_become_one_number_or_stay_several() {
        let points = [1.0, f64::NAN, 4.0, 1.0];
        for (reduce, wanted) in [
            (Reduce::Last, 1.0),
            (Reduce::Min, 1.0),
            (Reduce::Max, 4.0),
            (Reduce::Mean, 2.0),
            (Reduce::Sum, 6.0),
        ] {
            assert_eq!(reduced(points, reduce), Sample::Value(wanted), "{reduce}");
        }
        assert_eq!(
            reduced(points, Reduce::Each),
            Sample::Values(vec![1.0, 4.0, 1.0])
        );
    }

    #[test]
    fn no_points_are_no_data_and_not_zero() {
        for reduce in Reduce::ALL {
            assert_eq!(reduced([f64::NAN], *reduce), Sample::Empty);
            assert_eq!(reduced([], *reduce), Sample::Empty);
        }
    }

    #[test]
    fn secrets_that_a_template_fills_in_are_listed_where_they_stand() {
        let (token, other) = (SecretKey::new("s", "token"), SecretKey::new("s", "other"));
        let web = json!({"web": {"url": format!("https://q/{token}")}});
        let credentials = Credentials {
            secrets: BTreeSet::from([token.clone(), other]),
            ..credentials()
        };
        let request = request(&metric(&web), &credentials, &window()).unwrap();
        assert_eq!(request.url, "https://q/~secret~s~token~");
        assert_eq!(request.access.unwrap().secrets, BTreeSet::from([token]));
    }

    #[test]
    fn what_a_server_says_of_a_question_with_a_secret_in_it_is_left_out() {
        let token = SecretKey::new("s", "token");
        let query = format!("up{{tenant=\"{token}\"}}");
        let with = |extra: &Value| {
            let mut metric = json!({"prometheus": {"address": "http://p", "query": query}});
            json_patch::merge(&mut metric, extra);
            let refused = json!({"status": "error", "error": "unexpected 'half of it'"});
            match told(&metric, 400, &refused.to_string()) {
                Sample::Error(error) => error,
                sample => panic!("{sample:?}"),
            }
        };
        let compared = json!({"prometheus": null, "pass": null, "compare": {
            "test": "MannWhitney", "prometheus": {"address": "http://p", "canary": query, "stable": "up"},
        }});
        for error in [with(&json!({})), with(&compared)] {
            assert!(!error.contains("half of it"), "{error}");
            assert!(
                error.starts_with("status 400, and no usable answer"),
                "{error}"
            );
        }
        let header = json!([{"name": "X-Token", "value": token.to_string()}]);
        let harmless = with(&json!({"prometheus": {"query": "up", "headers": header}}));
        assert!(harmless.contains("half of it"), "{harmless}");
    }

    #[test]
    fn a_metric_with_two_sources_has_none() {
        let two = json!({"web": {"url": "https://q"}, "prometheus": {"address": "http://p", "query": "q"}});
        assert_eq!(request(&metric(&two), &credentials(), &window()), None);
        assert!(matches!(
            read(&metric(&two), &Err("x".into())),
            Sample::Error(_)
        ));
    }
}
