//! Everything one reconcile of a Rollout can see. Built by `observe`, and by tests. No I/O.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

use super::adopt::Adoption;
use super::api::{FailureReason, RolloutStatus, Taken};
use super::config::Named;
use super::risk::RiskSignals;
use super::spec::{Invalid, Spec};
use super::template::{Kept, Offer};
use crate::check::Outcome;
use crate::decision::act::Act;
use crate::model::key::{Key, MAX_LABEL, suffixed};
use crate::model::manifest::Target;
use crate::model::object::ObjectKind;
use crate::model::revision::Revision;
use crate::model::trouble;
use crate::traffic::Side;
use crate::traffic::router::{Backends, Route, Scene};

/// Everything one reconcile can see.
#[derive(Clone, Debug)]
pub struct Observed {
    /// Namespace and name.
    pub key: Key,
    /// The reference that children carry.
    pub owner: OwnerReference,
    /// Generation of the spec.
    pub generation: i64,
    /// When it was created.
    pub created_at: Timestamp,
    /// What becomes of the children, when it is being deleted.
    pub deletion: Option<Deletion>,
    /// Since when it is being deleted.
    pub deleted_at: Option<Timestamp>,
    /// The spec, or what is wrong with it, or why there is nothing to run.
    pub wanted: Wanted,
    /// The Promotion that asks for it, where an Environment says what runs.
    pub promotion: Option<String>,
    /// Why it does not follow its Environment at the moment, where it does not.
    pub notice: Option<String>,
    /// What is known of the risk of the change besides what its ReplicaSets, images and history say.
    pub risk: RiskSignals,
    /// Burns of the SLOs that the analysis names, as its Environment tells of them.
    pub burns: Vec<SloBurn>,
    /// What was written last time.
    pub status: RolloutStatus,
    /// Its ReplicaSets.
    pub sets: Vec<Set>,
    /// Their pods.
    pub pods: Vec<Pod>,
    /// The Service of each side, where it exists.
    pub services: [Option<Service>; 2],
    /// What routers read and write, as far as it exists.
    pub routes: Vec<Route>,
    /// Objects of people's that the spec named earlier and does not name any more; Services also while it does.
    pub left: Vec<Route>,
    /// Services and routes of ours that the spec does not name any more.
    pub leftovers: Vec<Target>,
    /// Copies of ConfigMaps and Secrets that it has made.
    pub snapshots: Vec<Owned>,
    /// Templates that are kept, where an Environment decided which is worn.
    pub templates: Vec<Kept>,
    /// Ids of its templates that Promotions have on record: they may be worn yet, or gone back to.
    pub recorded: Vec<String>,
    /// The template in the spec, where an Environment decides when that is worn.
    pub offer: Option<Offer>,
    /// Its hooks, by the name of their Job.
    pub hooks: BTreeMap<String, Hook>,
    /// Its Jobs that measure, by name.
    pub samplers: BTreeMap<String, Hook>,
    /// What people decided about it, in the order in which they did.
    pub decisions: Vec<Act>,
    /// The Environment that says what runs, where one does.
    pub environment: Option<String>,
    /// The Deployment that it takes over, where it does.
    pub adoption: Option<Adoption>,
}

/// A burn of an SLO, so fast that somebody is paged for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SloBurn {
    /// Name of the SLO.
    pub slo: String,
    /// Since when.
    pub since: Timestamp,
    /// How fast.
    pub message: String,
}

/// An object that it has made.
#[derive(Clone, Debug, PartialEq)]
pub struct Owned {
    /// The object.
    pub target: Target,
    /// Whether a controller owns it: us.
    pub is_owned: bool,
}

impl Owned {
    /// A ConfigMap or Secret by its name.
    pub fn named(&self) -> Named {
        let (kind, name) = (self.target.kind, self.target.key.name.clone());
        Named { kind, name }
    }
}

/// The Job of a hook, or one that measures.
#[derive(Clone, Debug, PartialEq)]
pub struct Hook {
    /// The object.
    pub target: Target,
    /// How it is.
    pub outcome: Outcome,
    /// Whether it is going.
    pub is_ending: bool,
}

/// What the spec asks for.
#[derive(Clone, Debug)]
pub enum Wanted {
    /// A revision.
    Spec(Arc<Spec>),
    /// Nothing yet: the Environment has no Release.
    NoRelease(String),
    /// Something that cannot be, and what is left of it to hold and to go back with, where something was there before.
    Invalid(Vec<Invalid>, Option<Box<Spec>>),
}

impl Wanted {
    /// The spec, or what is left of it.
    pub fn spec(&self) -> Option<&Spec> {
        match self {
            Self::Spec(spec) => Some(spec),
            Self::Invalid(_, Some(spec)) => Some(spec),
            Self::NoRelease(_) | Self::Invalid(_, None) => None,
        }
    }
}

/// How a Rollout goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deletion {
    /// With its pods.
    Delete,
    /// Leaving the stable revision, its Services and its route.
    Orphan,
    /// Giving its ReplicaSets back to the Deployment that they were taken over from.
    GiveBack,
}

impl Deletion {
    /// Whether pods go on serving.
    pub fn leaves_pods(self) -> bool {
        match self {
            Self::Delete => false,
            Self::Orphan | Self::GiveBack => true,
        }
    }
}

/// A ReplicaSet.
#[derive(Clone, Debug, PartialEq)]
pub struct Set {
    /// The object.
    pub target: Target,
    /// Its revision.
    pub revision: Revision,
    /// Which revision came when.
    pub ordinal: u64,
    /// Since when it has been (or was) stable.
    pub promoted_at: Option<Timestamp>,
    /// Why it was given up.
    pub failed: Option<String>,
    /// Whether a controller owns it: us. An orphan is adopted.
    pub is_owned: bool,
    /// Images by container.
    pub images: BTreeMap<String, String>,
    /// Id of its template, where an Environment decided which that is.
    pub template: Option<String>,
    /// Id of its template, where it was taken over from a Deployment.
    pub source: Option<String>,
    /// Copies of ConfigMaps and Secrets that its pods read.
    pub configs: BTreeSet<Named>,
    /// Pods that it should have.
    pub replicas: i32,
    /// Pods that it has.
    pub current: i32,
    /// Pods that have been ready for long enough.
    pub available: i32,
    /// Whether the ReplicaSet controller has seen its latest spec.
    pub is_settled: bool,
}

impl Set {
    /// Available pods that stay: right after a scaling its status still counts those that go.
    pub fn lasting(&self) -> i32 {
        self.available.clamp(0, self.replicas.max(0))
    }
}

/// A pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// When it was created.
    pub created_at: Timestamp,
    /// Its revision.
    pub revision: Revision,
    /// Whether it answers.
    pub is_ready: bool,
    /// Whether it is going.
    pub is_ending: bool,
    /// Why it will not become ready, where that can be told.
    pub trouble: Option<Trouble>,
}

/// Why a pod will not become ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// A word for it; one of those that are about pods.
    pub reason: FailureReason,
    /// Container, and what Kubernetes says.
    pub message: String,
}

impl Trouble {
    /// What the states of a pod's containers come to.
    pub fn of(told: trouble::Trouble) -> Option<Self> {
        Some(Self {
            reason: FailureReason::named(told.reason)?,
            message: told.message,
        })
    }
}

/// One of the two Services.
#[derive(Clone, Debug, PartialEq)]
pub struct Service {
    /// The object.
    pub target: Target,
    /// The revision that it selects, where it selects one.
    pub revision: Option<Revision>,
    /// Keys of the selector that somebody added.
    pub foreign_keys: Vec<String>,
    /// Whether a controller owns it: us.
    pub is_owned: bool,
    /// Whether its ports are as they should be.
    pub is_current: bool,
    /// Who has taken the selector or the ports of one that is ours since we last wrote them.
    pub taken: Option<Taken>,
    /// What there is to know of it where it is people's.
    pub foreign: Option<ForeignService>,
    /// Uids of the pods behind it that answer.
    pub ready: BTreeSet<String>,
}

impl Service {
    /// Why it cannot serve its side, where it is people's.
    pub fn obstacle(&self) -> Option<&String> {
        self.foreign.as_ref()?.obstacle.as_ref()
    }

    /// The other Rollout that drives it, where it is people's and two name it.
    pub fn rival(&self) -> Option<&String> {
        self.foreign.as_ref()?.rival.as_ref()
    }
}

/// A Service that people own. Of it only the revision in its selector is ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ForeignService {
    /// Why it cannot serve its side, as a sentence for people.
    pub obstacle: Option<String>,
    /// Whether that is because it may not be written into.
    pub is_barred: bool,
    /// Who has written its spec since we last did.
    pub taken: Option<Taken>,
    /// Another Rollout that names it too, and drives it.
    pub rival: Option<String>,
}

impl Observed {
    /// A Rollout that was just made, and that nobody has looked at yet.
    pub fn untouched(key: Key, spec: Arc<Spec>, created_at: Timestamp) -> Self {
        Self {
            key,
            owner: OwnerReference {
                api_version: ObjectKind::Rollout.api_version(),
                controller: Some(true),
                ..OwnerReference::default()
            },
            generation: 1,
            created_at,
            deletion: None,
            deleted_at: None,
            wanted: Wanted::Spec(spec),
            promotion: None,
            notice: None,
            burns: Vec::new(),
            risk: RiskSignals::default(),
            status: RolloutStatus {
                observed_generation: -1,
                ..RolloutStatus::default()
            },
            sets: Vec::new(),
            pods: Vec::new(),
            services: [None, None],
            routes: Vec::new(),
            left: Vec::new(),
            leftovers: Vec::new(),
            snapshots: Vec::new(),
            templates: Vec::new(),
            recorded: Vec::new(),
            offer: None,
            hooks: BTreeMap::new(),
            samplers: BTreeMap::new(),
            decisions: Vec::new(),
            environment: None,
            adoption: None,
        }
    }

    /// Names of the two Services.
    pub fn backends(&self) -> Backends {
        let routing = self.wanted.spec().and_then(|spec| spec.routing.as_ref());
        let chosen = routing
            .map(|routing| routing.services.clone())
            .unwrap_or_default();
        let default = |side| suffixed(&self.key.name, side, MAX_LABEL);
        Backends {
            stable: chosen.stable.unwrap_or_else(|| default("stable")),
            canary: chosen.canary.unwrap_or_else(|| default("canary")),
        }
    }

    /// What routers work on.
    pub fn scene<'a>(&'a self, backends: &'a Backends, port: i32) -> Scene<'a> {
        Scene {
            rollout: &self.key.name,
            backends,
            port,
            routes: &self.routes,
        }
    }

    /// The Service of a side.
    pub fn service(&self, side: Side) -> Option<&Service> {
        let [stable, canary] = &self.services;
        match side {
            Side::Stable => stable.as_ref(),
            Side::Canary => canary.as_ref(),
        }
    }

    /// Services and routes that are ours.
    pub fn owned_traffic(&self) -> impl Iterator<Item = &Target> {
        let services = self.services.iter().flatten();
        let owned = services.filter(|service| service.is_owned);
        let routes = self.routes.iter().filter(|route| route.is_owned());
        owned
            .map(|service| &service.target)
            .chain(routes.map(|route| &route.target))
            .chain(&self.leftovers)
    }

    /// Routes that are ours.
    pub fn owned_routes(&self) -> impl Iterator<Item = &Target> {
        let traffic = self.owned_traffic();
        traffic.filter(|target| target.kind != ObjectKind::Service)
    }

    /// Whether pods are to go on serving when the Rollout, which goes, is gone.
    pub fn is_leaving_pods(&self) -> bool {
        self.deletion.is_some_and(Deletion::leaves_pods)
    }

    /// The ReplicaSet of a revision.
    pub fn set(&self, revision: &Revision) -> Option<&Set> {
        self.sets.iter().find(|set| set.revision == *revision)
    }

    /// Whether every pod is of this revision: the others have served what they had accepted.
    pub fn is_only(&self, revision: &Revision) -> bool {
        let mut others = self.sets.iter().filter(|set| set.revision != *revision);
        others.all(|set| set.replicas == 0)
    }

    /// Ready pods of a revision.
    pub fn ready(&self, revision: &Revision) -> i32 {
        let ready = self
            .pods
            .iter()
            .filter(|pod| pod.revision == *revision && pod.is_ready && !pod.is_ending);
        i32::try_from(ready.count()).unwrap_or(i32::MAX)
    }

    /// Pods of a revision that answer behind a Service, proven by their uids.
    pub fn answering(&self, side: Side, revision: &Revision) -> i32 {
        let Some(service) = self.service(side) else {
            return 0;
        };
        let answering = self.pods.iter().filter(|pod| {
            pod.revision == *revision && !pod.is_ending && service.ready.contains(&pod.uid)
        });
        i32::try_from(answering.count()).unwrap_or(i32::MAX)
    }

    /// The first trouble of a revision's pods.
    pub fn trouble(&self, revision: &Revision) -> Option<&Trouble> {
        self.troubles(revision).next()
    }

    /// What troubles a revision's pods.
    pub fn troubles(&self, revision: &Revision) -> impl Iterator<Item = &Trouble> {
        let pods = self.pods.iter();
        let of_revision = pods.filter(move |pod| pod.revision == *revision && !pod.is_ending);
        of_revision.filter_map(|pod| pod.trouble.as_ref())
    }

    /// Of these, what tells of the revision. Where one of its pods is ready, the template can be run, and a container that
    /// was never made elsewhere tells of that place: a node, a registry that has had enough.
    pub fn faults(&self, revision: &Revision) -> impl Iterator<Item = &Trouble> {
        let has_run = self.ready(revision) > 0;
        let troubles = self.troubles(revision);
        troubles.filter(move |trouble| !(has_run && trouble.reason.is_of_making()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_trouble_of_a_container_is_a_failure_of_a_change() {
        for reason in trouble::REASONS {
            let message = String::new();
            let trouble = Trouble::of(trouble::Trouble { reason, message });
            assert_eq!(trouble.map(|it| it.reason.as_str()), Some(reason));
        }
    }
}
