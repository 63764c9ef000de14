//! What others do in the world: Rollouts that follow, Jobs that end, a Prometheus that counts.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use serde_json::{Value, json};

use super::super::observed::{LiveRules, Rules};
use super::super::render;
use super::{Model, NOW, NS, Nature, World};
use crate::model::action::{Reply, Request};
use crate::model::key::Key;
use crate::model::manifest::Target;
use crate::model::object::ObjectKind;
use crate::model::span::exact;
use crate::pipeline_run::api::{Latency, ReportSummary};
use crate::rollout::api::Rollout;
use crate::rollout::binding::{self, Binding};
use crate::rollout::template;
use crate::runner::report::StageReport;

impl World {
    /// The objects that have rules of an Environment.
    pub(super) fn rules_of(&self, environment: &str) -> Rules {
        let name = render::rules_name(environment);
        let found = self.objects.get(&(ObjectKind::ConfigMap, name.clone()));
        let live = found.map(|object| LiveRules {
            target: Target {
                kind: ObjectKind::ConfigMap,
                key: Key::new(NS, name),
                uid: object["metadata"]["uid"].as_str().unwrap().to_owned(),
                resource_version: String::new(),
            },
            is_ours: object.pointer("/metadata/ownerReferences/0/name")
                == Some(&environment.into()),
            body: object.clone(),
        });
        Rules {
            kind: ObjectKind::ConfigMap,
            live: live.into_iter().collect(),
        }
    }

    /// Whether requests fail in an Environment.
    fn burns(&self, environment: &str) -> bool {
        let model = self.models.get(&format!("{environment}-api"));
        let images = model.map(|model| model.stable.values().chain(model.canary.values()));
        let mut images = images.into_iter().flatten();
        self.has_outage || images.any(|image| self.natures.get(image) == Some(&Nature::Burns))
    }

    pub(super) fn note_burns(&mut self) {
        for name in self.names(ObjectKind::Environment) {
            let burns = self.burns(&name);
            let known = self.burnt.entry(name).or_default();
            if known.last().is_some_and(|(_, known)| *known) != burns {
                known.push((self.now, burns));
            }
        }
    }

    /// What Prometheus answers: of a thousand requests a hundred have failed, or none.
    pub(super) fn counted(&self, environment: &str, request: &Request) -> Result<Reply, String> {
        if !self.has_prometheus {
            return Err("connection refused".to_owned());
        }
        if request.method == "GET" {
            return Ok(rules_that_are_loaded(request));
        }
        let body = request.body.as_deref().unwrap();
        let at = body
            .split_once("&time=")
            .map(|(_, at)| at.parse::<i64>().unwrap());
        let at = at.map_or(self.now, |at| {
            Timestamp::from_second(at).unwrap() - SignedDuration::from_secs(1)
        });
        let known = self.burnt[environment].iter().rev();
        let burns = known
            .map(|(since, burns)| (*since, *burns))
            .find(|(since, _)| *since <= at);
        let burns = burns.is_some_and(|(_, burns)| burns);
        let names = body.split("%22of%22%2C%20%22").skip(1).map(|rest| {
            let (name, _) = rest.split_once("%22").unwrap();
            name.replace("%2F", "/")
        });
        let series = names.filter(|name| !name.starts_with("calm/")).map(|name| {
            let number = match name.split_once('/').unwrap().0 {
                "errors" | "since" if burns => "100",
                "errors" | "since" => "0",
                // Of the whole period it is little.
                "total" if name.ends_with("/period") => "1000000",
                "total" => "1000",
                _ => "1",
            };
            json!({"metric": {"of": name}, "value": [1, number]})
        });
        let series: Vec<Value> = series.collect();
        let body = json!({"status": "success", "data": {"resultType": "vector", "result": series}});
        Ok(Reply {
            status: 200,
            body: body.to_string().into_bytes(),
        })
    }

    /// What an application answers: nothing for a while, then what its Release makes of it.
    pub(super) fn visited(&mut self, environment: &str) -> Result<Reply, String> {
        self.asked += 1;
        if self.unanswered > 0 {
            self.unanswered -= 1;
            return Err("no answer from shop within 5 s".to_owned());
        }
        let model = &self.models[&format!("{environment}-api")];
        let nature = model.stable.get("web").and_then(|at| self.natures.get(at));
        let status = if nature == Some(&Nature::FailsSmoke) {
            503
        } else {
            200
        };
        Ok(Reply {
            status,
            body: b"ok".to_vec(),
        })
    }

    /// What an Alertmanager sends about an alert that began so many seconds ago: it fires, or ended just now.
    pub(crate) fn deliver(
        &mut self,
        environment: &str,
        fingerprint: &str,
        ago: i64,
        has_ended: bool,
    ) {
        let start = self.now - SignedDuration::from_secs(ago);
        let end = if has_ended {
            self.now.to_string()
        } else {
            "0001-01-01T00:00:00Z".to_owned()
        };
        let alert = json!({
            "status": if has_ended { "resolved" } else { "firing" },
            "labels": {"alertname": "Slow", "severity": "page"}, "annotations": {"summary": "it is slow"},
            "startsAt": start.to_string(), "endsAt": end, "fingerprint": fingerprint,
        });
        let alert = serde_json::from_value(alert).unwrap();
        self.delivered
            .entry(environment.to_owned())
            .or_default()
            .push(alert);
    }

    /// Somebody edits the template in the spec of a Rollout. What begins with `bad` does not come up.
    pub(crate) fn edit_template(&mut self, rollout: &str, id: &str) {
        self.templates.insert(rollout.to_owned(), id.to_owned());
    }

    /// The template that a Rollout wears.
    pub(crate) fn wears(&self, rollout: &str) -> Option<&str> {
        self.models[rollout].worn.as_deref()
    }

    pub(super) fn rollouts_act(&mut self) {
        for name in self.names(ObjectKind::Rollout) {
            let key = Key::new(NS, name.as_str());
            let rollout = self.caches.rollouts.get(&key).unwrap();
            let mut model = self.models.remove(&name).unwrap();
            let (mut status, is_news) = self.follow(&rollout, &mut model);
            if let Some(id) = self.templates.get(&name) {
                status["template"] = json!(id);
            }
            self.models.insert(name.clone(), model);
            let mut object = self.object(ObjectKind::Rollout, &name);
            if is_news || object.get("status") != Some(&status) {
                object["status"] = status;
                self.store(ObjectKind::Rollout, &name, object);
            }
        }
    }

    /// One move of a Rollout.
    fn follow(&self, rollout: &Rollout, model: &mut Model) -> (Value, bool) {
        let source = rollout.spec.release.as_ref().unwrap();
        let environment = Key::new(NS, source.environment.name.as_str());
        let environment = self.followed(&environment);
        let asked = if model.canary.is_empty() {
            &model.stable
        } else {
            &model.canary
        };
        let kept = (!asked.is_empty()).then(|| asked.clone());
        let bound = binding::bind(&rollout.name_any(), source, environment.as_deref(), kept);
        let Binding::Images {
            images, promotion, ..
        } = bound
        else {
            return (rendered(rollout, model, "Pending"), false);
        };
        let nature = images.get("web").and_then(|image| self.natures.get(image));
        let offered = self.templates.get(&rollout.name_any()).cloned();
        let taken = environment.as_deref().and_then(|environment| {
            template::taken_in(environment, &rollout.name_any()).map(str::to_owned)
        });
        let worn = offered.is_some().then_some(taken.or(offered)).flatten();
        let is_bad = worn.as_ref().is_some_and(|worn| worn.starts_with("bad"));
        let breaks = nature == Some(&Nature::Breaks) || is_bad;
        let is_same = model.stable == images && (model.worn == worn || model.worn.is_none());
        if model.stable.is_empty() || is_same {
            (model.stable, model.canary, model.failed) = (images, BTreeMap::new(), None);
            (model.worn, model.tried) = (worn, None);
            model.unready_since = breaks.then(|| model.unready_since.unwrap_or(self.now));
            let phase = if breaks { "Degraded" } else { "Healthy" };
            return (rendered(rollout, model, phase), false);
        }
        let gave_up = model.failed.as_ref().is_some_and(|asked| {
            let is_same = model.canary == images && model.tried == worn;
            is_same && (promotion.is_none() || *asked == promotion)
        });
        if gave_up {
            return (rendered(rollout, model, "RolledBack"), false);
        }
        if breaks {
            (model.canary, model.failed) = (images, Some(promotion));
            model.tried = worn;
            return (rendered(rollout, model, "RolledBack"), true);
        }
        if model.canary == images && model.tried == worn && model.failed.is_none() {
            (model.stable, model.canary) = (images, BTreeMap::new());
            (model.worn, model.tried) = (worn, None);
            return (rendered(rollout, model, "Healthy"), true);
        }
        (model.canary, model.failed) = (images, None);
        model.tried = worn;
        (rendered(rollout, model, "Progressing"), true)
    }

    pub(super) fn jobs_act(&mut self) {
        for name in self.names(ObjectKind::Job) {
            if self.migrates(&name) {
                continue;
            }
            let mut object = self.object(ObjectKind::Job, &name);
            if object.get("status").is_some() || self.are_tests_slow {
                continue;
            }
            let container = &object["spec"]["template"]["spec"]["containers"][0];
            let env = container["env"].as_array().unwrap();
            let digest = env
                .iter()
                .find(|variable| variable["name"] == "SLIPWAY_DIGEST_API");
            let digest = digest.unwrap()["value"].as_str().unwrap();
            let nature = self.natures.get(&format!("registry.example/api@{digest}"));
            let nature = nature.copied();
            if nature == Some(Nature::LacksSmoke) {
                self.put(ObjectKind::Pod, &name, waiting_pod(&object));
                object["status"] = json!({"active": 1});
                self.store(ObjectKind::Job, &name, object);
                continue;
            }
            if nature == Some(Nature::LosesSmoke) && !name.ends_with("-3") {
                let mut pod = waiting_pod(&object);
                pod["status"] = json!({"phase": "Failed", "reason": "Evicted", "message": "the node was low on memory"});
                self.put(ObjectKind::Pod, &name, pod);
                let at = exact(self.now);
                object["status"] = json!({"conditions": [{
                    "type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "lastTransitionTime": at,
                }]});
                self.store(ObjectKind::Job, &name, object);
                continue;
            }
            if container["command"][1] == "stage" {
                let pod = reporting_pod(&object, self.p95);
                self.put(ObjectKind::Pod, &name, pod);
            }
            let type_ = if nature == Some(Nature::FailsSmoke) {
                "Failed"
            } else {
                "Complete"
            };
            object["status"] = json!({"conditions": [{"type": type_, "status": "True", "reason": "BackoffLimitExceeded"}]});
            self.store(ObjectKind::Job, &name, object);
        }
    }
}

fn rendered(rollout: &Rollout, model: &Model, phase: &str) -> Value {
    let revision = |images: &BTreeMap<String, String>| json!({"revision": "r", "images": images, "replicas": 1, "ready": 1});
    let is_ready = phase == "Healthy";
    let since = exact(model.unready_since.unwrap_or(NOW));
    let condition = |type_: &str, is_true: bool| {
        let status = if is_true { "True" } else { "False" };
        json!({"type": type_, "status": status, "reason": phase, "message": "m", "lastTransitionTime": since})
    };
    let mut status = json!({
        "observedGeneration": rollout.metadata.generation, "phase": phase, "message": phase,
        "conditions": [condition("Ready", is_ready), condition("Healthy", phase != "Degraded")],
        "progress": {}, "replicas": 0,
    });
    if !model.stable.is_empty() {
        status["stable"] = revision(&model.stable);
        status["stable"]["template"] = json!(model.worn);
    }
    if !model.canary.is_empty() {
        status["canary"] = revision(&model.canary);
        status["canary"]["template"] = json!(model.tried);
    }
    if let Some(promotion) = &model.failed {
        status["progress"]["failed"] = json!({
            "revision": "r", "reason": "CrashLoop", "message": "exit 1", "at": NOW.to_string(),
            "promotion": promotion,
        });
    }
    status
}

/// A Job's pod whose image nobody has.
fn waiting_pod(job: &Value) -> Value {
    let state = json!({"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}});
    pod_of(job, &state)
}

/// A Job's pod, with its container in that state.
pub(super) fn pod_of(job: &Value, state: &Value) -> Value {
    let of_job = &job["metadata"];
    json!({
        "metadata": {
            "labels": of_job["labels"],
            "ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job", "name": of_job["name"], "uid": of_job["uid"]}],
        },
        "status": {"containerStatuses": [{
            "name": "check", "image": "smoke:1", "imageID": "", "ready": false, "restartCount": 0,
            "state": state,
        }]},
    })
}

/// A Job's pod whose load test came to this.
fn reporting_pod(job: &Value, p95: f64) -> Value {
    let load = Latency {
        name: "load".into(),
        requests: Some(1000),
        p95: Some(p95),
        ..Latency::default()
    };
    let reports = ReportSummary {
        latency: vec![load],
        ..ReportSummary::default()
    };
    let report = StageReport {
        reports: Some(reports),
        ..StageReport::default()
    };
    let mut pod = waiting_pod(job);
    let ended = json!({"terminated": {"exitCode": 0, "message": report.encode()}});
    pod["status"]["containerStatuses"][0]["state"] = ended;
    pod
}

/// Every group of rules that is asked for.
fn rules_that_are_loaded(request: &Request) -> Reply {
    let names = request.url.split("rule_group%5B%5D=").skip(1);
    let groups = names.map(|name| json!({"name": name.trim_end_matches('&'), "rules": []}));
    let groups: Vec<Value> = groups.collect();
    let body = json!({"status": "success", "data": {"groups": groups}});
    Reply {
        status: 200,
        body: body.to_string().into_bytes(),
    }
}
