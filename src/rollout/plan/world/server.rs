//! The API server of a world: what becomes of the actions of a plan.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::DynamicObject;

use super::*;
use crate::model::json::object;
use crate::traffic::gateway_api::Named;
use crate::traffic::router::{Backends, Router};

impl World {
    pub(super) fn act(&mut self, action: &Action, outcome: &mut Outcome) -> bool {
        self.version += 1;
        match action {
            Action::Create(manifest) => {
                let body = &manifest.body;
                match manifest.kind {
                    ObjectKind::ReplicaSet => self.create_set(body),
                    ObjectKind::Service => {
                        let side = usize::from(manifest.key.name.ends_with("canary"));
                        let selected = selected(body);
                        let version = self.version;
                        self.objects.services[side].get_or_insert((selected, version));
                    }
                    ObjectKind::Job => {
                        let passes_at = self.now + 2;
                        self.jobs
                            .entry(manifest.key.name.clone())
                            .or_insert(passes_at);
                    }
                    ObjectKind::HttpRoute => {
                        if self.objects.route.is_none() {
                            let division = division_in(body).unwrap();
                            let weight = division.weight.percent();
                            self.objects.route = Some((weight, self.version));
                            self.objects.on_top = on_top(division);
                        }
                    }
                    other => panic!("{other:?}"),
                }
                true
            }
            Action::Patch { .. } | Action::PatchEach(_) => {
                let lost = action
                    .patches()
                    .filter(|(target, change)| !self.patch(target, change));
                lost.count() == 0
            }
            Action::Fetch { key, .. } => {
                let answer = self.answer(key);
                outcome.replies.insert(key.clone(), answer);
                true
            }
            Action::Delete { target, .. } => {
                self.delete(target);
                true
            }
            Action::Evict { target } => {
                let answer = self.evict(&target.uid);
                outcome.evictions.insert(target.key.name.clone(), answer);
                true
            }
            other => panic!("{other:?}"),
        }
    }

    fn delete(&mut self, target: &Target) {
        let name = &target.key.name;
        match target.kind {
            ObjectKind::Job => drop(self.jobs.remove(name)),
            ObjectKind::ReplicaSet => {
                let is_other = |set: &SimSet| format!("api-{}", set.revision) != *name;
                self.objects.sets.retain(is_other);
            }
            ObjectKind::Service => {
                self.objects.services[usize::from(name.ends_with("canary"))] = None;
            }
            ObjectKind::HttpRoute => self.objects.route = None,
            other => panic!("{other:?}"),
        }
    }

    /// Now and then a budget of disruption does not allow it.
    fn evict(&mut self, uid: &str) -> Eviction {
        if self.random.one_in(5) {
            return Eviction::Refused("the budget needs 4 healthy pods and has 4".to_owned());
        }
        let ends_at = self.now + if self.is_graceful { DRAIN } else { 0 };
        let mut pods = self.pods.iter_mut();
        if let Some(pod) = pods.find(|pod| pod.uid == uid && pod.ends_at.is_none()) {
            pod.ends_at = Some(ends_at);
        }
        Eviction::Granted
    }

    fn create_set(&mut self, body: &Value) {
        let label = &body["metadata"]["labels"]["slipway.dev/revision"];
        let revision = Revision::from_label(label.as_str().unwrap());
        if self.objects.sets.iter().any(|set| set.revision == revision) {
            return;
        }
        let ordinal = body["metadata"]["annotations"]["slipway.dev/ordinal"]
            .as_str()
            .unwrap();
        self.objects.sets.push(SimSet {
            revision,
            ordinal: ordinal.parse().unwrap(),
            replicas: i32::try_from(body["spec"]["replicas"].as_i64().unwrap()).unwrap(),
            version: self.version,
            promoted_at: None,
            failed: None,
        });
    }

    fn patch(&mut self, target: &Target, change: &Value) -> bool {
        let version = self.version;
        let lost = |current: u64| target.resource_version != current.to_string();
        match target.kind {
            ObjectKind::ReplicaSet => {
                let name = &target.key.name;
                let mut sets = self.objects.sets.iter_mut();
                let set = sets
                    .find(|set| format!("api-{}", set.revision) == *name)
                    .unwrap();
                if lost(set.version) {
                    return false;
                }
                set.version = version;
                let (revision, before) = (set.revision.clone(), set.replicas);
                let annotations = &change["metadata"]["annotations"];
                if let Some(at) = annotations["slipway.dev/promoted-at"].as_str() {
                    set.promoted_at = Some(at.parse().unwrap());
                }
                if let Some(reason) = annotations.get("slipway.dev/failed") {
                    set.failed = reason.as_str().map(str::to_owned);
                }
                if let Some(count) = change.pointer("/spec/replicas").and_then(Value::as_i64) {
                    let after = i32::try_from(count).unwrap();
                    self.judge_count(&revision, before, after);
                    let mut sets = self.objects.sets.iter_mut();
                    sets.find(|set| set.revision == revision).unwrap().replicas = after;
                }
            }
            ObjectKind::Service => {
                let side = usize::from(target.key.name.ends_with("canary"));
                if lost(self.objects.services[side].as_ref().unwrap().1) {
                    return false;
                }
                let to = selected(change);
                self.judge_selector(side, &to);
                self.objects.services[side] = Some((to, version));
            }
            ObjectKind::HttpRoute => {
                let (before, current) = self.objects.route.unwrap();
                if lost(current) {
                    return false;
                }
                let division = division_in(change).unwrap();
                let weight = division.weight.percent();
                self.judge_division(&self.written(before), &division);
                self.objects.route = Some((weight, version));
                self.objects.on_top = on_top(division);
                self.watch_weight(before, weight);
            }
            ObjectKind::TraefikService => {
                let (before, current) = self.objects.route.unwrap();
                if lost(current) {
                    return false;
                }
                let weight = &change["spec"]["weighted"]["services"][1]["weight"];
                let weight = u8::try_from(weight.as_u64().unwrap()).unwrap();
                let division = Division::of(Weight::new(i64::from(weight)).unwrap());
                self.judge_division(&self.written(before), &division);
                self.objects.route = Some((weight, version));
                self.watch_weight(before, weight);
            }
            other => panic!("{other:?}"),
        }
        true
    }

    /// How the route divides with this weight.
    fn written(&self, weight: u8) -> Division {
        Division {
            weight: Weight::new(i64::from(weight)).unwrap(),
            ..self.objects.on_top.clone()
        }
    }

    /// The canary's weight goes up, or it goes down for good.
    fn watch_weight(&mut self, before: u8, after: u8) {
        let [Some((stable, _)), Some((canary, _))] = &self.objects.services else {
            return;
        };
        if stable == canary {
            return;
        }
        let canary = canary.clone();
        if after < before {
            self.left.insert(canary);
        } else if self.left.contains(&canary) {
            let text = format!(
                "{}: {canary} went from {before} to {after} % again",
                self.now
            );
            self.lost.push(text);
        }
    }

    fn answer(&mut self, key: &str) -> Result<Reply, String> {
        if let Some(result) = self.chance() {
            self.answered.insert(key.to_owned(), result);
            return match result {
                SampleResult::Good => Ok(value("0.0")),
                SampleResult::Bad => Ok(value("0.5")),
                SampleResult::Inconclusive => Ok(value("0.05")),
                SampleResult::NoData => Ok(vector(&json!([]))),
                SampleResult::Error => Err("refused".to_owned()),
            };
        }
        if self.silent {
            return Ok(vector(&json!([])));
        }
        let is_bad = self.bad.contains(self.wanted);
        Ok(value(if is_bad { "0.5" } else { "0.0" }))
    }
}

fn value(value: &str) -> Reply {
    vector(&json!([{"value": [0, value]}]))
}

fn vector(result: &Value) -> Reply {
    let body = json!({"status": "success", "data": {"resultType": "vector", "result": result}});
    Reply {
        status: 200,
        body: body.to_string().into_bytes(),
    }
}

fn selected(body: &Value) -> Revision {
    Revision::from_label(
        body["spec"]["selector"]["slipway.dev/revision"]
            .as_str()
            .unwrap(),
    )
}

/// How a route, or a patch of one, divides.
fn division_in(body: &Value) -> Option<Division> {
    let (kind, name) = (ObjectKind::HttpRoute, "api".to_owned());
    let live = DynamicObject {
        types: None,
        metadata: ObjectMeta::default(),
        data: object([("spec", body["spec"].clone())]),
    };
    let route = Route {
        target: target(kind, &name, 1),
        live: live.into(),
    };
    let scene = Scene {
        rollout: "api",
        backends: &Backends {
            stable: "api-stable".to_owned(),
            canary: "api-canary".to_owned(),
        },
        port: 80,
        routes: &[route],
    };
    let reading = Router::Named(Named { kind, name }).read(&scene);
    Some(reading.ok()?.division)
}

/// What a division adds to its weight.
fn on_top(division: Division) -> Division {
    Division {
        weight: Weight::ZERO,
        ..division
    }
}
