//! Previews of manifests that a run has rendered and pushed, with a real registry.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service};
use kube::api::{Api, ListParams};
use serde_json::{Value, json};
use slipway::environment::api::{PreviewPhase, PreviewStatus};
use slipway::oci::manifest::{Descriptor, MANIFEST, TITLE, artifact_manifest, digest_of};

use super::Review;
use crate::cluster::{api_of, kubeconfig_path, with_namespace};
use crate::supply::Server;

/// Pushes a package as a stage does: files by their names. What a run says of it.
async fn push(server: &Server, files: &[(&str, String)]) -> Value {
    let registry = server.registry();
    let config = registry.put_blob("application/octet-stream", b"{}").await;
    config.unwrap();
    let mut layers: Vec<Descriptor> = Vec::new();
    for (name, text) in files {
        let type_ = "application/octet-stream";
        let layer = registry.put_blob(type_, text.as_bytes()).await.unwrap();
        layers.push(Descriptor {
            annotations: BTreeMap::from([(TITLE.to_owned(), (*name).to_owned())]),
            ..layer
        });
    }
    let type_ = "application/vnd.slipway.package.file";
    let bytes = artifact_manifest(type_, &layers, None, &BTreeMap::new());
    let digest = digest_of(&bytes);
    let put = registry.put_manifest(&digest, MANIFEST, &bytes).await;
    put.unwrap();
    json!({"name": "manifests", "kind": "Package", "ref": server.name(), "digest": digest})
}

/// What a chart of the shop prints.
fn printed(color: &str) -> String {
    let rollout = json!({
        "apiVersion": "slipway.dev/v1alpha1", "kind": "Rollout",
        "metadata": {"name": "web", "labels": {"app.kubernetes.io/managed-by": "Helm"}},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"app": "web"}},
            "release": {"environment": {"name": "review"}, "images": {"web": "api"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "web", "env": [{"name": "HOST", "value": "shop.example.com"}]}]},
            },
        },
    });
    format!(
        "---\n# Source: shop/templates/settings.yaml\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: settings\n\
         data:\n  host: shop.example.com\n  color: {color}\n---\n{rollout}\n"
    )
}

fn service() -> String {
    "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {selector: {app: web}, ports: [{port: 80}]}\n".to_owned()
}

#[tokio::test]
#[ignore = "needs a kube-apiserver and docker-registry; run make test"]
async fn what_a_stage_has_rendered_is_shown_and_what_may_not_be_there_is_refused() {
    with_namespace(async |space| {
        let server = Server::debian().await;
        let rendered = json!({
            "package": "manifests", "kinds": ["Rollout", "Service", "ConfigMap"], "insecureRegistry": true,
        });
        let previews = json!({"copy": null, "selector": null, "rendered": rendered});
        let review = Review::new(space, &previews).await;
        let _operator = review.operator(&kubeconfig_path());
        let none = json!({});

        let files = [("chart.yaml", printed("blue")), ("service.yml", service()), ("NOTES.txt", "{{".to_owned())];
        let package = push(&server, &files).await;
        review.passed_with(7, 'a', (&none, Some(package))).await;
        let item = review.until_ready(7, 'a').await;
        let name = item.namespace;
        let maps: Api<ConfigMap> = Api::namespaced(space.client.clone(), &name);
        let settings = maps.get("settings").await.unwrap().data.unwrap();
        assert_eq!((settings["host"].as_str(), settings["color"].as_str()), ("pr-7.preview.example.com", "blue"));
        let services: Api<Service> = Api::namespaced(space.client.clone(), &name);
        assert!(services.get_opt("web").await.unwrap().is_some());
        let rollout = api_of(&space.client, &name, "Rollout").get("web").await.unwrap();
        let pod = &rollout.data["spec"]["template"]["spec"]["containers"][0];
        let image = format!("registry.example/api@sha256:{}", "a".repeat(64));
        assert_eq!(pod["image"], image);
        let namespace = review.namespaces().get(&name).await.unwrap();
        let labels = namespace.metadata.labels.unwrap();
        assert_eq!(labels["pod-security.kubernetes.io/enforce"], "baseline");

        // The next commit has other manifests.
        let package = push(&server, &[("chart.yaml", printed("green"))]).await;
        review.passed_with(7, 'b', (&none, Some(package))).await;
        review.until_ready(7, 'b').await;
        let settings = maps.get("settings").await.unwrap().data.unwrap();
        assert_eq!(settings["color"], "green");

        // One that brings more than it may brings nothing.
        let secret = "---\napiVersion: v1\nkind: Secret\nmetadata: {name: key}\nstringData: {a: b}\n";
        let package = push(&server, &[("chart.yaml", printed("red") + secret)]).await;
        review.passed_with(8, 'a', (&none, Some(package))).await;
        let has_failed = |item: &PreviewStatus| {
            let text = item.message.as_deref().unwrap_or_default();
            item.phase == PreviewPhase::Failed && text.contains("Secret key")
        };
        let failed = review.until("what may not be there", 8, has_failed).await;
        let maps: Api<ConfigMap> = Api::namespaced(space.client.clone(), &failed.namespace);
        assert!(maps.get_opt("settings").await.unwrap().is_none());
        let secrets: Api<Secret> = Api::namespaced(space.client.clone(), &failed.namespace);
        let all = secrets.list(&ListParams::default()).await.unwrap();
        assert_eq!(all.items.len(), 0);

        // What only the API server knows is found before anything is applied, whichever kind it is of.
        let wrong = service().replace("port: 80", "port: 99999");
        let package = push(&server, &[("chart.yaml", printed("red")), ("service.yml", wrong)]).await;
        review.passed_with(9, 'a', (&none, Some(package))).await;
        let is_refused = |item: &PreviewStatus| {
            let text = item.message.as_deref().unwrap_or_default();
            item.phase == PreviewPhase::Failed && text.contains("Service web: [spec.ports[0].port: Invalid value")
        };
        let refused = review.until("a port that there is not", 9, is_refused).await;
        let maps: Api<ConfigMap> = Api::namespaced(space.client.clone(), &refused.namespace);
        assert!(maps.get_opt("settings").await.unwrap().is_none());

        review.closed(&[7, 8, 9]).await;
        for number in [7, 8, 9] {
            review.until_gone(number).await;
        }
    })
    .await;
}
