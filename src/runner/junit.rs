//! Reads JUnit reports, in all the forms that tools write them. No I/O.
//!
//! Only `testcase` elements are counted, never the totals in attributes: those are wrong in half of the
//! tools. A test with `failure` or `error` has failed; one that failed and then passed (`flakyFailure`,
//! `flakyError`: Surefire, nextest) has passed; one that failed again (`rerunFailure`) has failed once.

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use super::report::MAX_FAILED;
use crate::pipeline_run::api::{FailedTest, TestCounts};

/// Deepest nesting that a report has.
const MAX_DEPTH: usize = 64;

/// What reports say, added up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// The tests, counted.
    pub counts: TestCounts,
    /// The first of the tests that failed.
    pub failed: Vec<FailedTest>,
}

/// Why a report cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum JunitError {
    /// It is no XML, or is cut off.
    #[error("not complete XML: {0}")]
    Xml(String),
    /// It is XML of another kind.
    #[error("no JUnit report: its first element is {0}")]
    Other(String),
    /// It is nested like no report is.
    #[error("nested deeper than {MAX_DEPTH} elements")]
    Deep,
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
}

impl Summary {
    /// Adds a report.
    ///
    /// # Errors
    /// If it cannot be read to its end; nothing is added then.
    pub fn add(&mut self, xml: &[u8]) -> Result<(), JunitError> {
        let mut parser = Parser {
            summary: self.clone(),
            ..Parser::default()
        };
        parser.read(xml)?;
        *self = parser.summary;
        Ok(())
    }

    fn count(&mut self, case: Case) {
        let counts = &mut self.counts;
        let number = match case.result {
            Result_::Passed => &mut counts.passed,
            Result_::Failed => &mut counts.failed,
            Result_::Skipped => &mut counts.skipped,
        };
        *number = number.saturating_add(1);
        counts.total = counts.total.saturating_add(1);
        if case.result == Result_::Failed && self.failed.len() < MAX_FAILED {
            self.failed.push(FailedTest {
                name: case.name,
                message: case.message,
            });
        }
    }
}

#[derive(Default)]
struct Parser {
    summary: Summary,
    /// Names of the open elements.
    open: Vec<String>,
    case: Option<Case>,
    /// The text of a failure without a message is its message.
    text: Option<String>,
}

impl Parser {
    fn read(&mut self, xml: &[u8]) -> Result<(), JunitError> {
        // A stray byte in a test's output is no reason to lose its result.
        let xml = String::from_utf8_lossy(xml);
        let mut reader = Reader::from_str(&xml);
        reader.config_mut().expand_empty_elements = true;
        let mut seen_root = false;
        loop {
            match reader
                .read_event()
                .map_err(|error| JunitError::Xml(error.to_string()))?
            {
                Event::Start(element) => {
                    let name = name_of(&element);
                    if !seen_root && !matches!(name.as_str(), "testsuites" | "testsuite") {
                        return Err(JunitError::Other(name));
                    }
                    seen_root = true;
                    self.begin(&element, name)?;
                }
                Event::End(_) => self.end(),
                Event::Text(text) => self.take_text(&text),
                Event::CData(text) => self.take_text(&text),
                Event::Eof if self.open.is_empty() && seen_root => return Ok(()),
                Event::Eof => return Err(JunitError::Xml("it ends too early".to_owned())),
                Event::Empty(_)
                | Event::Comment(_)
                | Event::Decl(_)
                | Event::PI(_)
                | Event::DocType(_)
                | Event::GeneralRef(_) => {}
            }
        }
    }

    fn begin(&mut self, element: &BytesStart<'_>, name: String) -> Result<(), JunitError> {
        if self.open.len() >= MAX_DEPTH {
            return Err(JunitError::Deep);
        }
        let parent = self.open.last().map(String::as_str);
        match (parent, name.as_str()) {
            (_, "testcase") => {
                self.case = Some(case_of(element));
            }
            (Some("testcase"), "failure" | "error") => self.fail(element),
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
        self.open.push(name);
        Ok(())
    }

    fn fail(&mut self, element: &BytesStart<'_>) {
        let message = attribute(element, "message").filter(|message| !message.is_empty());
        if let Some(case) = &mut self.case {
            case.result = Result_::Failed;
            if case.message.is_none() {
                self.text = message.is_none().then(String::new);
                case.message = message;
            }
        }
    }

    fn take_text(&mut self, text: &str) {
        if let Some(known) = &mut self.text
            && known.len() < 4096
        {
            known.push_str(text);
        }
    }

    fn end(&mut self) {
        let name = self.open.pop().unwrap_or_default();
        let is_failure = matches!(name.as_str(), "failure" | "error");
        if is_failure && let (Some(case), Some(text)) = (&mut self.case, self.text.take()) {
            let text = text.trim();
            case.message = (!text.is_empty()).then(|| text.to_owned());
        }
        let is_outside = is_failure && self.open.last().is_some_and(|name| name != "testcase");
        if (name == "testcase" || is_outside)
            && let Some(case) = self.case.take()
        {
            self.summary.count(case);
        }
    }
}

fn name_of(element: &BytesStart<'_>) -> String {
    element.local_name().as_ref().to_owned()
}

fn case_of(element: &BytesStart<'_>) -> Case {
    let name = attribute(element, "name").unwrap_or_default();
    let class = attribute(element, "classname").filter(|class| !class.is_empty());
    // GoogleTest writes tests that were not run without a `skipped` element.
    let status = attribute(element, "status").unwrap_or_default();
    let result = attribute(element, "result").unwrap_or_default();
    let not_run = matches!(status.as_str(), "notrun" | "disabled" | "skipped")
        || matches!(result.as_str(), "skipped" | "suppressed");
    Case {
        name: class.map_or_else(|| name.clone(), |class| format!("{class}.{name}")),
        result: if not_run {
            Result_::Skipped
        } else {
            Result_::Passed
        },
        message: None,
    }
}

fn attribute(element: &BytesStart<'_>, name: &str) -> Option<String> {
    let found = element
        .attributes()
        .with_checks(false)
        .flatten()
        .find(|attribute| attribute.key.local_name().as_ref() == name)?;
    let raw = found.value.into_owned();
    // An entity that we do not know stays as it is written.
    let text = quick_xml::escape::unescape(&raw).map(std::borrow::Cow::into_owned);
    Some(text.unwrap_or(raw))
}

#[cfg(test)]
mod tests;
