//! Fragments about repositories. No I/O.

use schemars::Schema;

use super::{rule, set};

/// A git commit, in full.
pub fn commit_sha(schema: &mut Schema) {
    set(schema, "maxLength", 40);
    rule(
        schema,
        "self.matches('^[0-9a-f]{40}$')",
        "must be the full commit: 40 characters 0-9 a-f, as `git rev-parse HEAD` prints it",
    );
}

/// A branch, a tag or a pull request by its full ref.
pub fn git_ref(schema: &mut Schema) {
    set(schema, "maxLength", 256);
    rule(
        schema,
        "self.matches('^refs/((heads|tags)/[A-Za-z0-9_][A-Za-z0-9._/+-]*|(pull|merge-requests)/[1-9][0-9]*/head)$')",
        "must be the full ref of a branch, a tag or a pull request, such as refs/heads/main, refs/tags/v1.2.3 or refs/pull/12/head",
    );
}

/// A branch by its short name.
pub fn branch(schema: &mut Schema) {
    set(schema, "minLength", 1);
    set(schema, "maxLength", 245);
    rule(
        schema,
        "self.matches('^[A-Za-z0-9_][A-Za-z0-9._/+-]*$') && !self.startsWith('refs/')",
        "must be the short name of a branch, such as main or release/1.4",
    );
}

/// A semantic version that is no prerelease.
pub fn version(schema: &mut Schema) {
    set(schema, "maxLength", 32);
    rule(
        schema,
        "self.matches('^(0|[1-9][0-9]{0,8})[.](0|[1-9][0-9]{0,8})[.](0|[1-9][0-9]{0,8})$')",
        "must be a version of three numbers, such as 1.0.0",
    );
}

/// What stands before the version in a tag.
pub fn tag_prefix(schema: &mut Schema) {
    set(schema, "maxLength", 64);
    rule(
        schema,
        "self.matches('^([A-Za-z0-9_][A-Za-z0-9_/-]*)?$')",
        "must be the beginning of a tag: letters, digits, _, - and /, such as v or api/v",
    );
}

/// The name of prereleases.
pub fn prerelease(schema: &mut Schema) {
    set(schema, "maxLength", 16);
    rule(
        schema,
        "self.matches('^[a-z][a-z0-9]*$')",
        "must be a word of letters a-z and digits, such as rc or beta",
    );
}

/// The name or the email of who makes a commit.
pub fn person(schema: &mut Schema) {
    set(schema, "minLength", 1);
    set(schema, "maxLength", 128);
    set(schema, "pattern", r"^[^<>\x00-\x1f]+$");
}
