//! Gathers findings: counts all of them, lists the worst, and marks each so that later runs know it again.
//! Reads the JSON of gitleaks. No I/O.

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::{ReportError, json};
use crate::model::text::truncate;
use crate::pipeline_run::api::{Finding, FindingCategory, FindingSet, Severities, Severity};

/// Findings that are listed.
pub const MAX_WORST: usize = 24;
/// Findings that are marked.
pub const MAX_MARKS: usize = 200;
/// Characters of a mark: one for the severity, five for the hash.
pub const MARK: usize = 6;

/// A finding as a tool tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found<'a> {
    /// How bad; nothing where the tool does not tell.
    pub severity: Option<Severity>,
    /// Rule or id.
    pub id: &'a str,
    /// File, or package and version.
    pub place: &'a str,
    /// Line in the file.
    pub line: Option<u64>,
    /// What it says.
    pub text: &'a str,
    /// Whether there is no repair.
    pub unfixed: bool,
}

impl FindingSet {
    /// No findings of a category: somebody has looked.
    pub const fn none(category: FindingCategory) -> Self {
        const NONE: Severities = Severities {
            critical: 0,
            high: 0,
            medium: 0,
            low: 0,
        };
        Self {
            category,
            total: NONE,
            unfixed: NONE,
            worst: Vec::new(),
            marks: String::new(),
        }
    }

    /// Adds a finding.
    pub fn push(&mut self, found: &Found<'_>) {
        let severity = found.severity.unwrap_or(Severity::High);
        add(self.total.of_mut(severity));
        if found.unfixed {
            add(self.unfixed.of_mut(severity));
        }
        let mut at = printable(found.place, 112);
        if let Some(line) = found.line {
            at = format!("{at}:{line}");
        }
        let finding = Finding {
            severity,
            id: printable(found.id, 64),
            at: truncate(&at, 120).to_owned(),
            text: printable(found.text, 100),
            unfixed: found.unfixed,
        };
        if self.marks.len() < MAX_MARKS * MARK {
            self.marks.push_str(&mark(self.category, &finding));
        }
        self.worst.push(finding);
        if self.worst.len() >= 2 * MAX_WORST {
            self.settle();
        }
    }

    /// Puts the worst first and leaves out what is beyond the limit.
    pub fn settle(&mut self) {
        self.worst.sort();
        self.worst.truncate(MAX_WORST);
    }

    /// The set, ready for a summary.
    #[must_use]
    pub fn settled(mut self) -> Self {
        self.settle();
        self
    }

    /// The marks of its findings, one by one.
    pub fn each_mark(&self) -> impl Iterator<Item = Mark<'_>> {
        (0..self.marks.len() / MARK)
            .filter_map(|at| Mark::read(self.marks.get(at * MARK..(at + 1) * MARK)?))
    }

    /// Whether every finding is marked.
    pub fn is_all_marked(&self) -> bool {
        u32::try_from(self.each_mark().count()).is_ok_and(|marks| marks == self.total.sum())
    }
}

/// What a later run knows of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark<'a> {
    /// How bad it is.
    pub severity: Severity,
    /// Whether there is no repair.
    pub unfixed: bool,
    /// What it is.
    pub hash: &'a str,
}

impl<'a> Mark<'a> {
    /// Reads a mark; the letter is a capital where there is no repair.
    pub fn read(text: &'a str) -> Option<Self> {
        let (letter, hash) = text.split_at_checked(1)?;
        let severity = match letter.to_ascii_lowercase().as_str() {
            "c" => Severity::Critical,
            "h" => Severity::High,
            "m" => Severity::Medium,
            "l" => Severity::Low,
            _ => return None,
        };
        let unfixed = letter.bytes().all(|letter| letter.is_ascii_uppercase());
        Some(Self {
            severity,
            unfixed,
            hash,
        })
    }
}

fn add(number: &mut u32) {
    *number = number.saturating_add(1);
}

/// One line without control characters, cut to a length.
pub fn printable(text: &str, limit: usize) -> String {
    let line = text.trim().lines().next().unwrap_or_default();
    let kept = line.chars().filter(|c| !c.is_control());
    let kept: String = kept.take(limit).collect();
    truncate(&kept, limit).trim().to_owned()
}

/// Where a finding is, without the line.
pub fn place(at: &str) -> &str {
    let is_line = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match at.rsplit_once(':') {
        Some((place, line)) if is_line(line) => place,
        _ => at,
    }
}

/// The mark of a finding. The line is left out: code above it that grows makes no new finding of an old one.
pub fn mark(category: FindingCategory, finding: &Finding) -> String {
    let letter = match finding.severity {
        Severity::Critical => 'c',
        Severity::High => 'h',
        Severity::Medium => 'm',
        Severity::Low => 'l',
    };
    let letter = if finding.unfixed {
        letter.to_ascii_uppercase()
    } else {
        letter
    };
    let what = [
        category.as_str(),
        &finding.id,
        place(&finding.at),
        &finding.text,
    ]
    .join("\0");
    let hash = Sha256::digest(what.as_bytes());
    // Thirty bits: one of two hundred findings is taken for another one by chance in one of 25,000 runs.
    let digits = hash.iter().take(MARK - 1).map(|byte| {
        let digit = DIGITS.get(usize::from(byte & 63)).copied();
        char::from(digit.unwrap_or(b'A'))
    });
    std::iter::once(letter).chain(digits).collect()
}

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// What severity a word stands for, as tools use them.
pub fn severity_of(word: &str) -> Option<Severity> {
    match word.trim().to_ascii_lowercase().as_str() {
        "critical" | "blocker" => Some(Severity::Critical),
        "high" | "error" | "serious" | "important" => Some(Severity::High),
        "medium" | "moderate" | "warning" => Some(Severity::Medium),
        "low" | "minor" | "note" | "info" | "information" | "negligible" => Some(Severity::Low),
        _ => None,
    }
}

/// What severity a CVSS score stands for.
pub fn severity_of_score(score: f64) -> Option<Severity> {
    match score {
        _ if score >= 9.0 => Some(Severity::Critical),
        _ if score >= 7.0 => Some(Severity::High),
        _ if score >= 4.0 => Some(Severity::Medium),
        _ if score > 0.0 => Some(Severity::Low),
        _ => None,
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Leak {
    #[serde(rename = "RuleID")]
    rule_id: String,
    #[serde(default)]
    description: String,
    file: String,
    #[serde(default)]
    start_line: u64,
}

/// Reads the JSON of gitleaks: a list, or `null` where an old one has found nothing. The secrets themselves are not looked at.
///
/// # Errors
/// If it cannot be read to its end.
pub fn gitleaks(bytes: &[u8]) -> Result<FindingSet, ReportError> {
    const WANTED: &str = "report of gitleaks, which is a list of leaks with RuleID and File";
    let leaks: Option<Vec<Leak>> = json::read(bytes, WANTED)?;
    let mut set = FindingSet::none(FindingCategory::Secret);
    for leak in leaks.iter().flatten() {
        set.push(&Found {
            severity: Some(Severity::Critical),
            id: &leak.rule_id,
            place: &leak.file,
            line: Some(leak.start_line).filter(|line| *line > 0),
            text: &leak.description,
            unfixed: false,
        });
    }
    Ok(set.settled())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leak_is_told_without_the_secret() {
        let json = br#"[{"RuleID":"aws-access-token","Description":"AWS key","StartLine":7,"File":"a/config.py",
            "Secret":"AKIAHIDDEN","Match":"key=AKIAHIDDEN","Fingerprint":"a:b:7"}]"#;
        let set = gitleaks(json).unwrap();
        assert_eq!(set.total.critical, 1);
        assert_eq!(set.worst[0].at, "a/config.py:7");
        assert!(!format!("{set:?}").contains("HIDDEN"));
        assert_eq!(gitleaks(b"[]").unwrap().total.sum(), 0);
        assert_eq!(gitleaks(b"null").unwrap().total.sum(), 0);
        // An empty file is what is left of a tool that could not begin.
        for other in [
            &b"[{"[..],
            b"",
            b"{}",
            b"[{}]",
            br#"[{"name":"a","version":"1","vulns":[]}]"#,
        ] {
            assert!(gitleaks(other).is_err());
        }
    }

    #[test]
    fn all_are_counted_and_the_worst_are_listed() {
        let mut set = FindingSet::none(FindingCategory::Code);
        for number in 0..1000 {
            let id = format!("R{number}");
            set.push(&Found {
                severity: Some(if number == 700 {
                    Severity::Critical
                } else {
                    Severity::Low
                }),
                id: &id,
                ..Found::default()
            });
        }
        let set = set.settled();
        assert_eq!((set.total.critical, set.total.low), (1, 999));
        assert_eq!(set.worst.len(), MAX_WORST);
        assert_eq!(set.worst[0].id, "R700");
        assert_eq!(set.each_mark().count(), MAX_MARKS);
        assert!(set.marks.len() <= 1200);
    }

    #[test]
    fn a_finding_that_moves_keeps_its_mark() {
        let finding = |at: &str, text: &str| Finding {
            severity: Severity::High,
            id: "F401".into(),
            at: at.into(),
            text: text.into(),
            unfixed: true,
        };
        let marked = |at, text| mark(FindingCategory::Code, &finding(at, text));
        assert_eq!(marked("a.py:1", "x"), marked("a.py:19", "x"));
        assert_ne!(marked("a.py:1", "x"), marked("a.py:1", "y"));
        let one = marked("a.py", "x");
        assert_eq!(one.len(), MARK);
        let read = Mark::read(&one).unwrap();
        assert_eq!(
            (read.severity, read.unfixed, read.hash),
            (Severity::High, true, &one[1..])
        );
        assert_eq!(Mark::read("?"), None);
    }

    #[test]
    fn what_is_printable_stays_as_it_is() {
        for text in ["\u{1} a", " a \u{85}b\n", "a\u{2028}", &"ä ".repeat(9)] {
            let once = printable(text, 8);
            assert_eq!(printable(&once, 8), once, "{text:?}");
        }
    }

    #[test]
    fn words_and_scores_are_severities() {
        assert_eq!(severity_of("MODERATE"), Some(Severity::Medium));
        assert_eq!(severity_of("UNKNOWN"), None);
        assert_eq!(severity_of_score(9.8), Some(Severity::Critical));
        assert_eq!(severity_of_score(f64::NAN), None);
    }
}
