//! Definitions that are replaced by older ones, and by those of now again, while promotions are under way: on a cluster of its
//! own, because definitions are everybody's. And an operator that is replaced by another one in the middle of a canary.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use slipway::rollout::api::{Phase, RolloutStatus};
use testbed::ControlPlane;
use testbed::scripted::{Rules, ScriptedGateway, ScriptedNodes};

use crate::cluster::{self, SOON, Space, kubeconfig_path, wait_for, with_namespace};
use crate::environment::Shop;
use crate::operator::Operator;
use crate::rollout::{Subject, manifest, routed, stable};

/// What an earlier version did not have: these fields, which the API server then drops from what is written.
const NEWER: &[(&str, &[&str])] = &[
    (
        "environments",
        &["dora", "openIncidents", "previews", "candidate", "decided"],
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

#[tokio::test]
#[ignore = "needs the programs of a control plane; run make test"]
async fn an_operator_says_which_fields_older_definitions_lack_until_they_are_there() {
    let plane = ControlPlane::start_another("older").await.unwrap();
    let client = plane.client().unwrap();
    install(&client, &older()).await;
    let args = ["--no-leader-election"];
    let operator = Operator::start_with("default", plane.kubeconfig_path(), &args);
    operator.until_logged("older than this operator").await;
    for (kind, fields) in [
        ("Environment", NEWER[0].1),
        ("Promotion", NEWER[1].1),
        ("Rollout", NEWER[2].1),
    ] {
        for field in fields {
            let field = format!("{kind} status.{field}");
            assert!(operator.log().contains(&field), "{field}");
        }
    }
    // It works all the same, and says it to those who ask whether it does.
    let url = format!("http://{}/readyz", operator.address().await);
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let ready = http.get(&url).send().await.unwrap();
    assert_eq!(ready.status(), 200);
    let said = ready.text().await.unwrap();
    assert!(
        said.starts_with("ok\nthe definitions in the cluster are older"),
        "{said}"
    );

    install(&client, &current()).await;
    operator
        .until_logged("the definitions have every field now")
        .await;
    let said = http.get(&url).send().await.unwrap().text().await.unwrap();
    assert_eq!(said, "ok\n");

    // One that finds them as they should be says nothing of them.
    let next = Operator::start_with("default", plane.kubeconfig_path(), &args);
    next.until_logged("the definitions have every field").await;
    assert!(
        !next.log().contains("older than this operator"),
        "{}",
        next.log()
    );
}

/// The operator of the version before, where one was built (`tests/previous.sh`); else that of now, which then is another process
/// and no other version.
fn before() -> PathBuf {
    let built = std::env::var_os("SLIPWAY_PREVIOUS").map(PathBuf::from);
    built.unwrap_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_slipway")))
}

/// What a Rollout has made, by uid: what of it must not change.
#[derive(Debug, PartialEq)]
struct Made {
    sets: BTreeMap<String, Value>,
    pods: BTreeMap<String, Value>,
}

impl Made {
    async fn read(space: &Space) -> Self {
        let sets: Api<ReplicaSet> = Api::namespaced(space.client.clone(), &space.name);
        let sets = sets.list(&ListParams::default()).await.unwrap();
        let template = |set: &ReplicaSet| {
            let spec = &set.spec;
            json!({"labels": set.labels(), "selector": spec.selector, "template": spec.template})
        };
        let pods: Api<Pod> = Api::namespaced(space.client.clone(), &space.name);
        let pods = pods.list(&ListParams::default()).await.unwrap();
        let of_pod = |pod: &Pod| json!({"labels": pod.labels(), "annotations": pod.annotations(), "spec": pod.spec});
        Self {
            sets: sets
                .iter()
                .map(|set| (set.uid().unwrap(), template(set)))
                .collect(),
            pods: pods
                .iter()
                .map(|pod| (pod.uid().unwrap(), of_pod(pod)))
                .collect(),
        }
    }

    /// The same ReplicaSets as before, to the byte, and every pod that was there.
    fn goes_on_from(&self, before: &Self) {
        assert_eq!(self.sets, before.sets, "ReplicaSets");
        for (uid, pod) in &before.pods {
            assert_eq!(self.pods.get(uid), Some(pod), "pod {uid}");
        }
    }
}

/// Has another operator lead from now on.
async fn replaced(operator: Operator, by: &Path, space: &Space) -> Operator {
    assert_eq!(operator.end().await, Some(0));
    let next = Operator::start_program(by, &space.name, &kubeconfig_path(), &[]);
    next.until_logged("leading").await;
    next
}

/// Waits for a pause at this step.
async fn until_paused_at(api: &Subject, index: u32) -> RolloutStatus {
    api.until(&format!("paused at step {index}"), |status| {
        let step = status.step.as_ref();
        status.phase == Some(Phase::Paused) && step.is_some_and(|step| step.index == index)
    })
    .await
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn an_operator_of_another_version_goes_on_with_a_canary_and_makes_no_replica_set() {
    with_namespace(async |space| {
        let (now, before) = (PathBuf::from(env!("CARGO_BIN_EXE_slipway")), before());
        let _gateway = ScriptedGateway::start(&space.client, &space.name, Duration::ZERO);
        let mut extra = routed();
        extra["spec"]["strategy"] = json!({"steps": [
            {"setWeight": {"weight": 25}}, {"pause": {}}, {"setWeight": {"weight": 50}}, {"pause": {}},
            {"setWeight": {"weight": 75}}, {"pause": {}},
        ]});
        let operator = Operator::start_program(&before, &space.name, &kubeconfig_path(), &[]);
        let api = Subject::create(space, &manifest("greeter:1", &extra)).await;
        let healthy = api.until_phase(Phase::Healthy).await;
        api.set_image("greeter:2").await;
        let paused = until_paused_at(&api, 2).await;
        let first = Made::read(space).await;
        assert_eq!(first.sets.len(), 2);

        // The upgrade finds what there is, and leaves it as it is until somebody says go on.
        let operator = replaced(operator, &now, space).await;
        space.decide(("Rollout", "api"), "Resume").await;
        until_paused_at(&api, 4).await;
        let second = Made::read(space).await;
        second.goes_on_from(&first);

        // So does the way back,
        let operator = replaced(operator, &before, space).await;
        space.decide(("Rollout", "api"), "Resume").await;
        let last = until_paused_at(&api, 6).await;
        let third = Made::read(space).await;
        third.goes_on_from(&second);
        assert_eq!(stable(&last), stable(&paused));

        // and the next upgrade, to the end.
        let _operator = replaced(operator, &now, space).await;
        space.decide(("Rollout", "api"), "Resume").await;
        let done = api.until_promoted(&stable(&healthy)).await;
        assert_eq!(done.history.len(), 1, "{:?}", done.history);
        let end = Made::read(space).await;
        assert_eq!(end.sets, first.sets, "ReplicaSets");
    })
    .await;
}
