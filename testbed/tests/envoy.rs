//! The node's second gateway, for what Traefik does not offer. Needs root, Debian packages and the cluster's programs; run
//! with `--ignored`.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::api::{DynamicObject, ListParams, LogParams, PostParams};
use kube::{Api, Client, Resource};
use reqwest::header::{COOKIE, HOST, SET_COOKIE};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use testbed::{Node, image, wait};

const PATIENCE: Duration = Duration::from_mins(1);

#[tokio::test]
#[ignore = "needs root and the cluster's programs"]
async fn envoy_splits_by_weight_mirrors_and_keeps_sessions() -> Result<()> {
    let node = Node::start("envoy-test").await?;
    let stage = Stage {
        client: node.control_plane().client()?,
        gateway: node.envoy().await?.to_owned(),
        image: image::base::busybox(node.registry()).await?,
        http: reqwest::Client::builder().no_proxy().build()?,
    };
    assert_eq!(node.envoy().await?, stage.gateway, "started once");
    for revision in ["one", "two"] {
        stage.serve(revision).await?;
    }
    stage.ready().await?;

    stage.splits_by_weight().await?;
    stage.mirrors().await?;
    stage.keeps_sessions().await
}

struct Stage {
    client: Client,
    gateway: String,
    image: String,
    http: reqwest::Client,
}

impl Stage {
    async fn splits_by_weight(&self) -> Result<()> {
        let backends = json!([backend("one", 75), backend("two", 25)]);
        self.route("split", json!({"backendRefs": backends}))
            .await?;
        self.seen("split", &["one", "two"]).await?;

        let mut count = BTreeMap::<String, u32>::new();
        for _ in 0..200 {
            *count
                .entry(self.ask("split", "/", None).await?.0)
                .or_default() += 1;
        }

        let second = count.get("two").copied().unwrap_or_default();
        assert!((30..=70).contains(&second), "a quarter of 200: {count:?}");
        Ok(())
    }

    async fn mirrors(&self) -> Result<()> {
        let mirror = json!({"type": "RequestMirror",
            "requestMirror": {"backendRef": {"name": "two", "port": 80}}});
        self.route(
            "mirror",
            json!({"backendRefs": [backend("one", 1)], "filters": [mirror]}),
        )
        .await?;
        self.seen("mirror", &["one"]).await?;

        for _ in 0..20 {
            assert_eq!(self.ask("mirror", "/mirrored", None).await?.0, "one");
        }

        wait::until(
            "the mirror has seen each request once",
            PATIENCE,
            || async {
                let requests = self.log("two").await?.matches("url:/mirrored").count();
                ensure!(requests == 20, "it has seen {requests} of 20");
                Ok(Some(()))
            },
        )
        .await
    }

    async fn keeps_sessions(&self) -> Result<()> {
        let backends = json!([backend("one", 50), backend("two", 50)]);
        let session = json!({"type": "Cookie", "sessionName": "revision"});
        self.route(
            "session",
            json!({"backendRefs": backends, "sessionPersistence": session}),
        )
        .await?;
        self.seen("session", &["one", "two"]).await?;

        let mut revisions = BTreeMap::<String, u32>::new();
        for _ in 0..10 {
            let (first, cookie) = self.ask("session", "/", None).await?;
            let cookie = cookie.context("an answer without a cookie")?;
            for _ in 0..10 {
                let (next, _) = self.ask("session", "/", Some(&cookie)).await?;
                assert_eq!(next, first, "a session stays where it began");
            }
            *revisions.entry(first).or_default() += 1;
        }

        assert_eq!(revisions.len(), 2, "sessions begin anywhere: {revisions:?}");
        Ok(())
    }

    /// A Service with two pods that answer with the revision's name.
    async fn serve(&self, revision: &str) -> Result<()> {
        let script = format!(
            "mkdir /www; cd /www; echo {revision} > index.html; echo {revision} > mirrored; \
             exec httpd -f -vv -p 8080"
        );
        for number in 0..2 {
            self.create::<Pod>(json!({
                "metadata": {"name": format!("{revision}-{number}"), "labels": {"revision": revision}},
                "spec": {"terminationGracePeriodSeconds": 0, "containers": [
                    {"name": "server", "image": self.image, "command": ["sh", "-c", script]},
                ]},
            }))
            .await?;
        }
        self.create::<Service>(json!({
            "metadata": {"name": revision},
            "spec": {"selector": {"revision": revision}, "ports": [{"port": 80, "targetPort": 8080}]},
        }))
        .await
    }

    /// Waits for the pods. A route that comes before them may be without an answer for a quarter of a minute.
    async fn ready(&self) -> Result<()> {
        let pods = Api::<Pod>::namespaced(self.client.clone(), "default");
        let is_ready = |pod: &Pod| {
            let conditions = pod.status.as_ref().and_then(|s| s.conditions.as_ref());
            let mut conditions = conditions.into_iter().flatten();
            conditions.any(|c| c.type_ == "Ready" && c.status == "True")
        };
        wait::until("the pods are ready", PATIENCE, || async {
            let all = pods.list(&ListParams::default()).await?.items;
            Ok(all.iter().all(is_ready).then_some(()))
        })
        .await
    }

    /// A route for the host of that name with one rule.
    async fn route(&self, host: &str, rule: Value) -> Result<()> {
        let kind =
            kube::core::GroupVersionKind::gvk("gateway.networking.k8s.io", "v1", "HTTPRoute");
        let kind = kube::core::ApiResource::from_gvk(&kind);
        let route = serde_json::from_value(json!({
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
            "metadata": {"name": host},
            "spec": {
                "parentRefs": [{"name": "envoy", "namespace": "gateway-system"}],
                "hostnames": [host],
                "rules": [rule],
            },
        }))?;
        let routes = Api::<DynamicObject>::namespaced_with(self.client.clone(), "default", &kind);
        #[expect(clippy::disallowed_methods, reason = "a test sets the scene")]
        routes.create(&PostParams::default(), &route).await?;
        Ok(())
    }

    /// Waits until each of the revisions has answered for the host.
    async fn seen(&self, host: &str, revisions: &[&str]) -> Result<()> {
        for revision in revisions {
            let what = format!("{revision} answers for {host}");
            wait::until(&what, PATIENCE, || async {
                let (answer, _) = self.ask(host, "/", None).await?;
                Ok((answer == *revision).then_some(()))
            })
            .await?;
        }
        Ok(())
    }

    /// What the host answers, and the cookie that it sets.
    async fn ask(
        &self,
        host: &str,
        path: &str,
        cookie: Option<&str>,
    ) -> Result<(String, Option<String>)> {
        let mut request = self.http.get(format!("http://{}{path}", self.gateway));
        request = request.header(HOST, host);
        if let Some(cookie) = cookie {
            request = request.header(COOKIE, cookie);
        }
        let answer = request.send().await?.error_for_status()?;
        let set = answer.headers().get(SET_COOKIE);
        let set = set.map(|cookie| cookie.to_str()).transpose()?;
        let set = set.and_then(|cookie| Some(cookie.split(';').next()?.to_owned()));
        Ok((answer.text().await?.trim().to_owned(), set))
    }

    /// What all pods of a revision have said.
    async fn log(&self, revision: &str) -> Result<String> {
        let pods = Api::<Pod>::namespaced(self.client.clone(), "default");
        let mut text = String::new();
        let of_revision = ListParams::default().labels(&format!("revision={revision}"));
        for pod in pods.list(&of_revision).await? {
            let name = pod.metadata.name.context("a pod without a name")?;
            text += &pods.logs(&name, &LogParams::default()).await?;
        }
        Ok(text)
    }

    async fn create<K>(&self, object: Value) -> Result<()>
    where
        K: Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>,
        K: Clone + DeserializeOwned + Serialize + std::fmt::Debug,
    {
        let api = Api::<K>::namespaced(self.client.clone(), "default");
        let object = serde_json::from_value(object)?;
        #[expect(clippy::disallowed_methods, reason = "a test sets the scene")]
        api.create(&PostParams::default(), &object).await?;
        Ok(())
    }
}

fn backend(name: &str, weight: u32) -> Value {
    json!({"name": name, "port": 80, "weight": weight})
}
