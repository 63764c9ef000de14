//! From an AnalysisTemplate and the arguments that a Rollout gives to metrics. No I/O.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::api::{AnalysisTemplate, AnalysisTemplateSpec, Metric};
use crate::metric::placeholder::{self, Placeholder};
use crate::model::invalid::Invalid;
use crate::model::object::ObjectKind;
use crate::model::secret::SecretKey;
use crate::rollout::api::TemplateReference;

/// The templates of a namespace that are known, by name.
pub type Templates = BTreeMap<String, Arc<AnalysisTemplate>>;

/// Where a value of a Secret may stand in a metric: what is sent, and shown to nobody on its way. Addresses are not among
/// them (servers and proxies log them), and so is what asks by its address.
const OUT_OF_SIGHT: &[&str] = &[
    ".prometheus.query",
    ".compare.prometheus.canary",
    ".compare.prometheus.canaryTotal",
    ".compare.prometheus.stable",
    ".compare.prometheus.stableTotal",
    ".web.body",
    ".newRelic.query",
    ".graphite.target",
    ".influxdb.flux",
    ".influxdb.influxQL",
];

/// What an argument is.
enum Given {
    Text(String),
    Secret(SecretKey),
}

impl Given {
    /// What stands for it at a place in a metric: of a secret its placeholder, which is filled in when the request is sent.
    fn at(&self, place: &str) -> Result<String, String> {
        let secret = match self {
            Self::Text(text) => return Ok(text.clone()),
            Self::Secret(secret) => secret,
        };
        let is_header = place.contains(".headers[") && place.ends_with("].value");
        if is_header || OUT_OF_SIGHT.contains(&place) {
            return Ok(secret.to_string());
        }
        Err("it comes from a Secret, and would be seen here; it may stand in values of header fields, in the body of web, and \
             in queries that are not part of an address".to_owned())
    }
}

/// Values of Secrets that arguments of a template come from.
pub fn secrets(reference: &TemplateReference, templates: &Templates) -> BTreeSet<SecretKey> {
    let template = templates.get(&reference.name);
    let args = template.iter().flat_map(|template| &template.spec.args);
    args.filter_map(|arg| Some(arg.value_from.as_ref()?.secret_key_ref.clone()))
        .collect()
}

/// The metrics of a template, with the arguments filled in. What they say of the Rollout is not filled in yet.
///
/// # Errors
/// Everything that is wrong with the reference, or the first thing that is wrong with each metric.
pub fn metrics(
    reference: &TemplateReference,
    path: &str,
    templates: &Templates,
) -> Result<Vec<Metric>, Vec<Invalid>> {
    let name = &reference.name;
    let Some(template) = templates.get(name) else {
        let problem = format!(
            "there is no {} {name}; create it in this namespace, or leave it out",
            ObjectKind::AnalysisTemplate.kind()
        );
        return Err(vec![Invalid::new(format!("{path}.name"), problem)]);
    };
    let args = arguments(reference, path, &template.spec)?;
    let value = |found: &str, place: &str| match Placeholder::named(found) {
        Some(Placeholder::Argument(name)) => {
            let given = args.get(&name).ok_or_else(|| {
                let known: Vec<&str> = args.keys().map(String::as_str).collect();
                format!("the template has no such argument; {}", those(&known))
            })?;
            given.at(field_of(place)).map(Some)
        }
        Some(_) => Ok(None),
        None => Err(format!(
            "there is no such placeholder; there are {}",
            placeholder::KNOWN
        )),
    };
    let (mut metrics, mut problems) = (Vec::new(), Vec::new());
    for (index, metric) in template.spec.metrics.iter().enumerate() {
        match placeholder::filled(metric, &within(name, index), &value) {
            Ok(filled) => metrics.push(filled),
            Err(wrong) => problems.push(Invalid::new(path, format!("{}: {wrong}", wrong.path))),
        }
    }
    if problems.is_empty() {
        Ok(metrics)
    } else {
        Err(problems)
    }
}

/// The field below its metric, of a place in a template.
fn field_of(place: &str) -> &str {
    let metric = place.find(']').map_or(0, |end| end + 1);
    place.get(metric..).unwrap_or_default()
}

/// A metric of a template, as a place for people.
pub fn within(template: &str, index: usize) -> String {
    let kind = ObjectKind::AnalysisTemplate.kind();
    format!("{kind} {template}, spec.metrics[{index}]")
}

/// What every argument is.
fn arguments(
    reference: &TemplateReference,
    path: &str,
    template: &AnalysisTemplateSpec,
) -> Result<BTreeMap<String, Given>, Vec<Invalid>> {
    let name = &reference.name;
    let known: Vec<&str> = template.args.iter().map(|arg| arg.name.as_str()).collect();
    let mut problems = Vec::new();
    for given in reference.args.keys() {
        if !known.contains(&given.as_str()) {
            let problem = format!(
                "AnalysisTemplate {name} has no such argument; {}",
                those(&known)
            );
            problems.push(Invalid::new(format!("{path}.args.{given}"), problem));
        }
    }
    let mut values = BTreeMap::new();
    for arg in &template.args {
        let own = reference.args.get(&arg.name);
        let given = match (&arg.value_from, own) {
            (Some(_), Some(_)) => {
                let problem = format!(
                    "AnalysisTemplate {name} takes it from a Secret, so that nobody sees it; leave it out here"
                );
                problems.push(Invalid::new(format!("{path}.args.{}", arg.name), problem));
                continue;
            }
            (Some(from), None) => Some(Given::Secret(from.secret_key_ref.clone())),
            (None, own) => own.or(arg.value.as_ref()).cloned().map(Given::Text),
        };
        match given {
            Some(given) => drop(values.insert(arg.name.clone(), given)),
            None => problems.push(Invalid::new(
                format!("{path}.args"),
                format!(
                    "AnalysisTemplate {name} needs a value for {}, and has none by default; add it",
                    arg.name
                ),
            )),
        }
    }
    if problems.is_empty() {
        Ok(values)
    } else {
        Err(problems)
    }
}

fn those(known: &[&str]) -> String {
    if known.is_empty() {
        return "it has none".to_owned();
    }
    format!("it has {}", known.join(", "))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn templates(spec: &Value) -> Templates {
        let template = json!({
            "apiVersion": "slipway.dev/v1alpha1", "kind": "AnalysisTemplate",
            "metadata": {"name": "house-rules"}, "spec": spec,
        });
        let template: AnalysisTemplate = serde_json::from_value(template).unwrap();
        [("house-rules".to_owned(), Arc::new(template))].into()
    }

    fn house_rules() -> Templates {
        templates(&json!({
            "args": [{"name": "service"}, {"name": "least", "value": "0.99"}],
            "metrics": [{
                "name": "success-rate", "pass": "value >= {{args.least}}",
                "prometheus": {"address": "http://prom", "query": "up{s=\"{{args.service}}\",p=~\"{{canary.pods}}\"}"},
            }],
        }))
    }

    fn query(metric: &Metric) -> &str {
        &metric.provider.prometheus.as_ref().unwrap().query
    }

    fn read(reference: &Value, templates: &Templates) -> Result<Vec<Metric>, Vec<String>> {
        let reference: TemplateReference = serde_json::from_value(reference.clone()).unwrap();
        let told = |invalid: Invalid| format!("{}: {}", invalid.path, invalid.problem);
        metrics(&reference, "spec.analysis.templates[0]", templates)
            .map_err(|problems| problems.into_iter().map(told).collect())
    }

    #[test]
    fn values_are_filled_in_and_defaults_where_there_are_none() {
        let given = json!({"name": "house-rules", "args": {"service": "api"}});
        let metrics = read(&given, &house_rules()).unwrap();
        assert_eq!(metrics[0].pass.as_deref(), Some("value >= 0.99"));
        assert_eq!(query(&metrics[0]), "up{s=\"api\",p=~\"{{canary.pods}}\"}");
        let given = json!({"name": "house-rules", "args": {"service": "{{metadata.name}}", "least": "0.5"}});
        let metrics = read(&given, &house_rules()).unwrap();
        assert_eq!(metrics[0].pass.as_deref(), Some("value >= 0.5"));
        assert!(query(&metrics[0]).contains("s=\"{{metadata.name}}\""));
    }

    #[test]
    fn what_is_missing_or_unknown_is_told_with_its_place() {
        let told =
            |reference, templates: &Templates| read(&reference, templates).unwrap_err().join("; ");
        assert_eq!(
            told(json!({"name": "other"}), &house_rules()),
            "spec.analysis.templates[0].name: there is no AnalysisTemplate other; create it in this namespace, or leave \
             it out"
        );
        assert_eq!(
            told(
                json!({"name": "house-rules", "args": {"servce": "api"}}),
                &house_rules()
            ),
            "spec.analysis.templates[0].args.servce: AnalysisTemplate house-rules has no such argument; it has service, \
             least; spec.analysis.templates[0].args: AnalysisTemplate house-rules needs a value for service, and has \
             none by default; add it"
        );
        let wrong = |query: &str| {
            templates(&json!({"metrics": [{
                "name": "errors", "fail": "value > 0", "prometheus": {"address": "http://prom", "query": query},
            }]}))
        };
        assert_eq!(
            told(json!({"name": "house-rules"}), &wrong("{{args.x}}")),
            "spec.analysis.templates[0]: AnalysisTemplate house-rules, spec.metrics[0].prometheus.query: {{args.x}}: the \
             template has no such argument; it has none"
        );
        let unknown = told(json!({"name": "house-rules"}), &wrong("{{canary.pod}}"));
        assert!(
            unknown.contains("there is no such placeholder; there are canary.pods"),
            "{unknown}"
        );
    }

    fn with_a_secret(metric: &Value) -> Templates {
        let mut whole = json!({"name": "quality", "pass": "value > 0"});
        json_patch::merge(&mut whole, metric);
        let from = json!({"secretKeyRef": {"name": "quality", "key": "token"}});
        templates(&json!({"args": [{"name": "token", "valueFrom": from}], "metrics": [whole]}))
    }

    #[test]
    fn what_comes_from_a_secret_is_a_placeholder_until_it_is_sent() {
        let of = with_a_secret(&json!({"web": {
            "url": "https://q", "method": "POST", "body": "{\"token\": \"{{args.token}}\"}",
            "headers": [{"name": "X-Token", "value": "Token {{args.token}}"}],
        }}));
        let metric = read(&json!({"name": "house-rules"}), &of)
            .unwrap()
            .remove(0);
        let web = metric.provider.web.unwrap();
        let placeholder = "~secret~quality~token~";
        assert_eq!(
            web.body.unwrap(),
            format!("{{\"token\": \"{placeholder}\"}}")
        );
        let header = &web.connection.headers[0];
        assert_eq!(header.value, Some(format!("Token {placeholder}")));
        let reference = serde_json::from_value(json!({"name": "house-rules"})).unwrap();
        let found = secrets(&reference, &of);
        assert_eq!(found, BTreeSet::from([SecretKey::new("quality", "token")]));
    }

    #[test]
    fn what_comes_from_a_secret_stands_nowhere_where_it_would_be_seen() {
        let secret = |key: &str| json!({"name": "s", "key": key});
        let basic = json!({"basic": {"username": "{{args.token}}", "password": secret("p")}});
        let datadog =
            json!({"query": "{{args.token}}", "apiKey": secret("a"), "appKey": secret("b")});
        for (metric, place) in [
            (
                json!({"web": {"url": "https://q/{{args.token}}"}}),
                "web.url",
            ),
            (
                json!({"web": {"url": "https://q", "path": "$.{{args.token}}"}}),
                "web.path",
            ),
            (
                json!({"web": {"url": "https://q", "auth": basic}}),
                "web.auth.basic.username",
            ),
            (
                json!({"web": {"url": "https://q"}, "pass": "value > {{args.token}}"}),
                "pass",
            ),
            (
                json!({"job": {"image": "smoke", "command": ["{{args.token}}"]}, "pass": null}),
                "job.command[0]",
            ),
            (json!({"datadog": datadog}), "datadog.query"),
        ] {
            let told = read(&json!({"name": "house-rules"}), &with_a_secret(&metric));
            let told = told.unwrap_err().join("; ");
            let wanted =
                format!("spec.metrics[0].{place}: {{{{args.token}}}}: it comes from a Secret");
            assert!(told.contains(&wanted), "{place}: {told}");
        }
        let given = json!({"name": "house-rules", "args": {"token": "in the open"}});
        let told = read(
            &given,
            &with_a_secret(&json!({"web": {"url": "https://q"}})),
        );
        let told = told.unwrap_err().join("; ");
        assert!(
            told.contains("args.token: AnalysisTemplate house-rules takes it from a Secret"),
            "{told}"
        );
    }
}
