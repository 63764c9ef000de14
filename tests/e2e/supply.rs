//! What is built is listed and signed, and an Environment takes only that. The long version has cosign check everything.

use std::net::Ipv4Addr;
use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, Secret, ServiceAccount};
use kube::api::{Api, ListParams, PostParams};
use serde_json::{Value, json};
use slipway::model::object::ObjectKind;
use slipway::supply::key::SigningKey;
use testbed::git::GitServer;
use testbed::image;
use testbed::sigstore::Sigstore;
use testbed::vault::Vault;

use crate::app::{App, SOON, is_full, wait_for, with_app};

/// Longest wait for a run, the first of which pulls its images.
const RUN: Duration = Duration::from_mins(4);

/// A new private key, and its public one.
pub(crate) fn new_key() -> (String, String) {
    let args = ["ecparam", "-name", "prime256v1", "-genkey", "-noout"];
    let made = std::process::Command::new("openssl")
        .args(args)
        .output()
        .unwrap();
    let private = String::from_utf8(made.stdout).unwrap();
    let public = SigningKey::read(&private, b"").unwrap().public().pem();
    (private, public)
}

fn pipeline(git: &GitServer, registry: &str) -> Value {
    let stages = json!([
        {"name": "shop", "type": "Build", "build": {"image": format!("{registry}/e2e/signed"), "insecureRegistry": true}},
        {"name": "contents", "type": "SBOM", "needs": ["shop"]},
        {"name": "sign", "type": "Sign", "sign": {"keyRef": {"name": "cosign"}}},
    ]);
    json!({
        "apiVersion": "slipway.dev/v1alpha1", "kind": "Pipeline", "metadata": {"name": "signed"},
        "spec": {
            "source": {"git": {"url": git.url("signed"), "insecure": true}},
            "polling": {"interval": "500ms"},
            "stages": stages,
        },
    })
}

fn environment(name: &str, key: &str, statements: &Value) -> Value {
    json!({
        "apiVersion": "slipway.dev/v1alpha1", "kind": "Environment", "metadata": {"name": name},
        "spec": {
            "tier": "Development", "promotion": {"from": {"pipelines": ["signed"]}},
            "protection": {"requireSigned": {"publicKeys": [key], "statements": statements, "insecureRegistry": true}},
        },
    })
}

async fn list(app: &App, kind: ObjectKind) -> Vec<Value> {
    let found = app.api(kind).list(&ListParams::default()).await.unwrap();
    found
        .items
        .iter()
        .map(|object| serde_json::to_value(object).unwrap())
        .collect()
}

/// Puts the private key where stages of the namespace find it.
pub(crate) async fn keep_key(app: &App, private: &str) {
    keep(app, "cosign", &json!({"cosign.key": private})).await;
}

/// Makes a Secret that stages may use.
pub(crate) async fn keep(app: &App, name: &str, data: &Value) {
    let secret = json!({
        "metadata": {"name": name, "labels": {"slipway.dev/use": "pipelines"}},
        "stringData": data,
    });
    let secrets: Api<Secret> = Api::namespaced(app.client.clone(), &app.namespace);
    secrets
        .create(
            &PostParams::default(),
            &serde_json::from_value(secret).unwrap(),
        )
        .await
        .unwrap();
}

/// Waits until the status of an Environment says so.
async fn until_told(app: &App, name: &str, says: &str) {
    until(app, name, says, |status| status.to_string().contains(says)).await;
}

/// Waits until a Release runs in an Environment.
async fn until_promoted(app: &App, name: &str, release: &Value) {
    let what = "the signed Release is promoted";
    until(app, name, what, |status| {
        status["current"][0]["release"] == *release
    })
    .await;
}

/// Waits until the status of an Environment is as `check` says.
async fn until(app: &App, name: &str, what: &str, check: impl Fn(&Value) -> bool) {
    wait_for(what, SOON, async || {
        let environment = app.api(ObjectKind::Environment).get(name).await.unwrap();
        let status = &environment.data["status"];
        if check(status) {
            Ok(())
        } else {
            Err(status.to_string())
        }
    })
    .await;
}

async fn release(app: &App) -> Value {
    wait_for("a Release", RUN, async || {
        let runs = list(app, ObjectKind::PipelineRun).await;
        let releases = list(app, ObjectKind::Release).await;
        releases
            .into_iter()
            .next()
            .ok_or_else(|| format!("{runs:?}"))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a node; run make test"]
async fn what_is_built_is_signed_and_an_environment_takes_nothing_else() {
    with_app(async |app| {
        let registry = app.cluster.node.registry();
        let ((private, public), (_, other)) = (new_key(), new_key());
        keep_key(app, &private).await;
        let bridge = registry.rsplit_once(':').unwrap().0.parse().unwrap();
        let git = GitServer::start_on(bridge).await.unwrap();
        let repository = git.create("signed").await.unwrap();
        let statements = ["Signature", "Provenance", "SBOM"];
        for (name, key) in [("trusting", &public), ("wary", &other)] {
            app.apply(
                ObjectKind::Environment,
                &environment(name, key, &json!(statements)),
            )
            .await;
        }
        app.apply(ObjectKind::Pipeline, &pipeline(&git, registry))
            .await;
        let files = [
            ("Dockerfile", "FROM scratch\nCOPY goods /\n"),
            ("goods", "tea"),
        ];
        repository
            .commit("main", "Open the shop", &files)
            .await
            .unwrap();

        let release = release(app).await;
        let said = release["spec"]["evidence"]["attestations"]
            .as_array()
            .unwrap();
        assert_eq!(said.len(), statements.len(), "{said:?}");
        until_told(app, "wary", "has no Signature and Provenance and SBOM").await;
        until_promoted(app, "trusting", &release["metadata"]["name"]).await;
        if is_full() {
            let digest = release["spec"]["images"][0]["digest"].as_str().unwrap();
            cosign_agrees(&format!("{registry}/e2e/signed@{digest}"), &public, &other).await;
        }
    })
    .await;
}

/// cosign in a pod of its own image, with a login that may sign and do nothing else. Builds cosign and the key service: minutes,
/// once. Only in the long tests.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a node, and minutes for its programs; run make e2e-full"]
async fn a_key_service_signs_with_a_key_that_never_leaves_it() {
    with_app(async |app| {
        let registry = app.cluster.node.registry();
        let bridge: Ipv4Addr = registry.rsplit_once(':').unwrap().0.parse().unwrap();
        let vault = Vault::start_on(bridge).await.unwrap();
        let (public, token) = vault.make_key("cosign").await.unwrap();
        keep(app, "vault", &json!({ "token": token })).await;
        let git = GitServer::start_on(bridge.into()).await.unwrap();
        let repository = git.create("signed").await.unwrap();
        let statements = json!(["Signature", "Provenance", "SBOM"]);
        let trusting = environment("trusting", &public, &statements);
        app.apply(ObjectKind::Environment, &trusting).await;
        let cosign = image::base::cosign(registry).await.unwrap();
        let mut pipeline = pipeline(&git, registry);
        let target = format!("{registry}/e2e/signed-by-service");
        pipeline["spec"]["stages"][0]["build"]["image"] = target.clone().into();
        let login = json!({"name": "vault", "key": "token"});
        pipeline["spec"]["stages"][2] = json!({
            "name": "sign", "type": "Sign",
            "sign": {"kms": {"uri": "hashivault://cosign", "image": cosign}},
            "env": [
                {"name": "VAULT_ADDR", "value": vault.url()},
                {"name": "VAULT_TOKEN", "secretRef": login},
            ],
        });
        app.apply(ObjectKind::Pipeline, &pipeline).await;
        let files = [
            ("Dockerfile", "FROM scratch\nCOPY goods /\n"),
            ("goods", "coffee"),
        ];
        repository
            .commit("main", "Serve coffee", &files)
            .await
            .unwrap();

        let release = release(app).await;
        let said = release["spec"]["evidence"]["attestations"].as_array();
        assert_eq!(said.map(Vec::len), Some(3), "{said:?}");
        until_promoted(app, "trusting", &release["metadata"]["name"]).await;
        let digest = release["spec"]["images"][0]["digest"].as_str().unwrap();
        let (_, other) = new_key();
        cosign_agrees(&format!("{target}@{digest}"), &public, &other).await;
    })
    .await;
}

/// cosign in a pod of its own image, in the name of the pod's service account. Builds cosign, Fulcio and Rekor: minutes, once.
/// Only in the long tests.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a node, and minutes for its programs; run make e2e-full"]
async fn an_account_signs_without_a_key_and_another_account_is_not_believed() {
    with_app(async |app| {
        let registry = app.cluster.node.registry();
        let bridge: Ipv4Addr = registry.rsplit_once(':').unwrap().0.parse().unwrap();
        let cluster = app.cluster.node.control_plane();
        let sigstore = Sigstore::start_on(cluster, bridge).await.unwrap();
        trust(app, &sigstore).await;
        let git = GitServer::start_on(bridge.into()).await.unwrap();
        let repository = git.create("signed").await.unwrap();
        for (name, account) in [("trusting", "signer"), ("wary", "deployer")] {
            let subject = Sigstore::subject(&app.namespace, account);
            let statements = json!(["Signature", "Provenance", "SBOM"]);
            let mut environment = environment(name, "", &statements);
            let signed = &mut environment["spec"]["protection"]["requireSigned"];
            signed.as_object_mut().unwrap().remove("publicKeys");
            signed["identities"] = json!([{"issuer": sigstore.issuer(), "subject": subject}]);
            signed["trustedRoot"] = sigstore.trusted_root().into();
            app.apply(ObjectKind::Environment, &environment).await;
        }
        let cosign = image::base::cosign(registry).await.unwrap();
        let mut pipeline = pipeline(&git, registry);
        let target = format!("{registry}/e2e/signed-by-account");
        pipeline["spec"]["stages"][0]["build"]["image"] = target.into();
        pipeline["spec"]["stages"][2] = json!({
            "name": "sign", "type": "Sign", "pod": {"serviceAccountName": "signer"},
            "sign": {"keyless": {
                "image": cosign, "fulcioUrl": sigstore.fulcio_url(), "rekorUrl": sigstore.rekor_url(),
                "trustedRoot": {"configMapName": "sigstore"},
            }},
        });
        app.apply(ObjectKind::Pipeline, &pipeline).await;
        let files = [
            ("Dockerfile", "FROM scratch\nCOPY goods /\n"),
            ("goods", "tea"),
        ];
        repository.commit("main", "Serve tea", &files).await.unwrap();

        let release = release(app).await;
        let said = release["spec"]["evidence"]["attestations"].as_array();
        assert_eq!(said.map(Vec::len), Some(3), "{said:?}");
        until_promoted(app, "trusting", &release["metadata"]["name"]).await;
        until_told(app, "wary", "has no Signature and Provenance and SBOM").await;
    })
    .await;
}

/// Makes the account that signs, and says whom it is to believe.
async fn trust(app: &App, sigstore: &Sigstore) {
    let accounts: Api<ServiceAccount> = Api::namespaced(app.client.clone(), &app.namespace);
    let account = serde_json::from_value(json!({"metadata": {"name": "signer"}})).unwrap();
    let params = PostParams::default();
    accounts.create(&params, &account).await.unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(app.client.clone(), &app.namespace);
    let map = json!({
        "metadata": {"name": "sigstore"}, "data": {"trusted_root.json": sigstore.trusted_root()},
    });
    let map = serde_json::from_value(map).unwrap();
    maps.create(&params, &map).await.unwrap();
}

/// The program that everybody else checks with comes to the same verdicts.
pub(crate) async fn cosign_agrees(image: &str, public: &str, other: &str) {
    testbed::programs::ensure(&["cosign"]).await.unwrap();
    let cosign = testbed::programs::path_of("cosign").unwrap();
    let folder = tempfile::TempDir::new().unwrap();
    let (ours, theirs) = (
        folder.path().join("ours.pub"),
        folder.path().join("theirs.pub"),
    );
    std::fs::write(&ours, public).unwrap();
    std::fs::write(&theirs, other).unwrap();
    let check = |verb: &[&str], key: &std::path::Path| {
        let mut command = std::process::Command::new(&cosign);
        command.args(verb).arg("--key").arg(key).args([
            "--insecure-ignore-tlog",
            "--allow-http-registry",
            image,
        ]);
        let done = command.output().unwrap();
        (
            done.status.success(),
            String::from_utf8_lossy(&done.stderr).into_owned(),
        )
    };
    let attested = |type_| ["verify-attestation", "--type", type_];
    for verb in [
        &["verify"][..],
        &attested("slsaprovenance1"),
        &attested("cyclonedx"),
    ] {
        let (is_good, said) = check(verb, &ours);
        assert!(is_good, "{verb:?}: {said}");
        eprintln!(
            "cosign {}: {}",
            verb.join(" "),
            said.lines().next().unwrap_or_default()
        );
        let (is_good, _) = check(verb, &theirs);
        assert!(!is_good, "{verb:?} with another key");
    }
}
