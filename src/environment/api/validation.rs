//! What an Environment looks like in YAML: reports of a smoke test, and gates on them. No I/O.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::pipeline::api::{
    AccessibilityGate, FindingsGate, Gate, GateMode, LatencyGate, Reports, TestsGate,
    VulnerabilitiesGate,
};
use crate::schema;

/// Files that a Job leaves, by their format: globs from `/workspace/source`, the folder in which its command is started. A file
/// that cannot be read fails the check.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ValidationReports {
    /// JUnit XML: tests. At most 16. Example: `["junit*.xml"]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::paths::<16>)]
    pub junit: Vec<String>,
    /// Summaries of k6 in JSON: latency. At most 8. Example: `[k6.json]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::paths::<8>)]
    pub k6: Vec<String>,
    /// SARIF 2.1: findings of scanners; those that are tagged as vulnerability count as such. At most 8. Example: `[zap.sarif]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::paths::<8>)]
    pub sarif: Vec<String>,
    /// JSON of axe: accessibility. At most 8. Example: `["axe/*.json"]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::paths::<8>)]
    pub axe: Vec<String>,
    /// JSON of Lighthouse: scores. At most 8. Example: `[".lighthouseci/lhr-*.json"]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::paths::<8>)]
    pub lighthouse: Vec<String>,
}

impl ValidationReports {
    /// The same, as stages of Pipelines have them.
    pub fn reports(&self) -> Reports {
        Reports {
            junit: self.junit.clone(),
            k6: self.k6.clone(),
            sarif: self.sarif.clone(),
            axe: self.axe.clone(),
            lighthouse: self.lighthouse.clone(),
            ..Reports::default()
        }
    }
}

/// One thing that must hold of the reports of a smoke test.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::Rules(&[
    ("[has(self.tests), has(self.latency), has(self.vulnerabilities), has(self.findings), has(self.accessibility)].filter(x, x).size() == 1",
     "a gate needs exactly one check: set one of tests, latency, vulnerabilities, findings, accessibility"),
]))]
pub struct ValidationGate {
    /// Name of the gate. Example: `p95`.
    #[schemars(transform = schema::name)]
    pub name: String,
    /// What a failure does: `Enforce` fails the check, `Warn` only shows it. No data is a failure. Default `Enforce`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<GateMode>,
    /// Judges tests: integration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tests: Option<TestsGate>,
    /// Judges load tests: performance. Before is what the same check said of the last good Release here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<LatencyGate>,
    /// Judges known vulnerabilities: security. All of them count, also with `newOnly`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vulnerabilities: Option<VulnerabilitiesGate>,
    /// Judges findings of other kinds. All of them count, also with `newOnly`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub findings: Option<FindingsGate>,
    /// Judges what keeps people out of pages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accessibility: Option<AccessibilityGate>,
}

impl ValidationGate {
    /// The same, as Pipelines have them.
    pub fn gate(&self) -> Gate {
        Gate {
            name: self.name.clone(),
            mode: self.mode,
            tests: self.tests.clone(),
            latency: self.latency.clone(),
            vulnerabilities: self.vulnerabilities.clone(),
            findings: self.findings.clone(),
            accessibility: self.accessibility.clone(),
            ..Gate::default()
        }
    }
}
