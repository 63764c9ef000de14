//! AnalysisTemplates of Argo Rollouts, of a namespace or of the cluster. No I/O.

use regex::Regex;
use serde_json::{Value, json};

use super::super::workflow::name as named;
use super::super::written::{Written, copy, duration, list_at, metadata, text_at};
use super::condition;
use crate::model::json::set;

/// The AnalysisTemplate that measures the same.
pub(in super::super) fn convert(template: &Value, written: &mut Written) {
    let name = named(text_at(template, "/metadata/name").unwrap_or("template"));
    let path = format!("AnalysisTemplate {name}");
    if template["kind"] == "ClusterAnalysisTemplate" {
        written.tell(format!(
            "{path}: there are none of the whole cluster; apply it in every namespace that uses it"
        ));
    }
    let spec = &template["spec"];
    let known = ["args", "metrics", "dryRun", "measurementRetention"];
    written.tell_rest((spec, &path), &known, |field| {
        (field == "templates")
            .then_some("a template names no others here; name each of them in the Rollout")
    });
    for entry in list_at(spec, "/dryRun") {
        let metrics = list_at(spec, "/metrics").iter();
        let mut names = metrics.filter_map(|metric| text_at(metric, "/name"));
        if !names.any(|name| covers(entry, name)) {
            let pattern = text_at(entry, "/metricName").unwrap_or_default();
            written.tell(format!(
                "{path}.dryRun: `{pattern}` is the name of no metric"
            ));
        }
    }
    let args: Vec<Value> = list_at(spec, "/args")
        .iter()
        .filter_map(|arg| argument(arg, &path, written))
        .collect();
    let metrics: Vec<Value> = list_at(spec, "/metrics")
        .iter()
        .filter_map(|metric| convert_metric(metric, spec, &path, written))
        .map(|metric| renamed(metric, list_at(spec, "/args")))
        .collect();
    if metrics.is_empty() {
        written.tell(format!(
            "{path}: no metric of it could be converted, so it was left out"
        ));
        return;
    }
    let mut spec = json!({"metrics": metrics});
    if let (Some(spec), false) = (spec.as_object_mut(), args.is_empty()) {
        spec.insert("args".to_owned(), args.into());
    }
    written.objects.push(json!({
        "apiVersion": "slipway.dev/v1alpha1", "kind": "AnalysisTemplate", "metadata": metadata(template, &name),
        "spec": spec,
    }));
}

/// Names of the metrics of a template that were converted.
pub(super) fn metrics_of(template: &str, written: &Written) -> Vec<String> {
    let is_it = |object: &&Value| {
        object["kind"] == "AnalysisTemplate" && text_at(object, "/metadata/name") == Some(template)
    };
    let found = written.objects.iter().find(is_it);
    let metrics = found.map_or(&[][..], |found| list_at(found, "/spec/metrics"));
    let names = metrics.iter().filter_map(|metric| text_at(metric, "/name"));
    names.map(str::to_owned).collect()
}

fn argument(arg: &Value, path: &str, written: &mut Written) -> Option<Value> {
    let name = named(text_at(arg, "/name")?);
    let mut converted = json!({"name": name});
    if let Some(value) = arg.get("value") {
        set(
            &mut converted,
            &["value"],
            super::super::workflow::text(value)?,
        );
    } else if let Some(secret) = arg.pointer("/valueFrom/secretKeyRef") {
        written.tell_of_secret(text_at(secret, "/name").unwrap_or_default());
        set(
            &mut converted,
            &["valueFrom"],
            json!({"secretKeyRef": {"name": secret["name"], "key": secret["key"]}}),
        );
    } else if arg.get("valueFrom").is_some() {
        written.tell(format!(
            "{path}: argument {name} comes from a field; the Rollout has to give it"
        ));
    }
    Some(converted)
}

/// Arguments by the names that they have here.
fn renamed(metric: Value, args: &[Value]) -> Value {
    let mut text = metric.to_string();
    for there in args.iter().filter_map(|arg| text_at(arg, "/name")) {
        let here = format!("{{{{args.{}}}}}", named(there));
        for spaces in ["", " "] {
            text = text.replace(&format!("{{{{{spaces}args.{there}{spaces}}}}}"), &here);
        }
    }
    serde_json::from_str(&text).unwrap_or(metric)
}

fn convert_metric(there: &Value, spec: &Value, path: &str, written: &mut Written) -> Option<Value> {
    let told = text_at(there, "/name").unwrap_or("metric");
    let (name, path) = (named(told), format!("{path}: metric {told}"));
    let mut metric = provider(&there["provider"], &path, written)?;
    set(&mut metric, &["name"], name);
    let fields = [
        ("count", "count"),
        ("failureLimit", "failureLimit"),
        ("inconclusiveLimit", "inconclusiveLimit"),
        ("consecutiveErrorLimit", "errorLimit"),
        ("consecutiveSuccessLimit", "successLimit"),
    ];
    copy(there, &mut metric, &fields);
    if let Some(interval) = there.get("interval").and_then(duration) {
        set(&mut metric, &["interval"], interval);
    }
    let known = [
        "name",
        "provider",
        "interval",
        "successCondition",
        "failureCondition",
    ];
    let known: Vec<&str> = known
        .into_iter()
        .chain(fields.map(|(there, _)| there))
        .collect();
    written.tell_rest((there, &path), &known, |field| {
        (field == "initialDelay")
            .then_some("stands in analysis.initialDelay of the Rollout, for all metrics")
    });
    let is_named = |entry: &&Value| covers(entry, told);
    if list_at(spec, "/dryRun").iter().any(|it| is_named(&it)) {
        set(&mut metric, &["dryRun"], true);
    }
    let retention = list_at(spec, "/measurementRetention").iter().find(is_named);
    if let Some(limit) = retention.and_then(|entry| entry["limit"].as_u64()) {
        set(&mut metric, &["retain"], limit.min(20));
    }
    if metric.get("job").is_some() {
        return Some(metric);
    }
    conditions(there, &mut metric, &path, written).then_some(metric)
}

/// Whether an entry of a template is about a metric: it names metrics by a regular expression.
fn covers(entry: &Value, metric: &str) -> bool {
    let pattern = text_at(entry, "/metricName").unwrap_or_default();
    let pattern = Regex::new(pattern).ok().filter(|_| !pattern.is_empty());
    pattern.is_some_and(|pattern| pattern.is_match(metric))
}

/// Whether it says when a sample is good, or when it is bad.
fn conditions(there: &Value, metric: &mut Value, path: &str, written: &mut Written) -> bool {
    for (field, here) in [("successCondition", "pass"), ("failureCondition", "fail")] {
        let Some(text) = there.get(field).and_then(Value::as_str) else {
            continue;
        };
        let Some(condition) = condition::convert(text) else {
            written.tell(format!(
                "{path}: {field} `{text}` is about more than one number; the metric was left out: say it of `value`, in CEL"
            ));
            return false;
        };
        set(metric, &[here], condition.text);
        if condition.holds_without_data {
            let counts_as = if here == "pass" { "Pass" } else { "Fail" };
            set(metric, &["noData"], counts_as);
        }
    }
    let is_judged = metric.get("pass").is_some() || metric.get("fail").is_some();
    if !is_judged {
        written.tell(format!("{path}: it has no condition, so it was left out"));
    }
    is_judged
}

fn provider(there: &Value, path: &str, written: &mut Written) -> Option<Value> {
    let providers = there.as_object()?;
    let (kind, query) = providers.iter().next()?;
    match kind.as_str() {
        "prometheus" => Some(json!({"prometheus": prometheus(query, path, written)})),
        "web" => Some(web(query, path, written)),
        "job" => job(query, path, written),
        "graphite" => {
            Some(json!({"graphite": {"address": query["address"], "target": query["query"]}}))
        }
        "datadog" => {
            let secret = text_at(query, "/secretRef/name")
                .unwrap_or("datadog")
                .to_owned();
            written.tell_of_secret(&secret);
            written.tell_rest((query, path), &["query", "interval", "secretRef"], |_| None);
            let mut datadog = json!({
                "query": query["query"],
                "apiKey": {"name": secret, "key": "api-key"}, "appKey": {"name": secret, "key": "app-key"},
            });
            if let Some(interval) = query.get("interval").and_then(duration) {
                set(&mut datadog, &["for"], interval);
            }
            Some(json!({"datadog": datadog}))
        }
        other => {
            written.tell(format!(
                "{path}: provider {other} was not converted, so it was left out; docs/metrics.md has those that there are"
            ));
            None
        }
    }
}

fn prometheus(query: &Value, path: &str, written: &mut Written) -> Value {
    written.tell_rest((query, path), &["address", "query", "headers"], |field| {
        (field == "authentication")
            .then_some("see prometheus.auth: bearer and basic, from a Secret")
    });
    let mut prometheus = json!({"address": query["address"], "query": query["query"]});
    headers(query, &mut prometheus);
    prometheus
}

fn headers(query: &Value, into: &mut Value) {
    let headers = list_at(query, "/headers").iter();
    let headers: Vec<Value> = headers
        .map(|header| json!({"name": header["key"], "value": header["value"]}))
        .collect();
    if !headers.is_empty() {
        set(into, &["headers"], headers);
    }
}

fn web(query: &Value, path: &str, written: &mut Written) -> Value {
    let url = text_at(query, "/url").unwrap_or_default();
    let mut web = json!({"url": url});
    if url.starts_with("http://") {
        set(&mut web, &["plainHttp"], true);
    }
    let body = query.get("jsonBody").map(Value::to_string);
    let body = body.or_else(|| text_at(query, "/body").map(str::to_owned));
    match text_at(query, "/method") {
        None | Some("GET") if body.is_none() => {}
        None | Some("GET" | "POST") => {
            set(&mut web, &["method"], "POST");
        }
        Some(other) => written.tell(format!("{path}: method {other}: there are GET and POST")),
    }
    if let Some(body) = body {
        set(&mut web, &["body"], body);
    }
    if let Some(json_path) = text_at(query, "/jsonPath") {
        set(&mut web, &["path"], json_path.trim_matches(['{', '}']));
    }
    headers(query, &mut web);
    let mut metric = json!({"web": web});
    if let Some(timeout) = query.get("timeoutSeconds").and_then(duration) {
        set(&mut metric, &["timeout"], timeout);
    }
    let known = [
        "url",
        "method",
        "body",
        "jsonBody",
        "jsonPath",
        "headers",
        "timeoutSeconds",
    ];
    written.tell_rest((query, path), &known, |field| {
        (field == "authentication").then_some("see web.auth: bearer and basic, from a Secret")
    });
    metric
}

fn job(query: &Value, path: &str, written: &mut Written) -> Option<Value> {
    let containers = list_at(query, "/spec/template/spec/containers");
    let container = containers.first()?;
    if containers.len() > 1 {
        written.tell(format!(
            "{path}: a Job as a metric has one container; the first one was taken"
        ));
    }
    let words = ["/command", "/args"].map(|at| list_at(container, at));
    let command: Vec<Value> = words.into_iter().flatten().cloned().collect();
    let mut job = json!({"image": container["image"]});
    if !command.is_empty() {
        set(&mut job, &["command"], command);
    }
    let (plain, others): (Vec<&Value>, Vec<&Value>) = list_at(container, "/env")
        .iter()
        .partition(|variable| variable.get("value").is_some());
    for variable in others {
        let name = text_at(variable, "/name").unwrap_or_default();
        written.tell(format!(
            "{path}: variable {name} comes from elsewhere, and was left out"
        ));
    }
    if !plain.is_empty() {
        set(&mut job, &["env"], json!(plain));
    }
    written.tell_rest(
        (container, path),
        &["name", "image", "command", "args", "env"],
        |_| None,
    );
    Some(json!({"job": job}))
}
