//! A pull request as people see it: its URL answers with its commit, with the next one after a push, and with nothing once it is
//! closed.

use k8s_openapi::api::core::v1::{Namespace, PersistentVolume, Pod};
use kube::api::{Api, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use slipway::environment::preview::name_of;
use slipway::model::key::Key;
use slipway::model::object::ObjectKind;

use crate::app::{App, NAME, SOON, wait_for, with_app};
use crate::cluster::Version;

/// Name of the Environment.
const REVIEW: &str = "review";
/// The pull request.
const NUMBER: u64 = 7;

/// What only the operator may write, written as the operator.
struct Records {
    client: Client,
    namespace: String,
}

impl Records {
    fn api(&self, kind: ObjectKind) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &self.namespace, &kind.api_resource())
    }

    async fn set(&self, kind: ObjectKind, name: &str, status: &Value) {
        let status = json!({"status": status});
        let patch = Patch::Merge(&status);
        self.api(kind)
            .patch_status(name, &PatchParams::default(), &patch)
            .await
            .unwrap();
    }

    /// A run of the pull request that has passed, with a version of the sample.
    async fn passed(&self, app: &App, version: Version, digit: char) {
        let (repository, digest) = pinned(app.cluster.image(version)).await;
        let sha = digit.to_string().repeat(40);
        let name = format!("greeter-{digit}");
        let run = json!({
            "apiVersion": "slipway.dev/v1alpha1", "kind": "PipelineRun", "metadata": {"name": name},
            "spec": {
                "pipelineRef": {"name": NAME}, "ref": format!("refs/pull/{NUMBER}/head"), "sha": sha,
                "trigger": {"kind": "PullRequest", "actor": "github:alice", "pullRequest": {"number": NUMBER, "fork": false}},
            },
        });
        let run = serde_json::from_value(run).unwrap();
        let runs = self.api(ObjectKind::PipelineRun);
        runs.create(&PostParams::default(), &run).await.unwrap();
        let image = json!({"name": NAME, "kind": "Image", "ref": repository, "digest": digest});
        let status = json!({
            "phase": "Succeeded", "sha": sha, "finishedAt": jiff::Timestamp::now(), "artifacts": [image],
        });
        self.set(ObjectKind::PipelineRun, &name, &status).await;
    }
}

/// Repository and digest of an image of the node's registry.
async fn pinned(image: &str) -> (String, String) {
    let (repository, tag) = image.rsplit_once(':').unwrap();
    let (registry, path) = repository.split_once('/').unwrap();
    let url = format!("http://{registry}/v2/{path}/manifests/{tag}");
    let types = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
                 application/vnd.docker.distribution.manifest.v2+json";
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = http.get(url).header("accept", types).send().await;
    let answer = answer.unwrap().error_for_status().unwrap();
    let digest = answer.headers()["docker-content-digest"].to_str();
    (repository.to_owned(), digest.unwrap().to_owned())
}

/// The template: a Rollout that follows the Environment, which has no Release yet.
async fn prepare(app: &App) {
    let extra = json!({
        "replicas": 1,
        "release": {"environment": {"name": REVIEW}, "images": {"web": NAME}},
    });
    let mut rollout = app.rollout(Version::One, &extra);
    rollout["metadata"]["labels"] = json!({"preview": "greeter"});
    let web = &mut rollout["spec"]["template"]["spec"]["containers"][0];
    web.as_object_mut().unwrap().remove("image");
    app.apply(ObjectKind::Rollout, &rollout).await;
    let pipeline = json!({
        "apiVersion": "slipway.dev/v1alpha1", "kind": "Pipeline", "metadata": {"name": NAME},
        "spec": {
            "source": {"git": {"url": "http://127.0.0.1:1/shop/greeter.git", "insecure": true}},
            "stages": [{"name": "unit", "type": "Test", "image": "a", "run": "true"}],
        },
    });
    app.apply(ObjectKind::Pipeline, &pipeline).await;
    let environment = json!({
        "apiVersion": "slipway.dev/v1alpha1", "kind": "Environment", "metadata": {"name": REVIEW},
        "spec": {
            "tier": "Development", "promotion": {"from": {"pipelines": [NAME]}}, "rollouts": [{"name": NAME}],
            "previews": {
                "pipeline": NAME, "copy": ["Rollout"], "selector": {"preview": "greeter"},
                "url": format!("http://pr-{{{{pr.number}}}}.{}", app.host()),
                "ttl": {"afterClose": "1s"},
                "resources": {"quota": {"pods": "9"}, "defaultRequests": {"cpu": "1m"}},
                "network": {"allowFrom": ["gateway-system"]},
            },
        },
    });
    app.apply(ObjectKind::Environment, &environment).await;
}

async fn preview_of(app: &App) -> Option<Value> {
    let environment = app.api(ObjectKind::Environment).get(REVIEW).await.unwrap();
    environment.data.pointer("/status/previews/0").cloned()
}

/// Waits until the preview says that it shows a commit, and its URL answers with that version.
async fn until_shown(app: &App, version: Version, digit: char) {
    let sha = digit.to_string().repeat(40);
    let preview = wait_for("a preview that is ready", SOON, async || {
        let preview = preview_of(app).await.ok_or("no preview")?;
        if preview["phase"] == "Ready" && preview["sha"] == sha {
            Ok(preview)
        } else {
            Err(preview.to_string())
        }
    })
    .await;
    let url = preview["url"].as_str().unwrap();
    let host = url.strip_prefix("http://").unwrap();
    let gateway = format!("http://{}/", app.cluster.node.gateway());
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    wait_for("its URL answers with the commit", SOON, async || {
        let answer = http.get(&gateway).header("host", host).send().await;
        let answer = answer.map_err(|error| error.to_string())?;
        let body: Value = answer.json().await.map_err(|error| error.to_string())?;
        if body["revision"] == version.name() {
            Ok(())
        } else {
            Err(body.to_string())
        }
    })
    .await;
}

/// Whether there are routes in a namespace.
async fn has_routes(app: &App, namespace: &str) -> bool {
    let kind = ObjectKind::HttpRoute.api_resource();
    let routes: Api<DynamicObject> = Api::namespaced_with(app.client.clone(), namespace, &kind);
    let routes = routes.list(&ListParams::default()).await.unwrap();
    !routes.items.is_empty()
}

/// Whether volumes of pods are mounted on the node, which is this machine.
fn has_mounts(uids: &[String]) -> bool {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    uids.iter()
        .any(|uid| mounts.contains(&format!("/pods/{uid}/")))
}

/// Whoever asks for it finds nothing any more.
async fn leads_nowhere(app: &App) {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let gateway = format!("http://{}/", app.cluster.node.gateway());
    let host = format!("pr-{NUMBER}.{}", app.host());
    wait_for("its URL leads nowhere", SOON, async || {
        let answer = http.get(&gateway).header("host", &host).send().await;
        let status = answer.map_err(|error| error.to_string())?.status();
        (status == 404)
            .then_some(())
            .ok_or_else(|| status.to_string())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a node; run make test"]
async fn a_pull_request_answers_at_its_url_until_it_is_closed() {
    with_app(async |app| {
        prepare(app).await;
        let records = Records {
            client: Client::try_from(app.as_operator().await).unwrap(),
            namespace: app.namespace.clone(),
        };
        records.passed(app, Version::One, 'a').await;
        until_shown(app, Version::One, 'a').await;
        let environment = Key::new(app.namespace.clone(), REVIEW);
        let name = name_of(&environment, NUMBER);
        let namespaces: Api<Namespace> = Api::all(app.client.clone());
        let uid = namespaces.get(&name).await.unwrap().uid();

        records.passed(app, Version::Two, 'b').await;
        until_shown(app, Version::Two, 'b').await;
        let now = namespaces.get(&name).await.unwrap().uid();
        assert_eq!(now, uid, "updated in place");

        let pods: Api<Pod> = Api::namespaced(app.client.clone(), &name);
        let pods = pods.list(&ListParams::default()).await.unwrap();
        let uids: Vec<String> = pods.items.iter().filter_map(ResourceExt::uid).collect();
        assert!(!uids.is_empty() && has_routes(app, &name).await);
        assert!(has_mounts(&uids), "the pods have volumes");

        let at = jiff::Timestamp::from_second(jiff::Timestamp::now().as_second()).unwrap();
        let closed = json!({"closed": [{"number": NUMBER, "at": at}]});
        records.set(ObjectKind::Pipeline, NAME, &closed).await;
        wait_for("nothing is left", 2 * SOON, async || {
            let found = namespaces.get_opt(&name).await.unwrap();
            match (found, preview_of(app).await) {
                (None, None) => Ok(()),
                (found, preview) => Err(format!("{:?} {preview:?}", found.map(|one| one.status))),
            }
        })
        .await;
        assert!(!has_routes(app, &name).await, "a route is left");
        let volumes: Api<PersistentVolume> = Api::all(app.client.clone());
        let volumes = volumes.list(&ListParams::default()).await.unwrap();
        let claims = volumes
            .items
            .into_iter()
            .filter_map(|volume| volume.spec?.claim_ref);
        let mut claims = claims.filter(|claim| claim.namespace.as_ref() == Some(&name));
        assert_eq!(claims.next(), None, "a volume is left");
        wait_for(
            "no volume of its pods is left on the node",
            SOON,
            async || {
                (!has_mounts(&uids))
                    .then_some(())
                    .ok_or_else(|| format!("{uids:?}"))
            },
        )
        .await;
        leads_nowhere(app).await;
    })
    .await;
}
