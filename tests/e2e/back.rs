//! Ways back under load: a change that people abort, wherever it is, and the version before, without steps.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testbed::load::Load;

use crate::app::{
    App, DRAIN, REPLICAS, SOON, nothing_lost, rate, share, wait_for, weight_of, with_app,
};
use crate::cluster::Version;
use crate::film::Film;

/// From a word of people's to the route that has everything at stable, on a machine that is busy.
const AT_ONCE: Duration = Duration::from_secs(2);

/// Weights, with a pause after each that only people end.
fn stops_at(weights: &[u64]) -> Value {
    let steps = weights.iter();
    let steps: Vec<Value> = steps
        .flat_map(|weight| {
            [
                json!({"setWeight": {"weight": weight}}),
                json!({"pause": {}}),
            ]
        })
        .collect();
    json!({"strategy": {"maxSurge": "100%", "steps": steps}})
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a node; run make test"]
async fn aborted_at_each_step_everything_goes_back_at_once() {
    with_app(async |app| {
        let extra = stops_at(&[20, 50, 100]);
        app.start(Version::One, &extra).await;
        let before = app.pods().await;
        let route = app.film_route().await;
        let load = app.load().await;
        app.ask_for(Version::Two, &extra).await;
        app.until_paused_at(20).await;
        abort(app, &route).await;
        // What was given up drains still.
        app.decide("Retry").await;
        resumed_to(app, &[20, 50]).await;
        abort(app, &route).await;
        app.until_pods(REPLICAS).await;
        app.ask_for(Version::Bad, &extra).await;
        resumed_to(app, &[20, 50, 100]).await;
        abort(app, &route).await;
        app.until_pods(REPLICAS).await;
        assert_eq!(app.pods().await, before, "the same pods");
        app.decide("Retry").await;
        app.until_paused_at(20).await;
        app.decide("Promote").await;
        app.until_healthy().await;
        app.until_pods(REPLICAS).await;
        let history = app.now().await["status"]["history"].clone();
        let ends: Vec<&Value> = history
            .as_array()
            .unwrap()
            .iter()
            .map(|end| &end["result"])
            .collect();
        assert_eq!(ends, ["Promoted", "RolledBack", "RolledBack", "RolledBack"]);
        let peaks: Vec<&Value> = history
            .as_array()
            .unwrap()
            .iter()
            .map(|end| &end["peakWeight"])
            .collect();
        assert_eq!(peaks, [100, 100, 50, 20]);
        nothing_lost("an abort at each step", load).await;
    })
    .await;
}

/// Ends each pause but the last.
async fn resumed_to(app: &App, weights: &[u64]) {
    for (index, weight) in weights.iter().enumerate() {
        if index > 0 {
            app.decide("Resume").await;
        }
        app.until_paused_at(*weight).await;
    }
}

async fn abort(app: &App, route: &Film) {
    let weight = app.now().await["status"]["weights"]["canary"].clone();
    let start = Instant::now();
    app.decide("Abort").await;
    app.until_rolled_back().await;
    let back = route.first_since(start, |route| weight_of(route) == Some(0));
    let took = back
        .expect("a route that leads to stable")
        .duration_since(start);
    eprintln!("aborted at {weight} %: 100 % stable within {took:?}");
    assert!(took < AT_ONCE, "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a node; run make test"]
async fn the_version_before_comes_back_without_steps() {
    with_app(async |app| {
        let steps = stops_at(&[20]);
        let with = |more: &Value| {
            let mut extra = steps.clone();
            json_patch::merge(&mut extra, more);
            extra
        };
        let kept = with(&json!({"strategy": {"keepOldFor": "5m"}}));
        let window = with(&json!({"rollback": {"window": {"revisions": 1}}}));
        app.start(Version::One, &kept).await;
        let route = app.film_route().await;
        let load = app.load().await;
        app.ask_for(Version::Two, &kept).await;
        app.until_paused_at(20).await;
        app.decide("Promote").await;
        app.until_healthy().await;
        assert_eq!(app.pods().await.len(), 2, "the version before is kept");
        let took = back_to(app, &route, Version::One, &kept).await;
        eprintln!("with its pods, the version before has everything within {took:?}");
        assert!(took < AT_ONCE, "{took:?}");
        until_all_by(&load, Version::One).await;

        // Without its pods it takes the time in which they start.
        app.ask_for(Version::One, &window).await;
        app.until_pods(REPLICAS).await;
        let took = back_to(app, &route, Version::Two, &window).await;
        eprintln!("without its pods, the version before has everything within {took:?}");
        assert!(took < Duration::from_secs(15), "{took:?}");
        until_all_by(&load, Version::Two).await;

        // Where it is neither kept nor in the window, it is a change as any other.
        app.ask_for(Version::One, &steps).await;
        app.until_paused_at(20).await;
        nothing_lost("the version before, twice", load).await;
    })
    .await;
}

/// Asks for the version before; how long it takes until the route leads all requests there, in one move.
async fn back_to(app: &App, route: &Film, version: Version, extra: &Value) -> Duration {
    let start = Instant::now();
    app.ask_for(version, extra).await;
    app.until_healthy().await;
    let weights = route.changes_since(start, weight_of);
    assert_eq!(
        weights,
        [100, 0],
        "in one move, and then through the stable Service"
    );
    let all = route.first_since(start, |route| weight_of(route) == Some(100));
    all.unwrap().duration_since(start)
}

/// Waits until a version gives all answers: the gateway, and what it has accepted already, need a moment.
async fn until_all_by(load: &Load, version: Version) {
    wait_for("answers of one version only", DRAIN, async || {
        let before = load.stats();
        let wanted = before.answered + u64::from(rate() / 4);
        let after = load.until(SOON, |stats| stats.answered >= wanted);
        let share = share(&before, &after.await.unwrap(), version);
        if share > 99.9 {
            Ok(())
        } else {
            Err(format!("{share:.1} %"))
        }
    })
    .await;
}
