//! Gates: what must hold before a commit may become a Release. No I/O.

use kube::core::Duration;
use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};

use crate::pipeline_run::api::Severity;
use crate::schema::{self, closed_set};

closed_set! {
    /// What a failed gate does.
    #[derive(Default)]
    pub enum GateMode {
        /// The run fails.
        #[default]
        Enforce,
        /// The run goes on and shows the warning.
        Warn,
    }
}

/// One thing that must hold before a commit may become a Release.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::Rules(&[
    ("[has(self.result), has(self.tests), has(self.coverage), has(self.complexity), has(self.vulnerabilities), \
      has(self.findings), has(self.secrets), has(self.licences), has(self.benchmarks), has(self.latency), \
      has(self.accessibility), has(self.size), has(self.cel)].filter(x, x).size() == 1",
     "a gate needs exactly one check: set one of result, tests, coverage, complexity, vulnerabilities, findings, \
      secrets, licences, benchmarks, latency, accessibility, size, cel"),
]))]
pub struct Gate {
    /// Name of the gate. Example: `tests`.
    #[schemars(transform = schema::name)]
    pub name: String,
    /// What a failure does: `Enforce` fails the run, `Warn` only shows it. No data is a failure.
    /// Default `Enforce`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<GateMode>,
    /// Stages whose reports are judged; at most 16. Default: all of them together. Example: `[unit]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::names::<16>)]
    pub from: Vec<String>,
    /// Asks that stages have run and succeeded: `{}`. A stage that was left out does not pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<ResultGate>,
    /// Judges tests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tests: Option<TestsGate>,
    /// Judges the coverage of the code by tests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coverage: Option<CoverageGate>,
    /// Judges the cyclomatic complexity of functions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub complexity: Option<ComplexityGate>,
    /// Judges known vulnerabilities of what is used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vulnerabilities: Option<VulnerabilitiesGate>,
    /// Judges findings in the code: of linters, analysers and problem matchers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub findings: Option<FindingsGate>,
    /// Judges secrets in the repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secrets: Option<SecretsGate>,
    /// Judges the licences of what is used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub licences: Option<LicencesGate>,
    /// Compares benchmarks with those of the newest Release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub benchmarks: Option<BenchmarksGate>,
    /// Judges load tests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<LatencyGate>,
    /// Judges the accessibility of pages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accessibility: Option<AccessibilityGate>,
    /// Judges the size of images and packages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<SizeGate>,
    /// A condition in CEL over all of the evidence, at most 1024 characters; docs/pipelines/gates/cel.md has what it may
    /// name. Example: `coverage.line >= 80.0 && findings.total == 0`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::some_text::<1024>)]
    pub cel: Option<String>,
}

/// Asks that stages have run and succeeded.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ResultGate {}

/// Limits for tests.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct TestsGate {
    /// Number of failed tests that are accepted; those in quarantine do not count. Default `0`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 1_000_000))]
    pub max_failures: Option<u32>,
    /// Number of tests that must have run, so that an empty report does not pass. Default `1`. Example: `100`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 1_000_000))]
    pub min_tests: Option<u32>,
    /// Number of flaky tests that are accepted: those that failed and then passed. Default: any. Example: `5`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 1_000_000))]
    pub max_flaky: Option<u32>,
}

/// Limits for coverage, in percent.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::Rules(&[
    ("has(self.min) || has(self.minBranches) || has(self.maxDrop) || has(self.minChanged)",
     "a gate on coverage needs a limit: set min, minBranches, maxDrop or minChanged"),
]))]
pub struct CoverageGate {
    /// Share of lines that tests must reach, in percent. Default: none. Example: `80`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = percent)]
    pub min: Option<f64>,
    /// Share of branches that tests must take, in percent. Default: none. Example: `70`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = percent)]
    pub min_branches: Option<f64>,
    /// How far the share of lines may be below that of the newest Release, in percentage points; without a
    /// Release it holds. Default: any. Example: `0.5`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = percent)]
    pub max_drop: Option<f64>,
    /// Share of the lines that changed since the newest Release, as far as reports list them, that tests must reach, in
    /// percent; without a Release, or without such lines, it holds. Default: none. Example: `90`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = percent)]
    pub min_changed: Option<f64>,
}

/// Limits for complexity.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::Rules(&[
    ("has(self.max) || has(self.maxAverage)",
     "a gate on complexity needs a limit: set max or maxAverage"),
]))]
pub struct ComplexityGate {
    /// Highest complexity of a function. Default: any. Example: `15`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max: Option<u32>,
    /// Highest average of all functions. Default: any. Example: `5`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = positive)]
    pub max_average: Option<f64>,
}

/// Numbers of findings that are accepted, by severity.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct SeverityLimits {
    /// Critical ones. Default `0`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 1_000_000))]
    pub critical: Option<u32>,
    /// High ones, and those of tools that tell no severity. Default `0`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 1_000_000))]
    pub high: Option<u32>,
    /// Medium ones. Default: any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 1_000_000))]
    pub medium: Option<u32>,
    /// Low ones. Default: any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 1_000_000))]
    pub low: Option<u32>,
}

/// Limits for vulnerabilities.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct VulnerabilitiesGate {
    /// Numbers that are accepted, by severity. Default: no critical and no high ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<SeverityLimits>,
    /// Counts only those that the newest Release did not have. Without a Release all count. Default `false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_only: Option<bool>,
    /// Leaves out those for which there is no repair yet. Default `false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ignore_unfixed: Option<bool>,
}

/// Limits for findings in the code.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct FindingsGate {
    /// Numbers that are accepted, by severity. Default: no critical and no high ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<SeverityLimits>,
    /// Counts only those that the newest Release did not have. Without a Release all count. Default `false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_only: Option<bool>,
}

/// Limits for secrets.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct SecretsGate {
    /// Number that is accepted. Default `0`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 1_000_000))]
    pub max: Option<u32>,
    /// Counts only those that the newest Release did not have. Without a Release all count. Default `false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_only: Option<bool>,
}

/// Which licences are accepted.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::Rules(&[
    ("(has(self.allow) && self.allow.size() > 0) != (has(self.deny) && self.deny.size() > 0)",
     "a gate on licences needs either a list of those that are allowed or one of those that are denied: set allow or deny"),
]))]
pub struct LicencesGate {
    /// Licences that are accepted, by their SPDX ids; all others are not. At most 64. Example: `[MIT, Apache-2.0]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = licences)]
    pub allow: Vec<String>,
    /// Licences that are not accepted, by their SPDX ids; all others are. At most 64. Example: `[AGPL-3.0-only]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = licences)]
    pub deny: Vec<String>,
    /// Accepts components that name no licence. Default `false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_unknown: Option<bool>,
}

/// Limits for benchmarks.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct BenchmarksGate {
    /// How much worse than in the newest Release a benchmark may be, in percent. What two standard deviations
    /// explain is no difference, where both sides tell theirs. Without a Release it holds. Default `10`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = positive)]
    pub max_regression: Option<f64>,
    /// Accepts that benchmarks of the newest Release are missing. Default `false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_missing: Option<bool>,
}

/// Limits for load tests: every one of them has to keep all of them.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::Rules(&[
    ("has(self.p50) || has(self.p90) || has(self.p95) || has(self.p99) || has(self.maxFailedPercent) || has(self.maxRegressionPercent)",
     "a gate on latency needs a limit: set p50, p90, p95, p99, maxFailedPercent or maxRegressionPercent"),
]))]
pub struct LatencyGate {
    /// Half of the requests must be faster. A duration. Default: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::duration)]
    pub p50: Option<Duration>,
    /// 90 % of the requests must be faster. A duration. Default: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::duration)]
    pub p90: Option<Duration>,
    /// 95 % of the requests must be faster. A duration. Default: any. Example: `300ms`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::duration)]
    pub p95: Option<Duration>,
    /// 99 % of the requests must be faster. A duration. Default: any. Example: `1s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::duration)]
    pub p99: Option<Duration>,
    /// Share of requests that may fail, in percent. Default: any. Example: `1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = percent)]
    pub max_failed_percent: Option<f64>,
    /// How much slower 95 % of the requests may be than before, in percent: than in the newest Release, or, in an Environment, than
    /// with the last good Release there. Where nothing is known of before, it holds. Default: any. Example: `10`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = positive)]
    pub max_regression_percent: Option<f64>,
    /// Requests that must have been sent. Default `1`. Example: `1000`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 1_000_000_000))]
    pub min_requests: Option<u64>,
}

/// Limits for the accessibility of pages.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct AccessibilityGate {
    /// Numbers of rules that pages may break, by severity, in reports of axe: a rule counts once for each page. Default: no critical and no high
    /// ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<SeverityLimits>,
    /// Score that Lighthouse must give, 0 to 100. Default: any. Example: `90`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 100))]
    pub min_score: Option<u32>,
}

/// A limit for the size of images and packages.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct SizeGate {
    /// Largest size of each image, as its registry hands it out: compressed, of the largest platform; and of each package.
    /// A quantity in bytes. Example: `300Mi`.
    #[schemars(transform = schema::byte_quantity)]
    pub max: String,
}

/// Leaves something out of a gate, until a day.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Waiver {
    /// Gate that it is for.
    #[schemars(transform = schema::name)]
    pub gate: String,
    /// Finding that does not count: its rule or the id of the vulnerability, as the run shows it. Default: the whole
    /// gate is waived. Example: `CVE-2026-1234`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::some_text::<64>)]
    pub id: Option<String>,
    /// Where the finding has to be: a glob over what the run shows, without the line. Default: anywhere.
    /// Example: `legacy/**`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::some_text::<120>)]
    pub at: Option<String>,
    /// Why. Example: `not reachable from our code`.
    #[schemars(transform = schema::some_text::<256>)]
    pub reason: String,
    /// Who answers for it. Example: `security@example.com`.
    #[schemars(transform = schema::some_text::<128>)]
    pub owner: String,
    /// Last day on which it counts, in UTC; it ends by itself. Example: `"2026-12-31"`.
    #[schemars(transform = day)]
    pub until: String,
}

fn percent(schema: &mut Schema) {
    schema.insert("minimum".to_owned(), 0.into());
    schema.insert("maximum".to_owned(), 100.into());
}

fn positive(schema: &mut Schema) {
    schema.insert("minimum".to_owned(), 0.into());
    schema.insert("maximum".to_owned(), 1_000_000.into());
}

fn licences(schema: &mut Schema) {
    schema::texts::<64, 64>(schema);
}

fn day(schema: &mut Schema) {
    schema.insert("format".to_owned(), "date".into());
    schema.insert("maxLength".to_owned(), 10.into());
    schema.insert("pattern".to_owned(), "^[0-9]{4}-[0-9]{2}-[0-9]{2}$".into());
}

impl Gate {
    /// What a failure of the gate does.
    pub fn mode(&self) -> GateMode {
        self.mode.unwrap_or_default()
    }
}

impl TestsGate {
    /// Failed tests that are accepted.
    pub fn max_failures(&self) -> u32 {
        self.max_failures.unwrap_or(0)
    }

    /// Tests that must have run.
    pub fn min_tests(&self) -> u32 {
        self.min_tests.unwrap_or(1)
    }
}

impl SizeGate {
    /// Largest size, in bytes; nothing where it cannot be read.
    pub fn max_bytes(&self) -> Option<u64> {
        super::cache::bytes(&self.max)
    }
}

impl SeverityLimits {
    /// Findings of a severity that are accepted; nothing for any number.
    pub fn of(limits: Option<&Self>, severity: Severity) -> Option<u32> {
        let limit = match severity {
            Severity::Critical => limits.and_then(|limits| limits.critical),
            Severity::High => limits.and_then(|limits| limits.high),
            Severity::Medium => return limits.and_then(|limits| limits.medium),
            Severity::Low => return limits.and_then(|limits| limits.low),
        };
        Some(limit.unwrap_or(0))
    }
}

impl BenchmarksGate {
    /// How much worse a benchmark may be, in percent.
    pub fn max_regression(&self) -> f64 {
        self.max_regression.unwrap_or(10.0)
    }
}
