//! Reads coverage: Cobertura, JaCoCo and LCOV. No I/O.
//!
//! Lines are counted where a report lists them; totals in attributes are not believed where they can be
//! counted. Where somebody says which lines have changed, those among them are counted apart.

use super::ReportError;
use super::changed::{Changed, Lines, MAX_BASES};
use super::xml::{self, Element, Visit};
use crate::pipeline_run::api::{ChangedLines, Coverage};

/// Reads a Cobertura report.
///
/// # Errors
/// If it cannot be read to its end.
pub fn cobertura(bytes: &[u8], changed: Option<&Changed>) -> Result<Coverage, ReportError> {
    let mut found = Cobertura {
        counts: Counts::new(changed),
        ..Cobertura::default()
    };
    xml::walk(bytes, &mut found)?;
    if !found.has_packages {
        let wanted =
            "Cobertura report, which has packages (Clover and Sonar call theirs coverage too)";
        return Err(without(wanted, "packages"));
    }
    Ok(found.counts.coverage)
}

fn without(wanted: &'static str, what: &str) -> ReportError {
    ReportError::form(wanted, format!("there are no {what} in it"))
}

/// Reads a JaCoCo report.
///
/// # Errors
/// If it cannot be read to its end.
pub fn jacoco(bytes: &[u8], changed: Option<&Changed>) -> Result<Coverage, ReportError> {
    let mut found = Jacoco {
        counts: Counts::new(changed),
        ..Jacoco::default()
    };
    xml::walk(bytes, &mut found)?;
    if !found.has_own {
        let wanted = "JaCoCo report, which has packages, groups or counters";
        return Err(without(wanted, "packages"));
    }
    Ok(found.counts.coverage)
}

/// What is counted, and what is known of the file that the report is at.
#[derive(Default)]
struct Counts<'a> {
    coverage: Coverage,
    changed: Option<&'a Changed>,
    lines: Lines<'a>,
}

impl<'a> Counts<'a> {
    fn new(changed: Option<&'a Changed>) -> Self {
        Self {
            coverage: Coverage {
                changed: changed.map(|_| ChangedLines::default()),
                ..Coverage::default()
            },
            changed,
            lines: Lines::default(),
        }
    }

    /// From now on the report tells of this file.
    fn enter(&mut self, bases: &[String], path: &str) {
        let changed = self.changed;
        self.lines = changed.map_or_else(Lines::default, |changed| changed.lines(bases, path));
    }

    fn count_changed(&mut self, line: Option<u32>, is_hit: bool) {
        if let (Some(line), Some(changed)) = (line, &mut self.coverage.changed)
            && self.lines.contains(line)
        {
            count(&mut changed.lines, 1);
            count(&mut changed.covered_lines, u32::from(is_hit));
        }
    }
}

#[derive(Default)]
struct Cobertura<'a> {
    counts: Counts<'a>,
    /// Folders of sources.
    bases: Vec<String>,
    is_in_source: bool,
    has_packages: bool,
}

impl Visit for Cobertura<'_> {
    const WANTED: &'static str = "Cobertura";
    const ROOTS: &'static [&'static str] = &["coverage"];

    fn begin(&mut self, open: &[String], element: &Element<'_>) {
        match element.name().as_str() {
            "packages" if open.len() == 1 => self.has_packages = true,
            "source" if self.bases.len() < MAX_BASES => {
                self.bases.push(String::new());
                self.is_in_source = true;
            }
            "class" => {
                let path = element.attribute("filename").unwrap_or_default();
                self.counts.enter(&self.bases, &path);
            }
            _ => {}
        }
        // Lines of methods are listed among those of their class once more.
        let is_line = matches!(open, [.., class, lines] if class == "class" && lines == "lines");
        if !is_line || element.name() != "line" {
            return;
        }
        let hits = element.attribute("hits").unwrap_or_default();
        let is_hit = is_hit(&hits);
        self.counts.count_changed(element.number("number"), is_hit);
        let coverage = &mut self.counts.coverage;
        count(&mut coverage.lines, 1);
        if is_hit {
            count(&mut coverage.covered_lines, 1);
        }
        let condition = element.attribute("condition-coverage");
        if let Some((taken, all)) = condition.as_deref().and_then(fraction) {
            count(&mut coverage.branches, all);
            count(&mut coverage.covered_branches, taken.min(all));
        }
    }

    fn text(&mut self, text: &str) {
        if let Some(base) = self.bases.last_mut().filter(|_| self.is_in_source) {
            base.push_str(text.trim());
        }
    }

    fn end(&mut self, _: &[String], name: &str) {
        self.is_in_source &= name != "source";
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
struct Jacoco<'a> {
    counts: Counts<'a>,
    package: String,
    /// Whether there is anything in it that only JaCoCo writes.
    has_own: bool,
}

impl Visit for Jacoco<'_> {
    const WANTED: &'static str = "JaCoCo";
    const ROOTS: &'static [&'static str] = &["report"];

    fn begin(&mut self, open: &[String], element: &Element<'_>) {
        let name = || element.attribute("name").unwrap_or_default();
        let own = ["sessioninfo", "group", "package", "counter"];
        self.has_own |= open.len() == 1 && own.contains(&element.name().as_str());
        match element.name().as_str() {
            "package" => self.package = name(),
            "sourcefile" => {
                let path = format!("{}/{}", self.package, name());
                self.counts.enter(&[], path.trim_start_matches('/'));
            }
            "line" => {
                let is_hit = element.number("ci").is_some_and(|reached| reached > 0);
                self.counts.count_changed(element.number("nr"), is_hit);
            }
            _ => {}
        }
        // Every package, class and method has counters too; these are those of the whole report.
        if open.len() != 1 || element.name() != "counter" {
            return;
        }
        let missed = element.number("missed").unwrap_or(0);
        let covered = element.number("covered").unwrap_or(0);
        let all = missed.saturating_add(covered);
        let coverage = &mut self.counts.coverage;
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
pub fn lcov(bytes: &[u8], changed: Option<&Changed>) -> Result<Coverage, ReportError> {
    let text = super::text_of(bytes);
    let mut counts = Counts::new(changed);
    let mut record: Option<Record> = None;
    let mut has_any = false;
    for line in text.lines() {
        let line = line.trim();
        if line == "end_of_record" {
            if let Some(record) = record.take() {
                has_any = true;
                let (one, all) = (record.coverage(), &mut counts.coverage);
                count(&mut all.lines, one.lines);
                count(&mut all.covered_lines, one.covered_lines);
                count(&mut all.branches, one.branches);
                count(&mut all.covered_branches, one.covered_branches);
            }
        } else if let Some(path) = line.strip_prefix("SF:") {
            record = Some(Record::default());
            counts.enter(&[], path);
        } else if let (Some(record), Some((key, value))) = (&mut record, line.split_once(':')) {
            record.take_in(key, value);
            if key == "DA" {
                let mut fields = value.split(',');
                let line = fields.next().and_then(|line| line.trim().parse().ok());
                counts.count_changed(line, fields.next().is_some_and(is_hit));
            }
        }
    }
    if record.is_some() || !has_any {
        return Err(ReportError::Syntax {
            format: "LCOV",
            problem: "it ends without end_of_record".to_owned(),
        });
    }
    Ok(counts.coverage)
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
            changed: None,
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
        assert_eq!(numbers(cobertura(xml, None).unwrap()), [2, 3, 1, 2]);
    }

    #[test]
    fn jacoco_counts_the_whole_report_once() {
        let xml = br#"<!DOCTYPE report PUBLIC "-//JACOCO//DTD Report 1.1//EN" "report.dtd"><report name="x"><package name="p">
            <counter type="LINE" missed="9" covered="1"/></package><counter type="BRANCH" missed="1" covered="3"/>
            <counter type="LINE" missed="2" covered="8"/><counter type="METHOD" missed="0" covered="1"/></report>"#;
        assert_eq!(numbers(jacoco(xml, None).unwrap()), [8, 10, 3, 4]);
    }

    #[test]
    fn lcov_lists_lines_or_only_totals() {
        let text = b"TN:\nSF:a.js\nDA:1,1\nDA:2,0\nDA:3,5,abc\nBRDA:1,0,0,1\nBRDA:1,0,1,-\nLF:9\nLH:9\nend_of_record\nSF:b.js\nLF:10\nLH:4\nend_of_record\n";
        assert_eq!(numbers(lcov(text, None).unwrap()), [6, 13, 1, 2]);
    }

    #[test]
    fn what_is_cut_off_is_no_report() {
        for bad in [
            "",
            "SF:a\nDA:1,1\n",
            "SF:a\nend_of_record\nSF:b\nDA:1,1",
            "x",
        ] {
            assert!(lcov(bad.as_bytes(), None).is_err(), "{bad}");
        }
        assert!(cobertura(b"<coverage><packages>", None).is_err());
        assert!(matches!(
            jacoco(b"<coverage/>", None),
            Err(ReportError::Other { .. })
        ));
    }

    #[test]
    fn totals_that_cannot_be_stay_within_bounds() {
        let coverage = lcov(b"SF:a\nLF:4\nLH:4000000000\nend_of_record\n", None).unwrap();
        assert_eq!(numbers(coverage), [4, 4, 0, 0]);
        assert_eq!(coverage.line_percent(), Some(100.0));
    }

    #[test]
    fn lines_that_changed_are_counted_apart_in_every_format() {
        let files = [
            ("src/shop/cart.py".to_owned(), vec![(2, 3), (9, 9)]),
            ("src/main/java/shop/Cart.java".to_owned(), vec![(4, 5)]),
        ];
        let changed = Changed::new(files.into(), "/workspace/source");
        let numbers = |coverage: Coverage| {
            let changed = coverage.changed.unwrap();
            (changed.covered_lines, changed.lines)
        };
        let xml = br#"<coverage><sources><source>
            /workspace/source/src</source></sources><packages><package><classes>
            <class filename="shop/cart.py"><methods/><lines><line number="1" hits="1"/><line number="2" hits="1"/>
            <line number="3" hits="0"/></lines></class><class filename="shop/other.py"><lines><line number="2" hits="1"/>
            </lines></class></classes></package></packages></coverage>"#;
        let found = cobertura(xml, Some(&changed)).unwrap();
        assert_eq!((numbers(found), found.lines), ((1, 2), 4));
        let xml = br#"<report><group name="g"><package name="shop"><class name="shop/Cart"/><sourcefile name="Cart.java">
            <line nr="4" mi="0" ci="3"/><line nr="5" mi="2" ci="0"/><line nr="6" mi="0" ci="1"/><counter type="LINE" missed="1" covered="2"/>
            </sourcefile></package></group><counter type="LINE" missed="1" covered="2"/></report>"#;
        let found = jacoco(xml, Some(&changed)).unwrap();
        assert_eq!((numbers(found), found.lines), ((1, 2), 3));
        let text = b"SF:/workspace/source/src/shop/cart.py\nDA:2,5\nDA:3,1\nDA:4,0\nDA:9,0\nend_of_record\nSF:b\nDA:2,0\nend_of_record\n";
        let found = lcov(text, Some(&changed)).unwrap();
        assert_eq!((numbers(found), found.lines), ((2, 3), 5));
        assert_eq!(lcov(text, None).unwrap().changed, None);
    }
}
