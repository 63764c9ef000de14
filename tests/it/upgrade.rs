//! Definitions that are replaced by older ones, and by those of now again, while promotions are under way. On a cluster of its
//! own: definitions are everybody's.

use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Client;
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use testbed::ControlPlane;
use testbed::scripted::{Rules, ScriptedNodes};

use crate::cluster::{self, Space, wait_for};
use crate::environment::Shop;
use crate::rollout::SOON;

/// What an earlier version did not have: these fields, which the API server then drops from what is written.
const NEWER: &[(&str, &[&str])] = &[
    (
        "environments",
        &["dora", "openIncidents", "previews", "candidate"],
    ),
    ("promotions", &["incidents"]),
    ("rollouts", &["risk", "lastDecision"]),
];

/// The definitions of now, as values.
fn current() -> Vec<Value> {
    let all = slipway::crd::all().unwrap();
    all.iter()
        .map(|crd| serde_json::to_value(crd).unwrap())
        .collect()
}

/// The same without what is newer.
fn older() -> Vec<Value> {
    let mut all = current();
    for (plural, fields) in NEWER {
        let crd = all
            .iter_mut()
            .find(|crd| crd["spec"]["names"]["plural"] == *plural);
        let status = crd
            .unwrap()
            .pointer_mut("/spec/versions/0/schema/openAPIV3Schema/properties/status/properties");
        let status = status.unwrap().as_object_mut().unwrap();
        for field in *fields {
            assert!(status.remove(*field).is_some(), "{plural} have no {field}");
        }
    }
    all
}

async fn install(client: &Client, definitions: &[Value]) {
    let crds: Api<CustomResourceDefinition> = Api::all(client.clone());
    let params = PatchParams::apply("people").force();
    for crd in definitions {
        let name = crd["metadata"]["name"].as_str().unwrap();
        crds.patch(name, &params, &Patch::Apply(crd)).await.unwrap();
        cluster::until_established(client, name).await;
    }
}

/// Waits until the API server takes statuses as these definitions say, by whether it keeps a field of them.
async fn until_kept(space: &Space, is_kept: bool) {
    let api = space.api("Environment");
    let params = PatchParams {
        dry_run: true,
        ..PatchParams::default()
    };
    let change = Patch::Merge(json!({"status": {"openIncidents": 7}}));
    wait_for("the definitions hold", SOON, async || {
        let written = api.patch_status("staging", &params, &change).await.ok()?;
        (written.data["status"]["openIncidents"].is_u64() == is_kept).then_some(())
    })
    .await;
}

/// Every object that has pods has as many ReplicaSets as there were Releases: no change was begun twice.
async fn was_done_once(shop: &Shop, releases: usize) {
    for environment in ["staging", "production"] {
        let records = shop.records(environment).await;
        assert_eq!(records.len(), releases, "{environment}");
        assert!(records.iter().all(|record| record.spec.attempt == 1));
        let rollout = shop
            .rollouts
            .get(&format!("{environment}-api"))
            .await
            .unwrap();
        assert_eq!(rollout.metadata.generation, Some(1), "{environment}");
        let history = rollout.status.unwrap().history;
        assert_eq!(history.len() + 1, releases, "{environment}: {history:?}");
    }
    let jobs = shop.jobs.list(&ListParams::default()).await.unwrap();
    assert_eq!(
        jobs.items.len(),
        2 * releases,
        "one smoke test for each promotion"
    );
}

#[tokio::test]
#[ignore = "needs the programs of a control plane; run make test"]
async fn older_definitions_and_those_of_now_again_lose_no_promotion_and_begin_none_twice() {
    let plane = ControlPlane::start_another("upgrade").await.unwrap();
    let client = plane.client().unwrap();
    let nodes = ScriptedNodes::start(client.clone(), 4, Rules::default())
        .await
        .unwrap();
    install(&client, &cluster::router_kinds().await).await;
    install(&client, &current()).await;
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let shops = serde_json::from_value(json!({"metadata": {"name": "shops"}})).unwrap();
    namespaces
        .create(&PostParams::default(), &shops)
        .await
        .unwrap();
    let space = Space {
        client: client.clone(),
        name: "shops".to_owned(),
    };
    let shop = Shop::staging_and_production(&space).await;
    let operator = shop.operator_through(plane.kubeconfig_path());
    shop.release(1).await;
    shop.until_told("production", &["Promote shop-1 AwaitingApproval"])
        .await;
    shop.decide("bob", "Approve", "production", 1).await;
    shop.until_runs("production", 1).await;

    // One is on its way when the older definitions come, and ends under them; another begins and waits for people.
    nodes.set_rule(&shop.image(2), "never-ready").unwrap();
    shop.release(2).await;
    shop.until_told(
        "staging",
        &["Promote shop-1 Succeeded", "Promote shop-2 Promoting"],
    )
    .await;
    install(&client, &older()).await;
    until_kept(&space, false).await;
    nodes.set_rule(&shop.image(2), "ready-after=50ms").unwrap();
    let second = ["Promote shop-1 Succeeded", "Promote shop-2 Succeeded"];
    shop.until_told("staging", &second).await;
    shop.until_told(
        "production",
        &[
            "Promote shop-1 Succeeded",
            "Promote shop-2 AwaitingApproval",
        ],
    )
    .await;

    // It goes on under those of now, whoever leads: its smoke test runs meanwhile.
    let smoke = format!("registry.example/{}/smoke:1", space.name);
    nodes.set_rule(&smoke, "ready-after=50ms").unwrap();
    shop.decide("bob", "Approve", "production", 2).await;
    let verifying = ["Promote shop-1 Succeeded", "Promote shop-2 Verifying"];
    shop.until_told("production", &verifying).await;
    install(&client, &current()).await;
    until_kept(&space, true).await;
    operator.kill().await;
    let _operator = shop.operator_through(plane.kubeconfig_path());
    nodes.set_rule(&smoke, "exit=0").unwrap();
    shop.until_told("production", &second).await;
    shop.until_runs("production", 2).await;
    was_done_once(&shop, 2).await;

    // Figures that were dropped are counted again from the records.
    let counted = |status: &slipway::environment::api::EnvironmentStatus| status.dora.is_some();
    shop.until("production", "figures again", counted).await;
}
