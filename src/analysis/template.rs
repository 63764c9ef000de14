//! From an AnalysisTemplate and the arguments that a Rollout gives to metrics. No I/O.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::api::{AnalysisTemplate, AnalysisTemplateSpec, Metric};
use crate::metric::placeholder::{self, Placeholder};
use crate::model::invalid::Invalid;
use crate::model::object::ObjectKind;
use crate::rollout::api::TemplateReference;

/// The templates of a namespace that are known, by name.
pub type Templates = BTreeMap<String, Arc<AnalysisTemplate>>;

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
    let value = |found: &str| match Placeholder::named(found) {
        Some(Placeholder::Argument(name)) => args.get(&name).cloned().map(Some).ok_or_else(|| {
            let known: Vec<&str> = args.keys().map(String::as_str).collect();
            format!("the template has no such argument; {}", those(&known))
        }),
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

/// A metric of a template, as a place for people.
pub fn within(template: &str, index: usize) -> String {
    let kind = ObjectKind::AnalysisTemplate.kind();
    format!("{kind} {template}, spec.metrics[{index}]")
}

/// The value of every argument.
fn arguments(
    reference: &TemplateReference,
    path: &str,
    template: &AnalysisTemplateSpec,
) -> Result<BTreeMap<String, String>, Vec<Invalid>> {
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
        match reference.args.get(&arg.name).or(arg.value.as_ref()) {
            Some(value) => {
                values.insert(arg.name.clone(), value.clone());
            }
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
}
