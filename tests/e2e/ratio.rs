//! Without a router weights are ratios of pods, behind a Service of somebody's own.

use serde_json::json;

use crate::app::{REPLICAS, nothing_lost, with_app};
use crate::cluster::Version;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a node; run make test"]
async fn pods_are_replaced_one_by_one_behind_a_service_of_their_own() {
    with_app(async |app| {
        let extra = json!({
            "traffic": null,
            "strategy": {"maxSurge": 1, "steps": [{"setWeight": {"weight": 34}}, {"pause": {"for": "3s"}}]},
        });
        for (kind, manifest) in app.own_way_in() {
            app.apply(kind, &manifest).await;
        }
        app.start(Version::One, &extra).await;
        let load = app.load().await;
        app.ask_for(Version::Two, &extra).await;
        app.until_paused_at(33).await;
        app.until_healthy().await;
        app.until_pods(REPLICAS).await;
        nothing_lost("pods replaced one by one", load).await;
    })
    .await;
}
