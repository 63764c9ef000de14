//! Strategies under load, and people who step in: blue-green, rolling, stable that goes with the weight, Decisions.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::app::{
    App, REPLICAS, SOON, has_condition, is_phase, nothing_lost, wait_for, weight_of, with_app,
};
use crate::cluster::Version;
use crate::film::Film;

fn strategy(strategy: &Value) -> Value {
    json!({"strategy": strategy})
}

fn has_reason(rollout: &Value, reason: &str) -> bool {
    has_condition(rollout, "Ready", |ready| ready["reason"] == reason)
}

/// Pods that the ReplicaSets should have, in all.
fn wanted_pods(rollout: &Value) -> i64 {
    let of = |side: &str| rollout["status"][side]["replicas"].as_i64().unwrap_or(0);
    if rollout["status"]["stable"]["revision"] == rollout["status"]["canary"]["revision"] {
        return of("stable");
    }
    of("stable") + of("canary")
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a node; run make test"]
async fn blue_green_is_looked_at_approved_switched_and_taken_back_in_a_moment() {
    with_app(async |app| {
        let extra = strategy(&json!({
            "type": "BlueGreen", "maxSurge": "100%", "keepOldFor": "5m",
            "blueGreen": {"promote": {"mode": "Manual"}, "postPromotion": [{"pause": {"for": "2s"}}]},
        }));
        app.start(Version::One, &extra).await;
        let route = app.film_route().await;
        let load = app.load().await;
        app.ask_for(Version::Two, &extra).await;
        let waiting = app.until("approval, with all pods there", |rollout| {
            has_reason(rollout, "ApproveStep") && rollout["status"]["canary"]["ready"] == json!(REPLICAS)
        })
        .await;
        assert_eq!(waiting["status"]["weights"]["canary"], 0, "and no user has seen them");
        app.decide("Approve").await;
        app.until_healthy().await;
        let weights: Vec<u64> = route.frames().iter().filter_map(|frame| weight_of(&frame.object)).collect();
        assert!(weights.iter().all(|weight| [0, 100].contains(weight)), "{weights:?}");
        assert_eq!(app.pods().await.len(), 2, "the version before is kept");

        let start = Instant::now();
        app.ask_for(Version::One, &extra).await;
        wait_for("version one again", SOON, async || {
            let rollout = app.now().await;
            let changes = rollout["status"]["history"].as_array().map_or(0, Vec::len);
            if changes == 2 && is_phase(&rollout, "Healthy") {
                Ok(())
            } else {
                Err(format!("{changes} changes: {}", rollout["status"]["message"]))
            }
        })
        .await;
        let switched = route.first_since(start, |route| weight_of(route) == Some(100));
        let took = switched.unwrap().duration_since(start);
        eprintln!("the version before has all of the traffic within {took:?}");
        assert!(took < Duration::from_secs(10), "{took:?}");
        nothing_lost("blue-green, there and back", load).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a node; run make test"]
async fn a_rolling_change_replaces_pod_by_pod_and_never_has_many_more() {
    with_app(async |app| {
        let extra = strategy(&json!({"type": "Rolling", "maxSurge": 1}));
        app.start(Version::One, &extra).await;
        let rollout = app.film().await;
        let load = app.load().await;
        app.ask_for(Version::Two, &extra).await;
        app.until_healthy().await;
        app.until_pods(REPLICAS).await;
        let most = rollout
            .frames()
            .iter()
            .map(|frame| wanted_pods(&frame.object))
            .max();
        let limit = i64::try_from(REPLICAS).unwrap() + 1;
        assert!(most <= Some(limit), "{most:?} pods");
        nothing_lost("rolling", load).await;
        aborted_and_superseded(app, &extra).await;
    })
    .await;
}

/// A rolling change is given up when one of its pods serves, tried again, and superseded when one serves again.
async fn aborted_and_superseded(app: &App, extra: &Value) {
    let load = app.load().await;
    let one_serves = || {
        app.until("one pod of it serves, and not all", |rollout| {
            let of = |side: &str| rollout["status"][side]["ready"].as_u64().unwrap_or(0);
            // Without steps it takes over from its first pod on.
            is_phase(rollout, "Promoting") && of("canary") >= 1 && of("stable") >= 1
        })
    };
    app.ask_for(Version::One, extra).await;
    one_serves().await;
    app.decide("Abort").await;
    app.until_rolled_back().await;
    app.decide("Retry").await;
    one_serves().await;
    app.ask_for(Version::Bad, extra).await;
    app.until_healthy().await;
    app.until_pods(REPLICAS).await;
    let ends = app.ends().await;
    assert_eq!(ends, ["Promoted", "Superseded", "RolledBack", "Promoted"]);
    nothing_lost("rolling, aborted and superseded", load).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a node; run make test"]
async fn auto_takes_the_shape_that_the_history_of_changes_asks_for() {
    with_app(async |app| {
        let signals = json!({"recentFailureRate": {"0.3": "High"}});
        let extra = strategy(&json!({
            "type": "Auto", "maxSurge": "100%", "auto": {"signals": signals},
            "steps": [{"setWeight": {"weight": 20}}, {"pause": {"for": "4s"}}, {"setWeight": {"weight": 50}}, {"pause": {"for": "3s"}}],
            "blueGreen": {"postPromotion": [{"pause": {"for": "4s"}}]},
        }));
        app.start(Version::One, &extra).await;
        let route = app.film_route().await;
        let load = app.load().await;
        // Nothing has ended yet: medium, and a canary.
        let seen = taken(app, &route, Version::Two, &extra, "Medium").await;
        assert_eq!(seen, [20, 50, 100, 0]);
        // Everything has ended well: low, and a blue-green.
        let seen = taken(app, &route, Version::One, &extra, "Low").await;
        assert_eq!(seen, [100, 0]);
        app.ask_for(Version::Two, &extra).await;
        app.until("stable has a change", |rollout| rollout["status"]["risk"]["level"] == "Low" && is_phase(rollout, "Progressing"))
            .await;
        app.decide("Abort").await;
        app.until_rolled_back().await;
        // One in three has gone back: high, and pod by pod.
        let seen = taken(app, &route, Version::Bad, &extra, "High").await;
        assert!(seen.len() > 3 && !seen.contains(&20), "{seen:?}");
        app.until_pods(REPLICAS).await;
        nothing_lost("auto", load).await;
    })
    .await;
}

/// Asks for a version, which has to be of this risk; the weights on its way.
async fn taken(app: &App, route: &Film, version: Version, extra: &Value, risk: &str) -> Vec<u64> {
    let start = Instant::now();
    app.ask_for(version, extra).await;
    app.until_healthy().await;
    assert_eq!(app.now().await["status"]["risk"]["level"], risk);
    route.changes_since(start, weight_of)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a node; run make test"]
async fn stable_goes_with_the_weight_and_comes_back_when_somebody_aborts() {
    with_app(async |app| {
        let extra = strategy(&json!({"stableScale": "WithWeight", "maxSurge": 1, "steps": [
            {"setWeight": {"weight": 34}}, {"pause": {"for": "2s"}}, {"setWeight": {"weight": 67}}, {"pause": {}},
        ]}));
        app.start(Version::One, &extra).await;
        let load = app.load().await;
        app.ask_for(Version::Two, &extra).await;
        app.until_paused_at(67).await;
        app.until("one pod of stable", |rollout| rollout["status"]["stable"]["replicas"] == 1).await;
        app.decide("Abort").await;
        let given_up = app.until_rolled_back().await;
        assert!(given_up["status"]["history"][0]["reason"].as_str().unwrap().starts_with("Aborted"));
        app.until_pods(REPLICAS).await;
        app.decide("Retry").await;
        app.until_paused_at(67).await;
        app.decide("Resume").await;
        app.until_healthy().await;
        app.until_pods(REPLICAS).await;
        nothing_lost("stable with the weight", load).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a node; run make test"]
async fn people_hold_skip_promote_and_undo() {
    with_app(async |app| {
        let extra = strategy(&json!({"steps": [
            {"setWeight": {"weight": 20}}, {"pause": {"for": "1h"}},
            {"setWeight": {"weight": 50}}, {"pause": {"for": "1h"}},
        ]}));
        app.start(Version::One, &extra).await;
        let before = app.pods().await;
        let load = app.load().await;
        app.ask_for(Version::Two, &extra).await;
        app.until_paused_at(20).await;
        app.decide("Skip").await;
        app.until_paused_at(50).await;
        app.decide("Pause").await;
        app.until("held", |rollout| has_reason(rollout, "Paused"))
            .await;
        app.decide("Promote").await;
        app.until_healthy().await;
        app.decide("Undo").await;
        let undone = app.until_rolled_back().await;
        assert_eq!(
            undone["status"]["lastDecision"]["action"], "Undo",
            "{}",
            undone["status"]["lastDecision"]
        );
        app.until_pods(REPLICAS).await;
        let revisions = |pods: &std::collections::BTreeMap<String, Vec<String>>| {
            pods.keys().cloned().collect::<Vec<_>>()
        };
        assert_eq!(
            revisions(&app.pods().await),
            revisions(&before),
            "version one serves"
        );
        nothing_lost("a change that people steer", load).await;
    })
    .await;
}
