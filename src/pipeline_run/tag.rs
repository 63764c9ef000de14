//! The tags that an image gets: what people write, with what is built in its place. Pure.

use crate::model::key::short_hash;

/// Longest tag of a registry.
const MAX: usize = 128;
/// Characters of a commit that people read.
const SHORT: usize = 7;

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
    if tag.len() <= MAX {
        return tag;
    }
    let mark = short_hash(tag.as_bytes(), 8);
    let kept: String = tag.chars().take(MAX - mark.len() - 1).collect();
    format!("{kept}-{mark}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SHA: &str = "3f9c2e1b8d7a6f5e4d3c2b1a0f9e8d7c6b5a4f3e";

    #[test]
    fn branches_and_commits_stand_in_their_places() {
        let of = |name| filled(name, "feature/pay later", SHA);
        assert_eq!(of("{{branch}}"), "feature-pay-later");
        assert_eq!(of("{{branch}}-{{shortSha}}"), "feature-pay-later-3f9c2e1");
        assert_eq!(of("v-{{sha}}"), format!("v-{SHA}"));
        assert_eq!(of("edge"), "edge");
    }

    #[test]
    fn long_tags_are_cut_and_stay_apart() {
        let of = |branch: &str| filled("{{branch}}", branch, SHA);
        let (one, other) = (of(&"a".repeat(200)), of(&format!("{}b", "a".repeat(199))));
        assert_eq!(one.len(), MAX);
        assert_ne!(one, other);
    }

    proptest! {
        #[test]
        fn no_branch_makes_anything_but_a_tag(branch in "[a-z0-9]\\PC{0,300}") {
            let tag = filled("{{branch}}-{{shortSha}}", &branch, SHA);
            prop_assert!(!tag.is_empty() && tag.len() <= MAX);
            prop_assert!(tag.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c)));
            prop_assert!(!tag.starts_with(['.', '-']));
        }
    }
}
