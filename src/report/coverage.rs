//! Reads coverage: Cobertura, JaCoCo and LCOV. No I/O.
//!
//! Lines are counted where a report lists them; totals in attributes are not believed where they can be
//! counted.

use super::ReportError;
use super::xml::{self, Element, Visit};
use crate::pipeline_run::api::Coverage;

/// Reads a Cobertura report.
///
/// # Errors
/// If it cannot be read to its end.
pub fn cobertura(bytes: &[u8]) -> Result<Coverage, ReportError> {
    let mut found = Cobertura::default();
    xml::walk(bytes, &mut found)?;
    Ok(found.0)
}

/// Reads a JaCoCo report.
///
/// # Errors
/// If it cannot be read to its end.
pub fn jacoco(bytes: &[u8]) -> Result<Coverage, ReportError> {
    let mut found = Jacoco::default();
    xml::walk(bytes, &mut found)?;
    Ok(found.0)
}

#[derive(Default)]
struct Cobertura(Coverage);

impl Visit for Cobertura {
    const WANTED: &'static str = "Cobertura";
    const ROOTS: &'static [&'static str] = &["coverage"];

    fn begin(&mut self, open: &[String], element: &Element<'_>) {
        // Lines of methods are listed among those of their class once more.
        let is_line = matches!(open, [.., class, lines] if class == "class" && lines == "lines");
        if !is_line || element.name() != "line" {
            return;
        }
        let coverage = &mut self.0;
        count(&mut coverage.lines, 1);
        let hits = element.attribute("hits").unwrap_or_default();
        if is_hit(&hits) {
            count(&mut coverage.covered_lines, 1);
        }
        let condition = element.attribute("condition-coverage");
        if let Some((taken, all)) = condition.as_deref().and_then(fraction) {
            count(&mut coverage.branches, all);
            count(&mut coverage.covered_branches, taken.min(all));
        }
    }
}

fn count(number: &mut u32, more: u32) {
    *number = number.saturating_add(more);
}

/// Whether a number of hits is one. It may be larger than any number that we have.
fn is_hit(hits: &str) -> bool {
    let hits = hits.trim();
    !hits.starts_with('-') && hits.bytes().any(|digit| matches!(digit, b'1'..=b'9'))
}

/// `50% (1/2)`.
fn fraction(text: &str) -> Option<(u32, u32)> {
    let inside = text.split_once('(')?.1.split_once(')')?.0;
    let (taken, all) = inside.split_once('/')?;
    Some((taken.trim().parse().ok()?, all.trim().parse().ok()?))
}

#[derive(Default)]
struct Jacoco(Coverage);

impl Visit for Jacoco {
    const WANTED: &'static str = "JaCoCo";
    const ROOTS: &'static [&'static str] = &["report"];

    fn begin(&mut self, open: &[String], element: &Element<'_>) {
        // Every package, class and method has counters too; these are those of the whole report.
        if open.len() != 1 || element.name() != "counter" {
            return;
        }
        let missed = element.number("missed").unwrap_or(0);
        let covered = element.number("covered").unwrap_or(0);
        let all = missed.saturating_add(covered);
        let coverage = &mut self.0;
        match element.attribute("type").unwrap_or_default().as_str() {
            "LINE" => (coverage.lines, coverage.covered_lines) = (all, covered),
            "BRANCH" => (coverage.branches, coverage.covered_branches) = (all, covered),
            _ => {}
        }
    }
}

/// Reads an LCOV tracefile. The lines of a file are counted where they are listed (`DA`, `BRDA`), and taken
/// from its totals (`LF`, `LH`, `BRF`, `BRH`) where they are not.
///
/// # Errors
/// If it has no record, or its last one does not end.
pub fn lcov(bytes: &[u8]) -> Result<Coverage, ReportError> {
    let text = String::from_utf8_lossy(bytes);
    let mut all = Coverage::default();
    let mut record: Option<Record> = None;
    let mut has_any = false;
    for line in text.lines() {
        let line = line.trim();
        if line == "end_of_record" {
            if let Some(record) = record.take() {
                has_any = true;
                let one = record.coverage();
                count(&mut all.lines, one.lines);
                count(&mut all.covered_lines, one.covered_lines);
                count(&mut all.branches, one.branches);
                count(&mut all.covered_branches, one.covered_branches);
            }
        } else if line.starts_with("SF:") {
            record = Some(Record::default());
        } else if let (Some(record), Some((key, value))) = (&mut record, line.split_once(':')) {
            record.take_in(key, value);
        }
    }
    if record.is_some() || !has_any {
        return Err(ReportError::Syntax {
            format: "LCOV",
            problem: "it ends without end_of_record".to_owned(),
        });
    }
    Ok(all)
}

/// What an LCOV tracefile says of one source file.
#[derive(Default)]
struct Record {
    listed: Coverage,
    totals: Coverage,
}

impl Record {
    fn take_in(&mut self, key: &str, value: &str) {
        let total = || value.trim().parse().unwrap_or(0);
        let mut fields = value.split(',');
        match key {
            "DA" => {
                count(&mut self.listed.lines, 1);
                if fields.nth(1).is_some_and(is_hit) {
                    count(&mut self.listed.covered_lines, 1);
                }
            }
            "BRDA" => {
                count(&mut self.listed.branches, 1);
                if fields.next_back().is_some_and(is_hit) {
                    count(&mut self.listed.covered_branches, 1);
                }
            }
            "LF" => self.totals.lines = total(),
            "LH" => self.totals.covered_lines = total(),
            "BRF" => self.totals.branches = total(),
            "BRH" => self.totals.covered_branches = total(),
            _ => {}
        }
    }

    fn coverage(&self) -> Coverage {
        let (listed, totals) = (self.listed, self.totals);
        let lines = if listed.lines > 0 { listed } else { totals };
        let branches = if listed.branches > 0 { listed } else { totals };
        Coverage {
            lines: lines.lines,
            covered_lines: lines.covered_lines.min(lines.lines),
            branches: branches.branches,
            covered_branches: branches.covered_branches.min(branches.branches),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(coverage: Coverage) -> [u32; 4] {
        [
            coverage.covered_lines,
            coverage.lines,
            coverage.covered_branches,
            coverage.branches,
        ]
    }

    #[test]
    fn coverage_py_writes_cobertura() {
        let xml = br#"<?xml version="1.0" ?><!DOCTYPE coverage SYSTEM "http://cobertura.sourceforge.net/xml/coverage-04.dtd">
            <coverage version="7.4" lines-valid="999" lines-covered="0" line-rate="0.1"><packages><package name="."><classes>
            <class name="a.py" filename="a.py"><methods><method name="f"><lines><line number="1" hits="1"/></lines></method></methods>
            <lines><line number="1" hits="1"/><line number="2" hits="0"/>
            <line number="3" hits="4294967296" branch="true" condition-coverage="50% (1/2)" missing-branches="5"/></lines></class>
            </classes></package></packages></coverage>"#;
        assert_eq!(numbers(cobertura(xml).unwrap()), [2, 3, 1, 2]);
    }

    #[test]
    fn jacoco_counts_the_whole_report_once() {
        let xml = br#"<!DOCTYPE report PUBLIC "-//JACOCO//DTD Report 1.1//EN" "report.dtd"><report name="x"><package name="p">
            <counter type="LINE" missed="9" covered="1"/></package><counter type="BRANCH" missed="1" covered="3"/>
            <counter type="LINE" missed="2" covered="8"/><counter type="METHOD" missed="0" covered="1"/></report>"#;
        assert_eq!(numbers(jacoco(xml).unwrap()), [8, 10, 3, 4]);
    }

    #[test]
    fn lcov_lists_lines_or_only_totals() {
        let text = b"TN:\nSF:a.js\nDA:1,1\nDA:2,0\nDA:3,5,abc\nBRDA:1,0,0,1\nBRDA:1,0,1,-\nLF:9\nLH:9\nend_of_record\nSF:b.js\nLF:10\nLH:4\nend_of_record\n";
        assert_eq!(numbers(lcov(text).unwrap()), [6, 13, 1, 2]);
    }

    #[test]
    fn what_is_cut_off_is_no_report() {
        for bad in [
            "",
            "SF:a\nDA:1,1\n",
            "SF:a\nend_of_record\nSF:b\nDA:1,1",
            "x",
        ] {
            assert!(lcov(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(cobertura(b"<coverage><packages>").is_err());
        assert!(matches!(
            jacoco(b"<coverage/>"),
            Err(ReportError::Other { .. })
        ));
    }

    #[test]
    fn totals_that_cannot_be_stay_within_bounds() {
        let coverage = lcov(b"SF:a\nLF:4\nLH:4000000000\nend_of_record\n").unwrap();
        assert_eq!(numbers(coverage), [4, 4, 0, 0]);
        assert_eq!(coverage.line_percent(), Some(100.0));
    }
}
