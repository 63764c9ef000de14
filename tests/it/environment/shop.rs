//! Environments with a Rollout each on scripted nodes, and Releases and Decisions written by hand.

use std::path::Path;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use slipway::decision::api::Decision;
use slipway::environment::api::{Deployed, Environment, EnvironmentPhase, EnvironmentStatus};
use slipway::promotion::api::{Promotion, PromotionKind, PromotionStatus};
use slipway::promotion::audit;
use slipway::release::api::Release;
use slipway::rollout::api::{Phase, Rollout, RolloutStatus};
use testbed::scripted::SCRIPT_ANNOTATION;

use crate::cluster::{SOON, Space, wait_for, watch_for};
use crate::operator::{Operator, nodes};

/// Environments with a Rollout each, and Releases of a Pipeline `shop` that the test writes by hand.
pub(crate) struct Shop {
    pub(crate) namespace: String,
    pub(crate) environments: Api<Environment>,
    pub(crate) rollouts: Api<Rollout>,
    releases: Api<Release>,
    promotions: Api<Promotion>,
    decisions: Api<Decision>,
    pub(crate) jobs: Api<Job>,
    pods: Api<Pod>,
}

fn digest(number: u32) -> String {
    format!("sha256:{}", format!("{number:02x}").repeat(32))
}

fn made<K: serde::de::DeserializeOwned>(kind: &str, name: &str, labels: &Value, spec: &Value) -> K {
    let object = json!({
        "apiVersion": "slipway.dev/v1alpha1", "kind": kind,
        "metadata": {"name": name, "labels": labels}, "spec": spec,
    });
    serde_json::from_value(object).unwrap()
}

impl Shop {
    pub(crate) fn new(space: &Space) -> Self {
        let (client, ns) = (&space.client, &space.name);
        Self {
            namespace: ns.clone(),
            environments: Api::namespaced(client.clone(), ns),
            rollouts: Api::namespaced(client.clone(), ns),
            releases: Api::namespaced(client.clone(), ns),
            promotions: Api::namespaced(client.clone(), ns),
            decisions: Api::namespaced(client.clone(), ns),
            jobs: Api::namespaced(client.clone(), ns),
            pods: Api::namespaced(client.clone(), ns),
        }
    }

    /// `staging` takes Releases of `shop` by itself, `production` what is good there and was approved.
    pub(crate) async fn staging_and_production(space: &Space) -> Self {
        let shop = Self::new(space);
        shop.environment("staging", &json!({})).await;
        shop.production().await;
        shop
    }

    /// `production`, which takes what is good in `staging` after one approval.
    pub(crate) async fn production(&self) {
        let guarded = json!({
            "tier": "Production", "protection": {"approvals": {"required": 1}},
            "promotion": after("staging"),
        });
        self.environment("production", &guarded).await;
    }

    pub(crate) fn operator(&self) -> Operator {
        Operator::start(&self.namespace)
    }

    /// One that talks to the API server that `kubeconfig` names.
    pub(crate) fn operator_through(&self, kubeconfig: &Path) -> Operator {
        Operator::start_with(&self.namespace, kubeconfig, &["--no-leader-election"])
    }

    fn repository(&self) -> String {
        format!("registry.example/{}/api", self.namespace)
    }

    pub(crate) fn image(&self, number: u32) -> String {
        format!("{}@{}", self.repository(), digest(number))
    }

    fn smoke_image(&self) -> String {
        format!("registry.example/{}/smoke:1", self.namespace)
    }

    /// What the pods of a Release do from now on.
    pub(crate) fn release_plays(&self, number: u32, script: &str) {
        nodes().set_rule(&self.image(number), script).unwrap();
    }

    /// The migrations of a database, and what their pods tell from now on.
    pub(crate) fn migrations(&self) -> Value {
        let image = format!("registry.example/{}/db:1", self.namespace);
        let told = "version 2\npending V2__prices.sql\nbackup /backups/1\nbytes 4096";
        let script = format!("exit=0,after=20ms,message={told}");
        nodes().set_rule(&image, &script).unwrap();
        let command = |word: &str| json!({"command": ["db", word]});
        json!({
            "database": "shop-db", "image": image,
            "validate": command("validate"), "run": command("run"), "verify": command("verify"),
            "backup": {"command": ["db", "backup"], "restoreTest": command("restore-test")},
        })
    }

    /// Has the migrations of an Environment, which has two promotions behind it, fail in the middle, so that nobody knows how its database is;
    /// `more` of their rules. The image that works.
    pub(crate) async fn get_stuck(&self, environment: &str, more: &Value) -> String {
        let mut rules = self.migrations();
        rules["backup"] = Value::Null;
        rules["withoutBackup"] = json!(true);
        json_patch::merge(&mut rules, more);
        let good = rules["image"].as_str().unwrap().to_owned();
        let bad = format!("registry.example/{}/bad:1", self.namespace);
        nodes()
            .set_rule(&bad, "exit=3,message=no such column")
            .unwrap();
        // Somebody is asked between the two, so that the image can be exchanged there.
        let protection = json!({"approvals": {"required": 1}});
        let spec = json!({"migrations": rules, "protection": protection});
        self.edit(environment, &spec).await;
        let about = json!({"target": {"kind": "Environment", "name": environment}});
        self.decide_about("alice", "Migrate", &about).await;
        self.until_says(environment, "pending: V2__prices.sql")
            .await;
        self.edit(environment, &json!({"migrations": {"image": bad}}))
            .await;
        self.decide("bob", "Approve", environment, 2).await;
        let is_open = |status: &EnvironmentStatus| status.open_incidents == Some(1);
        self.until(environment, "an incident", is_open).await;
        good
    }

    /// What the pods of smoke tests do from now on.
    pub(crate) fn smoke_test_plays(&self, script: &str) {
        nodes().set_rule(&self.smoke_image(), script).unwrap();
    }

    /// An Environment and the Rollout that follows it.
    pub(crate) async fn environment(&self, name: &str, extra: &Value) {
        self.environment_alone(name, extra).await;
        self.rollout(&format!("{name}-api"), name).await;
    }

    pub(crate) async fn environment_alone(&self, name: &str, extra: &Value) {
        let mut spec = json!({
            "tier": "Staging", "promotion": {"from": {"pipelines": ["shop"]}},
            "rollouts": [{"name": format!("{name}-api")}],
            "smokeTests": [{"name": "paths", "job": {"image": self.smoke_image()}}],
        });
        json_patch::merge(&mut spec, extra);
        let environment = made("Environment", name, &json!({}), &spec);
        self.environments
            .create(&PostParams::default(), &environment)
            .await
            .unwrap();
    }

    pub(crate) async fn rollout(&self, name: &str, environment: &str) {
        let labels = json!({"app": name});
        let spec = json!({
            "replicas": 2, "selector": {"matchLabels": labels},
            "release": {"environment": {"name": environment}, "images": {"web": "api"}},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "web"}]}},
        });
        let rollout = made("Rollout", name, &json!({}), &spec);
        self.rollouts
            .create(&PostParams::default(), &rollout)
            .await
            .unwrap();
    }

    /// The pods of a Rollout do well from now on, whatever their image does elsewhere.
    pub(crate) async fn never_fails(&self, rollout: &str) {
        let script = json!({"annotations": {SCRIPT_ANNOTATION: "ready-after=50ms"}});
        self.edit_rollout(rollout, &json!({"template": {"metadata": script}}))
            .await;
    }

    pub(crate) async fn edit_rollout(&self, rollout: &str, spec: &Value) {
        let change = Patch::Merge(json!({"spec": spec}));
        let params = PatchParams::default();
        self.rollouts
            .patch(rollout, &params, &change)
            .await
            .unwrap();
    }

    /// The Release `shop-<number>`, as the operator makes one.
    pub(crate) async fn release(&self, number: u32) {
        let commit = json!({
            "sha": format!("{number:040x}"), "author": "Alice", "email": "alice@example.com", "subject": "s",
            "committedAt": format!("2026-01-01T{:02}:{:02}:00Z", number / 60, number % 60),
        });
        let image =
            json!({"name": "api", "repository": self.repository(), "digest": digest(number)});
        let spec = json!({
            "pipeline": "shop", "commit": commit, "images": [image], "ref": "refs/heads/main",
            "previous": (number > 1).then(|| format!("shop-{}", number - 1)), "evidence": {"run": "run"},
        });
        let labels = json!({"slipway.dev/pipeline": "shop"});
        let release = made("Release", &format!("shop-{number}"), &labels, &spec);
        self.releases
            .create(&PostParams::default(), &release)
            .await
            .unwrap();
    }

    /// A Release `<pipeline>-<number>` with these images, which says more of itself.
    pub(crate) async fn release_of(
        &self,
        pipeline: &str,
        number: u32,
        images: &[&str],
        extra: &Value,
    ) {
        let commit = json!({
            "sha": format!("{number:040x}"), "author": "Alice", "email": "alice@example.com", "subject": "s",
            "committedAt": format!("2026-01-01T{:02}:{:02}:00Z", number / 60, number % 60),
        });
        let images = images.iter().map(|name| {
            let repository = format!("registry.example/{}/{name}", self.namespace);
            json!({"name": name, "repository": repository, "digest": digest(number)})
        });
        let images: Vec<Value> = images.collect();
        let mut spec = json!({
            "pipeline": pipeline, "commit": commit, "images": images, "ref": "refs/heads/main",
            "evidence": {"run": "run"},
        });
        json_patch::merge(&mut spec, extra);
        let labels = json!({"slipway.dev/pipeline": pipeline});
        let release = made("Release", &format!("{pipeline}-{number}"), &labels, &spec);
        self.releases
            .create(&PostParams::default(), &release)
            .await
            .unwrap();
    }

    /// A Decision on an Environment, about a Release; its name.
    pub(crate) async fn decide(&self, user: &str, action: &str, on: &str, release: u32) -> String {
        let target = json!({"kind": "Environment", "name": on});
        let about = json!({"target": target, "release": format!("shop-{release}")});
        self.decide_about(user, action, &about).await
    }

    pub(crate) async fn decide_about(&self, user: &str, action: &str, about: &Value) -> String {
        let mut spec = json!({"user": user, "action": action, "reason": "because"});
        json_patch::merge(&mut spec, about);
        let mut decision: Decision = made("Decision", "", &json!({}), &spec);
        decision.metadata.name = None;
        decision.metadata.generate_name = Some(format!("{}-", action.to_lowercase()));
        let made = self
            .decisions
            .create(&PostParams::default(), &decision)
            .await;
        made.unwrap().name_any()
    }

    pub(crate) async fn edit(&self, environment: &str, spec: &Value) {
        let change = Patch::Merge(json!({"spec": spec}));
        let params = PatchParams::default();
        self.environments
            .patch(environment, &params, &change)
            .await
            .unwrap();
    }

    /// Takes the status off an Environment.
    pub(crate) async fn wipe(&self, environment: &str) {
        let change = Patch::Merge(json!({"status": null}));
        let params = PatchParams::default();
        let wiped = self
            .environments
            .patch_status(environment, &params, &change)
            .await
            .unwrap();
        assert_eq!(wiped.status.unwrap_or_default().desired, []);
    }

    /// Takes the status off every Promotion.
    pub(crate) async fn wipe_promotions(&self) {
        for promotion in self.promotions.list(&ListParams::default()).await.unwrap() {
            let change = Patch::Merge(json!({"status": null}));
            let params = PatchParams::default();
            let name = promotion.name_any();
            self.promotions
                .patch_status(&name, &params, &change)
                .await
                .unwrap();
        }
    }

    /// Waits until the status of the present generation fulfils `check`.
    pub(crate) async fn until(
        &self,
        environment: &str,
        what: &str,
        check: impl Fn(&EnvironmentStatus) -> bool,
    ) -> EnvironmentStatus {
        let what = format!("{environment}: {what}");
        watch_for(&self.environments, environment, &what, |found| {
            let status = found.status?;
            let is_current = status.observed_generation == found.metadata.generation;
            (is_current && check(&status)).then_some(status)
        })
        .await
    }

    pub(crate) async fn until_phase(
        &self,
        environment: &str,
        phase: EnvironmentPhase,
    ) -> EnvironmentStatus {
        let is_there = |status: &EnvironmentStatus| status.phase == Some(phase);
        self.until(environment, phase.as_str(), is_there).await
    }

    pub(crate) async fn until_says(&self, environment: &str, words: &str) -> EnvironmentStatus {
        let says = |s: &EnvironmentStatus| s.message.as_ref().is_some_and(|m| m.contains(words));
        self.until(environment, words, says).await
    }

    /// Waits until a Release runs, is what should run, is what a rollback goes back to, and nothing else is to do.
    pub(crate) async fn until_runs(&self, environment: &str, number: u32) -> EnvironmentStatus {
        let name = format!("shop-{number}");
        let is = |list: &[Deployed]| list.len() == 1 && list[0].release == name;
        let what = format!("{name} runs");
        self.until(environment, &what, |status| {
            status.phase == Some(EnvironmentPhase::Steady)
                && status.open_incidents.unwrap_or_default() == 0
                && is(&status.desired)
                && is(&status.current)
                && is(&status.last_good)
        })
        .await
    }

    /// Waits until the Environment went back from a Release, and nothing else is to do.
    pub(crate) async fn until_left(&self, environment: &str, number: u32) -> EnvironmentStatus {
        let name = format!("shop-{number}");
        let what = format!("back from {name}");
        self.until(environment, &what, |status| {
            let mut holds = status.holds.iter();
            status.phase == Some(EnvironmentPhase::Steady)
                && holds.any(|hold| hold.release.as_ref() == Some(&name))
        })
        .await
    }

    /// Waits until the Promotions are these, in words: kind, Release and phase.
    pub(crate) async fn until_told(&self, environment: &str, expected: &[&str]) -> Vec<Promotion> {
        wait_for(&format!("{environment}: {expected:?}"), SOON, async || {
            let records = self.records(environment).await;
            (told(&records) == expected).then_some(records)
        })
        .await
    }

    /// The Promotions of an Environment, in their order.
    pub(crate) async fn records(&self, environment: &str) -> Vec<Promotion> {
        let all = self.promotions.list(&ListParams::default()).await.unwrap();
        let of = |record: &Promotion| record.spec.environment == environment;
        let mut records: Vec<Promotion> = all.into_iter().filter(of).collect();
        records.sort_by_key(|record| record.spec.number);
        for record in &records {
            let audited = audit::verify(&status_of(record).audit);
            assert_eq!(audited, Ok(()), "{}", record.name_any());
        }
        records
    }

    /// Waits until the operator has looked at the Environment, and done what it found to do, after now.
    pub(crate) async fn until_looked_again(&self, environment: &str) {
        // The status comes before the actions: those of the first look are done when there is a second one.
        for _ in 0..2 {
            let before = self.environments.get(environment).await.unwrap();
            let kept = before.metadata.generation.unwrap() + 50;
            self.edit(environment, &json!({"history": {"promotions": kept}}))
                .await;
            self.until(environment, "looked at", |_| true).await;
        }
    }

    pub(crate) async fn rollout_status(&self, name: &str) -> RolloutStatus {
        let rollout = self.rollouts.get(name).await.unwrap();
        rollout.status.unwrap_or_default()
    }

    pub(crate) async fn until_rollout_says(&self, name: &str, words: &str) {
        watch_for(&self.rollouts, name, &format!("{name}: {words}"), |found| {
            let message = found.status?.message?;
            message.contains(words).then_some(())
        })
        .await;
    }

    /// The image that an Environment's Rollout serves, and whether it is well.
    pub(crate) async fn serves(&self, environment: &str) -> (Option<String>, Option<Phase>) {
        let status = self.rollout_status(&format!("{environment}-api")).await;
        let stable = status
            .stable
            .and_then(|mut stable| stable.images.remove("web"));
        (stable, status.phase)
    }

    /// The uids of the pods of an Environment's Rollout.
    pub(crate) async fn pods(&self, environment: &str) -> Vec<String> {
        let params = ListParams::default().labels(&format!("app={environment}-api"));
        let mut uids: Vec<String> = Vec::new();
        for pod in self.pods.list(&params).await.unwrap() {
            if pod.metadata.deletion_timestamp.is_none() {
                uids.push(pod.uid().unwrap());
            }
        }
        uids.sort();
        uids
    }

    /// The one Promotion that brought a Release into staging, and what it left behind, but for names and times.
    pub(crate) async fn account(&self, number: u32) -> Value {
        let name = format!("shop-{number}");
        let mut records = self.records("staging").await;
        let is_back = |record: &Promotion| {
            record.spec.kind == PromotionKind::Rollback
                && record.spec.previous.as_ref() == Some(&name)
        };
        records.retain(|record| record.spec.release == name || is_back(record));
        let jobs = self.jobs.list(&ListParams::default()).await.unwrap();
        let jobs_of = |record: &Promotion| {
            let is_its = |job: &&Job| job.owner_references()[0].uid == record.uid().unwrap();
            jobs.iter().filter(is_its).count()
        };
        // Pods of Jobs stay as long as these: what was begun twice would be seen.
        let pods = self.pods.list(&ListParams::default()).await.unwrap();
        let begun = |record: &Promotion| {
            let phases = status_of(record).migrations.map(|done| done.phases);
            let of = |job: &str| {
                let is_of = |pod: &&Pod| pod.owner_references().iter().any(|it| it.name == job);
                pods.iter().filter(is_of).count()
            };
            let phases = phases.into_iter().flatten();
            phases
                .map(|phase| (phase.phase.as_str(), of(&phase.job)))
                .collect::<Vec<_>>()
        };
        let happened = |record: &Promotion| {
            // What comes after a colon is in the words of a kubelet.
            let first = |event: &str| event.split(':').next().unwrap().replace(&name, "it");
            let audit = status_of(record).audit;
            let events = audit.iter().map(|entry| first(&entry.event));
            events.collect::<Vec<_>>()
        };
        let status = self.environments.get("staging").await.unwrap().status;
        let mut holds = status.unwrap().holds.into_iter();
        let rollout = self.rollout_status("staging-api").await;
        json!({
            "told": told(&records).iter().map(|told| told.replace(&name, "it")).collect::<Vec<_>>(),
            "reasons": records.iter().map(|r| status_of(r).reason).collect::<Vec<_>>(),
            "steps": records.iter().map(|r| steps(&status_of(r))).collect::<Vec<_>>(),
            "audit": records.iter().map(happened).collect::<Vec<_>>(),
            "begun": records.iter().map(begun).collect::<Vec<_>>(),
            "jobs": records.iter().map(jobs_of).collect::<Vec<_>>(),
            "is held": holds.any(|hold| hold.release.as_ref() == Some(&name)),
            "rollout": rollout.history[0].result,
        })
    }
}

/// Where an Environment takes its Releases from: from another one.
pub(crate) fn after(environment: &str) -> Value {
    json!({"from": {"pipelines": null, "environments": [environment]}})
}

pub(crate) fn status_of(record: &Promotion) -> PromotionStatus {
    record.status.clone().unwrap_or_default()
}

pub(crate) fn told(records: &[Promotion]) -> Vec<String> {
    let one = |record: &Promotion| {
        let phase = status_of(record).phase.map_or("-", |phase| phase.as_str());
        format!("{} {} {phase}", record.spec.kind, record.spec.release)
    };
    records.iter().map(one).collect()
}

pub(crate) fn steps(status: &PromotionStatus) -> Vec<String> {
    let steps = status.steps.iter();
    steps
        .map(|step| format!("{} {}", step.name, step.state))
        .collect()
}

/// Status and reason of a condition.
pub(crate) fn condition<'a>(
    status: &'a EnvironmentStatus,
    type_: &str,
) -> Option<(&'a str, &'a str)> {
    let found = status
        .conditions
        .iter()
        .find(|condition| condition.type_ == type_)?;
    Some((&found.status, &found.reason))
}
