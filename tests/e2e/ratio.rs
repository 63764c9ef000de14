//! Without a router weights are ratios of pods, behind a Service of somebody's own.

use serde_json::{Value, json};

use crate::app::{App, REPLICAS, is_full, nothing_lost, with_app};
use crate::cluster::Version;

/// A strategy whose weights are numbers of pods, one more than there are at most.
pub(crate) fn by_pods(strategy: &Value) -> Value {
    let mut extra = json!({"traffic": null, "strategy": {"maxSurge": 1}});
    json_patch::merge(&mut extra["strategy"], strategy);
    extra
}

/// The first version, behind a Service of people's.
pub(crate) async fn start_by_pods(app: &App, extra: &Value) {
    for (kind, manifest) in app.own_way_in() {
        app.apply(kind, &manifest).await;
    }
    app.start(Version::One, extra).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a node; run make test"]
async fn pods_are_replaced_one_by_one_behind_a_service_of_their_own() {
    with_app(async |app| {
        let steps = |pause: &Value| json!([{"setWeight": {"weight": 34}}, {"pause": pause}]);
        let quick = by_pods(&json!({"steps": steps(&json!({"for": "3s"}))}));
        let steered = by_pods(&json!({"steps": steps(&json!({}))}));
        start_by_pods(app, &quick).await;
        let load = app.load().await;
        app.ask_for(Version::Two, &quick).await;
        app.until_paused_at(33).await;
        app.until_healthy().await;
        app.until_pods(REPLICAS).await;
        nothing_lost("pods replaced one by one", load).await;

        // Given up, tried again, and superseded: pods end each time, and each time those that are left serve on.
        let load = app.load().await;
        app.ask_for(Version::One, &steered).await;
        app.until_paused_at(33).await;
        app.decide("Abort").await;
        app.until_rolled_back().await;
        app.until_pods(REPLICAS).await;
        if is_full() {
            app.decide("Retry").await;
            app.until_paused_at(33).await;
        }
        app.ask_for(Version::Bad, &steered).await;
        app.until_paused_at(33).await;
        app.decide("Resume").await;
        app.until_healthy().await;
        app.until_pods(REPLICAS).await;
        let last = if is_full() {
            "Superseded"
        } else {
            "RolledBack"
        };
        assert_eq!(app.ends().await[..2], ["Promoted", last]);
        nothing_lost("numbers of pods, aborted and superseded", load).await;
    })
    .await;
}
