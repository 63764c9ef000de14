//! The tags that an image gets: what people write, with what is built in its place. Pure.

use semver::Version;

use crate::git::refs::{branch_of, tag_of};
use crate::model::key::short_hash;
use crate::oci::manifest::MAX_TAG;
use crate::runner::task::{Moving, Versioned};

/// Characters of a commit that people read.
const SHORT: usize = 7;
/// What stands for a version as a whole.
pub const VERSION: &str = "{{version}}";
/// What stands for less than a version: and how many of its numbers it keeps to.
pub const MOVING: [(&str, usize); 3] = [("{{latest}}", 0), ("{{major}}", 1), ("{{minor}}", 2)];

/// The tags of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// Tags that are written whatever they name now.
    pub fixed: Vec<String>,
    /// Tags that are left where a newer version has them.
    pub versioned: Option<Versioned>,
}

impl Names {
    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.fixed.is_empty() && self.versioned.is_none()
    }
}

/// The tags that a run writes, of those that people have named.
pub fn names(wanted: &[String], git_ref: &str, sha: &str, version: Option<&Version>) -> Names {
    let short = tag_of(git_ref).unwrap_or_else(|| branch_of(git_ref));
    let mut names = Names::default();
    let mut moving = Vec::new();
    for name in wanted {
        let part = MOVING.iter().find(|(part, _)| name.contains(part));
        if part.is_none() && !name.contains(VERSION) {
            names.fixed.push(filled(name, short, sha));
            continue;
        }
        let Some(version) = version else {
            continue;
        };
        let Some((part, depth)) = part else {
            let name = name.replace(VERSION, &version.to_string());
            names.fixed.push(filled(&name, short, sha));
            continue;
        };
        if let Some((before, after)) = name.split_once(part)
            && version.pre.is_empty()
        {
            let numbers = [version.major, version.minor].map(|number| number.to_string());
            let own = match depth {
                0 => "latest".to_owned(),
                depth => numbers
                    .into_iter()
                    .take(*depth)
                    .collect::<Vec<_>>()
                    .join("."),
            };
            moving.push(Moving {
                name: filled(&format!("{before}{own}{after}"), short, sha),
                before: filled(before, short, sha),
                after: filled_end(after, short, sha),
                depth: *depth,
            });
        }
    }
    names.versioned = version
        .filter(|_| !moving.is_empty())
        .map(|version| Versioned {
            version: version.to_string(),
            names: moving,
        });
    names
}

/// The end of a tag, which may begin with what a tag may not.
fn filled_end(end: &str, branch: &str, sha: &str) -> String {
    let whole = filled(&format!("x{end}"), branch, sha);
    whole.strip_prefix('x').unwrap_or_default().to_owned()
}

/// A tag with what is built in the place of its placeholders. Whatever a branch is called, the result is a tag.
pub fn filled(name: &str, branch: &str, sha: &str) -> String {
    let is_fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let branch = branch.replace(|c: char| !is_fine(c), "-");
    let tag = name
        .replace("{{branch}}", &branch)
        .replace("{{sha}}", sha)
        .replace("{{shortSha}}", sha.get(..SHORT).unwrap_or(sha));
    let tag = tag.trim_start_matches(['.', '-']);
    let tag = tag.replace(|c: char| !is_fine(c), "-");
    if tag.len() <= MAX_TAG {
        return tag;
    }
    let mark = short_hash(tag.as_bytes(), 8);
    let kept: String = tag.chars().take(MAX_TAG - mark.len() - 1).collect();
    format!("{kept}-{mark}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::release::version::of_tag;

    const SHA: &str = "3f9c2e1b8d7a6f5e4d3c2b1a0f9e8d7c6b5a4f3e";

    #[test]
    fn branches_and_commits_stand_in_their_places() {
        let of = |name| filled(name, "feature/pay later", SHA);
        assert_eq!(of("{{branch}}"), "feature-pay-later");
        assert_eq!(of("{{branch}}-{{shortSha}}"), "feature-pay-later-3f9c2e1");
        assert_eq!(of("v-{{sha}}"), format!("v-{SHA}"));
        assert_eq!(of("edge"), "edge");
    }

    fn written(wanted: &[&str], git_ref: &str) -> (Vec<String>, Vec<String>) {
        let wanted: Vec<String> = wanted.iter().map(|name| (*name).to_owned()).collect();
        let version = tag_of(git_ref).and_then(|tag| of_tag(tag, None));
        let names = names(&wanted, git_ref, SHA, version.as_ref());
        let moving = names.versioned.into_iter().flat_map(|known| known.names);
        (names.fixed, moving.map(|moving| moving.name).collect())
    }

    #[test]
    fn a_version_has_tags_that_move_and_one_that_does_not() {
        let wanted = [
            "{{version}}",
            "{{minor}}",
            "{{major}}",
            "{{latest}}",
            "{{shortSha}}",
        ];
        let (fixed, moving) = written(&wanted, "refs/tags/v1.2.3");
        assert_eq!(fixed, ["1.2.3", "3f9c2e1"]);
        assert_eq!(moving, ["1.2", "1", "latest"]);
        let (fixed, moving) = written(&wanted, "refs/tags/2.0.0-rc.1");
        assert_eq!(fixed, ["2.0.0-rc.1", "3f9c2e1"]);
        assert_eq!(
            moving, [""; 0],
            "nobody asked for a version that is not ready"
        );
        for other in [
            "refs/heads/main",
            "refs/tags/nightly",
            "refs/tags/v1.2",
            "refs/tags/v1.2.3+5",
        ] {
            assert_eq!(
                written(&wanted, other),
                (vec!["3f9c2e1".to_owned()], Vec::new()),
                "{other}"
            );
        }
    }

    #[test]
    fn what_stands_around_a_version_stays() {
        let wanted = [
            "web-{{version}}-slim".to_owned(),
            "web-{{minor}}-slim".to_owned(),
        ];
        let version = Version::new(1, 2, 3);
        let names = names(&wanted, "refs/heads/main", SHA, Some(&version));
        assert_eq!(names.fixed, ["web-1.2.3-slim"]);
        let expected = Moving {
            name: "web-1.2-slim".into(),
            before: "web-".into(),
            after: "-slim".into(),
            depth: 2,
        };
        assert_eq!(names.versioned.unwrap().names, [expected]);
    }

    #[test]
    fn long_tags_are_cut_and_stay_apart() {
        let of = |branch: &str| filled("{{branch}}", branch, SHA);
        let (one, other) = (of(&"a".repeat(200)), of(&format!("{}b", "a".repeat(199))));
        assert_eq!(one.len(), MAX_TAG);
        assert_ne!(one, other);
    }

    proptest! {
        #[test]
        fn no_branch_makes_anything_but_a_tag(branch in "[a-z0-9]\\PC{0,300}") {
            let tag = filled("{{branch}}-{{shortSha}}", &branch, SHA);
            prop_assert!(!tag.is_empty() && tag.len() <= MAX_TAG);
            prop_assert!(tag.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c)));
            prop_assert!(!tag.starts_with(['.', '-']));
        }
    }
}
