//! What starts runs: pushes, pull requests, tags, published releases, the clock, images. No I/O.

use std::time;

use kube::core::Duration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::RegistryLogin;
use crate::model::secret::SecretKey;
use crate::schema::{self, closed_set};

/// One thing that starts runs.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::Rules(&[
    ("[has(self.push), has(self.pullRequest), has(self.tag), has(self.release), has(self.schedule), has(self.image)].filter(one, one).size() == 1",
     "a trigger is about one thing: set one of push, pullRequest, tag, release, schedule and image"),
]))]
pub struct TriggerRule {
    /// Name of the trigger, which its runs carry. Example: `nightly`.
    #[schemars(transform = schema::name)]
    pub name: String,
    /// Commits that are pushed to branches. `{}` is for those of `source.git.branch`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub push: Option<PushTrigger>,
    /// Pull requests (merge requests) that are opened, and commits that are pushed to them. `{}` is for all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull_request: Option<PullRequestTrigger>,
    /// Tags that are pushed. `{}` is for every tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<TagTrigger>,
    /// Releases that are published with the git provider, which takes a webhook. `{}` is for all of them but prereleases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<ReleaseTrigger>,
    /// Times by the clock on the wall.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<ScheduleTrigger>,
    /// An image of a registry, such as the one that others are built upon, whose tag names another digest than before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageTrigger>,
}

/// Which pushes start a run.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct PushTrigger {
    /// Globs of branches, at most 16; `*` stays within a part between slashes. Default: `source.git.branch`.
    /// Example: `[main, "release/*"]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::texts::<16, 245>)]
    pub branches: Vec<String>,
    /// Globs of files, at most 16: a push that changes none of them starts no run. What has changed is not always known (a new
    /// branch, more than is told): then it counts as changed. Default: every file.
    /// Example: `["services/api/**"]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::texts::<16, 256>)]
    pub paths: Vec<String>,
    /// Globs of files that do not count as changed, at most 16. Default: none. Example: `["**/*.md"]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::texts::<16, 256>)]
    pub ignore_paths: Vec<String>,
}

/// Which pull requests start a run. Such a run makes no Release, and pushes only what says so (`pushOn`).
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct PullRequestTrigger {
    /// Globs of the branches that they are to be merged into, at most 16. Default: all. Example: `[main]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::texts::<16, 245>)]
    pub branches: Vec<String>,
    /// Whether drafts start runs too. Default `false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drafts: Option<bool>,
    /// What becomes of those from other repositories: `Never` starts no run; `RequireApproval` lets the run wait until somebody
    /// with the verb `approve` on it approves exactly this commit; `Always` starts it. None of them gets Secrets, whatever
    /// stands here. Default `RequireApproval`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forks: Option<ForkPolicy>,
}

closed_set! {
    /// What becomes of pull requests from other repositories.
    #[derive(Default)]
    pub enum ForkPolicy {
        /// They start no run.
        Never,
        /// Somebody has to approve the commit.
        #[default]
        RequireApproval,
        /// They start runs, without Secrets.
        Always,
    }
}

/// Which tags start a run.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct TagTrigger {
    /// Glob of the tags. Default: all. Example: `v*`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::some_text::<245>)]
    pub pattern: Option<String>,
}

/// Which published releases start a run, at the commit of their tag.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ReleaseTrigger {
    /// Glob of their tags. Default: all. Example: `v*`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::some_text::<245>)]
    pub pattern: Option<String>,
    /// Whether prereleases start runs too. Default `false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prereleases: Option<bool>,
}

/// When the head of a branch is run, whether it has changed or not. A time that a change of clocks leaves out counts an hour
/// later; one that is there twice counts the first time.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::Rules(&[
    ("!has(self.startingDeadline) || duration(self.startingDeadline) <= duration('24h')",
     "startingDeadline must be at most 24h"),
]))]
pub struct ScheduleTrigger {
    /// When: minute, hour, day of the month, month, day of the week. Example: `0 2 * * *`.
    #[schemars(transform = schema::cron)]
    pub cron: String,
    /// Name of the time zone in the IANA database. Default `UTC`. Example: `Europe/Madrid`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::zone)]
    pub time_zone: Option<String>,
    /// How late a run may start, after an outage of the operator for example; of several times that were missed the last one
    /// counts. A duration of at most `24h`; default `10m`. Example: `1h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::duration)]
    pub starting_deadline: Option<Duration>,
    /// Branch that is run. Default: `source.git.branch`. Example: `release/1.4`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::branch)]
    pub branch: Option<String>,
}

/// Which image of a registry starts a run of the head of a branch, once for each digest that its tag comes to name. What it names
/// when the trigger is made starts none.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::Rules(&[
    ("!has(self.interval) || duration(self.interval) >= duration('10s')",
     "interval must be at least 10s: registries count who asks"),
]))]
pub struct ImageTrigger {
    /// The image, with its registry and tag. Example: `registry.example/base/python:3.12`.
    #[schemars(transform = schema::tagged_image)]
    pub reference: String,
    /// How often the registry is asked. A duration of at least `10s`; default `10m`. Example: `1h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::duration)]
    pub interval: Option<Duration>,
    /// Whether the registry is reached over http. Default `false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub insecure_registry: Option<bool>,
    /// The login for the registry. Default: none. Example: `{name: registry}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull_secret_ref: Option<RegistryLogin>,
    /// Branch that is run. Default: `source.git.branch`. Example: `release/1.4`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::branch)]
    pub branch: Option<String>,
}

/// Takes what a git provider tells of its repository: `POST /hooks/git/<namespace>/<pipeline>` at the operator's receiver.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Webhook {
    /// What the provider signs with (GitHub, Gitea, Forgejo) or sends along (GitLab): a key of a Secret of the same namespace that
    /// carries the label `slipway.dev/use`. Example: `{name: hook, key: token}`.
    pub secret_ref: SecretKey,
}

/// How many runs are under way at the same time.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Concurrency {
    /// Which runs count together: `Ref` are those of the same branch, tag or pull request, `Pipeline` all of them.
    /// Default `Ref`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<ConcurrencyGroup>,
    /// Number of runs of a group that are under way, 1 to 50. Default `1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 50))]
    pub max: Option<u32>,
    /// What becomes of one more: `Queue` lets it wait, each in its turn; `CancelInProgress` stops older ones of the group, whether
    /// they wait or run; `Reject` ends it at once. Default `Queue`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<ConcurrencyPolicy>,
}

closed_set! {
    /// Which runs count together.
    #[derive(Default)]
    pub enum ConcurrencyGroup {
        /// Those of the same branch, tag or pull request.
        #[default]
        Ref,
        /// All of the Pipeline.
        Pipeline,
    }
}

closed_set! {
    /// What becomes of a run more than may be under way.
    #[derive(Default)]
    pub enum ConcurrencyPolicy {
        /// It waits for its turn.
        #[default]
        Queue,
        /// Older ones are stopped for it.
        CancelInProgress,
        /// It ends at once.
        Reject,
    }
}

impl TriggerRule {
    /// The trigger of a Pipeline that names none: pushes to its branch.
    pub fn usual() -> Self {
        Self {
            name: "push".to_owned(),
            push: Some(PushTrigger::default()),
            pull_request: None,
            tag: None,
            release: None,
            schedule: None,
            image: None,
        }
    }
}

impl PushTrigger {
    /// Whether it matters which files a push changes.
    pub fn looks_at_files(&self) -> bool {
        !self.paths.is_empty() || !self.ignore_paths.is_empty()
    }
}

impl PullRequestTrigger {
    /// What becomes of those from other repositories.
    pub fn forks(&self) -> ForkPolicy {
        self.forks.unwrap_or_default()
    }
}

impl ScheduleTrigger {
    /// How late a run may start.
    pub fn starting_deadline(&self) -> time::Duration {
        self.starting_deadline
            .map_or(time::Duration::from_mins(10), Into::into)
    }
}

impl ImageTrigger {
    /// How often the registry is asked.
    pub fn interval(&self) -> time::Duration {
        self.interval
            .map_or(time::Duration::from_mins(10), Into::into)
    }
}

impl Concurrency {
    /// Number of runs of a group that are under way.
    pub fn max(&self) -> usize {
        usize::try_from(self.max.unwrap_or(1)).unwrap_or(1)
    }

    /// What becomes of one more.
    pub fn policy(&self) -> ConcurrencyPolicy {
        self.policy.unwrap_or_default()
    }

    /// The group of a run, by its full ref.
    pub fn group_of<'a>(&self, git_ref: &'a str) -> &'a str {
        match self.group.unwrap_or_default() {
            ConcurrencyGroup::Ref => git_ref,
            ConcurrencyGroup::Pipeline => "",
        }
    }
}
