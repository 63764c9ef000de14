//! A gate that asks the provider of a Pipeline's repository for statuses of a Release's commit: a server that answers as Gitea's
//! API is described.

use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use axum::{Json, Router};
use kube::api::PatchParams;
use serde_json::{Value, json};

use super::shop::Shop;
use crate::cluster::{Space, apply_with, kubeconfig_path, with_namespace};
use crate::operator::Operator;
use crate::server::serve;

const TOKEN: &str = "a-token-of-gitea";

/// What is said of every commit.
#[derive(Clone, Default)]
struct Gitea(Arc<Mutex<Vec<Value>>>);

impl Gitea {
    async fn listen() -> (Self, String) {
        let gitea = Self::default();
        let app = Router::new()
            .route("/api/v1/repos/shop/shop/commits/{sha}/status", get(answer))
            .with_state(gitea.clone());
        let (url, _) = serve(app).await;
        (gitea, format!("{url}/api/v1"))
    }

    fn say(&self, status: &str) {
        let said = json!({"context": "security/scan", "status": status, "description": "scanned"});
        *self.0.lock().unwrap() = vec![said];
    }
}

async fn answer(State(gitea): State<Gitea>, headers: HeaderMap) -> (StatusCode, Json<Value>) {
    let login = headers.get("authorization").and_then(|it| it.to_str().ok());
    if login != Some(&format!("Bearer {TOKEN}")) {
        let message = json!({"message": "token is required"});
        return (StatusCode::UNAUTHORIZED, Json(message));
    }
    let said = gitea.0.lock().unwrap().clone();
    (StatusCode::OK, Json(json!({"statuses": said})))
}

/// The Pipeline of the Releases, whose repository that provider hosts.
async fn hosted(space: &Space, api_url: &str) {
    space.make_secret("git", json!({"token": TOKEN})).await;
    let pipeline = json!({
        "apiVersion": "slipway.dev/v1alpha1", "kind": "Pipeline",
        "metadata": {"name": "shop", "namespace": space.name},
        "spec": {
            "source": {"git": {
                "url": "http://127.0.0.1:9/shop/shop.git", "insecure": true, "branch": "main",
                "provider": {"type": "Gitea", "apiUrl": api_url, "tokenSecretRef": {"name": "git", "key": "token"}},
            }},
            "stages": [{"name": "unit", "type": "Test", "image": "python", "run": "pytest"}],
        },
    });
    let params = PatchParams::apply("people").validation_strict();
    apply_with(&space.client, &pipeline, &params).await.unwrap();
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn a_release_waits_for_what_its_provider_says_of_the_commit() {
    with_namespace(async |space| {
        let (gitea, url) = Gitea::listen().await;
        hosted(space, &url).await;
        let shop = Shop::new(space);
        let gate = json!({"name": "checks", "commitStatus": {"contexts": ["security/scan"]}, "interval": "5s"});
        shop.environment("staging", &json!({"protection": {"gates": [gate]}}))
            .await;
        let flags = ["--no-leader-election", "--stage-secrets"];
        let _operator = Operator::start_with(&shop.namespace, &kubeconfig_path(), &flags);
        shop.release(1).await;
        shop.until_says("staging", "security/scan of commit 0000000 was not said yet")
            .await;
        gitea.say("failure");
        shop.until_says("staging", "security/scan of commit 0000000 is Failure: scanned")
            .await;
        gitea.say("success");
        shop.until_runs("staging", 1).await;
    })
    .await;
}
