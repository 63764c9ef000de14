//! Reads the reports that stages leave, in all the formats that tools write them. No I/O.
//!
//! A report is written by code that nobody has looked at: every reader is total, takes time and memory in
//! proportion to the bytes it is given, follows no nesting and no entity, and keeps a bounded part. What
//! cannot be read to its end is an error and adds nothing: half a report is no evidence. Nor is one of another tool: a
//! reader asks for what files of its format always have, or anything without findings would be a clean report.

pub mod benchmark;
pub mod bounds;
pub mod changed;
pub mod coverage;
pub mod finding;
pub mod json;
pub mod junit;
pub mod k6;
pub mod licence;
pub mod merge;
pub mod missing;
pub mod page;
pub mod problem;
pub mod quarantine;
pub mod radon;
pub mod sarif;
pub mod vulnerability;
pub mod xml;

use std::borrow::Cow;

use crate::model::text::truncate;
use crate::pipeline::api::ReportFormat;
use crate::pipeline_run::api::ReportSummary;
use changed::Changed;
use junit::Summary;

/// Largest report that is read, in bytes.
pub const MAX_BYTES: usize = 32 << 20;

/// Why a report cannot be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ReportError {
    /// It is not what its format says, or is cut off.
    #[error("not complete {format}: {problem}")]
    Syntax {
        /// `XML` or `JSON`.
        format: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// It is complete, and not what its format is.
    #[error("no {wanted}: {problem}")]
    Form {
        /// What was expected, and by what it would be known.
        wanted: &'static str,
        /// What is there instead.
        problem: String,
    },
    /// It is a report of another kind.
    #[error("no {wanted} report: its first element is {found}")]
    Other {
        /// What was expected.
        wanted: &'static str,
        /// What is there.
        found: String,
    },
    /// It is nested like no report is.
    #[error("nested deeper than {} elements", xml::MAX_DEPTH)]
    Deep,
    /// It is larger than any report.
    #[error("larger than {0}")]
    Large(String),
    /// It says what cannot be.
    #[error("{0}")]
    Nonsense(String),
}

impl ReportError {
    /// It is not what its format is. `wanted`: what that would be, and by what it would be known.
    fn form(wanted: &'static str, problem: impl Into<String>) -> Self {
        let problem = problem.into();
        Self::Form { wanted, problem }
    }
}

/// What the reports of a stage say, as they are read one after the other.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Collected {
    /// Names of tests whose failure is not held against the commit.
    pub quarantine: Vec<String>,
    /// The lines that changed since the newest Release, where coverage of them is asked for.
    pub changed: Option<Changed>,
    /// Tests; nothing when there was no report of tests.
    pub tests: Option<Summary>,
    /// Everything else.
    pub summary: ReportSummary,
}

impl Collected {
    /// Adds a report. `name`: that of its file, without folder and ending.
    ///
    /// # Errors
    /// If it cannot be read to its end; nothing is added then.
    pub fn add(
        &mut self,
        format: ReportFormat,
        name: &str,
        bytes: &[u8],
    ) -> Result<(), ReportError> {
        if bytes.len() > MAX_BYTES {
            return Err(ReportError::Large("32 MiB".to_owned()));
        }
        // A byte order mark is no part of the report.
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let mut one = ReportSummary::default();
        let changed = self.changed.as_ref();
        match format {
            ReportFormat::Junit => {
                let mut tests = self.tests.clone().unwrap_or_default();
                tests.add(bytes, &self.quarantine)?;
                self.tests = Some(tests);
                return Ok(());
            }
            ReportFormat::Cobertura => one.coverage = Some(coverage::cobertura(bytes, changed)?),
            ReportFormat::Jacoco => one.coverage = Some(coverage::jacoco(bytes, changed)?),
            ReportFormat::Lcov => one.coverage = Some(coverage::lcov(bytes, changed)?),
            ReportFormat::Sarif => one.findings = sarif::read(bytes)?,
            ReportFormat::CycloneDx => licence::read(bytes, &mut one)?,
            ReportFormat::Benchmarks => one.benchmarks = benchmark::read(bytes)?,
            ReportFormat::Axe => one.findings = vec![page::axe(bytes)?],
            ReportFormat::Lighthouse => one.scores = Some(page::lighthouse(bytes)?),
            ReportFormat::K6 => one.latency = vec![k6::read(truncate(name, 96), bytes)?],
            ReportFormat::PipAudit => one.findings = vec![vulnerability::pip_audit(bytes)?],
            ReportFormat::NpmAudit => one.findings = vec![vulnerability::npm_audit(bytes)?],
            ReportFormat::Osv => one.findings = vec![vulnerability::osv(bytes)?],
            ReportFormat::Radon => one.complexity = Some(radon::read(bytes)?),
            ReportFormat::Gitleaks => one.findings = vec![finding::gitleaks(bytes)?],
        }
        self.summary.merge(one)
    }
}

/// A report as text. Unlike with the library's replacement character, which has three bytes, it is never longer than the report.
fn text_of(bytes: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = str::from_utf8(bytes) {
        return Cow::Borrowed(text);
    }
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        if !chunk.invalid().is_empty() {
            text.push('?');
        }
    }
    Cow::Owned(text)
}

#[cfg(test)]
mod tests;
