//! Messages of commits that follow the conventional form, `type(scope)!: text`, and what they ask of the next version. Pure.

use crate::pipeline::api::VersionRule;
use crate::pipeline_run::api::Bump;

/// Longest type and longest scope that are taken for one, in characters.
const MAX_WORD: usize = 32;
/// How a footer begins that tells what breaks.
const FOOTERS: [&str; 2] = ["BREAKING CHANGE: ", "BREAKING-CHANGE: "];

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

    proptest! {
        #[test]
        fn any_line_is_a_subject(line in "\\PC{0,80}") {
            let subject = Subject::read(&line);
            prop_assert!(line.contains(subject.text));
        }
    }
}
