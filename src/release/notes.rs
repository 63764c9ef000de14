//! What is new in a Release, for people: its commits by what they do, as Markdown. Pure.
//!
//! Subjects of commits are text from outside. What could become a link, an image, a tag of HTML or a call to somebody where
//! it is shown is written so that it stays text.

use super::commit::{self, Subject};
use crate::model::text::truncate;
use crate::pipeline_run::api::{Breaking, Commit};

/// Longest notes, in bytes: they are part of the Release.
pub const MAX: usize = 16 << 10;
/// Longest line of one commit, in bytes.
const MAX_LINE: usize = 400;
/// Characters of a commit that people read.
const SHORT: usize = 7;

/// The headings, in their order, with the types of the commits that stand below them.
const SECTIONS: [(&str, &[&str]); 6] = [
    ("Features", &["feat", "feature"]),
    ("Fixes", &["fix", "bugfix", "hotfix"]),
    ("Performance", &["perf"]),
    ("Reverts", &["revert"]),
    ("Documentation", &["docs", "doc"]),
    (
        "Maintenance",
        &["build", "chore", "ci", "refactor", "style", "test", "tests"],
    ),
];
/// The heading of what follows no form, or another one.
const OTHERS: &str = "Other changes";

/// The notes of these commits, newest first, and of what breaks. Empty where there are none. What was taken back among them is
/// left out, with what took it back. Which version they belong to is
/// not part of them, so that the same commits have the same notes wherever they are shown.
///
/// # Guarantees
/// - They are at most [`MAX`] bytes long; what does not fit is counted in their last line.
pub fn notes<'a>(changes: impl IntoIterator<Item = &'a Commit>, breaking: &[Breaking]) -> String {
    let changes: Vec<&Commit> = changes.into_iter().collect();
    let lines: Vec<&str> = changes
        .iter()
        .map(|commit| commit.subject.as_str())
        .collect();
    let changes = changes.iter().zip(commit::standing(&lines));
    let mut sections: Vec<(&str, Vec<String>)> = vec![("Breaking changes", Vec::new())];
    sections.extend(SECTIONS.map(|(heading, _)| (heading, Vec::new())));
    sections.push((OTHERS, Vec::new()));
    for (commit, _) in changes.filter(|(_, stands)| *stands) {
        let subject = Subject::read(&commit.subject);
        let told = breaking.iter().find(|breaking| breaking.sha == commit.sha);
        if subject.is_breaking || told.is_some() {
            let text = told.map_or(subject.text, |told| told.text.as_str());
            add(
                &mut sections,
                "Breaking changes",
                line(commit, subject.scope, text),
            );
        }
        let heading = heading(&subject);
        add(
            &mut sections,
            heading,
            line(commit, subject.scope, subject.text),
        );
    }
    written(&sections)
}

fn add(sections: &mut [(&str, Vec<String>)], heading: &str, line: String) {
    if let Some((_, lines)) = sections.iter_mut().find(|(known, _)| *known == heading) {
        lines.push(line);
    }
}

fn heading(subject: &Subject<'_>) -> &'static str {
    let type_ = subject.type_.as_deref().unwrap_or_default();
    let mut sections = SECTIONS.iter();
    let found = sections.find(|(_, types)| types.contains(&type_));
    found.map_or(OTHERS, |(heading, _)| heading)
}

fn line(commit: &Commit, scope: Option<&str>, text: &str) -> String {
    let short = commit.sha.get(..SHORT).unwrap_or(&commit.sha);
    let scope = scope.map_or_else(String::new, |scope| format!("**{}**: ", plain(scope)));
    let text = plain(truncate(text, MAX_LINE / 2));
    format!("- {scope}{} ({short})", truncate(&text, MAX_LINE))
}

fn written(sections: &[(&str, Vec<String>)]) -> String {
    // Room for the line that counts what is left out.
    let room = MAX - 64;
    let mut text = String::new();
    let mut left_out = 0usize;
    for (heading, lines) in sections.iter().filter(|(_, lines)| !lines.is_empty()) {
        let gap = if text.is_empty() { "" } else { "\n" };
        let mut part = format!("{gap}### {heading}\n\n");
        let mut has_line = false;
        for line in lines {
            if text.len() + part.len() + line.len() + 1 > room {
                left_out += 1;
                continue;
            }
            part.push_str(line);
            part.push('\n');
            has_line = true;
        }
        if has_line {
            text.push_str(&part);
        }
    }
    if left_out > 0 {
        text.extend(["\n… and ", &left_out.to_string(), " more\n"]);
    }
    text
}

/// Text that Markdown shows as it is, on one line.
pub fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '#' | '|' | '~' | '&' => {
                plain.push('\\');
                plain.push(c);
            }
            // Nobody is called by it.
            '@' => plain.push_str("@\u{200b}"),
            c if c.is_control() => plain.push(' '),
            c => plain.push(c),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn commit(number: usize, subject: &str) -> Commit {
        serde_json::from_value(json!({
            "sha": format!("{number:07x}{}", "0".repeat(33)), "author": "a", "email": "a@b", "subject": subject,
            "committedAt": "2026-01-01T00:00:00Z",
        }))
        .unwrap()
    }

    fn commits(subjects: &[&str]) -> Vec<Commit> {
        let all = subjects.iter().enumerate();
        all.map(|(at, subject)| commit(at, subject)).collect()
    }

    #[test]
    fn commits_stand_below_what_they_do() {
        let subjects = [
            "feat(cart): pay later",
            "fix: no more 500",
            "docs: say it",
            "refactor!: other names",
            "Make it faster",
            "feat: pay now",
            "wip: x",
        ];
        let changes = commits(&subjects);
        let breaking = [Breaking {
            sha: changes[0].sha.clone(),
            text: "cash is gone".into(),
        }];
        insta::assert_snapshot!(notes(&changes, &breaking));
    }

    #[test]
    fn what_people_write_stays_text() {
        let nasty = "fix: <img src=x> [a](javascript:b) @team `c` ![d](e)";
        let text = notes(&[commit(1, nasty)], &[]);
        let expected =
            "- \\<img src=x\\> \\[a\\](javascript:b) @\u{200b}team \\`c\\` !\\[d\\](e) (0000001)\n";
        assert!(text.ends_with(expected), "{text}");
        assert_eq!(notes(&[], &[]), "");
    }

    #[test]
    fn what_was_taken_back_is_no_news() {
        let subjects = [
            "Revert \"feat: pay later\"",
            "fix: no more 500",
            "feat: pay later",
            "Revert \"feat: old\"",
        ];
        let changes = commits(&subjects);
        let breaking = [Breaking {
            sha: changes[2].sha.clone(),
            text: "cash is gone".into(),
        }];
        assert_eq!(
            notes(&changes, &breaking),
            "### Fixes\n\n- no more 500 (0000001)\n\n### Reverts\n\n- Revert \"feat: old\" (0000003)\n"
        );
    }

    proptest! {
        #[test]
        fn notes_always_fit(subjects in proptest::collection::vec("\\PC{0,300}", 0..120)) {
            let changes: Vec<Commit> = subjects.iter().map(|subject| commit(1, subject)).collect();
            let text = notes(&changes, &[]);
            prop_assert!(text.len() <= MAX);
            prop_assert_eq!(text.is_empty(), changes.is_empty());
        }
    }
}
