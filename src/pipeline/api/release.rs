//! Whether and when a run that passed makes a Release. No I/O.

use schemars::JsonSchema;
use semver::Version;
use serde::{Deserialize, Serialize};

use super::GitCredentials;
use crate::schema;

/// Whether and when a run that passed makes a Release.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ReleaseRule {
    /// Makes Releases. Default `true`; `false` only tests and builds.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// What the run must have been for. Default: the branch of the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<ReleaseWhen>,
    /// How Releases get versions. Default: those of tags have that of the tag, and no others have one.
    /// Example: `{initial: 1.0.0}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<VersionRule>,
}

/// How Releases get versions: from conventional commits, `feat(cart): pay later`. What breaks (`feat!: …`, or a footer
/// `BREAKING CHANGE: …`) raises the first number, and below `1.0.0` the second; a commit that does not follow the form raises
/// the third. A run of a tag has the version of the tag.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct VersionRule {
    /// First version, and the lowest of all: raise it to jump ahead. Default `0.1.0`. Example: `1.0.0`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::version)]
    pub initial: Option<String>,
    /// What stands before the version in tags of the repository. Default `v`; tags without it count too then.
    /// Example: `api/v`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::tag_prefix)]
    pub tag_prefix: Option<String>,
    /// Makes prereleases of this name, `1.3.0-rc.1`, `1.3.0-rc.2` and so on, until it is taken out. Default: none.
    /// Example: `rc`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::prerelease)]
    pub prerelease: Option<String>,
    /// Types of commits that raise the second number, at most 16. Default `[feat]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::names::<16>)]
    pub minor: Vec<String>,
    /// Types of commits that raise the third number, at most 16. Default `[fix, perf, revert]`. Commits of other types
    /// raise nothing: a Release of nothing else has no version.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::names::<16>)]
    pub patch: Vec<String>,
}

impl VersionRule {
    /// First version, and the lowest.
    pub fn initial(&self) -> Version {
        let text = self.initial.as_deref();
        let version = text.and_then(|text| Version::parse(text).ok());
        version.unwrap_or_else(|| Version::new(0, 1, 0))
    }

    /// What stands before the version in tags that are written.
    pub fn tag_prefix(&self) -> &str {
        self.tag_prefix.as_deref().unwrap_or("v")
    }

    /// Whether commits of a type raise the second number.
    pub fn raises_minor(&self, type_: &str) -> bool {
        is_in(&self.minor, &["feat"], type_)
    }

    /// Whether commits of a type raise the third number.
    pub fn raises_patch(&self, type_: &str) -> bool {
        is_in(&self.patch, &["fix", "perf", "revert"], type_)
    }
}

fn is_in(own: &[String], default: &[&str], type_: &str) -> bool {
    if own.is_empty() {
        return default.contains(&type_);
    }
    own.iter().any(|known| known == type_)
}

/// What a Release stage leaves in the repository: a tag with the notes, and before it, where files are named, a commit with
/// the version in them.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Publication {
    /// With what it pushes; mounted into the pod of this stage only. Default: `source.git.credentials`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<GitCredentials>,
    /// Files in which the version stands, at most 8. Default: none.
    /// Example: `[{path: Cargo.toml, pattern: '^version = "(.+)"$'}]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::list::<8>)]
    pub files: Vec<VersionFile>,
    /// File at whose top the notes are put, below its title; it is made where there is none. Default: none.
    /// Example: `CHANGELOG.md`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = inner_path)]
    pub changelog: Option<String>,
    /// Other branches that get what was released, by a merge, at most 4; one that it cannot be merged into is left alone, and
    /// named in the message of the stage. Default: none. Example: `[main]`, where `release/1.4` is released.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = branches)]
    pub merge_into: Vec<String>,
    /// Makes the release of the tag at the provider of the repository too, with the notes, once the run has made its Release. One
    /// that is there already is left as it is. Default `false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_release: Option<bool>,
    /// Who makes commits and tags. Default: `Slipway <slipway@localhost>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<Author>,
}

/// Branches, where the cost of a rule would count for every entry.
fn branches(schema: &mut schemars::Schema) {
    let item = serde_json::json!({
        "type": "string", "minLength": 1, "maxLength": 245, "pattern": "^[A-Za-z0-9_][A-Za-z0-9._/+-]*$",
    });
    schema.insert("items".to_owned(), item);
    schema.insert("maxItems".to_owned(), 4.into());
}

/// A file of the repository, where the cost of a rule would count for every entry.
fn inner_path(schema: &mut schemars::Schema) {
    schema.insert("minLength".to_owned(), 1.into());
    schema.insert("maxLength".to_owned(), 256.into());
    schema.insert("pattern".to_owned(), r"^[^/\\:][^\\]*$".into());
}

/// A file in which the version stands.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct VersionFile {
    /// Its path in the repository. Example: `Cargo.toml`.
    #[schemars(transform = inner_path)]
    pub path: String,
    /// Regular expression with one group, which is what the version takes the place of, in the first line that fits. Default:
    /// the version is all that is in the file. Example: `^version = "(.+)"$`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::some_text::<256>)]
    pub pattern: Option<String>,
}

/// Who makes commits and tags.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Author {
    /// Name. Example: `Shop releases`.
    #[schemars(transform = schema::person)]
    pub name: String,
    /// Email. Example: `releases@example.com`.
    #[schemars(transform = schema::person)]
    pub email: String,
}

/// Runs that make a Release.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ReleaseWhen {
    /// Branch whose runs make a Release. Default: the branch of the source. Example: `main`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::branch)]
    pub branch: Option<String>,
    /// Glob of tags whose runs make a Release too; one that is there already for the same commit and content is not made
    /// again. Default: none. Example: `v*`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::some_text::<128>)]
    pub tags: Option<String>,
}

fn yes() -> bool {
    true
}

impl Default for ReleaseRule {
    fn default() -> Self {
        Self {
            enabled: yes(),
            when: None,
            version: None,
        }
    }
}
