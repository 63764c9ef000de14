//! Every version of every object that stories make, as kstatus and Argo CD read it. What they should say is the table in
//! docs/gitops.md: the page and this cannot differ.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use kube::ResourceExt;
use kube::api::{DynamicObject, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use slipway::pipeline_run::api::{PipelineRun, RunPhase};
use slipway::promotion::api::PromotionPhase;
use slipway::rollout::api::Phase;
use testbed::scripted::ScriptedGateway;

use super::{Recorder, argocd_cm, gitops};
use crate::cluster::{SOON, Space, kubeconfig_path, wait_for, with_namespace};
use crate::environment::{Shop, after};
use crate::operator::Operator;
use crate::pipeline::{self, tested};
use crate::rollout::{kubectl_waits, manifest};

/// A row of the table.
#[derive(Debug)]
struct Row {
    kinds: Vec<String>,
    /// None for any.
    phases: Vec<String>,
    /// Reasons of `Ready`; none for any.
    reasons: Vec<String>,
    kstatus: String,
    argo: String,
}

fn rows() -> Vec<Row> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/gitops.md");
    let page = std::fs::read_to_string(path).unwrap();
    let (_, table) = page
        .split_once("| kind | phase |")
        .expect("the table of health");
    let lines = table
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    let rows = lines.map(|line| {
        let cells: Vec<&str> = line.split('|').skip(1).map(str::trim).collect();
        let words = |cell: &str| -> Vec<String> {
            let words = cell
                .split(", ")
                .map(|word| word.trim_matches('`').to_owned());
            words.filter(|word| !word.is_empty()).collect()
        };
        Row {
            kinds: words(cells[0]),
            phases: words(cells[1]),
            reasons: words(cells[2]),
            kstatus: cells[3].to_owned(),
            argo: cells[4].to_owned(),
        }
    });
    rows.collect()
}

/// What the table tells versions apart by.
struct Version {
    kind: String,
    name: String,
    phase: String,
    reason: String,
    is_looked_at: bool,
}

impl Version {
    fn of(object: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let status = &object["status"];
        let conditions = status["conditions"].as_array().into_iter().flatten();
        let mut ready = conditions.filter(|condition| condition["type"] == "Ready");
        Self {
            kind: text(&object["kind"]),
            name: text(&object["metadata"]["name"]),
            phase: text(&status["phase"]),
            reason: ready
                .next()
                .map(|ready| text(&ready["reason"]))
                .unwrap_or_default(),
            is_looked_at: status.is_null()
                || status["observedGeneration"] == object["metadata"]["generation"],
        }
    }

    fn fits(&self, row: &Row) -> bool {
        let is_in = |words: &[String], word: &String| words.is_empty() || words.contains(word);
        // The first row is for whatever was not looked at since its last edit.
        if row.phases == ["not looked at"] {
            return !self.is_looked_at && row.kinds.contains(&self.kind);
        }
        row.kinds.contains(&self.kind)
            && is_in(&row.phases, &self.phase)
            && is_in(&row.reasons, &self.reason)
    }
}

/// Compares what the tools say of all versions with the table; the phases and reasons that were among them, as `kind word`.
async fn agree(space: &Space, recorder: &Recorder) -> BTreeSet<String> {
    let objects = recorder.versions(space).await;
    let read = gitops(&["kstatus"], &objects).await;
    let said = gitops(&["health", &argocd_cm()], &objects).await;
    assert_eq!((read.len(), said.len()), (objects.len(), objects.len()));
    let rows = rows();
    let mut seen = BTreeSet::new();
    for ((object, read), said) in objects.iter().zip(read).zip(said) {
        let version = Version::of(object);
        let Version {
            kind, name, phase, ..
        } = &version;
        let row = rows.iter().find(|row| version.fits(row));
        let row = row.unwrap_or_else(|| panic!("no row for {kind} {name}: {:#}", object["status"]));
        let [is, copy, health] = [&read["status"], &read["flux"], &said["status"]]
            .map(|word| word.as_str().unwrap_or_default());
        assert_eq!(
            (is, copy, health),
            (&row.kstatus[..], &row.kstatus[..], &row.argo[..]),
            "{kind} {name}, {row:?}: {:#}",
            object["status"]
        );
        if !version.is_looked_at {
            seen.insert(format!("{kind} not looked at"));
        }
        seen.insert(format!("{kind} {phase}"));
        seen.insert(format!("{kind} {}", version.reason));
    }
    seen
}

/// Fails unless all of these were among the versions.
fn had(seen: &BTreeSet<String>, kind: &str, words: &[&str]) {
    let missing = words.iter().map(|word| format!("{kind} {word}"));
    let missing: Vec<String> = missing.filter(|word| !seen.contains(word)).collect();
    assert!(missing.is_empty(), "never seen: {missing:?} in {seen:#?}");
}

async fn create(space: &Space, kind: &str, object: Value) {
    let object: DynamicObject = serde_json::from_value(object).unwrap();
    let made = space
        .api(kind)
        .create(&PostParams::default(), &object)
        .await;
    made.unwrap();
}

async fn patch(space: &Space, kind: &str, name: &str, change: Value) {
    let (params, change) = (PatchParams::default(), Patch::Merge(change));
    let changed = space.api(kind).patch(name, &params, &change).await;
    changed.unwrap();
}

/// Waits until the present generation of an object is in this phase, for this reason, where they are given.
async fn until(space: &Space, kind: &str, name: &str, phase: &str, reason: &str) {
    let what = format!("{kind} {name}: {phase} {reason}");
    wait_for(&what, SOON, async || {
        let object = space.api(kind).get(name).await.ok()?;
        let version = Version::of(&serde_json::to_value(object).unwrap());
        let is = |found: &str, wanted: &str| wanted.is_empty() || found == wanted;
        let is_there = is(&version.phase, phase) && is(&version.reason, reason);
        (version.is_looked_at && is_there).then_some(())
    })
    .await;
}

/// A Rollout of two pods with a name of its own, whose pods do as the script says.
fn rollout(name: &str, script: &str, spec: &Value) -> Value {
    let labels = json!({"app": name});
    let annotations = json!({"testbed.slipway.dev/script": script});
    let mut extra = json!({"metadata": {"name": name}, "spec": {
        "replicas": 2, "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels, "annotations": annotations}},
    }});
    json_patch::merge(&mut extra, &json!({"spec": spec}));
    serde_json::to_value(manifest("greeter:1", &extra)).unwrap()
}

/// Another image, whose pods do as the script says.
fn edited(image: &str, script: &str) -> Value {
    json!({"spec": {"template": {
        "metadata": {"annotations": {"testbed.slipway.dev/script": script}},
        "spec": {"containers": [{"name": "web", "image": image}]},
    }}})
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn every_version_of_a_rollout_reads_as_the_page_says() {
    with_namespace(async |space| {
        let recorder = Recorder::start(space);
        let run = json!({"name": "look", "job": {"image": "smoke:1"}, "timeout": "1h"});
        let steps = json!({"strategy": {"steps": [
            {"setWeight": {"weight": 50}}, {"pause": {}}, {"run": run},
        ]}});
        let left = json!({"rollback": {"on": ["AnalysisFailed"]}});
        let bound = json!({
            "release": {"environment": {"name": "nowhere"}, "images": {"web": "api"}},
            "template": {"spec": {"containers": [{"name": "web"}]}},
        });
        let well = "ready-after=50ms";
        for (name, script, spec) in [
            ("shop", well, &steps),
            ("left", well, &left),
            ("sick", "image-missing", &json!({})),
            ("idle", well, &bound),
        ] {
            create(space, "Rollout", rollout(name, script, spec)).await;
        }
        let _operator = Operator::start(&space.name);
        let _gateway = ScriptedGateway::start(&space.client, &space.name, Duration::ZERO);
        until(space, "Rollout", "shop", "Healthy", "").await;
        until(space, "Rollout", "left", "Healthy", "").await;
        until(space, "Rollout", "sick", "Degraded", "ImagePull").await;

        patch(space, "Rollout", "shop", edited("greeter:2", well)).await;
        patch(space, "Rollout", "left", edited("greeter:2", "crash-loop")).await;
        until(space, "Rollout", "shop", "Paused", "PauseStep").await;
        space.decide(("Rollout", "shop"), "Resume").await;
        until(space, "Rollout", "shop", "Healthy", "").await;
        until(space, "Rollout", "left", "Paused", "FailureHeld").await;

        patch(space, "Rollout", "shop", edited("greeter:3", "crash-loop")).await;
        until(space, "Rollout", "shop", "RolledBack", "").await;
        let nonsense = json!({"spec": {"template": {"metadata": {"labels": {"app": "other"}}}}});
        patch(space, "Rollout", "shop", nonsense).await;
        // What was given up before stays the phase.
        until(space, "Rollout", "shop", "RolledBack", "InvalidSpec").await;

        let seen = agree(space, &recorder).await;
        let phases: Vec<&str> = Phase::ALL.iter().map(|phase| phase.as_str()).collect();
        had(&seen, "Rollout", &phases);
        let apart = ["not looked at", "FailureHeld", "InvalidSpec", "ImagePull"];
        had(&seen, "Rollout", &apart);
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn every_version_of_an_environment_and_its_promotions_reads_as_the_page_says() {
    with_namespace(async |space| {
        let recorder = Recorder::start(space);
        let shop = Shop::new(space);
        let migrated = json!({"migrations": shop.migrations()});
        shop.environment("staging", &migrated).await;
        shop.never_fails("staging-api").await;
        shop.environment("qa", &json!({})).await;
        shop.production().await;
        shop.environment_alone("lost", &json!({"promotion": after("nowhere")}))
            .await;
        let operator = shop.operator();
        shop.until_says("lost", "there is no Environment nowhere")
            .await;
        shop.release(1).await;
        shop.until_told("production", &["Promote shop-1 AwaitingApproval"])
            .await;
        shop.decide("bob", "Approve", "production", 1).await;
        let promotion = shop.until_runs("production", 1).await.current.remove(0);
        let promotion = format!("promotions.slipway.dev/{}", promotion.promotion);
        for (object, condition) in [
            (promotion.as_str(), "condition=Succeeded"),
            (promotion.as_str(), "condition=Ready"),
            ("environments.slipway.dev/production", "condition=Ready"),
            ("environments.slipway.dev/lost", "condition=Reconciling"),
        ] {
            let waited = kubectl_waits(space, object, condition, "10s").await;
            waited.unwrap();
        }

        // The next one is refused, the one after it overtaken, and one goes back.
        shop.release(2).await;
        shop.until_told(
            "production",
            &[
                "Promote shop-1 Succeeded",
                "Promote shop-2 AwaitingApproval",
            ],
        )
        .await;
        shop.release(3).await;
        let so_far = [
            "Promote shop-1 Succeeded",
            "Promote shop-2 Superseded",
            "Promote shop-3 AwaitingApproval",
        ];
        shop.until_told("production", &so_far).await;
        shop.decide("bob", "Reject", "production", 3).await;
        let so_far = [
            "Promote shop-1 Succeeded",
            "Promote shop-2 Superseded",
            "Promote shop-3 Failed",
        ];
        shop.until_told("production", &so_far).await;
        shop.release_plays(4, "crash-loop");
        shop.release(4).await;
        shop.until_left("qa", 4).await;
        let target = json!({"kind": "Environment", "name": "production"});
        shop.decide_about("olga", "Hold", &json!({"target": target}))
            .await;
        let held = [so_far[0], so_far[1], so_far[2], "Promote shop-4 Pending"];
        shop.until_told("production", &held).await;

        // What is not there does not come.
        operator.kill().await;
        let long_ago = json!("2026-01-01T00:00:00Z");
        let lost = space.api("Environment").get("lost").await.unwrap();
        let mut conditions = lost.data["status"]["conditions"].clone();
        for condition in conditions.as_array_mut().unwrap() {
            condition["lastTransitionTime"] = long_ago.clone();
        }
        let aged = Patch::Merge(json!({"status": {"conditions": conditions}}));
        let params = PatchParams::default();
        space
            .api("Environment")
            .patch_status("lost", &params, &aged)
            .await
            .unwrap();
        let _operator = shop.operator();
        until(space, "Environment", "lost", "", "MissingReference").await;
        let lost = "environments.slipway.dev/lost";
        kubectl_waits(space, lost, "condition=Stalled", "10s")
            .await
            .unwrap();

        let seen = agree(space, &recorder).await;
        let phases: Vec<&str> = PromotionPhase::ALL
            .iter()
            .map(|phase| phase.as_str())
            .collect();
        had(&seen, "Promotion", &phases);
        had(
            &seen,
            "Environment",
            &[
                "not looked at",
                "Steady",
                "Pending",
                "WaitingForReference",
                "MissingReference",
            ],
        );
    })
    .await;
}

/// Name of the run of a commit, once it is in this phase.
async fn run_of(subject: &pipeline::Subject, sha: &str, phase: RunPhase) -> String {
    wait_for(&format!("a run of {sha}: {phase}"), SOON, async || {
        let runs = subject.list(&subject.runs).await;
        let is_it = |run: &&PipelineRun| {
            let status = run.status.clone().unwrap_or_default();
            run.spec.sha.as_deref().or(status.sha.as_deref()) == Some(sha)
                && status.phase == Some(phase)
        };
        let found = runs.iter().find(is_it);
        found.map(ResourceExt::name_any)
    })
    .await
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn every_version_of_a_pipeline_and_its_runs_reads_as_the_page_says() {
    with_namespace(async |space| {
        let recorder = Recorder::start(space);
        let subject = pipeline::Subject::new(space).await;
        let first = subject.push("Add the shop").await;
        subject
            .create(&json!({"spec": {"concurrency": {"policy": "Queue"}}}))
            .await;
        let _operator = subject.operator(&kubeconfig_path());
        let (_, status) = subject.ended(&first).await;
        assert_eq!(status.phase, Some(RunPhase::Succeeded), "{status:?}");

        subject.tests(&tested(12, 1));
        let second = subject.push("Break it").await;
        let (_, status) = subject.ended(&second).await;
        assert_eq!(status.phase, Some(RunPhase::Failed), "{status:?}");

        // One runs for long, and is stopped by a person; the one that waits for it, by the clock.
        subject.plays("python", "exit=0,after=10m");
        let sha = subject.push("Take long").await;
        let long = run_of(&subject, &sha, RunPhase::Running).await;
        subject.patch(json!({"timeout": "2s"})).await;
        let sha = subject.push("Take long as well").await;
        let next = run_of(&subject, &sha, RunPhase::Queued).await;
        space.decide(("PipelineRun", &long), "Cancel").await;
        until(space, "PipelineRun", &long, "Cancelled", "").await;
        until(space, "PipelineRun", &next, "TimedOut", "").await;

        subject.patch(json!({"suspend": true})).await;
        until(space, "Pipeline", "api", "", "Suspended").await;
        subject
            .git
            .set_failing(Some(http::StatusCode::UNAUTHORIZED));
        subject.patch(json!({"suspend": false})).await;
        until(space, "Pipeline", "api", "", "SourceRefused").await;

        let seen = agree(space, &recorder).await;
        let phases: Vec<&str> = RunPhase::ALL.iter().map(|phase| phase.as_str()).collect();
        had(&seen, "PipelineRun", &phases);
        had(
            &seen,
            "Pipeline",
            &["not looked at", "Watching", "Suspended", "SourceRefused"],
        );
        had(&seen, "Release", &[""]);
    })
    .await;
}
