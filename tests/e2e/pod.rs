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

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a node; run make test"]
async fn a_stage_has_its_services_secrets_parameters_and_caches_in_a_restricted_pod() {
    with_app(async |app| {
        app.stage.with_runner().await;
        restrict(app).await;
        let storage = Storage::make(app).await;
        let bridge = app
            .stage
            .node
            .registry()
            .rsplit_once(':')
            .unwrap()
            .0
            .parse()
            .unwrap();
        let git = GitServer::start_on(bridge).await.unwrap();
        let repository = git.create("shop").await.unwrap();
        let files = [("requirements.txt", "flask")];
        repository
            .commit("main", "Open the shop", &files)
            .await
            .unwrap();
        let sha = repository
            .commit("main", "Sell more", &[("file", "2")])
            .await
            .unwrap();
        git.set_login("ci", PASSWORD);
        let debian = image::base::debian(app.stage.node.registry())
            .await
            .unwrap();
        app.apply(ObjectKind::Pipeline, &pipeline(&git.url("shop"), &debian))
            .await;

        secret(app, "git", "password", PASSWORD, true).await;
        secret(app, "index", "token", TOKEN, false).await;
        let first = wait_for("a run that may not use its Secret", RUN, async || {
            let runs = app
                .api(ObjectKind::PipelineRun)
                .list(&ListParams::default())
                .await
                .unwrap();
            let run = runs
                .items
                .iter()
                .find(|run| run.data["spec"]["sha"] == sha.as_str());
            let message = run.map(|run| run.data["status"]["message"].to_string());
            match message {
                Some(message) if message.contains("label slipway.dev/use") => {
                    Ok(run.unwrap().name_any())
                }
                other => Err(format!("{other:?}")),
            }
        })
        .await;
        secret(app, "index", "token", TOKEN, true).await;
        ended(app, &first, "Succeeded").await;
        let said = log(app, &first).await;
        assert!(
            said.contains("as 65532, level info, with [redacted] and [redacted]"),
            "{said}"
        );
        assert!(said.contains("\n200\n"), "{said}");
        hides(&said);

        by_hand(app, "again", &json!([{"name": "LEVEL", "value": "again"}])).await;
        ended(app, "again", "Succeeded").await;
        assert!(log(app, "again").await.contains("level again"));
        by_hand(
            app,
            "loud",
            &json!([{"name": "LEVEL", "value": "$(reboot)"}]),
        )
        .await;
        let refused = ended(app, "loud", "Failed").await;
        assert!(
            refused["failure"]["hint"]
                .as_str()
                .unwrap()
                .contains("match the pattern"),
            "{refused}"
        );

        let broken = json!({"spec": {"stages": [{
            "name": "unit", "type": "Test", "image": debian, "run": "touch /cache/never",
            "services": [{"name": "db", "image": debian, "ready": {"tcp": 1},
                "command": ["sh", "-c", "echo no space for the data >&2; exit 3"]}],
        }]}});
        let pipelines = app.api(ObjectKind::Pipeline);
        pipelines
            .patch("shop", &PatchParams::default(), &Patch::Merge(&broken))
            .await
            .unwrap();
        by_hand(app, "broken", &json!([])).await;
        let failed = ended(app, "broken", "Failed").await;
        assert_eq!(failed["failure"]["kind"], "Service", "{failed}");
        assert!(
            failed["failure"]["logTail"]
                .as_str()
                .unwrap()
                .contains("no space for the data"),
            "{failed}"
        );
        let runs = app
            .api(ObjectKind::PipelineRun)
            .list(&ListParams::default())
            .await
            .unwrap();
        hides(&serde_json::to_string(&runs.items).unwrap());
        storage.remove(app).await;
    })
    .await;
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
                    "name": "web", "image": image, "command": ["python3", "-m", "http.server", "8000"],
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
    let run = json!({
        "apiVersion": "slipway.dev/v1alpha1", "kind": "PipelineRun", "metadata": {"name": name},
        "spec": {
            "pipelineRef": {"name": "shop"}, "trigger": {"kind": "Manual", "actor": "admin"},
            "ref": "refs/heads/main", "params": params,
        },
    });
    app.apply(ObjectKind::PipelineRun, &run).await;
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
struct Storage {
    folder: PathBuf,
}

impl Storage {
    async fn make(app: &App) -> Self {
        use std::os::unix::fs::PermissionsExt;
        let folder = std::env::temp_dir().join(format!("slipway-caches-{}", app.namespace));
        // The kubelet makes the folder of a Pipeline in it as its own user; others have to get in.
        std::fs::create_dir_all(folder.join("shop")).unwrap();
        for path in [folder.clone(), folder.join("shop")] {
            std::fs::set_permissions(path, PermissionsExt::from_mode(0o777)).unwrap();
        }
        let size = json!({"storage": "1Gi"});
        let volume = json!({"metadata": {"name": app.namespace}, "spec": {
            "capacity": size, "accessModes": ["ReadWriteMany"], "hostPath": {"path": folder},
        }});
        let claim = json!({"metadata": {"name": "caches"}, "spec": {
            "accessModes": ["ReadWriteMany"], "resources": {"requests": size},
            "volumeName": app.namespace, "storageClassName": "",
        }});
        create::<PersistentVolume>(&Api::all(app.client.clone()), volume).await;
        create::<PersistentVolumeClaim>(
            &Api::namespaced(app.client.clone(), &app.namespace),
            claim,
        )
        .await;
        let claims: Api<PersistentVolumeClaim> =
            Api::namespaced(app.client.clone(), &app.namespace);
        wait_for("the claim has its volume", SOON, async || {
            let claim = claims.get("caches").await.unwrap();
            let phase = claim
                .status
                .and_then(|status| status.phase)
                .unwrap_or_default();
            if phase == "Bound" { Ok(()) } else { Err(phase) }
        })
        .await;
        Self { folder }
    }

    async fn remove(self, app: &App) {
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
