//! An operator that dies or hands over in the middle of a change: the next one goes on, and nobody notices.

use std::time::{Duration, Instant};

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use slipway::model::object::ObjectKind;

use crate::app::{
    App, REPLICAS, SOON, in_steps, is_phase, nothing_lost, pauses_at, rate, wait_for, weight_of,
    with_app,
};
use crate::cluster::{NAMESPACE, RELEASE, Version};
use crate::film::Film;
use crate::ratio::{by_pods, start_by_pods};

mod database; // killed at one write of a promotion with migrations
mod process; // killed at one write

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a node; run make test"]
async fn killed_in_the_middle_of_a_canary_it_goes_on() {
    with_app(async |app| with_app(async |pods| killed_twice(app, pods).await).await).await;
}

/// In the middle of a canary, and of a rolling change without a router at the same time.
async fn killed_twice(app: &App, pods: &App) {
    let mut steps = in_steps();
    steps["strategy"]["steps"][1] = json!({"pause": {}});
    steps["strategy"]["steps"][3] = json!({"pause": {"for": "1s"}});
    // What has to be ready for a while is not over before the operator is dead.
    let mut rolling = by_pods(&json!({"type": "Rolling"}));
    rolling["minReadySeconds"] = 3.into();
    tokio::join!(
        app.start(Version::One, &steps),
        start_by_pods(pods, &rolling)
    );
    let films = (app.film().await, pods.film().await);
    let (load, beside) = (app.load().await, pods.load().await);
    app.ask_for(Version::Two, &steps).await;
    pods.ask_for(Version::Two, &rolling).await;
    tokio::join!(app.until_paused_at(20), until_there(pods, 1));
    kill_process(&leader(&app.client).await);
    until_there(pods, 2).await;
    app.decide("Resume").await;
    app.until_paused_at(50).await;
    app.until("Promoting", |rollout| is_phase(rollout, "Promoting"))
        .await;
    kill_process(&leader(&app.client).await);
    for app in [app, pods] {
        app.until_healthy().await;
        app.until_pods(REPLICAS).await;
        assert_eq!(app.ends().await, ["Promoted"]);
    }
    nothing_rolled_back(&films.0);
    nothing_rolled_back(&films.1);
    nothing_lost("an operator killed twice", load).await;
    nothing_lost("an operator killed twice, by numbers of pods", beside).await;
    ready(app).await;
}

/// Waits until a change without a router has this many pods that serve.
async fn until_there(app: &App, count: u64) {
    let what = format!("{count} pods of the change");
    app.until(&what, |rollout| {
        // Without steps it takes over from its first pod on.
        is_phase(rollout, "Promoting")
            && rollout["status"]["canary"]["ready"].as_u64() >= Some(count)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a node; run make test"]
async fn when_its_pod_vanishes_another_one_takes_over_within_fifteen_seconds() {
    with_app(async |app| with_app(async |pods| vanished(app, pods).await).await).await;
}

/// In the middle of a canary, and of one without a router at the same time.
async fn vanished(app: &App, by_number: &App) {
    let steps = in_steps();
    let waits = by_pods(&json!({"steps": [{"setWeight": {"weight": 34}}, {"pause": {}}]}));
    ready(app).await;
    tokio::join!(
        app.start(Version::One, &steps),
        start_by_pods(by_number, &waits)
    );
    let (film, route) = (app.film().await, app.film_route().await);
    let (load, beside) = (app.load().await, by_number.load().await);
    by_number.ask_for(Version::Two, &waits).await;
    by_number.until_paused_at(33).await;
    app.ask_for(Version::Two, &steps).await;
    app.until_paused_at(20).await;
    by_number.decide("Resume").await;
    let gone = leader(&app.client).await;
    let at_once = DeleteParams::default().grace_period(0);
    pods(app).delete(&gone, &at_once).await.unwrap();
    // Whatever kills a node's pod without a word kills its process too.
    kill_process(&gone);
    let took = next_leader(app, &gone).await;
    eprintln!("after a crash the next one leads within {took:?}");
    assert!(took < Duration::from_secs(15), "{took:?}");
    app.until_healthy().await;
    app.until_pods(REPLICAS).await;
    nothing_rolled_back(&film);
    let weights: Vec<u64> = route
        .frames()
        .iter()
        .filter_map(|f| weight_of(&f.object))
        .collect();
    assert!(weights.contains(&50), "no step is left out: {weights:?}");
    nothing_lost("an operator's pod that vanished", load).await;
    by_number.until_healthy().await;
    by_number.until_pods(REPLICAS).await;
    assert_eq!(by_number.ends().await, ["Promoted"]);
    nothing_lost(
        "an operator's pod that vanished, by numbers of pods",
        beside,
    )
    .await;
    ready(app).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a node; run make test"]
async fn an_end_on_request_hands_over_within_three_seconds() {
    with_app(async |app| {
        ready(app).await;
        app.start(Version::One, &in_steps()).await;
        let film = app.film().await;
        let load = app.load().await;
        app.ask_for(Version::Two, &in_steps()).await;
        app.until_paused_at(20).await;
        let going = leader(&app.client).await;
        pods(app)
            .delete(&going, &DeleteParams::default())
            .await
            .unwrap();
        let took = next_leader(app, &going).await;
        eprintln!("the next one leads within {took:?}");
        assert!(took < Duration::from_secs(3), "{took:?}");
        app.until_healthy().await;
        nothing_rolled_back(&film);
        nothing_lost("a hand-over", load).await;
        ready(app).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a node; run make test"]
async fn uninstalled_in_the_middle_of_a_canary_and_installed_again_it_goes_on() {
    with_app(async |app| {
        ready(app).await;
        let mut extra = in_steps();
        // Long enough for it to be gone before the pause is over.
        extra["strategy"]["steps"][1] = json!({"pause": {"for": "20s"}});
        extra["strategy"]["steps"][3] = json!({"pause": {"for": "1s"}});
        app.start(Version::One, &extra).await;
        let (film, route) = (app.film().await, app.film_route().await);
        let load = app.load().await;
        let asked = Instant::now();
        app.ask_for(Version::Two, &extra).await;
        app.until_paused_at(20).await;
        app.apply(ObjectKind::Environment, &was_elsewhere()).await;
        let args = ["uninstall", RELEASE, "--namespace", NAMESPACE, "--wait"];
        let start = Instant::now();
        app.cluster.helm(&args).await;
        eprintln!("uninstalled within {:?}", start.elapsed());
        let left = app.now().await;
        assert!(pauses_at(&left, 20), "{}", left["status"]["message"]);
        let finalizers = &left["metadata"]["finalizers"];
        assert!(finalizers.is_null(), "nothing waits for it: {finalizers}");
        let environment = app.api(ObjectKind::Environment).get("far").await.unwrap();
        assert!(environment.finalizers().is_empty(), "nor for that");
        let pods = app.pods().await;
        let wanted = load.stats().answered + u64::from(rate());
        load.until(SOON, |stats| stats.answered >= wanted)
            .await
            .unwrap();
        assert_eq!(app.pods().await, pods, "nothing moves without it");
        let start = Instant::now();
        app.cluster.install(&[]).await;
        eprintln!("installed again within {:?}", start.elapsed());
        app.cluster
            .helm(&["test", RELEASE, "--namespace", NAMESPACE])
            .await;
        app.until_healthy().await;
        app.until_pods(REPLICAS).await;
        nothing_rolled_back(&film);
        let weights = route.changes_since(asked, weight_of);
        assert_eq!(weights, [20, 50, 100, 0]);
        nothing_lost("another install in the middle", load).await;
        ready(app).await;
    })
    .await;
}

/// An Environment with the finalizer from when the operator reached other clusters, which it does no more.
fn was_elsewhere() -> Value {
    json!({
        "apiVersion": "slipway.dev/v1alpha1", "kind": "Environment",
        "metadata": {"name": "far", "finalizers": ["slipway.dev/cleanup"]},
        "spec": {"tier": "Staging", "promotion": {"from": {"pipelines": ["nothing"]}}},
    })
}

fn pods(app: &App) -> Api<Pod> {
    Api::namespaced(app.client.clone(), NAMESPACE)
}

/// The pod that leads.
async fn leader(client: &Client) -> String {
    let leases: Api<Lease> = Api::namespaced(client.clone(), NAMESPACE);
    wait_for("somebody leads", SOON, async || {
        let lease = leases
            .get(RELEASE)
            .await
            .map_err(|error| error.to_string())?;
        let holder = lease
            .spec
            .and_then(|spec| spec.holder_identity)
            .unwrap_or_default();
        let pod = holder.rsplit_once('_').map(|(pod, _)| pod.to_owned());
        pod.ok_or_else(|| format!("the holder is {holder:?}"))
    })
    .await
}

/// Waits until another pod leads than this one; returns how long that took.
async fn next_leader(app: &App, before: &str) -> Duration {
    let start = Instant::now();
    wait_for("another one leads", SOON, async || {
        match leader(&app.client).await {
            now if now == before => Err(format!("{now} still leads")),
            _ => Ok(()),
        }
    })
    .await;
    start.elapsed()
}

/// Waits until every replica of the operator stands by again, for whoever is next.
async fn ready(app: &App) {
    let deployments: Api<Deployment> = Api::namespaced(app.client.clone(), NAMESPACE);
    wait_for("all replicas of the operator", SOON, async || {
        let status = deployments
            .get(RELEASE)
            .await
            .unwrap()
            .status
            .unwrap_or_default();
        let (wanted, ready) = (status.replicas, status.ready_replicas);
        if wanted == Some(2) && ready == wanted {
            Ok(())
        } else {
            Err(format!("{status:?}"))
        }
    })
    .await;
}

/// Kills the process of a pod with SIGKILL, from the machine: nothing inside a container can kill its first process.
fn kill_process(pod: &str) {
    let name = format!("POD_NAME={pod}");
    let is_of_pod = |environment: &[u8]| {
        environment
            .split(|byte| *byte == 0)
            .any(|variable| variable == name.as_bytes())
    };
    let processes = std::fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let entry = entry.ok()?;
        let id: u32 = entry.file_name().to_str()?.parse().ok()?;
        let environment = std::fs::read(entry.path().join("environ")).ok()?;
        is_of_pod(&environment).then_some(id)
    });
    let ids: Vec<String> = processes.map(|id| id.to_string()).collect();
    // None is left when the kubelet was faster.
    if !ids.is_empty() {
        std::process::Command::new("kill")
            .arg("-KILL")
            .args(&ids)
            .status()
            .unwrap();
    }
}

fn nothing_rolled_back(film: &Film) {
    let back = film.first(|rollout| {
        let phase = rollout["status"]["phase"].as_str()?;
        ["RollingBack", "RolledBack", "Degraded"]
            .contains(&phase)
            .then(|| rollout["status"].clone())
    });
    assert!(
        back.is_none(),
        "{:#}",
        json!(back.map(|(_, status)| status))
    );
}
