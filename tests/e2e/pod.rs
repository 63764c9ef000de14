//! What is in the pod of a stage beside its script: services, secrets, parameters, caches, and a repository with a login.

use std::path::PathBuf;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Namespace, PersistentVolume, PersistentVolumeClaim, Pod, Secret};
use kube::api::{Api, DeleteParams, ListParams, LogParams, Patch, PatchParams, PostParams};
use kube::{Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use slipway::model::object::ObjectKind;
use testbed::git::GitServer;
use testbed::image;

use crate::app::{App, SOON, wait_for, with_app};

/// Longest wait for a run, the first of which pulls its images.
const RUN: Duration = Duration::from_mins(2);
/// What must not be seen anywhere.
const TOKEN: &str = "e2e-hidden-token";
const PASSWORD: &str = "e2e-hidden-password";

/// Says what it was given, and has to find the service, its files, the history, and what the run before has kept.
const SCRIPT: &str = r#"
echo "as $(id -u), level $LEVEL, with $TOKEN and $(cat "$CONF")"
printf '%s' "$TOKEN" | base64
test "$(git rev-list --count HEAD)" = 2
python3 -c "import urllib.request; print(urllib.request.urlopen('http://web:8000/').status)"
if [ "$LEVEL" = again ]; then test "$(cat /cache/kept)" = wheel; fi
echo wheel > /cache/kept
"#;

/// A web server that ends when it is asked to: as process 1, Python itself would not.
const WEB: &str = "import http.server, signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
http.server.test(http.server.SimpleHTTPRequestHandler, port=8000)";

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a node; run make test"]
async fn a_stage_has_its_services_secrets_parameters_and_caches_in_a_restricted_pod() {
    with_app(async |app| {
        restrict(app).await;
        let storage = Storage::make(app, "caches", "shop").await;
        let registry = app.cluster.node.registry();
        let git = GitServer::start_on(registry.rsplit_once(':').unwrap().0.parse().unwrap())
            .await
            .unwrap();
        let debian = image::base::debian(registry).await.unwrap();
        waits_for_a_label(app, &git, &debian).await;
        gives_parameters_and_finds_what_was_kept(app).await;
        keeps_in_a_registry_too(app, registry).await;
        tells_of_a_service_that_does_not_start(app, &debian).await;
        let runs = app.api(ObjectKind::PipelineRun);
        let runs = runs.list(&ListParams::default()).await.unwrap();
        hides(&serde_json::to_string(&runs.items).unwrap());
        storage.remove(app).await;
    })
    .await;
}

/// A repository with a login, and a Secret that may not be used at first.
async fn waits_for_a_label(app: &App, git: &GitServer, debian: &str) {
    let repository = git.create("shop").await.unwrap();
    let files = [("requirements.txt", "flask")];
    let first = repository.commit("main", "Open the shop", &files);
    first.await.unwrap();
    let second = repository.commit("main", "Sell more", &[("file", "2")]);
    let sha = second.await.unwrap();
    git.set_login("ci", PASSWORD);
    secret(app, "git", "password", PASSWORD, true).await;
    secret(app, "index", "token", TOKEN, false).await;
    let pipeline = pipeline(&git.url("shop"), debian);
    app.apply(ObjectKind::Pipeline, &pipeline).await;
    let run = wait_for("a run that may not use its Secret", RUN, async || {
        let runs = app.api(ObjectKind::PipelineRun);
        let runs = runs.list(&ListParams::default()).await.unwrap().items;
        let run = runs
            .iter()
            .find(|run| run.data["spec"]["sha"] == sha.as_str());
        let run = run.ok_or("there is none")?;
        let message = run.data["status"]["message"].to_string();
        if message.contains("label slipway.dev/use") {
            Ok(run.name_any())
        } else {
            Err(message)
        }
    })
    .await;
    secret(app, "index", "token", TOKEN, true).await;
    ended(app, &run, "Succeeded").await;
    let said = log(app, &run).await;
    let line = "as 65532, level info, with [redacted] and [redacted]";
    assert!(said.contains(line) && said.contains("\n200\n"), "{said}");
    hides(&said);
}

async fn gives_parameters_and_finds_what_was_kept(app: &App) {
    let level = |value: &str| json!([{"name": "LEVEL", "value": value}]);
    by_hand(app, "again", &level("again")).await;
    ended(app, "again", "Succeeded").await;
    assert!(log(app, "again").await.contains("level again"));
    by_hand(app, "loud", &level("$(reboot)")).await;
    let refused = ended(app, "loud", "Failed").await;
    let hint = refused["failure"]["hint"].as_str().unwrap();
    assert!(hint.contains("match the pattern"), "{refused}");
}

/// Nothing is there at first, and then what the run before has kept.
async fn keeps_in_a_registry_too(app: &App, registry: &str) {
    let place = json!({"repository": format!("{registry}/shop/caches"), "insecureRegistry": true});
    let storage = json!({"claimName": null, "registry": place});
    let patch = json!({"spec": {"cacheStorage": storage}});
    let pipelines = app.api(ObjectKind::Pipeline);
    pipelines
        .patch("shop", &PatchParams::default(), &Patch::Merge(&patch))
        .await
        .unwrap();
    by_hand(app, "filling", &json!([])).await;
    ended(app, "filling", "Succeeded").await;
    by_hand(
        app,
        "finding",
        &json!([{"name": "LEVEL", "value": "again"}]),
    )
    .await;
    ended(app, "finding", "Succeeded").await;
}

async fn tells_of_a_service_that_does_not_start(app: &App, debian: &str) {
    let broken = json!({"spec": {"stages": [{
        "name": "unit", "type": "Test", "image": debian, "run": "touch /cache/never",
        "services": [{
            "name": "db", "image": debian, "ready": {"tcp": 1},
            "command": ["sh", "-c", "echo no space for the data >&2; exit 3"],
        }],
    }]}});
    let pipelines = app.api(ObjectKind::Pipeline);
    let patch = Patch::Merge(&broken);
    let params = PatchParams::default();
    pipelines.patch("shop", &params, &patch).await.unwrap();
    by_hand(app, "broken", &json!([])).await;
    let failed = ended(app, "broken", "Failed").await;
    assert_eq!(failed["failure"]["kind"], "Service", "{failed}");
    let tail = failed["failure"]["logTail"].as_str().unwrap();
    assert!(tail.contains("no space for the data"), "{failed}");
}

fn pipeline(url: &str, image: &str) -> Value {
    json!({
        "apiVersion": "slipway.dev/v1alpha1", "kind": "Pipeline", "metadata": {"name": "shop"},
        "spec": {
            "source": {"git": {
                "url": url, "insecure": true, "fetchDepth": 2,
                "credentials": {"secretName": "git", "username": "ci"},
            }},
            "polling": {"interval": "500ms"}, "release": {"enabled": false},
            "params": [{"name": "LEVEL", "default": "info", "pattern": "[a-z]+"}],
            "caches": [{"name": "wheels", "paths": ["/cache"], "key": {"files": ["requirements.txt"]}}],
            "cacheStorage": {"claimName": "caches"},
            "defaults": {"pod": {"securityProfile": "Restricted"}},
            "stages": [{
                "name": "unit", "type": "Test", "image": image, "run": SCRIPT, "caches": ["wheels"],
                "env": [
                    {"name": "TOKEN", "secretRef": {"name": "index", "key": "token"}},
                    {"name": "CONF", "secretFile": {"name": "index", "key": "token"}},
                ],
                "services": [{
                    "name": "web", "image": image, "command": ["python3", "-c", WEB],
                    "ready": {"http": {"port": 8000}},
                }],
            }],
        },
    })
}

/// Only pods without root and rights are let in.
async fn restrict(app: &App) {
    let namespaces: Api<Namespace> = Api::all(app.client.clone());
    let labels =
        json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}});
    let patch = Patch::Merge(&labels);
    namespaces
        .patch(&app.namespace, &PatchParams::default(), &patch)
        .await
        .unwrap();
}

async fn secret(app: &App, name: &str, key: &str, value: &str, is_labelled: bool) {
    let labels = if is_labelled {
        json!({"slipway.dev/use": "ci"})
    } else {
        json!({})
    };
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "labels": labels}, "stringData": {key: value},
    });
    let secrets: Api<Secret> = Api::namespaced(app.client.clone(), &app.namespace);
    let params = PatchParams::apply("people");
    secrets
        .patch(name, &params, &Patch::Apply(&secret))
        .await
        .unwrap();
}

async fn by_hand(app: &App, name: &str, params: &Value) {
    let more = json!({"ref": "refs/heads/main", "params": params});
    app.run_by_hand(name, "shop", &more).await;
}

/// The status of a run, once it has ended like this.
async fn ended(app: &App, name: &str, phase: &str) -> Value {
    wait_for(&format!("{name} is {phase}"), RUN, async || {
        let run = app.api(ObjectKind::PipelineRun).get(name).await.unwrap();
        let status = run.data["status"].clone();
        if status["phase"] == phase {
            Ok(status)
        } else {
            Err(status.to_string())
        }
    })
    .await
}

/// What the script has said.
async fn log(app: &App, run: &str) -> String {
    let pods: Api<Pod> = Api::namespaced(app.client.clone(), &app.namespace);
    let of_run = ListParams::default().labels(&format!("slipway.dev/pipeline-run={run}"));
    let pod = pods.list(&of_run).await.unwrap().items.remove(0).name_any();
    let main = LogParams {
        container: Some("main".to_owned()),
        ..LogParams::default()
    };
    pods.logs(&pod, &main).await.unwrap()
}

fn hides(text: &str) {
    for secret in [TOKEN, PASSWORD, "ZTJlLWhpZGRlbi10b2tlb"] {
        assert!(!text.contains(secret), "{text}");
    }
}

/// A volume on the node, for caches.
pub(crate) struct Storage {
    folder: PathBuf,
}

impl Storage {
    /// With a claim of this name, for this Pipeline.
    pub(crate) async fn make(app: &App, claim: &str, pipeline: &str) -> Self {
        use std::os::unix::fs::PermissionsExt;
        let folder = std::env::temp_dir().join(format!("slipway-caches-{}", app.namespace));
        // The kubelet makes the folder of a Pipeline in it as its own user; others have to get in.
        std::fs::create_dir_all(folder.join(pipeline)).unwrap();
        for path in [folder.clone(), folder.join(pipeline)] {
            std::fs::set_permissions(path, PermissionsExt::from_mode(0o777)).unwrap();
        }
        let size = json!({"storage": "1Gi"});
        let volume = json!({"metadata": {"name": app.namespace}, "spec": {
            "capacity": size, "accessModes": ["ReadWriteMany"], "hostPath": {"path": folder},
        }});
        let wanted = json!({"metadata": {"name": claim}, "spec": {
            "accessModes": ["ReadWriteMany"], "resources": {"requests": size},
            "volumeName": app.namespace, "storageClassName": "",
        }});
        create::<PersistentVolume>(&Api::all(app.client.clone()), volume).await;
        create::<PersistentVolumeClaim>(
            &Api::namespaced(app.client.clone(), &app.namespace),
            wanted,
        )
        .await;
        let claims: Api<PersistentVolumeClaim> =
            Api::namespaced(app.client.clone(), &app.namespace);
        wait_for("the claim has its volume", SOON, async || {
            let found = claims.get(claim).await.unwrap();
            let phase = found
                .status
                .and_then(|status| status.phase)
                .unwrap_or_default();
            if phase == "Bound" { Ok(()) } else { Err(phase) }
        })
        .await;
        Self { folder }
    }

    pub(crate) async fn remove(self, app: &App) {
        let volumes: Api<PersistentVolume> = Api::all(app.client.clone());
        volumes
            .delete(&app.namespace, &DeleteParams::default())
            .await
            .unwrap();
        std::fs::remove_dir_all(&self.folder).unwrap();
    }
}

async fn create<K>(api: &Api<K>, object: Value)
where
    K: Resource + Clone + Serialize + DeserializeOwned + std::fmt::Debug,
{
    let object: K = serde_json::from_value(object).unwrap();
    api.create(&PostParams::default(), &object).await.unwrap();
}
