//! A Deployment whose pods a Rollout takes over, and gives back: what is known of it, and what each of its objects gets.
//! What is done when is in `plan/adopt.rs`. No I/O.
//!
//! A Deployment has its pods by way of its ReplicaSets, and a ReplicaSet does not care whose it is. One that is paused makes
//! no new ReplicaSet. So it is enough to give another owner to its ReplicaSets: no pod notices. Pods get our labels, so that
//! they are found and selected as all others are. The label by which a Deployment tells its ReplicaSets apart stays, and new
//! ReplicaSets get it too; that is what makes the way back as quiet as the way in.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use kube::ResourceExt;
use kube::api::DynamicObject;
use serde_json::{Value, json};

use super::api::{GracefulShutdown, RolloutSpec, RolloutStatus, Selector};
use super::observed::{Observed, Pod, Set, Wanted};
use super::render::COMPONENT;
use super::spec::{Invalid, Spec};
use crate::model::action::Action;
use crate::model::key::Key;
use crate::model::label;
use crate::model::manifest::{Target, controller_of};
use crate::model::object::ObjectKind;
use crate::model::revision::Revision;
use crate::model::workload::Deployment;

/// The Deployment of a Rollout, and what of it is still to be taken over.
#[derive(Clone, Debug, Default)]
pub struct Adoption {
    /// Its name.
    pub name: String,
    /// The Deployment, where it is there.
    pub deployment: Option<Arc<Deployment>>,
    /// Its ReplicaSets, as far as they are its own yet; read only while it is paused.
    pub held: Vec<Held>,
    /// Pods of what was taken over that do not carry our labels.
    pub strays: Vec<Stray>,
    /// Autoscalers that scale the Deployment, by name.
    pub autoscalers: Vec<String>,
    /// An older Rollout that names the same Deployment.
    pub rival: Option<String>,
    /// Whether it may be given back to a Deployment that asks for something else than what serves.
    pub accepts_rollout: bool,
}

impl Adoption {
    /// Whether the Deployment leaves its ReplicaSets as they are.
    pub fn is_paused(&self) -> bool {
        let deployment = self.deployment.as_ref();
        deployment.is_some_and(|deployment| deployment.is_paused())
    }

    /// What people have to know although everything goes on.
    pub fn notice(&self, has_begun: bool) -> Option<String> {
        let deployment = self.deployment.as_ref();
        let is_loose = has_begun && deployment.is_some_and(|it| !it.is_asked_to_pause());
        is_loose.then(|| {
            format!(
                "Deployment {} is not paused any more, and makes pods of its own beside these; set its spec.paused: true, and \
                 they are taken over too",
                self.name
            )
        })
    }
}

/// A ReplicaSet that is the Deployment's yet.
#[derive(Clone, Debug, PartialEq)]
pub struct Held {
    /// The object.
    pub target: Target,
    /// What Kubernetes tells it apart by.
    pub revision: Revision,
    /// A hash of its template as the Deployment has it.
    pub source: String,
    /// Which of the Deployment's templates came when.
    pub ordinal: u64,
    /// Pods that it has, or should have.
    pub pods: i32,
}

impl Held {
    /// A ReplicaSet as the server has it, if it is of this Deployment.
    pub fn read(set: &DynamicObject, deployment: &str) -> Option<Self> {
        let owner = controller_of(set)?;
        let revision = set.labels().get(label::POD_TEMPLATE_HASH)?;
        let ordinal = set.annotations().get(label::DEPLOYMENT_REVISION);
        let count = |path: &str| set.data.pointer(path).and_then(Value::as_i64).unwrap_or(0);
        let pods = count("/spec/replicas").max(count("/status/replicas"));
        let template = set.data.pointer("/spec/template")?;
        let is_of_it = owner.uid == deployment;
        is_of_it.then(|| Self {
            target: Target::of(ObjectKind::ReplicaSet, set),
            revision: Revision::from_label(revision),
            source: source_of(template.clone()).to_string(),
            ordinal: ordinal.and_then(|text| text.parse().ok()).unwrap_or(0),
            pods: i32::try_from(pods).unwrap_or(i32::MAX),
        })
    }

    /// Makes it the Rollout's: as the stable one, where it is promoted.
    pub fn taken(&self, seen: &Observed, promoted_at: Option<Timestamp>) -> Action {
        let labels = labels_of(&seen.key.name, &self.revision);
        let mut annotations = BTreeMap::from([
            (label::ORDINAL, self.ordinal.to_string()),
            (label::SOURCE, self.source.clone()),
        ]);
        if let Some(at) = promoted_at {
            annotations.insert(label::PROMOTED_AT, at.to_string());
        }
        Action::Patch {
            target: self.target.clone(),
            change: json!({
                "metadata": {"ownerReferences": [seen.owner], "labels": labels, "annotations": annotations},
                "spec": {"template": {"metadata": {"labels": labels}}},
            }),
        }
    }
}

/// A pod of a ReplicaSet that was taken over, without our labels.
#[derive(Clone, Debug, PartialEq)]
pub struct Stray {
    /// The object.
    pub target: Target,
    /// Its revision.
    pub revision: Revision,
}

impl Stray {
    /// A pod as the server has it, if it is of this ReplicaSet and does not say so.
    pub fn read(pod: &DynamicObject, set: &Set, rollout: &str) -> Option<Self> {
        let mut owners = pod.owner_references().iter();
        let is_of_it = owners.any(|owner| owner.uid == set.target.uid);
        let is_staying = pod.metadata.deletion_timestamp.is_none();
        let wanted = labels_of(rollout, &set.revision);
        let has = |(key, value): (&&str, &String)| pod.labels().get(*key) == Some(value);
        let is_told = wanted.iter().all(has);
        (is_of_it && is_staying && !is_told).then(|| Self {
            target: Target::of(ObjectKind::Pod, pod),
            revision: set.revision.clone(),
        })
    }

    /// What it gets.
    pub fn told(&self, rollout: &str) -> (Target, Value) {
        let labels = labels_of(rollout, &self.revision);
        let change = json!({"metadata": {"labels": labels}});
        (self.target.clone(), change)
    }
}

/// Labels by which pods and ReplicaSets are found.
fn labels_of(rollout: &str, revision: &Revision) -> BTreeMap<&'static str, String> {
    [
        (label::COMPONENT, COMPONENT.to_owned()),
        (label::ROLLOUT, rollout.to_owned()),
        (label::REVISION, revision.to_string()),
    ]
    .into()
}

/// Whether the server may know of pods that a ReplicaSet has, and that carry no label of ours.
pub fn may_have_strays(set: &Set, pods: &[Pod]) -> bool {
    let known = pods
        .iter()
        .filter(|pod| pod.revision == set.revision && !pod.is_ending);
    let known = i32::try_from(known.count()).unwrap_or(i32::MAX);
    set.source.is_some() && set.current > known
}

/// Whether ReplicaSets of the Deployment may be waiting to be taken over.
pub fn may_hold(deployment: &Deployment, status: Option<&RolloutStatus>, sets: &[Set]) -> bool {
    let progress = status.and_then(|status| status.progress.as_ref());
    let stable = progress.and_then(|progress| progress.stable.as_ref());
    let is_known = stable.is_some_and(|stable| sets.iter().any(|set| set.revision == *stable));
    let has_pods = deployment
        .status
        .as_ref()
        .is_some_and(|status| status.replicas > 0);
    deployment.is_paused() && (!is_known || has_pods)
}

/// Whether a Rollout runs pods: from then on it serves whatever becomes of the Deployment.
pub fn has_begun(status: &RolloutStatus, sets: &[Set]) -> bool {
    let progress = status.progress.as_ref();
    let has_stable = progress.is_some_and(|progress| progress.stable.is_some());
    has_stable || sets.iter().any(|set| set.promoted_at.is_some())
}

/// Makes a ReplicaSet, taken over or not, the Deployment's: with nothing of ours in its template, so that the Deployment
/// finds in it what it asks for itself.
pub fn given_back(set: &Set, deployment: &Deployment) -> Action {
    let owner = json!({
        "apiVersion": ObjectKind::Deployment.api_version(), "kind": ObjectKind::Deployment.kind(),
        "name": deployment.name_any(), "uid": deployment.uid(),
        "controller": true, "blockOwnerDeletion": true,
    });
    let none = |keys: &[&str]| -> BTreeMap<String, Value> {
        let keys = keys.iter();
        keys.map(|key| ((*key).to_owned(), Value::Null)).collect()
    };
    let labels = none(&[label::COMPONENT, label::ROLLOUT, label::REVISION]);
    let annotations = none(&[
        label::ORDINAL,
        label::SOURCE,
        label::PROMOTED_AT,
        label::FAILED,
    ]);
    Action::Patch {
        target: set.target.clone(),
        change: json!({
            "metadata": {"ownerReferences": [owner], "labels": labels, "annotations": annotations},
            "spec": {"template": {"metadata": {"labels": labels}}},
        }),
    }
}

/// Identity of a template as the Deployment has it, whatever was added to it in a ReplicaSet.
fn source_of(template: Value) -> Revision {
    Revision::of_template(&bare(template))
}

/// A template without what a ReplicaSet adds to it.
fn bare(mut template: Value) -> Value {
    if let Some(metadata) = template.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("creationTimestamp");
        let labels = metadata.get_mut("labels").and_then(Value::as_object_mut);
        if let Some(labels) = labels {
            labels.remove(label::POD_TEMPLATE_HASH);
        }
    }
    template
}

/// The same spec, by the revision of the ReplicaSet that has its template already, where one does.
pub fn known(mut wanted: Wanted, sets: &[Set]) -> Wanted {
    if let Wanted::Spec(spec) = &mut wanted
        && spec.is_adopted
    {
        let known = revision(&spec.revision, sets);
        Arc::make_mut(spec).revision = known;
    }
    wanted
}

fn revision(source: &Revision, sets: &[Set]) -> Revision {
    if sets.iter().any(|set| set.revision == *source) {
        return source.clone();
    }
    let taken = sets
        .iter()
        .filter(|set| set.source.as_deref() == Some(source.as_str()));
    let latest = taken.max_by_key(|set| (set.promoted_at, set.ordinal));
    latest.map_or_else(|| source.clone(), |set| set.revision.clone())
}

/// What pods are made of, and how many there are.
#[derive(Clone, Debug, Default)]
pub struct Workload {
    /// Their template; null where it is not known.
    pub template: Value,
    /// Labels that select them.
    pub selector: BTreeMap<String, String>,
    /// How many there are, where the Rollout does not say it.
    pub replicas: Option<i32>,
}

/// What the pods of a Rollout are made of: by its own spec, or by that of its Deployment.
pub fn workload(
    raw: &RolloutSpec,
    deployment: Option<&Deployment>,
    problems: &mut Vec<Invalid>,
) -> Workload {
    let Some(reference) = &raw.workload_ref else {
        let selector = raw.selector.clone();
        return Workload {
            template: raw.template.value(),
            selector: selector.map(|it| it.match_labels).unwrap_or_default(),
            replicas: None,
        };
    };
    let Some(deployment) = deployment else {
        let problem = format!("there is no Deployment {}", reference.name);
        problems.push(Invalid::new("spec.workloadRef", problem));
        return Workload::default();
    };
    Workload {
        template: bare(deployment.spec.template.clone()),
        selector: deployment.spec.selector.match_labels.clone(),
        replicas: Some(deployment.spec.replicas.unwrap_or(1)),
    }
}

/// Containers of pods that were taken over, or are to be, that lose requests when they end: where the traffic goes with the
/// pods, and nothing lets them go on serving meanwhile.
pub fn losses(spec: &Spec) -> Option<String> {
    let containers = spec.template.pointer("/spec/containers")?.as_array()?;
    let is_sudden = |container: &&Value| container.pointer("/lifecycle/preStop").is_none();
    let sudden = containers.iter().filter(is_sudden);
    let names: Vec<&str> = sudden
        .filter_map(|container| container.get("name")?.as_str())
        .collect();
    let is_lossy = spec.is_adopted && spec.routing.is_none() && !names.is_empty();
    is_lossy.then(|| {
        format!(
            "containers without lifecycle.preStop: {}; requests are lost when their pods end, as before; give each of them one in \
             the Deployment (sleep: {{seconds: 10}}), or divide requests with spec.traffic",
            names.join(", ")
        )
    })
}

/// The same spec with some pods in place of those of a Deployment: for whoever looks at strategy, traffic and analysis where
/// no Deployment can be read.
pub fn standing_in(raw: &RolloutSpec) -> RolloutSpec {
    let mut raw = raw.clone();
    if let Some(reference) = raw.workload_ref.take() {
        let labels = BTreeMap::from([("app".to_owned(), reference.name)]);
        let containers = json!([{"name": "app", "image": "app"}]);
        let template = json!({"metadata": {"labels": labels}, "spec": {"containers": containers}});
        raw.template = template.into();
        raw.selector = Some(Selector {
            match_labels: labels,
        });
        raw.graceful_shutdown = Some(GracefulShutdown::Off);
    }
    raw
}

/// The Rollout that has the better right to a Deployment that both name: the older one, and of two of one age the first by
/// name.
pub fn rival<'r>(
    own: (&Key, Option<Timestamp>),
    others: impl Iterator<Item = (&'r Key, Option<Timestamp>)>,
) -> Option<String> {
    let (key, created_at) = own;
    let mut older =
        others.filter(|(other, at)| *other != key && (at, &other.name) < (&created_at, &key.name));
    older.next().map(|(other, _)| other.name.clone())
}

#[cfg(test)]
mod tests;
