//! Reads findings out of what tools print: `file:line:column: code text`, and the like. No I/O.
//!
//! Output comes in pieces that know nothing of lines. Of a line that is longer than any message only the
//! beginning is looked at, so that a program that never ends one costs nothing.

use super::finding::{Found, severity_of};
use crate::pipeline::api::ProblemMatcher;
use crate::pipeline_run::api::{FindingCategory, FindingSet, Severity};

/// Longest line that is looked at, in bytes.
const MAX_LINE: usize = 2048;

/// Reads the output of one script.
#[derive(Debug)]
pub struct Problems {
    matchers: Vec<ProblemMatcher>,
    line: Vec<u8>,
    found: FindingSet,
}

impl Problems {
    /// Looks for the messages of these tools.
    pub fn of(matchers: &[ProblemMatcher]) -> Self {
        Self {
            matchers: matchers.to_vec(),
            line: Vec::new(),
            found: FindingSet::none(FindingCategory::Code),
        }
    }

    /// Takes in a piece of output.
    pub fn take_in(&mut self, output: &[u8]) {
        for part in output.split_inclusive(|byte| *byte == b'\n') {
            let (text, ends) = match part.strip_suffix(b"\n") {
                Some(text) => (text, true),
                None => (part, false),
            };
            let room = MAX_LINE.saturating_sub(self.line.len());
            self.line
                .extend_from_slice(text.get(..room).unwrap_or(text));
            if ends {
                self.end_line();
            }
        }
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        let line = without_colours(&String::from_utf8_lossy(&line));
        let line = line.trim_end();
        // One line is one finding, whichever of the tools it fits first.
        let mut matchers = self.matchers.iter();
        if let Some(found) = matchers.find_map(|matcher| read(*matcher, line)) {
            self.found.push(&found);
        }
    }

    /// What was found; nothing where nothing was looked for.
    #[must_use]
    pub fn finish(mut self) -> Option<FindingSet> {
        if !self.line.is_empty() {
            self.end_line();
        }
        (!self.matchers.is_empty()).then(|| self.found.settled())
    }
}

/// Tools that think they write to a terminal colour what they say.
fn without_colours(line: &str) -> String {
    let mut parts = line.split('\u{1b}');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|c: char| c.is_ascii_alphabetic());
        text.push_str(end.and_then(|end| part.get(end + 1..)).unwrap_or_default());
    }
    text
}

fn read(matcher: ProblemMatcher, line: &str) -> Option<Found<'_>> {
    match matcher {
        ProblemMatcher::Black => black(line),
        ProblemMatcher::Isort => isort(line),
        ProblemMatcher::Flake8 => flake8(line),
        ProblemMatcher::Mypy => mypy(line),
        ProblemMatcher::Lines => any_line(line),
    }
}

fn black(line: &str) -> Option<Found<'_>> {
    if let Some(place) = line.strip_prefix("would reformat ") {
        return Some(Found {
            id: "black",
            place,
            text: "would be reformatted",
            ..Found::default()
        });
    }
    let (place, text) = line
        .strip_prefix("error: cannot format ")?
        .split_once(": ")?;
    Some(Found {
        id: "black",
        place,
        text,
        ..Found::default()
    })
}

fn isort(line: &str) -> Option<Found<'_>> {
    let text = "Imports are incorrectly sorted";
    let at = line.strip_prefix("ERROR: ")?;
    let place = at.get(..at.find(text)?)?.trim_end();
    Some(Found {
        id: "isort",
        place,
        text,
        ..Found::default()
    })
}

fn flake8(line: &str) -> Option<Found<'_>> {
    let (place, number, rest) = located(line)?;
    let (_column, rest) = rest.split_once(": ")?;
    let (id, text) = rest.split_once(' ').unwrap_or((rest, ""));
    let digits = id.trim_start_matches(|c: char| c.is_ascii_uppercase());
    let is_code = !digits.is_empty() && digits.len() < id.len();
    (is_code && digits.bytes().all(|byte| byte.is_ascii_digit())).then_some(Found {
        id,
        place,
        line: Some(number),
        text,
        ..Found::default()
    })
}

fn mypy(line: &str) -> Option<Found<'_>> {
    let (place, number, rest) = located(line)?;
    // The column stands there if it was asked for.
    let rest = match rest.split_once(':') {
        Some((column, rest)) if is_number(column) => rest,
        _ => rest,
    };
    let text = rest.trim_start().strip_prefix("error: ")?;
    let (text, id) = match text.rsplit_once("  [") {
        Some((text, id)) => (text, id.trim_end_matches(']')),
        None => (text, "mypy"),
    };
    Some(Found {
        id,
        place,
        line: Some(number),
        text,
        ..Found::default()
    })
}

fn any_line(line: &str) -> Option<Found<'_>> {
    let (place, number, rest) = located(line)?;
    let (rest, has_column) = match rest.split_once(':') {
        Some((column, rest)) if is_number(column) => (rest, true),
        _ => (rest, false),
    };
    let rest = rest.trim_start();
    let word = rest
        .split_once(':')
        .map(|(word, text)| (word.trim(), text.trim_start()));
    let (severity, text) = match word {
        Some((word, text)) if matches!(word, "error" | "fatal error" | "warning" | "note") => {
            (severity_of(word).unwrap_or(Severity::High), text)
        }
        // Without a column and a severity it may be anything, such as a time.
        _ if !has_column => return None,
        _ => (Severity::High, rest),
    };
    if severity == Severity::Low || text.is_empty() {
        return None;
    }
    Some(Found {
        severity: Some(severity),
        id: "output",
        place,
        line: Some(number),
        text,
        unfixed: false,
    })
}

/// `file:line:rest`. A file has no spaces at its ends, and neither is a number nor a URL.
fn located(line: &str) -> Option<(&str, u64, &str)> {
    let (place, rest) = line.split_once(':')?;
    let (number, rest) = rest.split_once(':')?;
    let is_file = !place.is_empty() && place.trim() == place && !is_number(place);
    (is_file && is_number(number)).then_some((place, number.parse().ok()?, rest))
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.len() < 10 && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(matchers: &[ProblemMatcher], output: &str) -> Vec<String> {
        let mut problems = Problems::of(matchers);
        // Pieces end anywhere.
        for piece in output.as_bytes().chunks(7) {
            problems.take_in(piece);
        }
        let set = problems.finish().unwrap();
        let line = |f: &crate::pipeline_run::api::Finding| format!("{} {} {}", f.at, f.id, f.text);
        set.worst.iter().map(line).collect()
    }

    #[test]
    fn black_and_isort_name_files() {
        let output = "\u{1b}[1mwould reformat /w/a.py\u{1b}[0m\nerror: cannot format b.py: Cannot parse: 1:3\nOh no!\n\
                      ERROR: /w/c d.py Imports are incorrectly sorted and/or formatted.\n";
        let both = [ProblemMatcher::Black, ProblemMatcher::Isort];
        assert_eq!(
            found(&both, output),
            [
                "/w/a.py black would be reformatted",
                "b.py black Cannot parse: 1:3",
                "/w/c d.py isort Imports are incorrectly sorted",
            ]
        );
    }

    #[test]
    fn flake8_tells_codes() {
        let output = "./a.py:1:80: E501 line too long (90 > 79 characters)\n./a.py:3:1: F401 'os' imported but unused\nnothing: here\n1:2:3: E1 x";
        let found = found(&[ProblemMatcher::Flake8], output);
        assert_eq!(found[0], "./a.py:1 E501 line too long (90 > 79 characters)");
        assert_eq!(found.len(), 2);
    }

    #[test]
    fn mypy_tells_errors_and_notes_are_none() {
        let output = "a.py:3: error: Incompatible types  [assignment]\na.py:3: note: See docs\nb.py:4:7: error: No code\nFound 2 errors in 2 files";
        let found = found(&[ProblemMatcher::Mypy], output);
        assert_eq!(
            found,
            [
                "a.py:3 assignment Incompatible types",
                "b.py:4 mypy No code"
            ]
        );
    }

    #[test]
    fn other_tools_print_lines() {
        let output = "src/a.c:3:7: warning: unused\nsrc/a.c:4: error: gone\n12:30:00: started\nhttp://x:80:1\na.rs:1:1: bad\nx:1: maybe\n";
        let found = found(&[ProblemMatcher::Lines], output);
        assert_eq!(
            found,
            [
                "a.rs:1 output bad",
                "src/a.c:4 output gone",
                "src/a.c:3 output unused"
            ]
        );
    }

    #[test]
    fn a_line_without_an_end_costs_nothing() {
        let mut problems = Problems::of(&[ProblemMatcher::Lines]);
        for _ in 0..1000 {
            problems.take_in(&[b'x'; 10_000]);
        }
        assert!(problems.line.len() <= MAX_LINE);
        assert_eq!(problems.finish().unwrap().total.sum(), 0);
        assert_eq!(Problems::of(&[]).finish(), None);
    }
}
