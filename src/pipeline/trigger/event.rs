//! What git providers tell of their repositories: the payloads of GitHub, GitLab, Gitea and Forgejo as one kind of event. Nothing
//! in a payload is believed to be of any form. No I/O.

use jiff::Timestamp;
use serde_json::Value;

use super::super::api::PipelineSpec;
use super::{github, gitlab};
use crate::model::label;
use crate::model::text::truncate;
use crate::pipeline_run::api::PullRequest;

/// Who tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provider {
    /// GitHub.
    GitHub,
    /// GitLab.
    GitLab,
    /// Gitea, and Forgejo, which tells the same.
    Gitea,
}

impl Provider {
    /// As it stands in metrics and before logins.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::GitHub => "github",
            Self::GitLab => "gitlab",
            Self::Gitea => "gitea",
        }
    }
}

/// Something that has happened in a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// What it is.
    pub what: What,
    /// The full ref that it is about.
    pub git_ref: String,
    /// The commit that the ref is at.
    pub sha: Option<String>,
    /// Who did it, with the provider before it.
    pub actor: String,
    /// Message of the commit, where it is known.
    pub message: Option<String>,
    /// Labels of the pull request, where they are told.
    pub labels: Option<Vec<String>>,
    /// When it happened by the provider's clock, where that is told.
    pub at: Option<Timestamp>,
    /// Whether it makes run what was left out before: a draft that is ready.
    pub renews: bool,
}

/// What has happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// Commits were pushed to a branch.
    Push {
        /// Files that they change, where all of them are known.
        files: Option<Vec<String>>,
        /// The commit that the branch was at before, where that is told.
        before: Option<String>,
    },
    /// A tag was pushed.
    Tag,
    /// A release was published.
    Release {
        /// Whether it is a prerelease.
        prerelease: bool,
        /// What tells it from others of its tag.
        id: String,
    },
    /// There are new commits in a pull request, or a new one.
    PullRequest {
        /// Which one.
        pull_request: PullRequest,
        /// Whether it is a draft.
        draft: bool,
    },
    /// A pull request was closed or merged.
    Closed {
        /// Which one.
        number: u64,
    },
    /// Labels of a pull request were put on or taken off.
    Labels {
        /// Which one.
        number: u64,
    },
}

impl Event {
    /// That a pull request is over, where nothing else is known.
    pub fn over(number: u64) -> Self {
        Self {
            what: What::Closed { number },
            git_ref: format!("refs/pull/{number}/head"),
            sha: None,
            actor: label::SLIPWAY.to_owned(),
            message: None,
            labels: None,
            at: None,
            renews: false,
        }
    }

    /// Whether it starts nothing, and is noted all the same: previews come and go with it.
    pub const fn is_noted_only(&self) -> bool {
        matches!(self.what, What::Closed { .. } | What::Labels { .. })
    }

    /// What tells it from others of the same ref.
    pub fn identity(&self) -> &str {
        match &self.what {
            What::Release { id, .. } => id,
            What::Push { .. }
            | What::Tag
            | What::PullRequest { .. }
            | What::Closed { .. }
            | What::Labels { .. } => self.sha.as_deref().unwrap_or_default(),
        }
    }
}

/// What a delivery says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// Something that may start a run, or tells what becomes of the preview of a pull request.
    Event(Box<Event>),
    /// Nothing that could: what it is, for the answer.
    Nothing(String),
}

/// Reads a delivery; `kind` is what the provider calls it.
///
/// # Errors
/// Says why it makes no sense.
pub fn read(
    provider: Provider,
    kind: &str,
    body: &[u8],
    spec: &PipelineSpec,
) -> Result<Told, String> {
    let body: Value =
        serde_json::from_slice(body).map_err(|error| format!("the body is no JSON: {error}"))?;
    let body = Payload(&body);
    let told = match provider {
        Provider::GitHub | Provider::Gitea => github::read(provider, kind, body)?,
        Provider::GitLab => gitlab::read(kind, body)?,
    };
    if let Told::Event(_) = &told
        && !body.is_of(&spec.source.git.url)
    {
        let other = body.repository().unwrap_or_default();
        return Ok(Told::Nothing(format!(
            "it is about {}, and not about the repository of this Pipeline",
            clean(other, 128)
        )));
    }
    Ok(told)
}

/// A payload, or a part of one.
#[derive(Clone, Copy)]
pub(super) struct Payload<'a>(pub(super) &'a Value);

impl<'a> Payload<'a> {
    pub(super) fn text(self, path: &str) -> Option<&'a str> {
        self.0.pointer(path)?.as_str()
    }

    pub(super) fn number(self, path: &str) -> Option<u64> {
        self.0.pointer(path)?.as_u64()
    }

    pub(super) fn is(self, path: &str) -> bool {
        self.0.pointer(path).and_then(Value::as_bool) == Some(true)
    }

    pub(super) fn has(self, path: &str) -> bool {
        self.0.pointer(path).is_some_and(|value| !value.is_null())
    }

    /// A commit; nothing for one that is no commit, such as the zeros of a branch that is gone.
    pub(super) fn sha(self, path: &str) -> Option<String> {
        let text = self.text(path)?;
        is_sha(text).then(|| text.to_owned())
    }

    pub(super) fn time(self, path: &str) -> Option<Timestamp> {
        match self.0.pointer(path)? {
            Value::Number(seconds) => Timestamp::from_second(seconds.as_i64()?).ok(),
            // As GitLab tells of some.
            Value::String(text) if text.ends_with(" UTC") => text.replace(" UTC", "Z").parse().ok(),
            Value::String(text) => text.parse().ok(),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        }
    }

    /// Files that the commits change; nothing where not all commits are told. `total` is how many there are.
    pub(super) fn files(self, total: Option<u64>) -> Option<Vec<String>> {
        let commits = self.0.pointer("/commits")?.as_array()?;
        let told = u64::try_from(commits.len()).ok()?;
        if total.is_some_and(|total| total != told) {
            return None;
        }
        let lists = commits.iter().flat_map(|commit| {
            ["added", "modified", "removed"].map(|list| commit.get(list).and_then(Value::as_array))
        });
        let files = lists.flatten().flatten().filter_map(Value::as_str);
        Some(files.map(str::to_owned).collect())
    }

    /// Labels in a list of objects; nothing where there is no list. Gitea may tell of none with null.
    pub(super) fn labels(self, path: &str, name: &str) -> Option<Vec<String>> {
        let all = match self.0.pointer(path)? {
            Value::Array(all) => all.as_slice(),
            Value::Null => &[],
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => return None,
        };
        let named = all.iter().filter_map(|label| label.get(name)?.as_str());
        Some(named.map(str::to_owned).collect())
    }

    fn repository(self) -> Option<&'a str> {
        self.text("/repository/full_name")
            .or_else(|| self.text("/project/path_with_namespace"))
    }

    /// Whether it is about the repository behind a URL. Hosts have many names, so that only the path counts.
    fn is_of(self, url: &str) -> bool {
        let Some(name) = self.repository().filter(|name| !name.is_empty()) else {
            return false;
        };
        let url = url.trim_end_matches('/');
        let url = url.strip_suffix(".git").unwrap_or(url).to_lowercase();
        url.ends_with(&format!("/{}", name.to_lowercase()))
    }

    /// A login, as it stands in a run.
    pub(super) fn actor(self, provider: Provider, path: &str) -> String {
        let login = clean(self.text(path).unwrap_or("unknown"), 128);
        format!("{}:{login}", provider.as_str())
    }
}

fn clean(text: &str, limit: usize) -> String {
    truncate(&text.replace(char::is_control, " "), limit).to_owned()
}

fn is_sha(text: &str) -> bool {
    text.len() == 40
        && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        && text.bytes().any(|b| b != b'0')
}
