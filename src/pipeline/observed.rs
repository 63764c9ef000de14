//! Everything one reconcile of a Pipeline can see. Built by `observe`, and by tests. No I/O.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

use super::api::{PendingRef, PipelineSpec, PipelineStatus};
use super::trigger::event::Event;
use super::trigger::look::Look;
use super::trigger::mark;
use crate::model::key::Key;
use crate::model::manifest::Target;
use crate::pipeline_run::api::RunPhase;
use crate::provider::Provider;

/// Everything one reconcile can see.
#[derive(Clone, Debug)]
pub struct Observed {
    /// Namespace and name.
    pub key: Key,
    /// The reference that children carry.
    pub owner: OwnerReference,
    /// Generation of the spec.
    pub generation: i64,
    /// Whether it is being deleted.
    pub is_deleted: bool,
    /// What people wrote.
    pub spec: PipelineSpec,
    /// What was written last time.
    pub status: PipelineStatus,
    /// Its runs, newest first.
    pub runs: Vec<Run>,
    /// Commits that have a Release, or were made for one.
    pub released: Vec<String>,
    /// Versions that were given to commits of branches.
    pub versions: BTreeSet<String>,
    /// Releases that an Environment has, wants, waits for or would go back to.
    pub in_use: BTreeSet<String>,
    /// Runs that previews of an Environment show, or are to show.
    pub previewed: BTreeSet<String>,
    /// Labels that previews ask of pull requests.
    pub wanted_labels: BTreeSet<String>,
    /// Open pull requests that have a preview, or wait for one: as many as the provider is asked about.
    pub shown: BTreeSet<u64>,
    /// The newest Release.
    pub latest_release: Option<String>,
    /// The specs that its runs follow.
    pub revisions: Vec<Target>,
    /// When the branch was last asked for by this process.
    pub polled_at: Option<Timestamp>,
    /// When questions were last answered to this process, by question.
    pub asked: BTreeMap<String, Timestamp>,
    /// What the server's certificate is checked against.
    pub authorities: Authorities,
    /// Who has paused it, where nobody has resumed it since.
    pub pause: Option<Pause>,
    /// What was delivered and is not on record yet, in the order in which it came.
    pub events: Vec<Event>,
}

/// A Decision to start no runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pause {
    /// Who made it.
    pub by: String,
    /// When it stops to count.
    pub until: Option<Timestamp>,
}

impl Pause {
    /// Whether it counts at that time.
    pub fn counts(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

/// What a server's certificate is checked against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authorities {
    /// What the system trusts.
    System,
    /// These as well, in PEM.
    Bundle(String),
    /// The bundle that the spec names is not there.
    Missing(String),
}

impl Authorities {
    /// Certificates in PEM, if there are any beside the system's.
    ///
    /// # Errors
    /// What is missing, and what to do.
    pub fn bundle(&self) -> Result<Option<String>, &str> {
        match self {
            Self::System => Ok(None),
            Self::Bundle(pem) => Ok(Some(pem.clone())),
            Self::Missing(message) => Err(message),
        }
    }
}

/// A run.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one fact about a run, and any of them can hold with any other"
)]
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// The object.
    pub target: Target,
    /// When it was made.
    pub created_at: Timestamp,
    /// Its commit, once that is known.
    pub sha: Option<String>,
    /// Where it is.
    pub phase: RunPhase,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// The Release that it has made.
    pub release: Option<String>,
    /// The spec that it follows.
    pub revision: Option<String>,
    /// Whether it is pushing commits of its own.
    pub is_publishing: bool,
    /// Full ref.
    pub git_ref: String,
    /// Whether it runs all stages, and not a few.
    pub is_whole: bool,
    /// When it was started, as exactly as that is known.
    pub started_by: Timestamp,
    /// Whether its stages have begun.
    pub has_started: bool,
    /// Whether it waits for somebody to approve it.
    pub awaits_approval: bool,
    /// Whether it may have left something in registries that was never released.
    pub has_leftovers: bool,
}

impl Observed {
    /// Full ref of the branch.
    pub fn git_ref(&self) -> String {
        format!("refs/heads/{}", self.spec.source.git.branch)
    }

    /// What the repository is asked: another URL or branch is another question.
    pub fn question(&self) -> String {
        format!("{}#{}", self.spec.source.git.url, self.git_ref())
    }

    /// What the provider is asked about a pull request that polling found.
    pub fn question_about(&self, found: &PendingRef) -> String {
        format!(
            "{}@{} {}",
            self.spec.source.git.url, found.sha, found.git_ref
        )
    }

    /// What the provider is asked about a pull request that has a preview.
    pub fn question_of(&self, number: u64) -> String {
        format!("{} pull request {number}", self.spec.source.git.url)
    }

    /// The provider of the repository; nothing where there is none, or where it is not known what to check its certificate against.
    pub fn provider(&self) -> Option<Provider> {
        let bundle = self.authorities.bundle().ok()?;
        Provider::of(&self.spec.source.git, &self.key.namespace, bundle)
    }

    /// What has to be looked into before an event that polling found starts a run of a trigger.
    pub fn look(&self, event: &Event, trigger: &str) -> Option<Look> {
        Look::at(&self.spec, event, trigger, self.last_run_of(&event.git_ref))
    }

    /// The commit of the newest run of a ref.
    pub fn last_run_of(&self, git_ref: &str) -> Option<&str> {
        let runs = self.runs.iter();
        let mut own = runs.filter(|run| run.git_ref == git_ref && run.is_whole);
        own.find_map(|run| run.sha.as_deref())
    }

    /// Whether a commit of the branch has a run, or was left out.
    pub fn is_dealt_with(&self, sha: &str) -> bool {
        let mut runs = self.runs.iter();
        self.status.seen.contains(&mark(&self.git_ref(), sha))
            || self.released.iter().any(|released| released == sha)
            || runs.any(|run| run.git_ref == self.git_ref() && run.sha.as_deref() == Some(sha))
    }

    /// Whether there is a commit that has neither.
    pub fn has_waiting(&self) -> bool {
        let is_behind = self.head().is_some_and(|head| !self.is_dealt_with(head));
        is_behind || !self.status.pending.is_empty()
    }

    /// The head of the branch when it was last asked for. That of another branch or repository is none.
    pub fn head(&self) -> Option<&str> {
        let status = &self.status;
        let is_ours = status.last_observed_url.as_ref() == Some(&self.spec.source.git.url)
            && status.last_observed_ref.as_ref() == Some(&self.git_ref());
        status.last_observed_sha.as_deref().filter(|_| is_ours)
    }
}
