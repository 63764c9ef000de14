//! What the evidence of a Release must show before a promotion starts. No I/O.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::pipeline::api::{
    AccessibilityGate, ComplexityGate, CoverageGate, FindingsGate, Gate, LatencyGate, LicencesGate,
    SecretsGate, TestsGate, VulnerabilitiesGate,
};
use crate::schema;

/// One thing that the evidence of a Release must show: a check of Pipelines, held against what the run of the Release has measured.
/// No data is a failure.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::Rules(&[
    ("[has(self.tests), has(self.coverage), has(self.complexity), has(self.vulnerabilities), has(self.findings), has(self.secrets), \
      has(self.licences), has(self.latency), has(self.accessibility), has(self.cel)].filter(x, x).size() == 1",
     "evidence needs exactly one check: set one of tests, coverage, complexity, vulnerabilities, findings, secrets, licences, \
      latency, accessibility, cel"),
    ("!has(self.tests) || !has(self.from)",
     "tests are counted for all stages of a run together: leave from out"),
]))]
pub struct EvidenceRule {
    /// Name of the rule. Example: `coverage`.
    #[schemars(transform = schema::name)]
    pub name: String,
    /// Stages whose reports are judged; at most 16. Default: all of them together. Example: `[unit]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::names::<16>)]
    pub from: Vec<String>,
    /// Judges tests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tests: Option<TestsGate>,
    /// Judges the coverage of the code by tests; a drop is measured from the Release that runs here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coverage: Option<CoverageGate>,
    /// Judges the cyclomatic complexity of functions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub complexity: Option<ComplexityGate>,
    /// Judges known vulnerabilities of what is used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vulnerabilities: Option<VulnerabilitiesGate>,
    /// Judges findings in the code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub findings: Option<FindingsGate>,
    /// Judges secrets in the repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secrets: Option<SecretsGate>,
    /// Judges the licences of what is used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub licences: Option<LicencesGate>,
    /// Judges load tests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<LatencyGate>,
    /// Judges the accessibility of pages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accessibility: Option<AccessibilityGate>,
    /// A condition in CEL over all of the evidence, at most 1024 characters; docs/pipelines/gates/cel.md has what it may name.
    /// Example: `coverage.line >= 80.0`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::some_text::<1024>)]
    pub cel: Option<String>,
}

impl EvidenceRule {
    /// The gate of a Pipeline that asks for the same.
    pub fn gate(&self) -> Gate {
        let rule = self.clone();
        Gate {
            name: rule.name,
            from: rule.from,
            tests: rule.tests,
            coverage: rule.coverage,
            complexity: rule.complexity,
            vulnerabilities: rule.vulnerabilities,
            findings: rule.findings,
            secrets: rule.secrets,
            licences: rule.licences,
            latency: rule.latency,
            accessibility: rule.accessibility,
            cel: rule.cel,
            ..Gate::default()
        }
    }
}
