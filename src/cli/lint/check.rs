//! What is wrong with the objects of a file, and where. No I/O.

use std::collections::BTreeMap;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_saphyr::Spanned;

use super::host;
use super::locate::{Node, Place, locate};
use crate::analysis::api::AnalysisTemplate;
use crate::analysis::template::Templates;
use crate::cli::manifest::{File, name_of, read};
use crate::decision::api::Decision;
use crate::environment::api::Environment;
use crate::metric::{judge, provider};
use crate::model::invalid::Invalid;
use crate::model::object::ObjectKind;
use crate::pipeline::api::Pipeline;
use crate::pipeline::spec;
use crate::pipeline_run::api::PipelineRun;
use crate::promotion::api::Promotion;
use crate::release::api::Release;
use crate::rollout::api::{RiskLevel, Rollout};
use crate::rollout::simulation::simulate;
use crate::slo::spec::Slo;
use crate::supply::trust::Trust;

/// Group and version of every kind of ours.
const GROUP: &str = "slipway.dev";

/// What objects are checked against.
pub(super) struct Rules {
    /// The schema of each kind.
    pub(super) kinds: BTreeMap<&'static str, Value>,
    /// The AnalysisTemplates of all files.
    pub(super) templates: Templates,
}

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) enum Severity {
    /// It is wrong.
    Error,
    /// It works, and most likely does something else than what is meant.
    Warning,
}

/// Something that is wrong, or may be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Finding {
    /// How much it matters.
    pub(super) severity: Severity,
    /// The file.
    pub(super) file: String,
    /// Its line, from 1.
    pub(super) line: u64,
    /// Its column, from 1.
    pub(super) column: u64,
    /// Kind of the object; empty where the file cannot be read.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) kind: String,
    /// Name of the object.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) name: String,
    /// Where in the object.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) path: String,
    /// What is wrong, and what to do.
    pub(super) message: String,
}

impl Finding {
    /// All but where in the file, for people.
    pub(super) fn said(&self) -> String {
        if self.kind.is_empty() {
            return self.message.clone();
        }
        let Self {
            kind,
            name,
            path,
            message,
            ..
        } = self;
        let mark = match self.severity {
            Severity::Error => "",
            Severity::Warning => "warning: ",
        };
        format!("{mark}{kind} {name}: {path}: {message}")
    }
}

/// What is wrong with a file, and how many objects of ours are in it.
pub(super) fn findings(file: &File, rules: &Rules) -> (Vec<Finding>, usize) {
    let documents = serde_saphyr::from_multiple::<Spanned<Node>>(&file.text);
    let documents = match documents {
        Ok(documents) => documents,
        Err(error) => {
            let at = error.location();
            let at = at.map_or((1, 1), |at| (at.line(), at.column()));
            let message = format!("not YAML: {error}");
            let blank = Invalid::new("", message);
            let found = finding(file, (at, Severity::Error), ("", ""), blank);
            return (vec![found], 0);
        }
    };
    let (mut found, mut count) = (Vec::new(), 0);
    for object in documents.iter().flat_map(members) {
        let value = &object.value.value();
        let kind = value["kind"].as_str().unwrap_or_default();
        let version = value["apiVersion"].as_str().unwrap_or_default();
        if version.split('/').next() != Some(GROUP) {
            continue;
        }
        count += 1;
        let name = name_of(value).unwrap_or("without a name");
        let wrong = problems(value, (kind, version), rules).into_iter();
        let wrong = wrong.map(|wrong| (Severity::Error, wrong));
        let odd = warnings(value, kind).into_iter();
        let odd = odd.map(|odd| (Severity::Warning, odd));
        for (severity, what) in wrong.chain(odd) {
            let at = locate(object, &what.path, &file.text);
            found.push(finding(file, (at, severity), (kind, name), what));
        }
    }
    found.sort_by_key(|finding| (finding.line, finding.column));
    (found, count)
}

fn finding(
    file: &File,
    ((line, column), severity): (Place, Severity),
    (kind, name): (&str, &str),
    wrong: Invalid,
) -> Finding {
    Finding {
        severity,
        file: file.name.clone(),
        line,
        column,
        kind: kind.to_owned(),
        name: name.to_owned(),
        path: wrong.path,
        message: wrong.problem,
    }
}

/// The items of a List, or the object itself.
fn members(document: &Spanned<Node>) -> Vec<&Spanned<Node>> {
    let kind = document.value.field("kind").map(|kind| kind.value.value());
    let is_list = kind.is_some_and(|kind| kind.as_str().is_some_and(|kind| kind.ends_with("List")));
    match document.value.field("items").map(|items| &items.value) {
        Some(Node::List(items)) if is_list => items.iter().collect(),
        _ => vec![document],
    }
}

/// Everything that is wrong with an object, each thing once.
fn problems(object: &Value, (kind, version): (&str, &str), rules: &Rules) -> Vec<Invalid> {
    let Some(schema) = rules.kinds.get(kind) else {
        let known: Vec<&str> = rules.kinds.keys().copied().collect();
        let known = known.join(", ");
        let problem = format!("there is no {kind} in {GROUP}; there are: {known}");
        return vec![Invalid::new("kind", problem)];
    };
    let wanted = ObjectKind::own(kind).map(ObjectKind::api_version);
    if let Some(wanted) = wanted.filter(|wanted| wanted != version) {
        return vec![Invalid::new("apiVersion", format!("must be {wanted}"))];
    }
    let mut all = Vec::new();
    let metadata = &object["metadata"];
    if metadata["name"].as_str().is_none() && metadata["generateName"].as_str().is_none() {
        all.push(Invalid::new("metadata.name", "is needed"));
    }
    let more = match kind {
        "Rollout" => typed(object, schema, |it: &Rollout| rollout(it, &rules.templates)),
        "AnalysisTemplate" => typed(object, schema, template),
        "Pipeline" => typed(object, schema, |it: &Pipeline| spec::problems(&it.spec)),
        "Environment" => typed(object, schema, environment),
        "PipelineRun" => typed(object, schema, |_: &PipelineRun| Vec::new()),
        "Release" => typed(object, schema, |_: &Release| Vec::new()),
        "Promotion" => typed(object, schema, |_: &Promotion| Vec::new()),
        "Decision" => typed(object, schema, |_: &Decision| Vec::new()),
        _ => Vec::new(),
    };
    for wrong in more {
        if !all.contains(&wrong) {
            all.push(wrong);
        }
    }
    all
}

/// What works, and most likely does something else than what is meant.
fn warnings(object: &Value, kind: &str) -> Vec<Invalid> {
    if kind == ObjectKind::Environment.kind() {
        host::warnings(object)
    } else {
        Vec::new()
    }
}

/// What the schema says, and then what the operator would say.
fn typed<K: DeserializeOwned>(
    object: &Value,
    schema: &Value,
    rules: impl Fn(&K) -> Vec<Invalid>,
) -> Vec<Invalid> {
    let (read, mut problems) = read::<K>(object, schema);
    problems.extend(read.iter().flat_map(rules));
    problems
}

fn rollout(rollout: &Rollout, templates: &Templates) -> Vec<Invalid> {
    match simulate(rollout, templates, RiskLevel::Medium) {
        Ok(simulation) => {
            let problem = simulation.problem;
            let endless = problem.map(|problem| Invalid::new("spec.strategy", problem));
            endless.into_iter().collect()
        }
        Err(problems) => problems,
    }
}

fn template(template: &AnalysisTemplate) -> Vec<Invalid> {
    let mut problems = Vec::new();
    for (index, metric) in template.spec.metrics.iter().enumerate() {
        let path = format!("spec.metrics[{index}]");
        if let Err((field, problem)) = provider::check(metric) {
            problems.push(Invalid::new(format!("{path}{field}"), problem));
        }
        // What stands for an argument is checked with the Rollout that gives it.
        let complete = metric.conditions().filter(|(_, text)| !text.contains("{{"));
        for (field, text) in complete {
            if let Err(problem) = judge::check(text) {
                problems.push(Invalid::new(format!("{path}.{field}"), problem));
            }
        }
    }
    problems
}

fn environment(environment: &Environment) -> Vec<Invalid> {
    let spec = &environment.spec;
    let slos = spec.slos.iter();
    let slos = slos.filter_map(|slo| Slo::read(slo, spec.metrics.as_ref()).err());
    let mut problems: Vec<Invalid> = slos.collect();
    let signed = spec.protection.require_signed.iter();
    let unusable = signed.filter_map(|rule| {
        let trust = Trust::read(&rule.public_keys, rule.certified().as_ref());
        trust.err()
    });
    problems.extend(unusable.flatten().map(|one| {
        let path = format!("spec.protection.requireSigned.{}", one.field);
        Invalid::new(path, one.problem)
    }));
    problems
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crd;
    use crate::kinds::KINDS;

    fn rules() -> Rules {
        let kinds = KINDS.iter();
        let kinds = kinds.map(|info| (info.kind, crd::schema_of(info).unwrap()));
        Rules {
            kinds: kinds.collect(),
            templates: Templates::new(),
        }
    }

    fn found(text: &str) -> Vec<String> {
        let file = File {
            name: "a.yaml".to_owned(),
            text: text.to_owned(),
        };
        let (findings, _) = findings(&file, &rules());
        let line = |of: &Finding| format!("{}:{}: {}", of.line, of.column, of.said());
        findings.iter().map(line).collect()
    }

    #[test]
    fn every_mistake_is_shown_where_it_stands() {
        let text = "\
apiVersion: v1
kind: Service
metadata: {name: other}
---
apiVersion: slipway.dev/v1alpha1
kind: Rollout
metadata:
  name: api
spec:
  replicas: many
  selector: {matchLabels: {app: api}}
  template:
    metadata: {labels: {app: api}}
    spec: {containers: [{name: web, image: api}]}
  strategy:
    steps:
    - setWieght: {weight: 10}
---
apiVersion: slipway.dev/v1alpha1
kind: Roll0ut
metadata: {name: api}
---
apiVersion: slipway.dev/v2
kind: Release
metadata: {name: shop}
";
        let found = found(text);
        let lines: Vec<&str> = found
            .iter()
            .map(|line| line.split(": ").next().unwrap())
            .collect();
        assert!(lines.contains(&"10:3"), "{found:#?}");
        assert!(lines.contains(&"17:7"), "{found:#?}");
        assert!(lines.contains(&"20:1"), "{found:#?}");
        assert!(lines.contains(&"23:1"), "{found:#?}");
        assert!(!lines.contains(&"1:1"), "{found:#?}");
    }

    #[test]
    fn a_host_without_a_namespace_is_a_warning_where_it_stands() {
        let environment = "\
apiVersion: slipway.dev/v1alpha1
kind: Environment
metadata: {name: staging, namespace: shop}
spec:
  tier: Staging
  promotion: {from: {pipelines: [shop]}}
  smokeTests:
  - name: health
    http:
      requests:
      - name: health
        url: http://shop-staging-stable/healthz
";
        let found = found(environment);
        let words = "12:9: warning: Environment staging: spec.smokeTests[0].http.requests[0].url: the operator asks";
        assert_eq!(found.len(), 1, "{found:#?}");
        assert!(found[0].starts_with(words), "{found:#?}");
        assert!(
            found[0].ends_with("; write shop-staging-stable.shop"),
            "{found:#?}"
        );
    }

    #[test]
    fn what_only_the_operator_knows_is_found_too() {
        let template = "\
apiVersion: slipway.dev/v1alpha1
kind: AnalysisTemplate
metadata: {name: rules}
spec:
  metrics:
  - name: rate
    pass: value >>= 1
    prometheus: {address: 'http://prometheus:9090', query: up}
";
        let found = found(template);
        assert!(
            found.iter().any(|line| line.starts_with("7:5: ")),
            "{found:#?}"
        );
    }

    #[test]
    fn what_cannot_be_read_is_one_finding() {
        let found = found("a: [\n");
        assert_eq!(found.len(), 1, "{found:#?}");
        assert!(found[0].contains("not YAML: "), "{found:#?}");
    }
}
