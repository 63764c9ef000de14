//! What comes in between: other versions, other sizes, versions that do not start.

use std::time::{Duration, Instant};

use kube::api::{ListParams, Patch, PatchParams};
use serde_json::json;
use slipway::model::object::ObjectKind;

use crate::app::{
    DRAIN, NAME, REPLICAS, SOON, in_steps, is_phase, nothing_lost, wait_for, weight_of, with_app,
};
use crate::cluster::Version;
use crate::film::Film;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a node; run make test"]
async fn a_newer_version_takes_the_place_of_one_that_is_under_way() {
    with_app(async |app| {
        app.start(Version::One, &in_steps()).await;
        let load = app.load().await;
        app.ask_for(Version::Two, &in_steps()).await;
        let under_way = app.until_paused_at(50).await;
        let revision = under_way["status"]["canary"]["revision"].as_str().unwrap();
        let superseded = format!("{NAME}-{revision}");
        let set = Film::of(&app.api(ObjectKind::ReplicaSet), &superseded).await;
        let route = app.film_route().await;
        let asked = Instant::now();
        app.ask_for(Version::Bad, &in_steps()).await;
        app.until_healthy().await;
        app.until_pods(REPLICAS).await;
        assert_eq!(app.ends().await, ["Promoted", "Superseded"]);
        let weights = route.changes_since(asked, weight_of);
        assert_eq!(weights, [0, 20, 50, 100, 0], "stable has everything first");
        let idle = route.first_since(asked, |route| weight_of(route) == Some(0));
        let scaled_down = set.first_since(asked, |set| set["spec"]["replicas"] == 0);
        let drained = scaled_down.expect("no pods").duration_since(idle.unwrap());
        eprintln!("what was superseded has drained for {drained:?}");
        assert!(drained + Duration::from_millis(200) > DRAIN, "{drained:?}");
        nothing_lost("one version superseded by the next", load).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a node; run make test"]
async fn taken_back_in_the_middle_of_a_change_the_old_version_serves_on() {
    with_app(async |app| {
        app.start(Version::One, &in_steps()).await;
        let before = app.pods().await;
        let load = app.load().await;
        app.ask_for(Version::Two, &in_steps()).await;
        app.until_paused_at(50).await;
        app.ask_for(Version::One, &in_steps()).await;
        app.until_healthy().await;
        app.until_pods(REPLICAS).await;
        assert_eq!(app.pods().await, before, "the same pods");
        assert_eq!(app.ends().await, ["Superseded"]);
        nothing_lost("a change taken back", load).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a node; run make test"]
async fn the_size_changes_while_a_version_is_under_way() {
    with_app(async |app| {
        app.start(Version::One, &in_steps()).await;
        let load = app.load().await;
        app.ask_for(Version::Two, &in_steps()).await;
        for (percent, replicas) in [(20, 5), (50, 2)] {
            app.until_paused_at(percent).await;
            let change = Patch::Merge(json!({"spec": {"replicas": replicas}}));
            let rollouts = app.api(ObjectKind::Rollout);
            rollouts
                .patch_scale(NAME, &PatchParams::default(), &change)
                .await
                .unwrap();
        }
        app.until("Healthy with two pods", |rollout| {
            is_phase(rollout, "Healthy") && rollout["status"]["readyReplicas"] == "2/2"
        })
        .await;
        app.until_pods(2).await;
        nothing_lost("another size, twice", load).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a node; run make test"]
async fn a_version_that_does_not_start_is_given_up_within_seconds() {
    with_app(async |app| {
        let mut extra = in_steps();
        extra["revisionHistoryLimit"] = 1.into();
        app.start(Version::One, &extra).await;
        let (before, route) = (app.pods().await, app.film_route().await);
        let load = app.load().await;
        let crashes = json!({"command": ["python3", "-c", "raise SystemExit(1)"]});
        let missing = format!("{}/demo/greeter:missing", app.cluster.node.registry());
        let unpullable = json!({"image": missing});
        for (reason, broken) in [("CrashLoop", crashes), ("ImagePull", unpullable)] {
            let mut rollout = app.rollout(Version::One, &extra);
            let container = &mut rollout["spec"]["template"]["spec"]["containers"][0];
            json_patch::merge(container, &broken);
            let start = Instant::now();
            app.apply(ObjectKind::Rollout, &rollout).await;
            let given_up = app.until_rolled_back().await;
            let took = start.elapsed();
            eprintln!("{reason} is recognised within {took:?}");
            assert!(took < Duration::from_secs(10), "{took:?}");
            let why = given_up["status"]["history"][0]["reason"].as_str().unwrap();
            assert!(why.starts_with(reason), "{why}");
        }
        app.until_pods(REPLICAS).await;
        assert_eq!(app.pods().await, before, "the same pods");
        let peak = route
            .frames()
            .iter()
            .filter_map(|frame| weight_of(&frame.object))
            .max();
        assert_eq!(peak, Some(0), "what does not start gets no traffic");
        app.start(Version::One, &extra).await;
        wait_for("of what is old, one revision is kept", SOON, async || {
            let sets = app
                .api(ObjectKind::ReplicaSet)
                .list(&ListParams::default())
                .await
                .unwrap();
            if sets.items.len() == 2 {
                Ok(())
            } else {
                Err(format!("{}", sets.items.len()))
            }
        })
        .await;
        nothing_lost("two versions that do not start", load).await;
    })
    .await;
}
