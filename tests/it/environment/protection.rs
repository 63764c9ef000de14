//! What protects an Environment, on a real API server: gates one after the other, each of which keeps a Release away until
//! somebody or something lets it pass.

use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use slipway::environment::api::EnvironmentStatus;

use super::shop::{Shop, after, status_of};
use crate::cluster::{kubeconfig_path, with_namespace};
use crate::operator::Operator;
use crate::server::serve;

/// A system of change requests: what it answers, and how often it was asked.
#[derive(Clone)]
struct Changes(Arc<Mutex<(&'static str, usize)>>);

impl Changes {
    async fn listen() -> (Self, String) {
        let changes = Self(Arc::new(Mutex::new(("pending", 0))));
        let app = Router::new()
            .route("/{release}", get(answer))
            .with_state(changes.clone());
        let (url, _) = serve(app).await;
        (changes, url)
    }

    fn approve(&self) {
        self.0.lock().unwrap().0 = "approved";
    }

    fn asked(&self) -> usize {
        self.0.lock().unwrap().1
    }
}

async fn answer(State(changes): State<Changes>) -> Json<Value> {
    let mut changes = changes.0.lock().unwrap();
    changes.1 += 1;
    Json(json!({"state": changes.0}))
}

fn gates(status: &EnvironmentStatus) -> Vec<String> {
    let candidate = status.candidate.iter();
    let gates = candidate.flat_map(|candidate| &candidate.gates);
    gates
        .map(|gate| format!("{} {}", gate.name, gate.state))
        .collect()
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn a_release_passes_one_gate_after_the_other() {
    with_namespace(async |space| {
        let shop = Shop::new(space);
        let (changes, url) = Changes::listen().await;
        shop.environment("staging", &json!({})).await;
        let protection = json!({
            "sources": {"branches": ["main"]},
            "freezes": [{"name": "quiet", "kind": "Deny", "start": "2020-01-01T00:00:00", "end": "2099-01-01T00:00:00",
                         "timeZone": "Europe/Madrid"}],
            "gates": [
                {"name": "change", "web": {"url": format!("{url}/{{{{release.name}}}}"), "plainHttp": true, "path": "$.state"},
                 "pass": "value == 'approved'", "interval": "5s"},
                {"name": "staging-is-well", "object": {"kind": "Environment", "name": "staging", "condition": "Healthy"}},
            ],
            "approvals": {"required": 1, "approvers": [{"group": "leads"}], "preventAuthorApproval": true},
        });
        let extra = json!({"tier": "Production", "promotion": after("staging"), "protection": protection});
        shop.environment("production", &extra).await;
        let _operator = shop.operator();
        shop.release(1).await;
        shop.until_runs("staging", 1).await;

        let frozen = shop.until_says("production", "freeze quiet ends 2098-12-31T23:00:00Z").await;
        assert_eq!(gates(&frozen)[..3], ["hold Passed", "source Passed", "freeze Waiting"]);
        assert_eq!(changes.asked(), 0, "nobody is bothered in a freeze");
        let about = json!({"target": {"kind": "Environment", "name": "production"}, "release": "shop-1", "gates": ["freeze"]});
        shop.decide_about("olga", "Override", &about).await;
        shop.until_says("production", "waits for change: value 'pending' is not what it takes").await;
        changes.approve();
        shop.until_says("production", "waits for approvals: 0 of 1 approvals").await;
        let mut about = json!({"target": {"kind": "Environment", "name": "production"}, "release": "shop-1", "groups": ["leads"]});
        shop.decide_about("alice@example.com", "Approve", &about).await;
        shop.until_says("production", "that of alice@example.com does not count, who is an author of the change").await;
        about["groups"] = json!(["others"]);
        shop.decide_about("bob", "Approve", &about).await;
        shop.until_says("production", "that of bob does not count, who is none of the approvers").await;
        about["groups"] = json!(["leads"]);
        shop.decide_about("lee", "Approve", &about).await;
        let running = shop.until_runs("production", 1).await;
        assert!(running.current[0].healthy_since.is_some());
        let record = shop.until_told("production", &["Promote shop-1 Succeeded"]).await.remove(0);
        let status = status_of(&record);
        let told = |words: &str| status.audit.iter().any(|entry| entry.event.contains(words));
        assert!(told("overrode freeze with Decision override-"), "{:?}", status.audit);
        assert_eq!(status.approvals.len(), 1);
        assert_eq!(status.approvals[0].user, "lee");
        assert_eq!(record.spec.policy_hash, running.policy.map(|policy| policy.hash));
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn an_operator_that_is_frozen_says_so_and_promotes_nothing() {
    with_namespace(async |space| {
        let shop = Shop::new(space);
        shop.environment("staging", &json!({})).await;
        let args = [
            "--no-leader-election",
            "--freeze",
            "the network is being replaced",
        ];
        let operator = Operator::start_with(&shop.namespace, &kubeconfig_path(), &args);
        shop.release(1).await;
        shop.until_says(
            "staging",
            "every promotion is frozen: the network is being replaced",
        )
        .await;
        operator.kill().await;
        let _operator = shop.operator();
        shop.until_runs("staging", 1).await;
    })
    .await;
}
