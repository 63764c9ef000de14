//! What comes with an installation: an operator that has rights in one namespace only, the check of `helm test`, and the way
//! out of `helm uninstall`, after which nothing waits for an operator that is gone.

use std::path::PathBuf;
use std::process::Output;
use std::time::Duration;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, ListParams, PatchParams, PostParams};
use serde_json::{Value, json};
use slipway::rollout::api::{Phase, Rollout};
use tokio::process::Command;

use crate::chart::rendered;
use crate::cluster::{
    SOON, Space, apply_with, client_of, kubeconfig_path, wait_for, with_namespace,
};
use crate::operator::Operator;
use crate::rollout::{Subject, manifest, stable};

/// Label of what a Rollout has.
const ROLLOUT: &str = "slipway.dev/rollout=api";

/// A kubeconfig of somebody else on the cluster of the tests.
fn kubeconfig_as(user: &str, name: &str) -> PathBuf {
    let text = std::fs::read_to_string(kubeconfig_path()).unwrap();
    let mut config: Value = serde_saphyr::from_str(&text).unwrap();
    for entry in config["users"].as_array_mut().unwrap() {
        entry["user"]["as"] = json!(user);
    }
    let path = std::env::temp_dir().join(format!("{name}-{}.yaml", std::process::id()));
    std::fs::write(&path, config.to_string()).unwrap();
    path
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn an_operator_of_one_namespace_works_with_roles_alone() {
    with_namespace(async |space| {
        let values = json!({
            "watchNamespaces": [space.name], "rbac": { "namespaced": true }, "receiver": { "enabled": false },
            "crds": { "install": false }, "admissionPolicies": { "enabled": false },
        });
        for manifest in rendered(&space.name, &values).await.unwrap() {
            let kind = manifest["kind"].as_str().unwrap();
            if ["Role", "RoleBinding", "ServiceAccount"].contains(&kind) {
                let params = PatchParams::apply("helm").force();
                apply_with(&space.client, &manifest, &params).await.unwrap();
            }
        }
        let user = format!("system:serviceaccount:{}:slipway", space.name);
        let path = kubeconfig_as(&user, &space.name);
        let operator = Operator::start_with(&space.name, &path, &[]);
        let api = Subject::create(space, &manifest("greeter:1", &json!({}))).await;
        let healthy = api.until_phase(Phase::Healthy).await;
        api.set_image("greeter:2").await;
        let done = api.until_promoted(&stable(&healthy)).await;
        assert_eq!(done.history.len(), 1, "{:?}", done.history);
        assert_eq!(operator.end().await, Some(0));

        // And nowhere else.
        let elsewhere: Api<Rollout> = Api::namespaced(client_of(&user, &[]).await, "default");
        let refused = elsewhere.list(&ListParams::default()).await.unwrap_err();
        assert!(refused.to_string().contains("forbidden"), "{refused}");
        std::fs::remove_file(path).unwrap();
    })
    .await;
}

/// Runs `slipway` with a command of an installation, in its namespace.
fn slipway(space: &Space, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_slipway"));
    command
        .args(args)
        .args(["--namespace", &space.name, "--watch-namespace", &space.name])
        .env("KUBECONFIG", kubeconfig_path())
        .kill_on_drop(true);
    command
}

fn said(output: &Output) -> String {
    let said = [output.stdout.as_slice(), &output.stderr].concat();
    String::from_utf8_lossy(&said).into_owned()
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn an_installation_is_checked_by_who_may_get_its_lease() {
    with_namespace(async |space| {
        for manifest in rendered(&space.name, &json!({})).await.unwrap() {
            let is_of_test = manifest["metadata"]["annotations"]["helm.sh/hook"] == "test";
            if is_of_test && manifest["kind"] != "Pod" {
                let params = PatchParams::apply("helm").force();
                apply_with(&space.client, &manifest, &params).await.unwrap();
            }
        }
        let user = format!("system:serviceaccount:{}:slipway-test", space.name);
        let path = kubeconfig_as(&user, &format!("{}-check", space.name));
        let check = async |url: &str, within: &str| {
            let args = ["check", "--url", url, "--within-seconds", within];
            let mut command = slipway(space, &args);
            command.env("KUBECONFIG", &path).output().await.unwrap()
        };
        let nobody = check("http://127.0.0.1:9/readyz", "1").await;
        assert_eq!(nobody.status.code(), Some(1));
        assert!(
            said(&nobody).contains("nobody leads: Lease"),
            "{}",
            said(&nobody)
        );

        let operator = Operator::start_with(&space.name, &kubeconfig_path(), &[]);
        let ready = format!("http://{}/readyz", operator.address().await);
        let works = check(&ready, "40").await;
        assert_eq!(works.status.code(), Some(0), "{}", said(&works));
        let deaf = check("http://127.0.0.1:9/readyz", "1").await;
        assert_eq!(deaf.status.code(), Some(1));
        assert!(said(&deaf).contains("does not answer"), "{}", said(&deaf));
        std::fs::remove_file(&path).unwrap();
    })
    .await;
}

/// Pods of the Rollout, by uid.
async fn pods(space: &Space) -> Vec<String> {
    let pods: Api<Pod> = Api::namespaced(space.client.clone(), &space.name);
    let pods = pods.list(&ListParams::default().labels(ROLLOUT)).await;
    let mut uids: Vec<String> = pods.unwrap().iter().filter_map(ResourceExt::uid).collect();
    uids.sort();
    uids
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn an_uninstall_lets_go_and_what_serves_goes_on() {
    with_namespace(async |space| {
        let deployments: Api<Deployment> = Api::namespaced(space.client.clone(), &space.name);
        let of = json!({
            "metadata": {"name": "slipway"},
            "spec": {
                "replicas": 2, "selector": {"matchLabels": {"app": "operator"}},
                "template": {"metadata": {"labels": {"app": "operator"}}, "spec": {"containers": [{"name": "operator", "image": "slipway:1"}]}},
            },
        });
        let of = serde_json::from_value(of).unwrap();
        deployments.create(&PostParams::default(), &of).await.unwrap();
        let operator = Operator::start_with(&space.name, &kubeconfig_path(), &[]);
        let api = Subject::create(space, &manifest("greeter:1", &json!({}))).await;
        api.until_phase(Phase::Healthy).await;
        let before = api.api.get("api").await.unwrap();
        assert_eq!(before.finalizers(), ["slipway.dev/cleanup"]);
        let serving = pods(space).await;
        assert_eq!(serving.len(), 4);

        // The operator is told to end, and nothing is let go before it has.
        let mut retire = slipway(space, &["retire", "--deployment", "slipway"]).spawn().unwrap();
        wait_for("the operator is to end", SOON, async || {
            let deployment = deployments.get("slipway").await.ok()?;
            (deployment.spec.replicas == Some(0)).then_some(())
        })
        .await;
        assert!(!api.api.get("api").await.unwrap().finalizers().is_empty());
        assert_eq!(operator.end().await, Some(0));
        let ended = tokio::time::timeout(SOON, retire.wait()).await;
        assert_eq!(ended.expect("it ends").unwrap().code(), Some(0));
        let after = api.api.get("api").await.unwrap();
        assert!(after.finalizers().is_empty());
        assert_eq!(after.spec, before.spec);
        assert_eq!(pods(space).await, serving);

        // Whoever installs it again finds all as it was.
        let operator = Operator::start(&space.name);
        wait_for("it is looked after again", SOON, async || {
            let rollout = api.api.get("api").await.ok()?;
            (!rollout.finalizers().is_empty()).then_some(())
        })
        .await;
        api.until_phase(Phase::Healthy).await;
        assert_eq!(pods(space).await, serving);
        operator.kill().await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn what_was_being_deleted_without_an_operator_is_let_go_and_its_namespace_too() {
    with_namespace(async |space| {
        let operator = Operator::start(&space.name);
        let orphan = json!({"spec": {"deletionPolicy": "Orphan"}});
        let api = Subject::create(space, &manifest("greeter:1", &orphan)).await;
        api.until_phase(Phase::Healthy).await;
        let serving = pods(space).await;
        operator.kill().await;
        let delete = DeleteParams::default();
        api.api.delete("api", &delete).await.unwrap();

        let args = ["retire", "--settle-seconds", "1"];
        let retired = slipway(space, &args).output().await.unwrap();
        assert_eq!(retired.status.code(), Some(0), "{}", said(&retired));
        assert!(said(&retired).contains("still being deleted"), "{}", said(&retired));
        assert!(api.api.get_opt("api").await.unwrap().is_none());
        let sets: Api<ReplicaSet> = Api::namespaced(space.client.clone(), &space.name);
        let sets = sets.list(&ListParams::default().labels(ROLLOUT)).await.unwrap();
        assert!(sets.iter().all(|set| set.owner_references().is_empty()));
        assert_eq!(sets.items.len(), 1);
        assert_eq!(pods(space).await, serving);

        // One that lives on is let go too, and holds up nobody who deletes the namespace later.
        let operator = Operator::start(&space.name);
        let another = json!({"metadata": {"name": "other"}, "spec": {
            "selector": {"matchLabels": {"app": "other"}}, "template": {"metadata": {"labels": {"app": "other"}}},
        }});
        let other = manifest("greeter:1", &another);
        api.api.create(&PostParams::default(), &other).await.unwrap();
        wait_for("it is looked after", SOON, async || {
            let rollout = api.api.get("other").await.ok()?;
            (!rollout.finalizers().is_empty()).then_some(())
        })
        .await;
        operator.kill().await;
        let retired = slipway(space, &args).output().await.unwrap();
        assert_eq!(retired.status.code(), Some(0), "{}", said(&retired));
        // A namespace that goes waits for its pods first, as long as they may take: here it is to wait for nothing but objects.
        let sets: Api<ReplicaSet> = Api::namespaced(space.client.clone(), &space.name);
        sets.delete_collection(&delete, &ListParams::default()).await.unwrap();
        let all: Api<Pod> = Api::namespaced(space.client.clone(), &space.name);
        wait_for("no pod is there", SOON, async || {
            let at_once = DeleteParams::default().grace_period(0);
            all.delete_collection(&at_once, &ListParams::default()).await.ok()?;
            let left = all.list(&ListParams::default()).await.ok()?;
            left.items.is_empty().then_some(())
        })
        .await;
        let namespaces: Api<Namespace> = Api::all(space.client.clone());
        namespaces.delete(&space.name, &delete).await.unwrap();
        wait_for("the namespace is gone", Duration::from_mins(5), async || {
            let left = namespaces.get_opt(&space.name).await.ok()?;
            left.is_none().then_some(())
        })
        .await;
    })
    .await;
}
