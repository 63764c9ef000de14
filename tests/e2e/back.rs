//! Ways back under load: a change that people abort, wherever it is, and the version before, without steps.

use std::time::{Duration, Instant};

use kube::api::ListParams;
use serde_json::{Value, json};
use slipway::model::object::ObjectKind;
use testbed::load::Load;

use crate::app::{
    App, DRAIN, NAME, REPLICAS, SOON, is_full, nothing_lost, rate, share, wait_for, weight_of,
    with_app,
};
use crate::canary::success_rate;
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

/// A Job that ends when it is told to, and not before.
fn endless_hook(app: &App) -> Value {
    let wait =
        "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit()); signal.pause()";
    let job = json!({"image": app.cluster.image(Version::One), "command": ["python3", "-c", wait]});
    json!({"run": {"name": "endless", "job": job}})
}

/// Steps of every kind but mirror, which takes another data plane. Each one waits: for pods that take a while to start, or
/// for what only people end. In the usual version those that no other story of it aborts.
fn kinds_of_steps(app: &App) -> Vec<Value> {
    let weight = |weight: u8| json!({"setWeight": {"weight": weight}});
    let analyse = json!({"analyse": {"metrics": ["success-rate"], "for": "1h"}});
    let (run, approve) = (endless_hook(app), json!({"approve": {}}));
    if !is_full() {
        return vec![weight(20), analyse, run, approve];
    }
    vec![
        json!({"route": {"headers": [{"name": "x-canary", "value": "yes"}]}}),
        json!({"pause": {"for": "1h"}}),
        weight(50),
        json!({"pause": {}}),
        json!({"scale": {"canary": REPLICAS}}),
        analyse,
        run,
        approve,
    ]
}

/// Whether a step is over as soon as there are pods for it.
fn is_about_pods(step: &Value) -> bool {
    ["setWeight", "route", "scale"]
        .iter()
        .any(|kind| step.get(kind).is_some())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a node; run make test"]
async fn a_change_is_aborted_at_any_kind_of_step() {
    with_app(async |app| {
        let steps = kinds_of_steps(app);
        let extra = json!({
            "strategy": {"maxSurge": "100%", "steps": steps},
            "analysis": {"interval": "1s", "metrics": [success_rate(app)]},
        });
        let wanted = |version| {
            let mut rollout = app.rollout(version, &extra);
            let container = &mut rollout["spec"]["template"]["spec"]["containers"][0];
            // Time enough to give up what waits for pods.
            container["readinessProbe"]["initialDelaySeconds"] = 2.into();
            rollout
        };
        app.apply(ObjectKind::Rollout, &wanted(Version::One)).await;
        app.until_healthy().await;
        let before = app.pods().await;
        let (film, route) = (app.film().await, app.film_route().await);
        let load = app.load().await;
        app.apply(ObjectKind::Rollout, &wanted(Version::Two)).await;
        let first = usize::from(!is_full());
        for place in first..steps.len() {
            if place > first {
                app.decide("Retry").await;
            }
            brought_to(app, &steps, place).await;
            abort_at(app, &route, &film, place).await;
            if steps.get(place + 1).is_some_and(is_about_pods) {
                // Else its pods, which drain still, would serve at once.
                app.until_pods(REPLICAS).await;
            }
        }
        app.until_pods(REPLICAS).await;
        assert_eq!(app.pods().await, before, "the same pods");
        app.decide("Retry").await;
        brought_to(app, &steps, steps.len() - 1).await;
        app.decide("Approve").await;
        app.until_healthy().await;
        app.until_pods(REPLICAS).await;
        let ends = app.ends().await;
        assert_eq!(ends[0], "Promoted", "{ends:?}");
        assert_eq!(ends.len(), steps.len() - first + 1, "{ends:?}");
        nothing_lost("an abort at any kind of step", load).await;
    })
    .await;
}

/// Waits until a step is there, counted from 0; those before it that do not end by themselves are skipped.
async fn brought_to(app: &App, steps: &[Value], place: usize) {
    for (index, step) in steps.iter().enumerate().take(place + 1) {
        if index == place || !is_about_pods(step) {
            let what = format!("step {}: {step}", index + 1);
            app.until(&what, |rollout| {
                rollout["status"]["phase"] != "RolledBack"
                    && rollout["status"]["step"]["index"] == json!(index + 1)
            })
            .await;
        }
        if index < place && !is_about_pods(step) {
            app.decide("Skip").await;
        }
    }
    if steps[place].get("run").is_some() {
        until_jobs(app, 1).await;
    }
}

/// Gives the change up at a step: it comes no further, and leaves nothing on the route and no Job.
async fn abort_at(app: &App, route: &Film, film: &Film, place: usize) {
    let start = Instant::now();
    app.decide("Abort").await;
    app.until_rolled_back().await;
    let later = film.first_since(start, |rollout| {
        rollout["status"]["step"]["index"].as_u64() > u64::try_from(place + 1).ok()
    });
    assert!(later.is_none(), "given up at step {}, not later", place + 1);
    let frames = route.frames();
    let before = frames.iter().rfind(|frame| frame.at < start).unwrap();
    if !is_all_at_stable(&before.object) {
        let back = route.first_since(start, is_all_at_stable);
        let took = back.expect("a route that leads to stable alone") - start;
        eprintln!(
            "aborted at step {}: stable has all within {took:?}",
            place + 1
        );
        assert!(took < AT_ONCE, "{took:?}");
    }
    let now = app.api(ObjectKind::HttpRoute).get(NAME).await.unwrap();
    assert!(is_all_at_stable(&serde_json::to_value(now).unwrap()));
    until_jobs(app, 0).await;
}

/// Whether a route has nothing but stable, whatever requests have.
fn is_all_at_stable(route: &Value) -> bool {
    let rules = route["spec"]["rules"].as_array();
    rules.is_some_and(|rules| rules.len() == 1) && weight_of(route) == Some(0)
}

async fn until_jobs(app: &App, count: usize) {
    let jobs = app.api(ObjectKind::Job);
    wait_for("hooks", SOON, async || {
        let all = jobs.list(&ListParams::default()).await.unwrap().items;
        let left = all
            .iter()
            .filter(|job| job.metadata.deletion_timestamp.is_none());
        match left.count() {
            found if found == count => Ok(()),
            found => Err(format!("{found} instead of {count}")),
        }
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
