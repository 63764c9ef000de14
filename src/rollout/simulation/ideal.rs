//! An ideal cluster: what the planner wants done is done, and only time has to pass. No I/O.

mod trouble;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use kube::api::DynamicObject;
use serde_json::{Value, json};

use super::super::api::Tally;
use super::super::observed::{Hook, Observed, Pod, Service, Set, Wanted};
use super::super::plan::{self, Memory};
use super::super::spec::Spec;
use super::super::status;
use crate::check;
use crate::decision::act::Act;
use crate::decision::api::{DecisionAction, DecisionSpec, TargetKind};
use crate::model::action::{Action, Outcome};
use crate::model::key::Key;
use crate::model::label;
use crate::model::manifest::{Manifest, Target};
use crate::model::object::ObjectKind;
use crate::model::plan::Plan;
use crate::model::revision::Revision;
use crate::model::span::later;
use crate::traffic::gateway_api::Generated;
use crate::traffic::router::{Route, Router};

/// When every simulation begins; only spans are shown.
const START: Timestamp = Timestamp::constant(1_800_000_000, 0);

/// A Rollout in an ideal cluster.
pub(in super::super) struct World {
    seen: Observed,
    spec: Box<Spec>,
    now: Timestamp,
    /// Since when each pod has been ready, by uid.
    ready_since: BTreeMap<String, Timestamp>,
    /// Pods and Decisions so far, to tell them apart.
    count: u64,
    /// Metrics whose samples are bad; nothing stands for all of them.
    bad: Vec<Option<String>>,
    /// The revision whose pods crash.
    crashing: Option<Revision>,
}

impl World {
    /// A Rollout that nobody has looked at yet.
    pub(in super::super) fn new(key: Key, spec: Spec) -> Self {
        let spec = with_ideal_routers(spec);
        let seen = Observed::untouched(key, Arc::new(spec.clone()), START);
        Self {
            seen,
            spec: Box::new(spec),
            now: START,
            ready_since: BTreeMap::new(),
            count: 0,
            bad: Vec::new(),
            crashing: None,
        }
    }

    /// What is there.
    #[cfg(test)]
    pub(in super::super) fn seen(&self) -> &Observed {
        &self.seen
    }

    /// The same, for a test that makes something go wrong.
    #[cfg(test)]
    pub(in super::super) fn seen_mut(&mut self) -> &mut Observed {
        &mut self.seen
    }

    pub(in super::super) fn now(&self) -> Timestamp {
        self.now
    }

    pub(super) fn spec(&self) -> &Spec {
        &self.spec
    }

    /// The revision that is wanted.
    pub(super) fn stable(&self) -> Revision {
        self.spec.revision.clone()
    }

    /// Pods that a revision should have.
    pub(super) fn pods_of(&self, revision: &Revision) -> i32 {
        self.seen.set(revision).map_or(0, |set| set.replicas)
    }

    /// Somebody changes the spec.
    pub(in super::super) fn want(&mut self, spec: Spec) {
        let spec = with_ideal_routers(spec);
        self.seen.generation += 1;
        self.seen.wanted = Wanted::Spec(spec.clone().into());
        *self.spec = spec;
    }

    /// Somebody sets `spec.paused` to false.
    pub(super) fn go_on(&mut self) {
        let spec = Spec {
            is_paused: false,
            ..*self.spec.clone()
        };
        self.want(spec);
    }

    /// Somebody makes a Decision. Those before are forgotten: the status says that they were followed.
    pub(in super::super) fn decide(
        &mut self,
        action: DecisionAction,
        user: &str,
        groups: &[String],
    ) {
        self.count += 1;
        let at = self.now;
        self.seen.decisions.retain(|act| act.at == at);
        self.seen.decisions.push(Act {
            name: format!("decision-{}", self.count),
            at,
            version: self.count,
            spec: DecisionSpec {
                user: user.to_owned(),
                groups: groups.to_vec(),
                ..DecisionSpec::about(TargetKind::Rollout, &self.seen.key.name, action)
            },
        });
    }

    /// The planner looks, and puts on record what it means to do.
    pub(in super::super) fn look(&mut self) -> Plan<Memory> {
        let plan = plan::plan(&self.seen, self.now);
        self.seen.status = status::status(&self.seen, &plan, &Outcome::default(), self.now);
        plan
    }

    /// Does it. Whether there was anything to do.
    pub(in super::super) fn carry_out(&mut self, plan: &Plan<Memory>) -> bool {
        for action in &plan.actions {
            match action {
                Action::Create(manifest) | Action::Apply(manifest) => self.create(manifest),
                Action::Patch { target, change } => self.patch(target, change),
                Action::PatchEach(changes) => {
                    for (target, change) in changes {
                        self.patch(target, change);
                    }
                }
                Action::Delete { target, .. } => {
                    self.seen.sets.retain(|set| set.target.key != target.key);
                }
                Action::Evict { target } => self.seen.pods.retain(|pod| pod.uid != target.uid),
                Action::Fetch { key, .. } => self.measure(key),
                Action::Status { .. } | Action::Mirror { .. } => {}
            }
        }
        self.settle();
        !plan.actions.is_empty()
    }

    /// Goes to the next time at which anything happens. False where nothing ever does.
    #[cfg(test)]
    pub(in super::super) fn pass_time(&mut self, plan: &Plan<Memory>) -> bool {
        self.pass_time_until(plan, None)
    }

    /// Goes to the next time at which anything happens, here or elsewhere. False where nothing ever does.
    pub(super) fn pass_time_until(
        &mut self,
        plan: &Plan<Memory>,
        other: Option<Timestamp>,
    ) -> bool {
        let seasoned = self
            .ready_since
            .values()
            .map(|since| self.seasoned_at(*since));
        let next = seasoned.chain(plan.wake).chain(other);
        let next = next.filter(|at| *at > self.now).min();
        let Some(next) = next else { return false };
        self.now = next;
        self.settle();
        true
    }

    /// When a pod that has been ready since then counts as available.
    fn seasoned_at(&self, since: Timestamp) -> Timestamp {
        let span = SignedDuration::from_secs(i64::from(self.spec.min_ready_seconds));
        later(since, span)
    }

    fn create(&mut self, manifest: &Manifest) {
        let target = Target {
            kind: manifest.kind,
            key: manifest.key.clone(),
            uid: manifest.key.name.clone(),
            resource_version: String::new(),
        };
        let body = &manifest.body;
        if target.kind == ObjectKind::ReplicaSet {
            self.seen.sets.push(new_set(target, body));
        } else if target.kind == ObjectKind::Service {
            let is_canary = target.key.name == self.seen.backends().canary;
            let service = Service {
                target,
                revision: selected(body),
                foreign_keys: Vec::new(),
                is_owned: true,
                is_current: true,
                taken: None,
                foreign: None,
                ready: BTreeSet::new(),
            };
            let [stable, canary] = &mut self.seen.services;
            *(if is_canary { canary } else { stable }) = Some(service);
        } else if target.kind == ObjectKind::Job {
            let hook = Hook {
                target,
                outcome: check::Outcome::Passed,
                is_ending: false,
            };
            let measures = body
                .pointer("/metadata/labels")
                .is_some_and(|it| it.get(label::METRIC).is_some());
            let jobs = if measures {
                &mut self.seen.samplers
            } else {
                &mut self.seen.hooks
            };
            jobs.insert(manifest.key.name.clone(), hook);
        } else if let Some(live) = acknowledged(body.clone()) {
            self.seen.routes.push(Route { target, live });
        }
    }

    fn patch(&mut self, target: &Target, change: &Value) {
        let key = &target.key;
        if target.kind == ObjectKind::ReplicaSet {
            let mut sets = self.seen.sets.iter_mut();
            if let Some(set) = sets.find(|set| set.target.key == *key) {
                change_set(set, change);
            }
        } else if target.kind == ObjectKind::Service {
            let mut services = self.seen.services.iter_mut().flatten();
            let service = services.find(|service| service.target.key == *key);
            if let (Some(service), Some(revision)) = (service, selected(change)) {
                service.revision = Some(revision);
            }
        } else if let Some(route) = self
            .seen
            .routes
            .iter_mut()
            .find(|route| route.target == *target)
        {
            let mut body = serde_json::to_value(route.live.as_ref()).unwrap_or_default();
            json_patch::merge(&mut body, change);
            if let Some(live) = acknowledged(body) {
                route.live = live;
            }
        }
    }

    fn measure(&mut self, key: &str) {
        let Some(name) = status::metric_of(key) else {
            return;
        };
        let mut tallies = std::mem::take(&mut self.seen.status.analysis);
        if !tallies.iter().any(|tally| tally.name == name) {
            tallies.push(Tally::of(name));
        }
        for tally in tallies.iter_mut().filter(|tally| tally.name == name) {
            self.sample(tally);
        }
        self.seen.status.analysis = tallies;
    }

    /// Pods are there, and answer behind the Services that select them.
    fn settle(&mut self) {
        let mut pods = std::mem::take(&mut self.seen.pods);
        let mut kept = Vec::new();
        for index in 0..self.seen.sets.len() {
            let Some(set) = self.seen.sets.get(index) else {
                continue;
            };
            let (revision, replicas) = (set.revision.clone(), set.replicas);
            let (mut own, others) = pods
                .into_iter()
                .partition::<Vec<Pod>, _>(|pod| pod.revision == revision);
            pods = others;
            own.truncate(usize::try_from(replicas).unwrap_or(0));
            for _ in i32::try_from(own.len()).unwrap_or(i32::MAX)..replicas {
                own.push(self.new_pod(&revision));
            }
            let seasoned = own.iter().filter(|pod| {
                let since = self.ready_since.get(&pod.uid).copied();
                pod.is_ready && since.is_none_or(|since| self.seasoned_at(since) <= self.now)
            });
            let available = i32::try_from(seasoned.count()).unwrap_or(i32::MAX);
            if let Some(set) = self.seen.sets.get_mut(index) {
                set.current = replicas;
                set.available = available;
            }
            kept.extend(own);
        }
        self.seen.pods = kept;
        let now = self.now;
        let min_ready = SignedDuration::from_secs(i64::from(self.spec.min_ready_seconds));
        self.ready_since
            .retain(|_, since| now.duration_since(*since) <= min_ready);
        for service in self.seen.services.iter_mut().flatten() {
            let behind = self
                .seen
                .pods
                .iter()
                .filter(|pod| pod.is_ready && Some(&pod.revision) == service.revision.as_ref());
            service.ready = behind.map(|pod| pod.uid.clone()).collect();
        }
    }

    fn new_pod(&mut self, revision: &Revision) -> Pod {
        self.count += 1;
        let uid = format!("{revision}-{}", self.count);
        self.ready_since.insert(uid.clone(), self.now);
        let mut pod = Pod {
            name: uid.clone(),
            uid,
            created_at: self.now,
            revision: revision.clone(),
            is_ready: true,
            is_ending: false,
            trouble: None,
        };
        self.strike(&mut pod);
        pod
    }
}

/// Whatever routers the spec names, they do what they are told: as the simplest one does.
fn with_ideal_routers(mut spec: Spec) -> Spec {
    let routing = spec
        .routing
        .iter_mut()
        .filter(|routing| !routing.is_switch());
    for routing in routing {
        routing.routers = vec![Router::Generated(Generated {
            kind: ObjectKind::HttpRoute,
            parent_refs: vec![json!({"name": "ideal"})],
            hostnames: Vec::new(),
            matches: Vec::new(),
            persistence: None,
        })];
    }
    spec
}

/// The value at a path of keys, which may have slashes in them.
fn at<'v>(value: &'v Value, path: &[&str]) -> Option<&'v Value> {
    path.iter().try_fold(value, |value, key| value.get(key))
}

fn new_set(target: Target, body: &Value) -> Set {
    let metadata = |group: &str, key: &str| at(body, &["metadata", group, key])?.as_str();
    let revision = metadata("labels", label::REVISION);
    let ordinal = metadata("annotations", label::ORDINAL);
    let mut set = Set {
        target,
        revision: Revision::from_label(revision.unwrap_or_default()),
        ordinal: ordinal.and_then(|text| text.parse().ok()).unwrap_or(0),
        promoted_at: None,
        failed: None,
        is_owned: true,
        images: images(body),
        template: None,
        source: None,
        configs: BTreeSet::new(),
        replicas: 0,
        current: 0,
        available: 0,
        is_settled: true,
    };
    change_set(&mut set, body);
    set
}

fn images(body: &Value) -> BTreeMap<String, String> {
    let containers = body.pointer("/spec/template/spec/containers");
    let containers = containers.and_then(Value::as_array);
    let image = |container: &Value| {
        let text = |key: &str| container[key].as_str().map(str::to_owned);
        Some((text("name")?, text("image")?))
    };
    containers.into_iter().flatten().filter_map(image).collect()
}

fn change_set(set: &mut Set, change: &Value) {
    let replicas = change.pointer("/spec/replicas").and_then(Value::as_i64);
    if let Some(replicas) = replicas.and_then(|count| i32::try_from(count).ok()) {
        set.replicas = replicas;
    }
    let annotation = |key: &str| at(change, &["metadata", "annotations", key]);
    if let Some(at) = annotation(label::PROMOTED_AT).and_then(Value::as_str) {
        set.promoted_at = at.parse().ok();
    }
    if let Some(reason) = annotation(label::FAILED) {
        set.failed = reason.as_str().map(str::to_owned);
    }
}

/// The revision that a Service selects.
fn selected(body: &Value) -> Option<Revision> {
    let label = at(body, &["spec", "selector", label::REVISION])?;
    label.as_str().map(Revision::from_label)
}

/// A route that every Gateway has taken in as it is.
fn acknowledged(mut body: Value) -> Option<Arc<DynamicObject>> {
    let generation = at(&body, &["metadata", "generation"]).and_then(Value::as_i64);
    let generation = generation.unwrap_or(0) + 1;
    let condition =
        |type_: &str| json!({"type": type_, "status": "True", "observedGeneration": generation});
    let conditions = [condition("Accepted"), condition("ResolvedRefs")];
    let parents = body.pointer("/spec/parentRefs").and_then(Value::as_array);
    let report = |parent: &Value| json!({"parentRef": parent, "conditions": conditions});
    let reports: Vec<Value> = parents.into_iter().flatten().map(report).collect();
    let seen = json!({"metadata": {"generation": generation}, "status": {"parents": reports}});
    json_patch::merge(&mut body, &seen);
    serde_json::from_value(body).ok().map(Arc::new)
}
