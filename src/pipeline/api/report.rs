//! Files that stages leave and gates judge. No I/O.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema::{self, closed_set};

/// Files that a script leaves, by their format: globs from the root of the repository. A file that cannot be
/// read fails the stage.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Reports {
    /// JUnit XML: tests. At most 16. Example: `["**/junit*.xml"]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::paths::<16>)]
    pub junit: Vec<String>,
    /// Cobertura XML: coverage. At most 8. Example: `[coverage.xml]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::paths::<8>)]
    pub cobertura: Vec<String>,
    /// LCOV tracefiles: coverage. At most 8. Example: `[coverage/lcov.info]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::paths::<8>)]
    pub lcov: Vec<String>,
    /// JaCoCo XML: coverage. At most 8. Example: `["**/jacoco.xml"]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::paths::<8>)]
    pub jacoco: Vec<String>,
    /// SARIF 2.1: findings of linters and scanners; those that are tagged as vulnerability or secret count as
    /// such. At most 8. Example: `[lint.sarif]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::paths::<8>)]
    pub sarif: Vec<String>,
    /// CycloneDX JSON: licences, and vulnerabilities where it has any. At most 8. Example: `[sbom.cdx.json]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::paths::<8>)]
    pub cyclonedx: Vec<String>,
    /// Benchmarks: a JSON list of `{name, value, unit, better, deviation}`. At most 8. Example: `[bench.json]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::paths::<8>)]
    pub benchmarks: Vec<String>,
    /// JSON of axe: accessibility. At most 8. Example: `["axe/*.json"]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::paths::<8>)]
    pub axe: Vec<String>,
    /// JSON of Lighthouse: scores. At most 8. Example: `[".lighthouseci/lhr-*.json"]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::paths::<8>)]
    pub lighthouse: Vec<String>,
    /// Summaries of k6 in JSON: latency. At most 8. Example: `[k6.json]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::paths::<8>)]
    pub k6: Vec<String>,
    /// JSON of pip-audit: vulnerabilities, without severities. At most 8. Example: `[pip-audit.json]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::paths::<8>)]
    pub pip_audit: Vec<String>,
    /// JSON of npm audit: vulnerabilities. At most 8. Example: `[npm-audit.json]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::paths::<8>)]
    pub npm_audit: Vec<String>,
    /// JSON of osv-scanner: vulnerabilities. At most 8. Example: `[osv.json]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::paths::<8>)]
    pub osv: Vec<String>,
    /// JSON of `radon cc`: complexity. At most 8. Example: `[radon.json]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::paths::<8>)]
    pub radon: Vec<String>,
    /// JSON of gitleaks: secrets; what was found is not kept, only where. At most 8. Example: `[gitleaks.json]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::paths::<8>)]
    pub gitleaks: Vec<String>,
    /// Tools whose messages in the output of the script are findings: `Black`, `Isort`, `Flake8`, `Mypy`, and
    /// `Lines` for any tool that prints `file:line:column: text`. At most 5. Example: `[Flake8, Mypy]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::words::<5>)]
    pub problems: Vec<ProblemMatcher>,
    /// Globs of those above that may fit no file. Without it, a gate that judges reports of a format has no data where a glob of
    /// that format fits none. At most 8. Example: `[semgrep.sarif]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::paths::<8>)]
    pub optional: Vec<String>,
}

closed_set! {
    /// What a report is written in.
    pub enum ReportFormat {
        /// Tests.
        Junit,
        /// Coverage.
        Cobertura,
        /// Coverage.
        Lcov,
        /// Coverage.
        Jacoco,
        /// Findings.
        Sarif,
        /// Licences and vulnerabilities.
        CycloneDx,
        /// Benchmarks.
        Benchmarks,
        /// Accessibility.
        Axe,
        /// Scores.
        Lighthouse,
        /// Latency.
        K6,
        /// Vulnerabilities.
        PipAudit,
        /// Vulnerabilities.
        NpmAudit,
        /// Vulnerabilities.
        Osv,
        /// Complexity.
        Radon,
        /// Secrets.
        Gitleaks,
    }
}

impl ReportFormat {
    /// The field of `reports` that lists its files.
    pub const fn field(self) -> &'static str {
        match self {
            Self::Junit => "junit",
            Self::Cobertura => "cobertura",
            Self::Lcov => "lcov",
            Self::Jacoco => "jacoco",
            Self::Sarif => "sarif",
            Self::CycloneDx => "cyclonedx",
            Self::Benchmarks => "benchmarks",
            Self::Axe => "axe",
            Self::Lighthouse => "lighthouse",
            Self::K6 => "k6",
            Self::PipAudit => "pipAudit",
            Self::NpmAudit => "npmAudit",
            Self::Osv => "osv",
            Self::Radon => "radon",
            Self::Gitleaks => "gitleaks",
        }
    }

    /// Whether it tells which lines tests have reached.
    pub const fn is_coverage(self) -> bool {
        matches!(self, Self::Cobertura | Self::Lcov | Self::Jacoco)
    }
}

closed_set! {
    /// A tool whose messages are findings.
    pub enum ProblemMatcher {
        /// `would reformat FILE`.
        Black,
        /// `ERROR: FILE Imports are incorrectly sorted`.
        Isort,
        /// `FILE:LINE:COLUMN: CODE text`.
        Flake8,
        /// `FILE:LINE: error: text  [code]`.
        Mypy,
        /// `FILE:LINE:COLUMN: text`, with or without `error:`, `warning:` or `note:`.
        Lines,
    }
}

impl Reports {
    /// The globs of every format.
    pub fn by_format(&self) -> impl Iterator<Item = (ReportFormat, &[String])> {
        let of = |format| (format, self.of(format));
        let all = ReportFormat::ALL.iter().copied().map(of);
        all.filter(|(_, globs)| !globs.is_empty())
    }

    /// Globs that may fit no file and are none of any format, so that somebody has mistyped them.
    pub fn unknown_optional(&self) -> impl Iterator<Item = &String> {
        let is_known = move |glob: &String| self.by_format().any(|(_, globs)| globs.contains(glob));
        self.optional.iter().filter(move |glob| !is_known(glob))
    }

    fn of(&self, format: ReportFormat) -> &[String] {
        match format {
            ReportFormat::Junit => &self.junit,
            ReportFormat::Cobertura => &self.cobertura,
            ReportFormat::Lcov => &self.lcov,
            ReportFormat::Jacoco => &self.jacoco,
            ReportFormat::Sarif => &self.sarif,
            ReportFormat::CycloneDx => &self.cyclonedx,
            ReportFormat::Benchmarks => &self.benchmarks,
            ReportFormat::Axe => &self.axe,
            ReportFormat::Lighthouse => &self.lighthouse,
            ReportFormat::K6 => &self.k6,
            ReportFormat::PipAudit => &self.pip_audit,
            ReportFormat::NpmAudit => &self.npm_audit,
            ReportFormat::Osv => &self.osv,
            ReportFormat::Radon => &self.radon,
            ReportFormat::Gitleaks => &self.gitleaks,
        }
    }
}
