//! What a container of a stage pod is asked to do: JSON in one environment variable. No I/O.

mod build;
mod package;
mod publish;
mod release;
mod supply;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::pipeline::api::{ProblemMatcher, ReportFormat, Reports, Stage, VersionRule};

pub use build::{BuildTask, CacheTask, LOGIN, SECRETS};
pub use package::{FETCH_SECONDS, FETCHED, FetchTask, PUSH_SECONDS, PackageItem, PackagesTask};
pub use publish::{IndexTask, Joined, Moving, TagTask, Versioned};
pub use release::ReleaseTask;
pub use supply::*;

/// The environment variable that holds the task. Scripts do not see it.
pub const VARIABLE: &str = "SLIPWAY_TASK";
/// Where the runner is, in every container but its own image's.
pub const RUNNER: &str = "/slipway/slipway-runner";
/// Where the runner is in its own image.
pub const RUNNER_IN_IMAGE: &str = "/slipway-runner";
/// The volume that all containers of a pod share.
pub const WORKSPACE: &str = "/workspace";
/// Where the repository is checked out.
pub const CHECKOUT: &str = "/workspace/source";
/// Where `source` leaves what `build` needs to know of the commit.
pub const COMMIT_FILE: &str = "/workspace/commit.json";
/// The volume with what the stage says, of which only the `logs` container and the stage know.
pub const LOGS: &str = "/slipway-logs";
/// Where the token of the pod is, in our own containers that call the receiver.
pub const TOKEN_FILE: &str = "/slipway-token/token";
/// Whom the token of the pod is for: the receiver, and not the API server.
pub const AUDIENCE: &str = "slipway.dev/stage";
/// Exit code of what may work the next time: no verdict, as BSD's EX_TEMPFAIL.
pub const TRANSIENT: u8 = 75;

/// Where the password of a repository is.
pub const GIT_PASSWORD: &str = "/slipway-git/password";
/// Where the archives of caches are.
pub const STORAGE: &str = "/slipway-storage";
/// The volume in which caches are unpacked: a folder for each, with a numbered folder for each of its paths.
pub const CACHES: &str = "/slipway-caches";

/// Where the value of a secret is found in a container, so that it can be kept out of what the container says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SecretSource {
    /// In an environment variable.
    Variable(String),
    /// In a file.
    File(String),
}

/// User and password for a repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GitLogin {
    /// The user.
    pub username: String,
    /// File with the password.
    pub password_file: String,
}

/// Fill the folders of caches, or keep what is in them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FoldersTask {
    /// The caches.
    pub caches: Vec<CacheItem>,
    /// Where archives are, if they are not in the volume: the repository, and as its name whose they are, the namespace and the
    /// name of the Pipeline; the digest says nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registry: Option<Subject>,
}

/// One cache of a stage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CacheItem {
    /// Its name.
    pub name: String,
    /// Globs of the files that are part of its key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<String>,
    /// Names and values of the variables that are part of its key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<(String, String)>,
    /// Number of its folders.
    pub folders: usize,
    /// Whether the newest archive is taken where none fits.
    #[serde(default)]
    pub newest: bool,
    /// Whether this run may keep what it has.
    #[serde(default)]
    pub saves: bool,
    /// Size of all its archives together.
    pub max_bytes: u64,
}

/// Fetch one commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceTask {
    /// URL of the repository.
    pub url: String,
    /// Whether http is fine.
    #[serde(default)]
    pub insecure: bool,
    /// The commit.
    pub sha: String,
    /// Report the commits since this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// Full ref of the branch that the commit has to be on; nothing where another stage checks that.
    #[serde(default, rename = "ref", skip_serializing_if = "Option::is_none")]
    pub git_ref: Option<String>,
    /// Whether the commits since are wanted at all.
    #[serde(default)]
    pub changes: bool,
    /// What the commits since ask of the next version, by this rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<VersionRule>,
    /// File with the certificates that the server is checked against.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<String>,
    /// Who asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<GitLogin>,
    /// Number of commits to fetch; 0 for all.
    #[serde(default = "one")]
    pub depth: u32,
    /// Whether submodules are fetched too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub submodules: bool,
    /// Compare with an older commit, that of the newest Release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub older: Option<Older>,
}

/// Asks what has changed since an older commit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Older {
    /// The commit.
    pub since: String,
    /// Tell which lines have changed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lines: bool,
    /// Tell whether none of the files has changed that fit one of these globs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub globs: Vec<String>,
}

fn one() -> u32 {
    1
}

/// Run a script.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScriptTask {
    /// The script.
    pub script: String,
    /// A program and its arguments, instead of a script.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// How long it may take.
    pub timeout_seconds: u64,
    /// Its reports: the format, and globs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reports: Vec<(ReportFormat, Vec<String>)>,
    /// Globs of those that may fit no file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub optional: Vec<String>,
    /// Tools whose messages in its output are findings.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<ProblemMatcher>,
    /// Names of tests whose failure is not held against the commit.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quarantine: Vec<String>,
    /// What is kept out of its log and its reports.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<SecretSource>,
    /// Whether the container beside it is told to keep caches when it went well.
    #[serde(default)]
    pub saves_caches: bool,
    /// Whether the container beside it is told to push packages when it went well.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pushes_packages: bool,
}

impl ScriptTask {
    /// What a stage asks for.
    pub fn of(stage: &Stage) -> Self {
        let reports = stage.reports.as_ref();
        let globs = reports.into_iter().flat_map(Reports::by_format);
        Self {
            script: stage.run.clone().unwrap_or_default(),
            command: Vec::new(),
            timeout_seconds: stage.timeout().as_secs(),
            reports: globs
                .map(|(format, globs)| (format, globs.to_vec()))
                .collect(),
            optional: reports.map_or_else(Vec::new, |reports| reports.optional.clone()),
            problems: reports.map_or_else(Vec::new, |reports| reports.problems.clone()),
            quarantine: Vec::new(),
            secrets: Vec::new(),
            saves_caches: false,
            pushes_packages: false,
        }
    }
}

/// Post what the stage says to the receiver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogTask {
    /// URL of the receiver.
    pub url: String,
    /// File with the pod's token.
    pub token_file: PathBuf,
    /// Folder with what the stage says.
    pub folder: PathBuf,
    /// Longest log that is sent, in bytes: of a longer one the beginning and the end are.
    pub max_bytes: u64,
}

/// Claim the attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClaimTask {
    /// URL of the receiver.
    pub url: String,
    /// File with the pod's token.
    pub token_file: PathBuf,
}

/// What `build` needs to know of the commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CommitFile {
    /// The commit.
    pub sha: String,
    /// When it was committed, in seconds since 1970.
    pub committed_at: i64,
}

/// Text as the value of a pod's environment variable. Kubernetes replaces `$(NAME)` in such values and
/// turns `$$` into `$`, so every `$` is written twice.
pub fn env_value(text: &str) -> String {
    text.replace('$', "$$")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kubelet does (third_party/forked/golang/expansion).
    fn expand(text: &str) -> String {
        let mut out = String::new();
        let mut rest = text.chars().peekable();
        while let Some(c) = rest.next() {
            match (c, rest.peek()) {
                ('$', Some('$')) => {
                    rest.next();
                    out.push('$');
                }
                ('$', Some('(')) => out.push_str("<expanded>"),
                _ => out.push(c),
            }
        }
        out
    }

    #[test]
    fn kubernetes_leaves_scripts_as_they_are() {
        for script in ["echo $(date) $$ $HOME $((1+1))", "$", "$$$", "$(SECRET)"] {
            assert_eq!(expand(&env_value(script)), script);
        }
        assert_ne!(expand("$(SECRET)"), "$(SECRET)");
    }
}
