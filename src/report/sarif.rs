//! Reads SARIF 2.1: findings of linters, analysers and scanners. No I/O.
//!
//! Results that are suppressed in the source, gone since a baseline, or no problem at all are left out. A run without `results` has
//! looked for nothing, by the standard; `null` is what some tools write that have found nothing.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::finding::{Found, printable, severity_of, severity_of_score};
use super::{ReportError, json};
use crate::pipeline_run::api::{FindingCategory, FindingSet, Severity};

#[derive(Deserialize)]
struct Log {
    version: String,
    runs: Vec<Run>,
}

#[derive(Deserialize)]
struct Run {
    tool: Tool,
    #[serde(deserialize_with = "json::nullable")]
    results: Option<Vec<ResultOf>>,
}

#[derive(Deserialize)]
struct Tool {
    driver: Driver,
}

#[derive(Deserialize)]
struct Driver {
    name: String,
    #[serde(default)]
    rules: Vec<Rule>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Rule {
    id: String,
    default_configuration: Configuration,
    properties: Properties,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Configuration {
    level: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct Properties {
    /// A number, or a text that holds one.
    security_severity: Value,
    tags: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ResultOf {
    rule_id: Option<String>,
    rule_index: Option<usize>,
    rule: Reference,
    level: Option<String>,
    kind: Option<String>,
    baseline_state: Option<String>,
    message: Message,
    locations: Vec<Location>,
    suppressions: Option<Vec<Suppression>>,
    properties: Properties,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Reference {
    id: Option<String>,
    index: Option<usize>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Message {
    text: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Location {
    physical_location: Physical,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Physical {
    artifact_location: Artifact,
    region: Region,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Artifact {
    uri: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Region {
    start_line: Option<u64>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Suppression {
    status: Option<String>,
}

/// Reads a report. A tool that found nothing yields an empty set of findings in the code.
///
/// # Errors
/// If it cannot be read to its end.
pub fn read(bytes: &[u8]) -> Result<Vec<FindingSet>, ReportError> {
    const WANTED: &str =
        "SARIF 2 report, which has version 2 and runs, each with the name of its tool and results";
    let log: Log = json::object(bytes, WANTED)?;
    if log.runs.is_empty() || !log.version.starts_with("2.") {
        let (version, runs) = (printable(&log.version, 16), log.runs.len());
        let problem = format!("it is of version {version}, with {runs} runs");
        return Err(ReportError::form(WANTED, problem));
    }
    let mut sets: Vec<FindingSet> = Vec::new();
    for run in &log.runs {
        let driver = &run.tool.driver;
        let rules: BTreeMap<&str, &Rule> =
            driver.rules.iter().map(|r| (r.id.as_str(), r)).collect();
        of(&mut sets, category_of_tool(&driver.name));
        for result in run.results.iter().flatten().filter(|r| r.is_open()) {
            let rule = result.rule(driver, &rules);
            let Some(severity) = result.severity(rule) else {
                continue;
            };
            let place = result.locations.first().map(|at| &at.physical_location);
            let id = result.id().or(rule.map(|rule| rule.id.as_str()));
            let id = id.unwrap_or_default();
            of(&mut sets, result.category(rule, id, &driver.name)).push(&Found {
                severity: Some(severity),
                id,
                place: place.map_or("", |at| at.artifact_location.uri.as_str()),
                line: place.and_then(|at| at.region.start_line),
                text: &result.message.text,
                unfixed: false,
            });
        }
    }
    Ok(sets.into_iter().map(FindingSet::settled).collect())
}

/// The set of a category, which is made if it is not there.
fn of(sets: &mut Vec<FindingSet>, category: FindingCategory) -> &mut FindingSet {
    let known = sets.iter().position(|set| set.category == category);
    let at = known.unwrap_or_else(|| {
        sets.push(FindingSet::none(category));
        sets.len() - 1
    });
    #[expect(
        clippy::indexing_slicing,
        reason = "it is there, or was pushed just now"
    )]
    &mut sets[at]
}

fn category_of_tool(name: &str) -> FindingCategory {
    let name = name.to_ascii_lowercase();
    let is = |words: &[&str]| words.iter().any(|word| name.contains(word));
    if is(&["gitleaks", "trufflehog", "detect-secrets"]) {
        FindingCategory::Secret
    } else if is(&["trivy", "grype", "osv-scanner", "pip-audit"]) {
        FindingCategory::Vulnerability
    } else {
        FindingCategory::Code
    }
}

impl ResultOf {
    /// Whether it is a problem that nobody has dealt with.
    fn is_open(&self) -> bool {
        let is_problem = self.kind.as_deref().is_none_or(|kind| kind == "fail");
        let is_gone = self.baseline_state.as_deref() == Some("absent");
        let mut suppressions = self.suppressions.iter().flatten();
        // Without a status, a suppression is accepted.
        let accepted = |s: &Suppression| {
            s.status
                .as_deref()
                .is_none_or(|status| status == "accepted")
        };
        is_problem && !is_gone && !suppressions.any(accepted)
    }

    fn id(&self) -> Option<&str> {
        self.rule_id.as_deref().or(self.rule.id.as_deref())
    }

    fn rule<'a>(&self, driver: &'a Driver, rules: &BTreeMap<&str, &'a Rule>) -> Option<&'a Rule> {
        let by_index = self.rule_index.or(self.rule.index);
        let by_index = by_index.and_then(|index| driver.rules.get(index));
        by_index.or_else(|| self.id().and_then(|id| rules.get(id).copied()))
    }

    /// Nothing for what is no problem.
    fn severity(&self, rule: Option<&Rule>) -> Option<Severity> {
        let score = score(&self.properties).or_else(|| score(&rule?.properties));
        if let Some(severity) = score.and_then(severity_of_score) {
            return Some(severity);
        }
        let level = self.level.as_deref();
        let level = level.or_else(|| rule?.default_configuration.level.as_deref());
        match level.unwrap_or("warning") {
            "none" => None,
            level => Some(severity_of(level).unwrap_or(Severity::High)),
        }
    }

    fn category(&self, rule: Option<&Rule>, id: &str, tool: &str) -> FindingCategory {
        let theirs = rule.map(|rule| &rule.properties.tags);
        let mut tags = self
            .properties
            .tags
            .iter()
            .chain(theirs.into_iter().flatten());
        let tagged = tags.find_map(|tag| match tag.to_ascii_lowercase().as_str() {
            "vulnerability" => Some(FindingCategory::Vulnerability),
            "secret" => Some(FindingCategory::Secret),
            "misconfiguration" => Some(FindingCategory::Code),
            _ => None,
        });
        let prefixes = ["CVE-", "GHSA-", "RUSTSEC-", "PYSEC-", "OSV-", "GO-20"];
        if let Some(category) = tagged {
            category
        } else if prefixes.iter().any(|prefix| id.starts_with(prefix)) {
            FindingCategory::Vulnerability
        } else {
            category_of_tool(tool)
        }
    }
}

fn score(properties: &Properties) -> Option<f64> {
    let score = &properties.security_severity;
    let text = score.as_str().and_then(|text| text.trim().parse().ok());
    text.or_else(|| score.as_f64())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sets(runs: &Value) -> Vec<FindingSet> {
        let log = json!({"version": "2.1.0", "runs": runs});
        super::read(log.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn levels_are_severities_and_what_is_dealt_with_is_left_out() {
        let at = json!([{"physicalLocation": {"artifactLocation": {"uri": "a.py"}, "region": {"startLine": 3}}}]);
        let sets = sets(
            &json!([{"tool": {"driver": {"name": "bandit", "rules": [{"id": "B1", "defaultConfiguration": {"level": "error"}}]}},
            "results": [
                {"ruleId": "B1", "message": {"text": "bad\nvery"}, "locations": at},
                {"ruleId": "B2", "level": "note", "message": {"text": "so so"}},
                {"ruleId": "B3", "message": {"text": "warned"}},
                {"ruleId": "B4", "level": "none", "message": {"text": "no"}},
                {"ruleId": "B5", "kind": "pass", "message": {"text": "no"}},
                {"ruleId": "B6", "message": {"text": "no"}, "suppressions": [{"kind": "inSource"}]},
                {"ruleId": "B7", "message": {"text": "no"}, "baselineState": "absent"},
                {"ruleId": "B8", "level": "note", "message": {"text": "yes"}, "suppressions": [{"status": "rejected"}]},
            ]}]),
        );
        assert_eq!(sets.len(), 1);
        let total = sets[0].total;
        assert_eq!(
            [total.critical, total.high, total.medium, total.low],
            [0, 1, 1, 2]
        );
        let worst = &sets[0].worst[0];
        assert_eq!(
            (worst.id.as_str(), worst.at.as_str(), worst.text.as_str()),
            ("B1", "a.py:3", "bad")
        );
    }

    #[test]
    fn scanners_tag_what_they_find_and_score_it() {
        let rule = |id: &str, score: Value, tag: &str| json!({"id": id, "properties": {"security-severity": score, "tags": [tag]}});
        let rules = [
            rule("X-1", json!("9.8"), "vulnerability"),
            rule("S-1", json!(8), "secret"),
            rule("K-1", json!("5.0"), "misconfiguration"),
        ];
        let results = [0, 1, 2]
            .map(|index| json!({"ruleIndex": index, "level": "error", "message": {"text": "x"}}));
        let sets = sets(
            &json!([{"tool": {"driver": {"name": "Trivy", "rules": rules}}, "results": results}]),
        );
        let of = |category| {
            sets.iter()
                .find(|set| set.category == category)
                .unwrap()
                .total
        };
        assert_eq!(of(FindingCategory::Vulnerability).critical, 1);
        assert_eq!(of(FindingCategory::Secret).high, 1);
        assert_eq!(of(FindingCategory::Code).medium, 1);
    }

    #[test]
    fn a_tool_that_found_nothing_has_looked() {
        let sets = sets(&json!([{"tool": {"driver": {"name": "gitleaks"}}, "results": []}]));
        assert_eq!(sets[0].category, FindingCategory::Secret);
        assert!(sets[0].total.is_none());
        assert!(super::read(b"{}").is_err());
    }
}
