//! Metrics of a Canary: those that Flagger knows itself, queries, and MetricTemplates. No I/O.

use serde_json::{Value, json};

use super::super::workflow::name as named;
use super::super::written::{Written, duration, list_at, text_at};
use crate::model::json::set;

/// Where Prometheus is, where nobody says it.
const PROMETHEUS: &str = "http://prometheus.monitoring:9090";

/// What Flagger measures by these names, with the figures of Istio.
const KNOWN: &[(&str, &str)] = &[
    (
        "request-success-rate",
        r#"100 * sum(rate(istio_requests_total{reporter="destination",pod=~"{{canary.pods}}",response_code!~"5.*"}[INTERVAL])) / sum(rate(istio_requests_total{reporter="destination",pod=~"{{canary.pods}}"}[INTERVAL]))"#,
    ),
    (
        "request-duration",
        r#"histogram_quantile(0.99, sum(rate(istio_request_duration_milliseconds_bucket{reporter="destination",pod=~"{{canary.pods}}"}[INTERVAL])) by (le))"#,
    ),
];

/// A pattern of pods that queries often have, and that is known here.
const PODS_OF_TARGET: &str = "TARGET-[0-9a-zA-Z]+(-[0-9a-zA-Z]+)";

/// The metrics of a Canary.
pub(super) fn convert(
    analysis: &Value,
    (spec, templates): (&Value, &[Value]),
    path: &str,
    written: &mut Written,
) -> Vec<Value> {
    // As many may fail as are fewer than the threshold.
    let threshold = analysis.get("threshold").and_then(Value::as_u64);
    let limit = threshold.unwrap_or(1).saturating_sub(1);
    let interval = analysis.get("interval").and_then(duration);
    let mut metrics: Vec<Value> = Vec::new();
    for there in list_at(analysis, "/metrics") {
        let told = text_at(there, "/name").unwrap_or("metric");
        let path = format!("{path}.analysis.metrics: {told}");
        let own = there.get("interval").and_then(duration);
        let span = own.clone().or_else(|| interval.clone());
        let place = Place {
            spec,
            path: &path,
            interval: span.as_deref().unwrap_or("1m"),
        };
        let Some(mut metric) = source(there, templates, &place, written) else {
            continue;
        };
        set(&mut metric, &["name"], named(told));
        set(&mut metric, &["failureLimit"], limit);
        if let Some(own) = own {
            set(&mut metric, &["interval"], own);
        }
        let Some(pass) = range(there) else {
            written.tell(format!("{path}: it has no range, so it was left out"));
            continue;
        };
        set(&mut metric, &["pass"], pass);
        metrics.push(metric);
    }
    metrics
}

/// A MetricTemplate that no Canary of the file names: what is good is said by those.
pub(in super::super) fn told_alone(template: &Value, canaries: &[Value], written: &mut Written) {
    let name = text_at(template, "/metadata/name").unwrap_or_default();
    let names_it = |metric: &Value| text_at(metric, "/templateRef/name") == Some(name);
    let metrics = canaries.iter().flat_map(|canary| {
        let both = ["/spec/analysis/metrics", "/spec/canaryAnalysis/metrics"];
        both.into_iter().flat_map(move |at| list_at(canary, at))
    });
    if !metrics.into_iter().any(names_it) {
        written.tell(format!(
            "MetricTemplate {name}: what is good is said by a Canary, and none of the file names it, so it was left out"
        ));
    }
}

struct Place<'a> {
    spec: &'a Value,
    path: &'a str,
    interval: &'a str,
}

fn source(
    there: &Value,
    templates: &[Value],
    place: &Place<'_>,
    written: &mut Written,
) -> Option<Value> {
    let path = place.path;
    if let Some(name) = text_at(there, "/templateRef/name") {
        let is_it = |template: &&Value| text_at(template, "/metadata/name") == Some(name);
        let Some(template) = templates.iter().find(is_it) else {
            written.tell(format!(
                "{path}: MetricTemplate {name} is not in the file, so the metric was left out; convert both together"
            ));
            return None;
        };
        return of_template(template, &there["templateVariables"], place, written);
    }
    if let Some(query) = text_at(there, "/query") {
        let query = filled(query, &Value::Null, place, written);
        return Some(prometheus(PROMETHEUS, &query, path, written));
    }
    let name = text_at(there, "/name").unwrap_or_default();
    let known = KNOWN.iter().find(|(known, _)| *known == name);
    let provider = text_at(place.spec, "/provider").unwrap_or_default();
    let Some((_, query)) = known.filter(|_| provider == "istio") else {
        written.tell(format!(
            "{path}: Flagger knows how to ask for it, and of another data plane than Istio nobody does here; it was left out: \
             write its query, about pods {{{{canary.pods}}}}"
        ));
        return None;
    };
    let query = query.replace("INTERVAL", place.interval);
    Some(prometheus(PROMETHEUS, &query, path, written))
}

fn prometheus(address: &str, query: &str, path: &str, written: &mut Written) -> Value {
    if address == PROMETHEUS {
        written.tell(format!(
            "{path}: where Prometheus is, is not known here: look at its address"
        ));
    }
    json!({"prometheus": {"address": address, "query": query}})
}

fn of_template(
    template: &Value,
    variables: &Value,
    place: &Place<'_>,
    written: &mut Written,
) -> Option<Value> {
    let path = place.path;
    let provider = template.pointer("/spec/provider").unwrap_or(&Value::Null);
    let query = text_at(template, "/spec/query").unwrap_or_default();
    let query = filled(query, variables, place, written);
    let address = text_at(provider, "/address").unwrap_or(PROMETHEUS);
    let secret = text_at(provider, "/secretRef/name");
    if let Some(secret) = secret {
        written.tell_of_secret(secret);
    }
    match text_at(provider, "/type").unwrap_or_default() {
        "prometheus" => {
            let mut metric = prometheus(address, &query, path, written);
            if let Some(secret) = secret {
                let password = json!({"name": secret, "key": "password"});
                set(
                    &mut metric,
                    &["prometheus", "auth"],
                    json!({"basic": {"username": "user", "password": password}}),
                );
                written.tell(format!(
                    "{path}: who asks is not in a Secret but in prometheus.auth.basic.username"
                ));
            }
            Some(metric)
        }
        "graphite" => Some(json!({"graphite": {"address": address, "target": query}})),
        "datadog" => {
            let key = |key: &str| json!({"name": secret.unwrap_or("datadog"), "key": key});
            let (api, app) = (key("datadog_api_key"), key("datadog_application_key"));
            Some(
                json!({"datadog": {"query": query, "apiKey": api, "appKey": app, "for": place.interval}}),
            )
        }
        other => {
            written.tell(format!(
                "{path}: provider {other} was not converted, so the metric was left out; docs/metrics.md has those that there are"
            ));
            None
        }
    }
}

/// A query with what its template leaves open.
fn filled(query: &str, variables: &Value, place: &Place<'_>, written: &mut Written) -> String {
    let target = text_at(place.spec, "/targetRef/name").unwrap_or_default();
    let mut query = query.trim().to_owned();
    let mut fill = |name: &str, text: &str| {
        for spaces in ["", " "] {
            query = query.replace(&format!("{{{{{spaces}{name}{spaces}}}}}"), text);
        }
    };
    fill("interval", place.interval);
    fill("namespace", "{{metadata.namespace}}");
    fill("target", "TARGET");
    fill("service", target);
    fill(
        "ingress",
        text_at(place.spec, "/ingressRef/name").unwrap_or(target),
    );
    for (name, value) in variables.as_object().into_iter().flatten() {
        let text = super::super::workflow::text(value).unwrap_or_default();
        fill(&format!("variables.{name}"), &text);
    }
    let query = query.replace(PODS_OF_TARGET, "{{canary.pods}}");
    if query.contains("TARGET") {
        written.tell(format!(
            "{}: its query names {target}, which is stable and canary together here; the canary's pods are {{{{canary.pods}}}}",
            place.path
        ));
    }
    query.replace("TARGET", target)
}

/// When a value is good.
fn range(there: &Value) -> Option<String> {
    let range = there.get("thresholdRange");
    let bound = |field: &str| range.and_then(|range| range.get(field)?.as_f64());
    let old = there.get("threshold").and_then(Value::as_f64);
    let is_rate = text_at(there, "/name") == Some("request-success-rate");
    let (least, most) = match (bound("min"), bound("max"), old) {
        (None, None, Some(old)) if is_rate => (Some(old), None),
        (None, None, Some(old)) => (None, Some(old)),
        (least, most, _) => (least, most),
    };
    let bounds = [(">=", least), ("<=", most)].into_iter();
    let bounds = bounds.filter_map(|(than, bound)| Some(format!("value {than} {}", bound?)));
    let bounds: Vec<String> = bounds.collect();
    (!bounds.is_empty()).then(|| bounds.join(" && "))
}
