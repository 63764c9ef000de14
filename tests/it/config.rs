//! Secrets that go with a revision, on scripted nodes.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{Event, Secret};
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use slipway::rollout::api::{Phase, RolloutStatus};
use testbed::scripted::ScriptedGateway;

use crate::cluster::{SOON, Space, kubeconfig_path, wait_for, with_namespace};
use crate::operator::Operator;
use crate::rollout::{Subject, manifest, routed, stable};

const OLD: &str = "correct-horse";
const NEW: &str = "battery-staple";
const COPYING: &[&str] = &["--no-leader-election", "--secret-snapshots"];

fn secrets(space: &Space) -> Api<Secret> {
    Api::namespaced(space.client.clone(), &space.name)
}

fn reading(configs: &Value) -> Value {
    let mut extra = routed();
    extra["spec"]["configs"] = configs.clone();
    extra["spec"]["revisionHistoryLimit"] = 0.into();
    extra["spec"]["template"]["spec"]["volumes"] =
        json!([{"name": "login", "secret": {"secretName": "login"}}]);
    extra
}

async fn make(space: &Space, password: &str) {
    let secret = json!({
        "metadata": {"name": "login"}, "type": "kubernetes.io/basic-auth",
        "stringData": {"username": "shop", "password": password},
    });
    let secret = serde_json::from_value(secret).unwrap();
    secrets(space)
        .create(&PostParams::default(), &secret)
        .await
        .unwrap();
}

async fn edit(space: &Space, change: Value) {
    let params = PatchParams::default();
    secrets(space)
        .patch("login", &params, &Patch::Merge(change))
        .await
        .unwrap();
}

/// Passwords of the copies, by name.
async fn copies(space: &Space) -> BTreeMap<String, String> {
    let ours = ListParams::default().labels("slipway.dev/rollout=api");
    let found = secrets(space).list(&ours).await.unwrap();
    let password = |secret: &Secret| {
        assert_eq!(secret.immutable, Some(true));
        assert_eq!(secret.type_.as_deref(), Some("kubernetes.io/basic-auth"));
        assert_eq!(secret.owner_references()[0].kind, "Rollout");
        let ByteString(bytes) = &secret.data.as_ref().unwrap()["password"];
        String::from_utf8(bytes.clone()).unwrap()
    };
    found
        .iter()
        .map(|secret| (secret.name_any(), password(secret)))
        .collect()
}

async fn until_copies(space: &Space, passwords: &[&str]) {
    wait_for(&format!("copies of {passwords:?}"), SOON, async || {
        let copies = copies(space).await;
        let mut found: Vec<&String> = copies.values().collect();
        found.sort();
        (found == passwords).then_some(())
    })
    .await;
}

/// Everything that people may see although they may not see Secrets.
async fn shown(space: &Space, operator: &Operator, api: &Subject) -> String {
    let events: Api<Event> = Api::namespaced(space.client.clone(), &space.name);
    let events = events.list(&ListParams::default()).await.unwrap();
    let rollout = api.api.get("api").await.unwrap();
    let sets = api.sets().await;
    format!("{}{rollout:?}{sets:?}{events:?}", operator.log())
}

fn assert_hidden(shown: &str) {
    for password in [OLD, NEW] {
        let encoded = serde_json::to_value(ByteString(password.as_bytes().to_vec())).unwrap();
        for text in [password, encoded.as_str().unwrap()] {
            assert!(!shown.contains(text), "{text} is shown");
        }
    }
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn a_secret_goes_with_its_revision_and_is_shown_nowhere() {
    with_namespace(async |space| {
        let operator = Operator::start_with(&space.name, &kubeconfig_path(), COPYING);
        let _gateway = ScriptedGateway::start(&space.client, &space.name, Duration::ZERO);
        let reading = reading(&json!({"snapshotSecrets": ["login"]}));
        let api = Subject::create(space, &manifest("greeter:1", &reading)).await;
        api.until("a word about what is missing", |status| {
            says(status, "there is no Secret login")
        })
        .await;
        make(space, OLD).await;
        let first = api.until_phase(Phase::Healthy).await;
        until_copies(space, &[OLD]).await;

        // What is said about it is no edit of it.
        edit(
            space,
            json!({"metadata": {"annotations": {"reviewed": "yes"}}}),
        )
        .await;
        edit(space, json!({"stringData": {"password": NEW}})).await;
        let second = api.until_promoted(&stable(&first)).await;
        assert_eq!(second.history.len(), 1, "{:?}", second.history);
        until_copies(space, &[NEW]).await;
        assert_hidden(&shown(space, &operator, &api).await);

        // The old value is the old revision again; as its ReplicaSet is gone, with a new copy of it.
        edit(space, json!({"stringData": {"password": OLD}})).await;
        let third = api.until_promoted(&stable(&second)).await;
        assert_eq!(stable(&third), stable(&first));
        until_copies(space, &[OLD]).await;

        api.api
            .delete("api", &DeleteParams::default())
            .await
            .unwrap();
        until_copies(space, &[]).await;
        secrets(space).get("login").await.unwrap();
    })
    .await;
}

fn says(status: &RolloutStatus, words: &str) -> bool {
    let message = status.message.as_deref().unwrap_or_default();
    message.contains(words)
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn an_operator_that_may_not_read_secrets_says_what_to_set() {
    with_namespace(async |space| {
        let _operator = Operator::start(&space.name);
        let _gateway = ScriptedGateway::start(&space.client, &space.name, Duration::ZERO);
        make(space, OLD).await;
        let reading = reading(&json!({"secrets": "Snapshot"}));
        let api = Subject::create(space, &manifest("greeter:1", &reading)).await;
        let told = api
            .until("a word about the right", |status| {
                says(status, "secretSnapshots.enabled: true")
            })
            .await;
        let stalled = told
            .conditions
            .iter()
            .find(|c| c.type_ == "Stalled")
            .unwrap();
        assert_eq!(
            (stalled.status.as_str(), stalled.reason.as_str()),
            ("True", "InvalidSpec")
        );
        assert_eq!(copies(space).await, BTreeMap::new());
        api.patch(json!({"spec": {"configs": null}})).await;
        api.until_phase(Phase::Healthy).await;
    })
    .await;
}
