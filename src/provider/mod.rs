//! What hosts repositories: renders what a provider is asked and told, and reads its replies. No I/O.
//!
//! A [`Provider`] is a repository at its provider, with the token that is shown there. Each operation is a request and a
//! reader of its reply; who sends it is no matter here. The token is filled in by who sends, so it stands in no plan; and
//! texts from outside, such as names of branches and titles, only ever stand in JSON, or percent-encoded in a path.
//!
//! GitHub and Gitea (and Forgejo) speak nearly the same language, and [`gitlab`] is a language of its own.

mod answer;
pub mod api;
mod fact;
mod github;
mod gitlab;

use std::time::Duration;

use serde_json::Value;

use crate::model::access::{Access, Login, Purpose, percent_encoded};
use crate::model::action::{Reply, Request};
use crate::model::change::Pull;
use crate::model::secret::SecretKey;
use crate::pipeline::api::GitSource;

pub use answer::{Refusal, RefusalKind};
use api::ProviderType;
pub use fact::{
    CommitState, CommitStatus, KeptComment, KeptPull, MAX_DESCRIPTION, ProviderRelease, PullRequest,
};

/// Longest wait for a whole answer.
const TIMEOUT: Duration = Duration::from_secs(20);
/// Entries of a list that are asked for at once: an answer has to stay below the 1 MiB that are read of it.
pub const PAGE: usize = 30;

/// A repository at its provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provider {
    type_: ProviderType,
    /// Without a slash at its end.
    api: String,
    /// Owner and name; of GitLab all groups and the name. As they stand in the URL.
    repository: String,
    namespace: String,
    token: SecretKey,
    ca_bundle: Option<String>,
    purpose: Purpose,
}

impl Provider {
    /// The repository at its provider; nothing where the source names none.
    ///
    /// `namespace` is where the Secret with the token is; `ca_bundle` are certificates to trust beside the system's, in PEM.
    pub fn of(git: &GitSource, namespace: &str, ca_bundle: Option<String>) -> Option<Self> {
        let provider = git.provider.as_ref()?;
        let (server, path) = split(&git.url)?;
        let type_ = provider.type_;
        let api = provider.api_url.clone().unwrap_or_else(|| match type_ {
            ProviderType::GitHub => github::default_api(server),
            ProviderType::GitLab => format!("{server}/api/v4"),
            ProviderType::Gitea => format!("{server}/api/v1"),
        });
        let is_elsewhere = provider.api_url.is_some() && !is_same_host(server, &api);
        let path = path.trim_end_matches('/').trim_end_matches(".git");
        let repository = match type_ {
            // Groups nest; a server below a path of its own says so in the address of its API.
            ProviderType::GitLab => {
                let below = split(&api).and_then(|(_, path)| path.split_once("/api/"));
                let below = below.map_or("", |(below, _)| below);
                let path = path.strip_prefix(below).unwrap_or(path);
                path.trim_start_matches('/').to_owned()
            }
            ProviderType::GitHub | ProviderType::Gitea => {
                let mut last: Vec<&str> = path.rsplit('/').take(2).collect();
                last.reverse();
                last.join("/")
            }
        };
        Some(Self {
            type_,
            api: api.trim_end_matches('/').to_owned(),
            repository,
            namespace: namespace.to_owned(),
            token: provider.token_secret_ref.clone(),
            ca_bundle,
            purpose: if is_elsewhere {
                Purpose::Provider
            } else {
                Purpose::Repository
            },
        })
    }

    /// Who hosts the repository.
    pub fn type_(&self) -> ProviderType {
        self.type_
    }

    /// Says something of a commit. Said twice, it is there once in what people see.
    pub fn set_status(&self, sha: &str, status: &CommitStatus) -> Request {
        match self.type_ {
            ProviderType::GitHub | ProviderType::Gitea => github::set_status(self, sha, status),
            ProviderType::GitLab => gitlab::set_status(self, sha, status),
        }
    }

    /// Whether the provider has the status now.
    ///
    /// # Errors
    /// Why it does not.
    pub fn read_set_status(&self, reply: &Result<Reply, String>) -> Result<(), Refusal> {
        match answer::body(reply) {
            Err(refusal) if self.type_ == ProviderType::GitLab && gitlab::is_there(&refusal) => {
                Ok(())
            }
            body => body.map(drop),
        }
    }

    /// Asks what is said of a commit, by page from 1.
    pub fn statuses(&self, sha: &str, page: u32) -> Request {
        match self.type_ {
            ProviderType::GitHub | ProviderType::Gitea => github::statuses(self, sha, page),
            ProviderType::GitLab => gitlab::statuses(self, sha, page),
        }
    }

    /// What is said of a commit: of each context the newest only.
    ///
    /// # Errors
    /// Why it is not known.
    pub fn read_statuses(
        &self,
        reply: &Result<Reply, String>,
    ) -> Result<Vec<CommitStatus>, Refusal> {
        match self.type_ {
            ProviderType::GitHub | ProviderType::Gitea => github::read_statuses(reply),
            ProviderType::GitLab => gitlab::read_statuses(reply),
        }
    }

    /// Asks for a pull request.
    pub fn pull_request(&self, number: u64) -> Request {
        let path = match self.type_ {
            ProviderType::GitHub | ProviderType::Gitea => format!("pulls/{number}"),
            ProviderType::GitLab => format!("merge_requests/{number}"),
        };
        self.get(&path)
    }

    /// The pull request; nothing where there is none of that number.
    ///
    /// # Errors
    /// Why it is not known.
    pub fn read_pull_request(
        &self,
        reply: &Result<Reply, String>,
    ) -> Result<Option<PullRequest>, Refusal> {
        match self.type_ {
            ProviderType::GitHub | ProviderType::Gitea => github::read_pull_request(reply),
            ProviderType::GitLab => gitlab::read_pull_request(reply),
        }
    }

    /// Keeps one comment of ours on a pull request up to date: the first whose text begins with the marker, by the user whose
    /// token is shown, where the provider tells who that is.
    pub fn keep_comment(&self, pull: u64, comment: &KeptComment<'_>) -> Request {
        Request::for_kept(match self.type_ {
            ProviderType::GitHub | ProviderType::Gitea => github::keep_comment(self, pull, comment),
            ProviderType::GitLab => gitlab::keep_comment(self, pull, comment),
        })
    }

    /// Makes a release, and its tag at the commit where there is none. Every provider has one release of a tag only, and refuses
    /// another.
    pub fn create_release(&self, release: &ProviderRelease, sha: &str) -> Request {
        match self.type_ {
            ProviderType::GitHub | ProviderType::Gitea => {
                github::create_release(self, release, sha)
            }
            ProviderType::GitLab => gitlab::create_release(self, release, sha),
        }
    }

    /// Keeps one pull request of a branch of ours up to date, into another branch.
    pub fn keep_pull(&self, pull: &KeptPull<'_>) -> Pull {
        match self.type_ {
            ProviderType::GitHub | ProviderType::Gitea => github::keep_pull(self, pull),
            ProviderType::GitLab => gitlab::keep_pull(self, pull),
        }
    }

    /// Brings findings to the provider's code scanning; nothing where the provider has none that takes SARIF.
    ///
    /// `git_ref` is the full ref, such as `refs/heads/main` or `refs/pull/7/head`.
    pub fn upload_sarif(&self, sha: &str, git_ref: &str, sarif: &[u8]) -> Option<Request> {
        match self.type_ {
            ProviderType::GitHub => github::upload_sarif(self, sha, git_ref, sarif),
            ProviderType::GitLab | ProviderType::Gitea => None,
        }
    }

    /// Whether the provider did what it was told, where no more than that is of interest.
    ///
    /// # Errors
    /// Why it did not; [`RefusalKind::Conflict`] where what was to be made is there already.
    pub fn read_done(&self, reply: &Result<Reply, String>) -> Result<(), Refusal> {
        answer::body(reply).map(drop).map_err(|refusal| Refusal {
            kind: if answer::is_there(&refusal) {
                RefusalKind::Conflict
            } else {
                refusal.kind
            },
            ..refusal
        })
    }

    fn get(&self, path: &str) -> Request {
        self.request("GET", path, None)
    }

    fn post(&self, path: &str, body: &Value) -> Request {
        self.request("POST", path, Some(body))
    }

    fn request(&self, method: &'static str, path: &str, body: Option<&Value>) -> Request {
        let below = match self.type_ {
            ProviderType::GitHub | ProviderType::Gitea => {
                let parts: Vec<String> = self.repository.split('/').map(encoded).collect();
                format!("repos/{}", parts.join("/"))
            }
            ProviderType::GitLab => format!("projects/{}", encoded(&self.repository)),
        };
        self.request_below(method, &format!("{below}/{path}"), body)
    }

    /// Asks whose token it is.
    fn who(&self) -> Request {
        self.request_below("GET", "user", None)
    }

    fn request_below(&self, method: &'static str, path: &str, body: Option<&Value>) -> Request {
        let url = format!("{}/{path}", self.api);
        let mut request = Request::get(url, TIMEOUT);
        request.method = method;
        let accept = match self.type_ {
            ProviderType::GitHub => "application/vnd.github+json",
            ProviderType::GitLab | ProviderType::Gitea => "application/json",
        };
        let mut header = |name: &str, value: &str| {
            request.headers.insert(name.to_owned(), value.to_owned());
        };
        header("accept", accept);
        header("user-agent", "slipway");
        if self.type_ == ProviderType::GitHub {
            header("x-github-api-version", "2022-11-28");
        }
        if body.is_some() {
            header("content-type", "application/json");
        }
        request.body = body.map(Value::to_string);
        request.ca_bundle.clone_from(&self.ca_bundle);
        request.access = Some(Box::new(Access {
            purpose: self.purpose,
            namespace: self.namespace.clone(),
            login: Some(Login::Bearer {
                token: self.token.clone(),
            }),
            ..Access::default()
        }));
        request
    }
}

/// What an answer has, where the provider did what it was asked.
///
/// # Errors
/// Why it did not.
pub fn body(reply: &Result<Reply, String>) -> Result<&[u8], Refusal> {
    answer::body(reply)
}

/// Scheme and host of a URL, and its path.
fn split(url: &str) -> Option<(&str, &str)> {
    let after = url.find("://")? + 3;
    let rest = url.get(after..)?;
    let end = rest.find('/').unwrap_or(rest.len());
    url.split_at_checked(after + end)
}

/// Whether two URLs name the same host; their ports may differ.
fn is_same_host(one: &str, other: &str) -> bool {
    let host = |url: &str| {
        let uri: http::Uri = url.parse().ok()?;
        Some(uri.host()?.to_ascii_lowercase())
    };
    host(one).is_some() && host(one) == host(other)
}

/// A text as one part of a path.
fn encoded(text: &str) -> String {
    match text {
        // A path that goes up would be another question.
        "." => "%2E".to_owned(),
        ".." => "%2E%2E".to_owned(),
        _ => percent_encoded(text),
    }
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
