//! Reads JUnit reports, in all the forms that tools write them. No I/O.
//!
//! Only `testcase` elements are counted, never the totals in attributes: those are wrong in half of the
//! tools. A test with `failure` or `error` has failed; one that failed and then passed (`flakyFailure`,
//! `flakyError`: Surefire, nextest) has passed and is flaky; one that failed again (`rerunFailure`) has failed once.

use super::ReportError;
use super::xml::{self, Element, Visit};
use crate::model::text::truncate;
use crate::pipeline_run::api::{FailedTest, TestCounts};

/// Failed and flaky tests that are listed.
pub const MAX_LISTED: usize = 10;
/// Longest name of a test, in bytes.
pub const MAX_NAME: usize = 256;
/// Longest text of a failure that is kept, in bytes.
const MAX_TEXT: usize = 4096;

/// What reports say, added up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// The tests, counted.
    pub counts: TestCounts,
    /// The first of the tests that failed; those that are not in quarantine come first.
    pub failed: Vec<FailedTest>,
    /// The first of the tests that failed and then passed.
    pub flaky: Vec<String>,
}

/// How a test went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Result_ {
    #[default]
    Passed,
    Failed,
    Skipped,
}

#[derive(Debug, Default)]
struct Case {
    name: String,
    result: Result_,
    message: Option<String>,
    /// Whether an earlier try failed.
    has_failed_before: bool,
}

impl Summary {
    /// Adds a report. `quarantine`: names of tests whose failure is not held against the commit.
    ///
    /// # Errors
    /// If it cannot be read to its end; nothing is added then.
    pub fn add(&mut self, xml: &[u8], quarantine: &[String]) -> Result<(), ReportError> {
        let mut parser = Parser {
            summary: self.clone(),
            quarantine,
            case: None,
            text: None,
        };
        xml::walk(xml, &mut parser)?;
        *self = parser.summary;
        Ok(())
    }

    fn count(&mut self, case: Case, quarantine: &[String]) {
        let name = truncate(&case.name, MAX_NAME).to_owned();
        let counts = &mut self.counts;
        let number = match case.result {
            Result_::Passed => &mut counts.passed,
            Result_::Failed => &mut counts.failed,
            Result_::Skipped => &mut counts.skipped,
        };
        *number = number.saturating_add(1);
        counts.total = counts.total.saturating_add(1);
        match case.result {
            Result_::Passed if case.has_failed_before => {
                counts.flaky = counts.flaky.saturating_add(1);
                if self.flaky.len() < MAX_LISTED {
                    self.flaky.push(name);
                }
            }
            Result_::Failed => {
                let message = case.message;
                let test = FailedTest { name, message };
                if quarantine.contains(&test.name) {
                    counts.quarantined = counts.quarantined.saturating_add(1);
                    self.failed.push(test);
                } else {
                    // Those before it that count too are the difference.
                    let counted = counts.failed.saturating_sub(counts.quarantined + 1);
                    let at = usize::try_from(counted).unwrap_or(usize::MAX);
                    self.failed.insert(at.min(self.failed.len()), test);
                }
                self.failed.truncate(MAX_LISTED);
            }
            Result_::Passed | Result_::Skipped => {}
        }
    }
}

struct Parser<'a> {
    summary: Summary,
    quarantine: &'a [String],
    case: Option<Case>,
    /// The text of a failure without a message is its message.
    text: Option<String>,
}

impl Visit for Parser<'_> {
    const WANTED: &'static str = "JUnit";
    const ROOTS: &'static [&'static str] = &["testsuites", "testsuite"];

    fn begin(&mut self, open: &[String], element: &Element<'_>) {
        let parent = open.last().map(String::as_str);
        match (parent, element.name().as_str()) {
            (_, "testcase") => {
                self.case = Some(case_of(element));
            }
            (Some("testcase"), "failure" | "error") => self.fail(element),
            (Some("testcase"), "flakyFailure" | "flakyError") => {
                if let Some(case) = &mut self.case {
                    case.has_failed_before = true;
                }
            }
            (Some("testcase"), "skipped") => {
                if let Some(case) = self.case.as_mut().filter(|c| c.result == Result_::Passed) {
                    case.result = Result_::Skipped;
                }
            }
            // What went wrong outside of any test, such as a module that cannot be imported.
            (Some("testsuite" | "testsuites"), "failure" | "error") => {
                self.case = Some(Case {
                    name: "outside of a test".to_owned(),
                    ..Case::default()
                });
                self.fail(element);
            }
            _ => {}
        }
    }

    fn end(&mut self, open: &[String], name: &str) {
        let is_failure = matches!(name, "failure" | "error");
        if is_failure && let (Some(case), Some(text)) = (&mut self.case, self.text.take()) {
            let text = text.trim();
            case.message = (!text.is_empty()).then(|| text.to_owned());
        }
        let is_outside = is_failure && open.last().is_some_and(|name| name != "testcase");
        if (name == "testcase" || is_outside)
            && let Some(case) = self.case.take()
        {
            self.summary.count(case, self.quarantine);
        }
    }

    fn text(&mut self, text: &str) {
        if let Some(known) = &mut self.text
            && known.len() < MAX_TEXT
        {
            known.push_str(truncate(text, MAX_TEXT));
        }
    }
}

impl Parser<'_> {
    fn fail(&mut self, element: &Element<'_>) {
        let message = element.attribute("message");
        let message = message.filter(|message| !message.is_empty());
        if let Some(case) = &mut self.case {
            case.result = Result_::Failed;
            if case.message.is_none() {
                self.text = message.is_none().then(String::new);
                case.message = message.map(|message| truncate(&message, MAX_TEXT).to_owned());
            }
        }
    }
}

fn case_of(element: &Element<'_>) -> Case {
    let name = element.attribute("name").unwrap_or_default();
    let class = element.attribute("classname");
    let class = class.filter(|class| !class.is_empty());
    // GoogleTest writes tests that were not run without a `skipped` element.
    let status = element.attribute("status").unwrap_or_default();
    let result = element.attribute("result").unwrap_or_default();
    let not_run = matches!(status.as_str(), "notrun" | "disabled" | "skipped")
        || matches!(result.as_str(), "skipped" | "suppressed");
    Case {
        name: class.map_or_else(|| name.clone(), |class| format!("{class}.{name}")),
        result: if not_run {
            Result_::Skipped
        } else {
            Result_::Passed
        },
        ..Case::default()
    }
}

#[cfg(test)]
mod tests;
