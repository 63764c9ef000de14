//! What Argo CD's actions make: Decisions that admission takes from the account of Argo CD, and that the operator follows.

use kube::api::{DynamicObject, PostParams};
use serde_json::{Value, json};
use slipway::rollout::api::Phase;

use super::{argocd_cm, gitops};
use crate::cluster::{Space, with_guarded_namespace, with_namespace};
use crate::operator::Operator;
use crate::policy::{DEVELOPER, bind, grant};
use crate::rollout::{Subject, manifest};

/// The account that starts actions, where nothing else is said.
const ACCOUNT: &str = "system:serviceaccount:argocd:argocd-server";

/// The Decision that an action makes of an object.
async fn made(name: &str, object: &Value) -> DynamicObject {
    let answers = gitops(
        &["action", &argocd_cm(), name],
        std::slice::from_ref(object),
    )
    .await;
    let impacts = answers[0].as_array().unwrap();
    assert_eq!(impacts.len(), 1, "{name}: {impacts:?}");
    assert_eq!(impacts[0]["operation"], "create", "{name}");
    serde_json::from_value(impacts[0]["resource"].clone()).unwrap()
}

async fn offered(object: &Value) -> Vec<String> {
    let answers = gitops(&["actions", &argocd_cm()], std::slice::from_ref(object)).await;
    serde_json::from_value(answers[0].clone()).unwrap()
}

fn shown(kind: &str, namespace: &str, status: &Value) -> Value {
    json!({
        "apiVersion": "slipway.dev/v1alpha1", "kind": kind,
        "metadata": {"name": "shop", "namespace": namespace, "generation": 1}, "spec": {}, "status": status,
    })
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn every_action_makes_a_decision_that_is_taken_from_argo_cd_and_from_nobody_else() {
    with_guarded_namespace(async |space| {
        bind(space, ACCOUNT, DEVELOPER).await;
        grant(space, ACCOUNT, &["resume"], &["environments"]).await;
        let theirs = space.api_as(ACCOUNT, &[], "Decision").await;
        let others = space
            .api_as("mallory", &["system:masters"], "Decision")
            .await;
        let status = json!({"phase": "Paused"});
        let rollout = shown("Rollout", &space.name, &status);
        let environment = shown("Environment", &space.name, &json!({"phase": "Steady"}));
        for (object, names) in [
            (
                &rollout,
                &["pause", "resume", "promote", "abort", "retry"][..],
            ),
            (&environment, &["hold", "resume", "rollback"][..]),
        ] {
            for name in names {
                let mut decision = made(name, object).await;
                // Several of one second would have one name.
                decision.metadata.name = Some(format!(
                    "{}-{name}",
                    object["kind"].as_str().unwrap().to_lowercase()
                ));
                let params = PostParams::default();
                let refused = others
                    .create(&params, &decision)
                    .await
                    .unwrap_err()
                    .to_string();
                assert!(
                    refused.contains(&format!("spec.user is {ACCOUNT}, but you are mallory")),
                    "{refused}"
                );
                theirs.create(&params, &decision).await.unwrap();
            }
        }
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn a_rollout_follows_the_actions_that_it_offers() {
    with_namespace(async |space| {
        let _operator = Operator::start(&space.name);
        let steps = json!({"spec": {"strategy": {"steps": [{"setWeight": {"weight": 25}}, {"pause": {}}]}}});
        let rollout = Subject::create(space, &manifest("greeter:1", &steps)).await;
        rollout.until_phase(Phase::Healthy).await;
        assert_eq!(now_offered(space).await, [""; 0]);

        rollout.set_image("greeter:2").await;
        rollout.until_phase(Phase::Paused).await;
        assert_eq!(now_offered(space).await, ["abort", "pause", "promote", "resume"]);
        act(space, "abort").await;
        rollout.until_phase(Phase::RolledBack).await;
        assert_eq!(now_offered(space).await, ["retry"]);
        act(space, "retry").await;
        rollout.until_phase(Phase::Paused).await;
        act(space, "resume").await;
        let done = rollout.until_phase(Phase::Healthy).await;
        assert_eq!(done.stable.unwrap().images["web"], "greeter:2");
    })
    .await;
}

async fn live(space: &Space) -> Value {
    let rollout = space.api("Rollout").get("api").await.unwrap();
    let mut rollout = serde_json::to_value(rollout).unwrap();
    rollout["apiVersion"] = json!("slipway.dev/v1alpha1");
    rollout["kind"] = json!("Rollout");
    rollout
}

async fn now_offered(space: &Space) -> Vec<String> {
    offered(&live(space).await).await
}

async fn act(space: &Space, name: &str) {
    let decision = made(name, &live(space).await).await;
    let params = PostParams::default();
    space
        .api("Decision")
        .create(&params, &decision)
        .await
        .unwrap();
}
