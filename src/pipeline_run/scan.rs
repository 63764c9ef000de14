//! What linters and scanners have found in a run, as one SARIF document. Pure.
//!
//! A status lists the worst findings of each stage and counts the others; those that it lists are what is told.

use serde_json::{Value, json};

use super::api::{Finding, FindingCategory, FindingSet, PipelineRunStatus, Severity, StageStatus};
use crate::model::access::percent_encoded;
use crate::report::finding::mark;

/// Runs of tools in one document; GitHub takes no more.
const MAX_RUNS: usize = 20;

/// The document; nothing where no stage has looked for anything that has a place in the repository. A stage that has found
/// nothing is part of it: that closes what was found before.
pub fn sarif(pipeline: &str, status: &PipelineRunStatus) -> Option<String> {
    let runs = status
        .stages
        .iter()
        .filter_map(|stage| run(pipeline, stage));
    let runs: Vec<Value> = runs.take(MAX_RUNS).collect();
    let document = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json", "version": "2.1.0", "runs": runs,
    });
    (!runs.is_empty()).then(|| document.to_string())
}

fn run(pipeline: &str, stage: &StageStatus) -> Option<Value> {
    let sets = stage.reports.as_ref()?.findings.iter();
    let sets: Vec<&FindingSet> = sets.filter(|set| has_place(set.category)).collect();
    if sets.is_empty() {
        return None;
    }
    let mut rules: Vec<Value> = Vec::new();
    let mut results = Vec::new();
    for set in sets {
        for finding in &set.worst {
            let id = match finding.id.as_str() {
                "" => "finding",
                id => id,
            };
            let is_it = |rule: &Value| rule.get("id").and_then(Value::as_str) == Some(id);
            if !rules.iter().any(is_it) {
                rules.push(rule(set.category, id, finding.severity));
            }
            results.push(result(set.category, id, finding));
        }
    }
    Some(json!({
        "tool": {"driver": {"name": format!("slipway/{pipeline}"), "rules": rules}},
        "automationDetails": {"id": format!("slipway/{pipeline}/{}/", stage.name)},
        "results": results,
    }))
}

/// Pages are in no repository.
fn has_place(category: FindingCategory) -> bool {
    match category {
        FindingCategory::Vulnerability | FindingCategory::Code | FindingCategory::Secret => true,
        FindingCategory::Accessibility => false,
    }
}

fn rule(category: FindingCategory, id: &str, severity: Severity) -> Value {
    let mut rule = json!({"id": id, "shortDescription": {"text": id}});
    // What a linter finds is no alert about security.
    if category == FindingCategory::Code {
        return rule;
    }
    // GitHub's own bounds of its words.
    let score = match severity {
        Severity::Critical => "9.5",
        Severity::High => "8.0",
        Severity::Medium => "5.5",
        Severity::Low => "2.0",
    };
    if let Some(fields) = rule.as_object_mut() {
        let properties = json!({"tags": ["security"], "security-severity": score});
        fields.insert("properties".to_owned(), properties);
    }
    rule
}

fn result(category: FindingCategory, id: &str, finding: &Finding) -> Value {
    let level = match finding.severity {
        Severity::Critical | Severity::High => "error",
        Severity::Medium => "warning",
        Severity::Low => "note",
    };
    let said = [&finding.text, &finding.id];
    let said = said.into_iter().find(|said| !said.is_empty());
    let (file, line) = place(&finding.at);
    json!({
        "ruleId": id, "level": level,
        "message": {"text": said.map_or("found", String::as_str)},
        "locations": [{"physicalLocation": {
            "artifactLocation": {"uri": file}, "region": {"startLine": line},
        }}],
        "partialFingerprints": {"slipway/v1": mark(category, finding)},
    })
}

/// File and line; the name of a package stands for a file.
fn place(at: &str) -> (String, u64) {
    let numbered = at.rsplit_once(':');
    let numbered = numbered.and_then(|(file, line)| Some((file, line.parse().ok()?)));
    let (file, line) = numbered.unwrap_or((at, 1));
    let parts: Vec<String> = file.split('/').map(percent_encoded).collect();
    let file = parts.join("/");
    let file = file.trim_start_matches('/');
    let file = if file.is_empty() { "unknown" } else { file };
    (file.to_owned(), line.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::api::StageType;
    use crate::pipeline_run::api::{ReportSummary, StagePhase};
    use crate::report::finding::Found;

    fn stage(name: &str, sets: Vec<FindingSet>) -> StageStatus {
        StageStatus {
            reports: Some(ReportSummary {
                findings: sets,
                ..ReportSummary::default()
            }),
            ..StageStatus::new(name, StageType::Lint, StagePhase::Failed)
        }
    }

    fn set(category: FindingCategory, found: &[Found<'_>]) -> FindingSet {
        let mut set = FindingSet::none(category);
        for found in found {
            set.push(found);
        }
        set.settled()
    }

    #[test]
    fn what_was_found_is_told_with_its_place_and_what_was_not_is_closed() {
        let code = set(
            FindingCategory::Code,
            &[Found {
                id: "unused-variable",
                place: "src/shop cart.py",
                line: Some(14),
                text: "total is never read",
                severity: Some(Severity::Low),
                ..Found::default()
            }],
        );
        let package = set(
            FindingCategory::Vulnerability,
            &[Found {
                id: "CVE-2026-1234",
                place: "openssl@3.0.1",
                severity: Some(Severity::Critical),
                ..Found::default()
            }],
        );
        let page = set(FindingCategory::Accessibility, &[]);
        let status = PipelineRunStatus {
            stages: vec![
                stage("lint", vec![code]),
                stage("scan", vec![package, set(FindingCategory::Secret, &[])]),
                stage("clean", vec![set(FindingCategory::Code, &[])]),
                stage("pages", vec![page]),
            ],
            ..PipelineRunStatus::default()
        };
        let text = sarif("api", &status).unwrap();
        let document: Value = serde_json::from_str(&text).unwrap();
        insta::assert_snapshot!(serde_json::to_string_pretty(&document).unwrap());
        // It is read again as what it was made of.
        let read = crate::report::sarif::read(text.as_bytes()).unwrap();
        assert!(!format!("{read:?}").is_empty());
        assert_eq!(sarif("api", &PipelineRunStatus::default()), None);
    }
}
