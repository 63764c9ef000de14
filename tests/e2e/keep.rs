//! What gets too old goes, what is stopped stops, and what is looked up by name is found: the rest of what the operator
//! may do.

use std::time::Duration;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, DynamicObject, ListParams, PostParams};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use slipway::model::object::ObjectKind;
use testbed::git::GitServer;
use testbed::image;

use crate::app::{App, SOON, wait_for, with_app};

/// Longest wait for a run of one stage, the first of which pulls its images.
const RUN: Duration = Duration::from_mins(2);

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a node; run make test"]
async fn old_runs_go_with_what_they_followed_and_a_run_that_is_stopped_leaves_no_job() {
    with_app(async |app| {
        let bridge = app.cluster.node.registry().rsplit_once(':').unwrap().0.parse().unwrap();
        let git = GitServer::start_on(bridge).await.unwrap();
        let repository = git.create("shop").await.unwrap();
        let authorities = std::fs::read_to_string(app.cluster.node.control_plane().ca_path().unwrap()).unwrap();
        let bundle = json!({"metadata": {"name": "company-ca"}, "data": {"ca.crt": authorities}});
        let bundles: Api<ConfigMap> = Api::namespaced(app.client.clone(), &app.namespace);
        bundles.create(&PostParams::default(), &serde_json::from_value(bundle).unwrap()).await.unwrap();

        let debian = image::base::debian(app.cluster.node.registry()).await.unwrap();
        let pipeline = |script: &str| {
            json!({
                "apiVersion": "slipway.dev/v1alpha1", "kind": "Pipeline", "metadata": {"name": "shop"},
                "spec": {
                    "source": {"git": {"url": git.url("shop"), "insecure": true, "caBundle": {"configMapName": "company-ca"}}},
                    "polling": {"interval": "500ms"}, "retention": {"succeeded": 1, "failed": 1},
                    "stages": [{"name": "unit", "type": "Test", "image": debian, "run": script}],
                    "release": {"enabled": false},
                },
            })
        };
        app.apply(ObjectKind::Pipeline, &pipeline("true")).await;
        let first = repository.commit("main", "Open the shop", &[("file", "1")]).await.unwrap();
        let first = run_of(app, &first, "Succeeded").await;
        let followed = revisions(app).await;
        app.apply(ObjectKind::Pipeline, &pipeline("echo again")).await;
        let second = repository.commit("main", "Sell more", &[("file", "2")]).await.unwrap();
        run_of(app, &second, "Succeeded").await;
        wait_for("the older run is gone, and what it followed", SOON, async || {
            let runs: Vec<String> = list(app, ObjectKind::PipelineRun).await.iter().map(ResourceExt::name_any).collect();
            let left = revisions(app).await;
            let is_gone = !runs.contains(&first) && !left.iter().any(|name| followed.contains(name));
            if is_gone { Ok(()) } else { Err(format!("{runs:?}, {left:?}")) }
        })
        .await;

        app.apply(ObjectKind::Pipeline, &pipeline("sleep 600")).await;
        let third = repository.commit("main", "Take a nap", &[("file", "3")]).await.unwrap();
        let third = run_of(app, &third, "Running").await;
        wait_for("its Job", SOON, async || {
            if jobs_of(app, &third).await == 0 { Err("none".to_owned()) } else { Ok(()) }
        })
        .await;
        let decision = json!({
            "apiVersion": "slipway.dev/v1alpha1", "kind": "Decision", "metadata": {"name": "stop"},
            "spec": {"target": {"kind": "PipelineRun", "name": third}, "action": "Cancel", "user": "admin"},
        });
        app.apply(ObjectKind::Decision, &decision).await;
        wait_for("no Job is left", SOON, async || match jobs_of(app, &third).await {
            0 => Ok(()),
            left => Err(format!("{left} Jobs")),
        })
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a node; run make test"]
async fn old_promotions_go_and_the_last_good_one_stays() {
    with_app(async |app| {
        let environment = json!({
            "apiVersion": "slipway.dev/v1alpha1", "kind": "Environment", "metadata": {"name": "dev"},
            "spec": {"tier": "Development", "promotion": {"from": {"pipelines": ["shop"]}}, "history": {"promotions": 1}},
        });
        app.apply(ObjectKind::Environment, &environment).await;
        // Nobody else may make a Release.
        let operator = Client::try_from(app.as_operator().await).unwrap();
        let releases: Api<DynamicObject> =
            Api::namespaced_with(operator, &app.namespace, &ObjectKind::Release.api_resource());
        let mut previous = None;
        for number in 1..=4 {
            let name = format!("shop-{number}");
            let release = release(&name, number, previous.as_deref());
            releases.create(&PostParams::default(), &serde_json::from_value(release).unwrap()).await.unwrap();
            wait_for(&format!("{name} runs"), SOON, async || {
                let environment = app.api(ObjectKind::Environment).get("dev").await.unwrap();
                let current = environment.data.pointer("/status/current/0/release").cloned();
                if current == Some(json!(name)) { Ok(()) } else { Err(format!("{current:?}")) }
            })
            .await;
            previous = Some(name);
        }
        wait_for("old promotions are gone", SOON, async || {
            let left: Vec<String> = list(app, ObjectKind::Promotion)
                .await
                .iter()
                .map(|promotion| promotion.data["spec"]["release"].as_str().unwrap().to_owned())
                .collect();
            // The last one, and the one that it would go back to.
            if left.len() <= 2 && left.contains(&"shop-4".to_owned()) { Ok(()) } else { Err(format!("{left:?}")) }
        })
        .await;
    })
    .await;
}

fn release(name: &str, number: u32, previous: Option<&str>) -> Value {
    let commit = |number: u32| {
        json!({
            "sha": format!("{number:040x}"), "author": "Dana", "email": "dana@shop.test",
            "subject": format!("Change {number}"), "committedAt": format!("2026-11-21T10:00:0{number}Z"),
        })
    };
    let mut spec = json!({
        "pipeline": "shop", "ref": "refs/heads/main", "evidence": {"run": format!("shop-run-{number}")},
        "images": [{"name": "shop", "repository": "registry.example/shop", "digest": format!("sha256:{number:064x}")}],
        "commit": commit(number), "changes": [commit(number)],
    });
    if let Some(previous) = previous {
        spec["previous"] = previous.into();
    }
    json!({
        "apiVersion": "slipway.dev/v1alpha1", "kind": "Release",
        "metadata": {"name": name, "labels": {"slipway.dev/pipeline": "shop", "slipway.dev/component": "release"}},
        "spec": spec,
    })
}

async fn list(app: &App, kind: ObjectKind) -> Vec<DynamicObject> {
    app.api(kind)
        .list(&ListParams::default())
        .await
        .unwrap()
        .items
}

async fn revisions(app: &App) -> Vec<String> {
    let revisions = list(app, ObjectKind::ControllerRevision).await;
    revisions.iter().map(ResourceExt::name_any).collect()
}

/// The run of a commit, once it is in this phase.
async fn run_of(app: &App, sha: &str, phase: &str) -> String {
    wait_for(&format!("a run that is {phase}"), RUN, async || {
        let runs = list(app, ObjectKind::PipelineRun).await;
        let run = runs.iter().find(|run| run.data["spec"]["sha"] == sha);
        let run = run.ok_or_else(|| format!("{} runs of other commits", runs.len()))?;
        let status = &run.data["status"];
        if status["phase"] == phase {
            Ok(run.name_any())
        } else {
            Err(format!("{status}"))
        }
    })
    .await
}

/// The number of a run's Jobs.
async fn jobs_of(app: &App, run: &str) -> usize {
    let jobs: Api<Job> = Api::namespaced(app.client.clone(), &app.namespace);
    let of_run = ListParams::default().labels(&format!("slipway.dev/pipeline-run={run}"));
    jobs.list(&of_run).await.unwrap().items.len()
}
