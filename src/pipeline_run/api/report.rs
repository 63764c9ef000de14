//! What the reports of stages say, cut to what a status holds. No I/O.
//!
//! Everything is bounded: what a report has beyond that is counted, but not listed.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::pipeline::api::ReportFormat;
use crate::schema::{self, closed_set};

/// What the reports of a stage say, or those of a whole run.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ReportSummary {
    /// Lines and branches that tests reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coverage: Option<Coverage>,
    /// How complex the functions are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub complexity: Option<Complexity>,
    /// What scanners, linters and problem matchers found, by category. A category without findings is
    /// listed too, when something looked for them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = by_category)]
    pub findings: Vec<FindingSet>,
    /// Numbers of components by licence, as SPDX expressions; at most 48. Example: `{MIT: 120}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(transform = schema::few::<48>)]
    pub licences: BTreeMap<String, u32>,
    /// Components whose licence is not listed, because there are too many different ones.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unlisted_licences: u32,
    /// Results of benchmarks; at most 40.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = by_text_name::<40>)]
    pub benchmarks: Vec<Benchmark>,
    /// Results of load tests; at most 8.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = by_text_name::<8>)]
    pub latency: Vec<Latency>,
    /// Scores of Lighthouse: the lowest of all pages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scores: Option<Scores>,
    /// Reports that the script was to leave and has not: one for each format, and no more. Gates that judge such reports of the
    /// stage have no data then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = by_format)]
    pub missing: Vec<MissingReport>,
    /// Whether licences, benchmarks, load tests and what is missing were left out, because all stages of the run together had more than
    /// a status holds. Gates that judge the stage have no data then.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_cut: bool,
}

fn by_format(schema: &mut schemars::Schema) {
    schema::by_key(schema, "format", 16);
}

fn by_category(schema: &mut schemars::Schema) {
    schema::by_key(schema, "category", 8);
}

fn by_text_name<const MAX: u32>(schema: &mut schemars::Schema) {
    schema::by_key(schema, "name", MAX);
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes what it asks about by reference"
)]
pub(super) fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// A report that a script was to leave and has not.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct MissingReport {
    /// What it was to be written in. Example: `Junit`.
    pub format: ReportFormat,
    /// The glob that no file fits which the script has written; at most 96 characters, cut off. Example: `junit.xml`.
    #[schemars(transform = schema::text::<96>)]
    pub path: String,
    /// The cell of the stage's matrix that has not left it, the first of them. Example: `3.11-postgres`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::text::<63>)]
    pub cell: Option<String>,
}

/// Lines and branches that tests reached.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Coverage {
    /// Lines that could be reached.
    pub lines: u32,
    /// Lines that were.
    pub covered_lines: u32,
    /// Branches that could be taken; 0 where they were not looked at.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub branches: u32,
    /// Branches that were.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub covered_branches: u32,
    /// Those of the lines that changed since the newest Release; nothing where no gate asks for them, or nobody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed: Option<ChangedLines>,
}

/// Lines that changed since the newest Release, as far as reports of coverage list them.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ChangedLines {
    /// Those that could be reached.
    pub lines: u32,
    /// Those that tests reached.
    pub covered_lines: u32,
}

/// How complex the functions are: cyclomatic complexity.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Complexity {
    /// Functions and methods.
    pub functions: u32,
    /// Their complexities, added up.
    pub sum: u32,
    /// The highest.
    pub highest: u32,
    /// Where the highest is. Example: `shop/cart.py:total`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::text::<160>)]
    pub highest_at: Option<String>,
}

closed_set! {
    /// What a finding is about.
    pub enum FindingCategory {
        /// A known vulnerability of something that is used.
        Vulnerability,
        /// Something in the code: a linter's or an analyser's.
        Code,
        /// A password, key or token in the repository.
        Secret,
        /// What keeps people out of a page.
        Accessibility,
    }
}

closed_set! {
    /// How bad a finding is, worst first.
    pub enum Severity {
        /// To be repaired at once.
        Critical,
        /// To be repaired soon.
        High,
        /// To be planned.
        Medium,
        /// To be known.
        Low,
    }
}

/// Findings of one category.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct FindingSet {
    /// What they are about: `Vulnerability`, `Code`, `Secret` or `Accessibility`.
    pub category: FindingCategory,
    /// All of them, counted.
    #[serde(default, skip_serializing_if = "Severities::is_none")]
    pub total: Severities,
    /// Those for which there is no repair yet, counted; only of vulnerabilities.
    #[serde(default, skip_serializing_if = "Severities::is_none")]
    pub unfixed: Severities,
    /// The worst; at most 24.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::list::<24>)]
    pub worst: Vec<Finding>,
    /// Six characters for each finding, by which later runs tell known ones from new ones: the first letter
    /// of the severity and a hash of what, where and in which words. At most 200 findings.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(transform = schema::text::<1200>)]
    pub marks: String,
}

/// Findings by severity, counted. A tool that tells no severity counts as `high`.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Severities {
    /// Critical ones.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub critical: u32,
    /// High ones.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub high: u32,
    /// Medium ones.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub medium: u32,
    /// Low ones.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub low: u32,
}

/// One thing that a scanner or linter found.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// How bad it is: `Critical`, `High`, `Medium` or `Low`.
    pub severity: Severity,
    /// The rule, or the id of the vulnerability; at most 64 characters, cut off. Example: `CVE-2026-1234`.
    #[schemars(transform = schema::text::<64>)]
    pub id: String,
    /// File and line, or package and version; at most 120 characters, cut off. Example: `openssl@3.0.1`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(transform = schema::text::<120>)]
    pub at: String,
    /// What it says; at most 100 characters, cut off.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(transform = schema::text::<100>)]
    pub text: String,
    /// Whether it is a vulnerability for which there is no repair yet.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unfixed: bool,
}

closed_set! {
    /// Which way a benchmark gets better.
    pub enum Better {
        /// Smaller values are better, as with times.
        Lower,
        /// Larger values are better, as with throughput.
        Higher,
    }
}

/// The result of one benchmark.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Benchmark {
    /// Its name; at most 96 characters.
    #[schemars(transform = schema::some_text::<96>)]
    pub name: String,
    /// What was measured.
    pub value: f64,
    /// In what. Example: `ms`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(transform = schema::text::<16>)]
    pub unit: String,
    /// `Lower` or `Higher`.
    pub better: Better,
    /// How far the samples are apart, as a standard deviation in the same unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deviation: Option<f64>,
}

/// The result of one load test. Times are in milliseconds.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Latency {
    /// Name of its report without folder and ending; at most 96 characters.
    #[schemars(transform = schema::some_text::<96>)]
    pub name: String,
    /// Requests that were sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<u64>,
    /// Share of them that failed, in percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_percent: Option<f64>,
    /// Half of them were faster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p50: Option<f64>,
    /// 90 % of them were faster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p90: Option<f64>,
    /// 95 % of them were faster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p95: Option<f64>,
    /// 99 % of them were faster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p99: Option<f64>,
}

/// Scores of Lighthouse, from 0 to 100.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Scores {
    /// Accessibility.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accessibility: Option<u32>,
    /// Performance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub performance: Option<u32>,
    /// Best practices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub best_practices: Option<u32>,
    /// How well search engines read it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seo: Option<u32>,
}

impl Coverage {
    /// Share of lines that were reached, in percent; nothing when there are none.
    pub fn line_percent(&self) -> Option<f64> {
        percent(self.covered_lines, self.lines)
    }

    /// Share of the lines that changed which were reached, in percent; nothing when there are none.
    pub fn changed_percent(&self) -> Option<f64> {
        let changed = self.changed?;
        percent(changed.covered_lines, changed.lines)
    }

    /// Share of branches that were taken, in percent; nothing when there are none.
    pub fn branch_percent(&self) -> Option<f64> {
        percent(self.covered_branches, self.branches)
    }
}

fn percent(part: u32, whole: u32) -> Option<f64> {
    (whole > 0).then(|| f64::from(part.min(whole)) * 100.0 / f64::from(whole))
}

impl Complexity {
    /// The average; nothing when there are no functions.
    pub fn average(&self) -> Option<f64> {
        (self.functions > 0).then(|| f64::from(self.sum) / f64::from(self.functions))
    }
}

impl Severities {
    /// Whether there are none.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// How many there are of a severity.
    pub const fn of(&self, severity: Severity) -> u32 {
        match severity {
            Severity::Critical => self.critical,
            Severity::High => self.high,
            Severity::Medium => self.medium,
            Severity::Low => self.low,
        }
    }

    /// The number of a severity.
    pub const fn of_mut(&mut self, severity: Severity) -> &mut u32 {
        match severity {
            Severity::Critical => &mut self.critical,
            Severity::High => &mut self.high,
            Severity::Medium => &mut self.medium,
            Severity::Low => &mut self.low,
        }
    }

    /// All of them.
    pub fn sum(&self) -> u32 {
        let each = Severity::ALL.iter().map(|severity| self.of(*severity));
        each.fold(0, u32::saturating_add)
    }
}

impl ReportSummary {
    /// Whether no report said anything.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The findings of a category; nothing when nobody has looked for them.
    pub fn findings_of(&self, category: FindingCategory) -> Option<&FindingSet> {
        let mut sets = self.findings.iter();
        sets.find(|set| set.category == category)
    }
}
