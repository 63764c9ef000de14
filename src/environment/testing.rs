//! A world for tests: Environments with the objects around them, and a plain model of everything that is
//! not ours: the API server's versions, Rollouts that follow, Jobs that end, a receiver of messages.
//!
//! Reconciles are real: `observe`, `plan` and `status` on real caches. A fuse stops one after any write,
//! as a crash would.

mod check; // what must hold after every write
mod cluster; // what others do
mod database; // a database, and what is done to it
mod elsewhere; // another cluster
mod guard; // what must hold when something starts
mod repository; // a file in Git
mod server; // what becomes of writes
mod set; // Releases that are promoted as one
mod turn; // who acts when
mod view; // what stories look at

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use serde_json::{Value, json};

use super::alert::Delivered;
use super::api::{Environment, EnvironmentStatus};
use super::observed::{Frozen, GATE};
use super::slo::{self, Answers};
use super::{EnvironmentKind, observe, plan, probe, status};
use crate::cluster::caches::Caches;
use crate::controller::Kind;
use crate::model::action::{Action, Answer, Errand, Outcome, Reply, Request};
use crate::model::key::Key;
use crate::model::manifest::Target;
use crate::model::object::ObjectKind;
use crate::model::reason;
use crate::provider::Provider;
use crate::supply::finding::{Finding, Found};

pub(crate) use check::FIRST;
pub(crate) use database::{Play, migrations};
pub(crate) use elsewhere::Elsewhere;
pub(crate) use repository::Repository;

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
    /// It runs, and the pods of its smoke tests are evicted, but for the third.
    LosesSmoke,
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
    /// Ids of the templates of both.
    worn: Option<String>,
    tried: Option<String>,
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
    /// Ids of the templates in the specs of Rollouts, where a story is about them.
    templates: BTreeMap<String, String>,
    version: u64,
    ended: BTreeMap<String, Value>,
    /// Whether Prometheus answers.
    pub(crate) has_prometheus: bool,
    /// Whether requests fail whatever runs.
    pub(crate) has_outage: bool,
    /// How many requests of checks are not answered, from now on.
    pub(crate) unanswered: u32,
    /// What load tests of checks say.
    pub(crate) p95: f64,
    /// Requests of checks so far.
    pub(crate) asked: u32,
    /// Specs of Environments, as people wrote them.
    specs: BTreeMap<String, Value>,
    /// Whether smoke tests take for ever.
    pub(crate) are_tests_slow: bool,
    /// What is signed, by digest; nothing where the registry does not answer.
    pub(crate) signed: Option<BTreeMap<String, Vec<Finding>>>,
    /// Why signatures in the name of identities do not count.
    pub(crate) strangers: Vec<String>,
    /// What other systems answer, by the name of the gate; one that is not here is out of reach.
    pub(crate) others: BTreeMap<String, Value>,
    /// Who hosts the repositories of Pipelines.
    pub(crate) providers: BTreeMap<String, Result<Provider, String>>,
    /// What people call the cluster.
    pub(crate) cluster_name: Option<String>,
    /// Why the operator promotes nothing.
    pub(crate) frozen: Option<Frozen>,
    /// The repository that what runs is written back to.
    pub(crate) repository: Repository,
    /// When another system last agreed to something.
    agreed_at: Option<Timestamp>,
    /// Promotions that have started, and were looked at then.
    begun: BTreeSet<String>,
    /// What phases of migrations do, by their word.
    pub(crate) plays: BTreeMap<&'static str, Play>,
    /// What was done to the database, in order.
    pub(crate) ledger: Vec<String>,
    done: BTreeSet<String>,
    answers: BTreeMap<String, Answers>,
    /// Another cluster, in which Environments may be.
    pub(crate) elsewhere: Elsewhere,
    /// Alerts that were delivered, and are not on record.
    delivered: BTreeMap<String, Vec<Delivered>>,
    /// Since when requests fail in an Environment, or do not any more.
    burnt: BTreeMap<String, Vec<(Timestamp, bool)>>,
}

/// A reconcile that did not come to its end.
struct Crash;

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
            templates: BTreeMap::new(),
            version: 0,
            ended: BTreeMap::new(),
            has_prometheus: true,
            has_outage: false,
            unanswered: 0,
            p95: 100.0,
            asked: 0,
            specs: BTreeMap::new(),
            are_tests_slow: false,
            signed: Some(BTreeMap::new()),
            strangers: Vec::new(),
            others: BTreeMap::new(),
            providers: BTreeMap::new(),
            cluster_name: None,
            frozen: None,
            repository: Repository::default(),
            agreed_at: None,
            begun: BTreeSet::new(),
            plays: BTreeMap::new(),
            ledger: Vec::new(),
            done: BTreeSet::new(),
            answers: BTreeMap::new(),
            elsewhere: Elsewhere::default(),
            delivered: BTreeMap::new(),
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
        self.specs.insert(name.to_owned(), spec.clone());
        self.put(ObjectKind::Environment, name, json!({"spec": spec}));
    }

    pub(crate) fn edit(&mut self, environment: &str, change: &Value) {
        let mut object = self.object(ObjectKind::Environment, environment);
        json_patch::merge(&mut object["spec"], change);
        self.specs
            .insert(environment.to_owned(), object["spec"].clone());
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

    /// The same, which says more of itself.
    pub(crate) fn release_of(&mut self, number: u32, change: &Value) {
        self.release(number, Nature::Good);
        let name = format!("shop-{number}");
        let mut object = self.object(ObjectKind::Release, &name);
        json_patch::merge(&mut object["spec"], change);
        self.store(ObjectKind::Release, &name, object);
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
        self.delivered.clear();
        for ((kind, _), object) in &self.objects {
            self.caches.remember(*kind, object);
        }
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

    /// The status that the next plan leads to, where its actions end like this.
    pub(crate) fn status_after(
        &self,
        environment: &str,
        failure: Option<&str>,
    ) -> EnvironmentStatus {
        let environment = self.caches.environments.get(&Key::new(NS, environment));
        let seen = observe::cached(&environment.unwrap(), &self.caches);
        let outcome = Outcome {
            failure: failure.map(str::to_owned),
            ..Outcome::default()
        };
        status::status(&seen, &plan::plan(&seen, self.now), &outcome, self.now)
    }

    fn pass(
        &mut self,
        environment: &std::sync::Arc<Environment>,
    ) -> Result<(usize, Option<Timestamp>), Crash> {
        let name = environment.name_any();
        self.note_burns();
        let mut seen = observe::cached(environment, &self.caches);
        self.look_elsewhere(&mut seen);
        seen.delivered = self.delivered.get(&name).cloned().unwrap_or_default();
        seen.answers = self.answers.get(&name).cloned().unwrap_or_default();
        seen.frozen.clone_from(&self.frozen);
        seen.cluster_name.clone_from(&self.cluster_name);
        seen.providers.clone_from(&self.providers);
        seen.runner = Some("runner:1".to_owned());
        if !seen.spec.slos.is_empty() || seen.status.rules.is_some() {
            seen.rules = Some(self.rules_of(&name));
        }
        seen.lock = self.lock_of(&seen);
        let plan = plan::plan(&seen, self.now);
        assert!(
            plan.wake.is_none_or(|wake| wake > seconds(self.now)),
            "{plan:?}"
        );
        assert!(reason::is_known("Environment", plan.why.reason), "{plan:?}");
        self.elsewhere.note_order(&plan.actions);
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
                } else if key.starts_with(probe::PREFIX) {
                    self.check_stillness(&name);
                    self.visited(&name)
                } else if let Some(Errand::Signed(question)) = request.errand.as_deref() {
                    let known = self.signed.as_ref().map(|known| {
                        let signed = known.get(&question.digest).cloned();
                        let found = Found {
                            signed: signed.unwrap_or_default(),
                            others: self.strangers.clone(),
                        };
                        found.reply()
                    });
                    known.ok_or_else(|| "cannot reach registry.example".to_owned())
                } else if let Some(gate) = key.strip_prefix(GATE) {
                    let gate = gate.rsplit('/').next().unwrap_or_default();
                    if self.others.get(gate) == Some(&json!({"state": "approved"})) {
                        self.agreed_at = Some(self.now);
                    }
                    let said = self.others.get(gate).map(|said| Reply {
                        status: 200,
                        body: said.to_string().into_bytes(),
                    });
                    said.ok_or_else(|| "cannot reach others.example".to_owned())
                } else if let Some(Errand::Change(change)) = request.errand.as_deref() {
                    self.repository.reply(change)
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
        self.delivered.remove(&name);
        let learned = serde_json::to_value(status::status(&seen, &plan, &outcome, self.now));
        let learned = learned.unwrap();
        if !outcome.replies.is_empty() && learned != intended {
            self.write(&Action::Status {
                target,
                status: learned,
            })?;
        }
        let kept = outcome.replies.into_iter();
        let kept = kept.filter(|(key, _)| EnvironmentKind::keeps_answer(key));
        let at = self.now;
        let answers = self.answers.entry(name).or_default();
        answers.extend(kept.map(|(key, reply)| (key, Arc::new(Answer { at, reply }))));
        Ok((plan.actions.len(), plan.wake))
    }
}

fn seconds(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap()
}
