//! Reads CycloneDX: the licences of components, and the vulnerabilities where it lists any. No I/O.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::finding::{Found, printable, severity_of, severity_of_score};
use super::{ReportError, json};
use crate::pipeline_run::api::{FindingCategory, FindingSet, ReportSummary};

/// Different licences that are listed.
pub const MAX_LICENCES: usize = 48;
/// Longest licence, in characters.
const MAX_NAME: usize = 80;
/// Deepest nesting of components within components that is looked at.
const MAX_DEPTH: usize = 16;
/// What stands for the licence of a component that names none.
pub const UNKNOWN: &str = "unknown";

#[derive(Deserialize)]
struct Bom {
    #[serde(rename = "bomFormat")]
    format: String,
    #[serde(default)]
    components: Vec<Component>,
    #[serde(default)]
    vulnerabilities: Option<Vec<Vulnerability>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Component {
    #[serde(rename = "type")]
    type_: String,
    licenses: Vec<Choice>,
    components: Vec<Component>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Choice {
    license: License,
    expression: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct License {
    id: Option<String>,
    name: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Vulnerability {
    id: String,
    description: String,
    ratings: Vec<Rating>,
    recommendation: Option<String>,
    analysis: Analysis,
    affects: Vec<Affected>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Rating {
    score: Option<f64>,
    severity: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Analysis {
    state: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Affected {
    #[serde(rename = "ref")]
    reference: String,
}

const WANTED: &str = "CycloneDX in JSON, which is an object with bomFormat";

/// Adds what a report says to a summary.
///
/// # Errors
/// If it cannot be read to its end.
pub fn read(bytes: &[u8], summary: &mut ReportSummary) -> Result<(), ReportError> {
    let bom: Bom = json::object(bytes, WANTED)?;
    if bom.format != "CycloneDX" {
        return Err(ReportError::Other {
            wanted: "CycloneDX",
            found: printable(&bom.format, 64),
        });
    }
    for component in &bom.components {
        count(component, 0, summary);
    }
    if let Some(vulnerabilities) = &bom.vulnerabilities {
        summary.findings.push(found(vulnerabilities));
    }
    Ok(())
}

fn count(component: &Component, depth: usize, summary: &mut ReportSummary) {
    // Files are parts of packages, which have the licence.
    if component.type_ != "file" {
        add(summary, licence(&component.licenses), 1);
    }
    if depth < MAX_DEPTH {
        for inner in &component.components {
            count(inner, depth + 1, summary);
        }
    }
}

/// Counts components under a licence, or as unlisted when there are too many different ones.
pub fn add(summary: &mut ReportSummary, name: String, more: u32) {
    let is_full = summary.licences.len() >= MAX_LICENCES;
    let number = if is_full && !summary.licences.contains_key(&name) {
        &mut summary.unlisted_licences
    } else {
        summary.licences.entry(name).or_default()
    };
    *number = number.saturating_add(more);
}

/// One expression for all that a component is under: several entries hold together.
fn licence(choices: &[Choice]) -> String {
    let names = choices.iter().filter_map(|choice| {
        let license = &choice.license;
        let name = choice.expression.as_ref();
        let name = name.or(license.id.as_ref()).or(license.name.as_ref())?;
        Some(printable(name, MAX_NAME)).filter(|name| !name.is_empty())
    });
    let mut names: Vec<String> = names.collect();
    names.sort();
    names.dedup();
    match names.as_slice() {
        [] => UNKNOWN.to_owned(),
        [one] => one.clone(),
        several => {
            let several = several.iter().map(|name| format!("({name})"));
            printable(&several.collect::<Vec<_>>().join(" AND "), MAX_NAME)
        }
    }
}

fn found(vulnerabilities: &[Vulnerability]) -> FindingSet {
    let mut set = FindingSet::none(FindingCategory::Vulnerability);
    for vulnerability in vulnerabilities {
        let state = vulnerability.analysis.state.as_deref().unwrap_or_default();
        if matches!(
            state,
            "not_affected" | "false_positive" | "resolved" | "resolved_with_pedigree"
        ) {
            continue;
        }
        let ratings = vulnerability.ratings.iter();
        let severity = ratings.filter_map(|rating| {
            let word = rating.severity.as_deref().and_then(severity_of);
            word.or_else(|| severity_of_score(rating.score?))
        });
        let place = vulnerability.affects.first();
        set.push(&Found {
            severity: severity.min(),
            id: &vulnerability.id,
            place: place.map_or("", |affected| affected.reference.as_str()),
            line: None,
            text: &vulnerability.description,
            unfixed: vulnerability
                .recommendation
                .as_deref()
                .is_none_or(str::is_empty),
        });
    }
    set.settled()
}

/// The licences of two summaries together.
pub fn merge(into: &mut ReportSummary, licences: BTreeMap<String, u32>, unlisted: u32) {
    into.unlisted_licences = into.unlisted_licences.saturating_add(unlisted);
    for (name, number) in licences {
        add(into, name, number);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn summary(bom: &serde_json::Value) -> ReportSummary {
        let mut summary = ReportSummary::default();
        read(bom.to_string().as_bytes(), &mut summary).unwrap();
        summary
    }

    #[test]
    fn licences_are_counted_by_expression() {
        let bom = json!({"bomFormat": "CycloneDX", "specVersion": "1.6", "components": [
            {"type": "library", "licenses": [{"license": {"id": "MIT"}}]},
            {"type": "library", "licenses": [{"expression": "MIT OR Apache-2.0"}]},
            {"type": "library", "licenses": [{"license": {"id": "MIT"}}, {"license": {"name": "BSD"}}]},
            {"type": "library"}, {"type": "file"},
            {"type": "application", "licenses": [{"license": {"id": "MIT"}}], "components": [{"type": "library", "licenses": [{"license": {"id": "MIT"}}]}]},
        ]});
        let licences = summary(&bom).licences;
        let expected = [
            ("(BSD) AND (MIT)", 1),
            ("MIT", 3),
            ("MIT OR Apache-2.0", 1),
            ("unknown", 1),
        ];
        assert_eq!(
            licences,
            expected.map(|(name, n)| (name.to_owned(), n)).into()
        );
    }

    #[test]
    fn more_licences_than_can_be_listed_are_counted() {
        let component = |n: u32| json!({"type": "library", "licenses": [{"license": {"name": format!("L{n}")}}]});
        let components: Vec<_> = (0..60).map(component).collect();
        let summary = summary(&json!({"bomFormat": "CycloneDX", "components": components}));
        assert_eq!(summary.licences.len(), MAX_LICENCES);
        assert_eq!(summary.unlisted_licences, 12);
    }

    #[test]
    fn vulnerabilities_that_do_not_apply_are_left_out() {
        let bom = json!({"bomFormat": "CycloneDX", "vulnerabilities": [
            {"id": "CVE-1", "ratings": [{"score": 5.0}, {"severity": "critical"}], "affects": [{"ref": "pkg:pypi/a@1"}], "recommendation": "Upgrade to 2"},
            {"id": "CVE-2", "ratings": [{"severity": "high"}], "analysis": {"state": "not_affected"}},
            {"id": "CVE-3"},
        ]});
        let summary = summary(&bom);
        let set = &summary.findings[0];
        assert_eq!(
            (set.total.critical, set.total.high, set.unfixed.high),
            (1, 1, 1)
        );
        assert!(read(br#"{"bomFormat":"SPDX"}"#, &mut ReportSummary::default()).is_err());
    }
}
