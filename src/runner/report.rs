//! What a container of a stage pod reports: JSON of at most 4 KiB as its termination message. No I/O.
//!
//! Kubernetes cuts longer messages off in the middle, so the writer leaves things out by their weight; what reports say
//! is packed (`packed`), because most of it repeats itself. The
//! reader trusts nothing: a script can write the message itself, so every text is cut to what a status holds.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::{Deserialize, Serialize};

use crate::model::text::truncate;
use crate::oci::manifest::is_digest;
use crate::pipeline::api::SourceError;
use crate::pipeline_run::api::{
    Attestation, AttestationKind, Breaking, Bump, Commit, Difference, FailedTest, FailureKind,
    Finding, ReportSummary, TestCounts,
};

mod packed;

/// Longest termination message of a container, in bytes.
pub const LIMIT: usize = 4096;
/// Longest termination messages of all containers of a pod together, in bytes.
const POD_LIMIT: usize = 12 * 1024;
/// Commits that a report has at most.
pub const MAX_CHANGES: usize = 50;
/// Failed tests that a report has at most.
pub const MAX_FAILED: usize = 10;
/// Attestations that a report has at most: three for each of eight images.
const MAX_ATTESTATIONS: usize = 24;
/// Packages that a report has at most.
const MAX_PACKAGES: usize = 4;
/// Changes that break something, and commits that were pushed, that a report has at most.
pub const MAX_BREAKING: usize = 8;
const MAX_BREAKING_TEXT: usize = 120;
const MAX_NAME: usize = 256;
const MAX_PERSON: usize = 128;
const MAX_TEXT: usize = 512;
const MAX_MESSAGE: usize = 900;
const MAX_TAIL: usize = 2000;
/// Longest list of files that differ, in bytes: commits have to fit beside it.
const MAX_FILES_TEXT: usize = 1024;
/// Longest subject in the list of changes, so that enough of them fit.
const MAX_SUBJECT: usize = 72;

/// How `source` went.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SourceReport {
    /// The commit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit: Option<Commit>,
    /// Names and emails that `changes` refer to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub authors: Vec<(String, String)>,
    /// Commits since the previous Release, newest first: sha, index of the author, seconds since 1970, subject.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<(String, usize, i64, String)>,
    /// What differs from the previous Release.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub difference: Option<Difference>,
    /// What all commits since the previous Release ask of the next version, if that was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bump: Option<Bump>,
    /// Changes that break what was there: the commit, and its words.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub breaking: Vec<(String, String)>,
    /// Whether nothing has changed that the stage is about.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub unchanged: bool,
    /// Why there is no commit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<SourceError>,
}

/// How `stage` or `build` went.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StageReport {
    /// Whose fault it is; nothing when it went well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<FailureKind>,
    /// What happened, in one sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Exit code of the script.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// Digest of the image that was pushed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// What was said about images.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attestations: Vec<AttestationReport>,
    /// Size of the image that was pushed, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Packages that were pushed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub packages: Vec<PackageReport>,
    /// Commits that were pushed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub published: Vec<String>,
    /// Tests of the reports; nothing when there is no report.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tests: Option<TestCounts>,
    /// The first of the tests that failed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub failed_tests: Vec<FailedTest>,
    /// The first of the tests that failed and then passed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub flaky_tests: Vec<String>,
    /// What its other reports say.
    #[serde(skip_serializing_if = "Option::is_none", with = "packed")]
    pub reports: Option<ReportSummary>,
    /// The last lines of the log.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub log_tail: String,
}

/// A package that was pushed: its name, its digest, the size of its files together, and its version if they tell it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackageReport(pub String, pub String, pub u64, pub Option<String>);

/// Longest termination message of each of so many containers of a pod, init containers included: the kubelet
/// divides what a pod may say among all of them, whether they say anything or not.
pub const fn limit(containers: usize) -> usize {
    match POD_LIMIT.checked_div(containers) {
        Some(share) if share < LIMIT => share,
        Some(_) | None => LIMIT,
    }
}

/// Something that was said about an image: its name, what, and the digest of it. Short, because 24 of them have to fit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttestationReport(pub String, pub AttestationKind, pub String);

impl From<AttestationReport> for Attestation {
    fn from(AttestationReport(image, kind, digest): AttestationReport) -> Self {
        Self {
            image,
            kind,
            digest,
        }
    }
}

impl SourceReport {
    /// Adds a commit to the changes.
    pub fn push_change(&mut self, commit: &Commit) {
        let author = (commit.author.clone(), commit.email.clone());
        let known = self.authors.iter().position(|known| *known == author);
        let index = known.unwrap_or_else(|| {
            self.authors.push(author);
            self.authors.len() - 1
        });
        let subject = truncate(&commit.subject, MAX_SUBJECT).to_owned();
        let at = commit.committed_at.0.as_second();
        self.changes.push((commit.sha.clone(), index, at, subject));
    }

    /// The commits since the previous Release, as far as they make sense.
    pub fn commits(&self) -> Vec<Commit> {
        let commit = |(sha, author, at, subject): &(String, usize, i64, String)| {
            let (author, email) = self.authors.get(*author)?;
            clean_commit(Commit {
                sha: sha.clone(),
                author: author.clone(),
                email: email.clone(),
                committed_at: Time(Timestamp::from_second(*at).ok()?),
                subject: subject.clone(),
            })
        };
        let changes = self.changes.iter().take(MAX_CHANGES);
        changes.filter_map(commit).collect()
    }

    /// What differs from the previous Release, as far as it makes sense. Files that are not listed whole are not listed at
    /// all: a glob that fits none of them would say that nothing has changed which it is about.
    pub fn difference(&self) -> Option<Difference> {
        let listed = |files: &Vec<String>| {
            let is_short = |file: &String| (1..=Difference::MAX_PATH).contains(&file.len());
            files.len() <= Difference::MAX_FILES && files.iter().all(is_short)
        };
        let told = self.difference.clone()?;
        Some(Difference {
            files: told.files.filter(listed),
            ..told
        })
    }

    /// What the commits break, as far as it makes sense.
    pub fn breaking(&self) -> Vec<Breaking> {
        let breaking = |(sha, text): &(String, String)| Breaking {
            sha: sha.clone(),
            text: clean(text, MAX_NAME),
        };
        let told = self.breaking.iter().filter(|told| is_sha(&told.0));
        told.take(MAX_BREAKING).map(breaking).collect()
    }

    /// The report as text that fits where a pod has few containers.
    pub fn encode(self) -> String {
        self.encode_within(LIMIT)
    }

    /// The report as text of at most `limit` bytes; what breaks is left short, files that are too many for it are not
    /// listed, and the oldest changes are left out first.
    pub fn encode_within(mut self, limit: usize) -> String {
        self.changes.truncate(MAX_CHANGES);
        self.difference = self.difference();
        if let Some(difference) = &mut self.difference {
            let most = MAX_FILES_TEXT.min(limit / 4);
            let files = difference.files.take();
            difference.files = files.filter(|files| json(files).len() <= most);
        }
        self.breaking.truncate(MAX_BREAKING);
        for (_, text) in &mut self.breaking {
            *text = truncate(text, MAX_BREAKING_TEXT).to_owned();
        }
        loop {
            let text = json(&self);
            if text.len() <= limit {
                return text;
            }
            if self.changes.pop().is_none() {
                return json(&Self::default());
            }
            let used = self.changes.iter().map(|change| change.1 + 1).max();
            self.authors.truncate(used.unwrap_or(0));
        }
    }

    /// Reads a termination message.
    pub fn parse(text: &str) -> Option<Self> {
        let mut report: Self = serde_json::from_str(text).ok()?;
        report.commit = report.commit.and_then(clean_commit);
        if let Some(error) = &mut report.error {
            error.message = clean(&error.message, MAX_MESSAGE);
        }
        Some(report)
    }
}

impl StageReport {
    /// The report as text that fits where a pod has few containers.
    pub fn encode(self) -> String {
        self.encode_within(LIMIT)
    }

    /// The report as text of at most `limit` bytes: what helps people gives way before what is judged.
    pub fn encode_within(mut self, limit: usize) -> String {
        self.tidy();
        loop {
            let text = json(&self);
            let Some(excess) = text.len().checked_sub(limit).filter(|excess| *excess > 0) else {
                return text;
            };
            if !self.give_way(excess) {
                return json(&Self::default());
            }
        }
    }

    /// Leaves something out. Tells whether there was anything left.
    fn give_way(&mut self, excess: usize) -> bool {
        if self.log_tail.len() > 512 {
            // What is in front of the last lines goes; an escaped character may cost more than one byte.
            let kept = self.log_tail.len().saturating_sub(excess.div_ceil(6));
            let kept = kept.max(512).min(self.log_tail.len() - 1);
            self.log_tail = tail(&self.log_tail, kept);
        } else if self.failed_tests.len() > 3 {
            self.failed_tests.pop();
        } else if let Some(longest) = self.longest_list().filter(|list| list.len() > 5) {
            longest.truncate(longest.len() * 3 / 4);
        } else if self.flaky_tests.pop().is_some() || self.failed_tests.pop().is_some() {
            // One at a time.
        } else if let Some(longest) = self.longest_list().filter(|list| !list.is_empty()) {
            longest.clear();
        } else if let Some(marks) = self.longest_marks() {
            marks.clear();
        } else if !self.log_tail.is_empty() {
            self.log_tail = tail(&self.log_tail, self.log_tail.len() / 2);
        } else if self.reports.take().is_some() {
            // Nothing of what is judged is left out unseen.
            self.failure.get_or_insert(FailureKind::Config);
            let message =
                "its reports say more than fits; move some of them to a stage of their own";
            self.message = Some(message.to_owned());
        } else {
            return false;
        }
        true
    }

    fn longest_list(&mut self) -> Option<&mut Vec<Finding>> {
        let sets = self
            .reports
            .iter_mut()
            .flat_map(|reports| &mut reports.findings);
        sets.map(|set| &mut set.worst)
            .max_by_key(|worst| worst.len())
    }

    fn longest_marks(&mut self) -> Option<&mut String> {
        let sets = self
            .reports
            .iter_mut()
            .flat_map(|reports| &mut reports.findings);
        let marks = sets
            .map(|set| &mut set.marks)
            .filter(|marks| !marks.is_empty());
        marks.max_by_key(|marks| marks.len())
    }

    fn tidy(&mut self) {
        self.message = self
            .message
            .take()
            .map(|message| clean(&message, MAX_MESSAGE));
        self.failed_tests.truncate(MAX_FAILED);
        self.failed_tests.iter_mut().for_each(clean_test);
        self.attestations.truncate(MAX_ATTESTATIONS);
        self.attestations.retain(|said| is_digest(&said.2));
        self.packages.truncate(MAX_PACKAGES);
        self.packages.retain(|package| is_digest(&package.1));
        self.published.truncate(MAX_BREAKING);
        self.published.retain(|commit| is_sha(commit));
        self.flaky_tests.truncate(MAX_FAILED);
        for test in &mut self.flaky_tests {
            *test = clean(test, MAX_NAME);
        }
        self.flaky_tests.retain(|test| !test.is_empty());
        self.reports = self.reports.take().filter(|reports| !reports.is_empty());
        self.log_tail = tail(&self.log_tail, MAX_TAIL);
    }

    /// Reads a termination message.
    pub fn parse(text: &str) -> Option<Self> {
        let mut report: Self = serde_json::from_str(text).ok()?;
        report.digest = report.digest.filter(|digest| is_digest(digest));
        report.tidy();
        Some(report)
    }
}

fn json<T: Serialize>(report: &T) -> String {
    serde_json::to_string(report).unwrap_or_default()
}

fn clean_test(test: &mut FailedTest) {
    test.name = clean(&test.name, MAX_NAME);
    test.message = test.message.take().map(|message| clean(&message, MAX_TEXT));
}

fn is_sha(text: &str) -> bool {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    text.len() == 40 && text.bytes().all(is_digit)
}

fn clean_commit(commit: Commit) -> Option<Commit> {
    is_sha(&commit.sha).then(|| Commit {
        author: clean(&commit.author, MAX_PERSON),
        email: clean(&commit.email, MAX_PERSON),
        subject: clean(&commit.subject, MAX_NAME),
        ..commit
    })
}

/// Text without control characters, cut to a length.
pub fn clean(text: &str, limit: usize) -> String {
    let is_shown = |c: &char| !c.is_control() || matches!(c, '\n' | '\t');
    let text: String = text.chars().filter(is_shown).collect();
    truncate(&text, limit).to_owned()
}

/// The end of a text, in whole lines where that leaves anything.
pub fn tail(text: &str, limit: usize) -> String {
    let text = clean(text, usize::MAX);
    if text.len() <= limit {
        return text;
    }
    let start = (text.len() - limit..text.len())
        .find(|start| text.is_char_boundary(*start))
        .unwrap_or(text.len());
    let end = text.get(start..).unwrap_or_default();
    match end.split_once('\n') {
        Some((_, lines)) if !lines.trim().is_empty() => lines.to_owned(),
        _ => end.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn commit(number: u32) -> Commit {
        Commit {
            sha: format!("{number:040x}"),
            author: "Zoë Long-Name".into(),
            email: "zoe@example.com".into(),
            committed_at: Time(Timestamp::from_second(1_800_000_000 - i64::from(number)).unwrap()),
            subject: format!("Change {number}: {}", "x".repeat(60)),
        }
    }

    #[test]
    fn as_many_changes_as_fit_are_reported_newest_first() {
        let mut report = SourceReport {
            commit: Some(commit(0)),
            ..SourceReport::default()
        };
        (0..50).for_each(|number| report.push_change(&commit(number)));
        let text = report.encode();
        assert!(text.len() <= LIMIT);
        let read = SourceReport::parse(&text).unwrap();
        let commits = read.commits();
        assert!(commits.len() >= 20, "{}", commits.len());
        assert_eq!(commits[3].sha, commit(3).sha);
        assert_eq!(commits[3].author, "Zoë Long-Name");
        assert_eq!(read.commit.unwrap().sha, commit(0).sha);
    }

    #[test]
    fn files_that_differ_are_listed_whole_or_not_at_all() {
        let read = |files: &[&str], limit: usize| {
            let report = SourceReport {
                difference: Some(Difference {
                    lines: 7,
                    files: Some(files.iter().map(|&file| file.to_owned()).collect()),
                }),
                ..SourceReport::default()
            };
            let text = report.encode_within(limit);
            assert!(text.len() <= limit);
            SourceReport::parse(&text).unwrap().difference().unwrap()
        };
        let long = "x".repeat(Difference::MAX_PATH);
        assert_eq!(read(&["a", &long], LIMIT).files.unwrap(), ["a", &long]);
        let longer = format!("{long}x");
        for (files, limit) in [
            (&[longer.as_str()][..], LIMIT),
            (&[""], LIMIT),
            (&["a"; Difference::MAX_FILES + 1], LIMIT),
            (&[long.as_str(); 4], LIMIT),
            (&[long.as_str()], 1000),
        ] {
            let found = read(files, limit);
            assert_eq!((found.lines, found.files), (7, None), "{files:?} {limit}");
        }
    }

    #[test]
    fn the_end_of_the_log_survives() {
        let report = StageReport {
            exit_code: Some(2),
            log_tail: format!("{}\nlast line", "noise \u{1b}[31m\n".repeat(2000)),
            failed_tests: (0..40)
                .map(|number| FailedTest {
                    name: format!("test {number}"),
                    message: Some("\"quoted\"".repeat(100)),
                })
                .collect(),
            ..StageReport::default()
        };
        let text = report.encode();
        assert!(text.len() <= LIMIT, "{}", text.len());
        let read = StageReport::parse(&text).unwrap();
        assert!(read.log_tail.ends_with("last line"));
        assert!(!read.failed_tests.is_empty());
        assert_eq!(read.exit_code, Some(2));
    }

    #[test]
    fn a_digest_or_a_commit_that_is_none_is_left_out() {
        let read = StageReport::parse(r#"{"digest": "latest", "future": true}"#).unwrap();
        assert_eq!(read.digest, None);
        let digest = format!("sha256:{}", "a".repeat(64));
        let read = StageReport::parse(&format!(r#"{{"digest": "{digest}"}}"#)).unwrap();
        assert_eq!(read.digest, Some(digest));
        assert_eq!(StageReport::parse("not json"), None);
        let mut bad = commit(1);
        bad.sha = "HEAD".into();
        let text = json(&SourceReport {
            commit: Some(bad),
            ..SourceReport::default()
        });
        assert_eq!(SourceReport::parse(&text).unwrap().commit, None);
    }

    proptest! {
        #[test]
        fn a_report_always_fits_and_can_be_read(
            message in ".{0,2000}", log in ".{0,6000}", names in proptest::collection::vec(".{0,400}", 0..30),
        ) {
            let report = StageReport {
                message: Some(message),
                failed_tests: names.into_iter().map(|name| FailedTest { message: Some(name.repeat(2)), name }).collect(),
                log_tail: log,
                ..StageReport::default()
            };
            let text = report.encode();
            prop_assert!(text.len() <= LIMIT);
            prop_assert!(StageReport::parse(&text).is_some());
        }
    }
}
