//! A world for tests: Environments with the objects around them, and a plain model of everything that is
//! not ours: the API server's versions, Rollouts that follow, Jobs that end, a receiver of messages.
//!
//! Reconciles are real: `observe`, `plan` and `status` on real caches. A fuse stops one after any write,
//! as a crash would.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use serde_json::{Value, json};

use super::api::Environment;
use super::observed::{LiveRules, Rules};
use super::slo::{self, Answers};
use super::{observe, plan, render, status};
use crate::cluster::caches::Caches;
use crate::model::action::{Action, Outcome, Reply, Request};
use crate::model::key::Key;
use crate::model::manifest::{Manifest, Target};
use crate::model::object::ObjectKind;
use crate::promotion::api::Promotion;
use crate::promotion::audit;
use crate::rollout::api::Rollout;
use crate::rollout::binding::{self, Binding};

/// When every story begins.
pub(crate) const NOW: Timestamp = Timestamp::constant(1_800_000_000, 0);
/// Where every story plays.
pub(crate) const NS: &str = "shop";
/// Rounds after which a world has to be at rest.
const ROUNDS: usize = 400;

/// What a Release does where it runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Nature {
    #[default]
    Good,
    /// Rollouts give it up.
    Breaks,
    /// It runs, and its smoke tests fail.
    FailsSmoke,
    /// It runs, and nobody has the image of its smoke tests.
    LacksSmoke,
    /// It runs, and a tenth of its requests fail.
    Burns,
}

/// The model of a Rollout: its ReplicaSets, more or less.
#[expect(
    clippy::option_option,
    reason = "not failed, failed, failed for a promotion"
)]
#[derive(Clone, Debug, Default)]
struct Model {
    stable: BTreeMap<String, String>,
    canary: BTreeMap<String, String>,
    failed: Option<Option<String>>,
    unready_since: Option<Timestamp>,
}

pub(crate) struct World {
    pub(crate) now: Timestamp,
    pub(crate) caches: Caches,
    pub(crate) sent: Vec<Request>,
    /// What the receiver of messages answers.
    pub(crate) receiver: u16,
    /// Writes until the crash.
    pub(crate) fuse: Option<usize>,
    /// Writes so far.
    pub(crate) writes: usize,
    objects: BTreeMap<(ObjectKind, String), Value>,
    natures: BTreeMap<String, Nature>,
    models: BTreeMap<String, Model>,
    version: u64,
    ended: BTreeMap<String, Value>,
    /// Whether Prometheus answers.
    pub(crate) has_prometheus: bool,
    /// Whether requests fail whatever runs.
    pub(crate) has_outage: bool,
    /// Whether smoke tests take for ever.
    pub(crate) are_tests_slow: bool,
    answers: BTreeMap<String, Answers>,
    /// Since when requests fail in an Environment, or do not any more.
    burnt: BTreeMap<String, Vec<(Timestamp, bool)>>,
}

/// A reconcile that did not come to its end.
struct Crash;

/// A Job's pod whose image nobody has.
fn waiting_pod(job: &Value) -> Value {
    let of_job = &job["metadata"];
    json!({
        "metadata": {
            "labels": of_job["labels"],
            "ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job", "name": of_job["name"], "uid": of_job["uid"]}],
        },
        "status": {"containerStatuses": [{
            "name": "check", "image": "smoke:1", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}},
        }]},
    })
}

pub(crate) fn digest(number: u32) -> String {
    format!("sha256:{}", format!("{number:02x}").repeat(32))
}

fn reference(number: u32) -> String {
    format!("registry.example/api@{}", digest(number))
}

impl World {
    /// An empty world.
    pub(crate) fn new() -> Self {
        Self {
            now: NOW,
            caches: Caches::default(),
            sent: Vec::new(),
            receiver: 200,
            fuse: None,
            writes: 0,
            objects: BTreeMap::new(),
            natures: BTreeMap::new(),
            models: BTreeMap::new(),
            version: 0,
            ended: BTreeMap::new(),
            has_prometheus: true,
            has_outage: false,
            are_tests_slow: false,
            answers: BTreeMap::new(),
            burnt: BTreeMap::new(),
        }
    }

    /// The same with an SLO on each Environment.
    pub(crate) fn shop_with_slos() -> Self {
        let mut world = Self::shop();
        let slo = json!({
            "metrics": {"prometheus": {"address": "http://prometheus:9090"}},
            "slos": [{"name": "api", "objective": "99.9",
                      "availability": {"metric": "requests_total", "errorMatchers": "code=~\"5..\""}}],
        });
        for name in ["staging", "production"] {
            world.edit(name, &slo);
        }
        world
    }

    /// `staging` takes Releases of `shop` by itself and tests them; `production` takes what is good in
    /// staging after one approval. A Rollout follows each.
    pub(crate) fn shop() -> Self {
        let mut world = Self::new();
        let smoke = json!([{"name": "paths", "job": {"image": "smoke:1", "command": ["smoke"]}}]);
        world.environment(
            "staging",
            &json!({"tier": "Staging", "promotion": {"from": {"pipelines": ["shop"]}},
                    "rollouts": [{"name": "staging-api"}], "smokeTests": smoke}),
        );
        world.environment(
            "production",
            &json!({"tier": "Production", "promotion": {"from": {"environments": ["staging"]}},
                    "protection": {"approvals": {"required": 1}},
                    "rollouts": [{"name": "production-api"}], "smokeTests": smoke}),
        );
        world.rollout("staging-api", "staging");
        world.rollout("production-api", "production");
        world
    }

    pub(crate) fn environment(&mut self, name: &str, spec: &Value) {
        self.put(ObjectKind::Environment, name, json!({"spec": spec}));
    }

    pub(crate) fn edit(&mut self, environment: &str, change: &Value) {
        let mut object = self.object(ObjectKind::Environment, environment);
        json_patch::merge(&mut object["spec"], change);
        let generation = object["metadata"]["generation"].as_i64().unwrap();
        object["metadata"]["generation"] = (generation + 1).into();
        self.store(ObjectKind::Environment, environment, object);
    }

    pub(crate) fn rollout(&mut self, name: &str, environment: &str) {
        let spec = json!({
            "selector": {"matchLabels": {"app": name}}, "template": {},
            "release": {"environment": {"name": environment}, "images": {"web": "api"}},
        });
        self.put(ObjectKind::Rollout, name, json!({"spec": spec}));
        self.models.insert(name.to_owned(), Model::default());
    }

    /// A Release `shop-<number>` that follows the one before.
    pub(crate) fn release(&mut self, number: u32, nature: Nature) {
        self.tick(1);
        let commit = json!({"sha": format!("{number:040x}"), "author": "a", "email": "a@b", "subject": "s",
                            "committedAt": self.now.to_string()});
        let previous = (number > 1).then(|| format!("shop-{}", number - 1));
        let spec = json!({
            "pipeline": "shop", "commit": commit, "previous": previous, "ref": "refs/heads/main",
            "images": [{"name": "api", "repository": "registry.example/api", "digest": digest(number)}],
            "evidence": {"run": "run"},
        });
        let name = format!("shop-{number}");
        let object =
            json!({"metadata": {"labels": {"slipway.dev/pipeline": "shop"}}, "spec": spec});
        self.put(ObjectKind::Release, &name, object);
        self.natures.insert(reference(number), nature);
    }

    pub(crate) fn set_nature(&mut self, number: u32, nature: Nature) {
        self.natures.insert(reference(number), nature);
    }

    /// A Decision on an Environment, a second later.
    pub(crate) fn decide(&mut self, user: &str, action: &str, on: &str, rest: &Value) -> String {
        self.tick(1);
        let mut spec = json!({
            "target": {"kind": "Environment", "name": on}, "action": action, "user": user,
            "reason": "because",
        });
        json_patch::merge(&mut spec, rest);
        let name = format!("d{}", self.version);
        self.put(ObjectKind::Decision, &name, json!({"spec": spec}));
        name
    }

    pub(crate) fn tick(&mut self, seconds: i64) {
        self.now += SignedDuration::from_secs(seconds);
    }

    /// Takes the status off an object.
    pub(crate) fn wipe(&mut self, kind: ObjectKind, name: &str) {
        let mut object = self.object(kind, name);
        object.as_object_mut().unwrap().remove("status");
        self.ended.remove(name);
        self.store(kind, name, object);
    }

    pub(crate) fn wipe_all(&mut self, kind: ObjectKind) {
        for name in self.names(kind) {
            self.wipe(kind, &name);
        }
    }

    pub(crate) fn delete(&mut self, kind: ObjectKind, name: &str) {
        if let Some(object) = self.objects.remove(&(kind, name.to_owned())) {
            let uid = object["metadata"]["uid"].as_str().unwrap();
            self.caches.forget(kind, &Key::new(NS, name), uid);
        }
        self.ended.remove(name);
    }

    pub(crate) fn names(&self, kind: ObjectKind) -> Vec<String> {
        let of_kind = self.objects.keys().filter(|(found, _)| *found == kind);
        of_kind.map(|(_, name)| name.clone()).collect()
    }

    fn put(&mut self, kind: ObjectKind, name: &str, mut object: Value) {
        let created = self.now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        object["apiVersion"] = kind.api_version().into();
        object["kind"] = kind.kind().into();
        object["metadata"]["namespace"] = NS.into();
        object["metadata"]["name"] = name.into();
        object["metadata"]["uid"] = format!("uid-{name}-{}", self.version).into();
        object["metadata"]["generation"] = 1.into();
        object["metadata"]["creationTimestamp"] = created.into();
        self.store(kind, name, object);
    }

    fn store(&mut self, kind: ObjectKind, name: &str, mut object: Value) {
        self.version += 1;
        object["metadata"]["resourceVersion"] = self.version.to_string().into();
        self.caches.remember(kind, &object);
        self.objects.insert((kind, name.to_owned()), object);
    }

    pub(crate) fn object(&self, kind: ObjectKind, name: &str) -> Value {
        let found = self.objects.get(&(kind, name.to_owned()));
        found
            .unwrap_or_else(|| panic!("no {} {name}", kind.kind()))
            .clone()
    }

    /// A new operator, that has listed everything.
    pub(crate) fn restart(&mut self) {
        self.caches = Caches::default();
        self.answers.clear();
        for ((kind, _), object) in &self.objects {
            self.caches.remember(*kind, object);
        }
    }

    /// Lets everybody act until nobody has anything to do, and no time that somebody waits for is near.
    pub(crate) fn settle(&mut self) {
        let mut moved_at = self.now;
        for _ in 0..ROUNDS {
            let before = self.version;
            let wakes = self.settle_once();
            if self.version != before {
                moved_at = self.now;
                continue;
            }
            // Those who look at SLOs always want to look again.
            let names = self.names(ObjectKind::Environment);
            let mut specs = names
                .iter()
                .map(|name| self.object(ObjectKind::Environment, name));
            let from = if specs.any(|object| object["spec"].get("slos").is_some()) {
                moved_at
            } else {
                self.now
            };
            let soon = from + SignedDuration::from_mins(11);
            match wakes.into_iter().min().filter(|wake| *wake <= soon) {
                Some(wake) => self.now = wake.max(self.now + SignedDuration::from_secs(1)),
                None => return,
            }
        }
        for name in self.names(ObjectKind::Environment) {
            eprintln!("{:?} {}", self.told(&name), self.message(&name));
        }
        panic!("no rest after {ROUNDS} rounds");
    }

    /// Lets everybody act once. Returns when Environments want to look again.
    pub(crate) fn settle_once(&mut self) -> Vec<Timestamp> {
        let names = self.names(ObjectKind::Environment);
        let wakes = names
            .iter()
            .filter_map(|name| self.reconcile(name))
            .collect();
        self.rollouts_act();
        self.jobs_act();
        wakes
    }

    /// One reconcile as the driver does it. Returns when to look again.
    pub(crate) fn reconcile(&mut self, name: &str) -> Option<Timestamp> {
        for _ in 0..64 {
            let environment = self.caches.environments.get(&Key::new(NS, name))?;
            match self.pass(&environment) {
                Ok((0, wake)) => return wake,
                Ok(_) => {}
                Err(Crash) => {
                    self.restart();
                    return Some(self.now);
                }
            }
        }
        panic!("Environment {name} does not come to rest");
    }

    fn pass(
        &mut self,
        environment: &std::sync::Arc<Environment>,
    ) -> Result<(usize, Option<Timestamp>), Crash> {
        let name = environment.name_any();
        self.note_burns();
        let mut seen = observe::observe(environment, &self.caches);
        if !seen.spec.slos.is_empty() || seen.status.rules.is_some() {
            seen.answers = self.answers.get(&name).cloned().unwrap_or_default();
            seen.rules = Some(self.rules_of(&name));
        }
        let plan = plan::plan(&seen, self.now);
        assert!(
            plan.wake.is_none_or(|wake| wake > seconds(self.now)),
            "{plan:?}"
        );
        let before = serde_json::to_value(&environment.status).unwrap();
        let intended = status::status(&seen, &plan, &Outcome::default(), self.now);
        let intended = serde_json::to_value(intended).unwrap();
        let mut target = Target::of(ObjectKind::Environment, environment.as_ref());
        if intended != before {
            self.write(&Action::Status {
                target: target.clone(),
                status: intended.clone(),
            })?;
            target.resource_version = self.version.to_string();
        }
        let mut outcome = Outcome::default();
        for action in &plan.actions {
            if let Action::Fetch { key, request } = action {
                let reply = if key.starts_with(slo::PREFIX) {
                    self.counted(&name, request)
                } else {
                    self.sent.push(request.clone());
                    Ok(Reply {
                        status: self.receiver,
                        body: Vec::new(),
                    })
                };
                outcome.replies.insert(key.clone(), reply);
            }
            self.write(action)?;
        }
        let learned = serde_json::to_value(status::status(&seen, &plan, &outcome, self.now));
        let learned = learned.unwrap();
        if !outcome.replies.is_empty() && learned != intended {
            self.write(&Action::Status {
                target,
                status: learned,
            })?;
        }
        let kept = outcome.replies.into_iter();
        let kept = kept.filter(|(key, _)| key.starts_with(slo::PREFIX));
        let at = self.now;
        let answers = self.answers.entry(name).or_default();
        answers.extend(kept.map(|(key, reply)| (key, slo::Answer { at, reply })));
        Ok((plan.actions.len(), plan.wake))
    }

    /// The objects that have rules of an Environment.
    fn rules_of(&self, environment: &str) -> Rules {
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

    fn note_burns(&mut self) {
        for name in self.names(ObjectKind::Environment) {
            let burns = self.burns(&name);
            let known = self.burnt.entry(name).or_default();
            if known.last().is_some_and(|(_, known)| *known) != burns {
                known.push((self.now, burns));
            }
        }
    }

    /// What Prometheus answers: of a thousand requests a hundred have failed, or none.
    fn counted(&self, environment: &str, request: &Request) -> Result<Reply, String> {
        if !self.has_prometheus {
            return Err("connection refused".to_owned());
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
        let series = names.map(|name| {
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

    fn write(&mut self, action: &Action) -> Result<(), Crash> {
        self.writes += 1;
        match action {
            Action::Create(manifest) => self.create(manifest),
            Action::Status { target, status } => {
                let mut object = self.object(target.kind, &target.key.name);
                let version = &object["metadata"]["resourceVersion"];
                assert_eq!(
                    *version, target.resource_version,
                    "written on an old version"
                );
                object["status"] = status.clone();
                self.store(target.kind, &target.key.name, object);
            }
            Action::Delete { target, .. } => {
                self.version += 1;
                self.delete(target.kind, &target.key.name);
            }
            Action::Fetch { .. } => {}
            Action::Apply(manifest) => {
                assert_eq!(manifest.kind, ObjectKind::ConfigMap);
                self.put(manifest.kind, &manifest.key.name, manifest.body.clone());
            }
            Action::Patch { .. } | Action::PatchEach(_) | Action::Evict { .. } => {
                panic!("not ours to do: {action:?}")
            }
        }
        self.check();
        match &mut self.fuse {
            Some(0) => {
                self.fuse = None;
                Err(Crash)
            }
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn create(&mut self, manifest: &Manifest) {
        let name = &manifest.key.name;
        assert!(name.len() <= 63, "{name}");
        if !self.objects.contains_key(&(manifest.kind, name.clone())) {
            self.put(manifest.kind, name, manifest.body.clone());
        }
    }

    fn rollouts_act(&mut self) {
        for name in self.names(ObjectKind::Rollout) {
            let key = Key::new(NS, name.as_str());
            let rollout = self.caches.rollouts.get(&key).unwrap();
            let mut model = self.models.remove(&name).unwrap();
            let (status, is_news) = self.follow(&rollout, &mut model);
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
        let environment = self.caches.environments.get(&environment);
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
        let breaks = nature == Some(&Nature::Breaks);
        if model.stable.is_empty() || model.stable == images {
            (model.stable, model.canary, model.failed) = (images, BTreeMap::new(), None);
            model.unready_since = breaks.then(|| model.unready_since.unwrap_or(self.now));
            let phase = if breaks { "Degraded" } else { "Healthy" };
            return (rendered(rollout, model, phase), false);
        }
        let gave_up = model.failed.as_ref().is_some_and(|asked| {
            model.canary == images && (promotion.is_none() || *asked == promotion)
        });
        if gave_up {
            return (rendered(rollout, model, "RolledBack"), false);
        }
        if breaks {
            (model.canary, model.failed) = (images, Some(promotion));
            return (rendered(rollout, model, "RolledBack"), true);
        }
        if model.canary == images && model.failed.is_none() {
            (model.stable, model.canary) = (images, BTreeMap::new());
            return (rendered(rollout, model, "Healthy"), true);
        }
        (model.canary, model.failed) = (images, None);
        (rendered(rollout, model, "Progressing"), true)
    }

    fn jobs_act(&mut self) {
        for name in self.names(ObjectKind::Job) {
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
            if nature == Some(&Nature::LacksSmoke) {
                self.put(ObjectKind::Pod, &name, waiting_pod(&object));
                object["status"] = json!({"active": 1});
                self.store(ObjectKind::Job, &name, object);
                continue;
            }
            let type_ = if nature == Some(&Nature::FailsSmoke) {
                "Failed"
            } else {
                "Complete"
            };
            object["status"] = json!({"conditions": [{"type": type_, "status": "True", "reason": "BackoffLimitExceeded"}]});
            self.store(ObjectKind::Job, &name, object);
        }
    }

    /// What must hold after every write.
    fn check(&mut self) {
        for name in self.names(ObjectKind::Environment) {
            let promotions = self.promotions_of(&name);
            // One without a phase is new, or its status was lost; only the last one can be new.
            let last = promotions.last().map(ResourceExt::name_any);
            let is_active = |promotion: &&Promotion| {
                let phase = promotion.status.as_ref().and_then(|status| status.phase);
                match phase {
                    Some(phase) => !phase.is_finished(),
                    None => last == Some(promotion.name_any()),
                }
            };
            let active = promotions.iter().filter(is_active);
            assert!(active.count() <= 1, "I1: {:?}", self.told(&name));
            Self::check_burns(&promotions);
            for promotion in &promotions {
                self.check_promotion(&name, promotion);
            }
        }
    }

    /// Nothing goes back from a way back, and nothing goes back twice: what was started before is a promotion that had
    /// succeeded, and what a burn ended is none that goes back.
    fn check_burns(promotions: &[Promotion]) {
        // One whose status was lost had one.
        let is_started = |promotion: &&Promotion| {
            let status = promotion.status.clone().unwrap_or_default();
            status.started_at.is_some() || status.phase.is_none()
        };
        for promotion in promotions {
            let status = promotion.status.clone().unwrap_or_default();
            let is_back = promotion.spec.kind.as_str() == "Rollback";
            let is_burnt = status.reason.as_deref() == Some("SLOBurn");
            assert!(
                !(is_back && is_burnt),
                "{} is taken back",
                promotion.name_any()
            );
            let reason = promotion.spec.reason.as_deref();
            if reason.is_none_or(|reason| !reason.starts_with("SLOBurn")) {
                continue;
            }
            let mut earlier = promotions
                .iter()
                .filter(|other| other.spec.number < promotion.spec.number);
            let last = earlier.rfind(is_started).unwrap();
            assert!(is_back, "{}", promotion.name_any());
            if promotion.spec.decision.is_none() {
                assert_eq!(
                    last.spec.kind.as_str(),
                    "Promote",
                    "{}",
                    promotion.name_any()
                );
                assert_eq!(promotion.spec.previous.as_ref(), Some(&last.spec.release));
            }
        }
    }

    fn check_promotion(&mut self, environment: &str, promotion: &Promotion) {
        let name = promotion.name_any();
        let status = promotion.status.clone().unwrap_or_default();
        assert_eq!(audit::verify(&status.audit), Ok(()), "I10: {name}");
        if status.phase.unwrap_or_default().is_finished() {
            let now = serde_json::to_value(&status).unwrap();
            let before = self
                .ended
                .entry(name.clone())
                .or_insert_with(|| now.clone());
            assert_eq!(*before, now, "I6: {name} had ended");
        }
        // I2, I5: whatever is started was approved, or goes back, or was found running.
        let object = self.object(ObjectKind::Environment, environment);
        let required = object.pointer("/spec/protection/approvals/required");
        let required = required.and_then(Value::as_u64).unwrap_or(0);
        let is_rollback = promotion.spec.kind.as_str() == "Rollback";
        let was_lost = status
            .audit
            .iter()
            .any(|entry| entry.event.contains("status was lost"));
        if status.started_at.is_some() && !is_rollback && !was_lost {
            let users: BTreeSet<&str> = status.approvals.iter().map(|a| a.user.as_str()).collect();
            assert_eq!(users.len(), status.approvals.len(), "I5: {name}");
            assert!(users.len() as u64 >= required, "I2: {name} {users:?}");
            assert!(
                !users.contains(promotion.spec.requested_by.as_str()),
                "I5: {name}"
            );
        }
    }

    pub(crate) fn promotions_of(&self, environment: &str) -> Vec<Promotion> {
        let all = self.names(ObjectKind::Promotion).into_iter().map(|name| {
            let object = self.object(ObjectKind::Promotion, &name);
            serde_json::from_value::<Promotion>(object).unwrap()
        });
        let mut own: Vec<Promotion> = all.filter(|p| p.spec.environment == environment).collect();
        own.sort_by_key(|promotion| promotion.spec.number);
        own
    }

    /// The Promotions of an Environment, told in words.
    pub(crate) fn told(&self, environment: &str) -> Vec<String> {
        let all = self.promotions_of(environment);
        all.iter()
            .map(|promotion| {
                let phase = promotion.status.as_ref().and_then(|status| status.phase);
                let phase = phase.map_or("-", |phase| phase.as_str());
                format!("{} {} {phase}", promotion.spec.kind, promotion.spec.release)
            })
            .collect()
    }

    pub(crate) fn status(&self, environment: &str) -> super::api::EnvironmentStatus {
        let object = self.object(ObjectKind::Environment, environment);
        serde_json::from_value(object.get("status").cloned().unwrap_or(json!({}))).unwrap()
    }

    pub(crate) fn message(&self, environment: &str) -> String {
        self.status(environment).message.unwrap_or_default()
    }

    /// The Release that runs and is good, and the one that should run.
    pub(crate) fn runs(&self, environment: &str) -> (String, String) {
        let status = self.status(environment);
        let name = |list: &[super::api::Deployed]| {
            list.first()
                .map(|deployed| deployed.release.clone())
                .unwrap_or_default()
        };
        (name(&status.current), name(&status.desired))
    }

    /// The number of the Release that a Rollout serves.
    pub(crate) fn serves(&self, rollout: &str) -> Option<u32> {
        let image = self.models[rollout].stable.get("web")?;
        let (_, hex) = image.split_once("sha256:")?;
        u32::from_str_radix(&hex[..2], 16).ok()
    }

    /// Whether a condition is there, and what it says.
    pub(crate) fn condition(&self, environment: &str, type_: &str) -> Option<bool> {
        let conditions = self.status(environment).conditions;
        let found = conditions.iter().find(|condition| condition.type_ == type_);
        found.map(|condition| condition.status == "True")
    }
}

fn seconds(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap()
}

fn rendered(rollout: &Rollout, model: &Model, phase: &str) -> Value {
    let revision = |images: &BTreeMap<String, String>| json!({"revision": "r", "images": images, "replicas": 1, "ready": 1});
    let is_ready = phase == "Healthy";
    let since = model
        .unready_since
        .unwrap_or(NOW)
        .strftime("%Y-%m-%dT%H:%M:%SZ")
        .to_string();
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
    }
    if !model.canary.is_empty() {
        status["canary"] = revision(&model.canary);
    }
    if let Some(promotion) = &model.failed {
        status["progress"]["failed"] = json!({
            "revision": "r", "reason": "CrashLoop", "message": "exit 1", "at": NOW.to_string(),
            "promotion": promotion,
        });
    }
    status
}
