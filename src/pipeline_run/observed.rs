//! Everything one reconcile of a PipelineRun can see. Built by `observe`, and by tests. No I/O.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

use super::api::{PipelineRunSpec, PipelineRunStatus, RunPhase, Trigger};
use super::definition;
use crate::cluster::StageImages;
use crate::environment::api::PreviewStatus;
use crate::model::key::Key;
use crate::model::manifest::Target;
use crate::pipeline::api::PipelineSpec;
use crate::pipeline::observed::{Authorities, Pause};
use crate::pipeline::secret::Secrets;
use crate::release::api::Release;
use crate::report::quarantine::FlakyRun;

/// Everything one reconcile can see.
#[derive(Clone, Debug)]
pub struct Observed {
    /// Namespace and name.
    pub key: Key,
    /// The reference that its Jobs carry.
    pub owner: OwnerReference,
    /// Generation of the spec.
    pub generation: i64,
    /// When it was made.
    pub created_at: Timestamp,
    /// Whether it is being deleted.
    pub is_deleted: bool,
    /// What is to be run.
    pub spec: PipelineRunSpec,
    /// What was written last time.
    pub status: PipelineRunStatus,
    /// Its Pipeline as it is now.
    pub pipeline: Option<PipelineNow>,
    /// The spec that it follows; where it follows none yet, the one of its Pipeline as it is now, if another run has taken
    /// that.
    pub snapshot: Snapshot,
    /// The run that it tries again.
    pub origin: Origin,
    /// Its Jobs by name.
    pub jobs: BTreeMap<String, Job>,
    /// Jobs of it that this process has seen and that are gone, by name: since when it had known them.
    pub gone: BTreeMap<String, Timestamp>,
    /// All Releases of the Pipeline.
    pub releases: Vec<Arc<Release>>,
    /// Other runs of the Pipeline in which tests were flaky.
    pub flaky: Vec<FlakyRun>,
    /// Other runs of the Pipeline that go on and have a version.
    pub versioned: Vec<Versioned>,
    /// When the head of its branch was last asked for by this process.
    pub asked_at: Option<Timestamp>,
    /// What the server's certificate is checked against.
    pub authorities: Authorities,
    /// What is known of the Secrets that the spec names, before it begins.
    pub secrets: Secrets,
    /// Who has asked to stop it, first of all.
    pub cancelled_by: Option<String>,
    /// What somebody has said of whether it may run, where that is asked.
    pub answer: Option<Answer>,
    /// What somebody has said of trying it again, in the order in which they did.
    pub retries: Vec<Retry>,
    /// How other runs on its branch have ended, where somebody is told of that.
    pub branch: Branch,
    /// Other runs of its Pipeline that are not over, where only so many may be under way.
    pub peers: Vec<Peer>,
    /// Whether there is a newer run of the same pull request, which has the word there.
    pub is_outrun: bool,
    /// What Environments say of the preview of its pull request, by their names, where its stages wait for it.
    pub previews: BTreeMap<String, PreviewSaid>,
    /// Images of stage pods.
    pub images: StageImages,
}

/// A Pipeline as it is now.
#[derive(Clone, Debug)]
pub struct PipelineNow {
    /// The reference that what belongs to it carries.
    pub owner: OwnerReference,
    /// Generation of the spec.
    pub generation: i64,
    /// The spec.
    pub spec: PipelineSpec,
    /// Names of the runs whose turn it is.
    pub admitted: Vec<String>,
    /// Who has paused it.
    pub pause: Option<Pause>,
}

/// How other runs on a branch have ended. Runs of a few stages say nothing of it, and neither do those that were stopped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Branch {
    /// Whether the last that was over before this one was made has failed.
    pub had_failed: bool,
    /// Whether one that was made later has succeeded.
    pub has_recovered: bool,
}

/// What an Environment says of a preview.
#[derive(Clone, Debug, PartialEq)]
pub enum PreviewSaid {
    /// There is no such Environment.
    Missing,
    /// It has no previews of this Pipeline, or cannot make any: why.
    Impossible(String),
    /// Nothing yet.
    Nothing,
    /// This.
    Status(Box<PreviewStatus>),
}

/// What somebody has said of whether a run may begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It may; who said so.
    Approved(String),
    /// It may not; who said so.
    Rejected(String),
}

/// A Decision to try a run again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Its name.
    pub decision: String,
    /// Who made it.
    pub user: String,
    /// Whether the run that follows from it is there.
    pub is_made: bool,
}

/// Another run of the Pipeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its name.
    pub name: String,
    /// Full ref.
    pub git_ref: String,
    /// When it was started, as exactly as that is known.
    pub started_by: Timestamp,
    /// Whether it waits for somebody to approve it.
    pub awaits_approval: bool,
}

/// The spec that a run follows.
#[derive(Clone, Debug, PartialEq)]
pub enum Snapshot {
    /// Not taken yet, or gone.
    Missing,
    /// There, and not to be read.
    Unreadable(String),
    /// There.
    Taken(Box<PipelineSpec>),
}

impl Snapshot {
    /// The spec, where it is there.
    pub fn spec(&self) -> Option<&PipelineSpec> {
        match self {
            Self::Missing | Self::Unreadable(_) => None,
            Self::Taken(spec) => Some(spec),
        }
    }
}

/// The run that another one tries again.
#[derive(Clone, Debug, PartialEq)]
pub enum Origin {
    /// There is to be none.
    None,
    /// It is not there.
    Missing(String),
    /// It is there.
    Found(Box<Tried>),
}

/// A run that is tried again.
#[derive(Clone, Debug, PartialEq)]
pub struct Tried {
    /// Its name.
    pub name: String,
    /// What was run.
    pub spec: PipelineRunSpec,
    /// What became of it.
    pub status: PipelineRunStatus,
}

/// Another run that makes a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Versioned {
    /// Its name.
    pub name: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// Whether it has begun to use the version.
    pub has_begun: bool,
}

/// A Job of the run.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// The object.
    pub target: Target,
    /// When it was made.
    pub created_at: Timestamp,
    /// Whether it is being deleted.
    pub is_ending: bool,
    /// Where it is.
    pub state: JobState,
    /// Its newest pod.
    pub pod: Option<Pod>,
}

/// Where a Job is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobState {
    /// Its pod runs or is about to.
    Active,
    /// Over since then, well.
    Complete(Timestamp),
    /// Over since then, not well: Kubernetes' reason and words.
    Failed(Timestamp, String, String),
}

/// A pod of a Job.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one fact that Kubernetes tells, and any of them can hold with any other"
)]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pod {
    /// Whether a node has it.
    pub has_node: bool,
    /// Whether nothing in it runs any more.
    pub is_over: bool,
    /// Whether it is over, and every container in it that has an end of its own ended well.
    pub has_succeeded: bool,
    /// Why it is over, as far as Kubernetes says: `Evicted`, `DeadlineExceeded`, `NodeLost`, …
    pub reason: String,
    /// The same in words.
    pub message: String,
    /// Whether Kubernetes took it away: its node was drained, preempted or lost.
    pub is_disrupted: bool,
    /// When it is to be gone, grace included, where it was asked to go.
    pub leaving_at: Option<Timestamp>,
    /// Why no node takes it.
    pub unschedulable: Option<String>,
    /// Why one of its containers will never start.
    pub trouble: Option<Trouble>,
    /// The images that its containers ran, by name of the container, with the digests that the node has reported.
    pub images: BTreeMap<String, String>,
    /// Containers that have ended, by name.
    pub ended: BTreeMap<String, Ended>,
    /// Whether the container that does the work has been started.
    pub has_main: bool,
    /// Services, by name.
    pub services: BTreeMap<String, Service>,
}

/// A service beside a stage.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Service {
    /// Whether it runs, and is ready where that is asked.
    pub is_ready: bool,
    /// How often it was started again.
    pub restarts: i32,
    /// How it ended the last time.
    pub last_end: Option<Ended>,
}

/// Why a container will never start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Its name.
    pub container: String,
    /// Kubernetes' reason and words.
    pub message: String,
}

/// How a container ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ended {
    /// Its exit code.
    pub exit_code: i32,
    /// Kubernetes' reason: `Completed`, `Error`, `OOMKilled`, …
    pub reason: String,
    /// What it left as termination message.
    pub message: String,
}

/// What the repository is asked for a run: for an object, as long as it reads one, or for its refs.
pub fn question(status: &PipelineRunStatus, git_ref: &str, spec: &PipelineSpec) -> String {
    let url = &spec.source.git.url;
    match status.definition.as_ref().and_then(definition::wanted) {
        Some((_, id)) => format!("{url}@{id}"),
        None => format!("{url}#{git_ref}"),
    }
}

impl Observed {
    /// What started the run, or the first of those of which each tries the one before again: the commit and the spec are the same,
    /// and what people say of a run of theirs is nothing to go by.
    pub fn trigger(&self) -> &Trigger {
        match (&self.status.origin, &self.origin) {
            (Some(known), _) => known,
            (None, Origin::Found(tried)) => {
                let first = tried.status.origin.as_ref();
                first.unwrap_or(&tried.spec.trigger)
            }
            (None, Origin::None | Origin::Missing(_)) => &self.spec.trigger,
        }
    }

    /// Whether whoever made the commit could push to the repository.
    pub fn is_trusted(&self) -> bool {
        self.spec.is_trusted(self.trigger())
    }

    /// What the repository is asked, as far as that is on record.
    pub fn question(&self, spec: &PipelineSpec) -> String {
        question(&self.status, &self.spec.git_ref, spec)
    }

    /// The spec by which the repository is asked, as long as it may have to be: before a commit is known that the run does not
    /// name, and before what the repository adds to its Pipeline is.
    pub fn asks_by(&self) -> Option<&PipelineSpec> {
        if self.status.phase.is_some_and(RunPhase::is_finished) {
            return None;
        }
        if let Snapshot::Taken(spec) = &self.snapshot {
            let needs_head = self.spec.sha.is_none() && self.status.sha.is_none();
            return needs_head.then_some(spec);
        }
        let spec = &self.pipeline.as_ref()?.spec;
        spec.definition.is_some().then_some(spec)
    }

    /// The Release of that name.
    pub fn release(&self, name: &str) -> Option<&Release> {
        let mut releases = self.releases.iter().map(AsRef::as_ref);
        releases.find(|release: &&Release| release.metadata.name.as_deref() == Some(name))
    }
}
