//! Messages of commits that follow the conventional form, `type(scope)!: text`, and what they ask of the next version. Pure.

use crate::pipeline::api::VersionRule;
use crate::pipeline_run::api::Bump;

/// Longest type and longest scope that are taken for one, in characters.
const MAX_WORD: usize = 32;
/// How a footer begins that tells what breaks.
const FOOTERS: [&str; 2] = ["BREAKING CHANGE: ", "BREAKING-CHANGE: "];
/// Least length of a first line that is cut off and still says which one it quotes, in bytes.
const MIN_QUOTE: usize = 32;

/// The first line of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject<'a> {
    /// Its type in lower case, as `feat`; nothing where it does not follow the form.
    pub type_: Option<String>,
    /// What it is about, if it says so.
    pub scope: Option<&'a str>,
    /// Whether it says that it breaks what was there.
    pub is_breaking: bool,
    /// The rest of the line; the whole line where it does not follow the form.
    pub text: &'a str,
}

impl<'a> Subject<'a> {
    /// Reads a first line, whatever is in it.
    pub fn read(line: &'a str) -> Self {
        let line = line.trim();
        Self::conventional(line).unwrap_or_else(|| Self {
            // What `git revert` and servers write.
            type_: line.starts_with("Revert \"").then(|| "revert".to_owned()),
            scope: None,
            is_breaking: false,
            text: line,
        })
    }

    fn conventional(line: &'a str) -> Option<Self> {
        let (head, text) = line.split_once(": ")?;
        let (head, is_breaking) = match head.strip_suffix('!') {
            Some(head) => (head, true),
            None => (head, false),
        };
        let (type_, scope) = match head.strip_suffix(')') {
            Some(head) => {
                let (type_, scope) = head.split_once('(')?;
                (type_, Some(scope))
            }
            None => (head, None),
        };
        let is_word = |word: &str| {
            let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
            !word.is_empty() && word.len() <= MAX_WORD && word.bytes().all(is_fine)
        };
        let is_scope = |scope: &str| {
            !scope.is_empty() && scope.chars().count() <= MAX_WORD && !scope.contains(['(', ')'])
        };
        let text = text.trim();
        let is_fine = is_word(type_) && scope.is_none_or(is_scope) && !text.is_empty();
        is_fine.then(|| Self {
            type_: Some(type_.to_ascii_lowercase()),
            scope,
            is_breaking,
            text,
        })
    }

    /// What a commit with this first line asks for. One that does not follow the form asks for a patch: what it does is
    /// not known, and it may be what somebody waits for.
    pub fn asks(&self, rule: &VersionRule) -> Bump {
        let Some(type_) = &self.type_ else {
            return Bump::Patch;
        };
        if self.is_breaking {
            Bump::Major
        } else if rule.raises_minor(type_) {
            Bump::Minor
        } else if rule.raises_patch(type_) {
            Bump::Patch
        } else {
            Bump::None
        }
    }
}

/// What a message tells about what it breaks, in a footer of its own.
pub fn breaking_footer(body: &str) -> Option<&str> {
    body.lines().find_map(|line| {
        let mut footers = FOOTERS.iter();
        footers.find_map(|footer| line.strip_prefix(footer))
    })
}

/// What a whole message asks for.
pub fn asked(subject: &str, body: &str, rule: &VersionRule) -> Bump {
    if breaking_footer(body).is_some() {
        return Bump::Major;
    }
    Subject::read(subject).asks(rule)
}

/// Which commits still stand, of these first lines, newest first: none that a later one takes back, and neither that later one.
/// One that takes back what is not among them stands, because it does something; so do those that a commit took back which was
/// taken back itself.
pub fn standing(lines: &[&str]) -> Vec<bool> {
    let mut standing = vec![true; lines.len()];
    for (at, line) in lines.iter().enumerate() {
        let Some(revert) = Revert::read(line).filter(|_| standing.get(at) == Some(&true)) else {
            continue;
        };
        let older = lines.iter().zip(&standing).enumerate().skip(at + 1);
        let mut taken = older.filter(|(_, (line, stands))| **stands && revert.is_of(line));
        let Some((taken, _)) = taken.next() else {
            continue;
        };
        for gone in [at, taken] {
            if let Some(stands) = standing.get_mut(gone) {
                *stands = false;
            }
        }
    }
    standing
}

/// What a commit takes back, as its first line says.
struct Revert<'a> {
    /// The first line of that commit; without its type, with people who write it so.
    text: &'a str,
    form: Form,
}

/// How a first line says that its commit takes another one back.
#[derive(PartialEq, Eq)]
enum Form {
    /// `Revert "text"`, as `git revert` and servers write it.
    Quoted,
    /// The same, cut off before its end.
    Cut,
    /// `Reapply "text"`, as git takes back what took back.
    Again,
    /// `revert: text`.
    Typed,
}

impl<'a> Revert<'a> {
    fn read(line: &'a str) -> Option<Self> {
        let line = line.trim();
        let quoted = line.strip_prefix("Revert \"");
        if let Some(rest) = quoted.or_else(|| line.strip_prefix("Reapply \"")) {
            let end = rest.rsplit_once('"');
            // Servers put the number of a pull request behind it.
            let whole = end.filter(|(_, after)| after.is_empty() || after.starts_with(" ("));
            let form = match (quoted, whole) {
                (None, _) => Form::Again,
                (Some(_), Some(_)) => Form::Quoted,
                (Some(_), None) => Form::Cut,
            };
            let text = whole.map_or(rest, |(text, _)| text);
            return Some(Self { text, form });
        }
        let subject = Subject::read(line);
        (subject.type_.as_deref() == Some("revert")).then_some(Self {
            text: subject.text,
            form: Form::Typed,
        })
    }

    /// Whether it is this commit that is taken back, by its first line.
    fn is_of(&self, line: &str) -> bool {
        let (text, line) = (without_number(self.text), without_number(line.trim()));
        match self.form {
            Form::Quoted => line == text,
            Form::Cut => text.len() >= MIN_QUOTE && line.starts_with(text),
            Form::Again => Revert::read(line).is_some_and(|revert| {
                revert.form == Form::Quoted && without_number(revert.text) == text
            }),
            Form::Typed => {
                let subject = Subject::read(line);
                let is_text = subject.text == text && subject.type_.as_deref() != Some("revert");
                line == text || is_text
            }
        }
    }
}

/// A first line without the number of the pull request that servers put behind it: ` (#12)`, or ` (!12)`.
fn without_number(line: &str) -> &str {
    let parts = line
        .strip_suffix(')')
        .and_then(|line| line.rsplit_once(" ("));
    let is_number = |text: &str| {
        let digits = text.strip_prefix(['#', '!']).unwrap_or_default();
        !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
    };
    match parts {
        Some((line, number)) if is_number(number) => line,
        Some(_) | None => line,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn types_say_what_a_version_has_to_do() {
        let rule = VersionRule::default();
        for (subject, body, expected) in [
            ("feat: pay later", "", Bump::Minor),
            ("Feat(cart): pay later", "", Bump::Minor),
            ("fix(api): no more 500", "", Bump::Patch),
            ("perf: fewer queries", "", Bump::Patch),
            ("revert: pay later", "", Bump::Patch),
            ("Revert \"feat: pay later\"", "", Bump::Patch),
            ("docs: a typo", "", Bump::None),
            ("chore(deps): newer", "", Bump::None),
            ("feat!: no more cash", "", Bump::Major),
            ("refactor(api)!: other names", "", Bump::Major),
            (
                "docs: a typo",
                "More.\n\nBREAKING CHANGE: all of it",
                Bump::Major,
            ),
            ("chore: x", "BREAKING-CHANGE: all of it", Bump::Major),
            ("chore: x", "no BREAKING CHANGE: here", Bump::None),
            ("Make it faster", "", Bump::Patch),
            ("feat : no form", "", Bump::Patch),
            ("feat:no form", "", Bump::Patch),
            ("see http://x: y", "", Bump::Patch),
            ("", "", Bump::Patch),
        ] {
            assert_eq!(
                asked(subject, body, &rule),
                expected,
                "{subject:?} {body:?}"
            );
        }
    }

    #[test]
    fn people_say_which_types_count() {
        let rule = VersionRule {
            minor: vec!["feature".into()],
            patch: vec!["docs".into()],
            ..VersionRule::default()
        };
        assert_eq!(asked("feature: a", "", &rule), Bump::Minor);
        assert_eq!(asked("docs: a", "", &rule), Bump::Patch);
        assert_eq!(asked("feat: a", "", &rule), Bump::None);
    }

    #[test]
    fn a_subject_is_taken_apart() {
        let subject = Subject::read("fix(web, cart)!: take \"it\": back");
        assert_eq!(subject.type_.as_deref(), Some("fix"));
        assert_eq!(subject.scope, Some("web, cart"));
        assert!(subject.is_breaking);
        assert_eq!(subject.text, "take \"it\": back");
    }

    #[test]
    fn what_was_taken_back_does_not_stand_and_neither_does_what_took_it_back() {
        let left = |lines: &[&str]| {
            let standing = standing(lines);
            let left = lines.iter().zip(standing);
            let left = left.filter(|(_, stands)| *stands).map(|(line, _)| *line);
            left.map(str::to_owned).collect::<Vec<_>>()
        };
        let none: &[&str] = &[];
        for (lines, expected) in [
            (&["Revert \"feat: pay\"", "feat: pay"][..], none),
            (&["revert: feat: pay", "docs: x", "feat: pay"], &["docs: x"]),
            (&["revert(cart): pay", "feat(cart)!: pay"], none),
            (
                &["Revert \"feat: pay (#12)\" (#13)", "feat: pay (#12)"],
                none,
            ),
            (&["Revert \"feat: pay\" (#13)", "feat: pay (!12)"], none),
            // Taken back twice is there again.
            (
                &[
                    "Revert \"Revert \"feat: pay\"\"",
                    "Revert \"feat: pay\"",
                    "feat: pay",
                ],
                &["feat: pay"],
            ),
            (
                &["Reapply \"feat: pay\"", "Revert \"feat: pay\"", "feat: pay"],
                &["feat: pay"],
            ),
            // Of two the newer one; what came after stays.
            (
                &["feat: pay", "Revert \"feat: pay\"", "feat: pay"],
                &["feat: pay"],
            ),
            // What is not among them was released before.
            (
                &["Revert \"feat: pay\"", "fix: x"],
                &["Revert \"feat: pay\"", "fix: x"],
            ),
            (&["revert: x", "revert: x"], &["revert: x", "revert: x"]),
            (
                &["Revert \"", "Reapply \"", ""],
                &["Revert \"", "Reapply \"", ""],
            ),
        ] {
            assert_eq!(left(lines), expected, "{lines:?}");
        }
        let long = format!("feat: {}", "pay ".repeat(20));
        let cut = format!("Revert \"{}", &long[..64]);
        assert_eq!(standing(&[&cut, &long]), [false, false]);
        assert_eq!(standing(&["Revert \"feat: p", &long]), [true, true]);
    }

    proptest! {
        #[test]
        fn any_line_is_a_subject(line in "\\PC{0,80}") {
            let subject = Subject::read(&line);
            prop_assert!(line.contains(subject.text));
        }

        #[test]
        fn of_any_lines_two_go_at_a_time(lines in proptest::collection::vec("(Revert|Reapply|revert:|fix:)? ?\"?[ab(#1)]{0,6}\"?", 0..12)) {
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            let standing = standing(&lines);
            prop_assert_eq!(standing.len(), lines.len());
            prop_assert_eq!(standing.iter().filter(|stands| !**stands).count() % 2, 0);
        }
    }
}
