//! Everything one reconcile of an Environment can see. Built by `observe`, and by tests. No I/O.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, OwnerReference};
use serde_json::Value;

use super::alert::Delivered;
use super::api::{ConditionKind, Environment, EnvironmentSpec, EnvironmentStatus};
use super::slo::Answers;
use super::{mirror, preview};
use crate::check::{Ending, Outcome};
pub use crate::decision::act::{Act, Moment};
use crate::dora::record::Line;
use crate::model::key::Key;
use crate::model::manifest::Target;
use crate::model::object::ObjectKind;
use crate::pipeline::secret::Secrets;
use crate::pipeline_run::api::PipelineRun;
use crate::promotion::api::{Promotion, PromotionSpec, PromotionStatus};
use crate::provider::Provider;
use crate::release::api::{ImageRef, Release, ReleaseRef};
use crate::rollout::api::Phase;

/// What every question for signatures begins with.
pub const SIGNED: &str = "signed/";
/// What every question of a gate begins with.
pub const GATE: &str = "gate/";

/// Everything one reconcile can see.
#[derive(Clone, Debug)]
pub struct Observed {
    /// Namespace and name.
    pub key: Key,
    /// The reference that its Promotions carry, where they go with it.
    pub owner: OwnerReference,
    /// Generation of the spec.
    pub generation: i64,
    /// When it was created. Wishes from before are not its own.
    pub created_at: Timestamp,
    /// Whether it is being deleted.
    pub is_deleted: bool,
    /// Whether it mirrors one of another cluster, which decides what runs: then nothing is decided here.
    pub is_mirror: bool,
    /// What people want.
    pub spec: EnvironmentSpec,
    /// What was written last time.
    pub status: EnvironmentStatus,
    /// Its Promotions, in the order in which they came.
    pub promotions: Vec<Record>,
    /// Records of migrations alone, in the order in which they came: of kind `Migrate` or `Contract`.
    pub migrations: Vec<Record>,
    /// What counts of its Promotions, also of those that are pruned.
    pub ledger: Vec<Page>,
    /// The Lease of its database, which is in the operator's own namespace.
    pub lock: Lock,
    /// The Secrets that its migrations name, as far as that matters now.
    pub secrets: Secrets,
    /// Every name that a Promotion of this Environment has, also of one that is about to go.
    pub taken: BTreeSet<String>,
    /// Releases of the Pipelines that matter here; those that are promoted as one look like one.
    pub releases: Vec<Arc<Release>>,
    /// Releases that are promoted as one.
    pub sets: Sets,
    /// The Environments that it takes Releases from.
    pub sources: Vec<Source>,
    /// What people decided about it and its Promotions, in the order in which they did.
    pub decisions: Vec<Act>,
    /// The Rollouts that it lists.
    pub rollouts: Vec<Bound>,
    /// Jobs of smoke tests, by name.
    pub checks: BTreeMap<String, Check>,
    /// What people call the cluster, where that tells it from others.
    pub cluster_name: Option<String>,
    /// Image of the runner, where the operator has one.
    pub runner: Option<String>,
    /// What Prometheus answered about its SLOs, as long as this process has run.
    pub answers: Answers,
    /// Alerts that were delivered to this process, and may not be on record yet.
    pub delivered: Vec<Delivered>,
    /// What has the rules of its SLOs; nothing, where it has none and never had.
    pub rules: Option<Rules>,
    /// Providers of repositories by Pipeline, while a gate asks them; or why one is not known.
    pub providers: BTreeMap<String, Result<Provider, String>>,
    /// Conditions of objects that gates ask for, as far as they are about the present generation.
    pub conditions: BTreeMap<(ConditionKind, String), Vec<Condition>>,
    /// What there is of it in other clusters.
    pub mirror: mirror::Seen,
    /// What there is of previews, where it has some.
    pub previews: Option<preview::Seen>,
    /// What quality reports are read off, while a gate asks for them.
    pub dossier: Option<Dossier>,
    /// Certificates for the repository that what runs is written back to, if it has any of its own; or why they are not known.
    pub write_back: Result<Option<String>, String>,
    /// Why the operator promotes nothing, if it does not.
    pub frozen: Option<Frozen>,
}

/// Releases that are promoted as one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sets {
    /// Releases of their Pipelines, and of those that go alone.
    pub members: Vec<Arc<Release>>,
    /// The sets that are known, by the name of the Release that each looks like.
    pub known: BTreeMap<String, Set>,
    /// Why none is made of the newest Releases, where one should be.
    pub notice: Option<String>,
}

/// Releases that are promoted as one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    /// Its name, which stands where that of a Pipeline stands.
    pub pipeline: String,
    /// Its members, by Pipeline.
    pub members: Vec<ReleaseRef>,
    /// Whether such sets are still made.
    pub may_come: bool,
}

/// Why an operator promotes nothing at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frozen {
    /// What people are told.
    pub reason: String,
    /// When it ends by itself.
    pub until: Option<Timestamp>,
}

/// How long a Release has run well in an Environment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clock {
    /// Since when it has been well; nothing while it is not.
    pub since: Option<Timestamp>,
    /// How long it had been before that.
    pub before: SignedDuration,
}

/// What quality reports are read off.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Dossier {
    /// Releases that are waited for, and those that led to them.
    pub releases: Vec<Release>,
    /// The runs that made them, as far as they are there.
    pub runs: Vec<PipelineRun>,
    /// Promotions of them.
    pub promotions: Vec<Promotion>,
    /// Environments of the namespace, without how they are now: that changes all the time, and a question is the same until it
    /// is answered.
    pub environments: Vec<Environment>,
}

/// The Lease that a database is migrated under.
#[derive(Clone, Debug, PartialEq)]
pub struct Lock {
    /// Where it is, or would be.
    pub key: Key,
    /// Who has it, and the object; nothing where nobody has, or where it does not matter now.
    pub held: Option<(String, Target)>,
}

/// The objects that have the rules of an Environment's SLOs.
#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    /// What they belong into: PrometheusRule, where the cluster has that kind, else ConfigMap.
    pub kind: ObjectKind,
    /// Those that are there: its own, and any that has the name that its own should have.
    pub live: Vec<LiveRules>,
}

/// An object that has rules.
#[derive(Clone, Debug, PartialEq)]
pub struct LiveRules {
    /// The object.
    pub target: Target,
    /// Whether the Environment owns it.
    pub is_ours: bool,
    /// All of it.
    pub body: Value,
}

/// A page of the ledger.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// The object.
    pub target: Target,
    /// What is on it.
    pub lines: Vec<Line>,
}

/// A Promotion.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// The object.
    pub target: Target,
    /// Generation of its spec.
    pub generation: i64,
    /// When it was created.
    pub created_at: Timestamp,
    /// What it is about.
    pub spec: PromotionSpec,
    /// How far it is.
    pub status: PromotionStatus,
}

impl Record {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.target.key.name
    }

    /// When something happened to it at `at` that was not followed by anything else.
    pub fn moment(&self, at: Timestamp) -> Moment {
        (at, self.target.resource_version.parse().unwrap_or(u64::MAX))
    }
}

/// An Environment that Releases come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Its name.
    pub name: String,
    /// What is good there; `None` where there is no such Environment.
    pub good: Option<Good>,
    /// The sets that its records know.
    pub sets: BTreeMap<String, Set>,
    /// Pipelines whose Releases come to it in sets, or run there in one.
    pub covered: BTreeSet<String>,
}

/// What is good in an Environment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Good {
    /// Releases that run there and whose promotion succeeded.
    pub current: BTreeSet<String>,
    /// Releases that succeeded there at some time, and are not held.
    pub succeeded: BTreeSet<String>,
    /// How long those that run there have run well.
    pub health: BTreeMap<String, Clock>,
    /// Releases that are held there, each with the reason.
    pub held: BTreeMap<String, String>,
}

/// A Rollout that the Environment lists.
#[derive(Clone, Debug, PartialEq)]
pub struct Bound {
    /// Its name.
    pub name: String,
    /// How it is; `None` where there is no such Rollout.
    pub state: Option<Followed>,
}

/// How a Rollout is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Followed {
    /// Image of the Release by container; `None` when it does not follow this Environment.
    pub images: Option<BTreeMap<String, String>>,
    /// Whether its status is about its present spec.
    pub is_current: bool,
    /// Where it is.
    pub phase: Phase,
    /// What it says about itself.
    pub message: String,
    /// Whether what it runs serves.
    pub is_healthy: bool,
    /// Since when it has not been ready.
    pub not_ready_since: Option<Timestamp>,
    /// How long it may be unready.
    pub deadline: Duration,
    /// Id of the template in its spec, where that is kept.
    pub template: Option<String>,
    /// Id of the template of its stable revision.
    pub worn: Option<String>,
    /// Id of the template of the revision that is on its way or was given up.
    pub tried: Option<String>,
    /// Images of its stable revision, by container.
    pub stable: BTreeMap<String, String>,
    /// Images of the revision that is on its way or was given up, by container.
    pub canary: BTreeMap<String, String>,
    /// The change that it gave up.
    pub failure: Option<Failed>,
}

/// A change that a Rollout gave up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// The Promotion that asked for it, where it was remembered.
    pub promotion: Option<String>,
    /// Why.
    pub message: String,
}

impl Followed {
    /// Whether these containers run exactly these images, as far as the Rollout uses them at all.
    /// `None` when it uses none of them.
    pub fn runs(&self, containers: &BTreeMap<String, String>, images: &[ImageRef]) -> Option<bool> {
        let names = self.images.as_ref()?;
        let mut answers = names.iter().filter_map(|(container, name)| {
            let image = images.iter().find(|image| image.name == *name)?;
            Some(containers.get(container) == Some(&image.reference))
        });
        let first = answers.next()?;
        Some(first && answers.all(|answer| answer))
    }
}

/// The Job of a smoke test, or of a phase of migrations.
#[derive(Clone, Debug, PartialEq)]
pub struct Check {
    /// The object.
    pub target: Target,
    /// Uid of the Promotion that it belongs to.
    pub promotion: String,
    /// Whether it is made, and not let go yet.
    pub is_suspended: bool,
    /// How it is.
    pub outcome: Outcome,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// How its container ended, where its pod is still there.
    pub ending: Option<Ending>,
}

impl Observed {
    /// The number that the next record gets.
    pub fn next_number(&self) -> u32 {
        let all = self.promotions.iter().chain(&self.migrations);
        let numbers = all.filter_map(|record| record.spec.number);
        numbers.max().unwrap_or(0).saturating_add(1)
    }

    /// The Promotion of that name.
    pub fn promotion(&self, name: &str) -> Option<&Record> {
        let mut all = self.promotions.iter().chain(&self.migrations);
        all.find(|record| record.name() == name)
    }

    /// Whether no status says what runs: nothing was ever promoted, or every status was lost.
    pub fn is_blank(&self) -> bool {
        self.status.desired.is_empty()
            && self.status.current.is_empty()
            && self
                .promotions
                .iter()
                .all(|record| record.status.phase.is_none())
    }
}
