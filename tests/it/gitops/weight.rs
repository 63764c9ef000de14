//! Tools that apply a route of people's in the middle of a change: what they take back is written again once, and then named;
//! told to leave it alone, they do.

use std::time::Duration;

use serde_json::{Value, json};
use slipway::rollout::api::{Phase, RolloutStatus};
use testbed::scripted::{ScriptedGateway, routes};

use super::{Folder, Tool, argocd_cm, gitops};
use crate::cluster::{SOON, Space, wait_for, with_namespace};
use crate::operator::Operator;
use crate::rollout::{Subject, manifest, stable};

fn route(annotations: &Value) -> Value {
    let backend = |name: &str, weight: u8| json!({"name": name, "port": 80, "weight": weight});
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
        "metadata": {"name": "shop", "annotations": annotations},
        "spec": {
            "parentRefs": [{"name": "web"}],
            "rules": [{"backendRefs": [backend("api-stable", 100), backend("api-canary", 0)]}],
        },
    })
}

async fn weight(space: &Space) -> Option<i64> {
    let route = routes(&space.client, &space.name).get("shop").await.ok()?;
    let weight = route.data.pointer("/spec/rules/0/backendRefs/1/weight");
    weight.and_then(Value::as_i64)
}

async fn until_weight(space: &Space, expected: i64) {
    wait_for(&format!("{expected} % to canary"), SOON, async || {
        (weight(space).await == Some(expected)).then_some(())
    })
    .await;
}

/// A tool takes 25 % back twice; the Rollout, once it has given in.
async fn contested(space: &Space, folder: &Folder) -> (Subject, RolloutStatus, String) {
    folder.write("route", &route(&json!({})));
    folder.sync().await;
    let traffic = json!({"spec": {
        "traffic": {"drain": "1s", "allowForeign": true, "gatewayAPI": {"httpRoutes": [{"name": "shop"}]}},
        "strategy": {"steps": [{"setWeight": {"weight": 25}}, {"pause": {}}]},
    }});
    let rollout = Subject::create(space, &manifest("greeter:1", &traffic)).await;
    let first = stable(&rollout.until_phase(Phase::Healthy).await);
    rollout.set_image("greeter:2").await;
    rollout.until_phase(Phase::Paused).await;
    assert_eq!(weight(space).await, Some(25));
    // Two syncs within a second cannot be told apart by what the server keeps of them.
    let held = wait_for("the Rollout gives in", SOON, async || {
        folder.sync().await;
        let status = rollout.status().await;
        (status.phase == Some(Phase::Degraded)).then_some(status)
    })
    .await;
    assert_eq!(weight(space).await, Some(0), "it is not fought");
    (rollout, held, first)
}

/// What both say of the Rollout as it is now.
async fn read(space: &Space) -> (Value, Value) {
    let rollout = space.api("Rollout").get("api").await.unwrap();
    let mut rollout = serde_json::to_value(rollout).unwrap();
    rollout["apiVersion"] = json!("slipway.dev/v1alpha1");
    rollout["kind"] = json!("Rollout");
    let rollout = std::slice::from_ref(&rollout);
    let read = gitops(&["kstatus"], rollout).await.remove(0);
    let said = gitops(&["health", &argocd_cm()], rollout).await.remove(0);
    (read["status"].clone(), said["status"].clone())
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn weights_that_flux_takes_back_are_left_to_people_and_ssa_if_not_present_ends_it() {
    with_namespace(async |space| {
        let _operator = Operator::start(&space.name);
        let _gateway =
            ScriptedGateway::start(&space.client, &space.name, Duration::from_millis(50));
        let folder = Folder::new(Tool::Flux, space);
        let (rollout, held, first) = contested(space, &folder).await;
        let message = held.message.unwrap();
        assert!(
            message.contains(
                "kustomize-controller has taken back what was written into HTTPRoute shop"
            ),
            "{message}"
        );
        assert_eq!(read(space).await, (json!("Failed"), json!("Degraded")));

        // As the page says: annotated in Git, it is left alone.
        folder.write(
            "route",
            &route(&json!({"kustomize.toolkit.fluxcd.io/ssa": "IfNotPresent"})),
        );
        space.decide(("Rollout", "api"), "Resume").await;
        until_weight(space, 25).await;
        rollout.until_phase(Phase::Paused).await;
        let results = folder.sync().await;
        assert!(results[0].ends_with(": skipped"), "{results:?}");
        assert_eq!(weight(space).await, Some(25));
        space.decide(("Rollout", "api"), "Resume").await;
        rollout.until_promoted(&first).await;
        assert_eq!(weight(space).await, Some(0), "as people wrote it");
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn weights_that_argo_cd_takes_back_are_left_to_people_and_the_way_back_is_not() {
    with_namespace(async |space| {
        let _operator = Operator::start(&space.name);
        let _gateway =
            ScriptedGateway::start(&space.client, &space.name, Duration::from_millis(50));
        let folder = Folder::new(Tool::ArgoClient, space);
        let (rollout, held, first) = contested(space, &folder).await;
        let message = held.message.unwrap();
        assert!(
            message.contains("has taken back what was written into HTTPRoute shop"),
            "{message}"
        );
        assert_eq!(read(space).await, (json!("Failed"), json!("Degraded")));

        space.decide(("Rollout", "api"), "Abort").await;
        let back = rollout.until_phase(Phase::RolledBack).await;
        assert_eq!(stable(&back), first);
    })
    .await;
}
