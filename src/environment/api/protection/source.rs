//! What an Environment looks like in YAML: the branches and tags that Releases come from, and which of them are urgent repairs.
//! No I/O.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::glob;
use crate::schema::{self, closed_set};

/// What a branch's full name begins with.
const HEADS: &str = "refs/heads/";
/// What a tag's full name begins with.
const TAGS: &str = "refs/tags/";

/// Where a Release may come from: from one of the branches, or of the tags.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::Rules(&[
    ("has(self.branches) || has(self.tags)",
     "protection.sources names where Releases may come from: set branches or tags"),
]))]
pub struct ReleaseSources {
    /// Branches that a Release may be built from: names, in which `*` stands for anything but a slash and `**` for whole parts
    /// between slashes; 1 to 16. Default: none. Example: `[main, "release/*"]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1), transform = schema::texts::<16, 245>)]
    pub branches: Vec<String>,
    /// Tags that a Release may be built from, written like branches; 1 to 16. Default: none. Example: `["v*"]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1), transform = schema::texts::<16, 245>)]
    pub tags: Vec<String>,
}

/// Which Releases are urgent repairs, and what these do not wait for. Like everything here it takes the verb `protect` to change.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::Rules(&[
    ("has(self.branches) || has(self.tags)",
     "protection.hotfixes says by their branch or tag which Releases are hotfixes: set branches or tags"),
]))]
pub struct Hotfixes {
    /// Branches from which a Release is a hotfix, written as in `protection.sources`; 1 to 16. Default: none.
    /// Example: `["hotfix/*"]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1), transform = schema::texts::<16, 245>)]
    pub branches: Vec<String>,
    /// Tags from which a Release is a hotfix; 1 to 16. Default: none. Example: `["v*-hotfix*"]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1), transform = schema::texts::<16, 245>)]
    pub tags: Vec<String>,
    /// What a hotfix does not wait for: `Freeze` (those of the Environment, not that of the operator), `Soak`, `ErrorBudget`.
    /// Default: all three. Example: `[Freeze]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1), transform = schema::words::<3>)]
    pub exempt: Option<Vec<HotfixExemption>>,
}

closed_set! {
    /// What a hotfix does not wait for.
    pub enum HotfixExemption {
        /// The freezes of the Environment.
        Freeze,
        /// The time that a Release has to run well before.
        Soak,
        /// The error budget.
        ErrorBudget,
    }
}

impl ReleaseSources {
    /// Whether a Release that was built from this full ref may come.
    pub fn takes(&self, git_ref: &str) -> bool {
        is_one_of(git_ref, &self.branches, &self.tags)
    }

    /// What may come, for people.
    pub fn shown(&self) -> String {
        let shown = |what: &str, names: &[String]| {
            let names = names.join(", ");
            (!names.is_empty()).then(|| format!("{what} {names}"))
        };
        let parts = [shown("branches", &self.branches), shown("tags", &self.tags)];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        parts.join(" and ")
    }
}

impl Hotfixes {
    /// Whether a Release that was built from this full ref is a hotfix.
    pub fn has(&self, git_ref: &str) -> bool {
        is_one_of(git_ref, &self.branches, &self.tags)
    }

    /// Whether hotfixes do not wait for this.
    pub fn exempts(&self, from: HotfixExemption) -> bool {
        self.exempt
            .as_ref()
            .is_none_or(|exempt| exempt.contains(&from))
    }
}

fn is_one_of(git_ref: &str, branches: &[String], tags: &[String]) -> bool {
    let is_in = |known: &[String], name: Option<&str>| {
        name.is_some_and(|name| known.iter().any(|known| glob::matches(known, name)))
    };
    is_in(branches, git_ref.strip_prefix(HEADS)) || is_in(tags, git_ref.strip_prefix(TAGS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_no_branch_and_a_star_ends_at_a_slash() {
        let sources = ReleaseSources {
            branches: vec!["main".into(), "release/*".into()],
            tags: vec!["v*".into()],
        };
        for good in [
            "refs/heads/main",
            "refs/heads/release/1",
            "refs/tags/v1.2.3",
        ] {
            assert!(sources.takes(good), "{good}");
        }
        for bad in [
            "refs/heads/v1",
            "refs/tags/main",
            "refs/heads/release/1/x",
            "refs/pull/1/head",
            "main",
        ] {
            assert!(!sources.takes(bad), "{bad}");
        }
        assert_eq!(sources.shown(), "branches main, release/* and tags v*");
    }
}
